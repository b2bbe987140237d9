"""Combinatorial purged cross-validation: against skfolio, against its definition, and what a path is."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ai_brain.evidence.purged_folds import PurgedFolds, path_returns, path_sharpes, purged_folds
from ai_brain.evidence.windows import Window


def ranges(windows: tuple[Window, ...]) -> str:
    return " ".join(f"{window.first}-{window.stop}" for window in windows)


def fixed_parts(plan: PurgedFolds, returns: NDArray[np.float64]) -> list[list[NDArray[np.float64]]]:
    """Nothing was fitted: what was earned on a fold is the same in every split."""
    return [[returns[window.first : window.stop] for window in split.test] for split in plan.splits]


def bars_of(windows: tuple[Window, ...]) -> list[int]:
    return [bar for window in windows for bar in range(window.first, window.stop)]


# skfolio 1.12.0, CombinatorialPurgedCV(6, 2, purged_size=3, embargo_size=2) on 120 rows, its indices written as ranges:
# tested folds, paths of the two parts (get_path_ids), bars to train on.
SKFOLIO = """\
0 1|0 0|45-120
0 2|1 0|25-37 65-120
0 3|2 0|25-57 85-120
0 4|3 0|25-77 105-120
0 5|4 0|25-97
1 2|1 1|0-17 65-120
1 3|2 1|0-17 45-57 85-120
1 4|3 1|0-17 45-77 105-120
1 5|4 1|0-17 45-97
2 3|2 2|0-37 85-120
2 4|3 2|0-37 65-77 105-120
2 5|4 2|0-37 65-97
3 4|3 3|0-57 105-120
3 5|4 3|0-57 85-97
4 5|4 4|0-77"""


def test_the_splits_and_paths_are_the_ones_that_skfolio_gave() -> None:
    plan = purged_folds(120, folds=6, test_folds=2, purge_bars=3, embargo_bars=2)
    ours = [
        f"{' '.join(map(str, split.tested))}|{' '.join(map(str, split.paths))}|{ranges(split.train)}"
        for split in plan.splits
    ]
    assert ours == SKFOLIO.splitlines()
    assert (len(plan.splits), plan.paths) == (15, 5)
    assert ranges(plan.folds) == "0-20 20-40 40-60 60-80 80-100 100-120"


@pytest.mark.parametrize(
    ("bars", "folds", "test_folds", "purge", "embargo"),
    [
        (120, 6, 2, 3, 2),
        (127, 6, 2, 3, 2),
        (200, 7, 3, 0, 5),
        (200, 7, 5, 9, 0),
        (90, 3, 2, 0, 0),
        (500, 10, 8, 15, 9),
    ],
)
def test_every_index_is_the_one_skfolio_gives(bars: int, folds: int, test_folds: int, purge: int, embargo: int) -> None:
    skfolio = pytest.importorskip(
        "skfolio.model_selection", reason="skfolio is not installed: dependency group `oracles`"
    )
    theirs = skfolio.CombinatorialPurgedCV(folds, test_folds, purged_size=purge, embargo_size=embargo)
    ours = purged_folds(bars, folds=folds, test_folds=test_folds, purge_bars=purge, embargo_bars=embargo)
    assert (theirs.n_splits, theirs.n_test_paths) == (len(ours.splits), ours.paths)
    assert theirs.get_path_ids().tolist() == [list(split.paths) for split in ours.splits]
    for (train, tests), split in zip(theirs.split(np.zeros((bars, 1))), ours.splits, strict=True):
        assert train.tolist() == bars_of(split.train)
        assert [test.tolist() for test in tests] == [bars_of((window,)) for window in split.test]


@st.composite
def plans(draw: st.DrawFn) -> tuple[PurgedFolds, int, int, int]:
    folds = draw(st.integers(2, 8))
    test_folds = draw(st.integers(1, folds - 1))
    purge, embargo = draw(st.integers(0, 12)), draw(st.integers(0, 12))
    bars = draw(st.integers(folds * (2 * purge + embargo + 1), 600))
    plan = purged_folds(bars, folds=folds, test_folds=test_folds, purge_bars=purge, embargo_bars=embargo)
    return plan, test_folds, purge, embargo


@settings(max_examples=60, deadline=None)
@given(plans())
def test_no_bar_is_trained_on_within_a_purge_or_an_embargo_of_a_tested_one(
    drawn: tuple[PurgedFolds, int, int, int],
) -> None:
    plan, _, purge, embargo = drawn
    every = np.arange(plan.bars)
    for split in plan.splits:
        tested = np.array(bars_of(split.test))
        behind = every[:, None] - tested
        is_near = ((behind >= -purge) & (behind <= purge + embargo)).any(axis=1)
        assert bars_of(split.train) == every[~is_near].tolist()


@settings(max_examples=60, deadline=None)
@given(plans())
def test_every_path_holds_each_bar_once_and_every_tested_part_is_in_one_path(
    drawn: tuple[PurgedFolds, int, int, int],
) -> None:
    plan, test_folds, _, _ = drawn
    folds = len(plan.folds)
    assert len(plan.splits) == comb(folds, test_folds)
    assert plan.paths * folds == len(plan.splits) * test_folds
    used = sorted((path, fold) for split in plan.splits for fold, path in zip(split.tested, split.paths, strict=True))
    assert used == [(path, fold) for path in range(plan.paths) for fold in range(folds)]


def test_a_path_is_put_together_from_the_splits_that_its_parts_came_from() -> None:
    plan = purged_folds(12, folds=3, test_folds=2, purge_bars=0, embargo_bars=0)
    parts = [[np.full(4, 10.0 * number + fold) for fold in split.tested] for number, split in enumerate(plan.splits)]
    assert path_returns(plan, parts)[:, ::4].tolist() == [[0.0, 1.0, 12.0], [10.0, 21.0, 22.0]]


def test_the_paths_of_a_strategy_without_a_fit_are_all_its_own_curve() -> None:
    returns = np.random.default_rng(5).normal(0.001, 0.01, 127)
    plan = purged_folds(127, folds=6, test_folds=2, purge_bars=3, embargo_bars=2)
    sharpes = path_sharpes(plan, fixed_parts(plan, returns))
    assert sharpes == pytest.approx(np.full(5, returns.mean() / returns.std(ddof=1)), rel=1e-12)


def test_what_was_fitted_per_split_gives_paths_that_differ() -> None:
    random = np.random.default_rng(7)
    plan = purged_folds(600, folds=6, test_folds=2, purge_bars=0, embargo_bars=0)
    parts = [[random.normal(0.0, 0.01, window.bars) for window in split.test] for split in plan.splits]
    found = path_sharpes(plan, parts)
    assert found.shape == (5,)
    assert len(np.unique(found)) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folds": 1}, "folds=1 of 120 bars"),
        ({"folds": 121}, "folds=121 of 120 bars"),
        ({"test_folds": 6}, "test_folds=6 of 6"),
        ({"test_folds": 0}, "test_folds=0 of 6"),
        ({"purge_bars": -1}, "purge_bars=-1"),
        ({"embargo_bars": -1}, "embargo_bars=-1"),
        ({"purge_bars": 100}, "keeps no bar to train on"),
        ({"folds": 40, "test_folds": 20}, "each of them a fit"),
    ],
)
def test_a_plan_that_cannot_be_made_says_why(change: dict[str, int], message: str) -> None:
    wanted = {"folds": 6, "test_folds": 2, "purge_bars": 3, "embargo_bars": 2} | change
    with pytest.raises(ValueError, match=message):
        purged_folds(120, **wanted)


def test_parts_that_do_not_fit_the_plan_are_named() -> None:
    plan = purged_folds(120, folds=6, test_folds=2, purge_bars=0, embargo_bars=0)
    parts = fixed_parts(plan, np.linspace(0.0, 0.01, 120))
    with pytest.raises(ValueError, match="parts of 14 splits for a plan of 15"):
        path_sharpes(plan, parts[1:])
    parts[3][1] = np.zeros(19)
    with pytest.raises(ValueError, match=r"split 3 has test folds of \[20, 20\] bars, but returns of \[20, 19\]"):
        path_sharpes(plan, parts)
