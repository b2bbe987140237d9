"""Each limit decides when it is the smallest, and says so with both numbers."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trading.domain.decisions import Decision, Reason
from trading.domain.instrument import Instrument, Market
from trading.risk.feasibility import feasible
from trading.risk.guards import RiskBook, Wanted, allowed_notional, halting
from trading.risk.kill_switch import Stop, StopKind
from trading.risk.limits import RiskLimits
from trading.risk.memory import Halt, Memory

D = Decimal
NOW = 1_700_000_000_000
LIMITS = RiskLimits(live_scale_pct=100)
WANTED = Wanted(notional_quote=5000, leverage=1, min_notional_quote=10)
BOOK = RiskBook(
    now_ms=NOW,
    equity_quote=10_000,
    committed_quote=0,
    pending_quote=0,
    position_quote=0,
    open_positions=0,
    strategy_loss_quote=0,
    strategy_capital_quote=1000,
    free_spot_quote=5000,
    free_futures_quote=5000,
    memory=Memory(day_start_quote=10_000, week_start_quote=10_000, peak_quote=10_000, equity_quote=10_000),
)


def test_the_smallest_limit_wins_and_all_are_told() -> None:
    sized = allowed_notional(BOOK, LIMITS, WANTED)
    assert sized.notional_quote == 400  # 4 % of 10,000
    assert sized.deciding.reason is Reason.TRADE_SIZE
    told = {decision.reason for decision in sized.decisions}
    assert {Reason.TOTAL_RISK, Reason.POSITION_SIZE, Reason.TRADE_SIZE, Reason.FIRST_LIVE_SIZE} <= told


@pytest.mark.parametrize(
    ("limits", "book", "reason", "size"),
    [
        ({"total_at_risk_pct": 2.0}, {}, Reason.TOTAL_RISK, 100.0),
        ({"position_pct": 1.0}, {}, Reason.POSITION_SIZE, 100.0),
        ({"first_live_usdt": 90.0}, {}, Reason.FIRST_LIVE_SIZE, 90.0),
        ({"first_live_pct": 0.5}, {}, Reason.FIRST_LIVE_SIZE, 50.0),
        ({"live_scale_pct": 25}, {}, Reason.FIRST_LIVE_SIZE, 250.0),
        ({}, {"free_spot_quote": 120}, Reason.INSUFFICIENT_BALANCE, 120.0),
        ({}, {"free_futures_quote": 60}, Reason.INSUFFICIENT_BALANCE, 60.0),
        ({}, {"pending_quote": 650}, Reason.POSITION_SIZE, 50.0),
        ({}, {"committed_quote": 2400}, Reason.TOTAL_RISK, 50.0),
        ({"position_pct": 100.0, "trade_pct": 100.0}, {"pending_quote": 2400}, Reason.TOTAL_RISK, 50.0),
    ],
)
def test_every_cap_can_be_the_smallest(
    limits: dict[str, float], book: dict[str, float], reason: Reason, size: float
) -> None:
    changed = LIMITS.model_copy(update=limits)
    sized = allowed_notional(replace(BOOK, **book), changed, WANTED)  # type: ignore[arg-type]
    assert sized.deciding.reason is reason
    assert sized.notional_quote == pytest.approx(size)


@pytest.mark.parametrize(
    ("memory", "book", "reason"),
    [
        ({"trades_today": 20}, {}, Reason.TRADES_PER_DAY),
        ({"equity_quote": 9_690.0}, {}, Reason.DAILY_LOSS),
        ({"equity_quote": 9_290.0, "day_start_quote": 9_300.0}, {}, Reason.WEEKLY_LOSS),
        ({"equity_quote": 8_990.0}, {}, Reason.DRAWDOWN_REVIEW),
        ({"equity_quote": 7_990.0}, {}, Reason.DRAWDOWN_STOP),
        ({"equity_quote": 6_990.0}, {}, Reason.DRAWDOWN_EXIT),
        ({"losses_in_a_row": 5}, {}, Reason.LOSS_STREAK),
        ({"last_fill_ms": NOW - 299_000}, {}, Reason.COOL_DOWN),
        ({"last_loss_ms": NOW - 3_599_000}, {}, Reason.COOL_DOWN),
        ({"halts": (Halt(Reason.EQUITY_IDENTITY, NOW, 5, 0.01, ""),)}, {}, Reason.EQUITY_IDENTITY),
        ({}, {"open_positions": 1}, Reason.ONE_POSITION),
        ({}, {"strategy_loss_quote": 150.0}, Reason.STRATEGY_DRAWDOWN),
        ({}, {"stop": Stop(StopKind.KILL, "KILL=1")}, Reason.KILL_SWITCH),
        ({}, {"stop": Stop(StopKind.STOPPED, "x")}, Reason.STOPPED_BY_HUMAN),
        ({}, {"stop": Stop(StopKind.PAUSED, "x")}, Reason.PAUSED),
    ],
)
def test_every_gate_closes(memory: dict[str, object], book: dict[str, object], reason: Reason) -> None:
    changed = replace(BOOK, memory=replace(BOOK.memory, **memory), **book)  # type: ignore[arg-type]
    sized = allowed_notional(changed, LIMITS, WANTED)
    assert sized.notional_quote == 0
    assert sized.deciding.reason is reason
    assert not sized.deciding.allowed


def test_leverage_above_the_limit_is_refused() -> None:
    sized = allowed_notional(BOOK, LIMITS, replace(WANTED, leverage=2))
    assert (sized.deciding.reason, sized.deciding.value, sized.deciding.limit) == (Reason.LEVERAGE, 2, 1)


def test_what_is_left_below_the_smallest_order_is_no_trade() -> None:
    sized = allowed_notional(BOOK, LIMITS, replace(WANTED, min_notional_quote=500))
    assert sized.deciding.reason is Reason.MIN_NOTIONAL
    assert "TRADE_SIZE leaves 400.00" in sized.deciding.note
    small = allowed_notional(BOOK, LIMITS, replace(WANTED, notional_quote=4))
    assert small.deciding.reason is Reason.MIN_NOTIONAL


def test_a_released_drawdown_lets_trade_again_but_the_exit_line_still_halts() -> None:
    memory = replace(
        BOOK.memory,
        equity_quote=8_900.0,
        day_start_quote=8_900.0,
        week_start_quote=8_900.0,
        released=(Reason.DRAWDOWN_REVIEW.value,),
    )
    assert allowed_notional(replace(BOOK, memory=memory), LIMITS, WANTED).allowed
    assert Reason.DRAWDOWN_REVIEW in [d.reason for d in halting(replace(BOOK, memory=memory), LIMITS) if not d.allowed]


@given(
    equity=st.floats(0, 1e6),
    committed=st.floats(0, 1e6),
    pending=st.floats(0, 1e6),
    free=st.floats(0, 1e6),
    wanted=st.floats(0, 1e6),
)
def test_no_book_ever_allows_more_than_any_limit(
    equity: float, committed: float, pending: float, free: float, wanted: float
) -> None:
    book = replace(BOOK, equity_quote=equity, committed_quote=committed, pending_quote=pending, free_spot_quote=free)
    size = allowed_notional(book, LIMITS, replace(WANTED, notional_quote=wanted)).notional_quote
    assert 0 <= size <= min(wanted, equity * 0.04, free) or size == 0
    assert size == 0 or 2 * size + committed + pending <= equity * 0.25 * (1 + 1e-9)


SPOT = Instrument(Market.SPOT, "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.00001"), D("0.00001"), D(9000), D(5))
PERP = Instrument(Market.PERP, "BTCUSDT", "BTC", "USDT", D("0.1"), D("0.001"), D("0.001"), D(120), D(100))


def test_an_account_that_can_trade_is_told_so() -> None:
    verdict = feasible(20_000, LIMITS, SPOT, PERP, price=50_000, round_trip_rate=0.003)
    assert verdict == Decision(True, Reason.OK, 800.0, 100.0, verdict.note)


def test_limits_that_exclude_each_other_are_named() -> None:
    verdict = feasible(500, LIMITS, SPOT, PERP, price=50_000, round_trip_rate=0.003)
    assert verdict.reason is Reason.LIMITS_CONTRADICT
    assert "trade_pct of 500.00 equity allows 20.00" in verdict.note
    assert "perpetual minimum of BTCUSDT needs 100.00" in verdict.note


def test_a_size_is_counted_in_whole_lots() -> None:
    # 4 % of 3,700 is 148: above the minimum of 100, but one lot of 0.001 at 120,000 is 120 and two are 240: 120 fits.
    assert feasible(3_700, LIMITS, SPOT, PERP, price=120_000, round_trip_rate=0.003).allowed
    # 4 % of 2,900 is 116: above 100, but one lot costs 120.
    assert not feasible(2_900, LIMITS, SPOT, PERP, price=120_000, round_trip_rate=0.003).allowed


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("leverage", 4, "less than or equal to 3"),
        ("trade_pct", 0, "greater than 0"),
        ("drawdown_stop_pct", 5.0, "each must be larger"),
        ("strategy_watch_pct", 20.0, "not below strategy_stop_pct"),
        ("daily_loss_pct", 9.0, "must not exceed weekly_loss_pct"),
        ("live_scale_pct", 75, "25, 50 or 100"),
        ("max_quote_age_s", 600, "less than or equal to 60"),
        ("trade_percent", 4, "Extra inputs"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(field: str, value: float, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RiskLimits.model_validate({field: value})
