"""The door to the exchanges: by name a venue's public side, or an account there. Nothing else names their classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from trading.domain.instrument import Market
from trading.domain.venue import ExchangeName, MarketData, Venue
from trading.exchange.access import Access
from trading.exchange.binance import Binance
from trading.exchange.unified_market import UnifiedMarket
from trading.exchange.unified_terms import VENUES
from trading.market.history_pages import Pages

MARKETS: Mapping[ExchangeName, tuple[Market, ...]] = {
    "binance": (Market.SPOT, Market.PERP),
    "kraken": (Market.SPOT,),
}
"""What the lab reads where."""


TAKER_PCT: Mapping[ExchangeName, float] = {"binance": 0.1, "kraken": 0.4}
"""What an account of no volume is charged a spot trade, percent of notional. Source: each exchange's fee schedule."""

TRADES_AT: ExchangeName = "binance"
"""Where the lab's orders go, whatever exchange its strategies are shown on paper."""


class Records(Pages, Protocol):
    """What an exchange keeps of its past and says of what it lists; `domain.venue` tells the errors."""

    async def time_ms(self) -> int:
        """The venue's clock, UTC milliseconds."""

    async def exchange_info(self, market: Market) -> object:
        """What a market lists now, as the venue writes it."""

    async def funding_info(self) -> object:
        """Contracts with funding terms of their own, as the venue writes it."""

    async def leverage_brackets(self) -> object | None:
        """Margin tables as the venue writes them; None: there is no key to ask with."""

    async def close(self) -> None:
        """Close every connection."""


def open_records(access: Access) -> Records:
    """The past and the listings of `TRADES_AT`.

    Raises:
        SettingsError: one half of a key is missing.
    """
    return Binance(access)


def open_market_data(exchange: ExchangeName, access: Access) -> MarketData:
    """The public side of an exchange; what it has to say is read at the first call.

    Raises:
        SettingsError: one half of a key is missing.
    """
    if exchange == TRADES_AT:
        return open_account(access)
    return UnifiedMarket(VENUES[exchange], replace(access, api_key=None, api_secret=None))  # another exchange's keys


def open_account(access: Access) -> Venue:
    """The account that can trade, at `TRADES_AT`, with its public side.

    Raises:
        SettingsError: one half of a key is missing.
    """
    return Binance(access)
