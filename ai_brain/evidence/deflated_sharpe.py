"""A Sharpe ratio with everything held against it: how often was tried, how long, how skewed."""

from __future__ import annotations

from ai_brain.evidence.expected_maximum_sharpe import expected_maximum_sharpe
from ai_brain.evidence.probabilistic_sharpe import probabilistic_sharpe
from ai_brain.evidence.return_moments import ReturnMoments


def deflated_sharpe(moments: ReturnMoments, *, trials: int, sharpe_variance: float) -> float:
    """Deflated Sharpe ratio: the confidence that the record beats the best of `trials` worthless ones.

    Args:
        moments: Of the track record, per bar.
        trials: N >= 1: everything ever tried, from the trial ledger.
        sharpe_variance: Of the trials' Sharpe ratios, per bar of the same length.

    Returns:
        0 to 1; the gate asks for 0.95. One trial: the probabilistic Sharpe ratio against 0.

    Raises:
        ValueError: trials < 1, or the variance is none.

    Source:
        Bailey & López de Prado (2014), The Deflated Sharpe Ratio, Journal of Portfolio Management 40(5), eq. 2.
    """
    hurdle = expected_maximum_sharpe(trials, sharpe_variance=sharpe_variance)
    return probabilistic_sharpe(moments, benchmark_sharpe=hurdle)
