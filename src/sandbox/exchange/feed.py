"""One market of one symbol as it is known at a moment: prices, candles, trades, and when a price is crossed.

Nothing here shows what lies after the moment asked about: the running bar is cut at it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandbox.exchange.errors import refusal
from sandbox.exchange.path import POINTS, Path, follow_on, guided_path, seeded_path
from sandbox.exchange.tape import CLOSE, HIGH, HOUR_MS, LOW, OPEN, TIME, VOLUME, Block, group

INTERVALS = {
    "1m": 60_000, "3m": 180_000, "5m": 300_000, "15m": 900_000, "30m": 1_800_000, "1h": HOUR_MS, "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS, "6h": 6 * HOUR_MS, "8h": 8 * HOUR_MS, "12h": 12 * HOUR_MS, "1d": 24 * HOUR_MS,
    "3d": 72 * HOUR_MS, "1w": 168 * HOUR_MS, "1M": 744 * HOUR_MS,
}  # fmt: skip
"""Kline intervals and their (longest) length, milliseconds."""
DAY_MS = 24 * HOUR_MS
_MONDAY_MS = 4 * DAY_MS  # 1970-01-05
_KEPT_PATHS = 160


@dataclass(frozen=True, slots=True)
class Trade:
    """A made-up print on the path, its quantity an equal share of the bar's volume."""

    number: int
    ms: int
    price: float
    quantity: float
    """Base."""
    sold: bool
    """True: the seller was the taker."""


@dataclass(frozen=True, slots=True)
class Day:
    """The last 24 hours."""

    open: float
    high: float
    low: float
    last: float
    volume: float
    """Base."""
    quote_volume: float
    trades: int
    opened_ms: int


class Feed:
    """Prices of one symbol on one market.

    Args:
        base: (6, n) finest bars, n >= 1.
        hours: (6, m) hourly bars, reaching further back.
        step_ms: Interval of `base`, milliseconds.
        tick: Price step; 0: prices are not on a grid (mark prices).
        key: Seeds the paths: seed and market.
        guide: A feed whose finer bars shape the paths, or None.
    """

    def __init__(
        self, base: Block, hours: Block, *, step_ms: int, tick: float, key: list[int], guide: Feed | None = None
    ) -> None:
        self.step_ms = step_ms
        self._base, self._hours, self._tick, self._key, self._guide = base, hours, tick, key, guide
        self._paths: OrderedDict[int, Path] = OrderedDict()

    @property
    def first_ms(self) -> int:
        """Open time of the first base bar."""
        return int(self._base[TIME, 0])

    @property
    def oldest_ms(self) -> int:
        """Open time of the oldest bar of any kind."""
        return int(min(self._base[TIME, 0], self._hours[TIME, 0] if self._hours.shape[1] else np.inf))

    @property
    def end_ms(self) -> int:
        """End of the last base bar; no prices come after it."""
        return int(self._base[TIME, -1]) + self.step_ms

    def price(self, ms: float) -> float:
        """Price at a moment; in a gap, and after the tape's end, the last one before it."""
        i = self.bar_index(ms)
        if i < 0:
            return float(self._base[OPEN, 0])
        if ms >= self._base[TIME, i] + self.step_ms:
            return float(self._base[CLOSE, i])
        return self._on_grid(self.path(i).at(ms), i)

    def opening(self, ms: float) -> float:
        """Open of the bar that holds a moment."""
        return float(self._base[OPEN, max(self.bar_index(ms), 0)])

    def is_open(self, ms: float) -> bool:
        """True while a bar of the tape covers the moment."""
        i = self.bar_index(ms)
        return i >= 0 and ms < float(self._base[TIME, i]) + self.step_ms

    def bar_index(self, ms: float) -> int:
        """Index of the last base bar that opened by a moment; -1 before the first."""
        return int(np.searchsorted(self._base[TIME], ms, side="right")) - 1

    def bar_volume(self, index: int) -> float:
        """Volume of a base bar, base units."""
        return float(self._base[VOLUME, max(index, 0)])

    def path(self, index: int) -> Path:
        """The price line inside a base bar."""
        known = self._paths.get(index)
        if known is None:
            known = self._paths[index] = self._draw(index)
            if len(self._paths) > _KEPT_PATHS:
                self._paths.popitem(last=False)
        return known

    def first_beyond(self, from_ms: float, to_ms: float, price: float, *, below: bool) -> float | None:
        """When the price is first strictly below (or above) a price within [from, to]; None: not."""
        first, last = self.bar_index(from_ms), self.bar_index(to_ms)
        low = max(first, 0)
        column = self._base[LOW if below else HIGH, low : last + 1]
        hits = np.flatnonzero(column < price if below else column > price)
        for i in (int(hit) + low for hit in hits):
            opened = float(self._base[TIME, i])
            start, end = max(from_ms, opened), min(to_ms, opened + self.step_ms)
            if end >= start and (found := self.path(i).first_beyond(start, end, price, below=below)) is not None:
                return found
        return None

    def klines(
        self, interval: str, *, now_ms: float, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> Block:
        """Candles as the exchange answers them; the last one may be running.

        Returns:
            (6, n) with n <= limit, oldest first.

        Raises:
            BinanceError: -1120, an unknown interval or one below the tape's own.
        """
        length = self.checked(interval)
        last_ms = min(now_ms, end_ms + 1 if end_ms is not None else np.inf)
        candles = self._base[:, :0]
        # Gaps make a page longer than its candles: look further until it is full or the tape has no more.
        for candle_count in (limit, limit * 8, 10_000_000):
            reach_ms = float(candle_count) * length
            if start_ms is None:
                span = last_ms - reach_ms, last_ms
            else:
                first_ms = max(float(start_ms), self._oldest_ms(length) - length)
                span = first_ms, min(last_ms, first_ms + reach_ms + length)
            candles = self._candles(interval, span, now_ms)
            if candles.shape[1] >= limit:
                break
        return candles[:, :limit] if start_ms is not None else candles[:, -limit:]

    def _candles(self, interval: str, span: tuple[float, float], now_ms: float) -> Block:
        """Candles that open within the span, whole but for the running one."""
        from_ms, upto_ms = span
        length = INTERVALS[interval]
        # Bars before the span's first bucket belong to a candle that opened earlier: it is not asked for.
        rows = self._rows(from_ms, min(upto_ms + length, now_ms), whole_hours=length >= HOUR_MS)
        named = bucket(rows[TIME], interval)
        keep = (named >= from_ms) & (named < upto_ms)
        rows, named = rows[:, keep], named[keep]
        if not rows.shape[1]:
            return rows
        first = np.flatnonzero(np.r_[True, named[1:] != named[:-1]])
        return group(rows, first, named[first])

    def _oldest_ms(self, length: int) -> float:
        return float(self.oldest_ms if length >= HOUR_MS else self.first_ms)

    def checked(self, interval: str) -> int:
        """Length of an interval, milliseconds.

        Raises:
            BinanceError: -1120.
        """
        length = INTERVALS.get(interval)
        if length is None or length < self.step_ms:
            raise refusal(-1120)
        return length

    def day(self, now_ms: float) -> Day:
        """What the 24 h ticker says."""
        rows = self._rows(now_ms - DAY_MS, now_ms, whole_hours=False)
        last = self.price(now_ms)
        if not rows.shape[1]:
            return Day(last, last, last, last, 0.0, 0.0, 0, int(now_ms - DAY_MS))
        volume, quote = rows[VOLUME], rows[VOLUME] * rows[OPEN : CLOSE + 1].mean(axis=0)
        return Day(
            float(rows[OPEN, 0]), float(rows[HIGH].max()), float(rows[LOW].min()), last,
            float(volume.sum()), float(quote.sum()), int((volume > 0).sum()) * POINTS, int(rows[TIME, 0]),
        )  # fmt: skip

    def trades(self, from_ms: float, to_ms: float, limit: int) -> list[Trade]:
        """The last prints in (from, to], at most `limit`, oldest first."""
        found: list[Trade] = []
        i = self.bar_index(to_ms)
        while i >= 0 and len(found) < limit and self._base[TIME, i] + self.step_ms > from_ms:
            path, volume = self.path(i), self.bar_volume(i)
            inside = np.flatnonzero((path.times_ms > from_ms) & (path.times_ms <= to_ms) & (volume > 0.0))
            for j in (int(j) for j in inside[::-1] if j > 0):
                price, sold = self._on_grid(float(path.prices[j]), i), bool(path.prices[j] < path.prices[j - 1])
                number = int(self._base[TIME, i]) // self.step_ms * 1000 + j
                found.append(Trade(number, int(path.times_ms[j]), price, volume / (len(path.prices) - 1), sold))
            i -= 1
        return found[:limit][::-1]

    def _rows(self, from_ms: float, to_ms: float, *, whole_hours: bool) -> Block:
        """Bars that opened in [from, to) as known at `to`: whole hours as far as asked and closed, then base bars."""
        cut_ms = float(self.first_ms) if not whole_hours else max(to_ms // HOUR_MS * HOUR_MS, 0.0)
        if not whole_hours or self.step_ms == HOUR_MS:
            return self._base_rows(from_ms, to_ms)
        low, high = np.searchsorted(self._hours[TIME], (from_ms, cut_ms))
        return np.hstack((self._hours[:, low:high], self._base_rows(max(from_ms, cut_ms), to_ms)))

    def _base_rows(self, from_ms: float, to_ms: float) -> Block:
        low, high = np.searchsorted(self._base[TIME], (from_ms, to_ms))
        rows: Block = np.array(self._base[:, low:high])
        if high > low and (opened := float(rows[TIME, -1])) + self.step_ms > to_ms:
            high_price, low_price = self.path(int(high) - 1).extremes(to_ms)
            rows[HIGH, -1], rows[LOW, -1] = high_price, low_price
            rows[CLOSE, -1] = self._on_grid(self.path(int(high) - 1).at(to_ms), int(high) - 1)
            rows[HIGH, -1] = self._on_grid(max(high_price, rows[CLOSE, -1]), int(high) - 1)
            rows[LOW, -1] = self._on_grid(min(low_price, rows[CLOSE, -1]), int(high) - 1)
            rows[VOLUME, -1] *= (to_ms - opened) / self.step_ms
        return rows

    def _draw(self, index: int) -> Path:
        opened = float(self._base[TIME, index])
        ohlc = tuple(float(x) for x in self._base[OPEN : CLOSE + 1, index])
        if (guide := self._guide) is not None and guide.step_ms < self.step_ms:
            first, count = guide.bar_index(opened), self.step_ms // guide.step_ms
            if first >= 0 and guide.covers(first, opened, count):
                guides = [guide.path(first + i) for i in range(count)]
                if follow_on(guides):
                    return guided_path((ohlc[0], ohlc[1], ohlc[2], ohlc[3]), guides=guides)
        key = [*self._key, int(opened) // 1000]
        return seeded_path((ohlc[0], ohlc[1], ohlc[2], ohlc[3]), start_ms=opened, step_ms=self.step_ms, key=key)

    def covers(self, first: int, opened_ms: float, count: int) -> bool:
        """True when `count` bars without a gap begin at index `first` and at `opened_ms`."""
        if first + count > self._base.shape[1] or self._base[TIME, first] != opened_ms:
            return False
        return bool(self._base[TIME, first + count - 1] == opened_ms + (count - 1) * self.step_ms)

    def _on_grid(self, price: float, index: int) -> float:
        if self._tick <= 0.0:
            return price
        rounded = round(round(price / self._tick) * self._tick, 10)
        return min(max(rounded, float(self._base[LOW, index])), float(self._base[HIGH, index]))


def bucket(times_ms: NDArray[np.float64], interval: str) -> NDArray[np.float64]:
    """Open times of the candles that hold these moments; weeks begin on Monday, months on the first."""
    if interval == "1M":
        months = times_ms.astype("datetime64[ms]").astype("datetime64[M]")
        return months.astype("datetime64[ms]").astype(np.int64).astype(np.float64)
    length = float(INTERVALS[interval])
    offset = float(_MONDAY_MS) if interval == "1w" else 0.0
    return (times_ms - offset) // length * length + offset
