"""The door to the exchanges: by name a venue's public side, or an account there. Nothing else names their classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from trading.domain.errors import SettingsError
from trading.domain.instrument import Market
from trading.domain.venue import MarketData, Venue
from trading.exchange.access import Access
from trading.exchange.binance import Binance
from trading.exchange.unified_market import UnifiedMarket
from trading.exchange.unified_terms import VENUES

ExchangeName = Literal["binance", "kraken"]
"""The words of `venue.exchange` in the settings, and of a strategy's market."""

MARKETS: Mapping[ExchangeName, tuple[Market, ...]] = {
    "binance": (Market.SPOT, Market.PERP),
    "kraken": (Market.SPOT,),
}
"""What the lab reads where."""


def open_market_data(exchange: ExchangeName, access: Access) -> MarketData:
    """The public side of an exchange; what it has to say is read at the first call."""
    if exchange == "binance":
        return open_account(exchange, access)
    return UnifiedMarket(VENUES[exchange], access)


def open_account(exchange: ExchangeName, access: Access) -> Venue:
    """An account that can trade, with its public side.

    Raises:
        SettingsError: the lab sends no orders there, or one half of a key is missing.
    """
    if exchange != "binance":
        raise SettingsError(
            f"venue.exchange={exchange}: public data and paper trading only; for live trading set it to binance"
        )
    return Binance(
        access.clock,
        base_url=access.base_url,
        testnet=access.testnet,
        api_key=access.api_key,
        api_secret=access.api_secret,
        rate=access.rate,
    )
