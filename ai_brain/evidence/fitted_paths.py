"""Had its numbers been fitted: what the strategy and those next to it would have brought, chosen on the rest each time.

A strategy's numbers are fixed, so it has one path only. Let each split of a combinatorial purged cross-validation
choose the best of it and its neighbours on its training bars: then the spread of the paths says how much hangs on where
the numbers were fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.purged_folds import path_sharpes, purged_folds
from ai_brain.evidence.verdict import FittedPaths
from ai_brain.evidence.windows import Window

FOLDS, TESTED = 6, 2
"""15 splits, 5 paths."""


def fitted_paths(returns: NDArray[np.float64], *, holding_bars: int, bars_per_year: float) -> FittedPaths | None:
    """Sharpe ratios of the paths of a choice among variants.

    Args:
        returns: (bars, variants) net returns per bar, fractions, oldest first.
        holding_bars: Longest holding: purged on both sides of what is tested.
        bars_per_year: 8760 for 1 h bars.

    Returns:
        None: so few bars that a purge of that length leaves none to choose on.

    Source:
        López de Prado (2018), Advances in Financial Machine Learning, ch. 12.
    """
    bars = len(returns)
    if bars // FOLDS <= 2 * holding_bars + 1:
        return None
    plan = purged_folds(bars, folds=FOLDS, test_folds=TESTED, purge_bars=holding_bars, embargo_bars=0)
    sums = np.concatenate((np.zeros((1, 2, returns.shape[1])), np.cumsum(np.stack((returns, returns**2), 1), axis=0)))
    chosen = [_best(sums, split.train) for split in plan.splits]
    parts = [
        [returns[window.first : window.stop, best] for window in split.test]
        for split, best in zip(plan.splits, chosen, strict=True)
    ]
    annual = path_sharpes(plan, parts) * sqrt(bars_per_year)
    return FittedPaths(
        variants=returns.shape[1],
        splits=len(plan.splits),
        paths=plan.paths,
        chosen=len(set(chosen)),
        lowest_sharpe_annual=float(annual.min()),
        median_sharpe_annual=float(np.median(annual)),
        highest_sharpe_annual=float(annual.max()),
    )


def _best(sums: NDArray[np.float64], train: Sequence[Window]) -> int:
    """The variant with the highest Sharpe ratio over windows; of equals the first."""
    n = sum(window.bars for window in train)
    first, second = sum(sums[window.stop] - sums[window.first] for window in train)
    mean = first / n
    variance = second / n - mean**2
    return int(np.argmax(np.where(variance > 0.0, mean / np.sqrt(np.maximum(variance, 1e-300)), 0.0)))
