"""Truth values of bars as words of 64: the kernels that fill them and find the next one. No validation.

The oldest bar of a word is its lowest bit; bits past the last bar are 0. A comparison with nan or an infinity is false.
"""

from __future__ import annotations

from math import inf

import numpy as np
from numba import njit
from numpy.typing import NDArray

BARS_A_WORD = 64

_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
"""Its 64 windows of 6 bits are all different, so the top bits of a power of two times it name the power."""
_PLACES = np.zeros(64, dtype=np.int64)
for _power in range(64):
    _PLACES[((int(_DE_BRUIJN) << _power) & (2**64 - 1)) >> 58] = _power


LESS, AT_MOST, MORE, AT_LEAST = 0, 1, 2, 3
"""Codes of comparisons; two columns are compared with the first two only."""

TEST = np.dtype(
    [("code", np.int64), ("left", np.int64), ("right", np.int64), ("level", np.float64)],
    align=True,
)
"""Row `left` of a matrix of columns against row `right`, or against `level` where right is -1."""


def words_for(bars: int) -> int:
    """Words that hold so many bars."""
    return (bars + BARS_A_WORD - 1) // BARS_A_WORD


@njit(cache=True, nogil=True, error_model="numpy")
def packed_tests(
    matrix: NDArray[np.float64], first: int, stop: int, tests: NDArray[np.void], words: NDArray[np.uint64]
) -> None:
    """Every test over bars `first` to `stop` (exclusive) of a matrix of columns, into one row of words each."""
    for k in range(len(tests)):
        test = tests[k]
        if test.right < 0:
            packed_threshold(matrix[test.left, first:stop], test.level, test.code, words[k])
        else:
            packed_comparison(matrix[test.left, first:stop], matrix[test.right, first:stop], test.code, words[k])


@njit(cache=True, nogil=True, error_model="numpy")
def packed_comparison(a: NDArray[np.float64], b: NDArray[np.float64], code: int, words: NDArray[np.uint64]) -> None:
    """a < b (LESS) or a <= b (AT_MOST), bar by bar, into (words_for(n),) words."""
    n = len(a)
    for w in range((n + BARS_A_WORD - 1) // BARS_A_WORD):
        first = w * BARS_A_WORD
        word = np.uint64(0)
        # A fixed count of 64 without a branch inside is what the compiler turns into vector instructions.
        if first + BARS_A_WORD > n:
            for j in range(n - first):
                x, y = a[first + j], b[first + j]
                is_true = (x < y or (code == AT_MOST and x == y)) and x > -inf and y < inf
                word |= np.uint64(is_true) << np.uint64(j)
        elif code == AT_MOST:
            for j in range(BARS_A_WORD):
                x, y = a[first + j], b[first + j]
                word |= np.uint64((x <= y) & (x > -inf) & (y < inf)) << np.uint64(j)
        else:
            for j in range(BARS_A_WORD):
                x, y = a[first + j], b[first + j]
                word |= np.uint64((x < y) & (x > -inf) & (y < inf)) << np.uint64(j)
        words[w] = word


@njit(cache=True, nogil=True, error_model="numpy")
def packed_threshold(a: NDArray[np.float64], level: float, code: int, words: NDArray[np.uint64]) -> None:
    """a against one level into (words_for(n),) words, by code."""
    n = len(a)
    for w in range((n + BARS_A_WORD - 1) // BARS_A_WORD):
        first = w * BARS_A_WORD
        count = min(BARS_A_WORD, n - first)
        word = np.uint64(0)
        if count < BARS_A_WORD:
            for j in range(count):
                x = a[first + j]
                less = x < level or (code == AT_MOST and x == level)
                more = x > level or (code == AT_LEAST and x == level)
                is_true = (less if code < MORE else more) and -inf < x < inf
                word |= np.uint64(is_true) << np.uint64(j)
        elif code == LESS:
            for j in range(BARS_A_WORD):
                word |= np.uint64((a[first + j] < level) & (a[first + j] > -inf)) << np.uint64(j)
        elif code == AT_MOST:
            for j in range(BARS_A_WORD):
                word |= np.uint64((a[first + j] <= level) & (a[first + j] > -inf)) << np.uint64(j)
        elif code == MORE:
            for j in range(BARS_A_WORD):
                word |= np.uint64((a[first + j] > level) & (a[first + j] < inf)) << np.uint64(j)
        else:
            for j in range(BARS_A_WORD):
                word |= np.uint64((a[first + j] >= level) & (a[first + j] < inf)) << np.uint64(j)
        words[w] = word


@njit(cache=True, nogil=True, error_model="numpy")
def trailing_zeros(word: np.uint64) -> int:
    """Zeros below the lowest set bit of a word that is not 0.

    Source:
        Leiserson, Prokop & Randall (1998), Using de Bruijn Sequences to Index a 1 in a Computer Word.
    """
    lowest = word & (~word + np.uint64(1))
    power: int = _PLACES[(lowest * _DE_BRUIJN) >> np.uint64(58)]
    return power


@njit(cache=True, nogil=True, error_model="numpy")
def next_bit(words: NDArray[np.uint64], start: int, stop: int) -> int:
    """The first set bit from bar `start` on; `stop` when there is none before it."""
    if start >= stop:
        return stop
    w = start // BARS_A_WORD
    word = words[w] >> np.uint64(start % BARS_A_WORD)
    if word != 0:
        return min(start + trailing_zeros(word), stop)
    last = (stop - 1) // BARS_A_WORD
    while w < last:
        w += 1
        if words[w] != 0:
            return min(w * BARS_A_WORD + trailing_zeros(words[w]), stop)
    return stop
