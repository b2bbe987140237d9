"""What our own orders can teach: what takers paid beyond the price they were decided on, and which makers were filled.

Both are read from the journal of intents. An order that takes counts where the quote it was decided on was written
beside it; orders of the way to flat read none, for they must not wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trading.domain.instrument import Market
from trading.domain.orders import OrderType
from trading.execution.intent_records import OrderRecord


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
class MakerPhase:
    """A slice of a leg that was quoted post-only, one order after the other as the price went, and what became of it.

    Whole phases are looked at, not their orders: one is withdrawn because the price left it, so that an order's end is
    no chance of its own.
    """

    market: Market
    symbol: str
    intent_id: str
    at_ms: int
    """When its first order was written ahead, lab time."""
    quoted_s: float
    """Lab seconds until the end of its last order was known."""
    filled_share: float
    """0 to 1, of the slice; what is missing was taken, or given up."""


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


def maker_phases(records: Iterable[OrderRecord]) -> list[MakerPhase]:
    """Every phase of every saga, oldest first; those with an order whose end is not known are left out.

    Args:
        records: In the order of writing.
    """
    phases, going_on = list[list[OrderRecord]](), dict[tuple[str, Market], list[OrderRecord]]()
    for record in records:
        leg = record.intent_id, record.order.market
        if record.order.type is not OrderType.POST_ONLY:
            going_on.pop(leg, None)  # what is taken of a leg ends its phase
        elif leg in going_on and record.order.quantity_base <= _left_base(going_on[leg]):
            going_on[leg].append(record)
        else:
            going_on[leg] = [record]
            phases.append(going_on[leg])
    return [_phase(orders) for orders in phases if all(order.status.is_final for order in orders)]


def _left_base(orders: Sequence[OrderRecord]) -> Decimal:
    """Of a phase's slice, base: its first order asks for the whole, each next one for what is left."""
    return orders[0].order.quantity_base - sum((order.filled_base for order in orders), Decimal(0))


def _phase(orders: Sequence[OrderRecord]) -> MakerPhase:
    first = orders[0]
    return MakerPhase(
        first.order.market,
        first.order.symbol,
        first.intent_id,
        first.at_ms,
        quoted_s=max(0, orders[-1].known_ms - first.at_ms) / 1000,
        filled_share=1.0 - float(_left_base(orders) / first.order.quantity_base),
    )
