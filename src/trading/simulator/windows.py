"""Kernels over the last n values. Numba: they fill `out`, (m,) as what is new, and check nothing; `recipes.py` puts
them together, and allocates, for numpy gives large arrays huge pages.

Most cost the same whatever the length, and nothing is ever subtracted: values come in blocks of n since the first one
(or the last nan); a window is a suffix of the block before and a prefix of this one, and both are only added to. So a
spike leaves nothing behind when it leaves the window, and what a bar gets depends on the bars alone, not on how the
tape was cut. Of prices, distances are summed, from the last value of a block that the window reaches into: all 0 when
it is flat, and small beside the prices. All share

values  (n,) this block so far
suffix  (n + 1,) what the block before comes to from each place to its end, with the neutral value last
state   (4,) or more: place in the block; 1 once a block was full; sums over this block

and begin with zeros. A window that holds a nan has no value; a flat one is exactly flat, whatever the rounding.

Source:
    van Herk (1992), Pattern Recognition Letters 13(7): the blocks, there for extremes, which lie in
    `window_extremes.py`.
"""

from __future__ import annotations

from math import isnan, nan, sqrt

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STRETCH = 256
"""Values searched for a nan at a time."""

DEVIATION, BAND, SCORE = 0, 1, 2
"""What `window_spread` gives."""


@njit(cache=True, nogil=True, error_model="numpy")
def window_mean(x: Floats, values: Floats, suffix: Floats, state: Floats, out: Floats) -> None:
    """(m,) mean of the last n values; state (4,) ends with this block's sum and where distances are measured from."""
    n, i, end, one_nth = len(values), 0, -1, 1.0 / len(values)
    place, head, origin = int(state[0]), state[2], state[3]
    while i < len(x):
        end = i + _before_nan(x[i:]) if end < i else end
        count = min(n - place, end - i)
        new, mine, rest, answer = x[i : i + count], values[place:], suffix[place + 1 :], out[i : i + count]
        for k in range(count):
            mine[k] = new[k]
            head += new[k] - origin
            answer[k] = origin + (head + rest[k]) * one_nth
        if state[1] == 0.0:
            answer[:] = nan
        place, i = place + count, i + count
        if place == n:
            head, origin = 0.0, values[n - 1]
            for k in range(n - 1, -1, -1):
                head += values[k] - origin
                suffix[k] = head
            answer[-1] = origin + head * one_nth
            place, head, state[1] = 0, 0.0, 1.0
        if i == end and i < len(x):
            out[i], i, place, head, state[1] = nan, i + 1, 0, 0.0, 0.0
    state[0], state[2], state[3] = place, head, origin


@njit(cache=True, nogil=True, error_model="numpy")
def window_weighted_mean(x: Floats, values: Floats, suffix: Floats, state: Floats, out: Floats) -> None:
    """(m,) mean of the last n values with weights 1 (oldest) to n (newest).

    Args:
        suffix: (n + 1,) of sums with weights that begin with 1 at that place.
        state: (5,) ends with this block's plain sum, the one weighted from 1, and where distances are measured from.
    """
    n, i, end, one_weight = len(values), 0, -1, 2.0 / (len(values) * (len(values) + 1))
    place, head, total, origin = int(state[0]), state[2], state[3], state[4]
    while i < len(x):
        end = i + _before_nan(x[i:]) if end < i else end
        count = min(n - place, end - i)
        new, mine, rest, answer = x[i : i + count], values[place:], suffix[place + 1 :], out[i : i + count]
        counted, to_come = float(place), float(n - place)
        for k in range(count):
            distance, counted, to_come = new[k] - origin, counted + 1.0, to_come - 1.0
            mine[k] = new[k]
            head += distance
            total += counted * distance
            answer[k] = origin + (total + to_come * head + rest[k]) * one_weight
        if state[1] == 0.0:
            answer[:] = nan
        place, i = place + count, i + count
        if place == n:
            head, total, origin = 0.0, 0.0, values[n - 1]
            for k in range(n - 1, -1, -1):
                head += values[k] - origin
                total += head
                suffix[k] = total
            answer[-1] = origin + total * one_weight
            place, head, total, state[1] = 0, 0.0, 0.0, 1.0
        if i == end and i < len(x):
            out[i], i, place, head, total, state[1] = nan, i + 1, 0, 0.0, 0.0, 0.0
    state[0], state[2], state[3], state[4] = place, head, total, origin


@njit(cache=True, nogil=True, error_model="numpy")
def window_spread(
    x: Floats,
    what: int,
    factor: float,
    ddof: int,
    values: Floats,
    suffix: Floats,
    squares: Floats,
    state: Floats,
    out: Floats,
) -> None:
    """(m,) from mean and standard deviation (divisor n - ddof) of the last n values.

    Their mean is at most sqrt(n) deviations from a value of the window, so the one subtraction loses at most a factor
    n + 1 of precision, whatever the prices.

    Args:
        what: `DEVIATION`; `BAND`, mean + factor * deviation; `SCORE`, deviations from mean to newest, 0 when flat.
        suffix: (n,) is enough here.
        squares: (n,) likewise, of squared distances.
        state: (5,) ends with this block's two sums and where distances are measured from.
    """
    n, one_nth, one_divisor = len(values), 1.0 / len(values), 1.0 / (len(values) - ddof)
    place, is_full, head, head_of_squares, origin = int(state[0]), state[1] > 0.0, state[2], state[3], state[4]
    for i in range(len(x)):
        value = x[i]
        if isnan(value):
            place, is_full, head, head_of_squares, out[i] = 0, False, 0.0, 0.0, nan
            continue
        values[place] = value
        place += 1
        if place < n:
            distance = value - origin
            head += distance
            head_of_squares += distance * distance
            total, total_of_squares = head + suffix[place], head_of_squares + squares[place]
        else:
            origin, place, is_full, head, head_of_squares = value, 0, True, 0.0, 0.0
            total, total_of_squares = _turned_over(values, origin, suffix, squares)
        if not is_full:
            out[i] = nan
            continue
        away = total * one_nth
        rest = total_of_squares - away * total
        deviation = sqrt(rest * one_divisor) if rest > 0.0 else 0.0
        if what == DEVIATION:
            out[i] = deviation
        elif what == BAND:
            out[i] = origin + away + factor * deviation
        else:
            out[i] = (value - origin - away) / deviation if deviation > 0.0 else 0.0
    state[0], state[1], state[2], state[3], state[4] = place, is_full, head, head_of_squares, origin


@njit(cache=True, nogil=True, error_model="numpy")
def window_share(
    part: Floats,
    whole: Floats,
    otherwise: float,
    suffix: Floats,
    whole_suffix: Floats,
    state: Floats,
    out: Floats,
) -> None:
    """(m,) sum of the last n of one column over that of another; `otherwise` where the second sum is 0.

    Both are summed in the same order: a part that never exceeds its whole gives at most 1.

    Args:
        suffix: (n,) of `part`; before the current place it holds this block's values.
        whole_suffix: (n,) likewise of `whole`.
        state: (4,) place, 1 once full, this block's two sums.
    """
    n = len(suffix)
    place, is_full, head, whole_head = int(state[0]), state[1] > 0.0, state[2], state[3]
    for i in range(len(part)):
        if isnan(part[i]) or isnan(whole[i]):
            place, is_full, head, whole_head, out[i] = 0, False, 0.0, 0.0, nan
            continue
        suffix[place], whole_suffix[place] = part[i], whole[i]
        place += 1
        if place < n:
            head += part[i]
            whole_head += whole[i]
            above, below = suffix[place] + head, whole_suffix[place] + whole_head
        else:
            above, below = 0.0, 0.0
            for k in range(n - 1, -1, -1):
                above += suffix[k]
                below += whole_suffix[k]
                suffix[k], whole_suffix[k] = above, below
            place, is_full, head, whole_head = 0, True, 0.0, 0.0
        if is_full:
            out[i] = above / below if below != 0.0 else otherwise
        else:
            out[i] = nan
    state[0], state[1], state[2], state[3] = place, is_full, head, whole_head


@njit(cache=True, nogil=True, error_model="numpy")
def window_channel(x: Floats, n: int, out: Floats) -> None:
    """(m,) commodity channel index of (m + n - 1,) typical prices: (x - mean) / (0.015 * mean distance); 0 when flat.

    Distances from a mean that moves with the window have no shorter sum than the window.

    Source:
        Lambert (1980), Commodities 9(10).
    """
    for i in range(len(out)):
        total, is_flat = 0.0, True
        for j in range(i, i + n):
            total += x[j]
            is_flat = is_flat and x[j] == x[i]
        mean, distance = total / n, 0.0
        for j in range(i, i + n):
            distance += abs(x[j] - mean)
        out[i] = 0.0 if is_flat else (x[i + n - 1] - mean) / (0.015 * distance / n)


@njit(cache=True, nogil=True, error_model="numpy")
def window_rank(x: Floats, n: int, out: Floats) -> None:
    """(m,) share of each n consecutive values of (m + n - 1,) that are at most the last of them, itself included."""
    for i in range(len(out)):
        window, at_most, numbers = x[i : i + n], 0, 0
        newest = window[n - 1]
        for k in range(n):
            at_most += window[k] <= newest
            numbers += window[k] == window[k]
        out[i] = at_most / n if numbers == n else nan


@njit(cache=True, nogil=True, error_model="numpy")
def window_change(x: Floats, tail: Floats, out: Floats) -> None:
    """(m,) each value less the one n before it; tail (n,) holds the values before, oldest first, nan to begin with."""
    n = len(tail)
    for i in range(min(n, len(x))):
        out[i] = x[i] - tail[i]
    now, then, rest = x[n:], x[: max(len(x) - n, 0)], out[n:]
    for k in range(len(now)):
        rest[k] = now[k] - then[k]
    _keep(x, tail)


@njit(cache=True, nogil=True, error_model="numpy")
def window_growth(x: Floats, tail: Floats, out: Floats) -> None:
    """(m,) each value over the one n before it, in percent less 100; `tail` as in `window_change`."""
    n = len(tail)
    for i in range(min(n, len(x))):
        out[i] = 100.0 * (x[i] / tail[i] - 1.0)
    now, then, rest = x[n:], x[: max(len(x) - n, 0)], out[n:]
    for k in range(len(now)):
        rest[k] = 100.0 * (now[k] / then[k] - 1.0)
    _keep(x, tail)


@njit(cache=True, nogil=True, error_model="numpy")
def _before_nan(x: Floats) -> int:
    """How many values stand before the first nan. It looks at a stretch at a time, which is many at once."""
    first = 0
    while first < len(x):
        stretch, missing = x[first : first + STRETCH], 0
        for k in range(len(stretch)):
            missing += isnan(stretch[k])
        if missing > 0:
            break
        first += STRETCH
    while first < len(x) and not isnan(x[first]):
        first += 1
    return min(first, len(x))


@njit(cache=True, nogil=True, error_model="numpy")
def _turned_over(values: Floats, origin: float, suffix: Floats, squares: Floats) -> tuple[float, float]:
    """Fill the suffixes of a full block; its two sums."""
    total, total_of_squares = 0.0, 0.0
    for k in range(len(values) - 1, -1, -1):
        distance = values[k] - origin
        total += distance
        total_of_squares += distance * distance
        suffix[k], squares[k] = total, total_of_squares
    return total, total_of_squares


@njit(cache=True, nogil=True, error_model="numpy")
def _keep(x: Floats, tail: Floats) -> None:
    """Move the newest values into the tail."""
    n = len(tail)
    if len(x) >= n:
        tail[:] = x[len(x) - n :]
        return
    for i in range(n - len(x)):
        tail[i] = tail[i + len(x)]
    tail[n - len(x) :] = x
