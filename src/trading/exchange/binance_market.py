"""Binance's public side: spot and USD-M futures. No key needed."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Sequence

import structlog

from trading.domain.errors import DataProviderError, RateLimitError
from trading.domain.instrument import Bracket, Instrument, Market
from trading.domain.market import INTERVAL_MS, Bar, Book, BookSnapshot, FundingNow, FundingRate, MarketEvent, Quote
from trading.exchange import parse_market, parse_stream
from trading.exchange.access import Access
from trading.exchange.answer import Answer, answers
from trading.exchange.bar_stream import BarStream, Wire
from trading.exchange.event_stream import EventStream
from trading.exchange.funding_terms import KnownTerms
from trading.exchange.sockets import Dial, OnMessage, SocketPlan, VenueLine, Want
from trading.exchange.user_stream import UserStream
from trading.market.bar_sequence import Subscription
from trading.market.columns import Columns
from trading.market.series import Series

log = structlog.get_logger(__name__)

SETTLE_MS = 500
"""A REST candle counts as closed this long after its end, milliseconds: the clocks agree only so well."""
PAGE_LIMIT = {Market.SPOT: 1000, Market.PERP: 1500}
"""The venue's largest page of candles."""
SNAPSHOT_LEVELS = 1000
"""Levels a side of the snapshots that books begin with; weighs 50 of spot's 6000 a minute, 20 of futures' 2400."""
_PAGES = {
    Series.SPOT: "publicGetKlines",
    Series.PERP: "fapiPublicGetKlines",
    Series.MARK: "fapiPublicGetMarkPriceKlines",
    Series.PREMIUM: "fapiPublicGetPremiumIndexKlines",
}
FILTERS_KEPT_S = 3_600.0
"""Filters and the symbol's status are read again after so many real seconds: a service runs for months."""
FILTERS_AGAIN_S = 60.0
"""After they could not be read, real seconds: each try may take a time-out that an exit would wait for."""
_LISTING_KEPT_S = 60.0
"""Futures list everything or nothing, a megabyte and more: many symbols are read from one answer, real seconds."""


class BinanceMarket:
    """Market data of Binance; implements `trading.domain.venue.MarketData`.

    Args:
        access: Where and as whom; see `Access`.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._clock = access.clock
        self._lines: dict[Market, VenueLine] = {}
        self._instruments: dict[tuple[Market, str], tuple[float, Instrument]] = {}
        self._listed: tuple[float, Answer] | None = None
        self._terms = KnownTerms(self._ask_terms, self._clock)
        self._streams: list[BarStream | EventStream | UserStream] = []
        self._dial = Dial(self._clock, self._listen, self._drop)
        self._opening = asyncio.Lock()

    async def time_ms(self) -> int:
        """The venue's clock, UTC milliseconds."""
        return await (await self._line(Market.SPOT)).read_time()

    async def instrument(self, market: Market, symbol: str) -> Instrument:
        """Filters of a symbol, read once an hour, and anew after an order was refused by one of them.

        When they cannot be read again the last ones stay: an exit must not wait for them.

        Raises:
            DataProviderError: the venue does not list it, or has never answered.
        """
        read_s, known = self._instruments.get((market, symbol), (0.0, None))
        if known is not None and self._clock.real_s() < read_s + FILTERS_KEPT_S:
            return known
        try:
            raw = await self._listing(market, symbol)
            table = await self._brackets(symbol) if market is Market.PERP else ()
            known = parse_market.instrument(market, raw, table)
        except (DataProviderError, RateLimitError) as error:
            if known is None:
                raise
            log.warning("venue.filters_not_read", market=market, symbol=symbol, error=str(error))
            again_s = self._clock.real_s() - FILTERS_KEPT_S + FILTERS_AGAIN_S
            self._instruments[market, symbol] = again_s, known
            return known
        self._instruments[market, symbol] = self._clock.real_s(), known
        return known

    def _forget_filters(self, market: Market, symbol: str) -> None:
        """They are read anew before they are used again."""
        if (kept := self._instruments.get((market, symbol))) is not None:
            self._instruments[market, symbol] = float("-inf"), kept[1]
        self._listed = None

    async def klines(self, market: Market, symbol: str, interval: str, *, start_ms: int, limit: int) -> list[Bar]:
        """Up to `limit` candles from `start_ms` on, oldest first; one page of the venue's size at most."""
        _check_interval(market, symbol, interval)
        line = await self._line(market)
        params = {
            "symbol": symbol,
            "interval": interval,
            "startTime": start_ms,
            "limit": min(limit, PAGE_LIMIT[market]),
        }
        where = f"{market} {symbol} {interval} klines"
        reply = await line.ask_stamped(_named(market, "GetKlines"), params, where=where)
        of = parse_market.Candles(market, symbol, interval, reply.asked_ms - SETTLE_MS, reply.received_ms)
        return parse_market.klines(reply.document, of)

    async def candle_page(self, series: Series, symbol: str, interval: str, *, start_ms: int, limit: int) -> Columns:
        """Up to `limit` closed candles of a series from `start_ms` on, oldest first, as the store keeps them."""
        market = Market.SPOT if series is Series.SPOT else Market.PERP
        _check_interval(market, symbol, interval)
        where = f"{series} {symbol} {interval} candles"
        line = await self._line(market)
        size = min(limit, PAGE_LIMIT[market])
        params = {"symbol": symbol, "interval": interval, "startTime": start_ms, "limit": size}
        reply = await line.ask_stamped(_PAGES[series], params, where=where)
        asked_ms, with_volume = reply.asked_ms - SETTLE_MS, series.has_trades
        return parse_market.closed_candles(
            reply.document, interval, asked_ms=asked_ms, with_volume=with_volume, where=where
        )

    async def quote(self, market: Market, symbol: str) -> Quote:
        """Best bid and ask now."""
        where = f"{market} {symbol} quote"
        line = await self._line(market)
        reply = await line.ask_stamped(_named(market, "GetTickerBookTicker"), {"symbol": symbol}, where=where)
        return parse_market.quote(market, Answer.of(reply.document, where), received_ms=reply.received_ms)

    async def book(self, market: Market, symbol: str, *, depth: int) -> Book:
        """The first `depth` levels of each side."""
        where = f"{market} {symbol} book"
        line = await self._line(market)
        # futures take only some sizes; the next larger one, cut
        size = next((size for size in (5, 10, 20, 50, 100, 500, 1000) if size >= depth), 1000)
        reply = await line.ask_stamped(_named(market, "GetDepth"), {"symbol": symbol, "limit": size}, where=where)
        answer = Answer.of(reply.document, where)
        full = parse_market.book(market, symbol, answer, received_ms=reply.received_ms)
        return Book(market, symbol, full.bids[:depth], full.asks[:depth], full.at_ms)

    async def book_snapshot(self, market: Market, symbol: str) -> BookSnapshot:
        """The book with its update id, for a book that is kept by the changes after it."""
        where = f"{market} {symbol} book snapshot"
        line = await self._line(market)
        params = {"symbol": symbol, "limit": SNAPSHOT_LEVELS}
        reply = await line.ask_stamped(_named(market, "GetDepth"), params, where=where)
        answer = Answer.of(reply.document, where)
        return parse_stream.book_snapshot(market, symbol, answer, received_ms=reply.received_ms)

    async def funding_now(self, symbol: str) -> FundingNow:
        """Rate estimate, next settlement, interval, cap, mark and index of a perpetual."""
        where = f"perp {symbol} premium index"
        line = await self._line(Market.PERP)
        document = (await line.ask_stamped("fapiPublicGetPremiumIndex", {"symbol": symbol}, where=where)).document
        answer = Answer.of(document, where)
        return parse_market.funding_now(answer, await self._terms.of(answer, f"perp {symbol} funding info"))

    async def funding_history(self, symbol: str, *, start_ms: int, limit: int) -> list[FundingRate]:
        """Settled rates from `start_ms` on, oldest first; one page of at most 1000."""
        where = f"perp {symbol} funding history"
        line = await self._line(Market.PERP)
        params = {"symbol": symbol, "startTime": start_ms, "limit": min(limit, 1000)}
        reply = await line.ask_stamped("fapiPublicGetFundingRate", params, where=where)
        found = answers(reply.document, where)
        return sorted((parse_market.funding_rate(row) for row in found), key=lambda rate: rate.time_ms)

    async def exchange_info(self, market: Market) -> object:
        """Everything the venue lists on a market and its filters, as it answers it; some MB of spot."""
        line = await self._line(market)
        return await line.ask(_named(market, "GetExchangeInfo"), {}, where=f"{market} exchange info")

    async def funding_info(self) -> object:
        """Interval and cap of every contract that has its own, as the venue answers it."""
        line = await self._line(Market.PERP)
        return await line.ask("fapiPublicGetFundingInfo", {}, where="perp funding info")

    async def leverage_brackets(self) -> object | None:
        """The margin tables of all contracts, as the venue answers them; None: asking needs a key and there is none."""
        if self._access.api_key is None:
            return None
        line = await self._line(Market.PERP)
        return await line.ask("fapiPrivateGetLeverageBracket", {}, where="perp leverage brackets")

    async def stream_bars(self, subscriptions: Sequence[Subscription]) -> AsyncIterator[Bar]:
        """Live candles: every closed one once and in order, running updates in between; ends when closed."""
        for market, symbol, interval in subscriptions:
            _check_interval(market, symbol, interval)
            await self.instrument(market, symbol)
        stream = BarStream(Wire(self._dial, self._page), subscriptions)
        self._streams.append(stream)
        try:
            async for bar in stream.bars():
                yield bar
        finally:
            self._streams.remove(stream)

    async def stream_events(self, wants: Sequence[Want]) -> AsyncIterator[MarketEvent]:
        """Live quotes, changes of books, mark prices, liquidations; a `StreamBroken` where there is a hole.

        Candles are streamed by `stream_bars`, which fills their holes. Ends when closed.
        """
        stream = EventStream(self._dial, wants)
        self._streams.append(stream)
        try:
            async for event in stream.events():
                yield event
        finally:
            self._streams.remove(stream)

    async def close(self) -> None:
        """Close every connection; streams end."""
        for stream in list(self._streams):
            await stream.stop()
        for line in self._lines.values():
            await line.close()
        self._lines.clear()

    async def _line(self, market: Market) -> VenueLine:
        async with self._opening:
            if market not in self._lines and self._access.open_line is not None:
                self._lines[market] = self._access.open_line(market)
            elif market not in self._lines:
                # ccxt takes seconds to import: in a thread, so that the loop goes on
                module = await asyncio.to_thread(importlib.import_module, "trading.exchange.ccxt_line")
                self._lines[market] = module.Line(market, self._access)
            return self._lines[market]

    async def _listing(self, market: Market, symbol: str) -> Answer:
        where = f"{market} {symbol} exchange info"
        line = await self._line(market)
        # spot can be asked for one symbol; futures always answer with all
        params = {"symbol": symbol} if market is Market.SPOT else {}
        kept_s, answer = self._listed or (0.0, None)
        if market is Market.SPOT or answer is None or self._clock.real_s() > kept_s + _LISTING_KEPT_S:
            reply = await line.ask_stamped(_named(market, "GetExchangeInfo"), params, where=where)
            answer = Answer.of(reply.document, where)
        if market is Market.PERP:
            self._listed = self._clock.real_s(), answer
        for entry in answers(answer.fields.get("symbols"), where):
            if entry.fields.get("symbol") == symbol and entry.fields.get("contractType", "PERPETUAL") == "PERPETUAL":
                return entry
        raise DataProviderError(f"{where}: the venue does not list {symbol}; check the symbol")

    async def _brackets(self, symbol: str) -> tuple[Bracket, ...]:
        """The margin table; asking for it needs a key, so without one it is empty."""
        if self._access.api_key is None:
            return ()
        where = f"perp {symbol} leverage brackets"
        line = await self._line(Market.PERP)
        answer = await line.ask("fapiPrivateGetLeverageBracket", {"symbol": symbol}, where=where)
        return parse_market.brackets(answer, symbol, where)

    async def _ask_terms(self) -> object:
        line = await self._line(Market.PERP)
        return (await line.ask_stamped("fapiPublicGetFundingInfo", {}, where="perp funding info")).document

    async def _listen(self, plan: SocketPlan, on_message: OnMessage) -> None:
        await (await self._line(plan.market)).listen(plan, on_message)

    def _drop(self, plan: SocketPlan) -> None:
        if plan.market in self._lines:
            self._lines[plan.market].drop(plan)

    async def _page(self, key: Subscription, start_ms: int, limit: int) -> list[Bar]:
        return await self.klines(*key, start_ms=start_ms, limit=limit)


def _named(market: Market, method: str) -> str:
    return ("public" if market is Market.SPOT else "fapiPublic") + method


def _check_interval(market: Market, symbol: str, interval: str) -> None:
    if interval not in INTERVAL_MS:
        raise DataProviderError(f"{market} {symbol}: interval={interval!r}: use one of {', '.join(INTERVAL_MS)}")
