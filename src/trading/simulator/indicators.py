"""Kernels that run from bar to bar. Numba: they fill `out`, (m,) as what is new, and check nothing; `recipes.py` puts
them together.

What they carry lies in `state`, zeros to begin with, and is a function of the bars alone: a whole tape at once and bar
by bar are the same loop over the same numbers. Bars have no nan; columns computed from them only leading ones.
"""

from __future__ import annotations

from math import isnan, log, nan, sqrt

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SIGMA_DECAY = 0.94
"""RiskMetrics' daily decay, used on bars."""

LINE, SIGNAL, HISTOGRAM = 0, 1, 2
"""What `convergence` gives."""


@njit(cache=True, nogil=True, error_model="numpy")
def smoothed(x: Floats, n: int, weight: float, state: Floats, out: Floats) -> None:
    """Exponential smoothing: first the mean of n values, then x * weight + before * (1 - weight).

    Args:
        x: New values; leading nan are no values and are not counted.
        weight: 2 / (n + 1) for an EMA, 1 / n for Wilder's.
        state: (2,) values seen, up to n, and their sum or the last output.
    """
    seen, value, kept = int(state[0]), state[1], 1.0 - weight
    for i in range(len(x)):
        if isnan(x[i]):
            out[i] = nan
        elif seen < n:
            value += x[i]
            seen += 1
            value = value / n if seen == n else value
            out[i] = value if seen == n else nan
        else:
            value = x[i] * weight + value * kept
            out[i] = value
    state[0], state[1] = seen, value


@njit(cache=True, nogil=True, error_model="numpy")
def convergence(close: Floats, fast: int, slow: int, signal: int, what: int, state: Floats, out: Floats) -> None:
    """Moving average convergence/divergence: ema(fast) - ema(slow), ema(signal) of it, or the difference of the two.

    Args:
        what: `LINE`, `SIGNAL` or `HISTOGRAM`.
        state: (4,) bars seen, up to slow + signal - 1, and sums or last values of the three averages.

    Source:
        Appel (2005), Technical Analysis: Power Tools for Active Investors, ch. 8.
    """
    seen, quick, long, smooth = int(state[0]), state[1], state[2], state[3]
    warm = slow + signal - 1 if what != LINE else slow
    i = 0
    while i < len(close) and seen < slow + signal - 1:
        seen += 1
        quick, long = _seeded(close[i], quick, seen, fast), _seeded(close[i], long, seen, slow)
        smooth = _seeded(quick - long, smooth, seen - slow + 1, signal) if seen >= slow else 0.0
        out[i] = _of_three(what, quick - long, smooth) if seen >= warm else nan
        i += 1
    a, b, c = 2.0 / (fast + 1), 2.0 / (slow + 1), 2.0 / (signal + 1)
    kept_a, kept_b, kept_c = 1.0 - a, 1.0 - b, 1.0 - c
    for j in range(i, len(close)):
        quick, long = close[j] * a + quick * kept_a, close[j] * b + long * kept_b
        smooth = (quick - long) * c + smooth * kept_c
        out[j] = _of_three(what, quick - long, smooth)
    state[0], state[1], state[2], state[3] = seen, quick, long, smooth


@njit(cache=True, nogil=True, error_model="numpy")
def relative_strength(close: Floats, n: int, state: Floats, out: Floats) -> None:
    """Wilder's RSI, percent; 50 when nothing moved.

    Args:
        state: (4,) last close (0: none), changes seen, up to n, and the smoothed rises and falls.

    Source:
        Wilder (1978), New Concepts in Technical Trading Systems, ch. 6.
    """
    last, seen, rise, fall = state[0], int(state[1]), state[2], state[3]
    weight, kept = 1.0 / n, 1.0 - 1.0 / n
    for i in range(len(close)):
        change = close[i] - last
        up, down = change if change > 0.0 else 0.0, -change if change < 0.0 else 0.0
        if seen == n:
            rise, fall = up * weight + rise * kept, down * weight + fall * kept
        elif last != 0.0:
            seen, rise, fall = seen + 1, rise + up, fall + down
            if seen == n:
                rise, fall = rise / n, fall / n
        last = close[i]
        moved = rise + fall
        out[i] = (100.0 * (rise / moved) if moved != 0.0 else 50.0) if seen == n else nan
    state[0], state[1], state[2], state[3] = last, seen, rise, fall


@njit(cache=True, nogil=True, error_model="numpy")
def average_range(high: Floats, low: Floats, close: Floats, n: int, state: Floats, out: Floats) -> None:
    """Wilder's smoothing of the true range max(high - low, |high - close[1]|, |low - close[1]|), from bar 1 on.

    Args:
        state: (3,) last close (0: none), ranges seen, up to n, and their sum or the last output.

    Source:
        Wilder (1978), ch. 3.
    """
    last, seen, value = state[0], int(state[1]), state[2]
    weight, kept = 1.0 / n, 1.0 - 1.0 / n
    for i in range(len(close)):
        span = _true_range(high[i], low[i], last)
        if seen == n:
            value = span * weight + value * kept
        elif last != 0.0:
            seen, value = seen + 1, value + span
            value = value / n if seen == n else value
        last = close[i]
        out[i] = value if seen == n else nan
    state[0], state[1], state[2] = last, seen, value


@njit(cache=True, nogil=True, error_model="numpy")
def directional(high: Floats, low: Floats, close: Floats, n: int, side: int, state: Floats, out: Floats) -> None:
    """Wilder's +DI (side 1) or -DI (side -1), percent: sums of n - 1 moves and true ranges, then S - S / n + x.

    Args:
        state: (6,) last high, low and close (0: none), moves seen, up to n, and the sums of moves and of ranges.

    Source:
        Wilder (1978), ch. 4.
    """
    last_high, last_low, last, seen, moved, span = state[0], state[1], state[2], int(state[3]), state[4], state[5]
    kept = 1.0 - 1.0 / n
    for i in range(len(close)):
        if last != 0.0:
            up, down = high[i] - last_high, last_low - low[i]
            mine, other = (up, down) if side > 0 else (down, up)
            keep = 1.0 if seen < n - 1 else kept
            moved = moved * keep + (mine if mine > other and mine > 0.0 else 0.0)
            span = span * keep + _true_range(high[i], low[i], last)
            seen = seen + 1 if seen < n else n
        last_high, last_low, last = high[i], low[i], close[i]
        out[i] = (100.0 * (moved / span) if span != 0.0 else 0.0) if seen == n else nan
    state[0], state[1], state[2], state[3], state[4], state[5] = last_high, last_low, last, seen, moved, span


@njit(cache=True, nogil=True, error_model="numpy")
def directional_index(high: Floats, low: Floats, close: Floats, n: int, state: Floats, out: Floats) -> None:
    """Wilder's ADX before its smoothing, percent: |+DI - -DI| / (+DI + -DI); 0 when both are 0.

    Args:
        state: (6,) last high, low and close (0: none), moves seen, up to n, and the sums of moves up and down.

    Source:
        Wilder (1978), ch. 4; the true range they are both divided by falls out.
    """
    last_high, last_low, last, seen, ups, downs = state[0], state[1], state[2], int(state[3]), state[4], state[5]
    kept = 1.0 - 1.0 / n
    for i in range(len(close)):
        if last != 0.0:
            up, down = high[i] - last_high, last_low - low[i]
            keep = 1.0 if seen < n - 1 else kept
            ups = ups * keep + (up if up > down and up > 0.0 else 0.0)
            downs = downs * keep + (down if down > up and down > 0.0 else 0.0)
            seen = seen + 1 if seen < n else n
        last_high, last_low, last = high[i], low[i], close[i]
        both = ups + downs
        out[i] = (100.0 * (abs(ups - downs) / both) if both != 0.0 else 0.0) if seen == n else nan
    state[0], state[1], state[2], state[3], state[4], state[5] = last_high, last_low, last, seen, ups, downs


@njit(cache=True, nogil=True, error_model="numpy")
def log_change(x: Floats, state: Floats, out: Floats) -> None:
    """Log of each value over the one before; nan for the first. State (1,): the last value (0: none)."""
    last = state[0]
    for i in range(len(x)):
        out[i] = log(x[i] / last) if last != 0.0 else nan
        last = x[i]
    state[0] = last


@njit(cache=True, nogil=True, error_model="numpy")
def annualised(time_ms: NDArray[np.int64], rate: Floats, year_ms: float, state: Floats, out: Floats) -> None:
    """Settled rates as a year's, at the pace of the time since the settlement before; nan for the first.

    Args:
        state: (1,) time of the last settlement (0: none), UTC milliseconds.
    """
    last_ms = int(state[0])
    for i in range(len(rate)):
        out[i] = rate[i] * (year_ms / (time_ms[i] - last_ms)) if last_ms > 0 else nan
        last_ms = time_ms[i]
    state[0] = last_ms


@njit(cache=True, nogil=True, error_model="numpy")
def at_bars(events: Floats, known: NDArray[np.int64], state: Floats, out: Floats) -> None:
    """The last event known at each bar; state (2,): the last one of the bars before, and 1 if there was one."""
    for i in range(len(known)):
        if known[i] > 0:
            out[i] = events[known[i] - 1]
        else:
            out[i] = state[0] if state[1] > 0.0 else nan
    if len(events) > 0:
        state[0], state[1] = events[len(events) - 1], 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def typical(high: Floats, low: Floats, close: Floats, out: Floats) -> None:
    """The mean of high, low and close."""
    for i in range(len(close)):
        out[i] = (high[i] + low[i] + close[i]) / 3.0


@njit(cache=True, nogil=True, error_model="numpy")
def worth(high: Floats, low: Floats, close: Floats, volume: Floats, out: Floats) -> None:
    """Typical price x volume."""
    for i in range(len(close)):
        out[i] = (high[i] + low[i] + close[i]) / 3.0 * volume[i]


@njit(cache=True, nogil=True, error_model="numpy")
def place_in_range(close: Floats, top: Floats, bottom: Floats, out: Floats) -> None:
    """Where the close lies between bottom (0) and top (100); 50 when they meet."""
    for i in range(len(close)):
        span = top[i] - bottom[i]
        out[i] = 100.0 * ((close[i] - bottom[i]) / span) if span != 0.0 else 50.0


@njit(cache=True, nogil=True, error_model="numpy")
def ratio(above: Floats, below: Floats, out: Floats) -> None:
    """One column over another; nan where the other is 0."""
    for i in range(len(above)):
        out[i] = above[i] / below[i] if below[i] != 0.0 else nan


@njit(cache=True, nogil=True, error_model="numpy")
def banded(centre: Floats, width: Floats, factor: float, out: Floats) -> None:
    """centre + factor * width."""
    for i in range(len(centre)):
        out[i] = centre[i] + factor * width[i]


@njit(cache=True, nogil=True, error_model="numpy")
def bar_sigma(opens: Floats, closes: Floats, state: Floats) -> Floats:
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


@njit(cache=True, nogil=True, error_model="numpy")
def _true_range(high: float, low: float, last: float) -> float:
    """The span of a bar with the close before it in it."""
    return max(high, last) - min(low, last)


@njit(cache=True, nogil=True, error_model="numpy")
def _seeded(x: float, value: float, seen: int, n: int) -> float:
    """A sum until n values are seen, then their mean, then an EMA."""
    if seen > n:
        return x * (2.0 / (n + 1)) + value * (1.0 - 2.0 / (n + 1))
    return (value + x) / n if seen == n else value + x


@njit(cache=True, nogil=True, error_model="numpy")
def _of_three(what: int, line: float, smooth: float) -> float:
    return line if what == LINE else smooth if what == SIGNAL else line - smooth
