"""What a contract's settled rates say of the time ahead, and what a carry does about it. Numba kernels.

Live desk, paper and backtest decide by these two kernels and no others: `horizon_outlook` and `carry_decision`.

Settled rates are a mean-reverting series: the present rate is expected to fade into the trailing mean at the pace at
which the contract's own rates forget, an AR(1): `mean + (present - mean) (1 - rho^n) / (n (1 - rho))` on average over n
settlements. Rates are told per hour, for the interval is data and changes over a contract's life.
"""

from __future__ import annotations

from enum import IntEnum
from math import floor, isfinite, nan, sqrt
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trading.domain.clock import DAY_MS, HOUR_MS
from trading.domain.market import YEAR_MS
from trading.simulator.carry_weights import CarryWeights

HOURS_A_YEAR = YEAR_MS / HOUR_MS
LONGEST_INTERVAL_MS = 8 * HOUR_MS
"""Settlements are at most 8 h apart; what lies longer after the one before stands behind a hole."""
LEAST_COVER_MS = 3 * DAY_MS
"""Settled rates must reach back so far, or nothing is expected of them."""
LEAST_SETTLEMENTS = 3
LONGEST_MEMORY = 0.98
"""Of one settlement in the next; more cannot be told from a trend."""


class CarryTerms(NamedTuple):
    """Thresholds of one strategy, with the weights of its lab."""

    entry_apr: float
    exit_apr: float
    max_basis_rate: float
    min_hold_fundings: int
    weights: CarryWeights


class CarryView(NamedTuple):
    """All that one decision looks at. `_apr` is fraction of one leg's notional per 365 days."""

    is_open: bool
    """Both legs are on."""
    expected_apr: float
    """Over the horizon; nan: not known."""
    error_apr: float
    """Its standard error."""
    round_trip_rate: float
    """All four legs, see `round_trip_rate`."""
    basis_rate: float
    """perpetual / spot - 1."""
    fundings: int
    """Settlements since the entry."""
    liquidation_distance: float
    """Of the short, fraction of the contract's price; inf: no such price, or nothing is held."""


class CarryVerdict(IntEnum):
    """What is decided; below 0: leave, by minus the `CarryActed` it will be told as."""

    LEAVE_MARGIN = -4
    LEAVE_BASIS = -3
    LEAVE_EXPECTATION = -1
    UNKNOWN = 0
    """Too little is known: no entry."""
    ENTER = 1
    BASIS_WIDE = 2
    """No entry."""
    FUNDING_LOW = 3
    """No entry: the careful expectation is below the strategy's own line."""
    COST_HIGH = 4
    """No entry: the horizon does not pay for the round trip."""
    MIN_HOLD = 5
    """Stays: too few settlements yet to leave for the expectation."""
    HOLD = 6


# Numba takes plain numbers; in the order of the enumeration.
LEAVE_MARGIN, LEAVE_BASIS, LEAVE_EXPECTATION, UNKNOWN, ENTER, BASIS_WIDE, FUNDING_LOW, COST_HIGH, MIN_HOLD, HOLD = map(
    int, CarryVerdict
)


@njit(cache=True, nogil=True, error_model="numpy")
def carry_decision(view: CarryView, terms: CarryTerms) -> int:
    """A `CarryVerdict`. What is not known is no entry, and no reason to leave either.

    One negative settlement is no reason to leave: that costs half a round trip, and coming back the other half. Danger
    to the margin or the hedge is one at once; a low expectation only after `min_hold_fundings`.
    """
    weights, is_known = terms.weights, isfinite(view.expected_apr)
    if view.is_open:
        if view.liquidation_distance < weights.min_liquidation_distance:
            return LEAVE_MARGIN
        if view.basis_rate > weights.basis_stress * terms.max_basis_rate:
            return LEAVE_BASIS
        if view.fundings < terms.min_hold_fundings:
            return MIN_HOLD
        return LEAVE_EXPECTATION if is_known and view.expected_apr < terms.exit_apr else HOLD
    if not is_known:
        return UNKNOWN
    if not abs(view.basis_rate) <= terms.max_basis_rate:
        return BASIS_WIDE
    careful = view.expected_apr - weights.doubt * view.error_apr
    if not careful >= terms.entry_apr:
        return FUNDING_LOW
    pays = careful * weights.horizon_hours / HOURS_A_YEAR >= weights.cost_margin * view.round_trip_rate
    return ENTER if pays else COST_HIGH


@njit(cache=True, nogil=True, error_model="numpy")
def horizon_outlook(
    time_ms: NDArray[np.int64],
    rate: NDArray[np.float64],
    present_hourly: float,
    interval_hours: float,
    horizon_hours: float,
) -> tuple[float, float]:
    """Expected funding over a holding time, and its standard error; both a year, fraction of notional.

    Args:
        time_ms: (m,) settlements on the minute, increasing; whatever interval the contract had. **Look-ahead**: none
            may be after the decision.
        rate: (m,) settled rates. Each is spread over the time since the one before (at least 1 h, at most 8 h; the
            first over the second's span).
        present_hourly: What the contract pays now, per hour.
        interval_hours: Between two settlements from now on.
        horizon_hours: Holding time.

    Returns:
        (expected, error). The error is that of the mean of an AR(1) series: n values hold n (1 - rho) / (1 + rho)
        independent ones. Fewer than `LEAST_SETTLEMENTS`: both nan.
    """
    m = len(time_ms)
    if m < LEAST_SETTLEMENTS:
        return nan, nan
    paid, hours = 0.0, 0.0
    for i in range(m):
        paid += rate[i]
        hours += _span_hours(time_ms, i)
    mean = paid / hours
    squares, together, before = 0.0, 0.0, 0.0
    for i in range(m):
        deviation = rate[i] / _span_hours(time_ms, i) - mean
        squares += deviation * deviation
        together += deviation * before
        before = deviation
    rho = min(max(together / squares, 0.0), LONGEST_MEMORY) if squares > 0.0 else 0.0
    independent = max(1.0, m * (1.0 - rho) / (1.0 + rho))
    n = max(1.0, horizon_hours / interval_hours)
    fading = (1.0 - rho**n) / (n * (1.0 - rho))
    expected = mean + (present_hourly - mean) * fading
    return expected * HOURS_A_YEAR, sqrt(squares / (m - 1) / independent) * HOURS_A_YEAR


@njit(cache=True, nogil=True, error_model="numpy")
def outlooks(
    time_ms: NDArray[np.int64], rate: NDArray[np.float64], close_ms: NDArray[np.int64], weights: CarryWeights
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`horizon_outlook` at each close, the last settled rate standing for the present one.

    Args:
        time_ms: (m,) settlements on the minute, increasing.
        rate: (m,) settled rates.
        close_ms: (n,) decision times, increasing. **Look-ahead**: only settlements strictly before count.
        weights: Window and horizon.

    Returns:
        (n,) expected and (n,) error, a year; nan while the window's settlements do not reach back `LEAST_COVER_MS`.
    """
    expected, error = np.full(len(close_ms), nan), np.full(len(close_ms), nan)
    first, end, done_first, done_end = 0, 0, -1, -1
    at, doubt = nan, nan
    for t in range(len(close_ms)):
        while end < len(time_ms) and time_ms[end] < close_ms[t]:
            end += 1
        while first < end and time_ms[first] < close_ms[t] - weights.lookback_hours * HOUR_MS:
            first += 1
        if end == first or not covers(time_ms[first], close_ms[t]):
            continue
        if first != done_first or end != done_end:
            at, doubt = nan, nan
            if end - first >= LEAST_SETTLEMENTS:
                window = time_ms[first:end]
                span = _span_hours(window, end - first - 1)
                at, doubt = horizon_outlook(window, rate[first:end], rate[end - 1] / span, span, weights.horizon_hours)
            done_first, done_end = first, end
        expected[t], error[t] = at, doubt
    return expected, error


@njit(cache=True, nogil=True, error_model="numpy")
def covers(first_ms: int, now_ms: int) -> bool:
    """Do settlements that begin there reach back far enough?"""
    return first_ms <= now_ms - LEAST_COVER_MS + LONGEST_INTERVAL_MS


@njit(cache=True, nogil=True, error_model="numpy")
def _span_hours(time_ms: NDArray[np.int64], index: int) -> float:
    later = max(index, 1)
    hours = floor((time_ms[later] - time_ms[later - 1]) / HOUR_MS + 0.5)
    return float(min(max(hours, 1.0), 8.0))
