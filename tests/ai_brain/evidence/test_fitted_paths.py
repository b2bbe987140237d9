"""The spread of what would have come out, had a strategy's numbers been fitted."""

from __future__ import annotations

import numpy as np
import pytest

from ai_brain.evidence.fitted_paths import fitted_paths
from ai_brain.evidence.purged_folds import path_sharpes, purged_folds
from ai_brain.evidence.return_moments import return_moments


def test_variants_that_are_all_the_same_have_one_path() -> None:
    one = np.random.default_rng(1).normal(0.001, 0.01, 1200)
    found = fitted_paths(np.column_stack([one] * 5), holding_bars=4, bars_per_year=8760.0)
    assert found is not None
    sharpe = return_moments(one).sharpe * 8760.0**0.5
    assert found.lowest_sharpe_annual == pytest.approx(sharpe)
    assert found.highest_sharpe_annual == found.lowest_sharpe_annual
    assert (found.variants, found.splits, found.paths, found.chosen) == (5, 15, 5, 1)


def test_each_split_takes_the_best_of_its_training_bars_and_nothing_of_what_is_tested() -> None:
    rng = np.random.default_rng(2)
    returns = rng.normal(0.0, 0.01, (1200, 4))
    plan = purged_folds(1200, folds=6, test_folds=2, purge_bars=3, embargo_bars=0)
    parts = []
    for split in plan.splits:
        train = np.concatenate([returns[window.first : window.stop] for window in split.train])
        best = int(np.argmax([return_moments(column).sharpe for column in train.T]))
        parts.append([returns[window.first : window.stop, best] for window in split.test])
    wanted = path_sharpes(plan, parts) * 8760.0**0.5
    found = fitted_paths(returns, holding_bars=3, bars_per_year=8760.0)
    assert found is not None
    told = (found.lowest_sharpe_annual, found.median_sharpe_annual, found.highest_sharpe_annual)
    assert told == pytest.approx((wanted.min(), np.median(wanted), wanted.max()))
    assert found.chosen > 1


def test_a_purge_that_leaves_nothing_to_choose_on_gives_no_paths() -> None:
    returns = np.random.default_rng(3).normal(0.0, 0.01, (600, 3))
    assert fitted_paths(returns, holding_bars=50, bars_per_year=8760.0) is None
    assert fitted_paths(returns, holding_bars=49, bars_per_year=8760.0) is not None


def test_variants_that_never_moved_rank_below_one_that_won() -> None:
    returns = np.zeros((600, 2))
    returns[:, 1] = np.random.default_rng(4).normal(0.002, 0.01, 600)
    found = fitted_paths(returns, holding_bars=0, bars_per_year=8760.0)
    assert found is not None
    assert (found.chosen, found.lowest_sharpe_annual > 0.0) == (1, True)
