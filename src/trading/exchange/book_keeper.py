"""Keeps order books by a stream of changes: fetches the snapshot each begins with, and another after every break."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from trading.domain.errors import RateLimitError, TradingEngineError
from trading.domain.instrument import Market
from trading.domain.market import BookDiff, BookSnapshot, MarketEvent, StreamBroken
from trading.market.order_book import Applied, OrderBook

log = structlog.get_logger()

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 30.0
BETWEEN_SNAPSHOTS_S = 0.5
"""Snapshots of 200 symbols at 50 weight each would use spot's whole minute at once, real seconds."""

Key = tuple[Market, str]


class BookKeeper:
    """Books of some symbols.

    Args:
        snapshot: Fetches a book with its update id.
        keys: Market and symbol of each.
        real_sleep: Waits real seconds.
    """

    def __init__(
        self,
        snapshot: Callable[[Market, str], Awaitable[BookSnapshot]],
        keys: Iterable[Key],
        *,
        real_sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._snapshot, self._real_sleep = snapshot, real_sleep
        self._books = {key: OrderBook(*key) for key in keys}
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
        """Fetch snapshots for books that need one until stopped, one after the other."""
        while not stopped.is_set():
            if not self._wanting:
                self._wanted.clear()
                waiting = [asyncio.ensure_future(event.wait()) for event in (self._wanted, stopped)]
                try:
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for waiter in waiting:
                        waiter.cancel()
                continue
            key = next(iter(self._wanting))
            await self._restart(key, stopped)
            await self._pause(stopped, BETWEEN_SNAPSHOTS_S)

    def _want(self, key: Key) -> None:
        self._wanting[key] = None
        self._wanted.set()

    async def _restart(self, key: Key, stopped: asyncio.Event) -> None:
        """One book's snapshot. One older than the changes that wait is fetched again; the venue serves it cached."""
        wait_s, book = _FIRST_WAIT_S, self._books[key]
        while not stopped.is_set():
            try:
                found = await self._snapshot(*key)
            except TradingEngineError as error:
                log.warning("book.no_snapshot", market=key[0], symbol=key[1], error=str(error))
                due_s = max(wait_s, error.retry_after_s) if isinstance(error, RateLimitError) else wait_s
                await self._pause(stopped, due_s)
            else:
                self.snapshots += 1
                if book.restart(found) is Applied.DONE:
                    self._wanting.pop(key, None)
                    log.info("book.whole", market=key[0], symbol=key[1], last_id=book.last_id)
                    return
                await self._pause(stopped, wait_s)
            wait_s = min(wait_s * 2.0, _LONGEST_WAIT_S)

    async def _pause(self, stopped: asyncio.Event, real_s: float) -> None:
        sleeper = asyncio.ensure_future(self._real_sleep(real_s))
        waiter = asyncio.ensure_future(stopped.wait())
        try:
            await asyncio.wait({sleeper, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sleeper, waiter):
                task.cancel()
