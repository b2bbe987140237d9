"""The history research runs on: fetched once, kept in the Parquet store, brought up to the last midnight every day.

The store is read and written by processes of their own, with which DuckDB's 50 MB go.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import structlog

from ops.apart import apart
from trading.domain.clock import DAY_MS, Clock
from trading.domain.errors import DataProviderError, NetworkDownError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.domain.venue import ExchangeName, MarketData
from trading.exchange.open_venue import TRADES_AT
from trading.market.data_integrity_validator import ValidatorSettings, validate_provenance
from trading.market.historical_data_fetcher import Want, fetch_history
from trading.market.store import TapeStore
from trading.market.tape import Origin, Tape
from trading.storage.home import Home

log = structlog.get_logger()

Key: TypeAlias = tuple[Market, str, str]
"""Market, symbol, interval."""
SETTLED_AFTER_MS = 5_000
"""After a midnight until the venue has settled the candle before it; a day asked for sooner would lack it."""


def shelf(home: Home, exchange: ExchangeName) -> Path:
    """The folder of an exchange's recorded market: two exchanges' candles of one symbol are not one history."""
    return home.tapes if exchange == TRADES_AT else home.tapes / exchange


class History:
    """Research tapes of one lab.

    Args:
        data: The venue, for what is missing.
        store: Where it is kept.
        clock: Says which midnight was the last.
        days: How far back research looks.
        origin: What the bars are, for every file and screen; None: `downloaded` from the real venue.
        validator: Says what may be researched on.
    """

    def __init__(
        self,
        data: MarketData,
        store: TapeStore,
        clock: Clock,
        *,
        days: int,
        origin: Origin | None,
        validator: ValidatorSettings | None = None,
    ) -> None:
        self._data = data
        self._store = store
        self._clock = clock
        self._days = days
        self._origin = origin
        self._validator = validator or ValidatorSettings()
        self._kept: dict[Key, Tape] = {}
        self._begins: set[Key] = set()
        """Whose oldest candles are held, however few days back they reach."""
        self._fetching = asyncio.Lock()

    async def tape(self, market: Market, symbol: str, interval: str) -> Tape:
        """Bars of the last `days` up to the last UTC midnight; the same object all day, so its hash stands.

        Raises:
            DataProviderError: the venue does not list it, or does not answer; it is held, and made up.
        """
        end_ms = (self._clock.now_ms() - SETTLED_AFTER_MS) // DAY_MS * DAY_MS
        key = (market, symbol, interval)
        async with self._fetching:
            kept = self._kept.get(key)
            if kept is None or kept.end_ms < end_ms - INTERVAL_MS[interval]:
                kept = self._kept[key] = await self._up_to(key, end_ms)
        return kept

    async def _up_to(self, key: Key, end_ms: int) -> Tape:
        start_ms = end_ms - self._days * DAY_MS
        found = self._kept.get(key) or await apart(_on_shelf, self._store, key, start_ms, end_ms)
        if found is None:
            found = await self._fetch(Want(*key, start_ms, end_ms), start_ms, end_ms)
        else:
            if found.start_ms > start_ms + DAY_MS and key not in self._begins:
                found = await self._fetch_older(Want(*key, start_ms, found.start_ms), end_ms) or found
            if found.end_ms < end_ms:
                found = await self._fetch(Want(*key, found.end_ms, end_ms), start_ms, end_ms)
        return self._checked(found, " ".join(key))

    def _checked(self, tape: Tape, where: str) -> Tape:
        """It, if what it is made of may be researched on: made-up bars are no real market's."""
        verdict = validate_provenance(
            tape.origin, tape.content_hash, self._validator, where=where, real=self._origin is None
        )
        if not verdict.ok_for_research:
            raise DataProviderError(f"{verdict.reasons[0]}; keep made-up markets in a home of their own")
        return tape

    async def _fetch(self, want: Want, start_ms: int, end_ms: int) -> Tape:
        """Fetch and keep what is wanted; gives what is held of a stretch then."""
        fetched = await fetch_history(self._data, want, clock=self._clock)
        if self._origin is not None:
            fetched = replace(fetched, origin=self._origin)
        return await apart(_shelved, self._store, fetched, start_ms, end_ms)

    async def _fetch_older(self, want: Want, end_ms: int) -> Tape | None:
        """As `_fetch`, of what lies before the bars held, once; a venue whose history begins with them has none."""
        found = None
        try:
            found = await self._fetch(want, want.start_ms, end_ms)
        except NetworkDownError:
            raise
        except DataProviderError as error:
            log.info("history.begins_late", want=str(want), why=str(error))
        self._begins.add((want.market, want.symbol, want.interval))
        return found


def _on_shelf(store: TapeStore, key: Key, start_ms: int, end_ms: int) -> Tape | None:
    """What the store has of a stretch; None: nothing. For a process of its own: it takes DuckDB."""
    try:
        return store.load(*key, start_ms, end_ms)
    except DataProviderError:
        return None


def _shelved(store: TapeStore, fetched: Tape, start_ms: int, end_ms: int) -> Tape:
    """Put bars on the shelf, and read what it has of a stretch then; for a process of its own."""
    store.save(fetched)
    return store.load(fetched.market, fetched.symbol, fetched.interval, start_ms, end_ms)
