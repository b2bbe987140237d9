"""A Sharpe ratio with everything held against it: how often was tried, how long, how skewed."""

from __future__ import annotations

from math import sqrt

from ai_brain.evidence.probabilistic_sharpe import probabilistic_sharpe
from ai_brain.evidence.return_moments import ReturnMoments


def deflated_sharpe(moments: ReturnMoments, *, expected_maximum: float, sharpe_variance: float) -> float:
    """Deflated Sharpe ratio: the confidence that the record beats the best of all worthless ones tried.

    Args:
        moments: Of the track record, per bar.
        expected_maximum: Of the trials, in standard deviations, >= 0: of N independent ones
            `expected_maximum_sharpe(N, sharpe_variance=1)`, of what is in the ledger `TrialLedger.expected_maximum`.
        sharpe_variance: Of the trials' Sharpe ratios, per bar of the same length, > 0.

    Returns:
        0 to 1; the gate asks for 0.95. One trial: the probabilistic Sharpe ratio against 0.

    Raises:
        ValueError: a negative maximum, or the variance is none.

    Source:
        Bailey & López de Prado (2014), The Deflated Sharpe Ratio, Journal of Portfolio Management 40(5), eq. 2.
    """
    if not expected_maximum >= 0.0 or not sharpe_variance > 0.0:
        raise ValueError(f"deflated Sharpe: maximum={expected_maximum}, variance={sharpe_variance}: give >= 0 and > 0")
    return probabilistic_sharpe(moments, benchmark_sharpe=expected_maximum * sqrt(sharpe_variance))
