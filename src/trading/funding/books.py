"""The books of one carry: fills and income as the venue recorded them, and the identity they must satisfy. Pure.

    start equity + realised + unrealised + funding + other income - fees == the venue's equity, to the cent

The account's books take every fill of the symbol, foreign ones too, because the venue's wallets do. What is *ours* is
told apart by the order it belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from trading.domain.instrument import Market
from trading.domain.orders import Fill, Income, IncomeKind

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The account before the position's first order."""

    at_ms: int
    spot_quote: Decimal
    spot_base: Decimal
    futures_quote: Decimal
    """Wallet balance without unrealised profit."""
    perp_base: Decimal
    """Foreign position in the same contract, signed."""
    perp_entry: Decimal
    known_ids: tuple[str, ...] = ()
    """Fills and income records that were there already, as `fill_key` and `income_key` name them."""


@dataclass(frozen=True, slots=True)
class BookedFill:
    """A fill with what the lab makes of it."""

    fill: Fill
    is_ours: bool
    fee_quote: Decimal
    """The fee in quote at the time of booking, whatever coin it was charged in."""


@dataclass(frozen=True, slots=True)
class Perp:
    """A contract position by average entry, as the venue counts it."""

    quantity: Decimal = ZERO
    entry: Decimal = ZERO
    realised_quote: Decimal = ZERO

    def after(self, signed: Decimal, price: Decimal) -> Perp:
        """The position after a fill."""
        total = self.quantity + signed
        if self.quantity == 0 or (self.quantity > 0) == (signed > 0):
            return Perp(total, (self.quantity * self.entry + signed * price) / total, self.realised_quote)
        closed = min(abs(signed), abs(self.quantity)) * (1 if self.quantity > 0 else -1)
        realised = self.realised_quote + closed * (price - self.entry)
        flipped = total != 0 and (total > 0) != (self.quantity > 0)
        return Perp(total, price if flipped else (self.entry if total else ZERO), realised)

    def unrealised_quote(self, mark: Decimal) -> Decimal:
        """Profit of what is open, at a mark price."""
        return self.quantity * (mark - self.entry)


@dataclass(frozen=True, slots=True)
class VenueAccount:
    """What the venue says the account holds, read in one go."""

    spot_quote: Decimal
    spot_base: Decimal
    futures_quote: Decimal
    perp_base: Decimal
    unrealised_quote: Decimal
    spot_price: Decimal
    """Marks the base on both sides of the identity."""
    mark_price: Decimal

    @property
    def equity_quote(self) -> Decimal:
        """Cash, base at `spot_price`, futures wallet and unrealised."""
        return self.spot_quote + self.spot_base * self.spot_price + self.futures_quote + self.unrealised_quote


@dataclass(frozen=True, slots=True)
class Identity:
    """Both sides of the books."""

    expected_quote: Decimal
    venue_quote: Decimal
    error_base: Decimal = ZERO
    """Part of the difference that is coins in the spot wallet, venue less expected, base."""
    spot_price: Decimal = ZERO

    @property
    def error_quote(self) -> Decimal:
        """Venue less expected."""
        return self.venue_quote - self.expected_quote

    @property
    def error_cash(self) -> Decimal:
        """The part of the difference that is cash, quote."""
        return self.error_quote - self.error_base * self.spot_price


@dataclass(frozen=True, slots=True)
class Performance:
    """What is ours of a position, in quote."""

    spot_base: Decimal
    """Net of fees taken in base."""
    perp_base: Decimal
    fees_quote: Decimal
    funding_quote: Decimal
    realised_quote: Decimal
    """Of the perpetual leg."""
    unrealised_quote: Decimal
    """Of the perpetual leg."""
    spot_quote: Decimal
    """Cash that the spot leg took (negative) and gave, plus its base at the present price, before fees."""
    settlements: int

    @property
    def profit_quote(self) -> Decimal:
        """Everything together, as if closed at the present prices without further cost."""
        return self.spot_quote + self.realised_quote + self.unrealised_quote + self.funding_quote - self.fees_quote


def fill_key(fill: Fill) -> str:
    """A fill's identity: trade ids are unique only within a market and symbol."""
    return f"{fill.market}:{fill.symbol}:{fill.venue_trade_id}"


def income_key(record: Income) -> str:
    """An income record's identity: `tranId` is unique only within a kind."""
    return f"{record.kind}:{record.venue_id}"


def identity(
    baseline: Baseline, fills: tuple[BookedFill, ...], income: tuple[Income, ...], account: VenueAccount
) -> Identity:
    """Hold the books against the venue's wallets.

    Profit and commission of the contract come from the fills, so the venue's own records of those kinds are not added
    again; transfers leave one wallet for the other. A fee in a third coin leaves neither quote nor base.
    """
    spot_quote, spot_base, futures = baseline.spot_quote, baseline.spot_base, baseline.futures_quote
    perp = Perp(baseline.perp_base, baseline.perp_entry)
    for booked in fills:
        fill = booked.fill
        signed = fill.quantity_base * fill.side.sign
        is_quote, is_base = fee_side(fill)
        if fill.market is Market.SPOT:
            spot_quote -= signed * fill.price + (fill.fee if is_quote else ZERO)
            spot_base += signed - (fill.fee if is_base else ZERO)
        else:
            perp = perp.after(signed, fill.price)
            futures -= fill.fee if is_quote else ZERO
    futures += perp.realised_quote
    for record in income:
        if record.kind in (IncomeKind.REALIZED_PNL, IncomeKind.COMMISSION):
            continue
        futures += record.amount_quote
        spot_quote -= record.amount_quote if record.kind is IncomeKind.TRANSFER else ZERO
    unrealised = perp.unrealised_quote(account.mark_price)
    expected = spot_quote + spot_base * account.spot_price + futures + unrealised
    return Identity(expected, account.equity_quote, account.spot_base - spot_base, account.spot_price)


def rebased(baseline: Baseline, held: Identity) -> Baseline:
    """The baseline that makes both sides equal: what differs was moved by a human, coins as coins, the rest as cash."""
    futures_quote = baseline.futures_quote + held.error_cash
    return replace(baseline, spot_base=baseline.spot_base + held.error_base, futures_quote=futures_quote)


def performance(
    fills: tuple[BookedFill, ...], income: tuple[Income, ...], *, spot_price: Decimal, mark_price: Decimal
) -> Performance:
    """What is ours: net quantities, fees, funding and profit."""
    ours = [booked for booked in fills if booked.is_ours]
    perp, spot_before_fees, spot_base = Perp(), ZERO, ZERO
    for booked in ours:
        fill = booked.fill
        signed = fill.quantity_base * fill.side.sign
        if fill.market is Market.PERP:
            perp = perp.after(signed, fill.price)
            continue
        in_base = fee_side(fill)[1]
        spot_base += signed - (fill.fee if in_base else ZERO)
        # A fee taken in base is in the base already; it is told among the fees at the price of its day.
        spot_before_fees += (booked.fee_quote if in_base else ZERO) - signed * fill.price
    funding = [record.amount_quote for record in income if record.kind is IncomeKind.FUNDING_FEE]
    return Performance(
        spot_base=spot_base,
        perp_base=perp.quantity,
        fees_quote=sum((booked.fee_quote for booked in ours), ZERO),
        funding_quote=sum(funding, ZERO),
        realised_quote=perp.realised_quote,
        unrealised_quote=perp.unrealised_quote(mark_price),
        spot_quote=spot_before_fees + spot_base * spot_price,
        settlements=len(funding),
    )


def fee_side(fill: Fill) -> tuple[bool, bool]:
    """Was the fee taken in the symbol's quote, or in its base?"""
    is_base = fill.symbol.startswith(fill.fee_asset)
    is_quote = fill.symbol.endswith(fill.fee_asset) and not is_base
    return is_quote, is_base
