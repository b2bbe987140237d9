"""Reads what the hedge watch judges, each source as often as it changes, and says how old each reading is.

What belongs to a position is read every cycle while one is held; statuses, terms and the dollar every few minutes. A
source that does not answer is asked again in the next cycle, and what it last said counts until it is too old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import structlog

from trading.domain.errors import DataProviderError, ExecutionError
from trading.domain.hedge import ForcedOrder, Listed
from trading.domain.instrument import Market
from trading.domain.market import Quote
from trading.domain.venue import MarketData, Venue
from trading.execution.saga_steps import Tools
from trading.funding.hedge_memory import HedgeMemory
from trading.funding.hedge_settings import HedgeSettings
from trading.funding.hedge_watch import (
    OF_HELD,
    HedgeSight,
    Source,
)

log = structlog.get_logger(__name__)

USDC_BOOK, USDT_IN_DOLLARS = "USDCUSDT", "USDTUSD"
SECOND_WAIT_S = 5.0
"""Real seconds that the second source gets: what is held is managed after it."""


@dataclass(slots=True)
class _Seen:
    """What was last read of one symbol."""

    at_ms: dict[Source, int] = field(default_factory=dict)
    asked_ms: dict[Source, int] = field(default_factory=dict)
    """When each was asked for first."""
    adl: int = 0
    forced: tuple[ForcedOrder, ...] = ()
    distance: float | None = None
    listed: dict[Market, Listed] = field(default_factory=dict)
    dollars: dict[Source, float] = field(default_factory=dict)


class HedgeWatch:
    """Looks on behalf of one desk.

    Args:
        memory: What it has told, and the terms it knew.
        settings: How often, and how old a reading may be.
        second: Who else says what the quote coin is worth; None: nobody.
    """

    def __init__(self, memory: HedgeMemory, settings: HedgeSettings, second: MarketData | None) -> None:
        self.memory, self.settings, self._second = memory, settings, second
        self._seen: dict[str, _Seen] = {}

    async def look(
        self, tools: Tools, symbol: str, *, opened_ms: int | None, min_liquidation_distance: float
    ) -> HedgeSight:
        """Read what is due.

        Args:
            tools: The venue and the clock.
            symbol: Of both legs.
            opened_ms: When what is held was opened; None: nothing is.
            min_liquidation_distance: Where the carry leaves by its own rule, fraction.

        Raises:
            StateFileError: changed terms cannot be written down.
        """
        seen, venue, clock = self._seen.setdefault(symbol, _Seen()), tools.venue, tools.clock
        if opened_ms is None:
            for source in OF_HELD:
                seen.at_ms.pop(source, None)
                seen.asked_ms.pop(source, None)
        asks = {**self._of_all(seen, venue, symbol, clock.now_ms()), **self._of_held(seen, venue, symbol, opened_ms)}
        for source, ask in asks.items():
            every_s = 0.0 if source in OF_HELD else self.settings.slow_s
            last_ms = seen.at_ms.get(source)
            if last_ms is not None and clock.now_ms() - last_ms < every_s * 1000:
                continue
            seen.asked_ms.setdefault(source, clock.now_ms())
            try:
                await ask()
            except (DataProviderError, ExecutionError, TimeoutError) as error:
                log.warning("hedge.not_read", source=source, symbol=symbol, error=f"{type(error).__name__}: {error}")
            else:
                seen.at_ms[source] = clock.now_ms()
        return self._sight(seen, symbol, tuple(asks), clock.now_ms(), min_liquidation_distance)

    def _of_held(
        self, seen: _Seen, venue: Venue, symbol: str, opened_ms: int | None
    ) -> Mapping[Source, Callable[[], Awaitable[None]]]:
        if opened_ms is None:
            return {}

        async def adl() -> None:
            seen.adl = await venue.adl_quantile(symbol)

        async def forced() -> None:
            seen.forced = tuple(await venue.forced_orders(symbol, start_ms=opened_ms))

        async def position() -> None:
            seen.distance = (await venue.position(symbol)).liquidation_distance

        return {Source.ADL: adl, Source.FORCED: forced, Source.POSITION: position}

    def _of_all(
        self, seen: _Seen, venue: Venue, symbol: str, now_ms: int
    ) -> Mapping[Source, Callable[[], Awaitable[None]]]:
        async def status(market: Market) -> None:
            seen.listed[market] = await venue.listed(market, symbol)

        async def terms() -> None:
            self.memory.learn(symbol, await venue.contract_terms(symbol), now_ms)

        async def own() -> None:
            seen.dollars[Source.OWN_DOLLAR] = 1 / _mid(await venue.quote(Market.SPOT, USDC_BOOK))

        asks: dict[Source, Callable[[], Awaitable[None]]] = {
            Source.PERP_STATUS: partial(status, Market.PERP),
            Source.SPOT_STATUS: partial(status, Market.SPOT),
            Source.TERMS: terms,
            Source.OWN_DOLLAR: own,
        }
        if self._second is not None:
            asks[Source.SECOND_DOLLAR] = partial(self._ask_second, seen, self._second)
        return asks

    async def _ask_second(self, seen: _Seen, second: MarketData) -> None:
        async with asyncio.timeout(SECOND_WAIT_S):
            quote = await second.quote(Market.SPOT, USDT_IN_DOLLARS)
        seen.dollars[Source.SECOND_DOLLAR] = _mid(quote)

    def _sight(
        self, seen: _Seen, symbol: str, asked: tuple[Source, ...], now_ms: int, min_liquidation_distance: float
    ) -> HedgeSight:
        ages_s = {
            source: (now_ms - seen.at_ms[source]) / 1000 if source in seen.at_ms else float("inf") for source in asked
        }
        fresh = {source for source, age_s in ages_s.items() if age_s < self.settings.silent_s}
        of_market = {Market.PERP: Source.PERP_STATUS, Market.SPOT: Source.SPOT_STATUS}
        known = self.memory.terms(symbol) if Source.TERMS in fresh else None
        return HedgeSight(
            now_ms=now_ms,
            symbol=symbol,
            ages_s=ages_s,
            asked_s={source: (now_ms - seen.asked_ms[source]) / 1000 for source in asked},
            adl_quantile=seen.adl if Source.ADL in fresh else None,
            forced=seen.forced if Source.FORCED in fresh else (),
            liquidation_distance=seen.distance if Source.POSITION in fresh else None,
            min_liquidation_distance=min_liquidation_distance,
            listed={market: listed for market, listed in seen.listed.items() if of_market[market] in fresh},
            terms=known.now if known is not None else None,
            terms_before=known.before if known is not None else None,
            terms_changed_ms=known.changed_ms if known is not None else None,
            dollars={source: price for source, price in seen.dollars.items() if source in fresh},
        )


def _mid(quote: Quote) -> float:
    """Half way between bid and ask.

    Raises:
        DataProviderError: not a price.
    """
    if not 0 < quote.bid <= quote.ask:
        raise DataProviderError(f"{quote.symbol}: bid {quote.bid} and ask {quote.ask} make no sense")
    return quote.mid
