"""What a market says: bars, quotes, books, funding. Prices are quote per base, times UTC milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

from trading.domain.instrument import Market

INTERVAL_MS = {
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
}
"""Bar lengths the lab knows, milliseconds."""

YEAR_MS = 365 * 86_400_000
"""Crypto trades every day: 365 days."""


def bars_per_year(interval: str) -> float:
    """Real bars of a year: 8760 for `1h`."""
    return YEAR_MS / INTERVAL_MS[interval]


@dataclass(frozen=True, slots=True)
class Bar:
    """One candle, named by its open time."""

    market: Market
    symbol: str
    interval: str
    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume_base: float
    is_closed: bool
    """The venue has said that this candle will not change."""
    received_ms: int
    """Lab time at which the lab learned of it."""

    @property
    def close_time_ms(self) -> int:
        """First millisecond after the bar."""
        return self.open_time_ms + INTERVAL_MS[self.interval]


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask."""

    market: Market
    symbol: str
    bid: float
    ask: float
    bid_base: float
    """Quantity at the bid, base."""
    ask_base: float
    """Quantity at the ask, base."""
    at_ms: int
    """The venue's time of it, else the lab's time of receipt."""
    update_id: int | None = None
    """The book update it belongs to, streamed quotes only; None: not known."""

    @property
    def mid(self) -> float:
        """Half way between bid and ask."""
        return (self.bid + self.ask) / 2.0


@dataclass(frozen=True, slots=True)
class Book:
    """Depth: best first, (price, quantity in base)."""

    market: Market
    symbol: str
    bids: tuple[tuple[float, float], ...]
    asks: tuple[tuple[float, float], ...]
    at_ms: int

    def average_price(self, quantity_base: float, *, buy: bool) -> float | None:
        """Average price of walking the book for a quantity; None when the book is too thin."""
        left, paid = quantity_base, 0.0
        for price, size in self.asks if buy else self.bids:
            taken = min(left, size)
            paid += taken * price
            left -= taken
            if left <= 0:
                return paid / quantity_base
        return None


Level = tuple[float, float]
"""Price, and quantity in base."""


@dataclass(frozen=True, slots=True)
class BookSnapshot:
    """A whole order book at one update id."""

    market: Market
    symbol: str
    last_id: int
    """Every change up to this update id is in it."""
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    at_ms: int


@dataclass(frozen=True, slots=True)
class BookDiff:
    """Changed levels of an order book; quantity 0: the level is gone."""

    market: Market
    symbol: str
    first_id: int
    last_id: int
    """It covers the update ids from `first_id` to here."""
    previous_id: int | None
    """`last_id` of the change before it, which futures name; None: spot, whose ids have no holes."""
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    at_ms: int
    """The venue's time of the event."""


@dataclass(frozen=True, slots=True)
class MarkNow:
    """Mark, index and the running funding estimate of a perpetual, as streamed once a second."""

    symbol: str
    mark_price: float
    index_price: float
    rate: float
    """Present estimate for the next settlement, fraction of notional."""
    next_ms: int
    """The next settlement."""
    at_ms: int


@dataclass(frozen=True, slots=True)
class Liquidation:
    """A position that the venue closes by force. Of each symbol at most the newest in a second is streamed."""

    symbol: str
    is_buy: bool
    """True: a short is bought back; False: a long is sold."""
    price: float
    """Of the venue's order."""
    average_price: float
    """Of what was filled; 0 while nothing was."""
    quantity_base: float
    filled_base: float
    at_ms: int


@dataclass(frozen=True, slots=True)
class StreamBroken:
    """What was streamed of a symbol has a hole from here on; what was kept by it must begin anew."""

    market: Market
    symbol: str
    reason: str


MarketEvent = Quote | BookDiff | MarkNow | Liquidation | StreamBroken
"""Everything streamed that is no candle."""


@dataclass(frozen=True, slots=True)
class FundingRate:
    """One settled funding payment of a contract. Positive: longs pay shorts."""

    symbol: str
    time_ms: int
    """The venue's stamp; it jitters by some milliseconds around the full hour."""
    rate: float
    """Fraction of notional."""
    mark_price: float | None
    """Mark at the settlement; None: not published."""


@dataclass(frozen=True, slots=True)
class FundingNow:
    """What a contract says of its next settlement."""

    symbol: str
    rate: float
    """Present estimate for the next settlement, fraction of notional."""
    next_ms: int
    interval_ms: int
    """Of this contract, now: 8, 4 or 1 h."""
    cap_rate: float
    """The largest |rate| the contract allows."""
    mark_price: float
    index_price: float
    at_ms: int
