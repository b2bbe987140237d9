"""What in the account's own stream cannot wait for the next cycle: one leg may be gone. Pure.

The desk looks at everything once a minute. A short that the exchange has closed leaves the spot alone for that long, so
its order in the stream wakes the desk at once; reconciling finds the contract missing and sells the spot.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from trading.domain.account_events import AccountEvent, AccountUnseen, OrderEvent
from trading.domain.hedge import forced_kind
from trading.domain.instrument import Market
from trading.execution.intent_records import PREFIX


@dataclass(frozen=True, slots=True)
class Wake:
    """Why the desk looks now."""

    note: str
    symbol: str = ""
    """Whose hedge may be open; empty: of all that is held."""
    is_forced: bool = False
    """The exchange has closed some of the contract: looked at until the books have it too."""
    is_hole: bool = False
    """The stream was broken: anything may have happened meanwhile, or nothing."""


def wake_of(event: AccountEvent, symbols: Collection[str]) -> Wake | None:
    """What an event of the account is to the hedges in these symbols; None: nothing that could not wait."""
    if isinstance(event, AccountUnseen):
        return Wake(f"the account's stream was broken: {event.reason}", is_hole=True)
    if not isinstance(event, OrderEvent) or event.fill is None:
        return None
    order = event.state.order
    symbol = order.symbol
    if order.market is not Market.PERP or symbol not in symbols:
        return None
    what = f"{event.fill.side} {event.fill.quantity_base} of {symbol} at {event.fill.price}"
    kind = forced_kind(order.client_id)
    if kind is not None:
        return Wake(f"{kind}, {what} ({order.client_id})", symbol, is_forced=True)
    if order.client_id.startswith(PREFIX):
        return None
    return Wake(f"not the lab's, {what} ({order.client_id})", symbol)
