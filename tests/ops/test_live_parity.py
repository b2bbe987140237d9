"""A closed live carry against its backtest of the same hours: equal books differ by nothing, each cause is named."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_brain.paper.market_view import PaperTapes
from ops.nightly.live_parity import LONGEST_WAIT_MS, LiveParity, live_against_model
from ops.trace.live_records import Holdings
from tests.ai_brain.markets import rule_spec
from tests.trading.simulator.markets import HOUR_MS, START_MS, carry_spec
from tests.trading.simulator.test_carry import DAYS, legs
from trading.funding.position import ClosedPosition
from trading.market.tape import Tape
from trading.simulator.carry import simulate_carry
from trading.simulator.carry_numbers import CARRY_RULES
from trading.simulator.costs import CarryCosts, Costs

COSTS = CarryCosts(Costs(0.001, 0.001, 0.0001, 0.0), Costs(0.0005, 0.0002, 0.0001, 0.0))
SPEC = carry_spec(min_hold_fundings=1)
SPOT, WHOLE = legs([100.0] * 24 * DAYS, until_bar=80)
PERP = WHOLE.window(WHOLE.start_ms, WHOLE.end_ms)  # without the settlement of the moment it begins
TAPES = PaperTapes(PERP, SPOT)
CAPITAL = 1_000.0


def as_its_backtest() -> ClosedPosition:
    """A live position with the books of the simulator's one trade, at a thousand a leg."""
    (trade,) = simulate_carry(SPOT, PERP, SPEC, costs=COSTS, rules=CARRY_RULES, starting_quote=1e6).trades
    scale = CAPITAL / float(trade["quantity"] * trade["spot_entry_price"])
    profit, funding, fees = (Decimal(str(float(trade[name]) * scale)) for name in ("pnl", "funding", "fees"))
    opened, closed = (START_MS + int(trade[name]) * HOUR_MS + 40_000 for name in ("entry_bar", "exit_bar"))
    return ClosedPosition(
        "c-000001", SPEC.id, "BTCUSDT", opened, closed, "EXPECTATION", profit, funding, fees, 2, 0.1,
        capital_quote=Decimal(int(CAPITAL)),
    )  # fmt: skip


def against(held: ClosedPosition, *, tapes: PaperTapes = TAPES, start_ms: int = START_MS) -> list[LiveParity]:
    return live_against_model(SPEC, Holdings(closed=(held,)), tapes, COSTS, CARRY_RULES, start_ms=start_ms)


def parts(held: ClosedPosition) -> dict[str, float]:
    (found,) = against(held)
    named = {name: getattr(found.differences, name) for name in ("signal", "time", "price", "fee", "funding")}
    return {name: value for name, value in named.items() if abs(value) > 1e-6}


def test_a_position_that_did_what_its_backtest_does_differs_by_nothing() -> None:
    held = as_its_backtest()
    (found,) = against(held)
    assert found.model is not None
    assert (found.model.entry_ms, found.model.exit_ms) == (held.opened_ms - 40_000, held.closed_ms - 40_000)
    assert parts(held) == {}
    assert "+0.0 bps of its capital" in str(found).replace("-0.0 bps", "+0.0 bps")


def test_each_cause_is_named() -> None:
    held, cent = as_its_backtest(), Decimal("0.5")
    assert parts(replace(held, fees_quote=held.fees_quote + cent, profit_quote=held.profit_quote - cent)) == {
        "fee": pytest.approx(-0.5)
    }
    assert parts(replace(held, funding_quote=held.funding_quote - cent, profit_quote=held.profit_quote - cent)) == {
        "funding": pytest.approx(-0.5)
    }
    assert parts(replace(held, profit_quote=held.profit_quote - cent)) == {"price": pytest.approx(-0.5)}
    late = replace(held, closed_ms=held.closed_ms + 3 * HOUR_MS, profit_quote=held.profit_quote + cent)
    assert parts(late) == {"time": pytest.approx(0.5)}


def test_a_position_that_the_backtest_would_not_have_opened_is_a_signal() -> None:
    held = as_its_backtest()
    early = replace(held, opened_ms=held.opened_ms - 40 * HOUR_MS, closed_ms=held.opened_ms - 30 * HOUR_MS)
    (found,) = against(early)
    assert found.model is None
    assert found.differences.signal == pytest.approx(float(early.profit_quote))
    assert "its backtest opened no such position" in str(found)


def nights(held: ClosedPosition, spot: Tape = SPOT, perp: Tape = PERP) -> list[tuple[int, LiveParity]]:
    """What nights of an hour each tell of a position: the end of the night, UTC ms, and what."""
    told = []
    for bar in range(1, len(spot)):
        end_ms = START_MS + bar * HOUR_MS
        tapes = PaperTapes(perp.window(START_MS, end_ms), spot.window(START_MS, end_ms))
        told += [(end_ms, one) for one in against(held, tapes=tapes, start_ms=end_ms - HOUR_MS)]
    return told


def test_a_position_closed_before_its_model_leaves_is_compared_again_when_it_has() -> None:
    held = as_its_backtest()
    early = replace(held, closed_ms=held.closed_ms - 20 * 60_000 - 40_000)
    (first_ms, marked), (last_ms, found) = nights(early)
    left_ms = held.closed_ms - 40_000
    assert (first_ms, last_ms) == (left_ms, left_ms + HOUR_MS)  # the bar at whose open the model left was over by then
    assert (marked.still_holds, marked.differences.signal) == (True, 0.0)
    assert marked.differences.time != 0.0
    assert (found.still_holds, found.differences.signal) == (False, 0.0)
    assert found.differences.total == pytest.approx(0.0, abs=1e-6)


def test_a_model_that_does_not_leave_is_marked_at_once_and_after_the_longest_wait_and_it_is_time() -> None:
    held = as_its_backtest()
    early = replace(held, closed_ms=held.opened_ms + 3 * HOUR_MS)
    told = nights(early, *legs([100.0] * 24 * 15))  # its funding goes on to the end
    for (end_ms, found), due_ms in zip(told, (early.closed_ms, early.closed_ms + LONGEST_WAIT_MS), strict=True):
        assert end_ms - HOUR_MS <= due_ms < end_ms
        assert found.still_holds
        assert found.differences.signal == 0.0
        assert found.differences.time != 0.0
        assert "its backtest 20" in str(found)
        assert "still holds it, marked" in str(found)


@settings(max_examples=25, deadline=None)
@given(st.integers(-70, 10), st.integers(0, 30))
def test_every_position_is_told_of_when_it_closes_and_when_its_model_does_and_its_parts_are_the_whole(
    earlier: int, later: int
) -> None:
    base = as_its_backtest()
    held = replace(
        base,
        opened_ms=base.opened_ms + later * 60_000,
        closed_ms=max(base.closed_ms + earlier * HOUR_MS, base.opened_ms + (later + 1) * 60_000),
    )
    told = nights(held)
    assert told[0][0] - HOUR_MS <= held.closed_ms < told[0][0]
    assert [found.still_holds for _, found in told] in ([False], [True, False])
    for _, found in told:
        model = 0.0 if found.model is None else found.model.pnl_quote
        assert found.differences.total == pytest.approx(float(held.profit_quote) - model, abs=1e-9)


def test_only_carries_that_were_closed_in_the_stretch_are_looked_at() -> None:
    held = as_its_backtest()
    assert against(held, start_ms=held.closed_ms + 1) == []
    before = PaperTapes(
        PERP.window(START_MS, held.closed_ms - HOUR_MS), SPOT.window(START_MS, held.closed_ms - HOUR_MS)
    )
    assert against(held, tapes=before) == []
    rules = rule_spec()
    found = live_against_model(
        rules, Holdings(closed=(replace(held, spec_id=rules.id),)), TAPES, COSTS, CARRY_RULES, start_ms=0
    )
    assert found == []
