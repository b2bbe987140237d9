"""The published numbers of the Sharpe statistics, and what they must refuse."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_brain.evidence.deflated_sharpe import deflated_sharpe
from ai_brain.evidence.expected_maximum_sharpe import expected_maximum_sharpe
from ai_brain.evidence.minimum_track_record import minimum_track_record
from ai_brain.evidence.probabilistic_sharpe import probabilistic_sharpe
from ai_brain.evidence.return_moments import ReturnMoments, return_moments

PAPER_2014 = ReturnMoments(1250, 2.5 / sqrt(250), -3.0, 10.0)


def deflated(moments: ReturnMoments, trials: int, variance: float) -> float:
    """Of as many independent trials, as in the paper."""
    return deflated_sharpe(moments, expected_maximum=expected_maximum_sharpe(trials), sharpe_variance=variance)


def test_the_probabilistic_sharpe_of_the_2012_paper() -> None:
    skewed = ReturnMoments(24, 1.585 / sqrt(12), -2.448, 10.164)
    assert probabilistic_sharpe(skewed) == pytest.approx(0.913234, abs=5e-7)
    assert probabilistic_sharpe(ReturnMoments(24, 1.585 / sqrt(12))) == pytest.approx(0.981591, abs=5e-7)


def test_the_deflated_sharpe_of_the_2014_paper() -> None:
    variance = 0.5 / 250
    assert expected_maximum_sharpe(100, sharpe_variance=variance) == pytest.approx(0.113172, abs=5e-7)
    assert deflated_sharpe(
        PAPER_2014, expected_maximum=expected_maximum_sharpe(100), sharpe_variance=variance
    ) == pytest.approx(0.900397, abs=5e-7)
    assert deflated_sharpe(
        PAPER_2014, expected_maximum=expected_maximum_sharpe(46), sharpe_variance=variance
    ) == pytest.approx(0.950502, abs=5e-7)
    normal = ReturnMoments(1250, 2.5 / sqrt(250))
    assert deflated_sharpe(
        normal, expected_maximum=expected_maximum_sharpe(88), sharpe_variance=variance
    ) == pytest.approx(0.950491, abs=5e-7)


@pytest.mark.parametrize(("trials", "published"), [(10, 1.574598), (100, 2.530603), (1000, 3.255122)])
def test_the_expected_maximum_of_worthless_trials(trials: int, published: float) -> None:
    assert expected_maximum_sharpe(trials) == pytest.approx(published, abs=5e-7)


def test_the_minimum_track_records_of_the_2012_paper_in_years() -> None:
    daily = minimum_track_record(ReturnMoments(2, 2 / sqrt(250)), benchmark_sharpe=1 / sqrt(250)) / 250
    weekly = minimum_track_record(ReturnMoments(2, 2 / sqrt(52)), benchmark_sharpe=1 / sqrt(52)) / 52
    hedge_fund = ReturnMoments(2, 3 / sqrt(12), -0.72, 5.78)
    monthly = minimum_track_record(hedge_fund, benchmark_sharpe=2.5 / sqrt(12)) / 12
    assert daily == pytest.approx(2.731188, abs=5e-6)
    assert weekly == pytest.approx(2.828834, abs=5e-6)
    assert monthly == pytest.approx(27.352920, abs=5e-5)


def test_moments_are_sample_deviation_and_biased_pearson_moments() -> None:
    returns = np.array([0.01, -0.02, 0.03, 0.0, -0.01, 0.05])
    moments = return_moments(returns)
    z = (returns - returns.mean()) / returns.std(ddof=0)
    assert moments.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1), rel=1e-12)
    assert moments.skew == pytest.approx((z**3).mean(), rel=1e-12)
    assert moments.kurtosis == pytest.approx((z**4).mean(), rel=1e-12)


def test_what_never_moved_has_sharpe_zero_and_proves_nothing() -> None:
    flat = return_moments(np.zeros(500))
    assert (flat.sharpe, flat.skew, flat.kurtosis) == (0.0, 0.0, 3.0)
    assert minimum_track_record(flat) == inf
    assert probabilistic_sharpe(flat) == 0.5


def test_one_trial_is_not_deflated_and_each_further_one_raises_the_hurdle() -> None:
    assert deflated_sharpe(
        PAPER_2014, expected_maximum=expected_maximum_sharpe(1), sharpe_variance=0.002
    ) == probabilistic_sharpe(PAPER_2014)
    hurdles = [expected_maximum_sharpe(n) for n in (1, 2, 5, 50, 5_000, 5_000_000)]
    assert hurdles == sorted(hurdles)
    assert len(set(hurdles)) == len(hurdles)


def test_excess_kurtosis_given_for_pearsons_is_refused() -> None:
    with pytest.raises(ValueError, match="not the excess"):
        ReturnMoments(100, 0.1, 0.0, 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_return_that_is_no_number_is_named(bad: float) -> None:
    with pytest.raises(ValueError, match=r"returns\[2\]"):
        return_moments(np.array([0.1, 0.2, bad, 0.3]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: return_moments(np.array([0.1])), "at least 2"),
        (lambda: ReturnMoments(1, 0.1), "at least 2"),
        (lambda: expected_maximum_sharpe(0), "trials=0"),
        (lambda: expected_maximum_sharpe(5, sharpe_variance=-1.0), "not a variance"),
        (lambda: expected_maximum_sharpe(5, sharpe_variance=float("nan")), "not a variance"),
        (lambda: minimum_track_record(PAPER_2014, confidence=1.0), "between 0 and 1"),
    ],
)
def test_senseless_inputs_are_refused_with_their_value(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]


@given(st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=60))
def test_any_finite_series_gives_probabilities(returns: list[float]) -> None:
    moments = return_moments(np.array(returns))
    for trials in (1, 7, 1000):
        assert 0.0 <= deflated(moments, trials, 0.01) <= 1.0


@given(st.floats(0.01, 0.5), st.floats(-2, 2), st.floats(0, 20))
def test_a_record_of_exactly_the_minimum_length_reaches_its_confidence(sharpe: float, skew: float, more: float) -> None:
    moments = ReturnMoments(1000, sharpe, skew, skew**2 + 1.001 + more)
    needed = minimum_track_record(moments, confidence=0.95)
    if needed > 2:
        longer = ReturnMoments(int(np.ceil(needed)), sharpe, skew, moments.kurtosis)
        assert probabilistic_sharpe(longer) >= 0.95 - 1e-9
