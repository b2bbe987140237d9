"""The basis in rules: by hand, over recorded hours against the plain twin, and never silently absent."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests import naive
from tests.conftest import DATA, needs_data
from tests.trading.simulator.markets import bars_of, random_tape, rule_spec, tape_of
from tests.trading.simulator.test_kernel import naive_options
from trading.domain.clock import parse_iso
from trading.domain.errors import SpecError
from trading.domain.instrument import Market
from trading.market.beside import beside_spot
from trading.market.importers import import_recorded
from trading.market.tape import Tape, make_tape
from trading.simulator.chunk import Memory
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.feed import BarFeed
from trading.simulator.population import simulate_population
from trading.simulator.records import Acted
from trading.simulator.rule_graph import RuleGraph
from trading.simulator.settlements import on_minutes
from trading.simulator.simulate import simulate
from trading.simulator.stepper import Stepper
from trading.strategy.rules import parse_rule
from trading.strategy.spec import StrategySpec

HOUR_MS = 3_600_000
NAN = math.nan
RULES = MarketRules(tick=0.1, lot=0.001, min_notional=100.0)
COSTS = Costs(taker_rate=0.0005, maker_rate=0.0002, half_spread_rate=0.0001, impact_k=0.5)


def beside(closes: list[float]) -> Tape:
    """A perpetual that stands at 100, with spot closes."""
    tape = tape_of([(100.0, 101.0, 99.0, 100.0)] * len(closes))
    return make_tape(replace(tape, spot_close=np.array(closes)))


def values(text: str, tape: Tape) -> list[float | None]:
    graph = RuleGraph(HOUR_MS)
    place = graph.value(parse_rule(f"{text} > volume * 3.21").left)
    column = graph.feed(BarFeed(Memory()).next(tape)[0])[place]
    return [None if np.isnan(value) else round(float(value), 12) for value in column]


SPOT = [100.0, 80.0, NAN, 125.0, NAN, 100.0, 50.0]


def test_the_basis_is_the_perpetual_over_spot_and_has_no_value_where_spot_has_no_bar() -> None:
    assert values("basis", beside(SPOT)) == [0.0, 0.25, None, -0.2, None, 0.0, 1.0]
    assert values("basis", tape_of([(100.0, 101.0, 99.0, 100.0)] * 2)) == [None, None]


def test_bars_without_a_basis_are_stepped_over_and_have_no_value_themselves() -> None:
    tape = beside(SPOT)
    assert values("basis_mean(2)", tape) == [None, 0.125, None, 0.025, None, -0.1, 0.5]
    assert values("basis_zscore(2)", tape) == [None, 1.0, None, -1.0, None, 1.0, 1.0]
    assert values("basis_zscore(2)", beside([80.0, 80.0, NAN, 80.0])) == [None, 0.0, None, 0.0]


def test_at_a_longer_interval_it_is_that_of_the_last_bar_inside() -> None:
    assert values("basis @ 2h", beside(SPOT)) == [None, 0.25, 0.25, -0.2, -0.2, 0.0, 0.0]
    assert values("basis @ 2h", beside([100.0, NAN, 50.0, 80.0])) == [None, None, None, 0.25]
    assert values("basis_mean(2) @ 2h", beside(SPOT)) == [None, None, None, 0.025, 0.025, -0.1, -0.1]


def test_rules_that_read_the_basis_are_refused_on_a_tape_without_spot_not_silently_idle() -> None:
    spec = rule_spec(lists={"entry_long": ("basis_zscore(5) < 0",)})
    alone = make_tape(replace(random_tape(1, 50), spot_close=np.empty(0)))
    runs = (
        lambda: simulate(alone, spec, costs=COSTS, rules=RULES),
        lambda: Stepper(spec, costs=COSTS, rules=RULES).advance(alone),
        lambda: Stepper(spec, costs=COSTS, rules=RULES).warm_up(alone),
        lambda: simulate_population(alone, [spec], costs=COSTS, rules=RULES),
        lambda: simulate_population(alone, [rule_spec(), spec], costs=COSTS, rules=RULES),
    )
    for run in runs:
        with pytest.raises(SpecError, match="reads the basis, the tape perp BTCUSDT 1h has no spot beside it"):
            run()
    simulate(alone, rule_spec(), costs=COSTS, rules=RULES)


def test_what_does_not_read_the_basis_trades_the_same_with_spot_beside_it_or_without() -> None:
    tape = random_tape(4, 300)
    alone = make_tape(replace(tape, spot_close=np.empty(0)))
    with_spot, without = (simulate(t, rule_spec(), costs=COSTS, rules=RULES) for t in (tape, alone))
    assert with_spot.trades.tobytes() == without.trades.tobytes()
    assert with_spot.equity.tobytes() == without.equity.tobytes()


BASIS_RULES = {
    "entry_long": ("basis_zscore(48) < -1.5",),
    "entry_short": ("basis_zscore(48) > 1.5", "basis > basis_mean(24)"),
    "exit_long": ("basis_zscore(48) > 0",),
    "exit_short": ("basis_zscore(48) < 0",),
}


def basis_spec() -> StrategySpec:
    return rule_spec(lists=BASIS_RULES, stop_loss_atr=4.0, max_hold_bars=48, position_pct=20.0)


def plain_signals(bars: SimpleNamespace) -> SimpleNamespace:
    """The rules above by the twin's own formulas."""
    score, mean = naive.INDICATORS["basis_zscore"](bars, 48), naive.INDICATORS["basis_mean"](bars, 24)
    basis = naive.basis(bars)

    def says(*conditions: naive.Values) -> list[bool]:
        return [all(value is True for value in row) for row in zip(*conditions, strict=True)]

    return SimpleNamespace(
        long=says(naive.each(lambda z: z < -1.5, score)),
        short=says(naive.each(lambda z: z > 1.5, score), naive.each(lambda b, m: b > m, basis, mean)),
        exit_long=says(naive.each(lambda z: z > 0, score)),
        exit_short=says(naive.each(lambda z: z < 0, score)),
        atr=naive.INDICATORS["atr"](bars, 14),
    )


@needs_data
def test_over_recorded_hours_a_basis_rule_makes_the_trades_of_the_plain_twin() -> None:
    start_ms, end_ms = parse_iso("2023-01-01"), parse_iso("2023-07-01")
    perp, spot = (
        import_recorded(DATA, market, "BTCUSDT", "1h", start_ms, end_ms) for market in (Market.PERP, Market.SPOT)
    )
    tape, spec = beside_spot(perp, spot), basis_spec()
    bars, f = bars_of(tape), tape.funding
    flows = [
        (int(t), float(r), None if np.isnan(m) else float(m))
        for t, r, m in zip(on_minutes(f.time_ms), f.rate, f.mark_price, strict=True)
    ]
    expected = naive.backtest(bars, plain_signals(bars), flows, naive_options(spec, COSTS, RULES, 0, 10_000.0))
    found = simulate(tape, spec, costs=COSTS, rules=RULES)
    assert len(found.trades) > 100
    assert {int(side) for side in found.trades["side"]} == {-1, 1}
    assert [(t["entry_bar"], t["exit_bar"], t["side"], Acted(t["reason"]).name) for t in found.trades] == [
        (t.entry_bar, t.exit_bar, t.side, t.reason) for t in expected.trades
    ]
    np.testing.assert_allclose(found.trades["pnl"], [t.pnl for t in expected.trades], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.equity, expected.equity, rtol=1e-9, atol=1e-9)
