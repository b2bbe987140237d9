"""Bitcoin's own chain, from public pages: fees and their pressure, difficulty, height, large transfers, daily series.
It is context and decides nothing.

An answer that is missing or makes no sense is a reason beside the readings of the others, never a zero.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median

import httpx
import structlog

from ai_brain.senses.bounded_page import read_page, shown
from ai_brain.senses.onchain_pages import (
    MEMPOOL,
    Reading,
    read_chart,
    read_difficulty,
    read_fees,
    read_height,
    read_mempool,
)
from ai_brain.senses.onchain_settings import OnChainSettings
from ai_brain.senses.onchain_transfers import MAX_BLOCK_BYTES, read_newest_block, read_transfers
from ai_brain.senses.site_pace import SitePace
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError

log = structlog.get_logger(__name__)

__all__ = ["OnChain", "OnChainMonitor", "OnChainSettings", "Reading"]

MAX_BYTES = 1_000_000
"""Of one answer; more is not read."""
DAYS_ASKED = 30
PRESSURE_READINGS, PRESSURE_LEAST = 48, 12
"""Readings of the mempool that the newest is held against: a day of them, and no fewer than six hours'."""


@dataclass(frozen=True, slots=True)
class OnChain:
    """One round over all sources."""

    readings: tuple[Reading, ...] = ()
    """Those fetched no longer than `max_age_h` ago, in the order of the sources."""
    failures: dict[str, str] = field(default_factory=dict)
    """Address -> why it gave nothing this time."""


Parse = Callable[[bytes, int], tuple[Reading, ...]]
"""An answer and the lab time it came, UTC ms -> its readings."""


class OnChainMonitor:
    """Asks the chain's public pages. Open it with `async with`.

    Args:
        settings: Who is asked.
        clock: Stamps readings, and decides what is too old and what cannot be known yet.
    """

    def __init__(self, settings: OnChainSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._http = httpx.AsyncClient(
            timeout=settings.timeout_s, follow_redirects=False, headers={"User-Agent": "ai-trading-lab"}
        )
        self._kept: dict[str, tuple[Reading, ...]] = {}
        self._sources = _sources(settings) if settings.enabled else {}
        self._pace = SitePace(clock, gap_s=settings.gap_s)
        self._waiting: deque[float] = deque(maxlen=PRESSURE_READINGS)
        """Sizes of the mempool as read, oldest first."""

    async def __aenter__(self) -> OnChainMonitor:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    @property
    def sources(self) -> int:
        """How many pages are asked."""
        return len(self._sources) + bool(self._settings.enabled and self._settings.blocks_url)

    async def fetch(self) -> OnChain:
        """One round. Never raises for a source that fails: it is listed, and what it said before stays until stale."""
        failures: dict[str, str] = {}
        for address, parse in self._sources.items():
            await self._try(address, failures, partial(self._plain, address, parse))
        if self._settings.enabled and self._settings.blocks_url is not None:
            address = f"{self._settings.blocks_url}/latestblock"
            await self._try(address, failures, partial(self._transfers, address))
        readings = self.fresh()
        log.info("onchain.fetched", readings=len(readings), sources=self.sources, failures=failures)
        return OnChain(readings, failures)

    def fresh(self) -> tuple[Reading, ...]:
        """What may still be told now."""
        return self.as_of(self._clock.now_ms())

    def as_of(self, now_ms: int) -> tuple[Reading, ...]:
        """What was known at a time and not stale; **look-ahead**: what was read later is not in it."""
        oldest_ms = now_ms - int(self._settings.max_age_h * 3_600_000)
        kept = (reading for readings in self._kept.values() for reading in readings)
        return tuple(reading for reading in kept if oldest_ms <= reading.fetched_at_ms <= now_ms)

    async def _try(self, address: str, failures: dict[str, str], work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except DataProviderError as error:
            failures[shown(address)] = str(error)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failures[shown(address)] = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

    async def _plain(self, address: str, parse: Parse) -> None:
        """One page, one set of readings."""
        body = await self._body(address, MAX_BYTES)
        found = parse(body, self._clock.now_ms())
        host = httpx.URL(address).host
        kept = [replace(reading, source=host) for reading in found]
        for waiting in [reading for reading in kept if reading.name == MEMPOOL]:
            kept += self._pressure(waiting)
        self._kept[address] = tuple(kept)

    def _pressure(self, waiting: Reading) -> list[Reading]:
        """How full the mempool is beside its own last readings; nothing until there are enough of them."""
        before = list(self._waiting)
        self._waiting.append(waiting.value)
        if len(before) < PRESSURE_LEAST or median(before) <= 0:
            return []
        ratio = waiting.value / median(before)
        return [
            replace(waiting, name=f"mempool beside its median of {len(before)} readings", value=ratio, unit="times")
        ]

    async def _transfers(self, address: str) -> None:
        """Large transfers of the newest block, which is read once."""
        newest = read_newest_block(await self._body(address, MAX_BYTES))
        held = self._kept.get(address, ())
        if held and held[0].at_ms == newest.time_ms:
            self._kept[address] = tuple(replace(one, fetched_at_ms=self._clock.now_ms()) for one in held)
            return
        body = await self._body(f"{self._settings.blocks_url}/rawblock/{newest.hash}", MAX_BLOCK_BYTES)
        found = await asyncio.to_thread(read_transfers, body, newest, self._settings.large_transfer_btc)
        now_ms, host = self._clock.now_ms(), httpx.URL(address).host
        least = f"{self._settings.large_transfer_btc:g} BTC"
        name = f"transfers of at least {least} in the newest block (outputs, change included)"
        readings = [Reading(name, float(found.large), f"of {found.transfers}", newest.time_ms, now_ms, host)]
        if found.large:
            name = f"sum of the transfers of at least {least}"
            readings.append(Reading(name, found.large_btc, "BTC", newest.time_ms, now_ms, host))
        self._kept[address] = tuple(readings)

    async def _body(self, address: str, max_bytes: int) -> bytes:
        """A page's body, at the site's pace.

        Raises:
            DataProviderError: refused, too large, too slow, or the site asked us to stay away.
        """
        host = httpx.URL(address).host
        await self._pace.wait(host)
        page = await read_page(self._http, address, max_bytes=max_bytes, within_s=self._settings.timeout_s)
        if page.status in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE):
            self._pace.stay_away(host, page.headers.get("retry-after", ""))
        if page.status != httpx.codes.OK:
            raise DataProviderError(f"status {page.status}")
        return page.body


def _sources(settings: OnChainSettings) -> dict[str, Parse]:
    mempool, charts = settings.mempool_url, settings.charts_url
    sources: dict[str, Parse] = {
        f"{mempool}/api/v1/fees/recommended": read_fees,
        f"{mempool}/api/mempool": read_mempool,
        f"{mempool}/api/v1/difficulty-adjustment": read_difficulty,
        f"{mempool}/api/blocks/tip/height": read_height,
    }
    for name in settings.charts:
        address = f"{charts}/charts/{name}?timespan={DAYS_ASKED}days&format=json&sampled=false"
        sources[address] = partial(read_chart, name=name, max_lag_d=settings.max_lag_d)
    return sources
