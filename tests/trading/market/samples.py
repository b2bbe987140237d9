"""Small markets and a venue that serves one from memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import numpy as np

from trading.domain.clock import Clock
from trading.domain.errors import NetworkDownError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS, Bar, FundingNow, FundingRate
from trading.market.tape import Funding, Tape, make_tape

HOUR_MS = 3_600_000
START_MS = 1_704_067_200_000
"""2024-01-01."""


def bar(
    hour: int, *, close: float = 100.0, market: Market = Market.SPOT, closed: bool = True, volume: float = 5.0
) -> Bar:
    """An hourly bar of BTCUSDT, so many hours after the start."""
    opened = START_MS + hour * HOUR_MS
    return Bar(
        market, "BTCUSDT", "1h", opened, 100.0, max(100.0, close) + 1, min(100.0, close) - 1, close, volume,
        is_closed=closed, received_ms=opened + HOUR_MS,
    )  # fmt: skip


def tape(
    closes: Sequence[float],
    *,
    interval: str = "1h",
    start_ms: int = START_MS,
    market: Market = Market.SPOT,
    origin: str = "recorded",
    drop: Sequence[int] = (),
    funding: Funding | None = None,
) -> Tape:
    """A tape through these closes; `drop` leaves bars out by index."""
    price = np.asarray(closes, dtype=np.float64)
    opened = np.concatenate(([price[0]], price[:-1]))
    kept = np.setdiff1d(np.arange(len(price)), np.asarray(drop, dtype=int))
    times = start_ms + np.arange(len(price), dtype=np.int64) * INTERVAL_MS[interval]
    return make_tape(
        Tape(
            market, "BTCUSDT", interval, origin, times[kept], opened[kept], np.maximum(opened, price)[kept] + 1.0,
            np.minimum(opened, price)[kept] - 1.0, price[kept], np.arange(1.0, len(price) + 1)[kept],
            funding or Funding.none(), gaps=(), content_hash="",
        )
    )  # fmt: skip


def bars_of(tape: Tape, *, received_ms: int = 0) -> list[Bar]:
    """A tape's bars as closed candles."""
    rows = zip(
        tape.open_time_ms.tolist(), tape.open.tolist(), tape.high.tolist(), tape.low.tolist(), tape.close.tolist(),
        tape.volume_base.tolist(), strict=True,
    )  # fmt: skip
    return [Bar(tape.market, tape.symbol, tape.interval, *row, is_closed=True, received_ms=received_ms) for row in rows]


class MemoryVenue:
    """The public side of a venue over tapes in memory; it lists what has closed by the clock."""

    def __init__(self, clock: Clock, *tapes: Tape) -> None:
        self.clock = clock
        self.bars = {(t.market, t.symbol, t.interval): bars_of(t) for t in tapes}
        self.rates = [
            FundingRate(t.symbol, int(ms), float(rate), None if np.isnan(mark) else float(mark))
            for t in tapes
            for ms, rate, mark in zip(t.funding.time_ms, t.funding.rate, t.funding.mark_price, strict=True)
        ]
        self.asked: list[tuple[Market, str, str, int]] = []
        self.down = 0
        """So many of the next pages fail."""
        self.funding_late_ms = 0
        """A settlement is listed so long after it, milliseconds."""
        self.funding_interval_ms = 8 * HOUR_MS
        """As its terms say, which may be old."""
        self.settle_ms = 0
        """A candle counts as closed so long after its end, milliseconds."""
        self.live: list[Bar] = []

    async def klines(self, market: Market, symbol: str, interval: str, *, start_ms: int, limit: int) -> list[Bar]:
        self.asked.append((market, symbol, interval, start_ms))
        if self.down:
            self.down -= 1
            raise NetworkDownError("memory venue: unplugged")
        now_ms = self.clock.now_ms()
        found = [b for b in self.bars[market, symbol, interval] if start_ms <= b.open_time_ms <= now_ms]
        ended_ms = now_ms - self.settle_ms
        return [replace(b, is_closed=b.close_time_ms <= ended_ms, received_ms=now_ms) for b in found[:limit]]

    async def funding_now(self, symbol: str) -> FundingNow:
        now_ms = self.clock.now_ms()
        next_ms = min((rate.time_ms for rate in self.rates if rate.time_ms > now_ms), default=now_ms + HOUR_MS)
        return FundingNow(symbol, 1e-4, next_ms, self.funding_interval_ms, 0.003, 100.0, 100.0, now_ms)

    async def funding_history(self, symbol: str, *, start_ms: int, limit: int) -> list[FundingRate]:
        listed_ms = self.clock.now_ms() - self.funding_late_ms
        return [r for r in self.rates if start_ms <= r.time_ms <= listed_ms][:limit]

    async def stream_bars(self, _subscriptions: object) -> AsyncIterator[Bar]:
        for live in self.live:
            yield live
