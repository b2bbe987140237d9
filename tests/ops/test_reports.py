"""What a person reads, word for word; and what must never be read: a rate without its n, equity that is only cash."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ops import reports
from ops.numbers import Account, Best, Holding, LastDecision, MarketData, Numbers
from ops.period import Gain, Period, day_ended, week_ended
from ops.reports import SYNTHETIC_LINE
from trading.domain.clock import parse_iso

AT_MS = parse_iso("2026-01-21T09:00:00Z")
LIVE = Account(
    kind="live",
    equity_quote=1012.5,
    cash_quote=812.25,
    positions_quote=200.5,
    unrealised_quote=-0.25,
    funding_quote=0.3125,
    fees_quote=0.4321,
    start_quote=1000.0,
)
PAPER = replace(
    LIVE, kind="paper fc-1", equity_quote=9_990.0, cash_quote=9_990.25, positions_quote=0.0, start_quote=1e4
)
BEST = Best("fc-1", "Funding carry", 0.0123, 42, "settlement", 0.0001, 0.0005)
FULL = Numbers(
    at_ms=AT_MS,
    market="live",
    accounts=(LIVE, PAPER),
    holdings=(Holding("fc-1", "carry BTCUSDT: spot 0.006, perpetual -0.006"),),
    stages={"dry_run": 2, "retired": 9},
    best=BEST,
    data_quality=97.4,
    last=LastDecision(AT_MS - 60_000, "NO_TRADE", "FUNDING_TOO_LOW", 2.5, 8.0, "2.5 % a year against 8 %"),
    no_trade_reasons={"HOLDING": 3, "FUNDING_TOO_LOW": 51},
    next_action="the next live cycle",
    waiting_for_human=("mr-2",),
    uptime_s=2 * 86_400 + 3 * 3600 + 4 * 60 + 5,
    ideas_tried=118,
    rss_mb=312.4,
    regime="calm up",
    parity="2 of 2 the same to the bit",
    tuner=("MODEL_BUDGET 0.85 against 0.80, crazy_ideas rest: 85% of the model's day is spent",),
)
EMPTY = replace(
    FULL,
    accounts=(),
    holdings=(),
    stages={},
    best=None,
    last=None,
    no_trade_reasons={},
    waiting_for_human=(),
    uptime_s=20.0,
    tuner=(),
)
DAY = Period(
    day_ended(AT_MS),
    cycles=1440,
    traded=2,
    reasons={"HOLDING": 51, "FUNDING_TOO_LOW": 1387},
    gains=(
        Gain("live", 2.5, 0.00247, "2 fills", 0.3125, 0.4321),
        Gain("paper fc-1", -1.0, -0.0001, "0 trades closed", 0.1042, 0.0),
    ),
)
WEEK = replace(DAY, span=week_ended(AT_MS))
EQUITY_LIVE = (
    "Equity (live) 1,012.50 USDT = cash 812.25 + positions 200.50 + unrealised -0.25; "
    "since start +1.250%, funding +0.3125, fees -0.4321"
)
EQUITY_PAPER = (
    "Equity (paper fc-1) 9,990.00 USDT = cash 9,990.25 + positions 0.00 + unrealised -0.25; "
    "since start -0.100%, funding +0.3125, fees -0.4321"
)
LEADER = "Best: Funding carry (fc-1) +1.230% net, n = 42 settlements, each on average +0.0100% to +0.0500% (95 %)"


def test_the_hourly_report_word_for_word() -> None:
    assert reports.hourly_report(FULL).splitlines() == [
        "📊 Hourly Report - 09:00 UTC",
        EQUITY_LIVE,
        EQUITY_PAPER,
        "Holds carry BTCUSDT: spot 0.006, perpetual -0.006",
        "Strategies: 2 dry_run, 9 retired",
        LEADER,
        "Data quality 97/100, ideas ever tried 118",
        "Tuner: MODEL_BUDGET 0.85 against 0.80, crazy_ideas rest: 85% of the model's day is spent",
        "Regime: calm up",
        "Last decision 08:59 UTC: NO_TRADE FUNDING_TOO_LOW (2.5 % a year against 8 %); "
        "most often in 24 h: FUNDING_TOO_LOW 51×",
        "Next: the next live cycle",
        "Waits for you: python approve_strategy.py mr-2",
    ]


def test_accounts_on_paper_on_which_nothing_happened_share_a_line() -> None:
    fresh = Account("paper fc-2", 1e4, 1e4, 0.0, 0.0, 0.0, 0.0, 1e4)
    others = (fresh, replace(fresh, kind="paper fc-3"), replace(fresh, kind="paper fc-4, STALE, as of 08:00 UTC"))
    lines = reports.hourly_report(replace(FULL, accounts=(LIVE, *others, PAPER))).splitlines()
    assert [lines[1], lines[3], lines[4]] == [
        EQUITY_LIVE,
        EQUITY_PAPER,
        "Equity (2 accounts on paper, nothing done yet) 10,000.00 USDT each, all cash",
    ]
    assert lines[2].startswith("Equity (paper fc-4, STALE"), "what is not fresh is told by itself"
    gains = (*DAY.gains, *(Gain(f"paper fc-{n}", 0.0, 0.0, "0 trades closed", 0.0, 0.0) for n in (2, 3)))
    told = reports.summary(FULL, replace(DAY, gains=gains), title="Daily summary").splitlines()
    assert [line for line in told if line.startswith("That day")][2:] == [
        "That day (2 accounts on paper): nothing happened"
    ]


@pytest.mark.parametrize(
    ("qualities", "words"),
    [
        ([97.4], "97/100"),
        ([0.0, 100.0, 98.0], "0/100 (S0; the other 2: 98 or more)"),
        ([97.0, 97.2, 100.0], "97/100 or more, of 3 symbols"),
    ],
)
def test_of_several_symbols_the_worst_is_named(qualities: list[float], words: str) -> None:
    markets = tuple(MarketData(f"S{n}", quality, 60.0) for n, quality in enumerate(qualities))
    told = reports.hourly_report(replace(FULL, data_quality=min(qualities), markets=markets))
    assert f"Data quality {words}, ideas" in told


def test_the_hourly_report_of_a_lab_that_has_nothing_yet() -> None:
    assert reports.hourly_report(EMPTY).splitlines() == [
        "📊 Hourly Report - 09:00 UTC",
        "Equity: no account yet, live or on paper",
        "Holds nothing",
        "Strategies: none yet",
        "Best: none on paper yet",
        "Data quality 97/100, ideas ever tried 118",
        "Regime: calm up",
        "Last decision: none yet",
        "Next: the next live cycle",
    ]


def test_the_heartbeat_word_for_word() -> None:
    assert reports.heartbeat(FULL).splitlines() == [
        "💚 AI Trading Lab Heartbeat",
        "Up 2 d 3 h 4 min, 118 ideas tried, 312 MB",
        "Last cycle 08:59 UTC",
        EQUITY_LIVE,
        EQUITY_PAPER,
    ]


@pytest.mark.parametrize(("title", "of"), [("Daily summary", DAY), ("Weekly summary", WEEK)])
def test_the_summaries_word_for_word(title: str, of: Period) -> None:
    is_day = of is DAY
    whose = "That day" if is_day else "That week"
    assert reports.summary(FULL, of, title=title).splitlines() == [
        f"📅 {title} - {'2026-01-20 UTC' if is_day else '2026-01-11 to 2026-01-17 UTC'}",
        EQUITY_LIVE,
        EQUITY_PAPER,
        f"{whose} (live): +2.50 USDT, +0.247%; 2 fills, funding +0.3125, fees -0.4321",
        f"{whose} (paper fc-1): -1.00 USDT, -0.010%; 0 trades closed, funding +0.1042, fees 0.0000",
        "Strategies: 2 dry_run, 9 retired",
        LEADER,
        "Paper against its backtest: 2 of 2 the same to the bit",
        "Cycles: 1,440, 2 traded; why nothing in the others: FUNDING_TOO_LOW 1,387×, HOLDING 51×",
    ]


def test_a_day_without_a_cycle_is_told_as_one_and_what_could_not_be_read_as_not_counted() -> None:
    assert reports.cycles_line(replace(DAY, cycles=0)) == "Cycles: none, the lab did not run or decided nothing"
    assert reports.cycles_line(replace(DAY, cycles=None)) == "Cycles: not counted"
    assert reports.cycles_line(replace(DAY, cycles=3, traded=3, reasons={})) == "Cycles: 3, 3 traded"
    unknown = replace(DAY.gains[0], funding_quote=None, fees_quote=None)
    assert reports.gain_line("That day", unknown).endswith("; 2 fills, funding not known, fees not known")


def test_the_insights_word_for_word() -> None:
    assert reports.insights(FULL, [("LOST_ON_SEARCH", 7), ("TOO_FEW_SIGNALS", 2), ("BAD_SPEC", 1)]).splitlines() == [
        "💡 Insights",
        "Ideas refused because: LOST_ON_SEARCH 7×, TOO_FEW_SIGNALS 2×, BAD_SPEC 1×",
        "Before any performance was computed, so at no trial's cost: 3 of 10 of the refused",
        LEADER,
    ]


@pytest.mark.parametrize(("n", "told"), [(0, "0 settlements"), (1, "1 settlement"), (29, "29 settlements")])
def test_under_thirty_no_rate_is_told(n: int, told: str) -> None:
    assert reports.best_line(replace(BEST, n=n)) == f"Best: Funding carry (fc-1): not enough data, n = {told}"


def test_a_single_one_has_no_plural_and_thousands_are_apart_wherever_a_count_is_told() -> None:
    assert "4 min, 1 idea tried, 312 MB" in reports.heartbeat(replace(FULL, ideas_tried=1))
    told = reports.hourly_report(replace(FULL, no_trade_reasons={"HOLDING": 1427}, ideas_tried=1848))
    assert "ideas ever tried 1,848\n" in told
    assert "most often in 24 h: HOLDING 1,427×" in told


def test_reasons_that_are_not_named_are_counted_so_that_all_add_up() -> None:
    refused = [(f"R{n}", n) for n in range(9, 2, -1)]
    told = reports.insights(FULL, refused)
    assert "because: R9 9×, R8 8×, R7 7×, R6 6×, R5 5×, others 7×\n" in told
    assert f"of {9 + 8 + 7 + 6 + 5 + 7} (" in told


def test_a_reason_that_its_note_only_repeats_is_told_once() -> None:
    last = LastDecision(AT_MS - 60_000, "HALTED", "KILL_SWITCH", 1.0, 0.0, "KILL_SWITCH")
    line = reports.decision_line(replace(FULL, last=last, no_trade_reasons={}))
    assert line == "Last decision 08:59 UTC: HALTED KILL_SWITCH"


def test_from_thirty_on_a_rate_comes_with_n_and_interval() -> None:
    line = reports.best_line(replace(BEST, n=30, n_of="trade"))
    assert "n = 30 trades" in line
    assert "each on average +0.0100% to +0.0500% (95 %)" in line


@pytest.mark.parametrize("numbers", [FULL, EMPTY])
def test_a_made_up_market_is_said_on_every_text_and_a_real_one_on_none(numbers: Numbers) -> None:
    for market, said in (("synthetic", True), ("live", False), ("recorded", False), ("downloaded", False)):
        n = replace(numbers, market=market)
        texts = [
            reports.hourly_report(n),
            reports.heartbeat(n),
            reports.summary(n, DAY, title="Daily summary"),
            reports.insights(n, []),
        ]
        assert [SYNTHETIC_LINE in text for text in texts] == [said] * 4


def test_equity_is_told_as_the_sum_of_its_parts_and_first_of_all() -> None:
    lines = reports.hourly_report(FULL).splitlines()
    assert lines[1].startswith("Equity (live) 1,012.50")
    assert LIVE.cash_quote + LIVE.positions_quote + LIVE.unrealised_quote == LIVE.equity_quote


@pytest.mark.parametrize(
    ("flows", "unexplained", "equity", "told"),
    [
        (500.0, 0.0, 1512.5, "since start +0.833% (+500.00 put in is no profit), funding"),
        (-500.0, 0.0, 512.5, "since start +1.250% (-500.00 taken out is no profit), funding"),
        (0.0, 500.0, 1512.5, "since start +1.250% (UNEXPLAINED flow +500.00 is no profit), funding"),
        (
            0.0,
            -500.0,
            512.5,
            "since start -48.750% (UNEXPLAINED flow -500.00 counts as lost until you release it), funding",
        ),
        (500.0, 20.0, 1532.5, "(+500.00 put in is no profit; UNEXPLAINED flow +20.00 is no profit), funding"),
    ],
)
def test_money_put_in_or_taken_out_is_told_beside_the_change_and_not_in_it(
    flows: float, unexplained: float, equity: float, told: str
) -> None:
    account = replace(LIVE, equity_quote=equity, flows_quote=flows, unexplained_quote=unexplained)
    assert told in reports.account_line(account)


@settings(max_examples=300, deadline=None)
@given(cents=st.lists(st.floats(-1e7, 1e7, allow_nan=False), min_size=4, max_size=4))
@example(cents=[0.0, 0.0, 0.0, 0.065])
def test_the_printed_parts_make_the_printed_equity_and_none_is_a_cent_off(cents: list[float]) -> None:
    cash, held, dust, unrealised = cents[0], cents[1], abs(cents[2]) / 1e6, cents[3]
    account = replace(
        LIVE,
        equity_quote=cash + held + dust + unrealised,
        cash_quote=cash,
        positions_quote=held,
        dust_quote=dust,
        unrealised_quote=unrealised,
    )
    told = reports.told_parts(account)
    assert sum(told) == pytest.approx(round(account.equity_quote, 2), abs=1e-6)
    assert all(abs(one - true) < 0.0101 for one, true in zip(told, (cash, held, dust, unrealised), strict=True))
    assert "DO NOT ADD UP" not in reports.account_line(account)


def test_parts_that_do_not_add_up_to_the_cent_are_said_not_to() -> None:
    line = reports.account_line(replace(LIVE, cash_quote=LIVE.cash_quote - 0.01))
    assert line.splitlines() == [
        EQUITY_LIVE.replace("812.25", "812.24"),
        "⚠️ THESE PARTS DO NOT ADD UP: +0.01 USDT are in no part; do not rely on them",
    ]


def test_a_parked_paper_account_is_told_without_parts_that_nobody_has_read() -> None:
    line = reports.account_line(replace(PAPER, cash_quote=PAPER.equity_quote, unrealised_quote=0.0, parts_known=False))
    assert line == (
        "Equity (paper fc-1) 9,990.00 USDT, in parts that are not known: it is parked; "
        "since start -0.100%, funding +0.3125, fees -0.4321"
    )


def test_a_decision_of_another_day_has_its_date_and_age_and_a_warning_beside_it() -> None:
    last = LastDecision(AT_MS - 7 * 86_400_000, "NO_TRADE", "HOLDING", 1.0, 0.0, "")
    n = replace(FULL, last=last, time_zone="Europe/Berlin")
    warning = "⚠️ The last cycle ended 7 d ago: nothing is decided; run ./lab doctor, look at logs/ai_lab.log"
    lines = reports.hourly_report(n).splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("Last decision"))
    assert lines[place].startswith("Last decision 2026-01-14 10:00 CET, 7 d ago: NO_TRADE HOLDING")
    assert lines[place + 1] == warning
    assert reports.heartbeat(n).splitlines()[2:4] == ["Last cycle 2026-01-14 10:00 CET, 7 d ago", warning]


def test_a_lab_that_has_decided_nothing_since_it_started_says_for_how_long() -> None:
    (line,) = reports.standstill_line(replace(EMPTY, uptime_s=3 * 3600.0))
    assert line.startswith("⚠️ No cycle has ended since the start, 3 h ago: nothing is decided")


def test_a_share_of_thirty_or_more_has_its_interval_and_of_fewer_is_a_count() -> None:
    assert reports.share(3, 29) == "3 of 29"
    # Wilson's interval of 81 of 263, as in Agresti and Coull's paper's data: 0.2553 to 0.3662
    assert reports.share(81, 263) == "81 of 263 (31%, 95 % 26% to 37%)"
    assert reports.share(0, 40) == "0 of 40 (0%, 95 % 0% to 9%)"


def test_the_last_decision_is_told_with_the_id_that_explain_takes() -> None:
    last = LastDecision(AT_MS - 60_000, "NO_TRADE", "HOLDING", 1.0, 0.0, "", "d-260121-0859-7f3a")
    line = reports.decision_line(replace(FULL, last=last, no_trade_reasons={}))
    assert line == "Last decision 08:59 UTC: NO_TRADE HOLDING, d-260121-0859-7f3a"


def test_a_number_that_rounds_to_nothing_has_no_sign_and_one_that_is_none_is_not_known() -> None:
    nothing = replace(
        LIVE, equity_quote=1000.0, cash_quote=1000.0, positions_quote=0.0, unrealised_quote=-1e-7,
        funding_quote=-1e-9, fees_quote=0.0, start_quote=1000.0001,
    )  # fmt: skip
    assert reports.account_line(nothing) == (
        "Equity (live) 1,000.00 USDT = cash 1,000.00 + positions 0.00 + unrealised 0.00; "
        "since start 0.000%, funding 0.0000, fees 0.0000"
    )
    unknown = reports.account_line(replace(LIVE, equity_quote=float("nan")))
    assert unknown.startswith("Equity (live) not known USDT = cash 812.25")
    assert "since start not known" in unknown
    assert "nan" not in unknown
    assert "DO NOT ADD UP" in unknown
    best = reports.best_line(replace(BEST, net_return_fraction=-1e-9, low_fraction=-1e-9))
    assert "(fc-1) 0.000% net, n = 42 settlements, each on average 0.0000% to +0.0500% (95 %)" in best


def test_a_rebate_is_told_as_what_it_is() -> None:
    assert reports.account_line(replace(LIVE, fees_quote=-0.25)).endswith("fees +0.2500")


def test_an_account_that_began_with_nothing_has_changed_by_nothing() -> None:
    assert replace(LIVE, start_quote=0.0).change_fraction == 0.0
