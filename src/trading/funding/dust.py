"""Dust: coins of closed positions that fees taken in coin left behind, too few for an order. Pure.

A spot fee is charged in the coin that was bought, so a little less or more than whole lots is left when the position
closes. It stays in the spot wallet, belongs to the equity at its marked price, and is told by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from trading.domain.instrument import Instrument


@dataclass(frozen=True, slots=True)
class Dust:
    """What lies in the spot wallet of closed positions."""

    asset: str
    base: Decimal
    price: Decimal
    """Quote per base, the one the account is marked at."""
    quote_asset: str
    why: str
    """Why it is still there."""

    @property
    def quote(self) -> Decimal:
        """Its worth, quote; part of the equity."""
        return self.base * self.price

    def __str__(self) -> str:
        return (
            f"dust {self.base.normalize():f} {self.asset} = {self.quote:.2f} {self.quote_asset}, {self.why}, "
            "stays in the spot wallet"
        )


def dust_in(spot: Instrument, left_base: Decimal, *, wallet_base: Decimal, price: Decimal) -> Dust | None:
    """What is there of the dust that was left; None: nothing.

    Args:
        spot: The market it could be sold on.
        left_base: By closed positions, in sum.
        wallet_base: Coins in the spot wallet that no live position holds: what a human took out is not there.
        price: Quote per base.
    """
    held = min(left_base, wallet_base)
    if held <= 0:
        return None
    if held < spot.lot:
        why = f"below the lot of {spot.lot.normalize():f}"
    elif held * price < spot.min_notional:
        why = f"below the smallest order of {spot.min_notional.normalize():f} {spot.quote}"
    else:
        why = "enough to sell by hand"
    return Dust(spot.base, held, price, spot.quote, why)
