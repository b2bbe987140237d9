"""What paper trading should bring, if the backtest told the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.verdict import Band

HORIZONS_H = (24, 48, 72, 120, 168, 240, 336, 504, 720, 1440, 2160)
"""Lengths for which a band is given, hours."""
TAIL = 0.005
"""On each side: a band holds 99 %."""
SHARE_OF_CURVE = 3
"""A band is only given for stretches at most this part of the curve: longer ones hardly differ from one another."""


def predicted_bands(
    curve: NDArray[np.float64], *, bars_per_hour: float, entry_cost_fraction: float
) -> tuple[Band, ...]:
    """Bands of net return over growing horizons, from every overlapping stretch of the backtest's own equity.

    Args:
        curve: (n,) marked equity at each close of the walk-forward chain, quote, compounded. A horizon may reach over
            the seam of two judged stretches, as the chain does: there it begins flat again and pays for its next entry.
        bars_per_hour: 1.0 for 1 h bars, 12.0 for 5 min bars.
        entry_cost_fraction: What one position of the backtest cost, fraction of equity. Paper starts flat and pays it,
            while most stretches of a backtest begin in position, so it is taken off the lower end.

    Returns:
        Ascending by bars; empty when the curve is too short.
    """
    bands: list[Band] = []
    for hours in HORIZONS_H:
        bars = round(hours * bars_per_hour)
        if not 0 < bars <= len(curve) // SHARE_OF_CURVE:
            continue
        low, high = np.quantile(curve[bars:] / curve[:-bars] - 1.0, [TAIL, 1.0 - TAIL])
        bands.append(Band(bars=bars, low=float(low) - entry_cost_fraction, high=float(high)))
    return tuple(bands)


def band_over(bands: Sequence[Band], bars: float) -> Band | None:
    """The band for a stretch of `bars`, interpolated; beyond the longest measured one it grows in proportion.

    Returns:
        None: nothing was predicted.
    """
    if not bands:
        return None
    first, last = bands[0], bands[-1]
    if bars <= first.bars:
        return first
    if bars >= last.bars:
        growth = bars / last.bars
        return Band(bars=int(bars), low=last.low * growth, high=last.high * growth)
    above = next(i for i, band in enumerate(bands) if band.bars >= bars)
    a, b = bands[above - 1], bands[above]
    share = (bars - a.bars) / (b.bars - a.bars)
    return Band(bars=int(bars), low=a.low + share * (b.low - a.low), high=a.high + share * (b.high - a.high))
