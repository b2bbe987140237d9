"""Combinatorial purged cross-validation: many backtest paths out of one tape, instead of one.

The bars are cut into folds; every choice of `test_folds` of them is one split, tested there and fitted on the rest.
Each fold is tested in several splits, so its parts can be put together to several whole paths. Windows are bars
[first, stop). Source: López de Prado (2018), Advances in Financial Machine Learning, chapters 7 and 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.return_moments import return_moments
from ai_brain.evidence.windows import Window

MAX_SPLITS = 100_000
"""Each split is a fit; more than this is a slip of the keyboard."""

Parts = Sequence[Sequence[NDArray[np.float64]]]
"""Returns on the test folds: `parts[split][part]` is (bars of that fold,), fractions per bar, oldest first."""


@dataclass(frozen=True, slots=True)
class Split:
    """One choice of folds to test on."""

    tested: tuple[int, ...]
    """Numbers of the folds tested, from 0, oldest first."""
    train: tuple[Window, ...]
    """What may be fitted on, oldest first: never a tested bar, nor one inside a purge or an embargo."""
    test: tuple[Window, ...]
    """The tested folds, one window each, touching ones not joined."""
    paths: tuple[int, ...]
    """The path, from 0, that each of `test` belongs to."""


@dataclass(frozen=True, slots=True)
class PurgedFolds:
    """The plan of a combinatorial purged cross-validation."""

    bars: int
    folds: tuple[Window, ...]
    """Of equal length; the last takes what is left over."""
    splits: tuple[Split, ...]
    """C(folds, test_folds), in the order of `itertools.combinations`."""

    @property
    def paths(self) -> int:
        """Whole backtests that the tested parts make up: C(folds, test_folds) * test_folds / folds."""
        return sum(0 in split.tested for split in self.splits)


def purged_folds(bars: int, *, folds: int, test_folds: int, purge_bars: int, embargo_bars: int) -> PurgedFolds:
    """Cut `bars` bars into folds and say for every split what may be fitted on, and to which path its parts belong.

    Args:
        bars: Of the tape.
        folds: Equal ones; the last takes what is left over.
        test_folds: Of them in each split, 1 to folds - 1. With 1 it is purged k-fold: one path.
        purge_bars: Left out of the training on both sides of a tested stretch. **Look-ahead**: shorter than the longest
            holding time (or label), and a trade of the training ends inside the test, or the reverse.
        embargo_bars: Left out after a tested stretch besides the purge, for returns that remember.

    Returns:
        Equal to skfolio 1.12's `CombinatorialPurgedCV(folds, test_folds, purge_bars, embargo_bars)`, split by split and
        path by path, wherever that accepts the arguments. It refuses one test fold, and a purge and embargo of
        together a fold or nearly so; here they may eat whole folds, but a split without a bar to train on is refused,
        where skfolio may give an empty one. The book purges by the end of each label; the longest
        holding time leaves out no fewer bars.

    Raises:
        ValueError: a number is out of its range, or a split is left without a bar to train on.
    """
    _check(bars, folds=folds, test_folds=test_folds, purge_bars=purge_bars, embargo_bars=embargo_bars)
    size = bars // folds
    windows = tuple(Window(k * size, bars if k == folds - 1 else (k + 1) * size) for k in range(folds))
    seen = [0] * folds
    splits = list[Split]()
    for tested in combinations(range(folds), test_folds):
        test = tuple(windows[fold] for fold in tested)
        train = _gaps(bars, test, before=purge_bars, after=purge_bars + embargo_bars)
        if not train:
            raise ValueError(
                f"purged folds: split {tested} of {folds} folds of {size} bars keeps no bar to train on with "
                f"purge_bars={purge_bars}, embargo_bars={embargo_bars}: take fewer folds or a longer tape"
            )
        splits.append(Split(tested, train, test, tuple(seen[fold] for fold in tested)))
        for fold in tested:
            seen[fold] += 1
    return PurgedFolds(bars, windows, tuple(splits))


def path_returns(plan: PurgedFolds, parts: Parts) -> NDArray[np.float64]:
    """The returns of every path: (paths, bars), oldest first, each bar once from a split that was not fitted on it.

    Raises:
        ValueError: a part is missing, or is not as long as its fold; names it.
    """
    _check_parts(plan, parts)
    whole = np.empty((plan.paths, plan.bars))
    for split, found in zip(plan.splits, parts, strict=True):
        for window, path, returns in zip(split.test, split.paths, found, strict=True):
            whole[path, window.first : window.stop] = returns
    return whole


def path_sharpes(plan: PurgedFolds, parts: Parts) -> NDArray[np.float64]:
    """Sharpe ratio of every path: (paths,) per bar, ddof 1; a path of constant returns has 0.

    The paths share their bars, so these are no independent draws: their spread says how much the result hangs on what
    was fitted where, and is no error of the Sharpe ratio.

    Raises:
        ValueError: parts do not fit the plan, or a return is not finite.
    """
    return np.array([return_moments(path).sharpe for path in path_returns(plan, parts)])


def _gaps(bars: int, test: tuple[Window, ...], *, before: int, after: int) -> tuple[Window, ...]:
    """What the tested windows, widened, leave of the bars."""
    left, at = list[Window](), 0
    for window in test:
        if window.first - before > at:
            left.append(Window(at, window.first - before))
        at = max(at, window.stop + after)
    return (*left, Window(at, bars)) if at < bars else tuple(left)


def _check(bars: int, *, folds: int, test_folds: int, purge_bars: int, embargo_bars: int) -> None:
    if not 2 <= folds <= bars:
        raise ValueError(f"purged folds: folds={folds} of {bars} bars: at least 2, and each needs a bar")
    if not 1 <= test_folds < folds:
        raise ValueError(
            f"purged folds: test_folds={test_folds} of {folds}: at least 1, and one must be left to train on"
        )
    if purge_bars < 0 or embargo_bars < 0:
        raise ValueError(f"purged folds: purge_bars={purge_bars}, embargo_bars={embargo_bars}: they cannot be negative")
    if comb(folds, test_folds) > MAX_SPLITS:
        raise ValueError(
            f"purged folds: {test_folds} of {folds} folds make {comb(folds, test_folds)} splits, each of them a fit: "
            f"at most {MAX_SPLITS}"
        )


def _check_parts(plan: PurgedFolds, parts: Parts) -> None:
    if len(parts) != len(plan.splits):
        raise ValueError(f"purged folds: parts of {len(parts)} splits for a plan of {len(plan.splits)}")
    for number, (split, found) in enumerate(zip(plan.splits, parts, strict=True)):
        wanted, given = [window.bars for window in split.test], [len(returns) for returns in found]
        if wanted != given:
            raise ValueError(f"purged folds: split {number} has test folds of {wanted} bars, but returns of {given}")
