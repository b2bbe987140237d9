"""From judged returns and the ledger's count to the numbers a verdict rests on."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite

import numpy as np

from ai_brain.evidence.deflated_sharpe import deflated_sharpe
from ai_brain.evidence.expected_maximum_sharpe import expected_maximum_sharpe
from ai_brain.evidence.minimum_track_record import minimum_track_record
from ai_brain.evidence.probabilistic_sharpe import probabilistic_sharpe
from ai_brain.evidence.return_moments import ReturnMoments
from ai_brain.evidence.stationary_bootstrap import MIN_VALUES, mean_interval
from ai_brain.evidence.verdict import Expectancy, Statistics


def significance(
    moments: ReturnMoments,
    *,
    trials: int,
    effective_trials: int,
    ledger_variance: float | None,
    confidence: float,
    expectancy: Expectancy | None = None,
) -> Statistics:
    """All the gate's statistics of a walk-forward chain.

    Args:
        moments: Of its returns, per bar.
        trials: Ideas ever tried, this one included: the N of the hurdle.
        effective_trials: The same, those counted once whose returns go together; told beside it, lowers nothing.
        ledger_variance: Of the ideas' Sharpe ratios, per bar; None: too few to tell.
        confidence: Of the minimum track record.
        expectancy: Of the judged trades.

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
        effective_trials=effective_trials,
        trial_sharpe_variance=variance,
        hurdle_sharpe_bar=expected_maximum_sharpe(trials, sharpe_variance=variance),
        minimum_track_record_bars=None if needed == inf else needed,
        expectancy=expectancy,
    )


def expectancy_of(results_quote: Sequence[float], *, confidence: float, seed: int) -> Expectancy | None:
    """Mean net result of trades, quote, with its interval by the studentised stationary bootstrap.

    Returns:
        None: fewer trades than an interval needs.
    """
    if len(results_quote) < MIN_VALUES:
        return None
    found = mean_interval(np.array(results_quote), confidence=confidence, seed=seed)
    return Expectancy(
        trades=len(results_quote),
        mean_quote=found.mean,
        low_quote=found.low if isfinite(found.low) else None,
        high_quote=found.high if isfinite(found.high) else None,
        confidence=confidence,
    )
