"""A live result is held to a bound: what is within it goes on, what is beyond it is named."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from ops.nightly.live_verdict import beyond
from tests.ops.test_live_parity import PERP, TAPES, against, as_its_backtest
from tests.trading.simulator.markets import HOUR_MS
from trading.domain.decisions import Reason
from trading.funding.position import ClosedPosition


def judged(held: ClosedPosition) -> str:
    (found,) = against(held)
    return beyond(found, TAPES)


def worse(held: ClosedPosition, quote: str) -> ClosedPosition:
    return replace(held, profit_quote=held.profit_quote - Decimal(quote))


@pytest.mark.parametrize("quote", ["0", "9.5", "-9.5"])
def test_a_result_within_the_bound_goes_on(quote: str) -> None:
    assert judged(worse(as_its_backtest(), quote)) == ""


@pytest.mark.parametrize("quote", ["10.5", "-10.5"])
def test_a_result_beyond_a_hundredth_of_its_capital_is_named_whichever_way(quote: str) -> None:
    assert "bps of its capital, the bound is 100" in judged(worse(as_its_backtest(), quote))


def test_a_trade_that_its_backtest_did_not_make_is_named_whatever_it_earned() -> None:
    held = as_its_backtest()
    early = replace(held, opened_ms=held.opened_ms - 40 * HOUR_MS, closed_ms=held.opened_ms - 30 * HOUR_MS)
    assert "is a trade its backtest did not make" in judged(early)


def test_a_stop_that_closed_it_leaves_it_more_room_than_its_own_exit_and_not_any_room() -> None:
    held = as_its_backtest()
    late = worse(replace(held, closed_ms=held.closed_ms + 3 * HOUR_MS), "20")
    assert judged(replace(late, reason=Reason.KILL_SWITCH)) == ""
    assert "the bound is 300" in judged(replace(worse(late, "20"), reason=Reason.KILL_SWITCH))
    assert "bps of its capital" in judged(replace(late, reason=Reason.EXPECTATION_NEGATIVE))


def test_a_position_from_before_the_shelf_says_nothing() -> None:
    held = as_its_backtest()
    (found,) = against(worse(held, "20"))
    tapes = replace(TAPES, main=PERP.window(held.opened_ms - 40_000, PERP.end_ms))
    assert beyond(found, tapes) == ""
