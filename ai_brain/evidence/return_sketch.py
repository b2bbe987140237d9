"""A strategy's returns in 72 bytes, from which its correlation with any other can be told, whatever stretch it ran on.

Daily returns, standardised, are projected on 64 directions. The signs of a day depend on the day alone, counted from
1970: two sketches agree on every day they share, and days that only one has add noise, no bias. A correlation read
from two sketches has a standard error of about (1 - rho²) / sqrt(64), so 0.125 where there is none and 0.02 at 0.9.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from trading.domain.clock import DAY_MS

NUMBERS = 64
"""Directions; the error falls with their square root."""
MIN_DAYS = 64
"""Fewer days than directions say less about a correlation than the sketch loses: no sketch."""
WORST_DAY = -0.999_999
"""A loss of everything has no logarithm; it is taken as this simple return."""

_HEADER = struct.Struct("<ii")
SKETCH_BYTES = _HEADER.size + NUMBERS
_LAYOUT = np.dtype([("first_day", "<i4"), ("days", "<i4"), ("values", "i1", (NUMBERS,))])


@dataclass(frozen=True, slots=True)
class Likeness:
    """What two sketches say about two strategies."""

    correlation: float
    """Of their daily returns on the days both ran, estimated; in [-1, 1]."""
    standard_error: float
    """Of the projection; grows as the shared days become few among all. Infinite: nothing can be said."""
    shared_days: int


def return_sketch(returns: NDArray[np.float64], open_time_ms: NDArray[np.int64]) -> bytes | None:
    """The sketch of a performance.

    Args:
        returns: (n,) simple returns per bar, net of costs, fractions, oldest first.
        open_time_ms: (n,) open of each bar, increasing; a bar counts for the UTC day it opens on. A day between two
            others that has no bar is a day without return.

    Returns:
        `SKETCH_BYTES`: first day since 1970 and number of days (int32, little endian), then 64 int8 in units of the
        largest. Returns that never change give zeros: all that never trade are alike, and like nothing else. None:
        fewer than `MIN_DAYS` days, too short to be told from another.

    Raises:
        ValueError: lengths differ, times do not increase, or a return is not finite; names its index.

    Source:
        Achlioptas (2003), Journal of Computer and System Sciences 66(4), for random signs in place of normals.
    """
    _check(returns, open_time_ms)
    if len(returns) == 0:
        return None
    day = open_time_ms // DAY_MS
    first_day, days = int(day[0]), int(day[-1] - day[0]) + 1
    if days < MIN_DAYS:
        return None
    logs = np.log1p(np.maximum(returns, WORST_DAY))
    z = _standardised(np.asarray(np.bincount(day - first_day, weights=logs, minlength=days), dtype=np.float64))
    projected = z @ day_signs(first_day, days)
    largest = float(np.abs(projected).max())
    scaled = np.rint(projected * (127.0 / largest)) if largest > 0.0 else np.zeros(NUMBERS)
    return _HEADER.pack(first_day, days) + scaled.astype(np.int8).tobytes()


def likeness(one: bytes, other: bytes) -> Likeness:
    """The correlation of two strategies over the days both ran, from their sketches.

    The cosine of two sketches is the correlation on the shared days times their share of all days; that share is
    divided out, and the error with it. Each was standardised over its own stretch, so where one was much livelier
    on the shared days than elsewhere the estimate is off besides.

    Raises:
        ValueError: a sketch is not `SKETCH_BYTES` long.
    """
    a, b = decoded([one, other])
    ends = [int(sketch["first_day"]) + int(sketch["days"]) for sketch in (a, b)]
    shared = max(0, min(ends) - int(max(a["first_day"], b["first_day"])))
    left, right = a["values"].astype(np.float64), b["values"].astype(np.float64)
    norm = sqrt(float(left @ left) * float(right @ right))
    if shared == 0 or norm <= 0.0:
        return Likeness(0.0, float("inf"), shared)
    cosine, share = float(left @ right) / norm, shared / sqrt(float(a["days"]) * float(b["days"]))
    error = max(0.0, 1.0 - cosine**2) / sqrt(NUMBERS) / share
    return Likeness(float(np.clip(cosine / share, -1.0, 1.0)), error, shared)


def decoded(sketches: Sequence[bytes]) -> NDArray[np.void]:
    """Sketches as one structured array: `first_day`, `days` and `values` (n, 64) int8.

    Raises:
        ValueError: one is not `SKETCH_BYTES` long; names its index.
    """
    for index, sketch in enumerate(sketches):
        if len(sketch) != SKETCH_BYTES:
            raise ValueError(f"return sketch: sketches[{index}] has {len(sketch)} bytes, not {SKETCH_BYTES}")
    return np.frombuffer(b"".join(sketches), dtype=_LAYOUT)


@lru_cache(maxsize=16)  # strategies of one search share their days
def day_signs(first_day: int, days: int) -> NDArray[np.float64]:
    """(days, 64) of -1 and 1: the bits of SplitMix64 of each day (Steele, Lea & Flood 2014), seeded with 0."""
    z = np.arange(first_day, first_day + days, dtype=np.int64).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    bits = (z[:, None] >> np.arange(NUMBERS, dtype=np.uint64)) & np.uint64(1)
    signs: NDArray[np.float64] = bits.astype(np.float64) * 2.0 - 1.0
    signs.flags.writeable = False
    return signs


def _standardised(daily: NDArray[np.float64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = daily - daily.mean()
    spread = float(centred.std())
    if spread <= 1e-12 * float(np.abs(daily).max()):  # the last bits of sums of equal returns
        return np.zeros(len(daily))
    return centred / spread


def _check(returns: NDArray[np.float64], open_time_ms: NDArray[np.int64]) -> None:
    if len(returns) != len(open_time_ms):
        raise ValueError(f"return sketch: {len(returns)} returns at {len(open_time_ms)} times")
    if (bad := ~np.isfinite(returns)).any():
        index = int(np.argmax(bad))
        raise ValueError(f"return sketch: returns[{index}]={returns[index]}: not a finite number")
    if (late := np.diff(open_time_ms) <= 0).any():
        index = int(np.argmax(late)) + 1
        raise ValueError(f"return sketch: open_time_ms[{index}]={open_time_ms[index]}: not after the bar before it")
