"""Each settlement the contract announced is held against what the venue booked; a difference is an alert.

A settlement is worth the mark of its moment. The venue names it with the rate, but not always; then it is taken from
the mark's own candles, and what cannot be had from there either is told as not checked. Judging is pure; only
`settlement_marks` asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import structlog

from trading.domain.clock import iso
from trading.domain.errors import DataProviderError, ExecutionError
from trading.domain.events import Severity
from trading.domain.instrument import Market
from trading.domain.market import FundingRate
from trading.domain.orders import Income, IncomeKind
from trading.domain.venue import Venue
from trading.funding.position import CarryPosition, Settled

if TYPE_CHECKING:  # who only reads what was settled needs no compiler
    from trading.funding.carry import CarryMarket
    from trading.funding.carry_settings import CarrySettings
    from trading.funding.room import Tell

log = structlog.get_logger(__name__)

SAME_SETTLEMENT_MS = 600_000
"""An income record this near to a settlement belongs to it."""
GRACE_MS = 3_600_000
"""Venues publish income late; a record is missed only after this."""


async def settlement_marks(venue: Venue, position: CarryPosition, market: CarryMarket) -> dict[int, Decimal]:
    """Marks at settlements that are to be checked and whose rate names none, by time; those the venue has."""
    found = {}
    for rate in _unchecked(position, market):
        if not rate.mark_price:
            try:
                mark = await venue.mark_at(position.symbol, rate.time_ms)
            except (DataProviderError, ExecutionError) as error:
                log.warning("carry.mark_not_read", settlement_ms=rate.time_ms, error=str(error))
                continue
            if mark is not None:
                found[rate.time_ms] = mark
    return found


def check_settlements(
    position: CarryPosition,
    market: CarryMarket,
    marks: Mapping[int, Decimal],
    *,
    asked_ms: int,
    tell: Tell,
    settings: CarrySettings,
) -> CarryPosition:
    """Hold every settlement of the position's life against its income record, once; the position with those checked.

    A record is missed by when the records were asked for: a call that hangs for hours must not make it late.
    """
    checked = set(position.checked_settlements_ms)
    for rate in _unchecked(position, market):
        is_late = asked_ms - rate.time_ms > GRACE_MS
        quantity = _quantity_at(position, rate.time_ms)
        record = _record_of(position, rate.time_ms)
        about = {"position": position.id, "symbol": position.symbol, "settlement_ms": rate.time_ms}
        if quantity == 0:
            checked.add(rate.time_ms)
            continue
        if record is None:
            if is_late:
                checked.add(rate.time_ms)
                tell("carry.funding_missing", about, Severity.ALERT)
            continue
        mark = Decimal(str(rate.mark_price)) if rate.mark_price else marks.get(rate.time_ms)
        facts = {**about, "booked_quote": float(record.amount_quote)}
        if mark is None:
            if is_late:
                checked.add(rate.time_ms)
                why = "the exchange names no mark price of its moment"
                told = {**facts, "at": iso(rate.time_ms)[:16] + " UTC", "why": why}
                tell("carry.funding_unchecked", told, Severity.NOTICE)
            continue
        checked.add(rate.time_ms)
        expected = expected_quote(rate, quantity, mark=mark)
        if abs(record.amount_quote - expected) > abs(expected) * _tolerance(settings):
            tell("carry.funding_differs", {**facts, "expected_quote": float(expected)}, Severity.ALERT)
    return replace(position, checked_settlements_ms=tuple(sorted(checked)))


def settled_of(position: CarryPosition) -> tuple[Settled, ...]:
    """Every settlement the venue recorded in the position's life, with what was held at it."""
    return tuple(
        Settled(record.at_ms, record.amount_quote, _quantity_at(position, record.at_ms), record.venue_id)
        for record in position.income
        if record.kind is IncomeKind.FUNDING_FEE
    )


def awaited_quote(position: CarryPosition, settled: Sequence[FundingRate], *, mark: Decimal, now_ms: int) -> Decimal:
    """What settlements of the last `GRACE_MS` have paid the account that the venue has no record of yet, quote."""
    total = Decimal(0)
    for rate in settled:
        recent = position.opened_ms < rate.time_ms <= now_ms <= rate.time_ms + GRACE_MS
        if recent and _record_of(position, rate.time_ms) is None:
            total += expected_quote(rate, _account_quantity_at(position, rate.time_ms), mark=mark)
    return total


def expected_quote(rate: FundingRate, quantity_base: Decimal, *, mark: Decimal) -> Decimal:
    """What a settlement pays a position (signed quantity; a short receives a positive rate), quote."""
    price = Decimal(str(rate.mark_price)) if rate.mark_price else mark
    return -quantity_base * price * Decimal(str(rate.rate))


def _unchecked(position: CarryPosition, market: CarryMarket) -> list[FundingRate]:
    checked = set(position.checked_settlements_ms)
    return [rate for rate in market.settled if rate.time_ms > position.opened_ms and rate.time_ms not in checked]


def _quantity_at(position: CarryPosition, time_ms: int) -> Decimal:
    fills = (b.fill for b in position.fills if b.is_ours and b.fill.market is Market.PERP and b.fill.at_ms < time_ms)
    return sum((fill.quantity_base * fill.side.sign for fill in fills), Decimal(0))


def _account_quantity_at(position: CarryPosition, time_ms: int) -> Decimal:
    """Foreign contracts too: the venue pays them into the same wallet."""
    fills = (b.fill for b in position.fills if b.fill.market is Market.PERP and b.fill.at_ms < time_ms)
    return sum((fill.quantity_base * fill.side.sign for fill in fills), position.baseline.perp_base)


def _record_of(position: CarryPosition, time_ms: int) -> Income | None:
    return next(
        (
            record
            for record in position.income
            if record.kind is IncomeKind.FUNDING_FEE and abs(record.at_ms - time_ms) <= SAME_SETTLEMENT_MS
        ),
        None,
    )


def _tolerance(settings: CarrySettings) -> Decimal:
    return Decimal(str(settings.funding_tolerance_pct)) / 100
