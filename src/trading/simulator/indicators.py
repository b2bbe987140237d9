"""Kernels that indicators are made of. Numba: arrays in, arrays out, no validation; `recipes.py` puts them together.

Windowed kernels take the last n - 1 values of before (nan where there were none) in front of the new ones and give one
value a new one, so that a whole tape at once and bar by bar are the same loop over the same numbers. Recursive kernels
carry `state`. A window that holds a nan has no value; a flat window is exactly flat, whatever the rounding of its mean.
"""

from __future__ import annotations

from math import isnan, log, nan, sqrt

import numpy as np
from numba import njit
from numpy.typing import NDArray

SIGMA_DECAY = 0.94
"""RiskMetrics' daily decay, used on bars."""


@njit(cache=True, nogil=True)
def window_mean(x: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """(m,) mean of each n consecutive values of (m + n - 1,)."""
    out = np.empty(len(x) - n + 1)
    for i in range(len(out)):
        total, is_flat = 0.0, True
        for j in range(i, i + n):
            total += x[j]
            is_flat = is_flat and x[j] == x[i]
        out[i] = x[i] if is_flat else total / n
    return out


@njit(cache=True, nogil=True)
def window_deviation(x: NDArray[np.float64], n: int, ddof: int) -> NDArray[np.float64]:
    """(m,) standard deviation with divisor n - ddof, two passes a window."""
    out = np.empty(len(x) - n + 1)
    for i in range(len(out)):
        total, is_flat = 0.0, True
        for j in range(i, i + n):
            total += x[j]
            is_flat = is_flat and x[j] == x[i]
        mean, squares = total / n, 0.0
        for j in range(i, i + n):
            squares += (x[j] - mean) * (x[j] - mean)
        out[i] = 0.0 if is_flat else sqrt(squares / (n - ddof))
    return out


@njit(cache=True, nogil=True)
def window_weighted_mean(x: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """(m,) mean with weights 1 (oldest) to n (newest)."""
    out = np.empty(len(x) - n + 1)
    for i in range(len(out)):
        total = 0.0
        for j in range(n):
            total += (j + 1) * x[i + j]
        out[i] = total / (n * (n + 1) / 2)
    return out


@njit(cache=True, nogil=True)
def window_highest(x: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """(m,) largest of each n consecutive values; scans again only when the largest has left."""
    out = np.empty(len(x) - n + 1)
    best = -1
    for i in range(len(out)):
        if best < i:
            best = i
            for j in range(i + 1, i + n):
                if x[j] >= x[best] or isnan(x[j]):
                    best = j
        elif x[i + n - 1] >= x[best] or isnan(x[i + n - 1]):
            best = i + n - 1
        out[i] = x[best]
    return out


@njit(cache=True, nogil=True)
def window_channel(x: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """(m,) commodity channel index of typical prices: (x - mean) / (0.015 * mean distance from it); 0 when flat.

    Source:
        Lambert (1980), Commodities 9(10).
    """
    out = np.empty(len(x) - n + 1)
    for i in range(len(out)):
        total, is_flat = 0.0, True
        for j in range(i, i + n):
            total += x[j]
            is_flat = is_flat and x[j] == x[i]
        mean, distance = total / n, 0.0
        for j in range(i, i + n):
            distance += abs(x[j] - mean)
        out[i] = 0.0 if is_flat else (x[i + n - 1] - mean) / (0.015 * distance / n)
    return out


@njit(cache=True, nogil=True)
def window_log_change(x: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """(m,) log of the last over the first of each n consecutive values; n = 2 is the change of one bar."""
    out = np.empty(len(x) - n + 1)
    for i in range(len(out)):
        out[i] = log(x[i + n - 1] / x[i])
    return out


@njit(cache=True, nogil=True)
def smoothed(x: NDArray[np.float64], n: int, weight: float, state: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) exponential smoothing: first the mean of n values, then x * weight + before * (1 - weight).

    Args:
        x: New values; leading nan are no values and are not counted.
        weight: 2 / (n + 1) for an EMA, 1 / n for Wilder's.
        state: (2,) values seen so far, and their sum or the last output; zeros to begin with.
    """
    out = np.empty(len(x))
    for i in range(len(x)):
        if isnan(x[i]):
            out[i] = nan
            continue
        state[0] += 1.0
        if state[0] < n:
            state[1] += x[i]
            out[i] = nan
            continue
        if state[0] == n:
            state[1] = (state[1] + x[i]) / n
        else:
            state[1] = x[i] * weight + state[1] * (1.0 - weight)
        out[i] = state[1]
    return out


@njit(cache=True, nogil=True)
def wilder_sum(x: NDArray[np.float64], n: int, state: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) Wilder's running sum: the plain sum of n - 1 values, then S - S / n + x; the first value is the n-th.

    Args:
        state: (2,) values seen so far, and the sum; zeros to begin with.

    Source:
        Wilder (1978), New Concepts in Technical Trading Systems, ch. 4.
    """
    out = np.empty(len(x))
    for i in range(len(x)):
        out[i] = nan
        if isnan(x[i]):
            continue
        state[0] += 1.0
        if state[0] < n:
            state[1] += x[i]
        else:
            state[1] = state[1] - state[1] / n + x[i]
            out[i] = state[1]
    return out


@njit(cache=True, nogil=True)
def bar_sigma(
    opens: NDArray[np.float64], closes: NDArray[np.float64], state: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(m,) volatility of one bar for the impact law: root of exponentially weighted squared log changes, fraction.

    The first bar's change is from its own open, so that there is a value from the first bar on.

    Args:
        state: (2,) last close (0: none) and variance; zeros to begin with.

    Source:
        RiskMetrics Technical Document (1996), 4th edition, ch. 5.
    """
    out = np.empty(len(closes))
    for i in range(len(closes)):
        if state[0] == 0.0:
            state[1] = log(closes[i] / opens[i]) ** 2
        else:
            state[1] = SIGMA_DECAY * state[1] + (1.0 - SIGMA_DECAY) * log(closes[i] / state[0]) ** 2
        state[0] = closes[i]
        out[i] = sqrt(state[1])
    return out
