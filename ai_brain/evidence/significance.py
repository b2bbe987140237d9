"""From judged returns and the ledger's count to the numbers a verdict rests on."""

from __future__ import annotations

from math import inf

from ai_brain.evidence.deflated_sharpe import deflated_sharpe
from ai_brain.evidence.expected_maximum_sharpe import expected_maximum_sharpe
from ai_brain.evidence.minimum_track_record import minimum_track_record
from ai_brain.evidence.probabilistic_sharpe import probabilistic_sharpe
from ai_brain.evidence.return_moments import ReturnMoments
from ai_brain.evidence.verdict import Statistics


def significance(
    moments: ReturnMoments, *, trials: int, ledger_variance: float | None, confidence: float
) -> Statistics:
    """All the gate's statistics of a walk-forward chain.

    Args:
        moments: Of its returns, per bar.
        trials: Ideas ever tried, this one included.
        ledger_variance: Of the ideas' Sharpe ratios, per bar; None: too few to tell.
        confidence: Of the minimum track record.

    Returns:
        The variance of the trials is at least 1 / (n - 1): worthless ideas scatter that much by chance alone, so a
        ledger that is young or full of copies cannot lower the hurdle below it.
    """
    variance = max(ledger_variance or 0.0, 1.0 / (moments.n - 1))
    needed = minimum_track_record(moments, confidence=confidence)
    return Statistics(
        bars=moments.n,
        sharpe_bar=moments.sharpe,
        skew=moments.skew,
        kurtosis=moments.kurtosis,
        probabilistic_sharpe=probabilistic_sharpe(moments),
        deflated_sharpe=deflated_sharpe(moments, trials=trials, sharpe_variance=variance),
        trials=trials,
        trial_sharpe_variance=variance,
        hurdle_sharpe_bar=expected_maximum_sharpe(trials, sharpe_variance=variance),
        minimum_track_record_bars=None if needed == inf else needed,
    )
