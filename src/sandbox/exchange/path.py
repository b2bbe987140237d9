"""The price inside a bar: a seeded line that starts at the open, touches high and low, and ends at the close.

A finer market may guide it (a perpetual's five minutes by five spot minutes), so that two markets of one asset
move together inside a bar as they did on the tape. Everything is a function of (seed, market, bar) and the tape.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Line = NDArray[np.float64]

POINTS = 12
"""Straight pieces of a path that is not guided."""
_WOBBLE = 0.15  # noise between the anchors, as a share of the bar's range


@dataclass(frozen=True, slots=True)
class Path:
    """A bar's price line, straight between its points."""

    times_ms: Line
    """(n,) not decreasing, from the bar's open time to its end."""
    prices: Line
    """(n,) quote per base."""

    def at(self, ms: float) -> float:
        """Price at a moment of the bar."""
        return float(np.interp(ms, self.times_ms, self.prices))

    def extremes(self, upto_ms: float) -> tuple[float, float]:
        """Highest and lowest price from the bar's open up to a moment."""
        seen = self.prices[: int(np.searchsorted(self.times_ms, upto_ms, side="right"))]
        last = self.at(upto_ms)
        return (max(float(seen.max()), last), min(float(seen.min()), last)) if seen.size else (last, last)

    def first_beyond(self, from_ms: float, to_ms: float, price: float, *, below: bool) -> float | None:
        """The first moment in [from, to] at which the line is strictly beyond a price; None: never."""
        sign = 1.0 if below else -1.0
        inside = (self.times_ms > from_ms) & (self.times_ms < to_ms)
        times = np.r_[from_ms, self.times_ms[inside], to_ms]
        gaps = sign * (np.r_[self.at(from_ms), self.prices[inside], self.at(to_ms)] - price)
        beyond = np.flatnonzero(gaps < 0.0)
        if not beyond.size:
            return None
        i = int(beyond[0])
        if i == 0 or gaps[i - 1] == gaps[i]:
            return float(times[i])
        share = gaps[i - 1] / (gaps[i - 1] - gaps[i])
        return float(times[i - 1] + share * (times[i] - times[i - 1]))


def seeded_path(ohlc: tuple[float, float, float, float], *, start_ms: float, step_ms: float, key: list[int]) -> Path:
    """A path of its own.

    Args:
        ohlc: Open, high, low, close of the bar.
        start_ms: Its open time.
        step_ms: Its length.
        key: Whole numbers >= 0 that seed it.

    Returns:
        `POINTS + 1` points at equal distances.
    """
    opened, high, low, close = ohlc
    generator = np.random.Generator(np.random.PCG64(key))
    touch_high, touch_low = (int(i) + 1 for i in generator.permutation(POINTS - 1)[:2])
    anchors = sorted(((0, opened), (touch_high, high), (touch_low, low), (POINTS, close)))
    wobble = generator.standard_normal(POINTS + 1) * (_WOBBLE * (high - low))
    at = [index for index, _ in anchors]
    wobble[at] = 0.0
    line: Line = np.interp(np.arange(POINTS + 1), at, [price for _, price in anchors])
    times = start_ms + np.arange(POINTS + 1, dtype=np.float64) * (step_ms / POINTS)
    return Path(times, np.clip(line + wobble, low, high))


def guided_path(ohlc: tuple[float, float, float, float], *, guides: list[Path]) -> Path:
    """A path shaped like the finer bars that fill its time.

    Args:
        ohlc: Open, high, low, close of the bar.
        guides: Paths of the finer bars, in order and without a gap, at least four points together.
    """
    opened, high, low, close = ohlc
    times = np.concatenate([guide.times_ms for guide in guides])
    shape = np.concatenate([guide.prices for guide in guides])
    share = (times - times[0]) / (times[-1] - times[0])
    basis = (opened - shape[0]) * (1.0 - share) + (close - shape[-1]) * share
    line = np.clip(shape + basis, low, high)
    top = int(np.argmax(line[1:-1])) + 1
    rest = line[1:-1].copy()
    rest[top - 1] = np.inf
    bottom = int(np.argmin(rest)) + 1
    line[0], line[-1], line[top], line[bottom] = opened, close, high, low
    return Path(times, line)


def follow_on(paths: list[Path]) -> bool:
    """True when each path begins where the one before ends in time."""
    return all(abs(b.times_ms[0] - a.times_ms[-1]) < 1.0 for a, b in pairwise(paths))
