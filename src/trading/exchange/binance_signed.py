"""Requests to Binance that need the account's key."""

from __future__ import annotations

from collections.abc import Mapping

from trading.domain.errors import SettingsError
from trading.domain.instrument import Market
from trading.exchange.binance_market import BinanceMarket


class BinanceSigned(BinanceMarket):
    """Reads that change nothing, and writes that are sent at most once."""

    async def _read(self, market: Market, endpoint: str, params: Mapping[str, object], where: str) -> object:
        self._need_key(where)
        return await (await self._line(market)).ask(endpoint, params, where=where)

    async def _write(self, market: Market, endpoint: str, params: Mapping[str, object], where: str) -> object:
        self._need_key(where)
        return await (await self._line(market)).ask(endpoint, params, writes=True, where=where)

    def _need_key(self, where: str) -> None:
        if self._access.api_key is None:
            raise SettingsError(f"{where}: no API key; set BINANCE_API_KEY and BINANCE_API_SECRET in .env")
