"""Funding indicators as recipes: computed from settlement to settlement, then laid onto the bars.

How many settlements a bar has, none or several, changes nothing: a value is that of the last settlement strictly
before the bar's close.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trading.simulator.chunk import Chunk, Column, Memory, Recipe, Settled, frozen
from trading.simulator.indicators import annualised, at_bars
from trading.simulator.window_feeds import mean

YEAR_MS = 365 * 86_400_000.0

PerSettlement = Callable[[Settled], Column]


def funding_mean(memory: Memory, n: int) -> Recipe:
    """Mean of the last n settled rates."""
    feed = mean(memory, n)
    return _laid(memory, lambda settled: feed(settled.rate))


def funding_apr(memory: Memory) -> Recipe:
    """The last settled rate as a year's, at the pace of the time since the settlement before."""
    state = memory.new(1, 0.0)

    def per_settlement(settled: Settled) -> Column:
        out = np.empty(len(settled.rate))
        annualised(settled.time_ms, settled.rate, YEAR_MS, state, out)
        return frozen(out)

    return _laid(memory, per_settlement)


def _laid(memory: Memory, per_settlement: PerSettlement) -> Recipe:
    last = memory.new(2, 0.0)

    def recipe(bars: Chunk) -> Column:
        out = np.full(len(bars.close), np.nan)
        if len(bars.settled.known) == len(out):
            at_bars(per_settlement(bars.settled), bars.settled.known, last, out)
        return frozen(out)

    return recipe
