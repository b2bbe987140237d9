"""What opening, evening and closing need: the size that risk allows, how far the legs may differ, the position before
its first order, and what is told."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from trading.domain.decisions import Decision, Reason
from trading.domain.errors import PortfolioUpdateError
from trading.domain.instrument import coarser_lot
from trading.domain.orders import Side
from trading.execution.legs import Leg, gross_up
from trading.execution.saga_steps import SagaReport
from trading.funding.books import Performance
from trading.funding.carry import CarryMarket
from trading.funding.ledger import Pair, take_baseline
from trading.funding.position import CarryPosition, ClosedPosition, PositionStatus
from trading.funding.room import Room
from trading.funding.settlements import settled_of
from trading.risk.guardian import UNHEDGED_FRACTION
from trading.risk.guards import RiskBook, Wanted, allowed_notional
from trading.strategy.parameters import CarryParameters
from trading.strategy.spec import StrategySpec, spec_sha256


@dataclass(frozen=True, slots=True)
class Entry:
    """A sized entry, or a size of zero with the rule that said so."""

    spot_base: Decimal
    """Gross: a fee taken in base leaves `perp_base`."""
    perp_base: Decimal
    capital_quote: Decimal
    """Notional of one leg."""
    deciding: Decision
    decisions: tuple[Decision, ...]


def size_entry(book: RiskBook, room: Room, pair: Pair, market: CarryMarket, spec: StrategySpec) -> Entry:
    """The largest size every limit allows, on the coarser lot of both legs."""
    parameters = carry_parameters(spec)
    leverage, cost = parameters.leverage, market.round_trip_rate(room.carry.impact_bps / 10_000)
    price = Decimal(str(max(market.spot.ask, market.perp.ask)))
    lot = coarser_lot(pair.spot, pair.perp)
    smallest = max(pair.spot.min_notional, pair.perp.min_notional, lot * price)
    wanted = Wanted(
        notional_quote=book.equity_quote * parameters.capital_fraction / (1 + 1 / leverage),
        leverage=leverage,
        min_notional_quote=float(smallest),
        cost_rate=cost + room.tools.settings.cash_buffer_fraction,
    )
    sized = allowed_notional(book, room.limits, wanted)
    nothing = Entry(Decimal(0), Decimal(0), Decimal(0), sized.deciding, sized.decisions)
    if not sized.allowed:
        return nothing
    lots = (Decimal(str(sized.notional_quote)) / price / lot).quantize(Decimal(1), rounding=ROUND_DOWN)
    base = lots * lot
    # Minimums are checked at the lower of the two prices: what is sized at the ask may be valued at the bid.
    lowest = Decimal(str(min(market.spot.bid, market.perp.bid)))
    if base * lowest < max(pair.spot.min_notional, pair.perp.min_notional) or base < pair.perp.min_quantity:
        note = f"{sized.notional_quote:.2f} is {base} on the coarser lot {lot}, below the venue's minimum"
        refusal = Decision(False, Reason.MIN_NOTIONAL, float(base * lowest), float(smallest), note)
        return Entry(Decimal(0), Decimal(0), Decimal(0), refusal, (*sized.decisions, refusal))
    fee_rate = max(market.spot_fees.maker_rate, market.spot_fees.taker_rate)
    return Entry(gross_up(base, pair.spot, fee_rate=fee_rate), base, base * price, sized.deciding, sized.decisions)


async def begin_position(room: Room, pair: Pair, spec: StrategySpec, entry: Entry, *, note: str) -> CarryPosition:
    """Write the position with the account's baseline, before its first order is even meant."""
    position_id, sequence = room.store.next_id()
    return room.store.open(
        CarryPosition(
            id=position_id,
            sequence=sequence,
            spec_id=spec.id,
            spec_sha256=spec_sha256(spec),
            symbol=pair.symbol,
            parameters=carry_parameters(spec),
            status=PositionStatus.OPENING,
            opened_ms=room.tools.clock.now_ms(),
            capital_quote=entry.capital_quote,
            baseline=await take_baseline(room.tools, pair),
            note=note,
        )
    )


def carry_parameters(spec: StrategySpec) -> CarryParameters:
    """The parameters of a carry.

    Raises:
        PortfolioUpdateError: the spec is of another type.
    """
    if not isinstance(spec.parameters, CarryParameters):
        raise PortfolioUpdateError(f"strategy {spec.id}: type={spec.type}: the carry desk trades funding_carry only")
    return spec.parameters


def rebalance_due(view: Performance, pair: Pair, parameters: CarryParameters, *, price: Decimal) -> Decision | None:
    """Trade the legs back to equal, or None: they are within `rebalance_delta_pct`, a lot, or what can be traded.

    The guardian closes what it sees further apart than its own fraction, whatever the strategy allows; so that it never
    has to, that is the most that is left.

    Args:
        view: What is ours of the position.
        pair: Both instruments.
        parameters: Of the strategy.
        price: Of the coin, quote.
    """
    spot, short = view.spot_base, -view.perp_base
    excess, larger = spot - short, max(spot, short)
    share = min(parameters.rebalance_delta_fraction, UNHEDGED_FRACTION)
    allowed = max(coarser_lot(pair.spot, pair.perp), larger * Decimal(str(share)))
    if min(spot, short) <= 0 or abs(excess) < allowed:
        return None
    ahead = pair.spot if excess > 0 else pair.perp
    back = Leg(ahead, Side.SELL if excess > 0 else Side.BUY, abs(excess), reduce_only=excess < 0)
    if not back.can_send(ahead.quantity(abs(excess)), price, reduce_only=back.reduce_only):
        return None
    note = f"the {ahead.market} leg is {abs(excess)} {ahead.base} ahead"
    return Decision(True, Reason.REBALANCE, float(abs(excess)), float(allowed), note)


def opened_facts(position: CarryPosition, view: Performance, saga: SagaReport, verdict: Decision) -> dict[str, object]:
    """What `carry.opened` tells."""
    return {
        "position": position.id,
        "spec": position.spec_id,
        "symbol": position.symbol,
        "spot_base": str(view.spot_base),
        "perp_base": str(view.perp_base),
        "capital_quote": float(position.capital_quote),
        "fees_quote": float(view.fees_quote),
        "max_unhedged_s": round(saga.max_unhedged_s, 3),
        "orders": len(saga.orders),
        "why": verdict.note,
    }


def closed_facts(position: CarryPosition, view: Performance, reason: Reason) -> dict[str, object]:
    """What `carry.closed` tells."""
    return {
        "position": position.id,
        "spec": position.spec_id,
        "symbol": position.symbol,
        "reason": reason.value,
        "profit_quote": float(view.profit_quote),
        "funding_quote": float(view.funding_quote),
        "fees_quote": float(view.fees_quote),
        "settlements": view.settlements,
        "dust_base": float(view.spot_base),
        "max_unhedged_s": round(position.max_unhedged_s, 3),
    }


def closed_position(position: CarryPosition, view: Performance, reason: Reason, now_ms: int) -> ClosedPosition:
    """What remains of a position."""
    return ClosedPosition(
        id=position.id,
        spec_id=position.spec_id,
        symbol=position.symbol,
        opened_ms=position.opened_ms,
        closed_ms=now_ms,
        reason=reason.value,
        profit_quote=view.profit_quote,
        funding_quote=view.funding_quote,
        fees_quote=view.fees_quote,
        settlements=view.settlements,
        max_unhedged_s=position.max_unhedged_s,
        dust_base=view.spot_base,
        settled=settled_of(position),
        capital_quote=position.capital_quote,
    )
