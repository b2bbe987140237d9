"""The desk and what breaks its hedge: entries refused, exits by the saga, everything flat, each told once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import cast

import pytest

from tests.trading.execution.fake_venue import HOUR_MS, FakeVenue
from tests.trading.execution.rig import START_MS, VirtualClock
from tests.trading.funding.rig import carry_spec, settled
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import NetworkDownError
from trading.domain.events import Event
from trading.domain.hedge import ContractTerms, ForcedKind, ForcedOrder
from trading.domain.instrument import Market
from trading.domain.market import Quote
from trading.domain.orders import PerpPosition, Side
from trading.domain.venue import MarketData
from trading.execution.settings import ExecutionSettings
from trading.funding import hedge_look
from trading.funding.carry_settings import CarrySettings
from trading.funding.cycle_base import Carry
from trading.funding.cycle_hedge import WORDS
from trading.funding.desk import CarryDesk, DeskSettings
from trading.funding.hedge_settings import HedgeSettings
from trading.funding.hedge_watch import (
    Consequence,
)
from trading.funding.report import CycleReport
from trading.journal.audit import CycleStatus
from trading.risk.kill_switch import Stop
from trading.risk.limits import RiskLimits
from trading.storage.home import Home

D = Decimal
DAY_MS = 24 * HOUR_MS
SLOW = ("listed_spot", "listed_perp", "contract_terms", "usdc_quote")


class Margined(FakeVenue):
    """A venue that names a liquidation price."""

    liquidation: Decimal | None = None

    async def position(self, symbol: str) -> PerpPosition:
        return replace(await super().position(symbol), liquidation_price=self.liquidation)


@dataclass
class Second:
    """Another exchange's word on what a tether is worth."""

    dollar: float = 1.0
    is_down: bool = False
    hangs: bool = False
    asked: int = 0

    async def quote(self, market: Market, symbol: str) -> Quote:
        assert (market, symbol) == (Market.SPOT, "USDTUSD")
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.is_down:
            raise NetworkDownError("kraken: nothing answers")
        return Quote(market, symbol, self.dollar, self.dollar, 1e6, 1e6, START_MS)


@dataclass
class Rig:
    """A desk with both sources of the dollar; `reborn` is a restart."""

    home: Home
    venue: Margined
    second: Second = field(default_factory=Second)
    hedge: HedgeSettings = field(default_factory=HedgeSettings)
    events: list[Event] = field(default_factory=list)
    desk: CarryDesk = field(init=False)

    def __post_init__(self) -> None:
        self.desk = CarryDesk(
            self.home,
            self.venue,
            settings=DeskSettings(
                CarrySettings(),
                RiskLimits(live_scale_pct=100, cooldown_after_fill_s=0),
                ExecutionSettings(),
                hedge=self.hedge,
            ),
            publish=self.events.append,
            clock=self.venue.clock,
            environment={},
            second=cast(MarketData, self.second),
        )

    def reborn(self) -> Rig:
        return Rig(self.home, self.venue, self.second, self.hedge, self.events)

    async def cycle(self, *, armed: bool = True) -> CycleReport:
        return await self.desk.cycle([Carry(carry_spec(), armed)], stop=Stop())

    async def pass_s(self, seconds: float) -> None:
        await self.venue.clock.sleep_s(seconds)

    def told(self, name: str = "hedge.found") -> list[object]:
        return [event.facts.get("kind") for event in self.events if event.name == name]


@pytest.fixture
def rig(home: Home) -> Rig:
    return Rig(home, Margined(VirtualClock(), history=settled()))


def terms(hours: int) -> ContractTerms:
    return ContractTerms(hours * HOUR_MS, 0.003, -0.003)


async def test_a_calm_venue_is_asked_for_little_and_nothing_is_told(rig: Rig) -> None:
    await rig.cycle()
    assert rig.desk.store.lives
    assert rig.venue.seen.count("adl_quantile") == 0, "nothing was held when it was looked"
    for _ in range(4):
        assert (await rig.cycle()).reason is Reason.HOLDING
    assert rig.told() == []
    assert [rig.venue.seen.count(name) for name in (*SLOW, "adl_quantile", "forced_orders")] == [1, 1, 1, 1, 4, 4]
    await rig.pass_s(301)
    await rig.cycle()
    assert [rig.venue.seen.count(name) for name in SLOW] == [2, 2, 2, 2]
    assert rig.second.asked == 2


async def test_a_lab_that_may_not_trade_and_holds_nothing_asks_nothing(rig: Rig) -> None:
    await rig.cycle(armed=False)
    assert not {*SLOW, "adl_quantile"} & set(rig.venue.seen)


@pytest.mark.parametrize(
    ("attribute", "value", "reason"),
    [
        ("status", {Market.PERP: "SETTLING"}, Reason.SYMBOL_STATUS),
        ("status", {Market.SPOT: "BREAK"}, Reason.SYMBOL_STATUS),
        ("delivery_ms", START_MS + 90 * DAY_MS, Reason.DELIVERY_SET),
        ("dollar", 0.99, Reason.QUOTE_DEPEG),
    ],
)
async def test_an_entry_is_refused_with_a_reason(rig: Rig, attribute: str, value: object, reason: Reason) -> None:
    setattr(rig.venue, attribute, value)
    for _ in range(3):
        report = await rig.cycle()
        assert (report.status, report.reason) == (CycleStatus.NO_TRADE, reason)
        assert reason in [check.reason for check in report.checks]
    assert rig.desk.store.lives == ()
    (told,) = [event.facts for event in rig.events if event.name == "hedge.found"]  # once, not every minute
    assert told["then"] in (WORDS[Consequence.NO_ENTRY], WORDS[Consequence.FLAT])


@pytest.mark.parametrize("source", [*SLOW, "second"])
async def test_a_source_that_does_not_answer_opens_nothing_and_closes_nothing(rig: Rig, source: str) -> None:
    if source == "second":
        rig.second.is_down = True
    rig.venue.fault_on[source] = ["down"] * 1000
    report = await rig.cycle()
    assert (report.reason, rig.told()) == (Reason.HEDGE_UNSEEN, []), "one stumble is no message"
    rig.second.is_down = False
    rig.venue.fault_on[source] = []
    assert (await rig.cycle()).reason is Reason.OK, "it is asked again in the next cycle"
    rig.second.is_down = source == "second"
    rig.venue.fault_on[source] = ["down"] * 1000
    for _ in range(4):
        await rig.pass_s(700)
        assert (await rig.cycle()).reason is Reason.HOLDING
    assert rig.desk.store.lives
    assert rig.told() == ["SOURCE_SILENT", "SOURCE_SILENT"], "told, and told again when entries are refused"


async def test_sources_that_fall_silent_at_once_are_one_message_and_one_when_they_answer_again(rig: Rig) -> None:
    await rig.cycle()
    sources = ("contract_terms", "listed_perp")
    for source in sources:
        rig.venue.fault_on[source] = ["down"] * 1000
    for _ in range(2):
        await rig.pass_s(700)
        await rig.cycle()
    (told,) = [event.facts for event in rig.events if event.name == "hedge.found"]
    assert str(told["note"]).count("could not be read for") == 2
    rig.venue.fault_on.clear()
    for _ in range(2):
        await rig.pass_s(1801)
        await rig.cycle()
        await rig.cycle()
    (over,) = [event.facts for event in rig.events if event.name == "hedge.over"]
    assert over["where"] == told["where"]


async def test_a_source_that_never_answered_is_told_when_that_lasts(rig: Rig) -> None:
    rig.venue.fault_on["contract_terms"] = ["down"] * 1000
    for _ in range(3):
        assert (await rig.cycle()).reason is Reason.HEDGE_UNSEEN
        await rig.pass_s(451)
    (told,) = [event.facts for event in rig.events if event.name == "hedge.found"]
    assert (told["note"], told["then"]) == ("funding terms could not be read yet", WORDS[Consequence.NO_ENTRY])


async def test_a_second_source_that_hangs_is_not_waited_for(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hedge_look, "SECOND_WAIT_S", 0.01)
    rig.second.hangs = True
    assert (await rig.cycle()).reason is Reason.HEDGE_UNSEEN


async def test_a_rank_is_told_once_again_when_it_is_worse_and_when_it_is_over(rig: Rig) -> None:
    rig.hedge = HedgeSettings(adl_leave_quantile=4)
    rig = rig.reborn()
    await rig.cycle()
    for rank in (3, 2, 3, 3):
        rig.venue.adl = rank
        assert (await rig.cycle()).reason is Reason.HOLDING
    assert rig.told() == ["ADL_RANK"]
    again = rig.reborn()
    await again.cycle()
    assert again.told() == ["ADL_RANK"], "a restart tells nothing anew"
    rig.venue.adl = 0
    for _ in range(2):
        await rig.pass_s(1801)
        await rig.cycle()
        await rig.cycle()
    assert rig.told("hedge.over") == ["ADL_RANK"]
    rig.venue.adl = 4
    report = await rig.cycle()
    assert (report.status, report.reason) == (CycleStatus.EXECUTED, Reason.ADL_RANK)
    assert rig.venue.quantity == 0
    assert rig.told()[1:] == ["ADL_RANK"]


async def test_a_contract_that_is_to_end_is_left_by_the_saga_even_while_its_data_are_in_doubt(rig: Rig) -> None:
    await rig.cycle()
    rig.venue.delivery_ms = START_MS + 3 * DAY_MS
    rig.venue.quote_age_ms = 3_600_000
    await rig.pass_s(301)
    report = await rig.cycle()
    assert (report.status, report.reason, report.decision.allowed) == (
        CycleStatus.EXECUTED,
        Reason.DELIVERY_SET,
        True,
    )
    assert (rig.venue.quantity, rig.desk.store.live_of("BTCUSDT")) == (0, None)
    assert rig.desk.store.closed[-1].reason == "DELIVERY_SET"
    assert not rig.desk.counters.memory.halts


async def test_a_depeg_that_both_sources_see_is_left_and_one_alone_is_not(rig: Rig) -> None:
    await rig.cycle()
    rig.venue.dollar = 0.94
    await rig.pass_s(301)
    assert (await rig.cycle()).reason is Reason.HOLDING
    rig.second.dollar = 0.93
    await rig.pass_s(301)
    assert (await rig.cycle()).reason is Reason.QUOTE_DEPEG
    assert rig.venue.quantity == 0


@pytest.mark.parametrize("what", ["settling", "ending", "forced", "liquidation"])
async def test_what_the_exchange_ends_makes_everything_flat_and_halts(rig: Rig, what: str) -> None:
    await rig.cycle()
    assert rig.desk.store.lives
    await rig.pass_s(301)
    now_ms, of = rig.venue.clock.now_ms(), rig.venue
    if what == "settling":
        of.status = {Market.PERP: "SETTLING"}
    elif what == "ending":
        of.delivery_ms = now_ms + HOUR_MS
    elif what == "forced":
        order = ForcedOrder("BTCUSDT", ForcedKind.ADL, "adl_autoclose", Side.BUY, D("0.001"), D(50_000), now_ms)
        of.forced.append(order)
    else:
        of.liquidation = of.price * D("1.09")
    report = await rig.cycle()
    reasons = {"settling": Reason.SYMBOL_STATUS, "ending": Reason.DELIVERY_SET, "forced": Reason.FORCED_CLOSE}
    assert (report.status, report.reason) == (CycleStatus.HALTED, reasons.get(what, Reason.LEVERAGE))
    assert of.quantity == 0
    assert of.spot_base < D("0.0001")
    assert [halt.reason for halt in rig.desk.counters.memory.halts] == [report.reason]
    assert (await rig.cycle()).status is CycleStatus.HALTED, "until a human releases"


async def test_changed_terms_are_told_and_waited_out_also_after_a_restart(rig: Rig) -> None:
    await rig.cycle()
    again = rig.reborn()
    rig.venue.terms = terms(4)
    assert (await again.cycle()).reason is Reason.HOLDING
    assert again.told() == ["TERMS_CHANGED"]
    (told,) = [event.facts for event in rig.events if event.name == "hedge.found"]
    assert told["note"] == (
        "funding of BTCUSDT was changed: every 8 h, -0.300% to 0.300%; now every 4 h, -0.300% to 0.300%"
    )
    await again.desk.flatten(Decision(False, Reason.KILL_SWITCH, 1.0, 0.0))
    assert (await again.reborn().cycle()).reason is Reason.TERMS_CHANGED
    await rig.pass_s(24 * 3600)
    assert (await again.reborn().cycle()).reason is not Reason.TERMS_CHANGED


async def test_a_forced_close_is_explained_by_the_exchanges_own_words(rig: Rig) -> None:
    await rig.cycle()
    rig.venue.force_close()
    report = await rig.cycle()
    assert (report.status, report.reason) == (CycleStatus.HALTED, Reason.RECONCILE_MISMATCH)
    assert (rig.venue.quantity, rig.desk.store.live_of("BTCUSDT")) == (0, None)
    (told,) = [event.facts["note"] for event in rig.events if event.name == "hedge.forced"]
    assert str(told).startswith("the exchange closed 0.015 of BTCUSDT at 50010 by auto-deleveraging")


@pytest.mark.parametrize(("fault", "words"), [("down", "could not be read"), ("", "a settlement, or a hand")])
async def test_a_forced_close_that_nobody_explains_is_said_to_be_so(rig: Rig, fault: str, words: str) -> None:
    await rig.cycle()
    rig.venue.force_close()
    rig.venue.forced.clear()
    rig.venue.fault_on["forced_orders"] = [fault]
    await rig.cycle()
    assert rig.desk.store.lives == ()
    (told,) = [event.facts["note"] for event in rig.events if event.name == "hedge.forced"]
    assert words in str(told)


@pytest.mark.parametrize("text", ["{", '{"schema": 1, "told": 5}'])
async def test_a_memory_that_cannot_be_read_is_set_aside_told_and_learned_anew(rig: Rig, text: str) -> None:
    (rig.home.state / "hedge_watch.json").write_text(text)
    again = rig.reborn()
    (told,) = [event for event in again.events if event.name == "hedge.forgotten"]
    assert "set aside as hedge_watch.json.bad-1" in str(told.facts["note"])
    assert (await again.cycle()).reason is Reason.OK
    assert (rig.home.state / "hedge_watch.json").exists()
