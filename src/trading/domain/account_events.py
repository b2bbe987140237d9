"""What an account's own stream tells, as it happens. REST stays the truth: after a hole everything is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from trading.domain.instrument import Market
from trading.domain.orders import Fill, OrderState


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """Something happened to an order."""

    state: OrderState
    """As it stands after it."""
    fill: Fill | None
    """The execution that happened; None: something else, such as a cancel."""


@dataclass(frozen=True, slots=True)
class HeldPosition:
    """A perpetual position in an account event."""

    symbol: str
    quantity_base: Decimal
    """Signed: short is negative. 0: flat."""
    entry_price: Decimal


@dataclass(frozen=True, slots=True)
class WalletEvent:
    """Money or positions of an account changed."""

    market: Market
    totals: Mapping[str, Decimal]
    """By asset, what the wallet now holds, free and locked; assets that did not change are not told."""
    positions: tuple[HeldPosition, ...]
    """Perpetuals that changed."""
    reason: str
    """The venue's word (`ORDER`, `FUNDING_FEE`, ...); empty on spot."""
    at_ms: int


@dataclass(frozen=True, slots=True)
class AccountUnseen:
    """From here back to the last event anything may have happened to the account: look it up."""

    market: Market
    reason: str


AccountEvent = OrderEvent | WalletEvent | AccountUnseen
