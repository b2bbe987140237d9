"""The kernels of `windows.py` with their memory: feeds of one column, for recipes to be made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trading.simulator.chunk import Column, Feed, Memory, frozen
from trading.simulator.window_extremes import window_extreme
from trading.simulator.windows import (
    BAND,
    DEVIATION,
    SCORE,
    window_mean,
    window_share,
    window_spread,
    window_weighted_mean,
)

SharedFeed = Callable[[Column, Column], Column]


def mean(memory: Memory, n: int) -> Feed:
    """Mean of the last n values."""
    return _blocked(memory, n, 4, window_mean)


def weighted_mean(memory: Memory, n: int) -> Feed:
    """Mean of the last n values with weights 1 (oldest) to n (newest)."""
    return _blocked(memory, n, 5, window_weighted_mean)


def highest(memory: Memory, n: int) -> Feed:
    """Largest of the last n values."""
    return _extreme(memory, n, 1.0)


def lowest(memory: Memory, n: int) -> Feed:
    """Smallest of the last n values."""
    return _extreme(memory, n, -1.0)


def deviation(memory: Memory, n: int) -> Feed:
    """Standard deviation of the last n values, divisor n - 1."""
    return _spread(memory, n, DEVIATION, 0.0, 1)


def band(memory: Memory, n: int, factor: float) -> Feed:
    """Mean plus `factor` standard deviations (divisor n) of the last n values."""
    return _spread(memory, n, BAND, factor, 0)


def score(memory: Memory, n: int) -> Feed:
    """Standard deviations (divisor n) of the newest of the last n values from their mean; 0 when they are equal."""
    return _spread(memory, n, SCORE, 0.0, 0)


def share(memory: Memory, n: int, otherwise: float) -> SharedFeed:
    """Sum of the last n of one column over that of another; `otherwise` where that is 0."""
    suffix, whole_suffix, state = memory.new(n, 0.0), memory.new(n, 0.0), memory.new(4, 0.0)

    def feed(part: Column, whole: Column) -> Column:
        out = np.empty(len(part))
        window_share(part, whole, otherwise, suffix, whole_suffix, state, out)
        return frozen(out)

    return feed


def scanned(memory: Memory, n: int, kernel: Callable[[Column, int, Column], None]) -> Feed:
    """A kernel that looks at each window anew: the last n - 1 values of before stand in front of the new ones."""
    tail = memory.new(n - 1, np.nan)

    def feed(x: Column) -> Column:
        whole, out = frozen(np.concatenate((tail, x))), np.empty(len(x))
        tail[:] = whole[len(whole) - (n - 1) :]
        kernel(whole, n, out)
        return frozen(out)

    return feed


def against(memory: Memory, n: int, kernel: Callable[[Column, Column, Column], None]) -> Feed:
    """A kernel that holds each value against the one n before it."""
    tail = memory.new(n, np.nan)

    def feed(x: Column) -> Column:
        out = np.empty(len(x))
        kernel(x, tail, out)
        return frozen(out)

    return feed


def _blocked(
    memory: Memory, n: int, remembered: int, kernel: Callable[[Column, Column, Column, Column, Column], None]
) -> Feed:
    values, suffix, state = memory.new(n, 0.0), memory.new(n + 1, 0.0), memory.new(remembered, 0.0)

    def feed(x: Column) -> Column:
        out = np.empty(len(x))
        kernel(x, values, suffix, state, out)
        return frozen(out)

    return feed


def _extreme(memory: Memory, n: int, sign: float) -> Feed:
    tail = memory.new(n - 1, np.nan)

    def feed(x: Column) -> Column:
        out = np.empty(len(x))
        if len(x) < n:
            seam = frozen(np.concatenate((tail, x)))
            window_extreme(seam, n, sign, out)
            tail[:] = seam[len(x) :]
            return frozen(out)
        window_extreme(frozen(np.concatenate((tail, x[: n - 1]))), n, sign, out[: n - 1])
        window_extreme(x, n, sign, out[n - 1 :])
        tail[:] = x[len(x) - (n - 1) :]
        return frozen(out)

    return feed


def _spread(memory: Memory, n: int, what: int, factor: float, ddof: int) -> Feed:
    values, suffix, squares, state = (memory.new(size, 0.0) for size in (n, n, n, 5))

    def feed(x: Column) -> Column:
        out = np.empty(len(x))
        window_spread(x, what, factor, ddof, values, suffix, squares, state, out)
        return frozen(out)

    return feed
