"""How far a price may move: against fixed limits, and against the spread of its own recent moves; and steps of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trading.domain.clock import MINUTE_MS
from trading.market.checks.rules import RuleId
from trading.market.validator_rules import Finding, Unchecked, ValidatorSettings

RETURNS_LONG, RETURNS_SHORT, RETURNS_MIN = 120, 15, 30
"""Returns in the two windows of the robust scale, and the fewest it is taken from."""
RECENT = RETURNS_LONG + 1
"""Prices that the scale looks at."""
SIGMA_OF_MAD = 1.4826
"""A normal distribution's standard deviation in median absolute deviations."""
STEP_SLACK = 1e-6
"""Fraction of a tick or lot that float64 may be off it."""
WHOLE_STEPS_MAX = 1e14
"""More steps than this, and float64 no longer says whether they are whole."""


@dataclass(frozen=True, slots=True)
class Recent:
    """Prices before the one that is judged, oldest first; the last is the one right before it."""

    at_ms: NDArray[np.int64]
    """(n,) strictly increasing."""
    price: NDArray[np.float64]
    """(n,) positive."""


def robust_scale(recent: Recent) -> float | None:
    """Spread of log returns per square root of a minute, fraction; None: too few to say.

    Each return is divided by the square root of the minutes it spans (at least one), so that prices an hour, a minute
    or unevenly apart give one scale. The larger of two windows counts: the long one alone calls the second hour of
    every crash a spike, the short one alone is blind after a quiet quarter of an hour. Deviations are from zero, not
    from the median: of a price that bounces between bid and ask half of all returns are the median, and the other half
    would count for nothing.

    Source:
        Median absolute deviation, times 1.4826: Rousseeuw and Croux (1993), JASA 88(424).
    """
    if len(recent.price) <= RETURNS_MIN:
        return None
    minutes = np.maximum(np.diff(recent.at_ms[-RECENT:]) / MINUTE_MS, 1.0)
    returns = np.diff(np.log(recent.price[-RECENT:])) / np.sqrt(minutes)
    return SIGMA_OF_MAD * max(_mad(returns), _mad(returns[-RETURNS_SHORT:]))


def robust_scales(
    at_ms: NDArray[np.int64], price: NDArray[np.float64], places: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(m,) `robust_scale` of the prices before each of m places, each of which has at least `RECENT` before it."""
    minutes = np.maximum(np.diff(at_ms) / MINUTE_MS, 1.0)
    returns = np.diff(np.log(price)) / np.sqrt(minutes)
    windows = np.lib.stride_tricks.sliding_window_view(returns, RETURNS_LONG)[places - RECENT]
    return SIGMA_OF_MAD * np.maximum(_mads(windows), _mads(windows[:, -RETURNS_SHORT:]))


def jump_limit_pct(minutes: float, settings: ValidatorSettings) -> float:
    """Largest plausible move over so many minutes, percent."""
    return min(settings.jump_max_pct * math.sqrt(max(1.0, minutes)), settings.jump_cap_pct)


def judge_move(
    move: float, minutes: float, recent: Recent | None, settings: ValidatorSettings, where: str
) -> Iterator[Finding | Unchecked]:
    """A move against both limits; what breaks the fixed one is not told twice.

    The robust limit is capped as the fixed one is: however wild the market and however far apart the two prices, there
    is a move that breaks it.

    Args:
        move: |change| of the price, fraction of the earlier one.
        minutes: Between the two prices.
        recent: What came before; None: not known.
        settings: The validator's thresholds.
        where: For the message.
    """
    limit_pct = jump_limit_pct(minutes, settings)
    if move * 100.0 > limit_pct:
        yield Finding(RuleId.JUMP, where, move * 100.0, limit_pct)
        return
    if recent is None or len(recent.price) <= RETURNS_MIN:
        yield Unchecked(RuleId.SPIKE, where)
        return
    if move * 100.0 <= settings.spike_min_pct:  # most of the time: the scale costs more than all other rules
        return
    scale = robust_scale(recent) or 0.0
    usual_pct = settings.spike_scales_max * scale * math.sqrt(max(1.0, minutes)) * 100.0
    spike_pct = min(max(settings.spike_min_pct, usual_pct), settings.jump_cap_pct)
    if move * 100.0 > spike_pct:
        yield Finding(RuleId.SPIKE, where, move * 100.0, spike_pct)


def judge_distance(
    price: float, second_price: float | None, settings: ValidatorSettings, where: str
) -> Iterator[Finding | Unchecked]:
    """A price against the same coin's elsewhere: too far apart to be right, or apart enough to be noted."""
    if second_price is None:
        yield Unchecked(RuleId.SECOND_SOURCE, where)
        yield Unchecked(RuleId.BASIS, where)
        return
    if not (math.isfinite(second_price) and second_price > 0):
        yield Finding(RuleId.NOT_A_PRICE, f"{where}, second source", second_price, 0.0)
        return
    distance_pct = abs(price / second_price - 1.0) * 100.0
    if distance_pct > settings.second_source_max_pct:
        yield Finding(RuleId.SECOND_SOURCE, where, distance_pct, settings.second_source_max_pct)
    elif distance_pct * 100.0 > settings.basis_warn_bps:
        yield Finding(RuleId.BASIS, where, distance_pct * 100.0, settings.basis_warn_bps)


def off_step(values: NDArray[np.float64], step: float) -> NDArray[np.bool_]:
    """(n,) which values are no whole multiple of a tick or lot, as far as float64 can tell."""
    steps = values / step
    off = np.abs(steps - np.rint(steps))
    return (off > STEP_SLACK + np.abs(steps) * 4.0 * np.finfo(np.float64).eps) & (np.abs(steps) < WHOLE_STEPS_MAX)


def _mad(values: NDArray[np.float64]) -> float:
    return float(np.median(np.abs(values)))


def _mads(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.median(np.abs(rows), axis=1)
    return found
