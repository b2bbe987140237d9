"""How good the best of all worthless ideas looks, by how they go together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_brain.evidence.correlated_maximum import CorrelatedMaximum
from ai_brain.evidence.expected_maximum_sharpe import expected_maximum_sharpe
from ai_brain.evidence.return_sketch import return_sketch

DAYS = 400
TIMES = np.arange(DAYS, dtype=np.int64) * 86_400_000
RANDOM = np.random.default_rng(5)
COMMON = RANDOM.normal(0.0, 0.01, DAYS)


def sketches(count: int, correlation: float) -> list[bytes | None]:
    alone = RANDOM.normal(0.0, 0.01, (count, DAYS))
    return [return_sketch(correlation**0.5 * COMMON + (1.0 - correlation) ** 0.5 * one, TIMES) for one in alone]


def expected(*parts: list[bytes | None]) -> float:
    found = CorrelatedMaximum()
    for part in parts:
        found.add(part)
    return found.expected()


@pytest.mark.parametrize("count", [10, 100, 1000])
def test_unrelated_ideas_give_the_expected_maximum_of_the_paper(count: int) -> None:
    assert expected(sketches(count, 0.0)) == pytest.approx(expected_maximum_sharpe(count), rel=0.04)
    assert expected([None] * count) == pytest.approx(expected_maximum_sharpe(count), rel=0.03)


@pytest.mark.parametrize("correlation", [0.5, 0.8, 0.95])
def test_variations_of_one_idea_still_gain_by_being_chosen_among(correlation: float) -> None:
    """Of N with one correlation the maximum is known: sqrt(1 - rho) of that of N independent ones."""
    known = (1.0 - correlation) ** 0.5 * expected_maximum_sharpe(300)
    assert expected(sketches(300, correlation)) == pytest.approx(known, rel=0.1)


def test_one_idea_and_its_exact_copies_gain_nothing() -> None:
    one = sketches(1, 0.0)
    assert expected() == 0.0
    assert expected(one * 40) == pytest.approx(0.0, abs=0.01)


def test_what_never_moved_adds_nothing() -> None:
    still = [return_sketch(np.zeros(DAYS), TIMES)] * 9
    assert expected(still) == 0.0
    some = sketches(5, 0.0)
    assert expected(some, still) == expected(some)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 29), min_size=1, max_size=30), st.randoms())
def test_whoever_adds_them_in_whatever_order_finds_the_same_float(places: list[int], random: object) -> None:
    pool = POOL
    parts = [[pool[place]] for place in places]
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert expected(*parts) == expected([one for part in shuffled for one in part])


POOL: list[bytes | None] = [*sketches(25, 0.3), *([None] * 5)]


def test_more_ideas_never_lower_it() -> None:
    found, last = CorrelatedMaximum(), 0.0
    for sketch in POOL:
        found.add([sketch])
        now = found.expected()
        assert now >= last - 1e-12
        assert found.expected(more=10) >= now
        last = now
