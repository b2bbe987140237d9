"""Value at risk and shortfall of the hedged book, by hand and in general."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trading.risk.value_at_risk import MIN_LOSSES, STRESSED, correlation, hedge_losses, tail_risk, worse

HOUR_MS = 3_600_000
NOTHING = np.array([], dtype=np.float64)


def hours(prices: list[float]) -> dict[int, float]:
    return {i * HOUR_MS: price for i, price in enumerate(prices)}


def test_a_short_that_rises_against_its_spot_is_a_loss_and_hours_that_one_leg_lacks_do_not_count() -> None:
    spot, perp = hours([100.0] * 26), hours([100.0] * 24 + [101.0, 99.0])
    assert hedge_losses(spot, perp) == pytest.approx([0.01, -0.01])
    del spot[24 * HOUR_MS]
    assert hedge_losses(spot, perp) == pytest.approx([-0.01])


def test_the_tail_of_a_hundred_known_losses() -> None:
    losses = np.arange(1, 101, dtype=np.float64) / 1000
    tail = tail_risk(losses)
    assert tail.var_rate == 0.099  # one day of a hundred is worse
    assert tail.shortfall_rate == pytest.approx(0.099)  # the mean of 98, 99 and 100


def test_days_that_only_gain_are_no_loss_and_nan_is_refused() -> None:
    assert tail_risk(np.full(100, -0.01)) == tail_risk(np.zeros(100))
    for bad in (NOTHING, np.array([0.1, np.nan])):
        with pytest.raises(ValueError, match="must be finite"):
            tail_risk(bad)


def test_a_short_history_says_nothing_of_a_tail() -> None:
    assert worse(np.zeros(MIN_LOSSES - 1)) == STRESSED
    calm, wild = worse(np.zeros(MIN_LOSSES)), worse(np.full(MIN_LOSSES, 0.5))
    assert (calm.var_rate, calm.shortfall_rate) == (STRESSED.var_rate, STRESSED.shortfall_rate)
    assert (wild.var_rate, wild.shortfall_rate) == (0.5, 0.5)


@settings(max_examples=50)
@given(hnp.arrays(np.float64, st.integers(1, 200), elements=st.floats(-0.5, 0.5)), st.integers(0, 199))
def test_a_worse_day_never_makes_the_tail_better(losses: np.ndarray, day: int) -> None:
    before = tail_risk(losses)
    worsened = losses.copy()
    worsened[day % len(losses)] += 0.1
    after = tail_risk(worsened)
    assert after.var_rate >= before.var_rate
    assert after.shortfall_rate >= before.shortfall_rate - 1e-12


def test_what_moves_together_is_seen_and_what_is_not_known_counts_as_together() -> None:
    noise = np.random.default_rng(7).normal(0, 0.01, (2, 300))
    one, other = (hours((100 * np.cumprod(1 + row)).tolist()) for row in noise)
    assert correlation(one, one) == pytest.approx(1.0)
    assert abs(correlation(one, other)) < 0.2
    assert correlation(one, {}) == 1.0
    assert correlation(one, hours([100.0] * 300)) == 1.0
