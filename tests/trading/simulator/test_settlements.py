"""Funding on bars, over the seams between tapes, and crossings: small cases with known answers."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import numpy as np
import pytest

from tests.trading.simulator.markets import HOUR_MS, START_MS, carry_spec, rule_spec, tape_of
from trading.domain.instrument import Market
from trading.market.tape import Tape, make_tape
from trading.simulator.carry import simulate_carry
from trading.simulator.carry_stepper import CarryStepper
from trading.simulator.costs import CarryCosts, Costs, MarketRules
from trading.simulator.settlements import lay_settlements
from trading.simulator.simulate import signals
from trading.simulator.stepper import Stepper

FREE = Costs(0.0, 0.0, 0.0, 0.0)
FLAT = (100.0, 100.0, 100.0, 100.0)


def hours(count: int, *, funding: list[tuple[int, float, float]], market: Market = Market.PERP) -> Tape:
    return tape_of([FLAT] * count, funding=[(START_MS + at, rate, mark) for at, rate, mark in funding], market=market)


def test_a_rate_may_be_read_from_the_first_close_after_its_settlement_and_not_at_it() -> None:
    tape = hours(3, funding=[(HOUR_MS, 0.001, nan)])
    laid = lay_settlements(tape.funding, tape.open_time_ms, tape.open, HOUR_MS, since_ms=START_MS, rate_before=0.5)
    assert laid.last_rate.tolist() == [0.5, 0.001, 0.001]


def test_amounts_lie_at_the_open_or_inside_by_who_pays_with_the_mark_where_there_is_one() -> None:
    half = HOUR_MS // 2
    flows = [(2000, 0.01, 50.0), (half, 0.02, nan), (half + 60_000, -0.03, nan), (2 * HOUR_MS - 1000, 0.04, nan)]
    tape = hours(3, funding=flows)
    laid = lay_settlements(tape.funding, tape.open_time_ms, tape.open, HOUR_MS, since_ms=START_MS, rate_before=nan)
    assert laid.at_open.tolist() == pytest.approx([0.5, 0.0, 4.0])
    assert laid.long_pays.tolist() == pytest.approx([2.0, 0.0, 0.0])
    assert laid.short_pays.tolist() == pytest.approx([3.0, 0.0, 0.0])
    assert (laid.count_open.tolist(), laid.count_inside.tolist()) == ([1, 0, 1], [2, 0, 0])


def always_long(tape: Tape, first: int, stop: int, stepper: Stepper) -> None:
    start_ms = START_MS + first * HOUR_MS
    stepper.advance(tape.window(start_ms, START_MS + stop * HOUR_MS))


def test_a_settlement_on_the_seam_of_two_tapes_is_paid_once_also_over_a_restart() -> None:
    tape = hours(10, funding=[(5 * HOUR_MS, 0.01, nan)])
    spec = rule_spec(lists={"entry_long": ("close > 1",)}, position_pct=50.0)
    for overlap in (0, 3):
        stepper = Stepper(spec, costs=FREE, rules=MarketRules())
        always_long(tape, 0, 5, stepper)
        stepper = Stepper.from_json(stepper.to_json(), spec, costs=FREE, rules=MarketRules())
        always_long(tape, 5 - overlap, 10, stepper)
        assert stepper.costs.funding == pytest.approx(-50.0)


def test_a_settlement_in_a_gap_between_two_tapes_is_paid_at_the_next_bar() -> None:
    times = [START_MS + HOUR_MS * i for i in (0, 1, 2, 9, 10)]
    whole = tape_of([FLAT] * 5, times=times, funding=[(START_MS + 5 * HOUR_MS, 0.01, nan)])
    stepper = Stepper(rule_spec(lists={"entry_long": ("close > 1",)}), costs=FREE, rules=MarketRules())
    stepper.advance(whole.window(START_MS, START_MS + 3 * HOUR_MS))
    stepper.advance(whole)
    assert stepper.costs.funding == pytest.approx(-50.0)


def test_a_crossing_needs_the_other_side_or_a_touch_at_the_bar_before() -> None:
    closes = [99.0, 101.0, 102.0, 100.0, 101.0, 99.0, 100.0, 99.0]
    tape = tape_of([(c, c, c, c) for c in closes])
    lists = {"entry_long": ("close crosses_above 100",), "exit_long": ("close crosses_below 100",)}
    said = signals(tape, rule_spec(lists=lists).parameters)
    assert np.flatnonzero(said.entry_long).tolist() == [1, 4]
    assert np.flatnonzero(said.exit_long).tolist() == [5, 7]


def carry_legs(count: int, *, rate: float = 0.0003, last_rate: float | None = None) -> tuple[Tape, Tape]:
    flows = [(t, rate, nan) for t in range(0, count * HOUR_MS, 8 * HOUR_MS)]
    if last_rate is not None:
        flows.append(((count - 1) * HOUR_MS + HOUR_MS // 2, last_rate, nan))
    return hours(count, funding=[], market=Market.SPOT), hours(count, funding=flows)


def test_a_carry_earns_a_settlement_on_the_seam_of_two_tapes_once() -> None:
    spot, perp = carry_legs(90)
    whole = simulate_carry(spot, perp, carry_spec(), costs=CarryCosts())
    stepper = CarryStepper(carry_spec(), costs=CarryCosts())
    for first, stop in ((0, 72), (72, 80), (80, 90)):
        part = (START_MS + first * HOUR_MS - (first == 0), START_MS + stop * HOUR_MS)
        stepper.advance(spot.window(*part), perp.window(*part))
        stepper = CarryStepper.from_json(stepper.to_json(), carry_spec(), costs=CarryCosts())
    assert (stepper.settlements, stepper.equity_quote) == (whole.settlements, whole.equity[-1])
    assert whole.settlements == 3


def test_a_high_that_only_the_perpetual_has_liquidates_over_the_seam_too() -> None:
    spot, perp = carry_legs(100)
    high = perp.high.copy()
    high[80] = 300.0
    perp = make_tape(replace(perp, high=high))
    kept = np.arange(100) != 80
    columns = {n: getattr(spot, n)[kept] for n in ("open", "high", "low", "close", "volume_base")}
    spot = make_tape(replace(spot, open_time_ms=spot.open_time_ms[kept], **columns))
    stepper = CarryStepper(carry_spec(), costs=CarryCosts())
    cut = START_MS + 80 * HOUR_MS
    steps = stepper.advance(spot.window(START_MS - 1, cut), perp.window(START_MS - 1, cut))
    assert not any(step.was_liquidated for step in steps)
    assert stepper.advance(spot, perp)[0].was_liquidated


def test_funding_takes_no_more_from_a_carry_than_its_margin() -> None:
    spot, perp = carry_legs(80, last_rate=-0.9)
    free = CarryCosts(FREE, FREE)
    result = simulate_carry(spot, perp, carry_spec(leverage=3), costs=free)
    notional = result.short_base[-2] * 100.0
    margin = notional / 3
    earned = 0.0003 * notional * (result.settlements - 1)
    assert result.funding_quote == pytest.approx(earned - (margin + earned))
    assert result.identity_error_quote() < 1e-6


def test_a_carry_liquidated_inside_the_bar_of_a_settlement_pays_it_and_does_not_earn_it() -> None:
    for rate, due in ((-0.01, -0.01), (0.01, 0.0)):
        spot, perp = carry_legs(80, last_rate=rate)
        high = perp.high.copy()
        high[-1] = 300.0
        result = simulate_carry(spot, make_tape(replace(perp, high=high)), carry_spec(), costs=CarryCosts(FREE, FREE))
        notional = result.short_base[-2] * 100.0
        assert result.liquidations == 1
        assert result.funding_quote == pytest.approx(notional * (0.0003 * (result.settlements - 1) + due))


def test_a_delayed_carry_enters_that_many_bars_later() -> None:
    spot, perp = carry_legs(80)
    entered = [
        int(np.argmax(simulate_carry(spot, perp, carry_spec(), costs=CarryCosts(), entry_delay_bars=d).in_position))
        for d in (0, 1, 3)
    ]
    assert entered == [64, 65, 67]
