"""What the law charges a given order is what the simulator charges it."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from tests.trading.simulator.markets import random_tape, rule_spec
from trading.simulator.charged import charged_rates
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.simulate import simulate

COSTS = Costs(taker_rate=0.0, maker_rate=0.0, half_spread_rate=0.0001, impact_k=0.8)


def test_an_entry_of_a_backtest_is_charged_the_same() -> None:
    tape = random_tape(3, 200, wild=False)
    spec = rule_spec(lists={"entry_long": ("close > open",), "exit_long": ("close < open",)}, position_pct=20.0)
    result = simulate(tape, spec, costs=COSTS, rules=MarketRules(lot=1e-9, min_notional=0.0))
    assert len(result.trades) > 3
    for trade in result.trades:
        bar, side = int(trade["entry_bar"]), int(trade["side"])
        opened = float(tape.open[bar])
        notional = float(trade["quantity"]) * float(trade["entry_price"])
        (rate,) = charged_rates(tape, tape.open_time_ms[bar : bar + 1], np.array([notional]), COSTS)
        assert side * (float(trade["entry_price"]) / opened - 1.0) == pytest.approx(rate, rel=1e-6)


def test_no_later_bar_is_looked_at_and_an_order_without_its_bar_has_no_charge() -> None:
    tape = random_tape(4, 60, wild=False)
    times = tape.open_time_ms + tape.interval_ms // 3
    whole = charged_rates(tape, times, np.full(60, 500.0), COSTS)
    assert isnan(whole[0])
    assert not np.isnan(whole[1:]).any()
    cut = tape.window(tape.start_ms, int(tape.open_time_ms[30]))
    found = charged_rates(cut, times, np.full(60, 500.0), COSTS)
    assert (found[1:31] == whole[1:31]).all()
    assert np.isnan(found[31:]).all()


def test_half_the_spread_is_the_least_and_four_times_the_size_twice_the_impact() -> None:
    tape = random_tape(5, 40, wild=False)
    at_ms = np.full(3, tape.end_ms)
    one, four, none = charged_rates(tape, at_ms, np.array([100.0, 400.0, 1e-12]), COSTS) - COSTS.half_spread_rate
    assert four == pytest.approx(2.0 * one)
    assert none == pytest.approx(0.0, abs=1e-9)
