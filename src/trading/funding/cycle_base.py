"""What every stage of a cycle shares: the growing report, the view of the position, and its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal

from trading.domain.decisions import Decision, Reason
from trading.domain.events import Severity
from trading.domain.instrument import Market
from trading.funding import moves
from trading.funding.books import Performance, VenueAccount, performance
from trading.funding.dust import dust_in
from trading.funding.ledger import Booking, Pair, book, read_accounts
from trading.funding.position import CarryPosition
from trading.funding.report import CycleReport, SymbolReport
from trading.funding.room import Room
from trading.journal.audit import CycleStatus
from trading.strategy.spec import StrategySpec


@dataclass(frozen=True, slots=True)
class Carry:
    """A strategy that wants to hold."""

    spec: StrategySpec
    armed: bool
    """Both gates are open and the approval still holds. Without it nothing is opened; what is held is still managed and
    closed by its own parameters.
    """

    @property
    def symbol(self) -> str:
        """The venue's name of what it would hold."""
        return self.spec.market.native_symbol


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a cycle ended for one symbol."""

    symbol: str
    status: CycleStatus
    decision: Decision
    is_first: bool = False
    """It is told before all that are not."""


class CycleBase:
    """The report grows as the stages learn; a cycle cut short keeps it."""

    def __init__(self, room: Room) -> None:
        self._room, self._tools = room, room.tools
        nothing = Decision(False, Reason.NO_APPROVED_STRATEGY, 0.0, 1.0)
        self.report = CycleReport(self._tools.clock.now_ms(), CycleStatus.NO_TRADE, nothing)
        self._orders_before = len(self._tools.intents.orders())
        self._doubt: tuple[CycleStatus, Decision] | None = None
        """The books disagree: what is held is managed on, and this is told unless something stronger is."""
        self._is_unsure = False
        """An order's outcome is not known: nothing else may happen in this cycle."""

    @property
    def _hand(self) -> SymbolReport:
        """The symbol in hand: every stage of one symbol works on it."""
        return self.report.main

    @property
    def _live(self) -> CarryPosition | None:
        """What is held in the symbol in hand."""
        return self._room.store.live_of(self.report.symbol)

    def _take(self, symbol: str) -> None:
        """Take a symbol in hand."""
        self.report = replace(self.report, symbol=symbol)

    def _keep(self, found: SymbolReport) -> None:
        """Keep what was found in a symbol."""
        self.report = replace(self.report, symbols={**self.report.symbols, found.symbol: found})

    def end(self, status: CycleStatus, decision: Decision) -> None:
        """Close the report with a verdict and the orders that were sent."""
        orders, store = self._tools.intents.orders()[self._orders_before :], self._room.store
        known = self.report.symbols
        named = dict.fromkeys([*(live.symbol for live in store.lives), *known])
        symbols = {name: replace(known.get(name, SymbolReport(name)), position=store.live_of(name)) for name in named}
        self.report = replace(self.report, status=status, decision=decision, orders=orders, symbols=symbols)

    def _outcome(self, *, is_first: bool = False) -> Outcome:
        """How it ended for the symbol in hand."""
        decision = self.report.decision
        self._keep(replace(self._hand, decision=decision))
        return Outcome(self.report.symbol, self.report.status, decision, is_first)

    def _tell_outcome(self, outcome: Outcome) -> None:
        """The report is about this one."""
        self._take(outcome.symbol)
        self.end(outcome.status, outcome.decision)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        started_s = self._tools.clock.real_s()
        try:
            yield
        finally:
            before_s = self.report.stage_s.get(name, 0.0)
            spent_s = round(before_s + self._tools.clock.real_s() - started_s, 6)
            self.report = replace(self.report, stage_s={**self.report.stage_s, name: spent_s})

    async def _pair(self, symbol: str) -> Pair:
        venue = self._tools.venue
        return Pair(await venue.instrument(Market.SPOT, symbol), await venue.instrument(Market.PERP, symbol))

    def _view(self, position: CarryPosition, *, price: Decimal | None, mark: Decimal | None = None) -> Performance:
        zero = Decimal(0)
        return performance(position.fills, position.income, spot_price=price or zero, mark_price=mark or zero)

    def _view_at(self, position: CarryPosition, account: VenueAccount) -> Performance:
        return self._view(position, price=account.spot_price, mark=account.mark_price)

    async def _note_booking(self, pair: Pair, position: CarryPosition) -> CarryPosition:
        booking = await book(self._tools, pair, position)
        self._note_booked(booking)
        return self._room.store.save(booking.position)

    def _note_booked(self, booking: Booking) -> None:
        self.report = replace(
            self.report,
            fills=(*self.report.fills, *booking.fills),
            funding_booked_quote=self.report.funding_booked_quote + booking.funding_quote,
        )

    async def _refresh(self, pair: Pair) -> None:
        """The account and its worth anew."""
        pairs = await self._with_held(pair)
        self._value(pairs, await read_accounts(self._tools, list(pairs.values())))

    async def _with_held(self, pair: Pair) -> dict[str, Pair]:
        """The pair and those of all that is in the equity, by symbol."""
        dusty = [symbol for symbol, found in self.report.symbols.items() if found.dust is not None]
        others = dict.fromkeys([*(live.symbol for live in self._room.store.lives), *dusty])
        return {pair.symbol: pair} | {symbol: await self._pair(symbol) for symbol in others if symbol != pair.symbol}

    def _value(self, pairs: Mapping[str, Pair], accounts: Mapping[str, VenueAccount]) -> None:
        """What the account is worth: cash, what live positions hold, and dust of closed ones."""
        cash = equity = Decimal(0)
        for symbol, account in accounts.items():
            position = self._room.store.live_of(symbol)
            view = None if position is None else self._view_at(position, account)
            spot_base = view.spot_base if view is not None else Decimal(0)
            left, others = self._room.store.dust_base(symbol), account.spot_base - spot_base
            dust = dust_in(pairs[symbol].spot, left, wallet_base=others, price=account.spot_price)
            cash = account.spot_quote + account.futures_quote
            equity += dust.quote if dust is not None else Decimal(0)
            if view is not None:
                equity += view.spot_base * account.spot_price + account.unrealised_quote
            found = self.report.symbols.get(symbol, SymbolReport(symbol))
            # What was closed in this cycle is told as it was at its end.
            view = view or found.performance
            self._keep(replace(found, account=account, dust=dust, performance=view))
        self.report = replace(self.report, cash_quote=cash, equity_quote=cash + equity)

    async def _finish(self, pair: Pair, reason: Reason) -> None:
        """The live position in hand is over: counted, told, and closed for good."""
        position, store = self._live, self._room.store
        if position is None:
            return
        pairs = await self._with_held(pair)
        accounts = await read_accounts(self._tools, list(pairs.values()))
        account = accounts[pair.symbol]
        view = self._view_at(position, account)
        self._keep(replace(self._hand, performance=view))
        now_ms = self._tools.clock.now_ms()
        if any(booked.is_ours for booked in position.fills):
            self._room.counters.closed(position.id, position.spec_id, float(view.profit_quote), now_ms)
            self._room.tell("carry.closed", moves.closed_facts(position, view, reason), Severity.NOTICE)
        over = moves.closed_position(position, view, reason, now_ms)
        store.close(replace(over, dust_price=account.spot_price), at_ms=now_ms)
        self._value(pairs, accounts)
        if not store.lives:
            self._room.counters.flat(float(account.spot_quote + account.futures_quote))
