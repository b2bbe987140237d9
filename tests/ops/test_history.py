"""The research history: fetched once, a day longer every day, kept over a restart, asked of the real wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ops.environment import Environment
from ops.history.shelf import SETTLED_AFTER_MS, History
from ops.settings import LabSettings, VenueSettings
from ops.venues import make_venue
from tests.ops.world import START_MS, World
from trading.domain.clock import DAY_MS, Clock
from trading.domain.errors import DataProviderError, NetworkDownError
from trading.domain.instrument import Market
from trading.domain.market import Bar
from trading.domain.venue import MarketData
from trading.market.store import TapeStore
from trading.market.synthetic import Plan, synthetic_market
from trading.market.tape import Tape

NOTHING = Environment(None, None, None, None, None, binance_testnet=False, live_trading=False, kill=False)
KEY = (Market.PERP, "BTCUSDT", "1h")
TODAY_MS = START_MS + 190 * DAY_MS
"""A midnight the sandbox's tape lies around."""
HOUR_MS = 3_600_000


class Lab:
    """A history over a sandbox, whose pages of candles are counted and whose clock is set by hand."""

    def __init__(self, data: MarketData, root: Path, *, days: int) -> None:
        self.data, self.store, self.days = data, TapeStore(root), days
        self.asked: list[int] = []
        self.is_down = False
        self.restart(TODAY_MS + HOUR_MS)

    def __getattr__(self, name: str) -> object:
        return getattr(self.data, name)

    async def klines(self, market: Market, symbol: str, interval: str, *, start_ms: int, limit: int) -> list[Bar]:
        self.asked.append(start_ms)
        if self.is_down:
            raise NetworkDownError("the line is cut")
        return list(await self.data.klines(market, symbol, interval, start_ms=start_ms, limit=limit))

    def restart(self, now_ms: int) -> None:
        self.clock = Clock(origin_ms=now_ms, scale=1.0)
        self.history = History(self, self.store, self.clock, days=self.days, origin="synthetic")  # type: ignore[arg-type]

    def turn(self, now_ms: int) -> None:
        self.clock.follow(Clock(origin_ms=now_ms).timeline)  # type: ignore[arg-type]

    async def tape(self) -> Tape:
        return await self.history.tape(*KEY)

    def asked_since(self) -> list[int]:
        asked, self.asked = self.asked, []
        return asked


@asynccontextmanager
async def lab_of(world: World, root: Path, *, days: int) -> AsyncIterator[Lab]:
    clock = Clock(origin_ms=int(str(world.ask("/sandbox/clock")["now_ms"])))
    venue = make_venue(LabSettings(venue=VenueSettings(base_url=world.url)), NOTHING, clock)
    try:
        yield Lab(venue, root, days=days)
    finally:
        await venue.close()


async def test_it_is_the_same_object_all_day_and_asked_for_once(world: World, tmp_path: Path) -> None:
    async with lab_of(world, tmp_path, days=20) as lab:
        first = await lab.tape()
        assert (first.start_ms, first.end_ms) == (TODAY_MS - 20 * DAY_MS, TODAY_MS)
        assert lab.asked_since()
        lab.turn(TODAY_MS + 23 * HOUR_MS)
        assert await lab.tape() is first
        assert lab.asked_since() == []


async def test_a_midnight_counts_once_its_last_candle_has_settled(world: World, tmp_path: Path) -> None:
    async with lab_of(world, tmp_path, days=20) as lab:
        lab.turn(TODAY_MS)
        assert (await lab.tape()).end_ms == TODAY_MS - DAY_MS
        lab.turn(TODAY_MS + SETTLED_AFTER_MS)
        assert (await lab.tape()).end_ms == TODAY_MS


async def test_the_next_day_adds_one_day_and_nothing_differs_from_fetching_all(world: World, tmp_path: Path) -> None:
    async with lab_of(world, tmp_path / "daily", days=20) as lab:
        await lab.tape()
        lab.asked_since()
        lab.turn(TODAY_MS + DAY_MS + HOUR_MS)
        extended = await lab.tape()
        assert lab.asked_since() == [TODAY_MS]
    async with lab_of(world, tmp_path / "whole", days=20) as lab:
        lab.turn(TODAY_MS + DAY_MS + HOUR_MS)
        whole = await lab.tape()
    assert extended.end_ms == TODAY_MS + DAY_MS
    assert list(extended.funding.time_ms) == list(whole.funding.time_ms)
    assert extended.content_hash == whole.content_hash


async def test_a_restart_reads_the_store_and_asks_for_nothing_and_the_origin_stays(
    world: World, tmp_path: Path
) -> None:
    async with lab_of(world, tmp_path, days=20) as lab:
        before = await lab.tape()
        seen = world.ask("/sandbox/seen")["requests"]
        lab.restart(TODAY_MS + 2 * HOUR_MS)
        after = await lab.tape()
        assert world.ask("/sandbox/seen")["requests"] == seen
    assert after is not before
    assert after.content_hash == before.content_hash
    assert (before.origin, after.origin) == ("synthetic", "synthetic")


async def test_a_venue_with_a_shorter_history_is_not_asked_for_all_of_it_every_day(
    world: World, tmp_path: Path
) -> None:
    async with lab_of(world, tmp_path, days=300) as lab:
        assert (await lab.tape()).start_ms == START_MS
        assert len(lab.asked_since()) > 4
        lab.turn(TODAY_MS + DAY_MS + HOUR_MS)
        extended = await lab.tape()
        assert len(lab.asked_since()) == 2  # once whether there is anything older, and the new day
        assert (extended.start_ms, extended.end_ms) == (START_MS, TODAY_MS + DAY_MS)
        lab.turn(TODAY_MS + 2 * DAY_MS + HOUR_MS)
        await lab.tape()
        assert lab.asked_since() == [TODAY_MS + DAY_MS]


async def test_more_days_asked_for_later_are_fetched_before_the_bars_held(world: World, tmp_path: Path) -> None:
    async with lab_of(world, tmp_path, days=20) as lab:
        await lab.tape()
        lab.asked_since()
        lab.days = 30
        lab.restart(TODAY_MS + HOUR_MS)
        longer = await lab.tape()
        assert lab.asked_since() == [TODAY_MS - 30 * DAY_MS]
    assert (len(longer), longer.start_ms, longer.gaps) == (30 * 24, TODAY_MS - 30 * DAY_MS, ())


async def test_a_line_cut_while_asking_for_older_bars_is_no_beginning_of_history(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trading.market.historical_data_fetcher.FIRST_WAIT_S", 0.0)
    async with lab_of(world, tmp_path, days=20) as lab:
        await lab.tape()
        lab.days = 30
        lab.restart(TODAY_MS + HOUR_MS)
        lab.is_down = True
        with pytest.raises(NetworkDownError):
            await lab.tape()
        lab.is_down = False
        assert len(await lab.tape()) == 30 * 24


async def test_a_made_up_market_on_the_shelf_is_no_research_of_a_real_one(tmp_path: Path) -> None:
    made = synthetic_market(Plan(start_ms=TODAY_MS - 40 * DAY_MS, bars=40 * 24))
    store, clock = TapeStore(tmp_path), Clock(origin_ms=TODAY_MS + HOUR_MS)
    for market in (made.spot, made.perp):
        store.save(market)
    nobody: MarketData = None  # type: ignore[assignment]  # what is held is enough
    with pytest.raises(DataProviderError, match=r"SYNTHETIC.*; keep made-up markets in a home of their own"):
        await History(nobody, store, clock, days=30, origin=None).tape(*KEY)
    assert len(await History(nobody, store, clock, days=30, origin="synthetic").tape(*KEY)) == 30 * 24
