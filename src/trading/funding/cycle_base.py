"""What every stage of a cycle shares: the room, the growing report, the view of the position, and its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Protocol

from trading.domain.decisions import Decision, Reason
from trading.domain.events import Severity
from trading.domain.instrument import Market
from trading.domain.market import FundingNow, Quote
from trading.execution.saga_steps import Tools
from trading.funding import moves
from trading.funding.books import Performance, VenueAccount, performance
from trading.funding.carry import (
    CarrySettings,
)
from trading.funding.dust import dust_in
from trading.funding.hedge_look import HedgeWatch
from trading.funding.ledger import Pair, book, read_account
from trading.funding.position import CarryPosition, PositionStore
from trading.funding.report import CycleReport
from trading.journal.audit import CycleStatus
from trading.market.rolling import RecentPrices
from trading.market.validator_rules import ValidatorSettings
from trading.risk.counters import RiskCounters
from trading.risk.limits import RiskLimits
from trading.risk.pulse import Pulse


class Tell(Protocol):
    """Publishes an event and logs it."""

    def __call__(self, name: str, facts: Mapping[str, object], severity: Severity) -> None:
        """Name, facts and how loudly."""


@dataclass(frozen=True, slots=True)
class Room:
    """What every cycle of a desk works with."""

    tools: Tools
    store: PositionStore
    counters: RiskCounters
    carry: CarrySettings
    limits: RiskLimits
    validator: ValidatorSettings
    tell: Tell
    pulse: Pulse
    """How well the exchange answers; the breakers read it."""
    hedge: HedgeWatch
    """What was read of what breaks the hedge, and what was told of it."""
    too_large: list[Reason] = field(default_factory=list)
    """Limits that what is held had outgrown at the last look."""
    last_quotes: dict[Market, Quote] = field(default_factory=dict)
    """Of the last look at the market; a jump since then is told by the validator."""
    last_funding: dict[str, FundingNow] = field(default_factory=dict)
    """By symbol, of the last look; a changed settlement interval is told by the validator."""
    recent_mids: dict[tuple[Market, str], RecentPrices] = field(default_factory=dict)
    """By market and symbol, of the looks before; what the validator holds a move against."""


class CycleBase:
    """The report grows as the stages learn; a cycle cut short keeps it."""

    def __init__(self, room: Room) -> None:
        self._room, self._tools = room, room.tools
        nothing = Decision(False, Reason.NO_APPROVED_STRATEGY, 0.0, 1.0)
        self.report = CycleReport(self._tools.clock.now_ms(), CycleStatus.NO_TRADE, nothing)
        self._orders_before = len(self._tools.intents.orders())
        self._doubt: tuple[CycleStatus, Decision] | None = None
        """The books disagree: what is held is managed on, and this is told unless something stronger is."""

    def end(self, status: CycleStatus, decision: Decision) -> None:
        """Close the report with a verdict and the orders that were sent."""
        orders = self._tools.intents.orders()[self._orders_before :]
        self.report = replace(
            self.report, status=status, decision=decision, orders=orders, position=self._room.store.live
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        started_s = self._tools.clock.real_s()
        try:
            yield
        finally:
            spent = {**self.report.stage_s, name: round(self._tools.clock.real_s() - started_s, 6)}
            self.report = replace(self.report, stage_s=spent)

    async def _pair(self, symbol: str) -> Pair:
        venue = self._tools.venue
        return Pair(await venue.instrument(Market.SPOT, symbol), await venue.instrument(Market.PERP, symbol))

    def _view(self, position: CarryPosition, *, price: Decimal | None, mark: Decimal | None = None) -> Performance:
        zero = Decimal(0)
        return performance(position.fills, position.income, spot_price=price or zero, mark_price=mark or zero)

    async def _note_booking(self, pair: Pair, position: CarryPosition) -> CarryPosition:
        booking = await book(self._tools, pair, position)
        self.report = replace(
            self.report,
            fills=(*self.report.fills, *booking.fills),
            funding_booked_quote=self.report.funding_booked_quote + booking.funding_quote,
        )
        return self._room.store.save(booking.position)

    async def _refresh(self, pair: Pair) -> None:
        position = self._room.store.live
        if position is None:
            return
        account = await read_account(self._tools, pair)
        view = self._view(position, price=account.spot_price, mark=account.mark_price)
        self.report = replace(self.report, performance=view)
        self._value(pair, account, held=view)

    def _value(self, pair: Pair, account: VenueAccount, *, held: Performance | None) -> None:
        """What the account is worth: cash, what the live position holds (None: flat), and dust of closed ones."""
        spot_base = held.spot_base if held is not None else Decimal(0)
        left, others = self._room.store.dust_base(pair.symbol), account.spot_base - spot_base
        dust = dust_in(pair.spot, left, wallet_base=others, price=account.spot_price)
        cash = account.spot_quote + account.futures_quote
        equity = cash + (dust.quote if dust is not None else Decimal(0))
        if held is not None:
            equity += spot_base * account.spot_price + account.unrealised_quote
        self.report = replace(self.report, account=account, cash_quote=cash, equity_quote=equity, dust=dust)

    async def _finish(self, pair: Pair, reason: Reason) -> None:
        """The live position is over: counted, told, and closed for good."""
        position = self._room.store.live
        if position is None:
            return
        account = await read_account(self._tools, pair)
        view = self._view(position, price=account.spot_price, mark=account.mark_price)
        self.report = replace(self.report, performance=view)
        now_ms = self._tools.clock.now_ms()
        if any(booked.is_ours for booked in position.fills):
            self._room.counters.closed(position.id, position.spec_id, float(view.profit_quote), now_ms)
            self._room.tell("carry.closed", moves.closed_facts(position, view, reason), Severity.NOTICE)
        over = moves.closed_position(position, view, reason, now_ms)
        self._room.store.close(replace(over, dust_price=account.spot_price), at_ms=now_ms)
        self._value(pair, account, held=None)
        self._room.counters.flat(float(account.spot_quote + account.futures_quote))
