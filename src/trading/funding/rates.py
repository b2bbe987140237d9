"""Funding rates: what a contract pays a year, and what its settled rates let expect of the time ahead.

A rate is a fraction of notional per settlement; positive: longs pay shorts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import nan

import numpy as np

from trading.domain.clock import HOUR_MS
from trading.domain.errors import DataProviderError
from trading.domain.market import YEAR_MS, FundingRate
from trading.simulator.carry_outlook import covers, horizon_outlook
from trading.simulator.carry_weights import CarryWeights
from trading.simulator.settlements import on_minutes


def apr(rate: float, interval_ms: int) -> float:
    """A rate per settlement as a fraction per 365 days, not compounded."""
    return rate * YEAR_MS / interval_ms


def horizon_funding(
    settled: Sequence[FundingRate], present_rate: float, interval_ms: int, *, now_ms: int, weights: CarryWeights
) -> tuple[float, float]:
    """Expected funding over the horizon and its standard error, both fraction of notional a year; the kernel's own.
    Both nan: the settlements do not reach back far enough to expect anything.

    Args:
        settled: Oldest first; those of the window that `weights` names count.
        present_rate: The contract's estimate for its next settlement.
        interval_ms: Of the contract, now.
        now_ms: Look-ahead: nothing after it may be in `settled`.
        weights: Window and horizon.

    Raises:
        DataProviderError: the settlements' times do not rise; names the first such time.
    """
    for before, after in pairwise(settled):
        if after.time_ms <= before.time_ms:
            raise DataProviderError(
                f"funding history {after.symbol}: time {after.time_ms} does not rise; fetch it again"
            )
    window = [rate for rate in settled if rate.time_ms >= now_ms - weights.lookback_hours * HOUR_MS]
    if not window or not covers(window[0].time_ms, now_ms):
        return nan, nan
    times = on_minutes(np.array([rate.time_ms for rate in window], dtype=np.int64))
    rates = np.array([rate.rate for rate in window], dtype=np.float64)
    times.flags.writeable = rates.flags.writeable = False
    hours = interval_ms / HOUR_MS
    expected, error = horizon_outlook(times, rates, present_rate / hours, hours, weights.horizon_hours)
    return float(expected), float(error)
