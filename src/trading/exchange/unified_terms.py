"""What is particular to each venue that is read through ccxt's unified API; a new one is a new row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trading.domain.market import INTERVAL_MS
from trading.exchange.rate_file import Limits


@dataclass(frozen=True, slots=True)
class UnifiedTerms:
    """One venue."""

    name: str
    """ccxt's id of it, and the word in `venue.exchange`."""
    page: int
    """Most candles of an answer; what is older than the newest so many cannot be had."""
    intervals: tuple[str, ...]
    """Candles that the venue makes, of those the lab knows."""
    tick_field: str
    """Of the venue's own listing of a symbol: the price step, which may be wider than the printed decimals."""
    limits: Limits
    look_every_s: float
    """How often live candles are asked for between two closes, seconds of real life."""


KRAKEN = UnifiedTerms(
    name="kraken",
    page=720,
    intervals=tuple(interval for interval in INTERVAL_MS if interval in ("1m", "5m", "15m", "30m", "1h", "4h", "1d")),
    tick_field="tick_size",
    # Public calls are counted by address, about one a second is let through.
    limits=Limits(weight=60, orders=1, orders_span_s=10),
    look_every_s=10.0,
)
"""Spot, public data. Source: docs.kraken.com: "Get OHLC Data", "Get Tradable Asset Pairs", "Rate Limits"."""

VENUES: Mapping[str, UnifiedTerms] = {terms.name: terms for terms in (KRAKEN,)}
