"""From judged returns and the ledger's count to the numbers a verdict rests on."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite, sqrt

import numpy as np

from ai_brain.evidence.deflated_sharpe import deflated_sharpe
from ai_brain.evidence.minimum_track_record import minimum_track_record
from ai_brain.evidence.probabilistic_sharpe import probabilistic_sharpe
from ai_brain.evidence.return_moments import ReturnMoments
from ai_brain.evidence.stationary_bootstrap import MIN_VALUES, mean_interval
from ai_brain.evidence.verdict import Expectancy, Statistics


def trial_variance(bars: int) -> float:
    """Variance of the Sharpe ratios that worthless ideas show by chance on a record of `bars` >= 2 bars, per bar.

    Not that of the ledger's ideas, as in the paper: most of them lose by their costs, which spreads them wide below
    zero and makes no worthless one look better; and true ones would raise the hurdle for each other.

    Source:
        Lo (2002), The Statistics of Sharpe Ratios, Financial Analysts Journal 58(4), at a true ratio of 0.
    """
    return 1.0 / (bars - 1)


def significance(
    moments: ReturnMoments,
    *,
    trials: int,
    effective_trials: int,
    expected_maximum: float,
    confidence: float,
    expectancy: Expectancy | None = None,
) -> Statistics:
    """All the gate's statistics of a record: the search stretch, where ideas are chosen, and all that came after.

    Args:
        moments: Of its returns, per bar.
        trials: Ideas ever tried, this one included.
        effective_trials: The same, those counted once whose returns go together.
        expected_maximum: Of as many worthless ones that go together as these do, standard deviations.
        confidence: Of the minimum track record.
        expectancy: Of the judged trades.
    """
    variance = trial_variance(moments.n)
    needed = minimum_track_record(moments, confidence=confidence)
    return Statistics(
        bars=moments.n,
        sharpe_bar=moments.sharpe,
        skew=moments.skew,
        kurtosis=moments.kurtosis,
        probabilistic_sharpe=probabilistic_sharpe(moments),
        deflated_sharpe=deflated_sharpe(moments, expected_maximum=expected_maximum, sharpe_variance=variance),
        trials=trials,
        effective_trials=effective_trials,
        trial_sharpe_variance=variance,
        expected_maximum=expected_maximum,
        hurdle_sharpe_bar=expected_maximum * sqrt(variance),
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
