"""Largest and smallest of the last n values. Numba: the kernel fills `out`, (m,), from (m + n - 1,) values, the first
n - 1 of them those before the new ones, and checks nothing.

Windows of 1, 4, 16 .. values are joined by four, and two of the longest that fits make the window: some log n passes
over a stretch of bars that stays in the cache, many bars at once, and no bar waits for the one before. What a bar gets
is made of the values of its window alone, and exactly one of them: the same bits whatever the cut.
"""

from __future__ import annotations

from math import isnan, nan

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STRETCH = 4096
"""Bars at a time."""


@njit(cache=True, nogil=True, error_model="numpy")
def window_extreme(x: Floats, n: int, sign: float, out: Floats) -> None:
    """(m,) largest (sign 1) or smallest (sign -1) of each n consecutive values."""
    size = min(len(out), STRETCH) + n
    level, longer = np.empty(size), np.empty(size)
    for first in range(0, len(out), STRETCH):
        found = out[first : first + STRETCH]
        m, width, window = len(found), 1, x[first : first + len(found) + n - 1]
        _times(window, sign, level)
        while 4 * width <= n:
            _largest_of_four(level, level[width:], level[2 * width :], level[3 * width :], longer[: m + n - 4 * width])
            level, longer, width = longer, level, 4 * width
        if 2 * width <= n:
            _larger(level, level[width:], longer[: m + n - 2 * width])
            level, longer, width = longer, level, 2 * width
        _larger(level, level[n - width :], longer[:m])
        for k in range(m):
            found[k] = longer[k] * sign
        _without_value(window, n, found)


@njit(cache=True, nogil=True, error_model="numpy")
def _times(x: Floats, factor: float, out: Floats) -> None:
    """x * factor."""
    for k in range(len(x)):
        out[k] = x[k] * factor


@njit(cache=True, nogil=True, error_model="numpy")
def _larger(a: Floats, b: Floats, out: Floats) -> None:
    """The larger of two."""
    for k in range(len(out)):
        out[k] = a[k] if a[k] > b[k] else b[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _largest_of_four(a: Floats, b: Floats, c: Floats, d: Floats, out: Floats) -> None:
    """The largest of four."""
    for k in range(len(out)):
        early, late = a[k] if a[k] > b[k] else b[k], c[k] if c[k] > d[k] else d[k]
        out[k] = early if early > late else late


@njit(cache=True, nogil=True, error_model="numpy")
def _without_value(x: Floats, n: int, out: Floats) -> None:
    """Nan where a window holds one: comparisons have lost it."""
    missing = 0
    for k in range(len(x)):
        missing += isnan(x[k])
    if missing == 0:
        return
    whole = 0
    for k in range(len(x)):
        whole = 0 if isnan(x[k]) else whole + 1
        if k >= n - 1 and whole < n:
            out[k - n + 1] = nan
