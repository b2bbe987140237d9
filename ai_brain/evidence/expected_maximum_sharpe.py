"""What the best of N worthless strategies looks like."""

from __future__ import annotations

from math import e, sqrt
from statistics import NormalDist

EULER_MASCHERONI = 0.5772156649015329


def expected_maximum_sharpe(trials: int, *, sharpe_variance: float = 1.0) -> float:
    """Expected maximum of N independent Sharpe estimates whose true value is 0.

    Args:
        trials: N >= 1: everything ever tried, not only what was kept.
        sharpe_variance: Variance of the trials' Sharpe ratios, per bar; the result is per bar too.

    Returns:
        The hurdle, per bar. One trial: 0.0, there was nothing to choose from.

    Raises:
        ValueError: trials < 1, or a variance below 0 or not finite.

    Source:
        Bailey & López de Prado (2014), The Deflated Sharpe Ratio, Journal of Portfolio Management 40(5), eq. 1.
    """
    if trials < 1:
        raise ValueError(f"expected maximum Sharpe: trials={trials}: count at least the strategy itself")
    if not 0.0 <= sharpe_variance < float("inf"):
        raise ValueError(f"expected maximum Sharpe: sharpe_variance={sharpe_variance}: not a variance")
    if trials == 1:
        return 0.0
    normal = NormalDist()
    best = (1.0 - EULER_MASCHERONI) * normal.inv_cdf(1.0 - 1.0 / trials)
    next_best = EULER_MASCHERONI * normal.inv_cdf(1.0 - 1.0 / (trials * e))
    return sqrt(sharpe_variance) * (best + next_best)
