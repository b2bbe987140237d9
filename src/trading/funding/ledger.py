"""Books what the venue recorded, and nothing else: fills, income, and the account read in one go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from trading.domain.errors import DataProviderError
from trading.domain.instrument import Instrument, Market
from trading.domain.orders import Fill, Income, IncomeKind, Side
from trading.execution.saga_steps import Tools
from trading.funding.books import (
    Baseline,
    BookedFill,
    Cash,
    Identity,
    Part,
    VenueAccount,
    fee_side,
    fill_key,
    identity,
    income_key,
)
from trading.funding.position import CarryPosition

OVERLAP_MS = 2 * 3_600_000
"""Records are asked for again this far back: venues publish late, and two clocks never agree."""
IDENTITY_LOOKS = 3
"""A settlement between two reads is not a difference: look again before saying so."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The two instruments of a carry."""

    spot: Instrument
    perp: Instrument

    @property
    def symbol(self) -> str:
        """The venue's name, the same on both markets."""
        return self.perp.symbol


@dataclass(frozen=True, slots=True)
class Booking:
    """What one look at the venue's records added."""

    position: CarryPosition
    fills: tuple[BookedFill, ...]
    income: tuple[Income, ...]

    @property
    def funding_quote(self) -> Decimal:
        """Funding among the new records."""
        amounts = (record.amount_quote for record in self.income if record.kind is IncomeKind.FUNDING_FEE)
        return sum(amounts, Decimal(0))


@dataclass(frozen=True, slots=True)
class Checked:
    """The books of the account, held against it."""

    bookings: Mapping[str, Booking]
    """By symbol, what was added."""
    accounts: Mapping[str, VenueAccount]
    """By symbol, read in one go."""
    identity: Identity


async def take_baseline(tools: Tools, pair: Pair) -> Baseline:
    """The account before a position's first order, with the records that are there already."""
    account = await read_account(tools, pair)
    now_ms = tools.clock.now_ms()
    start_ms = now_ms - OVERLAP_MS
    fills = [f for m in Market for f in await tools.venue.fills(m, pair.symbol, start_ms=start_ms)]
    income = await tools.venue.income(pair.symbol, start_ms=start_ms)
    position = await tools.venue.position(pair.symbol)
    return Baseline(
        at_ms=now_ms,
        spot_quote=account.spot_quote,
        spot_base=account.spot_base,
        futures_quote=account.futures_quote,
        perp_base=account.perp_base,
        perp_entry=position.entry_price if position.quantity_base else Decimal(0),
        known_ids=(*map(fill_key, fills), *map(income_key, income)),
    )


async def read_account(tools: Tools, pair: Pair) -> VenueAccount:
    """Wallets, position and prices, as close together as the venue allows."""
    return (await read_accounts(tools, [pair]))[pair.symbol]


async def read_accounts(tools: Tools, pairs: Sequence[Pair]) -> dict[str, VenueAccount]:
    """The account as each symbol sees it, by symbol: the wallets are read once."""
    spot = await tools.venue.balances(Market.SPOT)
    futures = await tools.venue.balances(Market.PERP)

    def total(wallet: Market, asset: str) -> Decimal:
        balances = spot if wallet is Market.SPOT else futures
        return balances[asset].total if asset in balances else Decimal(0)

    found = {}
    for pair in pairs:
        position = await tools.venue.position(pair.symbol)
        quote = await tools.venue.quote(Market.SPOT, pair.symbol)
        found[pair.symbol] = VenueAccount(
            spot_quote=total(Market.SPOT, pair.spot.quote),
            spot_base=total(Market.SPOT, pair.spot.base),
            futures_quote=total(Market.PERP, pair.spot.quote),
            perp_base=position.quantity_base,
            unrealised_quote=position.unrealised_quote,
            spot_price=Decimal(str(quote.mid)),
            mark_price=position.mark_price,
            margin_quote=position.isolated_margin_quote,
        )
    return found


async def book(tools: Tools, pair: Pair, position: CarryPosition) -> Booking:
    """Read the venue's records since the last look and add those that are new; the same record is never added twice."""
    known = set(position.baseline.known_ids)
    known |= {fill_key(booked.fill) for booked in position.fills} | {income_key(r) for r in position.income}
    ours = {r.venue_id for r in tools.intents.orders(position_id=position.id) if r.venue_id}
    at_ms = position.baseline.at_ms
    income_from_ms = max([at_ms, *(record.at_ms for record in position.income)]) - OVERLAP_MS
    # Whoever booked the newest income had read the fills before it: one held for months has none of them lately, and
    # the venue tells a week of the contract's at a time.
    fills_from_ms = max([income_from_ms, *(booked.fill.at_ms - OVERLAP_MS for booked in position.fills)])
    fresh: list[BookedFill] = []
    for market in Market:
        for fill in await tools.venue.fills(market, pair.symbol, start_ms=fills_from_ms):
            if fill_key(fill) not in known:
                known.add(fill_key(fill))
                fee_quote = await _fee_quote(tools, pair, fill)
                fresh.append(BookedFill(fill, fill.venue_order_id in ours, fee_quote))
    income = []
    for record in await tools.venue.income(pair.symbol, start_ms=income_from_ms):
        if income_key(record) not in known:
            known.add(income_key(record))
            income.append(record)
    fills = tuple(sorted((*position.fills, *fresh), key=lambda booked: booked.fill.at_ms))
    booked = replace(position, fills=fills, income=(*position.income, *income))
    return Booking(booked, tuple(fresh), tuple(income))


def adopt_forced(position: CarryPosition) -> CarryPosition:
    """Count the venue's own closing of our contract (liquidation, auto-deleveraging) as ours: it ended our short."""
    adopted = tuple(
        replace(booked, is_ours=True)
        if booked.fill.market is Market.PERP and booked.fill.side is Side.BUY and not booked.is_ours
        else booked
        for booked in position.fills
    )
    return replace(position, fills=adopted)


async def check_identity(
    tools: Tools, held: Sequence[tuple[Pair, CarryPosition]], start: Cash, *, tolerance_quote: Decimal
) -> Checked:
    """Book, read the account and hold one against the other; looks again when a record may have come between.

    Args:
        tools: The venue and the clock.
        held: Every live position, at least one.
        start: Cash that the books start with.
        tolerance_quote: A larger difference is looked at again.
    """
    pairs = [pair for pair, _ in held]
    bookings = {pair.symbol: Booking(position, (), ()) for pair, position in held}
    for look in range(IDENTITY_LOOKS):
        if look:
            await tools.clock.sleep_s(tools.settings.poll_s)
        accounts = await read_accounts(tools, pairs)
        for pair in pairs:
            before = bookings[pair.symbol]
            fresh = await book(tools, pair, before.position)
            bookings[pair.symbol] = Booking(
                fresh.position, (*before.fills, *fresh.fills), (*before.income, *fresh.income)
            )
        books = identity(start, [_part(bookings[symbol].position, account) for symbol, account in accounts.items()])
        if abs(books.error_quote) <= tolerance_quote:
            break
    return Checked(bookings, accounts, books)


def _part(position: CarryPosition, account: VenueAccount) -> Part:
    return Part(position.symbol, position.baseline, position.fills, position.income, account)


async def _fee_quote(tools: Tools, pair: Pair, fill: Fill) -> Decimal:
    is_quote, is_base = fee_side(fill)
    if is_quote or fill.fee == 0:
        return fill.fee
    if is_base:
        return fill.fee * fill.price
    try:
        quote = await tools.venue.quote(Market.SPOT, fill.fee_asset + pair.spot.quote)
    except DataProviderError as error:
        raise DataProviderError(
            f"fee of trade {fill.venue_trade_id} in {fill.fee_asset}: no price for it: {error}"
        ) from error
    return fill.fee * Decimal(str(quote.mid))
