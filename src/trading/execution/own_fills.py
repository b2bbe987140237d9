"""What our own orders can teach: what takers paid beyond the price they were decided on, and how long makers rested.

Both are read from the journal of intents. An order that takes counts where the quote it was decided on was written
beside it; orders of the way to flat read none, for they must not wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trading.domain.instrument import Market
from trading.domain.orders import OrderType
from trading.execution.intent_records import IntentStatus, OrderRecord


@dataclass(frozen=True, slots=True)
class TakerFill:
    """What an order that took paid, whole."""

    market: Market
    symbol: str
    intent_id: str
    at_ms: int
    """When it was written ahead, lab time."""
    notional_quote: float
    """Of what filled, at the mid it was decided on."""
    beyond_mid_quote: float
    """Paid more than at that mid; negative: the price came our way meanwhile."""
    beyond_touch_quote: float
    """Paid more than at the best price of the other side."""


@dataclass(frozen=True, slots=True)
class RestedOrder:
    """A post-only order that the venue took, and what became of it."""

    market: Market
    symbol: str
    intent_id: str
    at_ms: int
    rested_s: float
    """Lab seconds until its end was known."""
    filled_share: float
    """0 to 1, of its quantity."""


def taker_fills(records: Iterable[OrderRecord]) -> tuple[list[TakerFill], int]:
    """Fills of orders that took, and how many filled without a quote written beside them."""
    fills, blind = list[TakerFill](), 0
    for record in records:
        order, price = record.order, record.average_price
        if order.type is OrderType.POST_ONLY or not record.status.is_final or not record.filled_base or price is None:
            continue
        if record.touch is None:
            blind += 1
            continue
        bid, ask = record.touch
        mid, touch, base = (bid + ask) / 2, ask if order.side.sign > 0 else bid, record.filled_base
        fills.append(
            TakerFill(
                order.market,
                order.symbol,
                record.intent_id,
                record.at_ms,
                notional_quote=float(base * mid),
                beyond_mid_quote=float(base * (price - mid) * order.side.sign),
                beyond_touch_quote=float(base * (price - touch) * order.side.sign),
            )
        )
    return fills, blind


def rested_orders(records: Iterable[OrderRecord]) -> list[RestedOrder]:
    """Post-only orders whose end is known; those the venue refused or never had did not rest."""
    return [
        RestedOrder(
            record.order.market,
            record.order.symbol,
            record.intent_id,
            record.at_ms,
            rested_s=max(0, record.known_ms - record.at_ms) / 1000,
            filled_share=float(record.filled_base / record.order.quantity_base),
        )
        for record in records
        if record.order.type is OrderType.POST_ONLY
        and record.status in (IntentStatus.FILLED, IntentStatus.CANCELLED, IntentStatus.EXPIRED)
    ]
