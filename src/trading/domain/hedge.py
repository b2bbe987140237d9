"""What a venue says of its own power over a hedge: it can close a position, end a contract, or change its terms."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from trading.domain.orders import Side

TRADING = "TRADING"
"""The status of a symbol whose orders are taken."""


class ForcedKind(StrEnum):
    """Why the venue closed a position by an order of its own."""

    LIQUIDATION = "liquidation"
    """Its margin was used up."""
    ADL = "auto-deleveraging"
    """The other side was bankrupt, and the insurance fund did not take it over."""
    SETTLEMENT = "settlement"
    """The contract ended."""


_IDS = (
    ("adl_autoclose", ForcedKind.ADL),
    ("settlement_autoclose-", ForcedKind.SETTLEMENT),
    ("autoclose-", ForcedKind.LIQUIDATION),
)


def forced_kind(client_id: str) -> ForcedKind | None:
    """Why an order closed a position, by its client id; None: somebody meant it.

    Source:
        Binance, USD-M futures, "Event: Order Update": special client order ids.
    """
    return next((kind for begin, kind in _IDS if client_id.startswith(begin)), None)


@dataclass(frozen=True, slots=True)
class ForcedOrder:
    """A closing that the venue made."""

    symbol: str
    kind: ForcedKind
    client_id: str
    side: Side
    filled_base: Decimal
    average_price: Decimal | None
    """None: nothing filled."""
    at_ms: int


@dataclass(frozen=True, slots=True)
class Listed:
    """How a symbol stands on a market."""

    status: str
    """The venue's word, `TRADING` when all is well; empty: it is not listed any more."""
    delivery_ms: int | None = None
    """When it ends, UTC milliseconds; a perpetual that is to live stands in 2100. None: no end is known."""


@dataclass(frozen=True, slots=True)
class ContractTerms:
    """By which terms a perpetual settles its funding."""

    interval_ms: int
    cap_rate: float
    """Highest rate of one settlement, fraction of notional."""
    floor_rate: float
    """Lowest, fraction of notional; below zero."""
