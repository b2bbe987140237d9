"""What fills say of costs: what was paid over what the model charged, with an interval, and shares with theirs. Pure.

The model's charge is what was believed before the first fill: an estimate begins there and moves as far as the fills
weigh. Under `ENOUGH` orders or `ENOUGH_GROUPS` sagas nothing moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

ENOUGH = 30
"""Orders under which nothing is said of them."""
ENOUGH_GROUPS = 10
"""Sagas likewise: the orders of one share a minute and its price."""
PRIOR_SD = 0.31
"""Of the true ratio about the one that is believed beforehand, as a fraction of it: how far the k of the four recorded
sources of docs/costs.md (0.365, 0.555, 0.123, 0.48) lie apart, over the k that is charged."""
LEAST_RATIO = 0.2
"""Never is less charged than this share of the model's slippage: the smallest k of those sources over that k."""
LARGEST_RATIO = 50.0
"""No estimate goes beyond it: the simulator's k ends at 100."""
Z_95 = 1.959963984540054
"""Two-sided 95 % of the normal."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was paid over what was charged, by itself."""

    n: int
    """Orders."""
    groups: int
    """Sagas they belong to."""
    ratio: float | None
    """Sum paid / sum charged; None: nothing was charged."""
    error: float | None
    """Its standard error; None: under two groups."""

    @property
    def is_enough(self) -> bool:
        """It may move what is believed."""
        return self.n >= ENOUGH and self.groups >= ENOUGH_GROUPS and self.ratio is not None and self.error is not None


@dataclass(frozen=True, slots=True)
class Belief:
    """What the true ratio is taken for; 1: the model charges what is paid."""

    ratio: float
    low: float
    high: float
    """95 %."""
    ceiling: float
    """The dear end of the fills alone where that is dearer: fills that say little lower nothing by the prior's word."""


def measured(
    paid: NDArray[np.float64], charged: NDArray[np.float64], group: NDArray[np.int64] | NDArray[np.str_]
) -> Measured:
    """The ratio of two sums over orders that come in groups.

    Args:
        paid: (n,) what each order paid, quote; negative: it did better than the reference.
        charged: (n,) what the model charges for it, quote.
        group: (n,) the saga it belongs to: orders of one are not independent, their sums are taken for it.

    Raises:
        ValueError: a value is not finite, or a charge is negative; names its index.

    Source:
        Cochran (1977), Sampling Techniques, 3rd edition, 9A: ratio estimate of cluster totals.
    """
    bad = ~(np.isfinite(paid) & np.isfinite(charged) & (charged >= 0.0))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise ValueError(f"fills: [{first}] paid {paid[first]}, charged {charged[first]}: not two amounts")
    names, of = np.unique(group, return_inverse=True)
    groups, total = len(names), float(charged.sum())
    if total <= 0.0:
        return Measured(len(paid), groups, None, None)
    ratio = float(paid.sum()) / total
    if groups < 2:
        return Measured(len(paid), groups, ratio, None)
    left = np.bincount(of, paid - ratio * charged, groups)
    return Measured(len(paid), groups, ratio, sqrt(groups / (groups - 1) * float((left**2).sum())) / total)


def believed(found: Measured, *, prior: float = 1.0) -> Belief:
    """The prior, moved as far as what was measured weighs against it.

    Args:
        found: Of the fills; where it is not enough the prior stands.
        prior: What the ratio was taken for before; `PRIOR_SD` of it is its standard deviation.

    Returns:
        The mean of the normal posterior and its 95 % interval, Student's with groups - 1 degrees of freedom; within 0
        and `LARGEST_RATIO`.

    Source:
        Gelman et al. (2013), Bayesian Data Analysis, 3rd edition, 2.5.
    """
    sd = PRIOR_SD * prior
    if not found.is_enough or found.ratio is None or found.error is None:
        return _belief(prior, Z_95 * sd, LARGEST_RATIO)
    weight, student = sd**2 / (sd**2 + found.error**2), t_95(found.groups - 1)
    mean = weight * found.ratio + (1.0 - weight) * prior
    return _belief(mean, student * sqrt(weight) * found.error, found.ratio + student * found.error)


def assumed(before: float, found: Belief) -> float:
    """The ratio that is charged from now on: higher at once, lower only as far as the dear end allows.

    Args:
        before: What is charged now.
        found: What fills say; the dear end is its ceiling. Never is less charged than its estimate, or `LEAST_RATIO`.
    """
    return max(found.ratio, min(before, found.ceiling), LEAST_RATIO)


def t_95(degrees: int) -> float:
    """Two-sided 95 % of Student's distribution, to 0.001 from 9 degrees of freedom on.

    Source:
        Abramowitz & Stegun (1964), 26.7.5.
    """
    z, v = Z_95, float(degrees)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def wilson(part: int, of: int) -> tuple[float, float]:
    """95 % interval of a share; the whole range where nothing was counted.

    Raises:
        ValueError: no such count.

    Source:
        Wilson (1927), Journal of the American Statistical Association 22.
    """
    if not 0 <= part <= of:
        raise ValueError(f"share: {part} of {of}: give 0 <= part <= of")
    if of == 0:
        return 0.0, 1.0
    fraction, z2 = part / of, Z_95**2
    middle = (fraction + z2 / (2 * of)) / (1 + z2 / of)
    half = Z_95 / (1 + z2 / of) * sqrt(fraction * (1 - fraction) / of + z2 / (4 * of * of))
    # The ends of nothing and of all are exact; rounding would leave them a bit inside.
    return 0.0 if part == 0 else max(0.0, middle - half), 1.0 if part == of else min(1.0, middle + half)


def _belief(mean: float, half: float, alone: float) -> Belief:
    ends = (mean, mean - half, mean + half, max(mean + half, alone))
    return Belief(*(min(max(value, 0.0), LARGEST_RATIO) for value in ends))
