"""The books of the carries: fills and income as the venue recorded them, and the identity they must satisfy. Pure.

    start equity + realised + unrealised + funding + other income - fees == the venue's equity, to the cent

There is one identity for the account, because there is one pair of wallets. It starts with the cash of the moment when
the account went from flat to not flat; each live position adds what it moved since, and one that is closed beside
others leaves what it moved in the start. The books take every fill of a symbol, foreign ones too, because the venue's
wallets do. What is *ours* is told apart by the order it belongs to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from trading.domain.instrument import Market
from trading.domain.orders import Fill, Income, IncomeKind

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The account before the position's first order."""

    at_ms: int
    spot_quote: Decimal
    """The books start with the cash of the first position's; a later one's is told only."""
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
    margin_quote: Decimal = Decimal(0)
    """That the contract's position stands on, of the futures wallet, its unrealised profit in it."""

    @property
    def equity_quote(self) -> Decimal:
        """Cash, base at `spot_price`, futures wallet and unrealised."""
        return self.spot_quote + self.spot_base * self.spot_price + self.futures_quote + self.unrealised_quote


@dataclass(frozen=True, slots=True)
class Cash:
    """The quote coin of both wallets that the books start with."""

    spot_quote: Decimal
    futures_quote: Decimal
    """Wallet balance without unrealised profit."""
    carried: tuple[str, ...] = ()
    """Income of the account as a whole that closed positions have left in it, as `income_key` names it: a record that
    names no symbol is in every position's list, and counts once.
    """


@dataclass(frozen=True, slots=True)
class Part:
    """A live position's part in the account's books."""

    symbol: str
    baseline: Baseline
    fills: tuple[BookedFill, ...]
    income: tuple[Income, ...]
    account: VenueAccount


@dataclass(frozen=True, slots=True)
class Moved:
    """What a position has moved since its baseline, and what the books expect to be there."""

    spot_quote: Decimal
    """Change of the spot wallet's cash."""
    futures_quote: Decimal
    """Change of the futures wallet's, realised profit included."""
    spot_base: Decimal
    """Coins that are there now, foreign ones too."""
    perp: Perp
    """The contract as it is now, foreign part too."""


@dataclass(frozen=True, slots=True)
class Coins:
    """A difference that is coins in the spot wallet."""

    base: Decimal
    """Venue less expected."""
    price: Decimal
    """Quote per base."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Both sides of the books."""

    expected_quote: Decimal
    venue_quote: Decimal
    coins: Mapping[str, Coins] = field(default_factory=dict)
    """By symbol, the part of the difference that is coins."""

    @property
    def error_quote(self) -> Decimal:
        """Venue less expected."""
        return self.venue_quote - self.expected_quote

    @property
    def error_cash(self) -> Decimal:
        """The part of the difference that is cash, quote."""
        return self.error_quote - sum((coins.base * coins.price for coins in self.coins.values()), ZERO)


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


def moved(baseline: Baseline, fills: Sequence[BookedFill], income: Sequence[Income]) -> Moved:
    """What fills and income make of a baseline.

    Profit and commission of the contract come from the fills, so the venue's own records of those kinds are not added
    again; transfers leave one wallet for the other. A fee in a third coin leaves neither quote nor base.
    """
    spot_quote, spot_base, futures = ZERO, baseline.spot_base, ZERO
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
    for record in income:
        if record.kind in (IncomeKind.REALIZED_PNL, IncomeKind.COMMISSION):
            continue
        futures += record.amount_quote
        spot_quote -= record.amount_quote if record.kind is IncomeKind.TRANSFER else ZERO
    return Moved(spot_quote, futures + perp.realised_quote, spot_base, perp)


def identity(start: Cash, parts: Sequence[Part]) -> Identity:
    """Hold the books against the venue's wallets.

    Args:
        start: Cash that the books start with.
        parts: Every live position, at least one, with the account read in one go: its cash is the same in each.
    """
    cash = parts[0].account.spot_quote + parts[0].account.futures_quote
    expected, venue = start.spot_quote + start.futures_quote, cash
    counted, coins = set(start.carried), dict[str, Coins]()
    for part in parts:
        account, own = part.account, _uncounted(part.income, counted)
        counted |= set(_of_account(own))
        books = moved(part.baseline, part.fills, own)
        expected += books.spot_quote + books.futures_quote
        expected += books.spot_base * account.spot_price + books.perp.unrealised_quote(account.mark_price)
        venue += account.spot_base * account.spot_price + account.unrealised_quote
        coins[part.symbol] = Coins(account.spot_base - books.spot_base, account.spot_price)
    return Identity(expected, venue, coins)


def rebased(start: Cash, held: Identity) -> Cash:
    """The start that makes both sides equal: cash that differs was moved by a human."""
    return replace(start, futures_quote=start.futures_quote + held.error_cash)


def with_coins(baseline: Baseline, coins: Coins | None) -> Baseline:
    """A baseline that has the coins which a human moved."""
    return baseline if coins is None else replace(baseline, spot_base=baseline.spot_base + coins.base)


def carry_over(start: Cash, baseline: Baseline, fills: Sequence[BookedFill], income: Sequence[Income]) -> Cash:
    """The start after a position was closed beside others: what it moved stays in the wallets."""
    fresh = _uncounted(income, start.carried)
    books = moved(baseline, fills, fresh)
    return Cash(
        start.spot_quote + books.spot_quote,
        start.futures_quote + books.futures_quote,
        (*start.carried, *_of_account(fresh)),
    )


def with_late(start: Cash, records: Sequence[Income]) -> Cash:
    """The start with income of a closed position that the venue recorded late."""
    paid = sum((record.amount_quote for record in records), ZERO)
    return replace(start, futures_quote=start.futures_quote + paid)


def _uncounted(income: Sequence[Income], counted: Collection[str]) -> list[Income]:
    return [record for record in income if record.symbol or income_key(record) not in counted]


def _of_account(income: Sequence[Income]) -> list[str]:
    return [income_key(record) for record in income if not record.symbol]


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
