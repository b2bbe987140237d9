"""Whether the best of many strategies beats a benchmark, and which ones do, when all of them were looked at.

Both tests hold the studentised leads against what stationary-bootstrap resamples of the same rows bring if no strategy
is better than the benchmark. Without studentising, one strategy of large swings sets the bar for all: a calm one is
then missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.stationary_bootstrap import (
    Floats,
    Seed,
    automatic_block_length,
    mean_variance,
    resampled_means,
)

MIN_ROWS = 10
"""As the automatic block length needs; the threshold of the consistent test is a number from 3 on."""


@dataclass(frozen=True, slots=True)
class SuperiorPredictiveAbility:
    """Three answers to: were the best no better than the benchmark, how often would it look this good?

    A p-value is a share of the resamples: 0 says less than one of them. When no strategy is ahead, all are 1.
    """

    p_lower: float
    """As if all strategies that are behind were truly no worse than they look: the smallest."""
    p_consistent: float
    """Without those far behind: the one to use."""
    p_upper: float
    """As if all were as good as the benchmark (White's reality check): the largest."""
    statistic: float
    """The greatest studentised lead, sqrt(t) mean / standard deviation of the mean; >= 0."""
    block_length: float
    """Mean length of the resampled blocks, rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Survivors:
    """Which strategies beat the benchmark although all were looked at."""

    survives: NDArray[np.bool_]
    """(k,), read-only."""
    p_values: Floats
    """(k,) adjusted for all: the lowest level at which each survives, 0 to 1; 1 if it is not ahead. Read-only."""
    block_length: float
    """Mean length of the resampled blocks, rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """Leads over the benchmark and those of the resamples, in one unit: studentised, or the differences' own."""

    leads: Floats
    """(k,) sqrt(t) x mean / standard deviation of the mean; 0 for a column without spread."""
    resampled: Floats
    """(draws, k) the same of each resample, by the standard deviation of the sample."""
    far_behind: Floats
    """(k,) below this lead a strategy is taken out of the consistent test: -sqrt(2 ln ln t) standard deviations."""

    def best_resampled(self, recentring: Floats) -> Floats:
        """(draws,) the greatest lead of each resample once `recentring` (k,) is taken off.

        The paper's floor of 0 is left out: it is only ever compared with a lead above 0.
        """
        best: Floats = (self.resampled - recentring).max(axis=1)
        return best

    def consistent(self) -> Floats:
        """(k,) what is taken off the resamples: the lead, or nothing for a strategy far behind, which stays behind."""
        return np.where(self.leads >= self.far_behind, self.leads, 0.0)


def superior_predictive_ability(
    differences: Floats, *, seed: Seed, draws: int = 2000, block_length: float | None = None, studentise: bool = True
) -> SuperiorPredictiveAbility:
    """Hansen's test that no strategy is better than the benchmark.

    Args:
        differences: (t, k) return of each strategy less the benchmark's, per bar, oldest first; every strategy that was
            looked at is a column. The benchmark is a return too: 0 of cash, or that of holding the coin.
        seed: An integer, or a Generator that is drawn on.
        draws: Resamples.
        block_length: Rows; None: the median of the columns' automatic lengths.
        studentise: False: leads in their own unit, as `arch` computes them whatever it is asked; to compare with it.

    Returns:
        A column that is 0 throughout (a strategy that never left the benchmark), or constant below 0, changes nothing.

    Raises:
        ValueError: Under 10 rows, no column, a value that is not finite, or a constant lead.

    Source:
        Hansen (2005), A Test for Superior Predictive Ability, Journal of Business & Economic Statistics 23(4).
    """
    resampled, length = _resampled(differences, seed, draws, block_length)
    contest = contest_of(differences, resampled, block_length=length, studentise=studentise)
    lower, consistent, upper = spa_p_values(contest)
    return SuperiorPredictiveAbility(lower, consistent, upper, max(0.0, float(contest.leads.max())), length)


def surviving_strategies(
    differences: Floats, *, level: float, seed: Seed, draws: int = 2000, block_length: float | None = None
) -> Survivors:
    """Step-wise test: which strategies beat the benchmark, the chance of even one wrong among them held to `level`.

    Args:
        differences: As in `superior_predictive_ability`; so are `seed`, `draws` and `block_length`.
        level: Chance, over all strategies together, that one survives which is no better than the benchmark; 0 to 1.

    Returns:
        What beats the best of the resamples survives and leaves; the rest is held against the best of the rest, until
        nothing more survives. Someone survives exactly when p_consistent <= `level`.

    Raises:
        ValueError: As `superior_predictive_ability`, or a level outside 0 to 1.

    Source:
        Hsu, Hsu & Kuan (2010), Journal of Empirical Finance 17(3), studentised here; Romano & Wolf (2005),
        Econometrica 73(4).
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"surviving strategies: level={level}: give a chance between 0 and 1, such as 0.05")
    resampled, length = _resampled(differences, seed, draws, block_length)
    p_values = step_wise_p_values(contest_of(differences, resampled, block_length=length))
    survives = p_values <= level
    survives.flags.writeable = p_values.flags.writeable = False
    return Survivors(survives, p_values, length)


def contest_of(differences: Floats, resampled: Floats, *, block_length: float, studentise: bool = True) -> Contest:
    """What both tests are computed from, for resamples drawn elsewhere.

    Args:
        differences: (t, k) as in `superior_predictive_ability`.
        resampled: (draws, k) means of its resamples.
        block_length: They were drawn with, rows.

    Raises:
        ValueError: A constant lead.
    """
    rows, means = len(differences), differences.mean(axis=0)
    deviations = np.sqrt(mean_variance(differences, block_length=block_length))
    still = deviations == 0.0
    if (sure := still & (means > 0.0)).any():
        column = int(np.argmax(sure))
        raise ValueError(
            f"superior predictive ability: differences[:, {column}] is {differences[0, column]} at every row: "
            "a lead without any error is a mistake in what was subtracted; look there"
        )
    units = np.where(still, np.inf, deviations if studentise else 1.0) / sqrt(rows)
    behind = np.full(len(means), -sqrt(2.0 * log(log(rows))))
    return Contest(means / units, resampled / units, behind if studentise else behind * deviations)


def spa_p_values(contest: Contest) -> tuple[float, float, float]:
    """Lower, consistent and upper; all 1 when no strategy is ahead, as a lead of nothing is always reached."""
    best = float(contest.leads.max())
    if best <= 0.0:
        return 1.0, 1.0, 1.0
    recentrings = (np.maximum(contest.leads, 0.0), contest.consistent(), contest.leads)
    lower, consistent, upper = (float(np.mean(contest.best_resampled(off) > best)) for off in recentrings)
    return lower, consistent, upper


def step_wise_p_values(contest: Contest) -> Floats:
    """(k,) each strategy's, against itself and all with a smaller lead; no less than that of any greater lead."""
    order = np.argsort(-contest.leads, kind="stable")
    null = (contest.resampled - contest.consistent())[:, order]
    best_of_rest = np.maximum.accumulate(null[:, ::-1], axis=1)[:, ::-1]
    leads = contest.leads[order]
    shares = np.where(leads > 0.0, (best_of_rest > leads).mean(axis=0), 1.0)
    p_values = np.empty(len(leads))
    p_values[order] = np.maximum.accumulate(shares)
    return p_values


def _resampled(differences: Floats, seed: Seed, draws: int, block_length: float | None) -> tuple[Floats, float]:
    """(draws, k) means of resamples, and the block length they were drawn with."""
    _refuse_unfit(differences, draws)
    if block_length is None:
        block_length = float(np.median([automatic_block_length(column) for column in differences.T]))
    return resampled_means(differences, block_length=block_length, draws=draws, seed=seed), block_length


def _refuse_unfit(differences: Floats, draws: int) -> None:
    """In one line, with the value."""
    what = "superior predictive ability"
    if differences.ndim != 2 or differences.shape[0] < MIN_ROWS or differences.shape[1] < 1:
        raise ValueError(
            f"{what}: differences of shape {differences.shape}: give (t, k) with at least {MIN_ROWS} rows, one strategy"
        )
    if draws < 1:
        raise ValueError(f"{what}: draws={draws}: give at least 1, better 1000")
    if not (finite := np.isfinite(differences)).all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"{what}: differences[{row}, {column}]={differences[row, column]}: not a finite number")
