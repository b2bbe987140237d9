"""What is compiled at the start is all that a cycle calls."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import inspect
from tests.trading.simulator.markets import RULE_LISTS, carry_spec, random_tape, rule_spec
from trading.domain.instrument import Market
from trading.simulator import (
    bits, carry_kernel, fills, indicators, intervals, kernel, population_kernel, population_marks, window_extremes,
    windows,
)
from trading.simulator.carry import simulate_carry
from trading.simulator.carry_stepper import CarryStepper
from trading.simulator.compiled import compile_kernels, compile_population
from trading.simulator.costs import CarryCosts, Costs, MarketRules
from trading.simulator.population import simulate_population
from trading.simulator.simulate import simulate
from trading.simulator.stepper import Stepper
from trading.strategy.indicator_catalogue import INDICATORS

def versions():
    return {
        name: len(kernel_.signatures)
        for module in (
            kernel, bits, fills, carry_kernel, indicators, intervals, population_kernel, population_marks, windows,
            window_extremes,
        )
        for name, kernel_ in inspect.getmembers(module)
        if hasattr(kernel_, "signatures")
    }

compile_kernels()
compile_population()
before = versions()
spot, perp = random_tape(1, 150, market=Market.SPOT), random_tape(2, 150)
every = [{"entry_long": (f"{indicator.signature()} * 2 > close",)} for indicator in INDICATORS.values()]
for lists in (*RULE_LISTS, *every):
    spec = rule_spec(lists=lists, stop_loss_atr=1.0)
    simulate(perp, spec, costs=Costs(), rules=MarketRules())
    Stepper(spec, costs=Costs(), rules=MarketRules()).advance(perp)
    simulate_population(perp, [spec, spec], costs=Costs(), rules=MarketRules(), keep_trades=True)
    simulate_population(perp, [spec], costs=Costs(), rules=MarketRules())
simulate_carry(spot, perp, carry_spec(), costs=CarryCosts())
CarryStepper(carry_spec(), costs=CarryCosts()).advance(spot, perp)
assert versions() == before, (before, versions())
assert max(before.values()) == 1, before
"""


def test_after_the_start_nothing_is_compiled_in_a_cycle() -> None:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
