"""The arithmetic of two legs that must not come apart: pure, Decimal, base quantities.

A leg's progress is what its orders filled in its own direction, less what was given back. The two targets may differ
(spot is bought gross of a fee that is charged in base), so progress is compared through their ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from trading.domain.instrument import Instrument, Market
from trading.domain.market import Book
from trading.domain.orders import Side
from trading.execution.intent_records import OrderRecord, Purpose


@dataclass(frozen=True, slots=True)
class Leg:
    """One side of a saga."""

    instrument: Instrument
    side: Side
    target_base: Decimal
    reduce_only: bool
    held_base: Decimal = Decimal(0)
    """What the leg held before the saga, base; it counts as progress."""

    @property
    def market(self) -> Market:
        """The leg's book."""
        return self.instrument.market

    def progress(self, records: tuple[OrderRecord, ...]) -> Decimal:
        """What it held and its orders filled in its direction, less what was given back, base."""
        ours = (record.signed_base for record in records if record.order.market is self.market)
        return self.held_base + sum(ours, Decimal(0)) * self.side.sign

    def can_send(self, quantity: Decimal, price: Decimal, *, reduce_only: bool) -> bool:
        """The venue's filters allow this order; closing a contract is exempt from its minimum notional."""
        if quantity < self.instrument.min_quantity or quantity <= 0:
            return False
        exempt = reduce_only and self.market is Market.PERP
        return exempt or quantity * price >= self.instrument.min_notional


@dataclass(frozen=True, slots=True)
class Pair:
    """The two legs, the thinner one first."""

    first: Leg
    second: Leg

    @property
    def lot(self) -> Decimal:
        """The coarser lot: what counts as equal."""
        return max(self.first.instrument.lot, self.second.instrument.lot)

    def excess(self, records: tuple[OrderRecord, ...]) -> Decimal:
        """How much further the first leg is than the second, in the first's base; negative when it is behind."""
        ratio = self.second.target_base / self.first.target_base
        return self.first.progress(records) - self.second.progress(records) / ratio

    def is_even(self, records: tuple[OrderRecord, ...]) -> bool:
        """No more than one coarser lot apart."""
        return abs(self.excess(records)) < self.lot

    def hedge_due(self, records: tuple[OrderRecord, ...]) -> Decimal:
        """What the second leg has to fill now, on its lot; 0 when it is even or ahead."""
        first, second = self.first.progress(records), self.second.progress(records)
        if first >= self.first.target_base:
            due = self.second.target_base - second
        else:
            due = first * self.second.target_base / self.first.target_base - second
        return max(Decimal(0), self.second.instrument.quantity(due)) if due > 0 else Decimal(0)

    def left(self, records: tuple[OrderRecord, ...]) -> Decimal:
        """What the first leg has still to fill, base."""
        return max(Decimal(0), self.first.target_base - self.first.progress(records))


def pair(
    purpose: Purpose, spot: Instrument, perp: Instrument, bases: tuple[Decimal, Decimal], *, first: Market
) -> Pair:
    """The legs of opening (buy spot, sell perpetual) or closing (sell spot, buy perpetual back, reduce-only); of a
    rebalance those of the opening, as far as each has come.
    """
    if purpose is Purpose.REBALANCE:
        even = max(bases)
        legs = (
            Leg(spot, Side.BUY, even, reduce_only=False, held_base=bases[0]),
            Leg(perp, Side.SELL, even, reduce_only=False, held_base=bases[1]),
        )
        return Pair(*legs) if first is Market.SPOT else Pair(*reversed(legs))
    opening = purpose is Purpose.OPEN
    spot_leg = Leg(spot, Side.BUY if opening else Side.SELL, bases[0], reduce_only=False)
    perp_leg = Leg(perp, Side.SELL if opening else Side.BUY, bases[1], reduce_only=not opening)
    return Pair(spot_leg, perp_leg) if first is Market.SPOT else Pair(perp_leg, spot_leg)


def gross_up(base: Decimal, spot: Instrument, *, fee_rate: float) -> Decimal:
    """The spot quantity to buy so that `base` remains after a fee charged in base, rounded up to the lot."""
    gross = base / (1 - Decimal(str(fee_rate)))
    return (gross / spot.lot).quantize(Decimal(1), rounding=ROUND_UP) * spot.lot


def depth_within(book: Book, *, buy: bool, reach_rate: float) -> float:
    """Quote notional that could be taken within `reach_rate` of the best price."""
    levels = book.asks if buy else book.bids
    if not levels:
        return 0.0
    best = levels[0][0]
    return sum(price * size for price, size in levels if abs(price - best) <= best * reach_rate)
