"""The venue is the truth: what the lab believes is held against what is there; differences are named, never ignored.

Ours are the orders of the journal of intents. Everything else on the account is foreign: recognised, told, left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from trading.domain.instrument import Instrument, Market
from trading.domain.orders import OrderState
from trading.execution.intent_records import PREFIX, IntentStatus, OrderRecord
from trading.execution.saga_steps import Tools

ASK_ABSENT_AGAIN_MS = 3_600_000
"""An order given up as absent is asked for again for an hour: what arrives late is found."""


class DifferenceKind(StrEnum):
    """What kind of difference; written to the journal."""

    ORDER_RESTING = "ORDER_RESTING"
    """An order of ours rested although its saga had ended: cancelled."""
    ORDER_ORPHAN = "ORDER_ORPHAN"
    """An order with our prefix that the journal does not know: cancelled, and trading halts."""
    LATE_ORDER = "LATE_ORDER"
    """An order given up as absent arrived after all: adopted."""
    PERP_MISSING = "PERP_MISSING"
    """The venue holds less of the contract than we opened: closed by force or by hand."""
    SPOT_MISSING = "SPOT_MISSING"
    """The wallet holds less of the base than we bought."""
    FOREIGN_ORDER = "FOREIGN_ORDER"
    FOREIGN_PERP = "FOREIGN_PERP"
    FOREIGN_SPOT = "FOREIGN_SPOT"


_HALTS = frozenset({DifferenceKind.ORDER_ORPHAN, DifferenceKind.PERP_MISSING, DifferenceKind.SPOT_MISSING})


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between the books and the venue."""

    kind: DifferenceKind
    ours: Decimal
    """Base."""
    venue: Decimal
    """Base."""
    note: str

    @property
    def halts(self) -> bool:
        """Trading must not go on as if nothing had happened."""
        return self.kind in _HALTS


@dataclass(frozen=True, slots=True)
class Held:
    """What the books say is ours."""

    spot_base: Decimal
    """Net of fees taken in base."""
    perp_base: Decimal
    """Signed; a short is negative."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Every difference found."""

    differences: tuple[Difference, ...]

    @property
    def halting(self) -> tuple[Difference, ...]:
        """Those that forbid trading on."""
        return tuple(difference for difference in self.differences if difference.halts)


async def reconcile(tools: Tools, spot: Instrument, perp: Instrument, held: Held) -> Reconciliation:
    """Compare orders, positions and balances of a symbol with the venue; cancel what of ours should not rest.

    Raises:
        TradingEngineError: the venue could not be asked; nothing is concluded from silence.
    """
    found: list[Difference] = []
    for instrument in (spot, perp):
        found += await _orders(tools, instrument)
    balances = await tools.venue.balances(Market.SPOT)
    venue_spot = balances[spot.base].total if spot.base in balances else Decimal(0)
    venue_perp = (await tools.venue.position(perp.symbol)).quantity_base
    found += _holdings(held, venue_spot, venue_perp, spot, perp)
    return Reconciliation(tuple(found))


def _holdings(
    held: Held, venue_spot: Decimal, venue_perp: Decimal, spot: Instrument, perp: Instrument
) -> list[Difference]:
    found = []
    if venue_spot < held.spot_base - spot.lot:
        note = f"{held.spot_base} {spot.base} bought, {venue_spot} in the wallet: sold or moved by someone else"
        found.append(Difference(DifferenceKind.SPOT_MISSING, held.spot_base, venue_spot, note))
    elif venue_spot > held.spot_base + spot.lot:
        found.append(Difference(DifferenceKind.FOREIGN_SPOT, held.spot_base, venue_spot, "not bought by the lab"))
    short, venue_short = -held.perp_base, -venue_perp
    if short > 0 and venue_short < short - perp.lot / 2:
        note = f"{short} {perp.symbol} sold, {venue_short} still open: closed by force or by hand"
        found.append(Difference(DifferenceKind.PERP_MISSING, held.perp_base, venue_perp, note))
    elif venue_perp != held.perp_base:
        found.append(Difference(DifferenceKind.FOREIGN_PERP, held.perp_base, venue_perp, "not opened by the lab"))
    return found


async def _orders(tools: Tools, instrument: Instrument) -> list[Difference]:
    found = []
    for state in await tools.venue.open_orders(instrument.market, instrument.symbol):
        client_id, left = state.order.client_id, state.order.quantity_base - state.filled_base
        record = tools.intents.record(client_id)
        if not client_id.startswith(PREFIX):
            note = f"{instrument.market} {state.order.side} {left} rests under {client_id!r}"
            found.append(Difference(DifferenceKind.FOREIGN_ORDER, Decimal(0), left, note))
        elif record is None:
            await tools.venue.cancel(instrument.market, instrument.symbol, client_id)
            note = f"{client_id} is not in the journal: was the folder of state replaced?"
            found.append(Difference(DifferenceKind.ORDER_ORPHAN, Decimal(0), left, note))
        else:
            found.append(await _cancel_resting(tools, record, state))
    return found


async def _cancel_resting(tools: Tools, record: OrderRecord, state: OrderState) -> Difference:
    tools.intents.learned(record.order.client_id, state, at_ms=tools.clock.now_ms())
    final = await tools.broker.cancel(record)
    note = f"{record.order.client_id} rested after its saga ended: {final.status}"
    return Difference(DifferenceKind.ORDER_RESTING, record.filled_base, final.filled_base, note)


async def late_orders(tools: Tools, symbol: str) -> tuple[Difference, ...]:
    """Orders that were given up as absent and are there after all: adopted, so that their fills are booked as ours.

    Raises:
        TradingEngineError: the venue could not be asked.
    """
    found, now_ms = [], tools.clock.now_ms()
    for record in tools.intents.orders():
        order = record.order
        is_recent = now_ms - record.at_ms < ASK_ABSENT_AGAIN_MS
        if record.status is not IntentStatus.ABSENT or order.symbol != symbol or not is_recent:
            continue
        state = await tools.venue.find(order.market, symbol, order.client_id)
        if state is None:
            continue
        known = tools.intents.learned(order.client_id, state, at_ms=now_ms)
        if not known.status.is_final:
            known = await tools.broker.cancel(known)
        note = f"{order.client_id} had been given up as absent: {known.status}, {known.filled_base} filled"
        found.append(Difference(DifferenceKind.LATE_ORDER, Decimal(0), known.filled_base, note))
    return tuple(found)
