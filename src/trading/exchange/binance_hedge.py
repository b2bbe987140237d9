"""What Binance says that can break a hedge: ranks, forced orders, statuses, terms, and the mark at a settlement.

Source: Binance's documentation, USD-M futures: "Position ADL Quantile Estimation", "User's Force Orders", "Exchange
Information", "Get Funding Rate Info", "Mark Price Kline Data"; spot: "Exchange information"; wallet: "Get Spot Delist
Schedule".
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from trading.domain.clock import HOUR_MS
from trading.domain.errors import DataProviderError
from trading.domain.hedge import ContractTerms, ForcedOrder, Listed
from trading.domain.instrument import Market
from trading.exchange import parse_hedge
from trading.exchange.answer import Answer
from trading.exchange.binance_signed import BinanceSigned

_NO_SUCH_SYMBOL = -1121


class BinanceHedge(BinanceSigned):
    """The part of an account that watches over a hedge; see `trading.domain.venue.Venue`."""

    async def adl_quantile(self, symbol: str) -> int:
        """The short's place in the queue of auto-deleveraging, 0 (last) to 4 (next); renewed every 30 s there."""
        where = f"perp {symbol} rank of auto-deleveraging"
        self._need_key(where)
        line = await self._line(Market.PERP)
        document = await line.ask("fapiPrivateGetAdlQuantile", {"symbol": symbol}, where=where)
        return parse_hedge.adl_quantile(document, symbol, where)

    async def forced_orders(self, symbol: str, *, start_ms: int) -> list[ForcedOrder]:
        """Liquidations and auto-deleveraging of ours from `start_ms` on, oldest first; the venue keeps 7 days."""
        where = f"perp {symbol} forced orders"
        self._need_key(where)
        line = await self._line(Market.PERP)
        oldest_ms = self._clock.now_ms() - 7 * 24 * HOUR_MS + 60_000
        params = {"symbol": symbol, "startTime": max(start_ms, oldest_ms), "limit": 100}
        document = await line.ask("fapiPrivateGetForceOrders", params, where=where)
        return parse_hedge.forced_orders(document, where)

    async def listed(self, market: Market, symbol: str) -> Listed:
        """Status of a symbol, and when it ends, asked for now. The demo venue has no schedule of spot's ends."""
        where = f"{market} {symbol} status"
        line = await self._line(market)
        params = {"symbol": symbol} if market is Market.SPOT else {}
        try:
            document = await line.ask(_info(market), params, where=where)
        except DataProviderError as error:
            if getattr(error.__cause__, "venue_code", None) == _NO_SUCH_SYMBOL:
                return Listed("")
            raise
        found = parse_hedge.listed(Answer.of(document, where).fields, symbol, where)
        if market is Market.PERP or self._access.testnet or self._access.api_key is None:
            return found
        schedule = await line.ask("sapiGetSpotDelistSchedule", {}, where=where)
        return replace(found, delivery_ms=parse_hedge.spot_end_ms(schedule, symbol, where))

    async def contract_terms(self, symbol: str) -> ContractTerms:
        """Funding interval, cap and floor, asked for now; `funding_now` follows them from here on."""
        where = f"perp {symbol} funding terms"
        return parse_hedge.contract_terms(await self._terms.read(), symbol, where)

    async def mark_at(self, symbol: str, at_ms: int) -> Decimal | None:
        """The mark at a full hour that is over; None: the venue does not have it."""
        where = f"perp {symbol} mark at a settlement"
        line = await self._line(Market.PERP)
        hour_ms = at_ms // HOUR_MS * HOUR_MS
        params = {"symbol": symbol, "interval": "1h", "startTime": hour_ms, "limit": 1}
        document = await line.ask("fapiPublicGetMarkPriceKlines", params, where=where)
        return parse_hedge.mark_opening(document, hour_ms, where)


def _info(market: Market) -> str:
    return "publicGetExchangeInfo" if market is Market.SPOT else "fapiPublicGetExchangeInfo"
