"""What trades, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sandbox.exchange.book import Book
from sandbox.exchange.feed import Feed
from sandbox.exchange.instruments import Instrument
from sandbox.exchange.tape import Block


@dataclass(frozen=True, slots=True)
class Fees:
    """Fee rates, fractions of the notional (spot: of what is received)."""

    spot_maker: Decimal = Decimal("0.001")
    spot_taker: Decimal = Decimal("0.001")
    perp_maker: Decimal = Decimal("0.0002")
    perp_taker: Decimal = Decimal("0.0005")


@dataclass(frozen=True, slots=True)
class Listing:
    """A symbol that trades on a market."""

    instrument: Instrument
    feed: Feed
    book: Book
    mark: Feed
    """The mark price of a perpetual; of a spot symbol the feed itself."""
    funding: Block
    """(2, n) settlement time in ms and rate; empty for spot."""


def money(value: float) -> Decimal:
    """A recorded number as a decimal of eight places."""
    return Decimal(f"{value:.8f}")
