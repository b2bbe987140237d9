"""The stationary bootstrap against its formulas, against theory, and against the arch package."""

from __future__ import annotations

from itertools import pairwise
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ai_brain.evidence.stationary_bootstrap import (
    automatic_block_length,
    mean_interval,
    mean_variance,
    resampled_means,
    stationary_bootstrap,
)

Floats = NDArray[np.float64]

ARCH_8_0_0_BLOCK_LENGTHS = [
    (0.0, 500, 1, 3.1897088592453064),
    (0.3, 400, 2, 3.932727310591354),
    (0.7, 1000, 3, 17.233536728445802),
    (-0.4, 800, 4, 8.31852108451455),
    (0.9, 2000, 5, 48.28117032545938),
    (0.0, 30, 6, 1.0272504627583317),
]
"""Autocorrelation, length, seed, and what arch.bootstrap.optimal_block_length 8.0.0 says of that series."""


def autoregression(phi: float, n: int, seed: int) -> Floats:
    """(n,) y[i] = phi y[i - 1] + normal."""
    shocks = np.random.default_rng(seed).standard_normal(n)
    values = np.empty(n)
    values[0] = shocks[0]
    for i in range(1, n):
        values[i] = phi * values[i - 1] + shocks[i]
    return values


def test_blocks_have_the_length_asked_for_and_every_row_is_as_frequent() -> None:
    indices = stationary_bootstrap(50, block_length=8.0, draws=4000, seed=1)
    goes_on = (indices[:, 1:] == (indices[:, :-1] + 1) % 50).mean()
    assert goes_on == pytest.approx(1 - 1 / 8 + 1 / 8 / 50, abs=0.003)  # by chance the new block is the next row too
    shares = np.bincount(indices.ravel(), minlength=50) / indices.size
    assert shares == pytest.approx(np.full(50, 1 / 50), rel=0.08)
    assert np.bincount(indices[:, 49], minlength=50) / 4000 == pytest.approx(np.full(50, 1 / 50), abs=0.01)


def test_after_the_last_row_comes_the_first() -> None:
    (indices,) = stationary_bootstrap(7, block_length=1e12, draws=1, seed=3)
    assert [(b - a) % 7 for a, b in pairwise(indices)] == [1] * 6


@pytest.mark.parametrize("seed", [7, np.random.SeedSequence(7).generate_state(1)[0].item()])
def test_the_same_seed_gives_the_same_resamples_and_a_generator_is_drawn_on(seed: int) -> None:
    one = stationary_bootstrap(20, block_length=3.0, draws=5, seed=seed)
    assert (one == stationary_bootstrap(20, block_length=3.0, draws=5, seed=np.random.default_rng(seed))).all()
    generator = np.random.default_rng(seed)
    stationary_bootstrap(20, block_length=3.0, draws=5, seed=generator)
    assert (one != stationary_bootstrap(20, block_length=3.0, draws=5, seed=generator)).any()


def test_means_are_those_of_the_resampled_rows() -> None:
    values = np.random.default_rng(2).standard_normal((40, 3))
    rows = stationary_bootstrap(40, block_length=4.0, draws=25, seed=9)
    assert resampled_means(values, block_length=4.0, draws=25, seed=9) == pytest.approx(values[rows].mean(axis=1))


@pytest.mark.parametrize("block_length", [1.0, 3.5, 20.0])
def test_the_variance_is_hansens_sum_and_that_of_many_resamples(block_length: float) -> None:
    values = np.column_stack([autoregression(phi, 61, 5) for phi in (0.0, 0.6, -0.5)])
    n, q = len(values), 1.0 / block_length
    centred = values - values.mean(0)
    by_lag = [(centred[i:] * centred[: n - i]).sum(0) / n for i in range(n)]
    kernel = [(n - i) / n * (1 - q) ** i + i / n * (1 - q) ** (n - i) for i in range(n)]
    slow = by_lag[0] + 2 * sum(k * g for k, g in zip(kernel[1:], by_lag[1:], strict=True))
    fast = mean_variance(values, block_length=block_length)
    assert fast == pytest.approx(slow, rel=1e-9)
    drawn = resampled_means(values, block_length=block_length, draws=8000, seed=4)
    assert drawn.var(axis=0) * n == pytest.approx(fast, rel=0.08)


def test_a_constant_has_no_variance_whatever_its_rounding() -> None:
    assert (mean_variance(np.full((33, 2), [0.1, 1e9 / 3]), block_length=3.0) == 0.0).all()


@pytest.mark.parametrize(("phi", "n", "seed", "known"), ARCH_8_0_0_BLOCK_LENGTHS)
def test_block_lengths_are_those_of_arch(phi: float, n: int, seed: int, known: float) -> None:
    assert automatic_block_length(autoregression(phi, n, seed)) == pytest.approx(known, rel=1e-9)


def test_block_lengths_are_those_of_arch_computed_now() -> None:
    arch = pytest.importorskip("arch", reason="arch is not installed: dependency group `oracles`")
    from arch.bootstrap import optimal_block_length

    assert arch.__version__
    # Longer ones: arch divides autocovariances by the variance of what overlaps, the paper by that of all values, and
    # of short series a few pass the threshold by the one and not by the other.
    series = [autoregression(phi, n, seed) for phi in (-0.5, 0.0, 0.5, 0.8) for n in (500, 900) for seed in range(5)]
    theirs = [max(1.0, float(optimal_block_length(x)["stationary"].iloc[0])) for x in series]
    assert [automatic_block_length(x) for x in series] == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("phi", [0.2, 0.5, 0.7])
def test_long_series_have_the_block_length_of_theory(phi: float) -> None:
    """Politis & White (2004) as corrected: for an AR(1) (n (2 phi / (1 - phi**2))**2) ** (1/3)."""
    n = 4000
    found = [automatic_block_length(autoregression(phi, n, seed)) for seed in range(12)]
    assert np.mean(found) == pytest.approx((n * (2 * phi / (1 - phi**2)) ** 2) ** (1 / 3), rel=0.2)


def test_a_constant_is_drawn_row_by_row_and_what_never_calms_down_in_long_blocks() -> None:
    assert automatic_block_length(np.full(100, 0.1)) == 1.0
    assert automatic_block_length(np.arange(100.0)) == pytest.approx(14.204213636054753)  # arch 8.0.0
    assert automatic_block_length(np.tile([1.0, -1.0], 50)) == pytest.approx(15.620934291889274)  # arch 8.0.0
    undone = np.diff(np.random.default_rng(2).standard_normal(101))  # each shock is taken back: the estimate explodes
    assert automatic_block_length(undone) == 30.0  # 3 sqrt(100), as arch 8.0.0


def test_the_interval_of_independent_normals_is_students() -> None:
    values = np.random.default_rng(11).standard_normal(400)
    interval = mean_interval(values, draws=4000, seed=1)
    half = 1.966 * values.std(ddof=0) / sqrt(400)
    wide = sqrt(mean_variance(values[:, None], block_length=interval.block_length)[0] / values.var())
    assert interval.mean == values.mean()
    assert interval.mean - interval.low == pytest.approx(half * wide, rel=0.08)
    assert interval.high - interval.mean == pytest.approx(half * wide, rel=0.08)


def test_a_few_large_winners_push_the_interval_upwards() -> None:
    values = np.random.default_rng(12).lognormal(0.0, 1.0, 60)
    interval = mean_interval(values, seed=1)
    assert interval.high - interval.mean > 1.3 * (interval.mean - interval.low)


@pytest.mark.parametrize("kind", ["normal", "stop and target", "runs"])
def test_the_true_mean_lies_in_the_interval_about_as_often_as_it_says(kind: str) -> None:
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        if kind == "normal":
            values = rng.standard_normal(80)
        elif kind == "stop and target":
            values = np.where(rng.random(80) < 0.25, 3.0, -1.0)
        else:
            values = autoregression(0.2, 80, seed)
        interval = mean_interval(values, confidence=0.9, draws=200, seed=rng)
        inside += interval.low <= 0.0 <= interval.high
    assert 0.83 <= inside / 200 <= 0.95


def test_wins_that_are_all_alike_say_nothing_of_the_losses_to_come() -> None:
    assert mean_interval(np.full(50, 0.1), seed=1).low == -inf
    assert mean_interval(np.r_[np.full(29, 1.0), -9.0], seed=1).low == -inf
    assert mean_interval(np.r_[np.full(29, 1.0), -9.0], seed=1).high < inf


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 4.0, 1024.0]), st.floats(-3, 3))
def test_the_interval_moves_and_grows_with_its_values(seed: int, factor: float, shift: float) -> None:
    values = np.random.default_rng(seed).standard_normal(30)
    one = mean_interval(values, draws=100, seed=seed)
    other = mean_interval(values * factor + shift, draws=100, seed=seed)
    assert other.low == pytest.approx(one.low * factor + shift, rel=1e-6, abs=1e-6 * factor)
    assert other.high == pytest.approx(one.high * factor + shift, rel=1e-6, abs=1e-6 * factor)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(10, 40))
def test_more_confidence_is_a_wider_interval_and_the_mirrored_values_a_mirrored_one(seed: int, n: int) -> None:
    values = np.random.default_rng(seed).exponential(size=n)
    narrow, wide = (mean_interval(values, confidence=c, draws=200, seed=seed) for c in (0.8, 0.98))
    assert wide.low <= narrow.low <= narrow.mean <= narrow.high <= wide.high or narrow.low > narrow.mean
    mirrored = mean_interval(-values, confidence=0.8, draws=200, seed=seed)
    assert (mirrored.low, mirrored.high) == pytest.approx((-narrow.high, -narrow.low), rel=1e-9)


def test_the_interval_does_not_depend_on_a_caller_s_array_being_writable() -> None:
    values = np.random.default_rng(1).standard_normal(30)
    before = mean_interval(values.copy(), seed=1)
    values.flags.writeable = False
    assert mean_interval(values, seed=1) == before


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: stationary_bootstrap(0, block_length=2.0, draws=1, seed=1), "n=0"),
        (lambda: stationary_bootstrap(9, block_length=0.5, draws=1, seed=1), r"block_length=0\.5"),
        (lambda: stationary_bootstrap(9, block_length=float("nan"), draws=1, seed=1), "block_length=nan"),
        (lambda: stationary_bootstrap(9, block_length=inf, draws=1, seed=1), "block_length=inf"),
        (lambda: stationary_bootstrap(9, block_length=2.0, draws=0, seed=1), "draws=0"),
        (lambda: automatic_block_length(np.ones(9)), r"shape \(9,\): give \(n,\) with at least 10"),
        (lambda: automatic_block_length(np.ones((20, 2))), r"shape \(20, 2\)"),
        (lambda: automatic_block_length(np.r_[np.ones(9), np.nan]), r"values\[9\]=nan"),
        (lambda: mean_interval(np.r_[np.ones(9), inf], seed=1), r"values\[9\]=inf"),
        (lambda: mean_interval(np.ones(9), seed=1), "at least 10"),
        (lambda: mean_interval(np.arange(10.0), confidence=1.0, seed=1), r"confidence=1\.0"),
        (lambda: mean_interval(np.arange(10.0), confidence=0.95, draws=39, seed=1), "draws=39"),
    ],
)
def test_senseless_inputs_are_refused_with_their_value(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
