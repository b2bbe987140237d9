"""Recurrences over price and volume, with their state. Numba kernels, no validation; see `indicators.py`."""

from __future__ import annotations

from math import nan

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trading.domain.clock import DAY_MS

Floats = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")
def on_balance(close: Floats, volume: Floats, state: Floats, out: Floats) -> None:
    """Volume added up with the sign of the close's change, the first bar's with a plus; state (2,) last close, sum.

    Source:
        Granville (1963), Granville's New Key to Stock Market Profits.
    """
    last, total = state[0], state[1]
    for i in range(len(close)):
        total += volume[i] if close[i] > last else -volume[i] if close[i] < last else 0.0
        last = close[i]
        out[i] = total
    state[0], state[1] = last, total


@njit(cache=True, nogil=True, error_model="numpy")
def money_flow(
    high: Floats, low: Floats, close: Floats, volume: Floats, state: Floats, rising: Floats, moving: Floats
) -> None:
    """Typical price x volume where that price rose, else 0, and where it moved, else 0; nan at the tape's first bar.

    Args:
        state: (1,) last typical price (0: none).
    """
    last = state[0]
    for i in range(len(close)):
        price = (high[i] + low[i] + close[i]) / 3.0
        flow = price * volume[i]
        rising[i], moving[i] = flow if price > last else 0.0, flow if price != last else 0.0
        if last == 0.0:
            rising[i], moving[i] = nan, nan
        last = price
    state[0] = last


@njit(cache=True, nogil=True, error_model="numpy")
def session_average(
    open_ms: NDArray[np.int64],
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    state: Floats,
    out: Floats,
) -> None:
    """Volume-weighted typical price since 00:00 UTC of the bar's open; nan while nothing traded, and on the day that a
    tape begins inside of, for it was not seen whole.

    Args:
        state: (4,) the day after the current one, in days since 1970 (0: none), paid and traded since it began, and 1
            when it was seen whole.
    """
    day, paid, traded, is_whole = int(state[0]), state[1], state[2], state[3] > 0.0
    for i in range(len(close)):
        today = open_ms[i] // DAY_MS + 1
        if today != day:
            is_whole = day > 0 or open_ms[i] % DAY_MS == 0
            day, paid, traded = today, 0.0, 0.0
        paid += (high[i] + low[i] + close[i]) / 3.0 * volume[i]
        traded += volume[i]
        out[i] = paid / traded if is_whole and traded > 0.0 else nan
    state[0], state[1], state[2], state[3] = day, paid, traded, is_whole
