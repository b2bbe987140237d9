"""Truth values as words: every comparison as Python says it, and the next one found wherever it lies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.simulator.bits import AT_MOST, LESS, next_bit, packed_comparison, packed_threshold, trailing_zeros
from trading.simulator.rule_graph import unpacked

NUMBERS = st.one_of(st.sampled_from([float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1.0]), st.floats(-2.0, 2.0))
COLUMNS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=200)


def words_for(count: int) -> np.ndarray:
    return np.full((count + 63) // 64, 2**64 - 1, dtype=np.uint64)


def is_finite(x: float) -> bool:
    return x - x == 0.0


@settings(deadline=None)
@given(COLUMNS, st.booleans())
def test_two_columns_are_compared_bar_by_bar_and_infinite_values_are_no_values(
    pairs: list[tuple[float, float]], or_equal: bool
) -> None:
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    words = words_for(len(a))
    packed_comparison(a, b, AT_MOST if or_equal else LESS, words)
    expected = [is_finite(x) and is_finite(y) and (x < y or (or_equal and x == y)) for x, y in pairs]
    assert unpacked(words, len(a)).tolist() == expected


@pytest.mark.parametrize("code", range(4))
@settings(deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=200), st.floats(-2.0, 2.0))
def test_a_column_is_compared_with_a_level(code: int, column: list[float], level: float) -> None:
    words = words_for(len(column))
    packed_threshold(np.array(column), level, code, words)
    says = [lambda x: x < level, lambda x: x <= level, lambda x: x > level, lambda x: x >= level][code]
    assert unpacked(words, len(column)).tolist() == [is_finite(x) and says(x) for x in column]


@settings(deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=100))
def test_bits_past_the_last_bar_are_never_set(column: list[float]) -> None:
    words = words_for(len(column))
    packed_threshold(np.array(column), 3.0, 0, words)
    assert not unpacked(words, 64 * len(words))[len(column) :].any()


@settings(deadline=None)
@given(st.integers(0, 63), st.integers(0, 2**64 - 1))
def test_the_lowest_bit_of_a_word_is_named(lowest: int, rest: int) -> None:
    word = ((rest << (lowest + 1)) | (1 << lowest)) & (2**64 - 1)
    assert trailing_zeros(np.uint64(word)) == lowest


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=300), st.data())
def test_the_next_bit_is_the_first_one_from_the_start_on(bits: list[bool], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(bits)))
    stop = data.draw(st.integers(start, len(bits)))
    padded = np.zeros((len(bits) + 63) // 64 * 64, dtype=bool)
    padded[: len(bits)] = bits
    words = np.packbits(padded, bitorder="little").view(np.uint64)
    expected = next((i for i in range(start, stop) if bits[i]), stop)
    assert next_bit(words, start, stop) == expected
