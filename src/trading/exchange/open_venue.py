"""The door to the exchanges: by name a venue's public side, or an account there. Nothing else names their classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trading.domain.instrument import Market
from trading.domain.venue import ExchangeName, MarketData, Venue
from trading.exchange.access import Access
from trading.exchange.binance import Binance
from trading.exchange.unified_market import UnifiedMarket
from trading.exchange.unified_terms import VENUES

MARKETS: Mapping[ExchangeName, tuple[Market, ...]] = {
    "binance": (Market.SPOT, Market.PERP),
    "kraken": (Market.SPOT,),
}
"""What the lab reads where."""


TAKER_PCT: Mapping[ExchangeName, float] = {"binance": 0.1, "kraken": 0.4}
"""What an account of no volume is charged a spot trade, percent of notional. Source: each exchange's fee schedule."""

TRADES_AT: ExchangeName = "binance"
"""Where the lab's orders go, whatever exchange its strategies are shown on paper."""


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
    return Binance(
        access.clock,
        base_url=access.base_url,
        testnet=access.testnet,
        api_key=access.api_key,
        api_secret=access.api_secret,
        rate=access.rate,
    )
