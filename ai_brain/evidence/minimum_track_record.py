"""How long a record must be before its Sharpe ratio means anything."""

from __future__ import annotations

from math import inf
from statistics import NormalDist

from ai_brain.evidence.return_moments import ReturnMoments


def minimum_track_record(moments: ReturnMoments, *, benchmark_sharpe: float = 0.0, confidence: float = 0.95) -> float:
    """Minimum track record length, bars.

    Args:
        moments: Per bar; their n is not used.
        benchmark_sharpe: Per bar, same bars.
        confidence: 0 < x < 1 with which the true Sharpe must exceed the benchmark.

    Returns:
        Bars, not rounded. `inf` when the Sharpe does not exceed the benchmark: no length would do.

    Raises:
        ValueError: confidence outside (0, 1).

    Source:
        Bailey & López de Prado (2012), The Sharpe Ratio Efficient Frontier, Journal of Risk 15(2), eq. 13.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"minimum track record: confidence={confidence}: must lie between 0 and 1")
    excess = moments.sharpe - benchmark_sharpe
    if excess <= 0.0:
        return inf
    return 1.0 + moments.sharpe_variance() * (NormalDist().inv_cdf(confidence) / excess) ** 2
