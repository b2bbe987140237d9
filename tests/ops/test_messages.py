"""From events to messages: which are told, in which words, how often, and what ends an alert."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ops.numbers import to_release
from ops.reports import SYNTHETIC_LINE
from ops.telling.alert_keys import ENDS, ENDS_OF_THE_SAME
from ops.telling.measured import UNITS, both
from ops.telling.messages import APPROVAL, KEPT, WORDS, Messenger, alert, approval_request, as_it_stands, notice
from trading.domain.clock import Clock, parse_iso
from trading.domain.decisions import Reason
from trading.domain.errors import StateFileError
from trading.domain.events import Event, Severity
from trading.notify.message import MAX_TEXT, Message, parts, units
from trading.notify.outbox import Outbox
from trading.risk.memory import Halt
from trading.risk.rules import RULES, Kind
from trading.storage.home import Home

AT_MS = parse_iso("2026-01-21T09:14:03Z")
REVIEW = {
    "id": "fc-20260121-7f3a9c",
    "name": "Funding carry",
    "thesis": "longs pay shorts",
    "backtest": "+3.20% net over 8760 bars, n = 1095 settlements",
    "walk_forward": "+1.10% net over 3504 bars, n = 438 settlements; deflated Sharpe 0.981 against 118 tries",
    "paper": "+0.310% in 10.0 days, n = 31, each on average +0.0001% to +0.0190% (95 %)",
    "refutation": "ninety settlements below zero",
    "since": "2026-01-21T09:00:00Z",
    "gate": "7 of 7 hold",
}


class Chat:
    """A notifier that remembers."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def send(self, message: Message) -> None:
        self.texts.append(message.text)


class Rig:
    """A messenger with its outbox and a clock that is set by hand."""

    def __init__(self, home: Home, *, is_synthetic: bool = False) -> None:
        self.home, self.clock, self.chat, self.woken = home, Clock(scale=1e-6, origin_ms=AT_MS), Chat(), 0
        self.outbox = Outbox(home.outbox)
        self.messenger = Messenger(self.outbox, self.clock, is_synthetic=is_synthetic, wake=self.wake)

    def wake(self) -> None:
        self.woken += 1

    def hear(self, name: str, severity: Severity = Severity.INFO, /, **facts: object) -> None:
        self.messenger.hear(Event(self.clock.now_ms(), name, facts, severity))

    async def told(self) -> list[str]:
        """What reached the chat since the last time."""
        self.chat.texts.clear()
        await self.outbox.drain(self.chat, self.clock)
        return [text.rpartition("\nid m-")[0] for text in self.chat.texts]

    def pass_s(self, seconds: float) -> None:
        self.clock = Clock(scale=1e-6, origin_ms=self.clock.now_ms() + int(seconds * 1000))


def test_the_approval_request_word_for_word() -> None:
    assert approval_request(REVIEW).splitlines() == [
        "🎯 Strategy Approval Needed!",
        "Funding carry (fc-20260121-7f3a9c)",
        "Thesis: longs pay shorts",
        f"Backtest: {REVIEW['backtest']}",
        f"Walk-forward with the vault: {REVIEW['walk_forward']}",
        f"Paper: {REVIEW['paper']}",
        "Gate: 7 of 7 hold",
        "Would refute it: ninety settlements below zero",
        "To read and decide: python approve_strategy.py fc-20260121-7f3a9c",
    ]


@pytest.mark.parametrize(
    ("name", "facts", "text"),
    [
        (
            "stop.seen",
            {"source": "KILL_SWITCH", "alert_key": "stop"},
            "🚨 Stop seen (KILL_SWITCH): nothing new is opened, everything is being closed",
        ),
        (
            "stop.stands",
            {"source": "KILL_SWITCH", "held": "everything is flat", "release": to_release(["KILL_SWITCH"])},
            "🚨 Stopped, everything is flat. Nothing is opened live until "
            "python stop_trading.py --release (KILL_SWITCH)",
        ),
        (
            "stop.not_flat",
            {"note": "trading already runs as process 7"},
            "🚨 NOT FLAT, the lab cannot begin to close: trading already runs as process 7. It is tried again; look at "
            "the exchange, close by hand what remains",
        ),
        (
            "risk.halted",
            {"reason": "STRATEGY_DRAWDOWN", "value": 0.152, "limit": 0.15, "strategy": "fc-1"},
            "🚨 risk.halted at 09:14 UTC, fc-1: STRATEGY_DRAWDOWN, the strategy lost so much of its capital that it is "
            "stopped for good: 15.2 % against a limit of 15 %. Nothing new is opened. Do: look at the exchange, find "
            "out why, then: python stop_trading.py --release",
        ),
        (
            "risk.halted",
            {"reason": "EQUITY_IDENTITY", "value": 500.0, "limit": 0.01, "note": "unexplained flow of +500.00"},
            "🚨 risk.halted at 09:14 UTC: EQUITY_IDENTITY, money moved that no fill, fee, funding or transfer explains"
            ": 500.00 USDT against a limit of 0.01 USDT (unexplained flow of +500.00). "
            "Nothing new is opened. Do: look at the exchange, find out why, then: python stop_trading.py --release",
        ),
        (
            "risk.book_too_large",
            {"reason": "POSITION_SIZE", "value": 81.5, "limit": 70.0, "note": "of what is held: 7 % of equity"},
            "🚨 risk.book_too_large at 09:14 UTC: what is held is larger than POSITION_SIZE allows: 81.50 USDT "
            "against a limit of 70.00 USDT (of what is held: 7 % of equity). Add funds, or close it: "
            "python stop_trading.py",
        ),
        (
            "risk.not_flat",
            {"position": "c-1", "symbol": "BTCUSDT", "flat_s": 120.0, "reason": "KILL_SWITCH"}
            | {"errors": ["spot is shut", "... and 70 more ...", "spot does not answer"]},
            "🚨 NOT FLAT, risk.not_flat: c-1 on BTCUSDT is still there after 120.0 s (KILL_SWITCH): spot does not "
            "answer. It is tried again; look at the exchange, close by hand what remains",
        ),
        (
            "carry.funding_missing",
            {"position": "c-1", "settlement_ms": 1768983243000},
            "🚨 carry.funding_missing: c-1 was not paid its funding of 2026-01-21 08:14 UTC. Compare with the "
            "exchange's income page: ./lab trace funding",
        ),
        (
            "carry.funding_differs",
            {"position": "c-1", "settlement_ms": 1768983243000, "booked_quote": -1e-9, "expected_quote": 0.43},
            "🚨 carry.funding_differs: c-1, funding of 2026-01-21 08:14 UTC: 0.0000 USDT were booked, +0.4300 USDT "
            "expected. Compare with the exchange's income page: ./lab trace funding",
        ),
        (
            "carry.key_refused",
            {"held": "BTCUSDT: spot 0.006, perpetual -0.006", "note": "spot account: -2015"},
            "🚨 The exchange does not take the trading key: nothing can be opened or closed with it, look at the "
            "exchange. Held, by the lab's books: BTCUSDT: spot 0.006, perpetual -0.006. spot account: -2015",
        ),
        (
            "job.parked",
            {"job": "news", "error": "KeyError: 'x'"},
            "🚨 The job news had a bug and is set aside: KeyError: 'x'. The others go on; restart after mending it",
        ),
    ],
)
def test_alerts_word_for_word(name: str, facts: dict[str, object], text: str) -> None:
    assert alert(Event(AT_MS, name, facts, Severity.ALERT)) == text


def test_every_reason_with_two_numbers_is_told_in_its_own_unit_and_a_yes_or_no_without_numbers() -> None:
    assert both("LOSS_STREAK", 5.0, 5.0) == "5 against a limit of 5"
    assert both("QUOTE_STALE", 75.0, 60.0) == "75 s against a limit of 60 s"
    assert both("DRAWDOWN_STOP", 0.2104, 0.2) == "21.04 % against a limit of 20 %"
    assert both("DRAWDOWN_STOP", float("nan"), 0.2) == "not known against a limit of 20 %"
    assert both("KILL_SWITCH", 0.0, 1.0) == ""
    assert {str(rule.id) for rule in RULES if rule.kind is not Kind.EXIT} - set(UNITS) == {"PAUSED", "LEVERAGE"}


def test_notices_word_for_word() -> None:
    facts = {
        "symbol": "BTCUSDT",
        "spot_base": Decimal("0.006"),
        "perp_base": Decimal("-0.006"),
        "fees_quote": Decimal("0.38"),
        "max_unhedged_s": 1.25,
        "why": "12 % a year pays for it",
    }
    assert notice(Event(AT_MS, "carry.opened", facts)) == (
        "🔔 Carry opened on BTCUSDT: spot 0.006, perpetual -0.006, fees 0.3800 USDT, apart for at most 1.2 s; "
        "12 % a year pays for it"
    )
    found = {"kind": "ADL_RANK", "note": "the short of BTCUSDT stands at 3 of 4", "then": "nothing is done"}
    assert notice(Event(AT_MS, "hedge.found", found)) == (
        "🔔 Hedge watch: the short of BTCUSDT stands at 3 of 4; nothing is done"
    )
    over = Event(AT_MS, "hedge.over", {"kind": "ADL_RANK", "where": "BTCUSDT"})
    assert notice(over) == (
        "🔔 Hedge watch, over: the place of BTCUSDT near the front of the queue of auto-deleveraging"
    )
    terms = Event(AT_MS, "hedge.over", {"kind": "TERMS_CHANGED", "where": "BTCUSDT 1721193690244"})
    assert notice(terms) == "🔔 Hedge watch, over: the wait after new funding terms of BTCUSDT"
    slow = {"reason": "LATENCY", "value": 6.2, "limit": 5.0, "note": ""}
    failed = {"reason": "ERROR_RATE", "value": 0.42, "limit": 0.3, "note": "21 of 50 calls"}
    assert notice(Event(AT_MS, "risk.breaker_opened", slow | {"others": [failed]})) == (
        "🔔 Nothing new is opened while this lasts: LATENCY, the exchange answered too slowly: 6.2 s against a limit "
        "of 5 s; ERROR_RATE, too many calls to the exchange failed: 42 % against a limit of 30 % (21 of 50 calls)"
    )
    assert notice(Event(AT_MS, "risk.breaker_closed", slow)) == (
        "🔔 Over, exchange and clock keep from nothing any more; it was LATENCY, the exchange answered too slowly"
    )
    closed = {"symbol": "BTCUSDT", "reason": "KILL_SWITCH", "profit_quote": -0.5, "funding_quote": 0.0}
    for settlements, told in ((1, "1 settlement"), (1307, "1,307 settlements")):
        event = Event(AT_MS, "carry.closed", closed | {"settlements": settlements, "fees_quote": 0.7})
        assert f"funding 0.0000 over {told}, fees" in notice(event)
    halt = {"reason": "DAILY_LOSS", "note": ""}
    assert notice(Event(AT_MS, "risk.released", halt)) == (
        "🔔 A halt is over. It was for DAILY_LOSS, the day lost as much as a day may"
    )
    flat = Event(AT_MS, "stop.flat", {"seconds": 0.812, "note": "KILL_SWITCH"})
    assert notice(flat) == "🔔 Everything is flat, the exchange says so after 0.8 s (KILL_SWITCH)"
    late = Event(AT_MS, "stop.flat", {"seconds": 1511.5, "note": "KILL_SWITCH"})
    assert notice(late) == "🔔 Everything is flat, the exchange says so after 25 min (KILL_SWITCH)"


@pytest.mark.parametrize("name", sorted(WORDS))
def test_an_event_with_facts_missing_is_told_as_it_stands_and_never_lost(name: str) -> None:
    event = Event(AT_MS, name, {"only": "this"})
    assert notice(event) == f"🔔 {as_it_stands(event)}"


async def test_quiet_events_are_not_told(home: Home) -> None:
    rig = Rig(home)
    rig.hear("carry.refused", reason="FUNDING_TOO_LOW")
    assert await rig.told() == []
    assert rig.woken == 0


async def test_a_notice_is_told_each_time_and_wakes_who_delivers(home: Home) -> None:
    rig = Rig(home)
    rig.hear("carry.money_moved", Severity.NOTICE, quote=5.0)
    rig.hear("carry.money_moved", Severity.NOTICE, quote=5.0)
    assert rig.woken == 2
    assert len(await rig.told()) == 2


async def test_the_human_is_asked_once_for_each_strategy(home: Home) -> None:
    rig = Rig(home)
    for strategy_id in ("fc-1", "fc-1", "fc-2"):
        rig.hear(APPROVAL, Severity.NOTICE, **(REVIEW | {"id": strategy_id}))
    assert [text.splitlines()[-1][-4:] for text in await rig.told()] == ["fc-1", "fc-2"]


async def test_the_human_is_asked_again_about_what_comes_back_to_review(home: Home) -> None:
    rig = Rig(home)
    for since in ("2026-01-21T09:00:00Z", "2026-01-24T09:00:00Z", "2026-01-24T09:00:00Z"):
        rig.hear(APPROVAL, Severity.NOTICE, **(REVIEW | {"since": since}))
    assert len(await rig.told()) == 2


async def test_an_alert_is_repeated_with_growing_gaps_until_its_state_changes(home: Home) -> None:
    rig = Rig(home)
    rig.hear("stop.seen", Severity.ALERT, source="KILL_SWITCH", alert_key="stop")
    rig.hear("stop.seen", Severity.ALERT, source="KILL_SWITCH", alert_key="stop")
    assert len(await rig.told()) == 1
    rig.pass_s(301)
    (again,) = await rig.told()
    assert "again: since 2026-01-21 09:14 UTC, raised 2×" in again
    rig.hear("stop.released", source="KILL_SWITCH")
    rig.pass_s(10 * 86_400)
    assert await rig.told() == []


async def test_an_alert_that_ended_is_told_anew_when_it_comes_back(home: Home) -> None:
    rig = Rig(home)
    for _ in range(2):
        rig.hear("carry.funding_missing", Severity.ALERT, position="c-1")
        assert len(await rig.told()) == 1
        rig.hear("carry.funding_booked", position="c-1")


async def test_a_restarted_lab_ends_the_alerts_of_its_earlier_life(home: Home) -> None:
    Rig(home).hear("job.parked", Severity.ALERT, job="news", error="KeyError")
    rig = Rig(home)
    assert set(rig.outbox.open_alerts()) == {"job.parked:news"}
    rig.hear("lab.started")
    assert rig.outbox.open_alerts() == {}


@pytest.mark.parametrize("event_name", sorted(ENDS))
async def test_every_event_of_the_table_ends_its_alerts_and_no_others(home: Home, event_name: str) -> None:
    rig = Rig(home)
    for key in (*ENDS[event_name], "another"):
        rig.hear("some.alert", Severity.ALERT, alert_key=key)
    rig.hear(event_name)
    assert set(rig.outbox.open_alerts()) == {"another"}


def about(n: int) -> dict[str, object]:
    """The facts of one of two positions, strategies or jobs."""
    spec = f"fc-{n}"
    return {"position": f"c-{n}", "symbol": f"S{n}USDT", "spec": spec, "id": spec, "job": f"job{n}"}


PAIRS = [(event, key, fact) for event, ended in sorted(ENDS_OF_THE_SAME.items()) for key, fact in ended.items()]


@pytest.mark.parametrize(("event_name", "alert", "fact"), PAIRS)
async def test_an_event_ends_the_alerts_of_its_own_position_or_strategy_and_of_no_other(
    home: Home, event_name: str, alert: str, fact: str
) -> None:
    rig = Rig(home)
    name, _, kind = alert.partition(":")
    told = {"id" if fact == "spec" else fact} | ({"symbol"} if fact == "position" else set())
    for n in (1, 2):
        which = {key: value for key, value in about(n).items() if key in told}
        rig.hear(name, Severity.ALERT, **which, **({"kind": kind} if kind else {}))
    assert len(await rig.told()) == 2
    first = next(iter(rig.outbox.open_alerts()))
    rig.hear(event_name, **about(2))
    assert set(rig.outbox.open_alerts()) == {first}
    rig.hear(event_name, **about(1))
    assert rig.outbox.open_alerts() == {}


async def test_what_is_wrong_with_one_coin_is_told_beside_what_is_wrong_with_another(home: Home) -> None:
    rig = Rig(home)
    for symbol, position, distance in (("BTCUSDT", "c-1", 0.12), ("ETHUSDT", "c-2", 0.03), ("BTCUSDT", "c-1", 0.11)):
        facts = {"symbol": symbol, "position": position, "distance": distance, "note": "nothing is free"}
        rig.hear("carry.margin_low", Severity.ALERT, **facts)
    first, second = await rig.told()
    assert "BTCUSDT is 12.0%" in first
    assert "ETHUSDT is 3.0%" in second
    rig.pass_s(301)
    btc, eth = await rig.told()
    assert "BTCUSDT is 11.0%" in btc
    assert "raised 2×" in btc
    assert "ETHUSDT is 3.0%" in eth
    assert "raised 1×" in eth


async def test_each_settlement_that_was_not_paid_is_told_and_the_next_that_is_ends_them(home: Home) -> None:
    rig = Rig(home)
    for settlement_ms in (1, 2, 2):
        facts = {"position": "c-1", "symbol": "BTCUSDT", "settlement_ms": settlement_ms}
        rig.hear("carry.funding_missing", Severity.ALERT, **facts)
    assert len(await rig.told()) == 2
    rig.hear("carry.funding_booked", position="c-2", funding_quote=0.1)
    assert len(rig.outbox.open_alerts()) == 2
    rig.hear("carry.funding_booked", position="c-1", funding_quote=0.1)
    assert rig.outbox.open_alerts() == {}


async def test_an_alert_that_an_older_lab_filed_without_its_position_still_ends(home: Home) -> None:
    rig = Rig(home)
    for key in ("carry.margin_low", "carry.close_incomplete:NOT_FILLED", "carry.difference:LATE_ORDER"):
        rig.hear("some.alert", Severity.ALERT, alert_key=key)
    rig.hear("carry.closed", position="c-1", symbol="BTCUSDT")
    assert set(rig.outbox.open_alerts()) == {"carry.difference:LATE_ORDER"}
    rig.hear("carry.rebalanced", position="c-1", symbol="BTCUSDT")
    assert rig.outbox.open_alerts() == {}


async def test_two_strategies_stopped_for_their_losses_are_two_halts(home: Home) -> None:
    rig = Rig(home)
    for spec in ("fc-1", "fc-2"):
        halt = Halt(Reason.STRATEGY_DRAWDOWN, AT_MS, 0.16, 0.15, "", subject=spec)
        rig.hear("risk.halted", Severity.ALERT, **halt.facts)
    assert len(await rig.told()) == 2


async def test_a_job_that_works_again_ends_its_own_alert_and_no_other_jobs(home: Home) -> None:
    rig = Rig(home)
    for job in ("news", "onchain"):
        rig.hear("job.failing", Severity.ALERT, job=job, error="DataProviderError: none answers", failures=6)
    rig.hear("job.recovered", job="news")
    assert set(rig.outbox.open_alerts()) == {"job.failing:onchain"}


async def test_a_made_up_market_is_said_once_on_every_message(home: Home) -> None:
    rig = Rig(home, is_synthetic=True)
    rig.hear("carry.opened", Severity.NOTICE, symbol="BTCUSDT")
    rig.hear("risk.halted", Severity.ALERT, reason="DAILY_LOSS")
    rig.hear(APPROVAL, Severity.NOTICE, **REVIEW)
    rig.messenger.tell("report", f"📊 Hourly Report\n{SYNTHETIC_LINE}\nmore")
    told = await rig.told()
    assert len(told) == 4
    assert [text.count(SYNTHETIC_LINE) for text in told] == [1, 1, 1, 1]


def test_the_longest_approval_request_still_fits_when_cut_on_lines() -> None:
    text = approval_request(REVIEW | {"thesis": "long " * 1000, "paper": "also long " * 400})
    pieces = parts(Message("approval", text))
    assert len(pieces) > 1
    assert all(units(piece.text) <= MAX_TEXT for piece in pieces)


def test_two_halts_for_different_reasons_are_two_alerts(home: Home) -> None:
    clock = Clock()
    outbox = Outbox(home.outbox)
    messenger = Messenger(outbox, clock, is_synthetic=False, wake=lambda: None)
    for reason in ("DRAWDOWN_REVIEW", "DRAWDOWN_EXIT", "DRAWDOWN_REVIEW"):
        messenger.hear(Event(clock.now_ms(), "risk.halted", {"reason": reason}, Severity.ALERT))
    assert set(outbox.open_alerts()) == {"risk.halted:DRAWDOWN_REVIEW", "risk.halted:DRAWDOWN_EXIT"}
    assert outbox.waiting == 2
    messenger.hear(Event(clock.now_ms(), "risk.released", {}))
    assert outbox.open_alerts() == {}


async def test_what_a_full_disk_did_not_take_is_told_when_it_does(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    rig, put = Rig(home), Outbox.put

    def full(*_: object) -> bool:
        raise StateFileError("outbox: No space left on device")

    monkeypatch.setattr(Outbox, "put", full)
    with pytest.raises(StateFileError):
        rig.hear("carry.closed", Severity.NOTICE, note="first")
    for _ in range(2):
        with pytest.raises(StateFileError):
            rig.hear("stop.seen", Severity.ALERT, source="KILL", alert_key="stop")
    with pytest.raises(StateFileError):
        rig.hear("stop.released", Severity.NOTICE, source="KILL")
    with pytest.raises(StateFileError):
        rig.hear("data.repaired")
    assert await rig.told() == []
    monkeypatch.setattr(Outbox, "put", put)
    rig.messenger.write_again()
    told = await rig.told()
    assert len(told) == 3, "each once, also what was over before it could be told"
    assert "first" in told[0]
    assert told[1].startswith("\N{POLICE CARS REVOLVING LIGHT}")
    assert not rig.outbox.open_alerts()
    rig.messenger.write_again()
    assert await rig.told() == []


async def test_what_the_disk_took_only_hours_later_says_of_when_it_is(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, heard_ms = Rig(home), Clock().system_ms()
    with monkeypatch.context() as filled:
        filled.setattr(Outbox, "put", lambda *_: (_ for _ in ()).throw(StateFileError("full")))
        with pytest.raises(StateFileError):
            rig.hear("carry.closed", Severity.NOTICE, note="first")
    monkeypatch.setattr(Clock, "system_ms", lambda _: heard_ms + 7_200_000)
    rig.messenger.write_again()
    (told,) = await rig.told()
    assert told.startswith("Of 2026-01-21 09:14 UTC: \N{BELL} carry.closed")


async def test_of_very_many_that_the_disk_did_not_take_the_newest_are_told(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(home)
    with monkeypatch.context() as filled:
        filled.setattr(Outbox, "put", lambda *_: (_ for _ in ()).throw(StateFileError("full")))
        for number in range(KEPT + 5):
            with pytest.raises(StateFileError):
                rig.hear("carry.closed", Severity.NOTICE, note=f"number {number}")
    rig.hear("data.repaired")
    assert rig.outbox.waiting == KEPT


async def test_a_message_that_cannot_be_told_stops_no_other(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    rig, put = Rig(home), Outbox.put

    def broken(self: Outbox, message: Message, clock: Clock) -> bool:
        if "first" in message.text:
            raise ValueError("surrogates not allowed")
        return put(self, message, clock)

    monkeypatch.setattr(Outbox, "put", broken)
    with pytest.raises(ValueError, match="surrogates"):
        rig.hear("carry.closed", Severity.NOTICE, note="first")
    rig.hear("carry.closed", Severity.NOTICE, note="second")
    (told,) = await rig.told()
    assert "second" in told
