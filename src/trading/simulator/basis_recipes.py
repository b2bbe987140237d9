"""Basis indicators as recipes: over the bars whose basis is known, however many others lie between them."""

from __future__ import annotations

import numpy as np

from trading.simulator.chunk import Chunk, Column, Feed, Memory, Recipe, frozen
from trading.simulator.window_feeds import mean, score


def basis_mean(memory: Memory, n: int) -> Recipe:
    """Mean of the last n known values."""
    return _of_known(mean(memory, n))


def basis_zscore(memory: Memory, n: int) -> Recipe:
    """Standard deviations (divisor n) of the newest of the last n known values from their mean; 0 when equal."""
    return _of_known(score(memory, n))


def _of_known(feed: Feed) -> Recipe:
    """Fed with the known values only; an unknown bar has no value and takes no place in a window."""

    def recipe(bars: Chunk) -> Column:
        known = ~np.isnan(bars.basis)
        out = np.full(len(known), np.nan)
        out[known] = feed(frozen(bars.basis[known]))
        return frozen(out)

    return recipe
