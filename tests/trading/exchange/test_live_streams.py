"""Streams through ccxt's sockets against the sandbox: whole books; connections that break, fall silent, come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox.exchange.exchange import Key, Start
from sandbox.exchange.ledger import Position
from sandbox.faults import Fault
from sandbox.server import Built, Town, build, serving
from trading.domain.clock import Clock, Timeline
from trading.domain.instrument import Market
from trading.domain.market import Bar, BookDiff, Liquidation, MarketEvent, MarkNow, Quote, StreamBroken
from trading.exchange import book_keeper, ccxt_sockets, kept_socket
from trading.exchange.access import Access
from trading.exchange.binance import Binance
from trading.exchange.book_keeper import BookKeeper
from trading.exchange.recording import Recorder
from trading.exchange.replayed_day import replay
from trading.exchange.sockets import StreamKind, Want
from trading.market.realtime_market_data import LiveSettings, RealtimeMarketData
from trading.market.synthetic import Plan, synthetic_market, write_layout
from trading.storage.raw_log import RawLog

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOUR_MS = 3_600_000
SYMBOL = "BTCUSDT"
PLAN = Plan(bars=24 * 8)
START_MS = PLAN.start_ms + 4 * 24 * HOUR_MS
BOOKS = [Want(market, SYMBOL, kind) for market in Market for kind in (StreamKind.DEPTH, StreamKind.QUOTE)]


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tape")
    made = synthetic_market(PLAN)
    write_layout(folder, [made.spot, made.perp])
    return folder


@dataclass
class Open:
    """A sandbox in this process, and an adapter to it."""

    built: Built
    venue: Binance

    def fault(self, match: str, kind: str, *, times: int = 1) -> None:
        self.built.faults.add([Fault(match, kind, None, times, 0)])


@dataclass
class Sandbox:
    built: Built
    url: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(tape: Path) -> AsyncIterator[Sandbox]:
    built = build(Town(Start(tape, (SYMBOL,), START_MS, scale=60.0), Key()))
    async with serving(built) as port:
        yield Sandbox(built, f"http://127.0.0.1:{port.port}")


def lab_clock(sandbox: Sandbox) -> Clock:
    segment, clock = sandbox.built.exchange.clock.segment, Clock()
    clock.follow(Timeline(segment.anchor_s, segment.origin_ms, segment.scale))
    return clock


@pytest_asyncio.fixture(loop_scope="module")
async def there(sandbox: Sandbox) -> AsyncIterator[Open]:
    sandbox.built.faults.clear()
    venue = Binance(Access(lab_clock(sandbox), base_url=sandbox.url))
    yield Open(sandbox.built, venue)
    await venue.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_socket, "_FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(book_keeper, "BETWEEN_SNAPSHOTS_S", 0.02)


class Listener:
    """Takes events until what is looked for is there."""

    def __init__(self, venue: Binance, wants: list[Want], keeper: BookKeeper | None = None) -> None:
        self._events, self._keeper = venue.stream_events(wants), keeper
        self.seen: list[MarketEvent] = []

    async def until(self, kind: type, *, market: Market | None = None, within_s: float = 15.0) -> MarketEvent:
        async with asyncio.timeout(within_s):
            async for event in self._events:
                self.seen.append(event)
                if self._keeper is not None:
                    self._keeper.hear(event)
                if isinstance(event, kind) and (market is None or getattr(event, "market", None) is market):
                    return event
        raise AssertionError(f"the stream ended before a {kind}")

    async def close(self) -> None:
        await self._events.aclose()  # type: ignore[attr-defined]


async def test_books_of_both_markets_are_whole_and_their_top_is_the_streamed_quote(there: Open) -> None:
    async with asyncio.timeout(20):
        clock = Clock()
        keeper = BookKeeper(there.venue.book_snapshot, [(m, SYMBOL) for m in Market], clock)
        stop, matched = asyncio.Event(), dict.fromkeys(Market, 0)
        worker = asyncio.create_task(keeper.run(stop))
        tops: dict[tuple[Market, int], object] = {}
        quotes: dict[tuple[Market, int], object] = {}
        async for event in there.venue.stream_events(BOOKS):
            keeper.hear(event)
            if isinstance(event, BookDiff) and (top := keeper.book(event.market, SYMBOL).top()) is not None:
                tops[event.market, event.last_id] = top
            elif isinstance(event, Quote) and event.update_id is not None:
                quotes[event.market, event.update_id] = ((event.bid, event.bid_base), (event.ask, event.ask_base))
            same = tops.keys() & quotes.keys()
            if all(sum(key[0] is market for key in same) >= 3 for market in Market):
                break
        assert all(tops[key] == quotes[key] for key in same)
        assert [keeper.book(market, SYMBOL).breaks for market in matched] == [0, 0]
        stop.set()
        await worker


async def test_a_break_is_told_and_the_book_begins_anew(there: Open) -> None:
    clock = Clock()
    keeper = BookKeeper(there.venue.book_snapshot, [(Market.PERP, SYMBOL)], clock)
    stop = asyncio.Event()
    worker = asyncio.create_task(keeper.run(stop))
    listener = Listener(there.venue, [Want(Market.PERP, SYMBOL, StreamKind.DEPTH)], keeper)
    book = keeper.book(Market.PERP, SYMBOL)
    while not book.is_whole:
        await listener.until(BookDiff)
    there.fault("WS /fut/public/*", "drop_socket")
    broken = await listener.until(StreamBroken)
    assert isinstance(broken, StreamBroken)
    assert (broken.symbol, book.is_whole) == (SYMBOL, False)
    while not book.is_whole:
        await listener.until(BookDiff)
    assert keeper.snapshots == 2
    stop.set()
    await worker
    await listener.close()


async def test_a_snapshot_that_fails_is_asked_for_again(there: Open) -> None:
    there.fault("GET /api/v3/depth", "503")
    keeper = BookKeeper(there.venue.book_snapshot, [(Market.SPOT, SYMBOL)], Clock())
    stop = asyncio.Event()
    worker = asyncio.create_task(keeper.run(stop))
    listener = Listener(there.venue, [Want(Market.SPOT, SYMBOL, StreamKind.DEPTH)], keeper)
    while not keeper.book(Market.SPOT, SYMBOL).is_whole:
        await listener.until(BookDiff)
    stop.set()
    await worker
    await listener.close()


async def test_a_book_without_a_snapshot_holds_up_no_other(there: Open) -> None:
    there.fault("GET /api/v3/depth", "503", times=1000)
    keeper = BookKeeper(there.venue.book_snapshot, [(market, SYMBOL) for market in Market], Clock())
    stop = asyncio.Event()
    worker = asyncio.create_task(keeper.run(stop))
    listeners = [Listener(there.venue, [Want(market, SYMBOL, StreamKind.DEPTH)], keeper) for market in Market]
    for listener in listeners:
        await listener.until(BookDiff)
    while not keeper.book(Market.PERP, SYMBOL).is_whole:
        await listeners[1].until(BookDiff)
    assert not keeper.book(Market.SPOT, SYMBOL).is_whole
    stop.set()
    await worker
    for listener in listeners:
        await listener.close()


@pytest.mark.parametrize("kind", ["silence", "half_open"])
async def test_a_connection_that_falls_silent_is_opened_anew(
    there: Open, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ccxt_sockets, "PING_MS", 200 if kind == "half_open" else 3_000)
    monkeypatch.setattr(kept_socket, "SILENT_S", 0.4 if kind == "silence" else 8.0)
    listener = Listener(there.venue, [Want(Market.PERP, SYMBOL, StreamKind.QUOTE)])
    await listener.until(Quote)
    there.fault("WS /fut/public/*", kind)
    broken = await listener.until(StreamBroken, within_s=4.0)
    assert isinstance(broken, StreamBroken)
    assert ("ping-pong" if kind == "half_open" else "fell silent") in broken.reason
    await listener.until(Quote)
    await listener.close()


async def test_the_end_of_a_connections_day_is_a_break_like_any_other(there: Open) -> None:
    listener = Listener(there.venue, [Want(Market.PERP, SYMBOL, StreamKind.QUOTE)])
    await listener.until(Quote)
    there.built.hub.socket_life_s = 0.0
    await listener.until(StreamBroken)
    there.built.hub.socket_life_s = 86_400.0
    await listener.until(Quote)
    await listener.close()


async def test_a_stream_that_the_venue_refuses_is_told(there: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Want, "name", property(lambda self: f"{self.symbol}@nonsense"))
    listener = Listener(there.venue, [Want(Market.PERP, SYMBOL, StreamKind.MARK)])
    broken = await listener.until(StreamBroken)
    assert isinstance(broken, StreamBroken)
    assert "refused" in broken.reason
    assert "check the symbols" in broken.reason
    await listener.close()


async def test_everybody_sees_a_liquidation(there: Open) -> None:
    listener = Listener(
        there.venue, [Want(Market.PERP, SYMBOL, kind) for kind in (StreamKind.MARK, StreamKind.LIQUIDATION)]
    )
    await listener.until(MarkNow)
    engine = there.built.exchange.engine
    engine.ledger.positions[SYMBOL] = position = Position(SYMBOL, quantity=Decimal("0.5"), cost=Decimal(50_000))
    engine._liquidate(position, there.built.exchange.now())
    event = await listener.until(Liquidation)
    assert isinstance(event, Liquidation)
    assert (event.symbol, event.is_buy, event.quantity_base, event.filled_base) == (SYMBOL, False, 0.5, 0.5)
    assert event.average_price > 0.0
    await listener.close()


async def test_what_was_recorded_gives_the_same_tapes_bit_for_bit_through_breaks_and_repairs(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.built.faults.clear()
    clock, keys = lab_clock(sandbox), [(market, SYMBOL, "1h") for market in Market]
    out = RawLog(tmp_path, clock, max_bytes=10**9, keep_days=1)
    recorder = Recorder(out, clock)
    recorder.begin(keys, 50)
    venue = Binance(Access(clock, base_url=sandbox.url, record=recorder))
    market = RealtimeMarketData(venue, clock, keys, settings=LiveSettings(keep_bars=50))
    stop, closes = asyncio.Event(), 0
    keeper = BookKeeper(venue.book_snapshot, [(Market.SPOT, SYMBOL)], clock)

    def count(_bar: Bar) -> None:
        nonlocal closes
        closes += 1
        if closes in (4, 10):
            sandbox.built.faults.add([Fault("WS /*/stream", "drop_socket", None, 3, 0)])
            sandbox.built.faults.add([Fault("GET /api/v3/klines", "503", None, 1, 0)])
        if closes == 18:
            stop.set()

    async def books() -> None:
        async for event in venue.stream_events([Want(Market.SPOT, SYMBOL, StreamKind.DEPTH)]):
            keeper.hear(event)

    try:
        async with asyncio.timeout(20):
            await market.open()
            sandbox.built.exchange.clock.turn(scale=40_000.0)
            clock.follow(lab_clock(sandbox).timeline)  # type: ignore[arg-type]  # it has one
            market.on_closed_bar(count)
            others = [asyncio.create_task(books()), asyncio.create_task(keeper.run(stop))]
            await market.run(stop)
            await venue.close()
            await asyncio.gather(*others)
    finally:
        await venue.close()
        out.close()
        sandbox.built.exchange.clock.turn(scale=60.0)
    (session,) = await replay(tmp_path)
    assert session.met.breaks >= 4
    assert session.met.failures >= 1
    for key in keys:
        live, played = market.tape(*key), session.market.tape(*key)
        both = played.start_ms, live.end_ms
        assert played.window(*both).content_hash == live.window(*both).content_hash
        assert played.end_ms - live.end_ms <= 24 * HOUR_MS  # what came after the last candle that was taken live: 2 s
    kept = session.books[Market.SPOT, SYMBOL]
    assert (kept.book.breaks, kept.whole > kept.changes * 0.5) == (0, True)
