"""What could be proven at all, held against the deflated Sharpe ratio that it was solved from."""

from __future__ import annotations

from math import inf, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_brain.evidence.deflated_sharpe import deflated_sharpe
from ai_brain.evidence.minimum_track_record import minimum_track_record
from ai_brain.evidence.power import power_of, power_sentence, provable_sharpe
from ai_brain.evidence.return_moments import ReturnMoments


@given(
    bars=st.integers(10, 2_000_000),
    trials=st.integers(1, 1_000_000),
    confidence=st.sampled_from([0.8, 0.9, 0.95, 0.99]),
)
def test_a_record_at_the_provable_sharpe_is_just_proven(bars: int, trials: int, confidence: float) -> None:
    variance = 1.0 / (bars - 1)
    needed = provable_sharpe(bars, trials=trials, sharpe_variance=variance, confidence=confidence)
    told = deflated_sharpe(ReturnMoments(bars, needed), trials=trials, sharpe_variance=variance)
    assert told == pytest.approx(confidence, abs=1e-6)


def test_alone_it_is_the_sharpe_whose_minimum_track_record_is_what_there_is() -> None:
    needed = provable_sharpe(1_000, trials=1, sharpe_variance=1e-3, confidence=0.95)
    assert minimum_track_record(ReturnMoments(1_000, needed), confidence=0.95) == pytest.approx(1_000, rel=1e-9)


def test_the_hurdle_of_the_design_three_years_and_a_thousand_tries() -> None:
    hours = 3 * 8760
    power = power_of(hours, trials=1_000, ledger_variance=None, bars_per_year=8760.0, confidence=0.5)
    assert power.provable_sharpe_annual == pytest.approx(3.255122 / sqrt(3.0), rel=1e-3)
    sure = power_of(hours, trials=1_000, ledger_variance=None, bars_per_year=8760.0, confidence=0.95)
    assert sure.provable_sharpe_annual == pytest.approx((3.255122 + 1.645) / sqrt(3.0), rel=1e-3)


def test_more_tries_need_more_and_more_data_needs_less() -> None:
    def needed(bars: int, trials: int) -> float:
        told = power_of(bars, trials=trials, ledger_variance=None, bars_per_year=8760.0, confidence=0.95)
        assert told.provable_sharpe_annual is not None
        return told.provable_sharpe_annual

    assert needed(8760, 10) < needed(8760, 100) < needed(8760, 10_000)
    assert needed(3 * 8760, 100) < needed(8760, 100)


def test_nothing_is_provable_on_a_bar_or_two_and_it_is_said_so() -> None:
    assert provable_sharpe(2, trials=1, sharpe_variance=1.0, confidence=0.95) == inf
    power = power_of(2, trials=7, ledger_variance=None, bars_per_year=8760.0, confidence=0.95)
    assert power_sentence(power, bars_per_year=8760.0).endswith("nothing can be proven, however good.")
    with pytest.raises(ValueError, match="bars=1"):
        provable_sharpe(1, trials=1, sharpe_variance=1.0, confidence=0.95)


def test_the_sentence_has_the_length_the_count_and_the_ratio() -> None:
    power = power_of(8760, trials=1_202, ledger_variance=None, bars_per_year=8760.0, confidence=0.95)
    assert power_sentence(power, bars_per_year=8760.0) == (
        "With 1 years of judged bars and 1,202 ideas tried, only a net Sharpe of 4.95 a year or more on the "
        "judged bars can be proven (deflated, 95%)."
    )
