"""Funding rates: what a contract pays, per settlement, per day and per year, whatever its interval is.

A rate is a fraction of notional per settlement; positive: longs pay shorts. The interval is data (8, 4 or 1 h) and
changes over a contract's life, so everything here is told per hour first and turned into the wanted span last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from trading.domain.errors import DataProviderError
from trading.domain.market import YEAR_MS, FundingRate

HOUR_MS = 3_600_000
LONGEST_INTERVAL_MS = 8 * HOUR_MS


def apr(rate: float, interval_ms: int) -> float:
    """A rate per settlement as a fraction per 365 days, not compounded."""
    return rate * YEAR_MS / interval_ms


@dataclass(frozen=True, slots=True)
class RateHistory:
    """What the settled rates of a contract say."""

    count: int
    hourly_mean: float
    """Per hour of holding, fraction of notional."""
    hourly_error: float
    """Standard error of the mean, widened for the rates' memory of themselves."""
    persistence: float
    """Correlation of one settlement with the next, 0..0.98."""


def summarise(settled: Sequence[FundingRate]) -> RateHistory:
    """Mean, error and persistence of settled rates.

    Args:
        settled: Oldest first; each is spread over the time since the one before (at most 8 h; the first over the
            second's span).

    Raises:
        DataProviderError: fewer than three settlements, or times that do not rise; names the first such time.
    """
    if len(settled) < 3:
        raise DataProviderError(f"funding history: {len(settled)} settlements, at least 3 are needed; fetch more")
    spans = [_span_hours(settled, i) for i in range(len(settled))]
    hourly = [rate.rate / hours for rate, hours in zip(settled, spans, strict=True)]
    count = len(hourly)
    mean = sum(rate.rate for rate in settled) / sum(spans)
    deviations = [value - mean for value in hourly]
    variance = sum(d * d for d in deviations) / (count - 1)
    persistence = 0.0
    if variance > 0:
        together = sum(a * b for a, b in pairwise(deviations))
        persistence = min(0.98, max(0.0, together / sum(d * d for d in deviations)))
    # An AR(1) series of n values holds n (1 - rho) / (1 + rho) independent ones.
    independent = max(1.0, count * (1 - persistence) / (1 + persistence))
    return RateHistory(count, mean, math.sqrt(variance / independent), persistence)


def expected_hourly(history: RateHistory, present_hourly: float, *, hours: float, interval_hours: float) -> float:
    """Expected rate per hour, averaged over a holding time.

    The present estimate fades into the trailing mean at the pace at which the contract's own rates forget:
    `mean + (present - mean) * (1 - rho^n) / (n (1 - rho))` over n settlements.

    Args:
        history: Of settled rates.
        present_hourly: The contract's estimate for its next settlement, per hour.
        hours: Holding time, > 0.
        interval_hours: Between two settlements.
    """
    n, rho = max(1.0, hours / interval_hours), history.persistence
    weight: float = (1 - rho**n) / (n * (1 - rho))
    return history.hourly_mean + (present_hourly - history.hourly_mean) * weight


def _span_hours(settled: Sequence[FundingRate], index: int) -> float:
    later = max(index, 1)
    span_ms = settled[later].time_ms - settled[later - 1].time_ms
    if span_ms <= 0:
        raise DataProviderError(
            f"funding history {settled[later].symbol}: time {settled[later].time_ms} does not rise; fetch it again"
        )
    # The venue's stamps jitter by milliseconds around the hour; a gap is not one long settlement.
    hours = max(1, round(span_ms / HOUR_MS))
    return float(min(hours, LONGEST_INTERVAL_MS // HOUR_MS))
