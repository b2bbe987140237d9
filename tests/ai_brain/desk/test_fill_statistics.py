"""Costs learned from fills: known answers, and intervals that hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ai_brain.desk.fill_statistics import (
    ENOUGH,
    LARGEST_RATIO,
    LEAST_RATIO,
    PRIOR_SD,
    Belief,
    Measured,
    assumed,
    believed,
    measured,
    t_95,
    wilson,
)

Floats = NDArray[np.float64]


def ratios(values: tuple[float, ...]) -> Floats:
    return np.array(values)


def test_students_quantiles_are_those_of_the_tables() -> None:
    for degrees, expected in ((9, 2.262), (10, 2.228), (20, 2.086), (29, 2.045), (60, 2.000), (120, 1.980)):
        assert t_95(degrees) == pytest.approx(expected, abs=0.001)


def test_wilsons_interval_is_that_of_the_papers() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3
    for part, of, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (1, 29, 0.0061, 0.1718)):
        assert wilson(part, of) == pytest.approx((low, high), abs=0.0001)
    assert wilson(0, 20)[0] == 0.0
    assert wilson(0, 20)[1] == pytest.approx(0.1611, abs=0.0001)
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)


@given(st.integers(0, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
@settings(max_examples=60)
def test_a_shares_interval_lies_in_bounds_holds_the_share_and_shrinks_with_n(count: tuple[int, int]) -> None:
    part, of = count
    low, high = wilson(part, of)
    assert 0.0 <= low <= high <= 1.0
    if of:
        assert low <= part / of <= high
        narrower = wilson(4 * part, 4 * of)
        assert narrower[1] - narrower[0] < high - low


def test_what_was_paid_is_held_against_what_was_charged_in_money_and_by_saga() -> None:
    """By hand: sums 6 and 4; residuals of the two sagas 3 - 1.5 * 2 = 0 and 3 - 1.5 * 2 = 0."""
    found = measured(ratios((1.0, 2.0, 3.0)), ratios((1.0, 1.0, 2.0)), np.array(["a", "a", "b"]))
    assert found == Measured(3, 2, 1.5, 0.0)
    # residuals 4 - 1.5 * 2 = 1 and 2 - 1.5 * 2 = -1: sqrt(2 / 1 * 2) / 4
    found = measured(ratios((4.0, 2.0)), ratios((2.0, 2.0)), np.array(["a", "b"]))
    assert found == Measured(2, 2, 1.5, 0.5)


def test_what_cannot_be_measured_moves_nothing() -> None:
    nothing = measured(ratios(()), ratios(()), np.array([], dtype=np.int64))
    assert nothing == Measured(0, 0, None, None)
    free = measured(ratios((1.0, 2.0)), ratios((0.0, 0.0)), np.arange(2))
    alone = measured(ratios((9.0,) * 40), ratios((1.0,) * 40), np.zeros(40, dtype=np.int64))
    few = measured(ratios((9.0,) * 29), ratios((1.0,) * 29), np.arange(29))
    for found in (nothing, free, alone, few):
        assert not found.is_enough
        assert believed(found).ratio == 1.0
    with pytest.raises(ValueError, match=r"\[1\] paid nan"):
        measured(ratios((1.0, float("nan"))), ratios((1.0, 1.0)), np.arange(2))


def test_the_more_fills_weigh_the_nearer_they_bring_the_belief() -> None:
    prior = believed(Measured(0, 0, None, None))
    assert (prior.ratio, prior.high) == (1.0, pytest.approx(1.0 + 1.96 * PRIOR_SD, abs=1e-4))
    near, far = (believed(Measured(60, 60, 3.0, error)).ratio for error in (0.05, 2.0))
    assert 1.0 < far < 1.1 < 2.9 < near < 3.0
    # as wide as the prior: half way
    assert believed(Measured(60, 60, 2.0, PRIOR_SD)).ratio == pytest.approx(1.5)


@given(
    st.integers(0, 500),
    st.floats(-100.0, 100.0),
    st.floats(0.0, 50.0),
    st.floats(0.1, 10.0),
)
@settings(max_examples=80)
def test_a_belief_lies_in_bounds_and_between_the_prior_and_the_fills(
    n: int, ratio: float, error: float, prior: float
) -> None:
    belief = believed(Measured(n, n, ratio, error), prior=prior)
    assert 0.0 <= belief.low <= belief.ratio <= belief.high <= belief.ceiling <= LARGEST_RATIO
    clipped = min(max(ratio, 0.0), LARGEST_RATIO)
    assert min(prior, clipped) - 1e-9 <= belief.ratio <= max(prior, clipped) + 1e-9
    if n >= ENOUGH:
        wider = believed(Measured(n, n, prior, 2.0 * error), prior=prior)
        narrower = believed(Measured(n, n, prior, error), prior=prior)
        assert narrower.high - narrower.low <= wider.high - wider.low + 1e-12


@given(st.floats(0.0, 5.0), st.tuples(*[st.floats(0.0, 5.0)] * 3).map(sorted))
@settings(max_examples=80)
def test_costs_rise_at_once_and_fall_only_under_the_dear_end(before: float, ends: list[float]) -> None:
    ratio, high, ceiling = ends
    now = assumed(before, Belief(ratio, 0.0, high, ceiling))
    assert now >= ratio
    assert now >= min(before, ceiling)
    if now < before:
        assert ceiling < before
        assert now == max(ceiling, LEAST_RATIO)
    if ratio > max(before, LEAST_RATIO):
        assert now == ratio


def test_the_interval_holds_the_ratio_as_often_as_it_says_and_leans_to_no_side() -> None:
    """Fills of a market whose true k lies about the one that is charged, sagas of three orders with a price of their
    own: 95 % of the intervals hold the true ratio, and the raw ratio is right on average.
    """
    rng, held, off, raw = np.random.default_rng(7), 0, [], []
    worlds, sagas, per = 600, 25, 3
    group = np.repeat(np.arange(sagas), per)
    for _ in range(worlds):
        true = 1.0 + PRIOR_SD * rng.standard_normal()
        notional = rng.choice([200.0, 1_000.0, 5_000.0], sagas * per)
        charged = notional * 0.7e-4
        drift = np.repeat(rng.normal(0.0, 0.5e-4, sagas), per)
        paid = true * charged + notional * (drift + rng.normal(0.0, 0.3e-4, sagas * per))
        found = measured(paid, charged, group)
        belief = believed(found)
        held += belief.low <= true <= belief.high
        off.append(belief.ratio - true)
        raw.append((found.ratio or 0.0) - true)
    assert 0.925 <= held / worlds <= 0.985
    assert abs(np.mean(raw)) < 0.05
    assert abs(np.mean(off)) < 0.05
    assert np.std(off) < np.std(raw)
