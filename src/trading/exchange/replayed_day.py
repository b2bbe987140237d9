"""Tapes and books built anew from a recording, by the code that built them live.

A recording has sessions: each start of the lab begins one. Their tapes are built one after the other, each from the
history that was fetched at its start and the candles that were streamed after it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, groupby
from pathlib import Path

import orjson

from trading.domain.clock import StandingClock
from trading.domain.errors import DataProviderError, NetworkDownError
from trading.domain.instrument import Market
from trading.domain.market import BookDiff
from trading.exchange.access import Access
from trading.exchange.answer import Answer
from trading.exchange.binance_market import SNAPSHOT_LEVELS, BinanceMarket
from trading.exchange.parse_stream import book_snapshot, stream_event
from trading.exchange.recording import Recorded, Subscription, read_recording
from trading.exchange.replay import Key, Met, Player, requests_of
from trading.market.order_book import OrderBook
from trading.market.realtime_market_data import LiveSettings, RealtimeMarketData
from trading.storage.raw_log import Reading


@dataclass(slots=True)
class KeptBook:
    """A book rebuilt from recorded snapshots and changes."""

    book: OrderBook
    changes: int = 0
    whole: int = 0
    """Changes after which the book was whole."""


@dataclass(slots=True)
class Session:
    """One start of the lab, played back."""

    subscriptions: tuple[Subscription, ...]
    from_ms: int
    """Time of its first line."""
    until_ms: int
    """Time of its last line."""
    market: RealtimeMarketData
    """The live markets as they stood at the end."""
    met: Met
    books: dict[tuple[Market, str], KeptBook] = field(default_factory=dict)
    """Of every symbol whose depth was streamed."""


async def replay(folder: Path, reading: Reading | None = None) -> list[Session]:
    """Play a recording back.

    Args:
        folder: Of the recording.
        reading: Filled with what was met in the files.

    Raises:
        DataProviderError: there is no recording, or it holds no start of a lab.
    """
    requests = [requests_of(lines) for _, lines in _sessions(read_recording(folder))]
    sessions = []
    for number, lines in _sessions(read_recording(folder, reading)):
        begin = next(lines)
        if begin.kind == "begin":  # what comes before the first start belongs to one whose file was removed
            sessions.append(await _played(begin, lines, requests[number]))
    if not sessions:
        raise DataProviderError(
            f"{folder}: no recording that begins with a start of the lab; see recording in lab.yaml"
        )
    return sessions


def _sessions(records: Iterator[Recorded]) -> Iterator[tuple[int, Iterator[Recorded]]]:
    number = 0

    def session(record: Recorded) -> int:
        nonlocal number
        number += record.kind == "begin"
        return number

    for position, (_, lines) in enumerate(groupby(records, key=session)):
        yield position, lines


async def _played(begin: Recorded, lines: Iterator[Recorded], requests: dict[Key, int]) -> Session:
    head = json.loads(begin.head)
    kept = tuple((Market(market), symbol, interval) for market, symbol, interval in head["subscriptions"])
    early, clock = _until_history(lines, begin)
    player = Player(clock, requests)
    venue = BinanceMarket(Access(clock, open_line=player.line))
    market = RealtimeMarketData(venue, clock, kept, settings=LiveSettings(keep_bars=int(head["keep_bars"])))
    session = Session(kept, begin.at_ms, begin.at_ms, market, player.met)
    stop = asyncio.Event()
    consumer = asyncio.create_task(_consume(market, stop), name="replay")
    try:
        await player.play(_watched(chain(early, lines), session))
    finally:
        stop.set()
        await venue.close()
        with suppress(NetworkDownError):  # the recording ended while a request was under way
            await consumer
    return session


def _until_history(lines: Iterator[Recorded], begin: Recorded) -> tuple[list[Recorded], StandingClock]:
    """The lines up to the first answer with candles, and when it was asked for: history reaches back from then."""
    early: list[Recorded] = []
    for line in lines:
        early.append(line)
        if line.kind in ("rest", "failed") and "GetKlines" in line.head:
            head = json.loads(line.head)
            return early, StandingClock(int(head["sent_ms"]), real_s=float(head["sent_s"]))
    return early, StandingClock(begin.at_ms, real_s=begin.real_s)


async def _consume(market: RealtimeMarketData, stop: asyncio.Event) -> None:
    await market.open()
    await market.run(stop)


def _watched(lines: Iterable[Recorded], session: Session) -> Iterator[Recorded]:
    """The lines, with the books kept on the way."""
    streams: dict[str, list[str]] = {}
    for line in lines:
        session.until_ms = line.at_ms
        if line.kind == "ws" and "depthUpdate" in line.text:
            _apply(line, session)
        elif line.kind == "rest" and "GetDepth" in line.head:
            _restart(line, session)
        elif line.kind == "open":
            streams[line.connection] = json.loads(line.head)["streams"]
        elif line.kind == "broken":
            _lose(line, streams.get(line.connection, ()), session)
        yield line


def _apply(line: Recorded, session: Session) -> None:
    market = Market(line.connection.partition("/")[0])
    event = stream_event(market, orjson.loads(line.text)["data"], received_ms=line.at_ms)
    if isinstance(event, BookDiff):
        key = market, event.symbol
        known = session.books.setdefault(key, KeptBook(OrderBook(*key)))
        known.book.apply(event)
        known.changes += 1
        known.whole += known.book.is_whole


def _lose(line: Recorded, streams: Iterable[str], session: Session) -> None:
    market = Market(line.connection.partition("/")[0])
    for name in streams:
        symbol, _, kind = name.partition("@")
        if kind.startswith("depth") and (known := session.books.get((market, symbol.upper()))) is not None:
            known.book.lose()


def _restart(line: Recorded, session: Session) -> None:
    params = json.loads(line.head)["params"]
    market = Market(line.connection)
    known = session.books.get((market, params["symbol"]))
    if known is not None and params.get("limit") == SNAPSHOT_LEVELS:
        answer = Answer.of(orjson.loads(line.text), f"{market} {params['symbol']} recorded depth")
        known.book.restart(book_snapshot(market, params["symbol"], answer, received_ms=line.at_ms))
