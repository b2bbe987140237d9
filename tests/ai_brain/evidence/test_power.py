"""What could be proven at all, held against the deflated Sharpe ratio that it was solved from."""

from __future__ import annotations

from math import inf, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_brain.evidence.cheap_rejection import of_power
from ai_brain.evidence.deflated_sharpe import deflated_sharpe
from ai_brain.evidence.expected_maximum_sharpe import expected_maximum_sharpe
from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.minimum_track_record import minimum_track_record
from ai_brain.evidence.power import power_of, power_sentence, provable_sharpe
from ai_brain.evidence.return_moments import ReturnMoments
from ai_brain.evidence.verdict import Power


@given(
    bars=st.integers(10, 2_000_000),
    trials=st.integers(1, 1_000_000),
    confidence=st.sampled_from([0.8, 0.9, 0.95, 0.99]),
)
def test_a_record_at_the_provable_sharpe_is_just_proven(bars: int, trials: int, confidence: float) -> None:
    variance = 1.0 / (bars - 1)
    best = expected_maximum_sharpe(trials)
    needed = provable_sharpe(bars, hurdle=best * sqrt(variance), confidence=confidence)
    told = deflated_sharpe(ReturnMoments(bars, needed), expected_maximum=best, sharpe_variance=variance)
    assert told == pytest.approx(confidence, abs=1e-6)


def test_alone_it_is_the_sharpe_whose_minimum_track_record_is_what_there_is() -> None:
    needed = provable_sharpe(1_000, hurdle=0.0, confidence=0.95)
    assert minimum_track_record(ReturnMoments(1_000, needed), confidence=0.95) == pytest.approx(1_000, rel=1e-9)


def weighed(
    bars: int, *, trials: int = 1, vault_bars: int | None = None, vault_level: float = 0.05, confidence: float = 0.95
) -> Power:
    """Of an hourly tape whose newest 40 % are the vault."""
    return power_of(
        bars,
        vault_bars=vault_bars or int(bars * 0.4),
        vault_level=vault_level,
        trials=trials,
        expected_maximum=expected_maximum_sharpe(trials),
        bars_per_year=8760.0,
        confidence=confidence,
    )


def annual(power: Power) -> float:
    assert power.provable_sharpe_annual is not None
    return power.provable_sharpe_annual


def test_the_hurdle_of_the_design_three_years_and_a_thousand_tries() -> None:
    hours = 3 * 8760
    even = weighed(hours, trials=1_000, confidence=0.5)
    assert annual(even) == pytest.approx(3.255122 / sqrt(3.0), rel=1e-3)
    sure = weighed(hours, trials=1_000)
    assert annual(sure) == pytest.approx((3.255122 + 1.645) / sqrt(3.0), rel=1e-3)


def test_more_tries_need_more_and_more_data_needs_less() -> None:
    assert annual(weighed(8760, trials=10)) < annual(weighed(8760, trials=100)) < annual(weighed(8760, trials=10_000))
    assert annual(weighed(3 * 8760, trials=100)) < annual(weighed(8760, trials=100))


def test_the_harder_of_record_and_vault_is_what_it_takes() -> None:
    record = (3.255122 + 1.645) / sqrt(10.0)  # a thousand ideas over ten years
    assert annual(weighed(87_600, trials=1_000, vault_level=0.05)) == pytest.approx(record, rel=1e-3)
    late = weighed(87_600, trials=1_000, vault_level=1e-4)  # the stream asks for z = 3.719 of the four newest years
    assert annual(late) == pytest.approx(3.719 / sqrt(4.0), rel=1e-3)
    assert annual(weighed(87_600, trials=1_000, vault_bars=8_760)) == pytest.approx(1.645, rel=1e-3)


def test_nothing_is_provable_on_a_bar_or_two_and_it_is_said_so() -> None:
    assert provable_sharpe(2, hurdle=0.0, confidence=0.95) == inf
    power = weighed(2, trials=7, vault_bars=2)
    assert power.provable_sharpe_annual is None
    assert power_sentence(power, bars_per_year=8760.0).endswith("nothing can be proven, however good.")
    with pytest.raises(ValueError, match="bars=1"):
        provable_sharpe(1, hurdle=0.0, confidence=0.95)


def test_the_sentence_has_the_length_the_count_and_the_ratio() -> None:
    power = weighed(8760, trials=1_202)
    assert power_sentence(power, bars_per_year=8760.0) == (
        "With 1 years of bars and 1,202 ideas tried, only a net Sharpe of 4.95 a year or more can be proven "
        "(deflated at 95%, and in the vault at a level of 0.05)."
    )


def test_a_tape_that_could_prove_only_what_nobody_would_believe_is_refused_with_the_sentence() -> None:
    power = weighed(4380, trials=500, vault_level=0.02)
    (found,) = of_power(power, GateSettings(), bars_per_year=8760.0)
    assert (found.reason, found.passed, found.refuses) == (GateReason.NOTHING_PROVABLE, False, True)
    assert found.note == (
        f"With 0.5 years of bars and 500 ideas tried, only a net Sharpe of {annual(power):.2f} a year or more can be "
        "proven (deflated at 95%, and in the vault at a level of 0.02). Above 5 a result is taken for a bug, so "
        "nothing can be proven here; fetch more history."
    )
    assert of_power(power, GateSettings(max_sharpe_annual=annual(power)), bars_per_year=8760.0) == []
    (hopeless,) = of_power(weighed(2, vault_bars=2), GateSettings(max_sharpe_annual=1e9), bars_per_year=8760.0)
    assert hopeless.note.startswith("With 0.00023 years of bars and 1 idea tried nothing can be proven, however good.")
