"""The words of the journal of intents: what an intent and an order are, and how a line becomes one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from trading.domain.instrument import Market
from trading.domain.orders import Order, OrderStatus, OrderType, Purse, Side
from trading.execution.saga_table import SagaState

PREFIX = "lab-"
"""Every client id of the lab begins so; an order without it is foreign."""


class Purpose(StrEnum):
    """What a saga is for."""

    OPEN = "open"
    CLOSE = "close"
    FLATTEN = "flatten"
    REBALANCE = "rebalance"
    """Legs that came apart while held are made even; the bases are what each leg holds before it."""
    TOP_UP = "top_up"
    """Collateral is moved behind the contract; no leg is traded."""


class IntentStatus(StrEnum):
    """What is known of an order."""

    MEANT = "meant"
    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    ABSENT = "absent"

    @property
    def is_final(self) -> bool:
        """Nothing of it can fill any more, as far as the venue has said."""
        return self not in (IntentStatus.MEANT, IntentStatus.OPEN, IntentStatus.UNKNOWN)


OF_VENUE = {
    OrderStatus.OPEN: IntentStatus.OPEN,
    OrderStatus.PARTIAL: IntentStatus.OPEN,
    OrderStatus.FILLED: IntentStatus.FILLED,
    OrderStatus.CANCELLED: IntentStatus.CANCELLED,
    OrderStatus.REJECTED: IntentStatus.REJECTED,
    OrderStatus.EXPIRED: IntentStatus.EXPIRED,
}


@dataclass(frozen=True, slots=True)
class Intent:
    """What a saga wants, on both legs."""

    id: str
    """8 hexadecimal digits."""
    position_id: str
    purpose: Purpose
    symbol: str
    spot_base: Decimal
    """Gross quantity of the spot leg, base; of a rebalance: what is held of it."""
    perp_base: Decimal
    """Quantity of the perpetual leg, base, unsigned; of a rebalance: what is held of it."""
    leverage: int
    at_ms: int
    state: str = "meant"
    """The saga's last state."""
    outcome: str = ""
    """How it ended; empty while it has not."""
    doubt_since_ms: int = 0
    """When it was first left in doubt, lab time; 0: never."""


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """An order and all that is known of it."""

    intent_id: str
    order: Order
    at_ms: int
    """When it was written ahead, lab time."""
    status: IntentStatus = IntentStatus.MEANT
    filled_base: Decimal = Decimal(0)
    average_price: Decimal | None = None
    venue_id: str = ""
    note: str = ""
    touch: tuple[Decimal, Decimal] | None = None
    """Best bid and ask that an order which takes was decided on; None: none was read, or an older lab wrote it."""
    known_ms: int = 0
    """When the last of its states was written, lab time; 0: none was."""

    @property
    def signed_base(self) -> Decimal:
        """What filled, base; a sell is negative."""
        return self.filled_base * self.order.side.sign


@dataclass(frozen=True, slots=True)
class MoveRecord:
    """A move of collateral and all that is known of it; `filled` is done."""

    id: str
    intent_id: str
    asset: str
    amount: Decimal
    to: Purse
    at_ms: int
    """When it was written ahead, lab time."""
    status: IntentStatus = IntentStatus.MEANT
    venue_id: str = ""
    note: str = ""


def parse_intent(entry: Mapping[str, object]) -> Intent:
    return Intent(
        id=str(entry["id"]),
        position_id=str(entry["position_id"]),
        purpose=Purpose(str(entry["purpose"])),
        symbol=str(entry["symbol"]),
        spot_base=Decimal(str(entry["spot_base"])),
        perp_base=Decimal(str(entry["perp_base"])),
        leverage=int(str(entry["leverage"])),
        at_ms=int(str(entry["at_ms"])),
    )


def parse_order(entry: Mapping[str, object]) -> OrderRecord:
    order = Order(
        client_id=str(entry["client_id"]),
        market=Market(str(entry["market"])),
        symbol=str(entry["symbol"]),
        side=Side(str(entry["side"])),
        type=OrderType(str(entry["type"])),
        quantity_base=Decimal(str(entry["quantity_base"])),
        price=None if entry["price"] is None else Decimal(str(entry["price"])),
        reduce_only=entry["reduce_only"] is True,
    )
    bid, ask = entry.get("bid"), entry.get("ask")
    touch = None if bid is None or ask is None else (Decimal(str(bid)), Decimal(str(ask)))
    return OrderRecord(str(entry["intent"]), order, int(str(entry["at_ms"])), touch=touch)


def with_state(intent: Intent, entry: Mapping[str, object]) -> Intent:
    state, since_ms = str(entry["state"]), intent.doubt_since_ms
    if state == SagaState.IN_DOUBT and not since_ms:
        since_ms = int(str(entry["at_ms"]))
    return replace(intent, state=state, doubt_since_ms=since_ms)


def with_status(record: OrderRecord, entry: Mapping[str, object]) -> OrderRecord:
    price = entry["average_price"]
    return replace(
        record,
        status=IntentStatus(str(entry["status"])),
        filled_base=Decimal(str(entry["filled_base"])),
        average_price=None if price is None else Decimal(str(price)),
        venue_id=str(entry["venue_id"]),
        note=str(entry["note"]),
        known_ms=int(str(entry["at_ms"])),
    )


def parse_move(entry: Mapping[str, object]) -> MoveRecord:
    return MoveRecord(
        str(entry["id"]),
        str(entry["intent"]),
        str(entry["asset"]),
        Decimal(str(entry["amount"])),
        Purse(str(entry["to"])),
        int(str(entry["at_ms"])),
    )


def move_with_status(record: MoveRecord, entry: Mapping[str, object]) -> MoveRecord:
    status = IntentStatus(str(entry["status"]))
    return replace(record, status=status, venue_id=str(entry["venue_id"]), note=str(entry["note"]))
