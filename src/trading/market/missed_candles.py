"""Candles that were missed, fetched by REST page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

from trading.domain.clock import iso
from trading.domain.errors import DataProviderError
from trading.domain.market import INTERVAL_MS, Bar
from trading.market.bar_sequence import BarSequence, Subscription

PAGE = 1000
SECOND_LOOK = 2
"""Candles that are asked for again where one made no sense: it, and a later one, which says that it is closed."""


async def missed_candles(
    klines: Callable[[int, int], Awaitable[list[Bar]]], key: Subscription, start_ms: int, *, before_ms: int | None
) -> AsyncIterator[Bar]:
    """Closed candles from a start on, as many pages as it takes; each once, oldest first.

    Args:
        klines: The venue's candles from a start (UTC ms), at most so many.
        key: Whose.
        start_ms: Open time of the first, UTC milliseconds.
        before_ms: Only those that open before this time, at which one was told; None: all.

    Raises:
        DataProviderError: one that ended by `before_ms` is still listed as running, or none is listed from there on,
            though one was told: the answer is an old one; ask again.
    """
    fetched = BarSequence(INTERVAL_MS[key[2]], start_ms - INTERVAL_MS[key[2]])
    while True:
        page = await klines(cast(int, fetched.wanted_ms), PAGE)
        found = fetched.missing(page, before_ms=before_ms)
        for bar in found:
            fetched.passed(bar)
            yield bar
        if before_ms is not None and fetched.has_unfinished(page, before_ms=before_ms):
            raise DataProviderError(
                f"{key[0]} {key[1]} {key[2]}: the candle before {iso(before_ms)} is not listed as closed yet"
            )
        if len(page) < PAGE or not found:
            if before_ms is not None and max((bar.open_time_ms for bar in page), default=0) < before_ms:
                raise DataProviderError(
                    f"{key[0]} {key[1]} {key[2]}: the answer ends before {iso(before_ms)}, of which was told; it is old"
                )
            return
