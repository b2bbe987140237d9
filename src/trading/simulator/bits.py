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


@njit(cache=True, nogil=True)
def packed_comparison(
    a: NDArray[np.float64], b: NDArray[np.float64], or_equal: bool, words: NDArray[np.uint64]
) -> None:
    """a < b, or a <= b, bar by bar, into (ceil(n / 64),) words."""
    n = len(a)
    for w in range(len(words)):
        first = w * BARS_A_WORD
        word = np.uint64(0)
        if first + BARS_A_WORD <= n:
            # A fixed count of 64 without a branch inside is what the compiler turns into vector instructions.
            if or_equal:
                for j in range(BARS_A_WORD):
                    x, y = a[first + j], b[first + j]
                    word |= np.uint64((x <= y) & (x > -inf) & (y < inf)) << np.uint64(j)
            else:
                for j in range(BARS_A_WORD):
                    x, y = a[first + j], b[first + j]
                    word |= np.uint64((x < y) & (x > -inf) & (y < inf)) << np.uint64(j)
        else:
            for j in range(n - first):
                x, y = a[first + j], b[first + j]
                is_true = (x < y or (or_equal and x == y)) and x > -inf and y < inf
                word |= np.uint64(is_true) << np.uint64(j)
        words[w] = word


@njit(cache=True, nogil=True)
def packed_threshold(a: NDArray[np.float64], level: float, code: int, words: NDArray[np.uint64]) -> None:
    """a against one level into words; code 0: a < level, 1: <=, 2: >, 3: >=."""
    n = len(a)
    for w in range(len(words)):
        first = w * BARS_A_WORD
        count = min(BARS_A_WORD, n - first)
        word = np.uint64(0)
        if count < BARS_A_WORD:
            for j in range(count):
                x = a[first + j]
                less = x < level or (code == 1 and x == level)
                more = x > level or (code == 3 and x == level)
                is_true = (less if code < 2 else more) and -inf < x < inf
                word |= np.uint64(is_true) << np.uint64(j)
        elif code == 0:
            for j in range(BARS_A_WORD):
                word |= np.uint64((a[first + j] < level) & (a[first + j] > -inf)) << np.uint64(j)
        elif code == 1:
            for j in range(BARS_A_WORD):
                word |= np.uint64((a[first + j] <= level) & (a[first + j] > -inf)) << np.uint64(j)
        elif code == 2:
            for j in range(BARS_A_WORD):
                word |= np.uint64((a[first + j] > level) & (a[first + j] < inf)) << np.uint64(j)
        else:
            for j in range(BARS_A_WORD):
                word |= np.uint64((a[first + j] >= level) & (a[first + j] < inf)) << np.uint64(j)
        words[w] = word


@njit(cache=True, nogil=True)
def trailing_zeros(word: np.uint64) -> int:
    """Zeros below the lowest set bit of a word that is not 0.

    Source:
        Leiserson, Prokop & Randall (1998), Using de Bruijn Sequences to Index a 1 in a Computer Word.
    """
    lowest = word & (~word + np.uint64(1))
    power: int = _PLACES[(lowest * _DE_BRUIJN) >> np.uint64(58)]
    return power


@njit(cache=True, nogil=True)
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
