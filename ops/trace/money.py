"""Where live fees and funding come from, line by line: the venue's own records beside what the market said."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ops.trace.live_records import THIRD_COINS, ZERO, CycleLine, FillLine, Holdings, Step
from trading.domain.clock import DAY_MS, iso
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.market import FundingRate
from trading.domain.orders import IncomeKind
from trading.funding.books import BookedFill, Perp
from trading.funding.position import CarryPosition, ClosedPosition, Settled
from trading.funding.settlements import expected_quote, settled_of
from trading.market.store import TapeStore
from trading.storage.home import Home

QUOTE = "USDT"


@dataclass(frozen=True, slots=True)
class Booked:
    """One booking of funding: what was received, and what the recorded settlement says it should have been."""

    position: str
    at_ms: int
    """The venue's time of the record; where only the audit file has it, of the cycle that booked it."""
    amount_quote: Decimal
    perp_base: Decimal
    """Held at the settlement; short is negative."""
    settled: tuple[FundingRate, ...]
    """The recorded settlements it answers; empty: not in the store."""
    record: str
    """The venue's id of the record; empty: an older lab closed the position, the audit file has its steps alone."""

    @property
    def expected_quote(self) -> Decimal | None:
        """-quantity x mark x rate; None: a settlement or its mark is not in the store."""
        if not self.settled or any(rate.mark_price is None for rate in self.settled):
            return None
        return sum((expected_quote(rate, self.perp_base, mark=ZERO) for rate in self.settled), ZERO)


def fill_rows(
    cycles: Iterable[CycleLine], orders: dict[str, str], lives: Sequence[CarryPosition]
) -> Iterator[tuple[FillLine, str]]:
    """Every fill once, with the client id its order was sent with.

    Those of the audit file, told as exactly as the positions that are held have them; then those that only a
    position has, because a crash came before the cycle's line.
    """
    booked = {_key(line): line for live in lives for line in map(as_line, live.fills)}
    # a line from before fills named their symbol: the trade of the only one there was
    unnamed = {(market, "", trade_id): line for (market, _, trade_id), line in booked.items()}
    seen: set[tuple[Market, str, str]] = set()
    audited = (
        fill if fill.at_ms is not None else fill.model_copy(update={"at_ms": cycle.at_ms})
        for cycle in cycles
        for fill in cycle.fills
    )
    for fill in (*audited, *booked.values()):
        line = booked.get(_key(fill)) or unnamed.get(_key(fill), fill)
        if _key(line) not in seen:
            seen.add(_key(line))
            yield line, orders.get(fill.venue_order_id, "?" if fill.ours else "foreign")


def _key(fill: FillLine) -> tuple[Market, str, str]:
    """A trade id is unique within a market and symbol only."""
    return fill.market, fill.symbol, fill.venue_trade_id


def as_line(booked: BookedFill) -> FillLine:
    """A fill of a position as an audit line would have it."""
    fill = booked.fill
    return FillLine(
        venue_trade_id=fill.venue_trade_id,
        symbol=fill.symbol,
        venue_order_id=fill.venue_order_id,
        market=fill.market,
        side=fill.side,
        quantity_base=fill.quantity_base,
        price=fill.price,
        fee=fill.fee,
        fee_asset=fill.fee_asset,
        ours=booked.is_ours,
        at_ms=fill.at_ms,
        fee_quote=booked.fee_quote,
    )


def reported_fees(held: Holdings) -> Decimal:
    """Fees of every live position as the reports tell them, quote."""
    live = [booked.fee_quote for one in held.lives for booked in one.fills if booked.is_ours]
    return sum((*live, *(position.fees_quote for position in held.closed)), ZERO)


def reported_funding(held: Holdings) -> Decimal:
    """Funding of every live position as the reports tell it, quote."""
    live = [r.amount_quote for one in held.lives for r in one.income if r.kind is IncomeKind.FUNDING_FEE]
    return sum((*live, *(position.funding_quote for position in held.closed)), ZERO)


def funding_rows(home: Home, cycles: Sequence[Step], held: Holdings) -> Iterator[Booked]:
    """Every booking of funding by the venue's records that the positions file keeps, closed ones first; of a position
    that an older lab closed the steps of the audit file, and for these alone are `cycles` wanted.
    """
    for position in held.closed:
        rates = recorded(home, position.symbol, position.opened_ms)
        if position.settled is not None:
            yield from booked_records(position.id, position.settled, rates)
            continue
        first = bisect_left(cycles, position.opened_ms, key=lambda cycle: cycle.at_ms)
        # the cycle that closes a position writes its line a moment after
        last = bisect_left(cycles, position.closed_ms, key=lambda cycle: cycle.at_ms)
        yield from _steps(position.id, cycles[first : last + 1], rates)
    for live in held.lives:
        rates = recorded(home, live.symbol, live.opened_ms)
        yield from booked_records(live.id, settled_of(live), rates)


def recorded(home: Home, symbol: str, after_ms: int) -> list[FundingRate]:
    """Settlements of the store since a moment, oldest first; none where nothing is held."""
    store = TapeStore(home.tapes)
    held = [h for h in store.holdings() if h.market is Market.PERP and h.symbol == symbol]
    for holding in held:
        try:
            funding = store.load(Market.PERP, symbol, holding.interval, after_ms - DAY_MS).funding
        except DataProviderError:
            continue  # this interval has no bar since then; another may
        return [settled for settled in funding.records(symbol) if settled.time_ms > after_ms]
    return []


def _steps(position: str, cycles: Sequence[Step], rates: Sequence[FundingRate]) -> Iterator[Booked]:
    count, funding, base = 0, ZERO, ZERO
    for cycle in cycles:
        if cycle.settlements is None or cycle.funding_quote is None:
            continue
        if cycle.settlements > count:
            settled = _last(rates, cycle.at_ms, cycle.settlements - count)
            yield Booked(position, cycle.at_ms, cycle.funding_quote - funding, base, settled, record="")
            count, funding = cycle.settlements, cycle.funding_quote
        base = cycle.perp_base or ZERO


def booked_records(position: str, records: Sequence[Settled], rates: Sequence[FundingRate]) -> Iterator[Booked]:
    """Each settlement that the venue recorded, beside the recorded rate that it answers."""
    for record in records:
        settled = _last(rates, record.at_ms + _JITTER_MS, 1)
        yield Booked(position, record.at_ms, record.amount_quote, record.perp_base, settled, record.venue_id)


_JITTER_MS = 60_000
"""The venue stamps a settlement and its records some milliseconds apart, in either order."""
_LATE_MS = 3_600_000
"""A record later than this after a settlement belongs to one that is not in the store."""


def _last(rates: Sequence[FundingRate], at_ms: int, count: int) -> tuple[FundingRate, ...]:
    """The newest `count` settlements up to a moment; none where the newest is too old to be meant."""
    found = rates[: bisect_right(rates, at_ms, key=lambda rate: rate.time_ms)][-count:]
    fresh = len(found) == count and at_ms - found[-1].time_ms <= _LATE_MS
    return tuple(found) if fresh else ()


def cash_moved(fills: Sequence[FillLine]) -> tuple[Decimal, Decimal, Decimal]:
    """What our fills did to the cash: by the spot leg, realised by the perpetual, and fees taken in quote."""
    spot, fees, perps = ZERO, ZERO, dict[str, Perp]()
    # lines from before fills named their symbol are of the only one there was
    before = next((fill.symbol for fill in fills if fill.symbol), "")
    for fill in fills:
        if not fill.ours:
            continue
        signed = fill.quantity_base * fill.side.sign
        fees -= fill.fee if fill.fee_asset == QUOTE else ZERO
        if fill.market is Market.SPOT:
            spot -= signed * fill.price
        else:
            symbol = fill.symbol or before
            perps[symbol] = perps.get(symbol, Perp()).after(signed, fill.price)
    return spot, sum((perp.realised_quote for perp in perps.values()), ZERO), fees


def coins_moved(fills: Sequence[FillLine]) -> Decimal:
    """What our fills left in the spot wallet, base, net of fees taken in the coin."""
    spot = [fill for fill in fills if fill.ours and fill.market is Market.SPOT]
    taken = sum((fill.fee for fill in spot if fill.fee_asset not in (QUOTE, *THIRD_COINS)), ZERO)
    return sum((fill.quantity_base * fill.side.sign for fill in spot), -taken)


def dust_quote(closed: Sequence[ClosedPosition]) -> Decimal | None:
    """What the profits count for dust, quote; None: an older lab closed one of the positions."""
    if any(position.dust_base is None for position in closed):
        return None
    return sum(((position.dust_base or ZERO) * position.dust_price for position in closed), ZERO)


def plain(value: Decimal) -> str:
    """Without exponent and trailing zeros."""
    return format(value.normalize(), "f") if value else "0"


def fill_line(fill: FillLine, client_id: str, *, names_symbol: bool) -> tuple[str, ...]:
    """One fill as a row of the table; it names the symbol where there are several."""
    fee_quote = fill.fee_in_quote(QUOTE)
    return (
        "?" if fill.at_ms is None else iso(fill.at_ms),
        f"{fill.market} {fill.symbol}" if names_symbol else fill.market.value,
        fill.venue_trade_id,
        fill.side.value,
        plain(fill.quantity_base),
        plain(fill.price),
        f"{plain(fill.fee)} {fill.fee_asset}",
        "?" if fee_quote is None else plain(fee_quote),
        fill.venue_order_id,
        client_id,
    )


def funding_line(row: Booked) -> tuple[str, ...]:
    """One booking as a row of the table."""
    rates = " ".join(f"{rate.rate:.8f}" for rate in row.settled) or "not in store"
    marks = " ".join("none" if rate.mark_price is None else f"{rate.mark_price:.8f}" for rate in row.settled) or "-"
    expected = row.expected_quote
    return (
        row.position,
        iso(row.at_ms),
        iso(row.settled[-1].time_ms) if row.settled else "-",
        plain(row.perp_base),
        rates,
        marks,
        "-" if expected is None else f"{expected:+.8f}",
        f"{row.amount_quote:+.8f}",
        "-" if expected is None else f"{row.amount_quote - expected:+.8f}",
        row.record or "audit step",
    )
