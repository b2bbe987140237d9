"""A record without its best or its worst month."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_brain.evidence.months import without_months
from trading.domain.clock import parse_iso

DAY_MS = 86_400_000
START_MS = parse_iso("2024-01-01")


def days(count: int) -> np.ndarray:
    return START_MS + DAY_MS * np.arange(count, dtype=np.int64)


def test_the_best_and_the_worst_month_are_named_and_taken_out_whole() -> None:
    returns = np.zeros(91)  # January, February and March of 2024
    returns[3], returns[40], returns[70] = 0.01, 0.10, -0.05
    left = without_months(days(91), returns)
    assert left is not None
    assert (left.months, left.best, left.worst) == (3, "2024-02", "2024-03")
    assert left.without_best == pytest.approx(1.01 * 0.95 - 1.0)
    assert left.without_worst == pytest.approx(1.01 * 1.10 - 1.0)


def test_less_than_ninety_days_cannot_do_without_a_month_however_many_they_touch() -> None:
    assert without_months(days(90), np.full(90, 0.01)) is None
    assert without_months(days(91), np.full(91, 0.01)) is not None


@given(st.lists(st.floats(-0.5, 0.5), min_size=100, max_size=300))
def test_without_its_best_month_nothing_is_better_and_without_its_worst_nothing_is_worse(drawn: list[float]) -> None:
    returns = np.array(drawn)
    left, whole = without_months(days(len(returns)), returns), float(np.expm1(np.log1p(returns).sum()))
    assert left is not None
    growth = np.log1p(returns)
    months = days(len(returns)).astype("datetime64[ms]").astype("datetime64[M]")
    by_month = [np.expm1(growth[months != month].sum()) for month in np.unique(months)]
    assert left.without_best == pytest.approx(min(by_month), abs=1e-9)
    assert left.without_worst == pytest.approx(max(by_month), abs=1e-9)
    assert left.without_best <= max(whole, left.without_worst) + 1e-9
