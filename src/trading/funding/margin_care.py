"""Collateral before trouble, pure: what the short's margin lacks, where it comes from, what is closed if it is nowhere.

A short that loses is paid by the spot that gains, but in another wallet: when the coin rises, margin has to follow it.
Below `top_up_below_pct` of distance to the liquidation price, margin is added up to `top_up_to_pct`: first what is free
in the futures wallet, then from the spot wallet; where both together have too little, both legs are made smaller by as
much as pays for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal

from trading.domain.instrument import coarser_lot
from trading.domain.orders import PerpPosition
from trading.funding.carry_settings import CarrySettings
from trading.funding.ledger import Pair

CENT = Decimal("0.01")
MAINTENANCE = Decimal("0.01")
"""Fraction of the position that the exchange's maintenance margin is taken to be: above what the first steps of its
table ask, so that what is added always reaches far enough."""
MOST_CLOSED = Decimal("0.5")
"""Where more of the position would have to be closed to carry the rest, nothing is: `min_liquidation_pct` ends it."""


@dataclass(frozen=True, slots=True)
class MarginPlan:
    """What to do for the margin, in this order; amounts in quote."""

    transfer_quote: Decimal
    """From the spot to the futures wallet."""
    add_quote: Decimal
    """From the futures wallet into the position."""
    missing_quote: Decimal
    """What is still lacking after both."""
    close_fraction: Decimal
    """Of both legs to close, so that what that frees pays for what is missing; 0: nothing, or more than is sensible."""

    @property
    def moves(self) -> bool:
        """Money is to be moved."""
        return self.add_quote > 0


def is_low(distance: float | None, settings: CarrySettings) -> bool:
    """The short is near enough to its liquidation that margin should follow it."""
    return distance is not None and distance < settings.top_up_below_pct / 100


def smallest_close(pair: Pair, fraction: Decimal, *, held_base: Decimal, price: Decimal) -> Decimal:
    """Base of both legs to close, on the coarser lot: the fraction, or the least that both venues take."""
    lot = coarser_lot(pair.spot, pair.perp)
    least = max(pair.spot.min_notional / price, pair.spot.min_quantity, pair.perp.min_quantity)
    return (max(held_base * fraction, least) / lot).quantize(Decimal(1), rounding=ROUND_UP) * lot


def plan_margin(
    position: PerpPosition,
    settings: CarrySettings,
    *,
    free_spot_quote: Decimal,
    free_futures_quote: Decimal,
    between_wallets: bool,
) -> MarginPlan | None:
    """What the short's margin lacks; None: nothing.

    Args:
        position: As the venue tells it.
        settings: Of the carry.
        free_spot_quote: Free in the spot wallet.
        free_futures_quote: Free in the futures wallet.
        between_wallets: Money may be moved from one to the other.
    """
    liquidation = position.liquidation_price
    if liquidation is None or not is_low(position.liquidation_distance, settings):
        return None
    short, aim = abs(position.quantity_base), Decimal(str(settings.top_up_to_pct)) / 100
    lacking = short * (1 + MAINTENANCE) * (position.mark_price * (1 + aim) - liquidation)
    lacking = lacking.quantize(CENT, rounding=ROUND_UP)
    futures = _whole(min(lacking, free_futures_quote))
    spot = _whole(min(lacking - futures, free_spot_quote)) if between_wallets else Decimal(0)
    missing = lacking - futures - spot
    if missing <= 0:
        return MarginPlan(spot, futures + spot, Decimal(0), Decimal(0))
    # Closing a fraction frees its share of the margin, and its spot where that may be moved; the rest needs less.
    notional = short * position.mark_price
    frees = notional * (aim + MAINTENANCE * (1 + aim) + (1 if between_wallets else 0))
    fraction = missing / frees
    return MarginPlan(spot, futures + spot, missing, fraction if fraction <= MOST_CLOSED else Decimal(0))


def _whole(amount: Decimal) -> Decimal:
    return max(Decimal(0), amount).quantize(CENT, rounding=ROUND_DOWN)
