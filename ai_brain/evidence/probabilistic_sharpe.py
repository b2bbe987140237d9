"""How sure a track record is that its true Sharpe ratio lies above a benchmark."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

from ai_brain.evidence.return_moments import ReturnMoments

NORMAL = NormalDist()


def probabilistic_sharpe(moments: ReturnMoments, *, benchmark_sharpe: float = 0.0) -> float:
    """Probabilistic Sharpe ratio: the confidence that the true Sharpe exceeds `benchmark_sharpe`.

    Args:
        moments: Of the track record, per bar.
        benchmark_sharpe: Per bar, same bars.

    Returns:
        0 to 1. A record whose Sharpe has no estimation error (two-point returns): 1.0 above the benchmark, else 0.0.

    Source:
        Bailey & López de Prado (2012), The Sharpe Ratio Efficient Frontier, Journal of Risk 15(2), eq. 11.
    """
    excess = moments.sharpe - benchmark_sharpe
    variance = moments.sharpe_variance()
    if variance == 0.0:
        return 1.0 if excess > 0.0 else 0.0
    return NORMAL.cdf(excess * sqrt(moments.n - 1) / sqrt(variance))
