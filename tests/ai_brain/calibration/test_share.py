"""A counted share with its exact interval."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_brain.calibration.share import share_interval


def test_the_published_intervals() -> None:
    """Rule of three's exact form for no hit; 10 of 20 as in every table of Clopper and Pearson."""
    assert share_interval(0, 1000) == (0.0, pytest.approx(1.0 - 0.025 ** (1 / 1000)))
    assert share_interval(10, 20) == pytest.approx((0.27196, 0.72804), abs=1e-5)
    assert share_interval(20, 20) == (pytest.approx(0.025 ** (1 / 20)), 1.0)


@given(st.integers(1, 60).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_at_its_ends_the_count_is_as_rare_as_the_tail(pair: tuple[int, int]) -> None:
    count, of = pair
    low, high = share_interval(count, of)
    assert low <= count / of <= high

    def chance(share: float, counts: range) -> float:
        return sum(comb(of, k) * share**k * (1.0 - share) ** (of - k) for k in counts)

    if count > 0:
        assert chance(low, range(count, of + 1)) == pytest.approx(0.025, rel=1e-6)
    if count < of:
        assert chance(high, range(count + 1)) == pytest.approx(0.025, rel=1e-6)


def test_a_count_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        share_interval(3, 2)
