"""Candles by asking, over a venue of our own that is late, leaves candles out, and does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from trading.domain.clock import Clock
from trading.domain.errors import NetworkDownError, RateLimitError
from trading.domain.instrument import Market
from trading.domain.market import Bar
from trading.exchange import polled_bars
from trading.exchange.polled_bars import OVERDUE_S, SETTLE_MS, PolledBars
from trading.market.bar_sequence import Subscription

MINUTE_MS = 60_000
START_MS = 1_704_067_200_000
KEY = (Market.SPOT, "BTCUSDT", "1m")


class Set(Clock):
    """Lab time stands where it is put, and a wait is over at once and remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.at_ms = START_MS + 20_000
        self.waits: list[float] = []

    def now_ms(self) -> int:
        return self.at_ms

    async def wait_s(self, event: asyncio.Event, lab_s: float) -> bool:
        self.waits.append(lab_s)
        self.at_ms += int(lab_s * 1000)
        await asyncio.sleep(0)
        return event.is_set()


@dataclass
class Venue:
    """Lists every minute up to now, the running one last."""

    clock: Set = field(default_factory=Set)
    lacks: tuple[int, ...] = ()
    late_ms: int = 0
    errors: list[Exception] = field(default_factory=list)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def klines(self, _key: object, start_ms: int, limit: int) -> list[Bar]:
        self.was_asked.set()
        if self.errors:
            raise self.errors.pop(0)
        last = (self.clock.now_ms() - self.late_ms - START_MS) // MINUTE_MS
        minutes = [m for m in range((start_ms - START_MS) // MINUTE_MS, last + 1) if m not in self.lacks]
        return [
            Bar(*KEY, START_MS + m * MINUTE_MS, 1.0, 2.0, 0.5, 1.5, 7.0, is_closed=m < last, received_ms=0)
            for m in minutes
        ][:limit]

    @asynccontextmanager
    async def bars(self, page: int = 720) -> AsyncIterator[AsyncIterator[Bar]]:
        stream = PolledBars(self.clock, self.klines, [KEY], look_every_s=25.0, page=page)
        async with asyncio.timeout(10), aclosing(stream.bars()) as bars:
            yield bars


async def minutes(bars: AsyncIterator[Bar], count: int) -> list[int]:
    """The first so many closed candles."""
    found: list[int] = []
    async for bar in bars:
        if bar.is_closed:
            found.append((bar.open_time_ms - START_MS) // MINUTE_MS)
        if len(found) == count:
            break
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polled_bars, "_BREATH_S", 0.0)


async def test_running_candles_come_in_between_and_a_close_is_asked_for_when_it_is_due():
    venue = Venue()
    async with venue.bars() as bars:
        seen = []
        async for bar in bars:
            seen.append(((bar.open_time_ms - START_MS) // MINUTE_MS, bar.is_closed))
            if seen[-1] == (1, False):
                break
    assert seen == [(0, False), (0, False), (0, True), (1, False)]
    assert venue.clock.waits == [25.0, 15.0 + SETTLE_MS / 1000.0], "the last look is right after the close is due"


async def test_every_closed_candle_comes_once_and_in_order():
    venue = Venue()
    async with venue.bars() as bars:
        assert await minutes(bars, 5) == [0, 1, 2, 3, 4]


async def test_a_candle_that_the_venue_leaves_out_is_a_gap_and_is_not_made_up():
    venue = Venue(lacks=(2, 3))
    async with venue.bars() as bars:
        assert await minutes(bars, 4) == [0, 1, 4, 5]


async def test_a_close_that_is_late_is_asked_for_again_soon():
    venue = Venue(late_ms=5_000)
    async with venue.bars() as bars:
        assert await minutes(bars, 2) == [0, 1]
    assert venue.clock.waits[2:4] == [OVERDUE_S, OVERDUE_S]


async def test_after_a_page_of_its_own_size_the_rest_is_asked_for():
    venue = Venue()
    async with venue.bars(page=3) as bars:
        assert await minutes(bars, 1) == [0]
        venue.clock.at_ms += 7 * MINUTE_MS
        assert await minutes(bars, 7) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_venue_that_does_not_answer_is_asked_again_and_told_to_stay_away_not_before_the_time(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(polled_bars, "_FIRST_WAIT_S", 0.02)
    venue = Venue(errors=[NetworkDownError("down"), RateLimitError("slow down", retry_after_s=0.08)])
    began_s = venue.clock.real_s()
    async with venue.bars() as bars:
        await anext(bars)
    assert venue.clock.real_s() - began_s >= 0.1


async def test_a_symbol_that_is_not_answered_holds_up_no_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(polled_bars, "_FIRST_WAIT_S", 30.0)
    venue = Venue()

    async def klines(key: Subscription, start_ms: int, limit: int) -> list[Bar]:
        if key != KEY:
            raise NetworkDownError("not this one")
        return await venue.klines(key, start_ms, limit)

    keys = [(Market.SPOT, "ETHUSDT", "1m"), KEY]
    stream = PolledBars(venue.clock, klines, keys, look_every_s=25.0, page=720)
    async with asyncio.timeout(10), aclosing(stream.bars()) as bars:
        assert await minutes(bars, 3) == [0, 1, 2]


async def test_it_ends_when_stopped_also_in_the_middle_of_a_wait():
    venue = Venue(errors=[NetworkDownError("down")] * 5)
    stream = PolledBars(venue.clock, venue.klines, [KEY], look_every_s=25.0, page=720)
    reading = asyncio.ensure_future(anext(stream.bars(), None))
    await venue.was_asked.wait()
    await stream.stop()
    assert await asyncio.wait_for(reading, 5) is None
