"""Candles from the exchange's own pages: several at once, as the grid says where each begins, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import structlog

from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, NetworkDownError, RateLimitError
from trading.domain.in_bulk import in_bulk
from trading.domain.market import INTERVAL_MS, FundingRate
from trading.market.columns import Columns
from trading.market.rolling import funding_of
from trading.market.series import Series
from trading.market.tape import Funding

log = structlog.get_logger()

PAGE = 1000
"""Candles asked for at once; every venue and series gives as many."""
AT_ONCE = 4
TRIES = 5
FIRST_WAIT_S = 0.5


class Pages(Protocol):
    """What of a venue is asked."""

    async def candle_page(self, series: Series, symbol: str, interval: str, *, start_ms: int, limit: int) -> Columns:
        """Up to `limit` closed candles from `start_ms` on, oldest first, as the store keeps them."""

    async def funding_history(self, symbol: str, *, start_ms: int, limit: int) -> list[FundingRate]:
        """Settled rates from `start_ms` on, oldest first."""


@dataclass(frozen=True, slots=True)
class PageReader:
    """The pages of one series.

    Raises, in every method: NetworkDownError, RateLimitError, DataProviderError when a page cannot be had in some
    tries.
    """

    pages: Pages
    series: Series
    symbol: str
    interval: str
    clock: Clock

    async def first_ms(self, from_ms: int) -> int | None:
        """Open time of the first candle from a moment on; None: there is none."""
        found = await self._page(from_ms, 1)
        return int(found["open_time"][0]) if len(found["open_time"]) else None

    async def between(self, start_ms: int, end_ms: int) -> AsyncIterator[Columns]:
        """Pages of candles that open in [start, end), in order; what the exchange has none of is not there."""
        span_ms = PAGE * INTERVAL_MS[self.interval]
        starts = range(start_ms, end_ms, span_ms)
        running: list[asyncio.Task[Columns]] = []
        try:
            for n, begin_ms in enumerate(starts):
                stop_ms = min(end_ms, begin_ms + span_ms)
                running.append(asyncio.create_task(self._up_to(begin_ms, stop_ms), name=f"page-{n}"))
                if len(running) == AT_ONCE:
                    yield await running.pop(0)
            while running:
                yield await running.pop(0)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _up_to(self, start_ms: int, end_ms: int) -> Columns:
        """One page without what it has of the next one's stretch: after a hole it reaches further."""
        page = await self._page(start_ms, PAGE)
        kept = np.asarray(page["open_time"]) < end_ms
        return {name: values[kept] for name, values in page.items()}

    async def _page(self, start_ms: int, limit: int) -> Columns:
        """One page; a read may happen twice, so it is tried again, within bounds."""
        wait_s = FIRST_WAIT_S
        for left in range(TRIES - 1, -1, -1):
            try:
                with in_bulk():
                    return await self.pages.candle_page(
                        self.series, self.symbol, self.interval, start_ms=start_ms, limit=limit
                    )
            except (NetworkDownError, RateLimitError) as error:
                if not left:
                    raise
                due_s = max(wait_s, error.retry_after_s) if isinstance(error, RateLimitError) else wait_s
                log.warning("history.page_again", series=self.series, symbol=self.symbol, wait_s=due_s, why=str(error))
                await self.clock.real_sleep_s(due_s)
                wait_s *= 2.0
        raise DataProviderError(f"{self.series} {self.symbol} {self.interval}: no page after {TRIES} tries")


async def settlements_from(pages: Pages, symbol: str, start_ms: int, end_ms: int) -> Funding:
    """Settlements in [start, end) by the exchange's pages.

    Raises:
        TradingEngineError: a page cannot be had.
    """
    rates: list[FundingRate] = []
    while start_ms < end_ms:
        with in_bulk():
            page = await pages.funding_history(symbol, start_ms=start_ms, limit=PAGE)
        rates += [rate for rate in page if rate.time_ms < end_ms]
        if len(page) < PAGE:
            break
        start_ms = page[-1].time_ms + 1
    return funding_of(rates)
