"""Keeps order books by a stream of changes: fetches the snapshot each begins with, and another after every break."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from trading.domain.clock import Clock
from trading.domain.errors import RateLimitError, TradingEngineError
from trading.domain.instrument import Market
from trading.domain.market import BookDiff, BookSnapshot, MarketEvent, StreamBroken
from trading.market.order_book import Applied, OrderBook
from trading.market.patience import Patience

log = structlog.get_logger()

_TICK_S = 0.25
BETWEEN_SNAPSHOTS_S = 0.5
"""Snapshots of 200 symbols at 50 weight each would use spot's whole minute at once, real seconds."""

Key = tuple[Market, str]


class BookKeeper:
    """Books of some symbols.

    Args:
        snapshot: Fetches a book with its update id.
        keys: Market and symbol of each.
        clock: For waits in real seconds.
    """

    def __init__(
        self,
        snapshot: Callable[[Market, str], Awaitable[BookSnapshot]],
        keys: Iterable[Key],
        clock: Clock,
    ) -> None:
        self._snapshot, self._clock = snapshot, clock
        self._books = {key: OrderBook(*key) for key in keys}
        self._patience = {key: Patience() for key in self._books}
        self._wanting: dict[Key, None] = {}
        self._wanted = asyncio.Event()
        self.snapshots = 0
        """How many were fetched."""

    def book(self, market: Market, symbol: str) -> OrderBook:
        """The book of a symbol, whole or not.

        Raises:
            KeyError: it is not kept.
        """
        return self._books[market, symbol]

    def hear(self, event: MarketEvent) -> None:
        """Take an event of the stream; what does not concern a book is passed over."""
        if isinstance(event, BookDiff):
            if (book := self._books.get((event.market, event.symbol))) is None:
                return
            said = book.apply(event)
            if said is Applied.BROKEN:
                log.warning("book.broken", market=event.market, symbol=event.symbol, first_id=event.first_id)
            if said in (Applied.BROKEN, Applied.WAITING):
                self._want((event.market, event.symbol))
        elif isinstance(event, StreamBroken) and (book := self._books.get((event.market, event.symbol))) is not None:
            book.lose()

    async def run(self, stopped: asyncio.Event) -> None:
        """Fetch snapshots for books that need one until stopped, one after the other; one that fails waits its turn."""
        while not stopped.is_set():
            now_ms = self._real_ms()
            if (key := next((key for key in self._wanting if self._patience[key].may_ask(now_ms)), None)) is None:
                self._wanted.clear()
                await self._clock.real_wait_s(self._wanted, _TICK_S)
                continue
            await self._restart(key)
            await self._clock.real_wait_s(stopped, BETWEEN_SNAPSHOTS_S)

    def _want(self, key: Key) -> None:
        self._wanting[key] = None
        self._wanted.set()

    async def _restart(self, key: Key) -> None:
        """One book's snapshot. One older than the changes that wait is fetched again; the venue serves it cached."""
        patience, book = self._patience[key], self._books[key]
        try:
            found = await self._snapshot(*key)
        except TradingEngineError as error:
            log.warning("book.no_snapshot", market=key[0], symbol=key[1], error=str(error))
            quiet_s = error.retry_after_s if isinstance(error, RateLimitError) else 0.0
            patience.failed(self._real_ms(), told_ms=int(quiet_s * 1000))
            return
        self.snapshots += 1
        if book.restart(found) is not Applied.DONE:
            patience.failed(self._real_ms())
            return
        patience.answered()
        del self._wanting[key]
        log.info("book.whole", market=key[0], symbol=key[1], last_id=book.last_id)

    def _real_ms(self) -> int:
        return int(self._clock.real_s() * 1000)
