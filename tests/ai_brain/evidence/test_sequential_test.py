"""The test of a living strategy against its promise: how often it is wrong, and how soon it is right."""

from __future__ import annotations

from functools import reduce
from itertools import accumulate
from math import prod, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from ai_brain.evidence.sequential_test import BETS, FORTUNE_CAP, Promise, SequentialTest, e_values, promise_of

PROMISE = Promise(expectancy=0.2, low=-3.0, high=3.0)
ALPHA = 0.05
LIVES = 2000
RESULTS = st.lists(st.floats(-10.0, 10.0), max_size=25)
LIGHTLY = settings(max_examples=50, deadline=None)


def after(results: list[float], promise: Promise = PROMISE) -> SequentialTest:
    return reduce(SequentialTest.updated, results, SequentialTest(promise=promise))


def share_failed(results: NDArray[np.float64], promise: Promise) -> float:
    """Share of lives whose e-value reached 1 / ALPHA after any result."""
    return float((e_values(results, promise=promise).max(axis=-1) >= 1 / ALPHA).mean())


def normal_lives(seed: int, *, mean: float, n: int, lives: int = LIVES) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((lives, n)) + mean


def assert_at_most(share: float, alpha: float) -> None:
    assert share <= alpha + 2 * sqrt(alpha * (1 - alpha) / LIVES)


def naive_e_value(results: list[float], promise: Promise) -> float:
    """The definition: every bet, begun at every result, with what was staked there; the rest lies unstaked."""
    excess = [min(max(x, promise.low), promise.high) - promise.expectancy for x in results]
    staked = [0.5 / (t * (t + 1)) + (0.5 if t == 1 else 0.0) for t in range(1, len(results) + 1)]
    fortunes = [
        stake * prod(1 - bet / (promise.high - promise.expectancy) * gap for gap in excess[begin:])
        for bet in BETS
        for begin, stake in enumerate(staked)
    ]
    return sum(fortunes) / len(BETS) + 1.0 - sum(staked)


@LIGHTLY
@given(RESULTS)
def test_the_e_value_is_the_mean_fortune_over_all_bets_and_beginnings(results: list[float]) -> None:
    assert after(results).e_value == pytest.approx(naive_e_value(results, PROMISE), rel=1e-9)


def test_a_single_result_by_hand() -> None:
    promise = Promise(expectancy=0.0, low=-1.0, high=1.0)
    mean_bet = sum(BETS) / 6
    assert after([-1.0], promise).e_value == pytest.approx(0.25 + 0.75 * (1 + mean_bet), rel=1e-15)
    assert after([0.5], promise).e_value == pytest.approx(0.25 + 0.75 * (1 - 0.5 * mean_bet), rel=1e-15)
    assert SequentialTest(promise=promise).e_value == 1.0


@LIGHTLY
@given(RESULTS, st.floats(-2.0, 2.0))
def test_an_array_gives_the_same_floats_as_one_result_after_the_other(results: list[float], expectancy: float) -> None:
    promise = Promise(expectancy=expectancy, low=-3.0, high=3.0)
    states = list(accumulate(results, SequentialTest.updated, initial=SequentialTest(promise=promise)))[1:]
    expected = [state.e_value for state in states]
    assert e_values(np.array(results), promise=promise).tolist() == expected
    lives = e_values(np.array([results, results[::-1]]), promise=promise)
    assert lives[0].tolist() == expected
    assert [state.highest_e_value for state in states] == [max(1.0, *expected[: n + 1]) for n in range(len(states))]


@LIGHTLY
@given(RESULTS, st.floats(-10.0, 10.0))
def test_a_test_that_was_written_down_goes_on_bit_for_bit(results: list[float], one_more: float) -> None:
    state = after(results)
    read = SequentialTest.model_validate_json(state.model_dump_json())
    assert read == state
    assert read.updated(one_more).fortunes == state.updated(one_more).fortunes
    assert read.e_value == state.e_value


def test_while_the_promise_holds_alarms_ever_come_in_at_most_a_share_alpha_of_lives() -> None:
    highest = e_values(normal_lives(1, mean=0.2, n=1000), promise=PROMISE).max(axis=1)
    for alpha in (0.05, 0.2):
        assert_at_most(float((highest >= 1 / alpha).mean()), alpha)


def test_that_holds_for_the_least_convenient_shape_too() -> None:
    # Two points at the ends of the range: clipping changes nothing and no variance is larger.
    wins = np.random.default_rng(2).random((LIVES, 1000)) < 0.6
    share = share_failed(np.where(wins, 1.0, -1.0), Promise(expectancy=0.2, low=-1.0, high=1.0))
    assert_at_most(share, ALPHA)
    assert share > ALPHA / 2  # the guarantee is used, not idle


def test_spreads_that_depend_on_the_past_do_not_break_the_guarantee() -> None:
    shocks = np.random.default_rng(3).uniform(-1.0, 1.0, (LIVES, 500))
    spread = np.ones_like(shocks)
    for t in range(1, shocks.shape[1]):
        spread[:, t] = np.where(shocks[:, t - 1] < 0, 2.0, 0.5)
    assert_at_most(share_failed(0.2 + shocks * spread, PROMISE), ALPHA)


def test_looking_after_every_result_with_an_ordinary_test_would_fail_many_that_keep_their_promise() -> None:
    results = normal_lives(1, mean=0.2, n=1000, lives=500)
    n = np.arange(1, 1001)
    z = (results.cumsum(axis=1) / n - 0.2) * np.sqrt(n)
    assert (z[:, 19:].min(axis=1) < -1.645).mean() > 0.25


@pytest.mark.parametrize(
    ("mean", "results", "at_least"), [(0.0, 200, 0.6), (0.0, 500, 0.95), (-0.1, 200, 0.93), (-0.3, 50, 0.68)]
)
def test_a_mean_below_the_promise_is_found(mean: float, results: int, at_least: float) -> None:
    """Standard deviation 1, promise 0.2: an edge that is gone, and losers of 0.1 and 0.3."""
    assert share_failed(normal_lives(4, mean=mean, n=results, lives=1000), PROMISE) >= at_least


def test_a_break_after_a_thousand_good_results_is_found_within_five_hundred() -> None:
    results = normal_lives(5, mean=0.2, n=1500, lives=300)
    results[:, 1000:] -= 0.3
    assert share_failed(results, PROMISE) > 0.9


def test_a_failed_promise_stays_failed() -> None:
    failed = after([-3.0] * 10)
    assert failed.has_failed(0.05)
    recovered = reduce(SequentialTest.updated, [3.0] * 50, failed)
    assert recovered.e_value < 1.0
    assert recovered.has_failed(0.05)
    assert recovered.highest_e_value == failed.e_value
    assert not after([3.0] * 50).has_failed(0.99)


def test_the_line_is_crossed_at_one_over_alpha_exactly() -> None:
    at = SequentialTest(promise=PROMISE, highest_e_value=16.0)
    assert at.has_failed(1 / 16)
    assert not at.has_failed(1 / 16 - 1e-12)


@LIGHTLY
@given(RESULTS, RESULTS)
def test_results_beyond_the_range_count_as_its_ends_and_worse_ones_never_lower_the_evidence(
    results: list[float], worse_by: list[float]
) -> None:
    clipped = [min(max(x, -3.0), 3.0) for x in results]
    assert after(clipped) == after(results)
    worse = [x - abs(y) for x, y in zip(results, worse_by, strict=False)]
    assert after(worse).e_value >= after(results[: len(worse)]).e_value


def test_a_very_long_life_of_either_kind_stays_a_number() -> None:
    lost = e_values(np.full(3000, -3.0), promise=PROMISE)
    won = e_values(np.full(3000, 3.0), promise=PROMISE)
    assert np.isfinite(lost).all()
    assert FORTUNE_CAP / 2 < lost[-1] <= FORTUNE_CAP
    assert (won > 0).all()
    assert won[-1] < 1.0


def test_a_promise_is_the_clipped_mean_less_its_standard_errors() -> None:
    results = np.array([0.5, -9.0, 1.0, 7.0, 0.0])
    clipped = np.array([0.5, -3.0, 1.0, 3.0, 0.0])
    assert promise_of(results, low=-3.0, high=3.0, standard_errors=0.0).expectancy == pytest.approx(clipped.mean())
    promise = promise_of(results, low=-3.0, high=3.0, standard_errors=1.5)
    assert promise.expectancy == pytest.approx(clipped.mean() - 1.5 * clipped.std(ddof=1) / sqrt(5))
    assert (promise.low, promise.high) == (-3.0, 3.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_result_that_is_no_number_is_refused_by_its_place(bad: float) -> None:
    with pytest.raises(ValueError, match="result 2 is"):
        after([0.1, bad])
    with pytest.raises(ValueError, match=r"results\[1\]"):
        e_values(np.array([0.1, bad]), promise=PROMISE)
    with pytest.raises(ValueError, match=r"results\[0, 1\]"):
        e_values(np.array([[0.1, bad]]), promise=PROMISE)
    with pytest.raises(ValueError, match=r"results\[1\]"):
        promise_of(np.array([0.1, bad]), low=-1.0, high=1.0, standard_errors=1.0)


@pytest.mark.parametrize(("expectancy", "low", "high"), [(1.0, -1.0, 1.0), (-1.0, -1.0, 1.0), (0.0, 1.0, -1.0)])
def test_an_expectancy_outside_its_range_is_refused(expectancy: float, low: float, high: float) -> None:
    with pytest.raises(ValidationError, match="is not between low"):
        Promise(expectancy=expectancy, low=low, high=high)


def test_one_result_promises_nothing() -> None:
    with pytest.raises(ValueError, match="at least 2 results"):
        promise_of(np.array([0.1]), low=-1.0, high=1.0, standard_errors=1.0)


@pytest.mark.parametrize("alpha", [0.0, 1.0, float("nan")])
def test_an_alpha_that_is_no_probability_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=f"alpha={alpha}"):
        after([]).has_failed(alpha)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('"results":-1', "results"),
        ('"fortunes":[1.0]', "at least 6 items"),
        ('"fortunes":[1,1,1,1,1,1,1]', "at most 6 items"),
        ('"fortunes":[1,1,1,1,1,-1]', r"fortunes\.5"),
        ('"highest_e_value":0.5', "highest_e_value"),
        ('"unknown":1', "unknown"),
    ],
)
def test_a_written_test_that_was_spoilt_is_refused(change: str, words: str) -> None:
    spoilt = f'{{"promise":{PROMISE.model_dump_json()},{change}}}'
    with pytest.raises(ValidationError, match=words):
        SequentialTest.model_validate_json(spoilt)
