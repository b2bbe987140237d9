"""What can be traded, and the venue's rules for an order in it.

Core arithmetic is float64; from the order on it is `Decimal` on the instrument's tick and lot, and
`Instrument.price` / `Instrument.quantity` are the one place that crosses over.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal
from enum import StrEnum

from trading.domain.errors import OrderValidationError


class Market(StrEnum):
    """Which book of the venue."""

    SPOT = "spot"
    PERP = "perp"


@dataclass(frozen=True, slots=True)
class Bracket:
    """One step of a contract's margin table (Binance: `leverageBracket`)."""

    notional_from_quote: float
    """Position notional at which the step begins."""
    notional_to_quote: float
    """Position notional at which it ends."""
    maintenance_rate: float
    """Maintenance margin as a fraction of notional."""
    maintenance_amount_quote: float
    """Deducted so that the margin is continuous over the steps (`cum`)."""
    max_leverage: float


@dataclass(frozen=True, slots=True)
class Instrument:
    """A market of a symbol with its filters, as of when it was read."""

    market: Market
    symbol: str
    """The venue's own name: `BTCUSDT`."""
    base: str
    quote: str
    tick: Decimal
    """Smallest price step, quote per base."""
    lot: Decimal
    """Smallest quantity step, base."""
    min_quantity: Decimal
    """Base."""
    max_quantity: Decimal
    """Base; of a market order where the venue has a smaller one."""
    min_notional: Decimal
    """Quote."""
    brackets: tuple[Bracket, ...] = ()
    """Margin table, ascending; empty for spot."""
    is_trading: bool = True
    """The venue says the symbol takes orders."""
    highest_share: Decimal | None = None
    """A buy above this multiple of the venue's reference price is refused (percent price); None: no such rule."""
    lowest_share: Decimal | None = None
    """A sell below this multiple of it is refused; None: no such rule."""

    def price(self, value: float | Decimal, *, round_up: bool | None = None) -> Decimal:
        """A price on the tick. `round_up` None: nearest; True/False: away from / towards zero."""
        rounding = {None: ROUND_HALF_EVEN, True: ROUND_UP, False: ROUND_DOWN}[round_up]
        return (Decimal(str(value)) / self.tick).quantize(Decimal(1), rounding=rounding) * self.tick

    def quantity(self, value: float | Decimal) -> Decimal:
        """A quantity on the lot, rounded down: never more than was meant."""
        return (Decimal(str(value)) / self.lot).quantize(Decimal(1), rounding=ROUND_DOWN) * self.lot

    def check(self, quantity: Decimal, price: Decimal) -> None:
        """Refuse what the venue would refuse.

        Raises:
            OrderValidationError: off the lot or tick, too small, too large, or below the minimum notional.
        """
        name = f"{self.market} {self.symbol}"
        if quantity <= 0 or quantity % self.lot:
            raise OrderValidationError(f"{name}: quantity={quantity}: not a positive multiple of the lot {self.lot}")
        if price <= 0 or price % self.tick:
            raise OrderValidationError(f"{name}: price={price}: not a positive multiple of the tick {self.tick}")
        if quantity < self.min_quantity or quantity > self.max_quantity:
            raise OrderValidationError(
                f"{name}: quantity={quantity}: outside {self.min_quantity}..{self.max_quantity}; resize the order"
            )
        if quantity * price < self.min_notional:
            raise OrderValidationError(
                f"{name}: notional={quantity * price}: below the venue's minimum {self.min_notional}; resize the order"
            )

    def check_distance(self, price: Decimal, reference: Decimal) -> None:
        """Refuse a price that the venue's percent-price filter would refuse.

        Args:
            price: The boldest limit that may be sent.
            reference: What the venue measures from (mark or average price), or the best price in its place.

        Raises:
            OrderValidationError: too far above or below.
        """
        share = price / reference
        is_high = self.highest_share is not None and share > self.highest_share
        if is_high or (self.lowest_share is not None and share < self.lowest_share):
            raise OrderValidationError(
                f"{self.market} {self.symbol}: price={price}: {share:.4f} of {reference}, the venue allows "
                f"{self.lowest_share}..{self.highest_share} (percent price); lower execution.repair_cap_bps"
            )

    def check_leverage(self, notional_quote: Decimal, leverage: int) -> None:
        """Refuse a position that the venue's bracket table does not allow at this leverage.

        Raises:
            OrderValidationError: too large for the leverage, or beyond the last bracket.
        """
        if not self.brackets:
            return
        notional = float(notional_quote)
        fits = [b for b in self.brackets if notional <= b.notional_to_quote and leverage <= b.max_leverage]
        if not fits:
            raise OrderValidationError(
                f"{self.market} {self.symbol}: notional={notional_quote:.2f} at leverage {leverage}: beyond the "
                f"venue's brackets (up to {self.brackets[-1].notional_to_quote:.0f}); reduce the size or the leverage"
            )

    def maintenance(self, notional_quote: float) -> tuple[float, float]:
        """Maintenance rate (fraction) and amount (quote) of the bracket a notional falls in.

        Raises:
            OrderValidationError: the instrument has no brackets.
        """
        if not self.brackets:
            raise OrderValidationError(f"{self.market} {self.symbol}: no leverage brackets; fetch them before sizing")
        for bracket in self.brackets:
            if notional_quote < bracket.notional_to_quote:
                return bracket.maintenance_rate, bracket.maintenance_amount_quote
        last = self.brackets[-1]
        return last.maintenance_rate, last.maintenance_amount_quote


def coarser_lot(a: Instrument, b: Instrument) -> Decimal:
    """The lot on which two legs of one position can both be sized, base."""
    return max(a.lot, b.lot)
