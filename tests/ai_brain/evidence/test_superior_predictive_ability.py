"""Hansen's test and its step-wise form against their formulas, against the arch package, and on noise."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ai_brain.evidence.stationary_bootstrap import automatic_block_length, mean_variance, resampled_means
from ai_brain.evidence.superior_predictive_ability import (
    contest_of,
    spa_p_values,
    step_wise_p_values,
    superior_predictive_ability,
    surviving_strategies,
)

Floats = NDArray[np.float64]


def as_arch_draws(n: int, *, block_length: float, draws: int, seed: int) -> NDArray[np.int64]:
    """(draws, n) the indices of arch 8.0.0's StationaryBootstrap: all firsts of a resample, then all its chances."""
    rng, place = np.random.default_rng(seed), np.arange(n)
    resamples = []
    for _ in range(draws):
        firsts, chances = rng.integers(n, size=n), rng.random(n)
        began = np.maximum.accumulate(np.where((chances <= 1.0 / block_length) | (place == 0), place, 0))
        resamples.append((firsts[began] + place - began) % n)
    return np.array(resamples)


def fanned() -> Floats:
    """(300, 12) of which one is good."""
    returns = np.random.default_rng(20050401).standard_normal((300, 12)) * 0.01 * np.linspace(1, 3, 12)
    returns[:, 3] += 0.0022
    return returns


def mixed() -> Floats:
    """(250, 8) some good, two far behind, so that the three p-values differ."""
    returns = np.random.default_rng(2).standard_normal((250, 8)) * 0.01 * np.linspace(0.5, 3, 8)
    return returns + np.array([0.0, 0.0008, 0.001, 0.0, -0.004, -0.012, 0.001, 0.0])


def calm_among_wild() -> Floats:
    """(500, 20) one strategy with a Sharpe ratio of 0.2 a bar and small swings, 19 worthless ones with large swings."""
    returns = np.random.default_rng(0).standard_normal((500, 20)) * np.r_[0.002, np.full(19, 0.05)]
    returns[:, 0] += 0.2 * 0.002
    return returns


ARCH_8_0_0 = [
    (fanned(), 5, (0.098, 0.114, 0.114), (0.003, 0.006, 0.006)),
    (fanned(), 10, (0.098, 0.108, 0.108), (0.001, 0.002, 0.002)),
    (mixed(), 10, (0.423, 0.726, 0.843), (0.114, 0.215, 0.31)),
    (calm_among_wild(), 10, (0.518, 0.635, 0.635), (0.0, 0.0, 0.0)),
]
"""Differences, block length, what arch.bootstrap.SPA 8.0.0 says with 1000 resamples and seed 1, studentize True or
False alike, and what it says of the same differences each divided by its standard deviation of the mean."""


@pytest.mark.parametrize(("differences", "block_length", "raw", "studentised"), ARCH_8_0_0)
def test_p_values_are_those_of_arch_to_all_digits(
    differences: Floats, block_length: int, raw: tuple[float, ...], studentised: tuple[float, ...]
) -> None:
    rows = as_arch_draws(len(differences), block_length=block_length, draws=1000, seed=1)
    means = differences[rows].mean(axis=1)
    assert spa_p_values(contest_of(differences, means, block_length=block_length, studentise=False)) == raw
    assert spa_p_values(contest_of(differences, means, block_length=block_length)) == studentised


def test_p_values_are_those_of_arch_computed_now() -> None:
    arch = pytest.importorskip("arch", reason="arch is not installed: dependency group `oracles`")
    from arch.bootstrap import SPA

    assert arch.__version__
    differences = np.random.default_rng(8).standard_normal((120, 6)) + np.array([0.1, 0.1, 0.0, 0.0, -0.3, -0.5])
    deviations = np.sqrt(mean_variance(differences, block_length=6))
    means = differences[as_arch_draws(120, block_length=6, draws=300, seed=5)].mean(axis=1)
    for units, studentise in ((1.0, False), (deviations, True)):
        theirs = SPA(np.zeros(120), -differences / units, block_size=6, reps=300, seed=5)
        theirs.compute()
        ours = spa_p_values(contest_of(differences, means, block_length=6, studentise=studentise))
        assert ours == pytest.approx(tuple(theirs.pvalues), abs=1e-12)


def test_a_calm_winner_among_wild_ones_is_found_only_when_studentised() -> None:
    found = superior_predictive_ability(calm_among_wild(), seed=1, block_length=10.0)
    missed = superior_predictive_ability(calm_among_wild(), seed=1, block_length=10.0, studentise=False)
    assert found.p_upper == 0.0
    assert missed.p_lower > 0.4
    assert surviving_strategies(calm_among_wild(), level=0.01, seed=1).survives.tolist() == [True] + [False] * 19


def test_p_values_are_hansens_formulas_in_a_loop() -> None:
    differences, length = mixed()[:60], 4.0
    n, means = len(differences), differences[:60].mean(axis=0)
    drawn = resampled_means(differences, block_length=length, draws=200, seed=3)
    omega = np.sqrt(mean_variance(differences, block_length=length))
    best = max(0.0, *(sqrt(n) * means / omega))
    kept = [m if m >= -sqrt(w * w / n * 2 * log(log(n))) else 0.0 for m, w in zip(means, omega, strict=True)]
    shares = []
    for taken_off in (np.maximum(means, 0.0), np.array(kept), means):
        above = sum(max(0.0, *(sqrt(n) * (row - taken_off) / omega)) > best for row in drawn)
        shares.append(above / 200)
    answer = superior_predictive_ability(differences, seed=3, draws=200, block_length=length)
    assert [answer.p_lower, answer.p_consistent, answer.p_upper] == shares
    assert answer.statistic == pytest.approx(best)
    assert shares[0] < shares[1] < shares[2]


@pytest.mark.parametrize("level", [0.05, 0.3, 0.6])
def test_survivors_are_those_of_romano_and_wolfs_rounds(level: float) -> None:
    rng = np.random.default_rng(17)
    differences = rng.standard_normal((150, 10)) + np.array([0.5, 0.3, 0.25, 0.2, 0.15, 0.1, 0, 0, -0.1, -1.0])
    drawn = resampled_means(differences, block_length=3.0, draws=400, seed=6)
    contest = contest_of(differences, drawn, block_length=3.0)
    null, remaining = contest.resampled - contest.consistent(), list(range(10))
    while True:
        best = np.maximum(null[:, remaining].max(axis=1), 0.0) if remaining else np.empty(0)
        passed = [k for k in remaining if contest.leads[k] > 0 and (best > contest.leads[k]).mean() <= level]
        if not passed:
            break
        remaining = [k for k in remaining if k not in passed]
    survivors = surviving_strategies(differences, level=level, seed=6, draws=400, block_length=3.0)
    assert np.flatnonzero(~survivors.survives).tolist() == remaining
    assert 0 < len(remaining) < 10


def test_noise_is_taken_for_skill_about_as_often_as_the_level_says() -> None:
    wrong, some_survive = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        differences = rng.standard_normal((200, 12)) * np.linspace(0.1, 3.0, 12)
        drawn = resampled_means(differences, block_length=2.0, draws=200, seed=rng)
        contest = contest_of(differences, drawn, block_length=2.0)
        wrong += spa_p_values(contest)[1] <= 0.10
        some_survive += (step_wise_p_values(contest) <= 0.10).any()
    assert wrong == some_survive
    assert 0.06 <= wrong / 200 <= 0.15


def test_among_real_edges_a_worthless_strategy_survives_no_oftener_than_the_level() -> None:
    wrong, found = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        differences = rng.standard_normal((200, 10))
        differences[:, :3] += 0.3
        survives = surviving_strategies(differences, level=0.10, seed=rng, draws=200, block_length=2.0).survives
        wrong += survives[3:].any()
        found += survives[:3].sum()
    assert 0.05 <= wrong / 200 <= 0.15
    assert found / 600 > 0.9


def test_when_no_strategy_is_ahead_nothing_is_shown() -> None:
    differences = -np.abs(mixed())
    answer = superior_predictive_ability(differences, seed=1)
    assert (answer.p_lower, answer.p_consistent, answer.p_upper, answer.statistic) == (1.0, 1.0, 1.0, 0.0)
    assert not surviving_strategies(differences, level=0.99, seed=1).survives.any()
    idle = superior_predictive_ability(np.zeros((50, 3)), seed=1)
    assert (idle.p_lower, idle.p_consistent, idle.p_upper, idle.statistic) == (1.0, 1.0, 1.0, 0.0)


@pytest.mark.parametrize("studentise", [True, False])
def test_a_strategy_without_spread_has_no_lead_in_any_resample(studentise: bool) -> None:
    differences = np.column_stack([mixed()[:, 0], np.zeros(250), np.full(250, -1e9 / 3)])
    drawn = resampled_means(differences, block_length=3.0, draws=50, seed=1)
    contest = contest_of(differences, drawn, block_length=3.0, studentise=studentise)
    assert (contest.leads[1:] == 0.0).all()
    assert (contest.resampled[:, 1:] == 0.0).all()


def test_without_a_block_length_it_is_the_median_of_the_strategies_own() -> None:
    steps = np.random.default_rng(1).standard_normal((200, 3))
    differences = np.column_stack([steps[:, 0], steps[:, 1].cumsum(), steps[:, 2]])
    lengths = sorted(automatic_block_length(column) for column in differences.T)
    assert superior_predictive_ability(differences, seed=1).block_length == lengths[1]
    assert surviving_strategies(differences, level=0.1, seed=1).block_length == lengths[1]
    assert lengths[1] < lengths[2]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_p_values_are_ordered_chances_and_each_survivor_has_its_own(seed: int, strategies: int) -> None:
    differences = np.random.default_rng(seed).standard_normal((40, strategies)) + 0.1
    answer = superior_predictive_ability(differences, seed=seed, draws=100)
    assert 0.0 <= answer.p_lower <= answer.p_consistent <= answer.p_upper <= 1.0
    survivors = surviving_strategies(differences, level=0.2, seed=seed, draws=100)
    assert ((survivors.p_values >= 0.0) & (survivors.p_values <= 1.0)).all()
    assert survivors.p_values.min() == answer.p_consistent
    assert survivors.survives.any() == (answer.p_consistent <= 0.2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_order_and_size_of_strategies_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    differences = rng.standard_normal((40, 6)) + 0.1
    order, sizes = rng.permutation(6), 10.0 ** rng.uniform(-3, 3, 6)
    one = surviving_strategies(differences, level=0.3, seed=seed, draws=100, block_length=2.0)
    other = surviving_strategies((differences * sizes)[:, order], level=0.3, seed=seed, draws=100, block_length=2.0)
    assert other.p_values == pytest.approx(one.p_values[order], abs=0.011)  # a tie may round the other way
    plain = superior_predictive_ability(differences, seed=seed, draws=100, block_length=2.0)
    sized = superior_predictive_ability(differences * sizes, seed=seed, draws=100, block_length=2.0)
    assert sized.statistic == pytest.approx(plain.statistic)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_hopeless_and_idle_strategies_change_nothing_but_the_upper_p_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    differences = rng.standard_normal((40, 4)) + 0.1
    more = np.column_stack([differences, rng.standard_normal(40) - 50.0, np.zeros(40), np.full(40, -0.1)])
    one = superior_predictive_ability(differences, seed=seed, draws=100, block_length=2.0)
    other = superior_predictive_ability(more, seed=seed, draws=100, block_length=2.0)
    assert (other.p_lower, other.p_consistent, other.statistic) == pytest.approx(
        (one.p_lower, one.p_consistent, one.statistic), abs=1e-9
    )
    assert other.p_upper >= one.p_upper
    survivors = surviving_strategies(more, level=0.5, seed=seed, draws=100, block_length=2.0)
    assert survivors.p_values[4:].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("differences", "words"),
    [
        (np.zeros((9, 3)), r"shape \(9, 3\): give \(t, k\) with at least 10 rows"),
        (np.zeros((20, 0)), r"shape \(20, 0\)"),
        (np.zeros(20), r"shape \(20,\)"),
        (np.full((20, 2), [np.nan, 0.0]), r"differences\[0, 0\]=nan"),
        (np.full((20, 2), [0.0, 0.001]), r"differences\[:, 1\] is 0.001 at every row"),
    ],
)
def test_what_cannot_be_tested_is_refused_with_its_value(differences: Floats, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        superior_predictive_ability(differences, seed=1)
    with pytest.raises(ValueError, match=words):
        surviving_strategies(differences, level=0.05, seed=1)


def test_draws_and_levels_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="draws=0"):
        superior_predictive_ability(mixed(), seed=1, draws=0)
    for level in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="level="):
            surviving_strategies(mixed(), level=level, seed=1)
