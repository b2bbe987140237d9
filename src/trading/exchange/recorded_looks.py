"""What the raw recording shows of books and prices: how often a resting order would have been traded through.

Quotes and books come from the lab's own questions (`ticker/bookTicker`, `depth`) and, where they were streamed, from
quotes and changes of the book; where the market went meanwhile from streamed candles (their last price) and the same
books. An order that rests is counted as filled only where somebody dealt, or offered to, beyond its price: touching it
is not enough, for others were there before.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.market import Book, BookDiff, Quote
from trading.exchange.answer import Answer
from trading.exchange.binance_market import SNAPSHOT_LEVELS
from trading.exchange.parse_market import book as parse_book
from trading.exchange.parse_market import quote as parse_quote
from trading.exchange.parse_stream import book_snapshot, stream_event, streamed_bar
from trading.exchange.recording import Recorded, read_recording
from trading.exchange.sockets import StreamKind
from trading.market.order_book import OrderBook

WINDOW_MS = 60_000
"""Between two looks that are kept, so that what comes after one is not counted again after the next."""
CANDLE = f"@{StreamKind.CANDLE.value}_"
"""In the name of a stream of candles, after the symbol."""
BOOK_LEVELS = 100
"""Of a streamed book that is kept."""
LONGEST_HOLE_S = 5
"""Without a word of a market's connection: what the market did meanwhile was not seen."""

Key = tuple[Market, str]


@dataclass(slots=True)
class Watch:
    """When a connection said anything, of whatever symbol, and when it broke; in whole seconds."""

    spoke: set[int] = field(default_factory=set)
    broke: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Looks:
    """One market's books and prices over a recording."""

    quotes: list[tuple[int, float, float]] = field(default_factory=list)
    """(time, best bid, best ask), `WINDOW_MS` apart at least."""
    books: list[Book] = field(default_factory=list)
    """Likewise; with all the levels that were recorded."""
    reach: dict[int, tuple[float, float]] = field(default_factory=dict)
    """By second: the lowest price that a resting bid, and the highest that a resting ask could have met."""
    streamed: OrderBook | None = None
    watch: Watch = field(default_factory=Watch)
    """Of the connection its stream comes by: where that spoke of others, this market was quiet, and not unseen."""

    def saw(self, at_ms: int, bid: float, ask: float) -> None:
        """The best prices of a moment: a bid above the ask of a later one, or an ask below its bid, was met."""
        if not 0.0 < bid <= ask:
            return
        self.went(at_ms, ask, bid)
        if not self.quotes or at_ms - self.quotes[-1][0] >= WINDOW_MS:
            self.quotes.append((at_ms, bid, ask))

    def went(self, at_ms: int, low: float, high: float) -> None:
        """Where the market was."""
        held = self.reach.get(at_ms // 1000)
        self.reach[at_ms // 1000] = (low, high) if held is None else (min(low, held[0]), max(high, held[1]))

    def saw_book(self, book: Book) -> None:
        """Both sides, best first; an empty one is none."""
        if book.bids and book.asks:
            self.saw(book.at_ms, book.bids[0][0], book.asks[0][0])
            if not self.books or book.at_ms - self.books[-1].at_ms >= WINDOW_MS:
                self.books.append(book)

    def filled(self, *, within_s: float, behind_bps: float = 0.0) -> tuple[int, int]:
        """How many orders, one a side and look, would have been traded through in time, and of how many.

        Args:
            within_s: After the look, at most `WINDOW_MS`; looks after which the market was not watched all that time
                are left out: the connection broke, or there is a hole of more than `LONGEST_HOLE_S` in what it said.
            behind_bps: How far behind the best price of its side the order rests.
        """
        if not self.quotes or not self.reach:
            return 0, 0
        seconds = np.array(sorted(self.reach))
        lows, highs = np.array([self.reach[int(second)] for second in seconds]).T
        watched, broke = (np.array(sorted(some)) for some in (self.watch.spoke | set(self.reach), self.watch.broke))
        filled, of, away = 0, 0, behind_bps / 10_000
        for at_ms, bid, ask in self.quotes:
            until_ms = at_ms + round(within_s * 1000)
            from_s, until_s = at_ms // 1000, until_ms // 1000
            if until_ms > int(watched[-1]) * 1000 or not _is_watched(watched, broke, from_s, until_s):
                continue
            first, stop = np.searchsorted(seconds, [from_s + 1, until_s + 1])
            of += 2
            filled += int(lows[first:stop].min(initial=np.inf) < bid * (1.0 - away))
            filled += int(highs[first:stop].max(initial=-np.inf) > ask * (1.0 + away))
        return filled, of


def _is_watched(watched: NDArray[np.int64], broke: NDArray[np.int64], from_s: int, until_s: int) -> bool:
    """Something was heard every few seconds of a stretch, and no connection broke in it; both sorted, in seconds."""
    first, stop = np.searchsorted(watched, [from_s + 1, until_s + 1])
    heard = np.concatenate(([from_s], watched[first:stop], [until_s]))
    breaks = np.searchsorted(broke, [from_s, until_s + 1])
    return bool(np.diff(heard).max() <= LONGEST_HOLE_S and breaks[0] == breaks[1])


def read_looks(folder: Path, *, from_ms: int) -> dict[Key, Looks]:
    """Every market's looks in a recording; empty where there is none. CPU work.

    Args:
        folder: Of the recording.
        from_ms: Files that had ended by then are not opened, lines before it are passed over.

    Raises:
        OSError: a file cannot be read.
    """
    found, watches = dict[Key, Looks](), defaultdict[str, Watch](Watch)
    for line in read_recording(folder, from_ms=from_ms):
        if line.at_ms < from_ms:
            continue
        try:
            _take(line, found, watches[line.connection])
        except (DataProviderError, ValueError):
            continue  # a line that is no message of this venue teaches nothing
    return found


def _take(line: Recorded, found: dict[Key, Looks], watch: Watch) -> None:
    if line.kind == "rest":
        _answered(line, found)
    elif line.kind == "ws":
        watch.spoke.add(line.at_ms // 1000)
        _streamed(line, found, watch)
    elif line.kind == "broken":
        watch.broke.add(line.at_ms // 1000)
        for looks in _of_market(Market(line.connection.partition("/")[0]), found):
            if looks.streamed is not None:
                looks.streamed.lose()


def _answered(line: Recorded, found: dict[Key, Looks]) -> None:
    is_quote, is_book = "GetTickerBookTicker" in line.head, "GetDepth" in line.head
    if not (is_quote or is_book):
        return
    params, market = json.loads(line.head)["params"], Market(line.connection)
    symbol = str(params.get("symbol", ""))
    answer = Answer.of(orjson.loads(line.text), f"{market} {symbol} recorded")
    looks = found.setdefault((market, symbol), Looks())
    if is_quote:
        _saw(looks, parse_quote(market, answer, received_ms=line.at_ms), line.at_ms)
        return
    book = parse_book(market, symbol, answer, received_ms=line.at_ms)
    looks.saw_book(Book(market, symbol, book.bids, book.asks, line.at_ms))
    if looks.streamed is not None and params.get("limit") == SNAPSHOT_LEVELS:
        looks.streamed.restart(book_snapshot(market, symbol, answer, received_ms=line.at_ms))


def _streamed(line: Recorded, found: dict[Key, Looks], watch: Watch) -> None:
    market = Market(line.connection.partition("/")[0])
    if (place := line.text.find(CANDLE)) >= 0:
        # By far the most lines: one that follows no look soon is not even parsed.
        looks = found.get((market, line.text[line.text.rfind('"', 0, place) + 1 : place].upper()))
        if looks is not None:
            looks.watch = watch
        if looks is None or not looks.quotes or line.at_ms - looks.quotes[-1][0] > 2 * WINDOW_MS:
            return
    data = orjson.loads(line.text).get("data")
    if not isinstance(data, dict):
        return
    if data.get("e") == "kline":
        bar = streamed_bar(market, data, received_ms=line.at_ms)
        found.setdefault((market, bar.symbol), Looks()).went(line.at_ms, bar.close, bar.close)
        return
    event = stream_event(market, data, received_ms=line.at_ms)
    if isinstance(event, Quote):
        looks = found.setdefault((market, event.symbol), Looks())
        looks.watch = watch
        _saw(looks, event, line.at_ms)
    elif isinstance(event, BookDiff):
        looks = found.setdefault((market, event.symbol), Looks())
        looks.watch = watch
        looks.streamed = looks.streamed or OrderBook(market, event.symbol)
        looks.streamed.apply(event)
        if (top := looks.streamed.top()) is None:
            return
        looks.saw(line.at_ms, top[0][0], top[1][0])
        if not looks.books or line.at_ms - looks.books[-1].at_ms >= WINDOW_MS:
            book = looks.streamed.levels(BOOK_LEVELS)
            if book is not None:
                looks.saw_book(Book(market, event.symbol, book.bids, book.asks, line.at_ms))


def _saw(looks: Looks, quote: Quote, at_ms: int) -> None:
    looks.saw(at_ms, quote.bid, quote.ask)


def _of_market(market: Market, found: dict[Key, Looks]) -> Iterator[Looks]:
    return (looks for (side, _), looks in found.items() if side is market)
