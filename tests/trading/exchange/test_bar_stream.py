"""The stream over a wire of our own: sockets that tear, fall silent, skip and repeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from trading.domain.clock import Clock
from trading.domain.errors import NetworkDownError, RateLimitError
from trading.domain.instrument import Market
from trading.domain.market import Bar
from trading.exchange import bar_stream, kept_socket
from trading.exchange.bar_stream import BarStream, Wire
from trading.exchange.sockets import Dial, OnMessage, SocketPlan
from trading.market import patience

MINUTE_MS = 60_000
START_MS = 1_704_067_200_000
KEY = (Market.SPOT, "BTCUSDT", "1m")


def raw(minute: int, *, closed: bool) -> dict[str, object]:
    return {
        "t": START_MS + minute * MINUTE_MS, "s": "BTCUSDT", "i": "1m", "o": "1", "h": "2", "l": "0.5", "c": "1.5",
        "v": "7", "x": closed,
    }  # fmt: skip


def told(kline: Mapping[str, object]) -> dict[str, object]:
    """A candle in its message."""
    return {"stream": "btcusdt@kline_1m", "data": {"e": "kline", "k": kline}}


def listed(minute: int, *, closed: bool = True) -> Bar:
    return Bar(*KEY, START_MS + minute * MINUTE_MS, 1.0, 2.0, 0.5, 1.5, 7.0, is_closed=closed, received_ms=0)


@dataclass
class Scripted:
    """Connections as lists of candles, each ended by an error; REST knows every minute before `rest_until`."""

    connections: list[list[dict[str, object]]]
    rest_until: int = 1000
    rest_lacks: tuple[int, ...] = ()
    rest_unfinished: int = 0
    """So many answers list their last candle as running, though the stream is past it."""
    rest_lists_nothing: int = 0
    """In so many answers."""
    rest_fails: int = 0
    rest_error: Exception = field(default_factory=lambda: NetworkDownError("rest is down"))
    connects: int = 0
    dropped: int = 0
    pages: list[int] = field(default_factory=list)
    clock: Clock = field(default_factory=lambda: Clock(scale=1.0, origin_ms=START_MS))
    broken: asyncio.Event = field(default_factory=asyncio.Event)
    dropped_twice: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self, _plan: SocketPlan, on_message: OnMessage) -> None:
        self.connects += 1
        if not self.connections:
            self.broken.clear()
            await self.broken.wait()
            raise NetworkDownError("dropped")
        for kline in self.connections.pop(0):
            on_message(told(kline), 0)
            await asyncio.sleep(0)
        raise NetworkDownError("torn")

    def drop(self, _plan: SocketPlan) -> None:
        self.dropped += 1
        if self.dropped == 2:
            self.dropped_twice.set()
        self.broken.set()

    async def klines(self, _key: object, start_ms: int, limit: int) -> list[Bar]:
        self.pages.append((start_ms - START_MS) // MINUTE_MS)
        if self.rest_fails:
            self.rest_fails -= 1
            raise self.rest_error
        if self.rest_lists_nothing:
            self.rest_lists_nothing -= 1
            return []
        first = (start_ms - START_MS) // MINUTE_MS
        known = [m for m in range(first, self.rest_until) if m not in self.rest_lacks]
        page = [listed(minute) for minute in known[:limit]]
        if self.rest_unfinished:
            self.rest_unfinished -= 1
            page[-1] = replace(page[-1], is_closed=False)
        return page

    def stream(self) -> BarStream:
        return BarStream(Wire(Dial(self.clock, self.listen, self.drop), self.klines), [KEY])


def minute_of(bar: Bar) -> int:
    return (bar.open_time_ms - START_MS) // MINUTE_MS


@asynccontextmanager
async def two_symbols(script: Scripted) -> AsyncIterator[tuple[asyncio.Queue[Bar], Callable[..., None]]]:
    """The candles of BTC and ETH, and how to say one over their connection."""
    hear: asyncio.Future[OnMessage] = asyncio.get_running_loop().create_future()

    async def listen(_plan: SocketPlan, on_message: OnMessage) -> None:
        hear.set_result(on_message)
        await asyncio.Event().wait()

    async def klines(key: tuple[Market, str, str], start_ms: int, limit: int) -> list[Bar]:
        return [replace(bar, symbol=key[1]) for bar in await script.klines(key, start_ms, limit)]

    keys = [KEY, (Market.SPOT, "ETHUSDT", "1m")]
    stream = BarStream(Wire(Dial(script.clock, listen, script.drop), klines), keys)

    def say(symbol: str, minute: int, *, closed: bool, **cells: str) -> None:
        hear.result()(told(raw(minute, closed=closed) | {"s": symbol} | cells), 0)

    bars = asyncio.Queue[Bar]()

    async def read() -> None:
        async for bar in stream.bars():
            bars.put_nowait(bar)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(read())
        await hear
        try:
            yield bars, say
        finally:
            await stream.stop()


async def closes(script: Scripted, count: int) -> list[int]:
    """The minutes of the first so many closed candles."""
    stream, found = script.stream(), []
    async with asyncio.timeout(10):
        bars = stream.bars()
        async for bar in bars:
            if bar.is_closed:
                found.append((bar.open_time_ms - START_MS) // MINUTE_MS)
            if len(found) == count:
                break
        await bars.aclose()
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT_MS", 5)
    monkeypatch.setattr(kept_socket, "_FIRST_WAIT_S", 0.005)
    monkeypatch.setattr(bar_stream, "_TICK_S", 0.01)


async def test_closed_candles_pass_once_and_running_ones_in_between():
    script = Scripted([[raw(0, closed=False), raw(0, closed=True), raw(0, closed=True), raw(1, closed=False)]])
    stream = script.stream()
    seen = []
    async for bar in stream.bars():
        seen.append(((bar.open_time_ms - START_MS) // MINUTE_MS, bar.is_closed))
        if seen[-1] == (1, False):
            break
    assert [minute for minute, closed in seen if closed] == [0]
    await stream.stop()


async def test_a_close_may_overtake_the_running_candle_of_another_symbol_while_the_listener_digests():
    keys = [KEY, (Market.SPOT, "ETHUSDT", "1m")]
    connected = asyncio.Event()
    hear: list[OnMessage] = []

    async def listen(_plan: SocketPlan, on_message: OnMessage) -> None:
        hear.append(on_message)
        connected.set()
        await asyncio.Event().wait()

    script = Scripted([])
    stream = BarStream(Wire(Dial(script.clock, listen, script.drop), script.klines), keys)
    bars, seen = stream.bars(), []
    first = asyncio.ensure_future(anext(bars))
    await asyncio.wait_for(connected.wait(), 5)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        hear[0](told(raw(0, closed=False) | {"s": symbol}), 0)
    seen.append(await asyncio.wait_for(first, 5))
    hear[0](told(raw(0, closed=True) | {"s": "ETHUSDT"}), 0)
    seen.append(await asyncio.wait_for(anext(bars), 5))
    assert [(bar.symbol, bar.is_closed) for bar in seen] == [("BTCUSDT", False), ("ETHUSDT", True)]
    await bars.aclose()


async def test_a_symbol_whose_repair_fails_holds_up_no_other():
    async with two_symbols(Scripted([], rest_fails=1000)) as (bars, say):
        say("BTCUSDT", 0, closed=True)
        say("BTCUSDT", 3, closed=True)
        for minute in range(3):
            say("ETHUSDT", minute, closed=True)
        seen = [await bars.get() for _ in range(4)]
    assert [(bar.symbol, minute_of(bar)) for bar in seen] == [
        ("BTCUSDT", 0), ("ETHUSDT", 0), ("ETHUSDT", 1), ("ETHUSDT", 2)
    ]  # fmt: skip


async def test_a_symbol_of_which_nothing_is_ever_heard_is_asked_for_when_its_close_is_overdue(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(bar_stream, "OVERDUE_REAL_S", 0.03)
    script = Scripted([], rest_until=3)
    async with two_symbols(script) as (bars, say):
        script.clock.follow(replace(script.clock.timeline, origin_ms=START_MS + 4 * MINUTE_MS))  # type: ignore[type-var]
        say("BTCUSDT", 3, closed=True)
        seen = [await bars.get() for _ in range(4)]
    assert [(bar.symbol, minute_of(bar)) for bar in seen] == [
        ("BTCUSDT", 3), ("ETHUSDT", 0), ("ETHUSDT", 1), ("ETHUSDT", 2)
    ]  # fmt: skip


async def test_a_market_that_stands_still_is_asked_for_its_close_ever_more_seldom(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bar_stream, "OVERDUE_REAL_S", 0.001)
    monkeypatch.setattr(bar_stream, "_TICK_S", 0.001)
    script = Scripted([], rest_lists_nothing=6, clock=Clock(scale=1.0, origin_ms=START_MS + 60 * MINUTE_MS))
    async with two_symbols(script) as (bars, say):
        say("BTCUSDT", 0, closed=True)
        await bars.get()
        began_s = script.clock.real_s()
        assert minute_of(await bars.get()) == 1
        assert script.clock.real_s() - began_s >= 0.07, "after 5, 10, 20 and 40 ms"
    assert script.pages.count(1) == 7


async def test_a_close_that_is_told_again_with_other_numbers_is_passed_on_for_the_listener_to_say_so():
    async with two_symbols(Scripted([])) as (bars, say):
        for high in ("2", "2", "2.5"):
            say("BTCUSDT", 0, closed=True, h=high)
        say("BTCUSDT", 1, closed=False)
        assert [(bar.high, bar.is_closed) for bar in [await bars.get() for _ in range(3)]] == [
            (2.0, True), (2.5, True), (2.0, False)
        ]  # fmt: skip


async def test_what_was_missed_while_the_socket_was_down_is_fetched_in_order():
    script = Scripted([[raw(0, closed=True)], [raw(5, closed=False), raw(5, closed=True)]], rest_until=6)
    assert await closes(script, 6) == [0, 1, 2, 3, 4, 5]
    assert script.connects >= 2


async def test_a_closed_candle_that_reveals_a_gap_comes_after_the_gap_is_filled():
    script = Scripted([[raw(0, closed=True), raw(4, closed=True)]], rest_until=4)
    assert await closes(script, 5) == [0, 1, 2, 3, 4]


async def test_a_gap_of_the_venue_itself_is_passed_over():
    script = Scripted([[raw(0, closed=True), raw(4, closed=True)]], rest_lacks=(1, 2))
    assert await closes(script, 3) == [0, 3, 4]


async def test_a_candle_that_rest_does_not_call_closed_yet_is_asked_for_again_and_is_no_gap():
    script = Scripted([[raw(0, closed=True), raw(3, closed=True)]], rest_until=3, rest_unfinished=2)
    assert await closes(script, 4) == [0, 1, 2, 3]
    assert script.pages == [1, 2, 2]


async def test_an_answer_that_ends_before_the_candle_that_was_told_is_old_and_makes_no_gap():
    script = Scripted([[raw(0, closed=True), raw(3, closed=True)]], rest_lists_nothing=2)
    assert await closes(script, 4) == [0, 1, 2, 3]


async def test_nothing_later_passes_while_the_repair_fails():
    script = Scripted([[raw(0, closed=True), raw(3, closed=True)]], rest_fails=3)
    assert await closes(script, 4) == [0, 1, 2, 3]
    assert script.pages == [1, 1, 1, 1]


async def test_a_long_gap_is_fetched_page_by_page():
    script = Scripted([[raw(0, closed=True), raw(2500, closed=True)]], rest_until=2500)
    assert await closes(script, 2501) == list(range(2501))
    assert script.pages == [1, 1001, 2001]


async def test_a_close_that_never_comes_is_asked_for_when_it_is_overdue(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bar_stream, "OVERDUE_REAL_S", 0.03)
    script = Scripted([], rest_until=3, clock=Clock(scale=1.0, origin_ms=START_MS + 4 * MINUTE_MS))
    script.connections = [[raw(0, closed=True)]]
    assert await closes(script, 3) == [0, 1, 2]


async def test_a_silent_connection_is_dropped_and_made_anew(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kept_socket, "SILENT_S", 0.03)
    monkeypatch.setattr(kept_socket, "LONGEST_SILENT_S", 0.1)
    script = Scripted([])
    stream = script.stream()
    bars = stream.bars()
    reading = asyncio.ensure_future(anext(bars))
    async with asyncio.timeout(5):
        await script.dropped_twice.wait()
    assert script.connects >= 2
    await stream.stop()
    with pytest.raises(StopAsyncIteration):
        await reading


async def test_an_unreadable_candle_is_passed_over():
    broken = {**raw(1, closed=True), "c": "much"}
    foreign = {**raw(1, closed=True), "s": "ETHUSDT"}
    script = Scripted([[raw(0, closed=True), broken, foreign, raw(1, closed=True)]])
    assert await closes(script, 2) == [0, 1]


async def test_a_rate_limit_is_obeyed_before_the_repair_is_tried_again():
    script = Scripted([[raw(0, closed=True), raw(2, closed=True)]], rest_fails=1)
    script.rest_error = RateLimitError("slow down", retry_after_s=0.15)
    began_s = asyncio.get_running_loop().time()
    assert await closes(script, 3) == [0, 1, 2]
    assert asyncio.get_running_loop().time() - began_s >= 0.15


async def test_a_bug_in_a_connections_loop_is_raised_to_the_reader():
    script = Scripted([])

    async def buggy(*_: object) -> None:
        raise ZeroDivisionError

    stream = BarStream(Wire(Dial(script.clock, buggy, script.drop), script.klines), [KEY])
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(5):
            await anext(stream.bars())
