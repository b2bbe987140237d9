"""Compile every kernel before it is needed, so that no live cycle waits for a compiler.

With numba's cache on disk (`NUMBA_CACHE_DIR`) this is loading, not compiling, from the second start on. As a program it
only fills that cache, with `--all` also for populations: what the compiler takes of memory goes with its process.
"""

from __future__ import annotations

import sys

import numpy as np

from trading.simulator.bits import TEST, next_bit, packed_comparison, packed_tests, packed_threshold
from trading.simulator.carry_kernel import carry_run, carry_step
from trading.simulator.carry_outlook import CarryTerms, CarryView, carry_decision, covers, horizon_outlook, outlooks
from trading.simulator.carry_records import CARRY_STATE, CARRY_TRADE, CarryBar, CarryColumns, CarryNumbers
from trading.simulator.carry_weights import CarryWeights
from trading.simulator.chunk import Chunk, Memory, Settled, frozen
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.indicators import bar_sigma
from trading.simulator.intervals import LongerBars
from trading.simulator.kernel import run, step
from trading.simulator.population_kernel import advance
from trading.simulator.population_records import LISTS, ROW, SCORE, Closed, Plans, Stretch
from trading.simulator.recipes import RECIPES
from trading.simulator.records import FILL, FILLS, FILLS_A_BAR, RULES, STATE, Bar, Columns

SMALLEST = {"macd": (2, 3), "macd_signal": (2, 3, 2), "macd_hist": (2, 3, 2), "stoch_k": (2, 2), "stoch_d": (2, 2, 2)}
WITH_FACTOR = ("bb_upper", "bb_lower", "kc_upper", "kc_lower")
WITHOUT_PERIOD = ("obv", "vwap_session", "funding_apr")


def compile_kernels() -> None:
    """Call every kernel once on one bar, with the types that the simulator calls it with."""
    price = frozen(np.full(1, 100.0))
    zero, when = frozen(np.zeros(1)), np.zeros(1, dtype=np.int64)
    when.flags.writeable = False
    bars = Chunk(when, price, price, price, price, price, zero, zero, Settled(when, zero, when))
    with np.errstate(all="ignore"):
        for name, recipe in RECIPES.items():
            arguments = SMALLEST.get(name, (2, 1.0) if name in WITH_FACTOR else () if name in WITHOUT_PERIOD else (2,))
            recipe(Memory(), *arguments)(bars)
    LongerBars(Memory(), 60_000, 3_600_000).closed_by(bars)
    bar_sigma(price, price, np.zeros(2))
    rates, margin = Costs().rates(), MarketRules().margin()
    words = np.zeros(1, dtype=np.uint64)
    packed_comparison(price, price, 1, words)
    packed_threshold(price, 1.0, 2, words)
    next_bit(words, 0, 1)

    columns = Columns(when, price, price, price, price, price, zero, zero, when, zero, zero, zero)
    rules, state, fills = np.ones(1, dtype=RULES), np.zeros(1, dtype=STATE), np.empty(1, dtype=FILLS)
    rules.flags.writeable = False
    run(state, columns, rules, rates, margin, np.empty(1), np.empty(FILLS_A_BAR, dtype=FILL))
    step(state, Bar(*(column[0].item() for column in columns)), rules, rates, margin, fills)

    weights = CarryWeights()
    expected, error = (frozen(column) for column in outlooks(when, zero, when, weights))
    legs = CarryColumns(
        when,
        price,
        price,
        price,
        price,
        zero,
        price,
        price,
        price,
        price,
        zero,
        expected,
        error,
        zero,
        zero,
        zero,
        when,
        when,
    )
    terms = CarryTerms(0.1, 0.0, 0.01, 1, weights)
    numbers = CarryNumbers(terms, 0.003, 0.5, 1.0, 0, 1000.0, 5.0, 0.0125, 1)
    carried, closed = np.zeros(1, dtype=CARRY_STATE), np.empty(1, dtype=CARRY_TRADE)
    carry_run(carried, legs, numbers, rates, rates, margin, np.empty(1), np.empty(1), closed)
    carry_step(carried, CarryBar(*(column[0].item() for column in legs)), numbers, rates, rates, margin, closed)
    view = CarryView(False, 0.0, 0.0, 0.003, 0.0, 0, 1.0)
    carry_decision(view, terms)
    horizon_outlook(when, zero, 0.0, 8.0, 720.0)
    covers(0, 0)


def compile_population() -> None:
    """The same for the kernels of many strategies at once, which no live cycle calls."""
    zero, when = frozen(np.zeros(1)), np.zeros(1, dtype=np.int64)
    when.flags.writeable = False
    words, rows = np.zeros(1, dtype=np.uint64), np.zeros((1, 1), dtype=np.uint64)
    packed_tests(frozen(np.ones((1, 1))), 0, 1, np.zeros(0, dtype=TEST), rows)
    starts, nobody = np.zeros(LISTS + 1, dtype=np.int64), np.empty(0, dtype=np.int64)
    plans = Plans(nobody, starts, np.ones(1, dtype=RULES))
    several = (np.zeros(1, dtype=STATE), np.zeros(1, dtype=SCORE), Closed(np.empty(0, dtype=FILL), nobody))
    stretch = Stretch(frozen(np.ones((2, ROW))), when, zero, zero, zero, words, words, rows, 1)
    rates, margin = Costs().rates(), MarketRules().margin()
    advance(0, 1, stretch, plans, rates, margin, *several, np.empty(1, dtype=FILLS), starts[:2])


if __name__ == "__main__":
    compile_kernels()
    if "--all" in sys.argv:
        compile_population()
