"""The public side of a spot venue by ccxt's unified API: candles, quotes, books, filters. No orders, no perpetuals.

ccxt has turned the venue's texts into floats by the time they are here; a market's data are floats in the lab anyway,
and its steps are read from the shortest decimal of the float, which is the text's own.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, NoReturn

from trading.domain.errors import DataProviderError
from trading.domain.instrument import Instrument, Market
from trading.domain.market import INTERVAL_MS, Bar, Book, FundingNow, FundingRate, Quote
from trading.exchange.access import Access
from trading.exchange.answer import SHOWN, Answer, rows
from trading.exchange.polled_bars import PolledBars
from trading.exchange.unified_terms import UnifiedTerms
from trading.market.bar_sequence import Subscription

if TYPE_CHECKING:
    from trading.exchange.unified_line import UnifiedLine

SETTLE_MS = 500
"""A candle counts as closed this long after its end, milliseconds: the clocks agree only so well."""
NO_LARGEST = Decimal(10) ** 9
"""The largest quantity of an order where the venue names none, base."""


class UnifiedMarket:
    """Market data of a spot venue; implements `trading.domain.venue.MarketData`.

    Args:
        terms: Which venue.
        access: Where; keys are not used.
    """

    def __init__(self, terms: UnifiedTerms, access: Access) -> None:
        self._terms = terms
        self._access = access
        self._clock = access.clock
        self._line_held: UnifiedLine | None = None
        self._instruments: dict[str, Instrument] = {}
        self._streams: list[PolledBars] = []
        self._opening = asyncio.Lock()

    async def time_ms(self) -> int:
        """The venue's clock, UTC milliseconds; some venues tell whole seconds."""
        where = f"{self._terms.name} time"
        told = await (await self._line()).call("fetch_time", where=where)
        return Answer({"time": told}, where).whole("time")

    async def instrument(self, market: Market, symbol: str) -> Instrument:
        """Filters of a symbol, read once.

        Raises:
            DataProviderError: the venue does not list it, or it is a perpetual.
        """
        where = self._spot(market, symbol, "instrument")
        known = self._instruments.get(symbol)
        if known is None:
            known = self._instruments[symbol] = _instrument(
                symbol, Answer(await self._entry(symbol, where), where), self._terms
            )
        return known

    async def klines(self, market: Market, symbol: str, interval: str, *, start_ms: int, limit: int) -> list[Bar]:
        """Up to `limit` candles from `start_ms` on, oldest first; what is older than the venue's page it does not have.

        A candle is closed when a later one is listed and it had ended before the request left.
        """
        where = self._spot(market, symbol, f"{interval} klines")
        if interval not in self._terms.intervals:
            raise DataProviderError(f"{where}: interval={interval!r}: use one of {', '.join(self._terms.intervals)}")
        unified = (await self._entry(symbol, where))["symbol"]
        asked_ms = self._clock.now_ms() - SETTLE_MS
        answer = await (await self._line()).call("fetch_ohlcv", unified, interval, start_ms, where=where)
        found = sorted((_candle(row, where) for row in rows(answer, where)), key=lambda cells: cells.whole("time"))
        if not found:
            raise DataProviderError(f"{where}: no candle in the venue's answer, which always has the running one")
        bars = [
            _bar(cells, symbol, interval, is_closed=cells is not found[-1], asked_ms=asked_ms,
                 received_ms=self._clock.now_ms())
            for cells in found
        ]  # fmt: skip
        return [bar for bar in bars if bar.open_time_ms >= start_ms][:limit]

    async def quote(self, market: Market, symbol: str) -> Quote:
        """Best bid and ask now."""
        where = self._spot(market, symbol, "quote")
        unified = (await self._entry(symbol, where))["symbol"]
        answer = Answer.of(await (await self._line()).call("fetch_ticker", unified, where=where), where)
        return Quote(
            market,
            symbol,
            answer.number("bid"),
            answer.number("ask"),
            answer.number("bidVolume"),
            answer.number("askVolume"),
            answer.whole("timestamp") if answer.has("timestamp") else self._clock.now_ms(),
        )

    async def book(self, market: Market, symbol: str, *, depth: int) -> Book:
        """The first `depth` levels of each side."""
        where = self._spot(market, symbol, "book")
        unified = (await self._entry(symbol, where))["symbol"]
        answer = Answer.of(await (await self._line()).call("fetch_order_book", unified, depth, where=where), where)
        at_ms = answer.whole("timestamp") if answer.has("timestamp") else self._clock.now_ms()
        bids, asks = _levels(answer, "bids"), _levels(answer, "asks")
        return Book(market, symbol, bids[:depth], asks[:depth], at_ms)

    async def funding_now(self, symbol: str) -> FundingNow:
        """Refused: the lab reads no perpetuals here."""
        self._no_perpetuals(f"perp {symbol} funding")

    async def funding_history(self, symbol: str, *, start_ms: int, limit: int) -> list[FundingRate]:
        """Refused: the lab reads no perpetuals here."""
        self._no_perpetuals(f"perp {symbol} funding history")

    async def stream_bars(self, subscriptions: Sequence[Subscription]) -> AsyncIterator[Bar]:
        """Live candles: every closed one once and in order, running updates in between; ends when closed."""
        for market, symbol, interval in subscriptions:
            where = self._spot(market, symbol, f"{interval} candles")
            if interval not in self._terms.intervals:
                raise DataProviderError(
                    f"{where}: interval={interval!r}: use one of {', '.join(self._terms.intervals)}"
                )
            await self.instrument(market, symbol)
        stream = PolledBars(
            self._clock, self._page, subscriptions, look_every_s=self._terms.look_every_s, page=self._terms.page
        )
        self._streams.append(stream)
        try:
            async for bar in stream.bars():
                yield bar
        finally:
            self._streams.remove(stream)

    async def close(self) -> None:
        """Close every connection; streams end."""
        for stream in list(self._streams):
            await stream.stop()
        if self._line_held is not None:
            await self._line_held.close()
            self._line_held = None

    async def _line(self) -> UnifiedLine:
        async with self._opening:
            if self._line_held is None:
                # ccxt takes seconds to import: in a thread, so that the loop goes on
                module = await asyncio.to_thread(importlib.import_module, "trading.exchange.unified_line")
                self._line_held = module.UnifiedLine(self._terms, self._access)
            return self._line_held

    async def _entry(self, symbol: str, where: str) -> Mapping[str, object]:
        """ccxt's entry of a symbol."""
        found = (await (await self._line()).markets(where=where)).get(symbol)
        if found is None:
            raise DataProviderError(f"{where}: {self._terms.name} does not list {symbol}; check the symbol")
        return found

    async def _page(self, key: Subscription, start_ms: int, limit: int) -> list[Bar]:
        return await self.klines(*key, start_ms=start_ms, limit=limit)

    def _spot(self, market: Market, symbol: str, what: str) -> str:
        """The call in words.

        Raises:
            DataProviderError: it is about a perpetual.
        """
        where = f"{self._terms.name} {market} {symbol} {what}"
        if market is not Market.SPOT:
            self._no_perpetuals(where)
        return where

    def _no_perpetuals(self, where: str) -> NoReturn:
        raise DataProviderError(
            f"{where}: the lab reads spot only at {self._terms.name}; perpetuals and funding are read at binance"
        )


def _instrument(symbol: str, entry: Answer, terms: UnifiedTerms) -> Instrument:
    """Filters of an entry of ccxt's markets."""
    limits = Answer.of(entry.fields.get("limits"), entry.where)
    smallest = Answer.of(limits.fields.get("amount"), entry.where)
    cost = Answer.of(limits.fields.get("cost"), entry.where)
    precision = Answer.of(entry.fields.get("precision"), entry.where)
    own = Answer.of(entry.fields.get("info"), entry.where)
    tick = own.decimal(terms.tick_field) if own.has(terms.tick_field) else precision.decimal("price")
    lot = precision.decimal("amount")
    return Instrument(
        market=Market.SPOT,
        symbol=symbol,
        base=entry.text("base"),
        quote=entry.text("quote"),
        tick=tick.normalize(),
        lot=lot.normalize(),
        min_quantity=smallest.decimal("min") if smallest.has("min") else lot,
        max_quantity=smallest.decimal("max") if smallest.has("max") else NO_LARGEST,
        min_notional=cost.decimal("min") if cost.has("min") else Decimal(0),
        is_trading=entry.fields.get("active") is True,
    )


def _candle(row: object, where: str) -> Answer:
    if not isinstance(row, list) or len(row) < 6:
        raise DataProviderError(f"{where}: row {str(row)[:SHOWN]}: expected time, four prices and a volume")
    return Answer(dict(zip(("time", "open", "high", "low", "close", "volume"), row, strict=False)), where)


def _bar(cells: Answer, symbol: str, interval: str, *, is_closed: bool, asked_ms: int, received_ms: int) -> Bar:
    opened_ms = cells.whole("time")
    return Bar(
        Market.SPOT,
        symbol,
        interval,
        opened_ms,
        cells.number("open"),
        cells.number("high"),
        cells.number("low"),
        cells.number("close"),
        cells.number("volume"),
        is_closed=is_closed and opened_ms + INTERVAL_MS[interval] <= asked_ms,
        received_ms=received_ms,
    )


def _levels(answer: Answer, side: str) -> tuple[tuple[float, float], ...]:
    levels = []
    for row in rows(answer.fields.get(side), f"{answer.where} {side}"):
        if not isinstance(row, (list, tuple)) or len(row) < 2:
            raise DataProviderError(f"{answer.where}: {side} level {str(row)[:SHOWN]}: expected price and quantity")
        level = Answer({"price": row[0], "quantity": row[1]}, answer.where)
        levels.append((level.number("price"), level.number("quantity")))
    return tuple(levels)
