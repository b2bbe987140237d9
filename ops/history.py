"""The history research runs on: fetched once, kept in the Parquet store, brought up to the last midnight every day."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, NetworkDownError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.domain.venue import MarketData
from trading.market.data_integrity_validator import ValidatorSettings, validate_provenance
from trading.market.historical_data_fetcher import Want, fetch_history
from trading.market.store import TapeStore
from trading.market.tape import Origin, Tape

log = structlog.get_logger()

DAY_MS = 86_400_000
SETTLED_AFTER_MS = 5_000
"""After a midnight until the venue has settled the candle before it; a day asked for sooner would lack it."""


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
        self._kept: dict[tuple[Market, str, str], Tape] = {}
        self._begins: set[tuple[Market, str, str]] = set()
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

    async def _up_to(self, key: tuple[Market, str, str], end_ms: int) -> Tape:
        start_ms = end_ms - self._days * DAY_MS
        held = self._kept.get(key) or await asyncio.to_thread(self._held, key, start_ms)
        if held is None:
            await self._fetch(Want(*key, start_ms, end_ms))
        else:
            if held.start_ms > start_ms + DAY_MS:
                await self._fetch_older(Want(*key, start_ms, held.start_ms))
            if held.end_ms < end_ms:
                await self._fetch(Want(*key, held.end_ms, end_ms))
        return await asyncio.to_thread(self._load, key, start_ms, end_ms)

    def _load(self, key: tuple[Market, str, str], start_ms: int, end_ms: int) -> Tape:
        """A stretch of the shelf, if what it is made of may be researched on: made-up bars are no real market's."""
        tape = self._store.load(*key, start_ms, end_ms)
        where = " ".join(key)
        verdict = validate_provenance(
            tape.origin, tape.content_hash, self._validator, where=where, real=self._origin is None
        )
        if not verdict.ok_for_research:
            raise DataProviderError(f"{verdict.reasons[0]}; keep made-up markets in a home of their own")
        return tape

    async def _fetch(self, want: Want) -> None:
        """Fetch a stretch and keep it."""
        fetched = await fetch_history(self._data, want, clock=self._clock)
        if self._origin is not None:
            fetched = replace(fetched, origin=self._origin)
        await asyncio.to_thread(self._store.save, fetched)

    async def _fetch_older(self, want: Want) -> None:
        """Fetch what lies before the bars held, once; a venue whose history begins with them has none."""
        key = (want.market, want.symbol, want.interval)
        if key in self._begins:
            return
        try:
            await self._fetch(want)
        except NetworkDownError:
            raise
        except DataProviderError as error:
            log.info("history.begins_late", want=str(want), why=str(error))
        self._begins.add(key)

    def _held(self, key: tuple[Market, str, str], start_ms: int) -> Tape | None:
        """What the store has from a moment on; None: nothing."""
        try:
            return self._store.load(*key, start_ms)
        except DataProviderError:
            return None
