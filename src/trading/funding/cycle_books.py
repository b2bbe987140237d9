"""The bookkeeping stages of a cycle: the venue's records, the identity, reconciliation, and what risk makes of them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from trading.domain.decisions import Decision, Reason
from trading.domain.events import Severity
from trading.domain.orders import IncomeKind
from trading.execution.reconcile import Difference, DifferenceKind, Held, Reconciliation, late_orders, reconcile
from trading.funding.books import Identity, Performance, VenueAccount, rebased
from trading.funding.cycle_base import CycleBase
from trading.funding.exposure import pending_quote
from trading.funding.ledger import OVERLAP_MS, Pair, adopt_forced, check_identity, read_account
from trading.funding.position import CarryPosition
from trading.funding.settlements import GRACE_MS, awaited_quote
from trading.journal.audit import CycleStatus
from trading.risk.breakers import readings
from trading.risk.guards import RiskBook, halting, held_risk
from trading.risk.kill_switch import Stop

FLAT_REASONS = (Reason.DRAWDOWN_EXIT, Reason.STRATEGY_DRAWDOWN)
"""Halts that also close what is held, strongest first."""


class CycleBooks(CycleBase):
    """Stages that read and judge; nothing here sends an order but the cancelling of what should not rest."""

    async def _books(self, pair: Pair) -> Decision | None:
        live, tolerance = self._room.store.live, Decimal(str(self._room.carry.identity_tolerance_usdt))
        if live is None:
            return await self._books_flat(pair)
        self._note_differences(await late_orders(self._tools, pair.symbol))
        booking, account, held = await check_identity(self._tools, pair, live, tolerance_quote=tolerance)
        position = self._room.store.save(booking.position)
        self.report = replace(self.report, fills=booking.fills, funding_booked_quote=booking.funding_quote)
        if booking.funding_quote:
            facts = {"position": live.id, "funding_quote": float(booking.funding_quote)}
            self._room.tell("carry.funding_booked", facts, Severity.INFO)
        view = self._view(position, price=account.spot_price, mark=account.mark_price)
        self.report = replace(self.report, performance=view, identity=held)
        self._value(pair, account, held=view)
        truth = await self._reconcile(pair, view)
        if any(difference.kind is DifferenceKind.PERP_MISSING for difference in truth.halting):
            self._room.store.save(adopt_forced(position))
        if truth.halting:
            worst = truth.halting[0]
            return Decision(False, Reason.RECONCILE_MISMATCH, float(worst.ours), float(worst.venue), worst.note)
        await self._hold_identity(held, account, tolerance)
        return None

    async def _hold_identity(self, held: Identity, account: VenueAccount, tolerance: Decimal) -> None:
        """Books that disagree halt entries, not the care for what is held; a halt for it ends when they agree again."""
        counters, position, error = self._room.counters, self._room.store.live, held.error_quote
        if position is None:
            return
        released = counters.memory.adopt_quote
        if released is not None and _is_same(float(error), released, float(tolerance)):
            counters.unexplained(float(held.error_cash))
            self._room.store.save(replace(position, baseline=rebased(position.baseline, held)))
            self._adopt(float(error))
            return
        counters.forget_release()
        if abs(error) <= tolerance:
            counters.unexplained(0.0)
            lifted = counters.lift(Reason.EQUITY_IDENTITY)
            if lifted is not None:
                # A release ends every alert of a halt; while others stand they must go on.
                name = "carry.books_agree" if counters.memory.halts else "risk.released"
                facts = {"reason": lifted.reason.value, "note": "the books agree again"}
                self._room.tell(name, facts, Severity.NOTICE)
            return
        books = f"expected {held.expected_quote:.8f}, the venue says {held.venue_quote:.8f}"
        note = f"unexplained flow of {error:+.2f}: no fill, fee, funding or transfer; {books}"
        verdict = Decision(False, Reason.EQUITY_IDENTITY, float(error), float(tolerance), note)
        awaited = await self._awaited(position, account)
        slack = max(tolerance, abs(awaited) * Decimal(str(self._room.carry.funding_tolerance_pct)) / 100)
        if awaited and abs(error - awaited) <= slack and not counters.memory.unexplained_quote:
            wait = f"{books}; the venue's record of a settlement of {awaited:.8f} is awaited"
            self._doubt = (CycleStatus.DEGRADED, replace(verdict, note=wait))
            return
        self._halt_entries(verdict)
        counters.restate(verdict)
        counters.unexplained(float(held.error_cash))
        self._doubt = (CycleStatus.HALTED, verdict)

    async def _awaited(self, position: CarryPosition, account: VenueAccount) -> Decimal:
        """Funding that the venue has paid and not recorded yet, quote."""
        now_ms = self._tools.clock.now_ms()
        settled = await self._tools.venue.funding_history(position.symbol, start_ms=now_ms - 2 * GRACE_MS, limit=1000)
        return awaited_quote(position, settled, mark=account.mark_price, now_ms=now_ms)

    def _adopt(self, moved_quote: float) -> None:
        self._room.counters.adopt(moved_quote)
        facts = {"quote": moved_quote, "note": "a human released it: booked as capital and not as profit"}
        self._room.tell("carry.money_moved", facts, Severity.NOTICE)

    def _halt_entries(self, verdict: Decision) -> bool:
        """Halt until a human releases, and tell it; False: that halt stands already."""
        if not self._room.counters.halt(verdict, self._tools.clock.now_ms()):
            return False
        facts = {"reason": verdict.reason.value, "value": verdict.value, "limit": verdict.limit, "note": verdict.note}
        self._room.tell("risk.halted", facts, Severity.ALERT)
        return True

    async def _books_flat(self, pair: Pair) -> Decision | None:
        self._note_differences(await late_orders(self._tools, pair.symbol))
        account = await read_account(self._tools, pair)
        cash = account.spot_quote + account.futures_quote
        released = self._room.counters.memory.adopt_quote
        if released is not None:
            self._adopt(released)
        await self._note_flow(pair, cash)
        self._value(pair, account, held=None)
        truth = await reconcile(self._tools, pair.spot, pair.perp, Held(Decimal(0), Decimal(0)))
        self._note_differences(truth.differences)
        orphans = [d for d in truth.halting if d.kind is DifferenceKind.ORDER_ORPHAN]
        return Decision(False, Reason.RECONCILE_MISMATCH, 1.0, 0.0, orphans[0].note) if orphans else None

    async def _note_flow(self, pair: Pair, cash: Decimal) -> None:
        """Cash that changed while flat: funding recorded late is earned, anything else was put in or taken out."""
        counters = self._room.counters
        moved = counters.moved(float(cash))
        late = await self._late_funding(pair) if moved else Decimal(0)
        is_earned = bool(late) and abs(moved - float(late)) <= self._room.carry.identity_tolerance_usdt
        counters.flat(float(cash), is_earned=is_earned)
        if is_earned:
            note = "recorded after the position was closed: in the equity, not in its profit"
            self._room.tell("carry.funding_late", {"quote": moved, "note": note}, Severity.NOTICE)
        elif moved:
            note = "unexplained flow, booked as capital and not as profit: no order of ours, no record of funding"
            self._room.tell("carry.money_moved", {"quote": moved, "note": note}, Severity.NOTICE)

    async def _late_funding(self, pair: Pair) -> Decimal:
        """Funding of the last position that its closing did not see, quote."""
        last = next((one for one in reversed(self._room.store.closed) if one.symbol == pair.symbol), None)
        if last is None or last.settled is None:
            return Decimal(0)
        known = {settled.venue_id for settled in last.settled}
        records = await self._tools.venue.income(pair.symbol, start_ms=max(last.opened_ms, last.closed_ms - OVERLAP_MS))
        paid = [r for r in records if r.kind is IncomeKind.FUNDING_FEE and r.venue_id not in known]
        return sum((record.amount_quote for record in paid), Decimal(0))

    async def _reconcile(self, pair: Pair, view: Performance) -> Reconciliation:
        """Twice before a missing leg is believed: a position and its fill do not always appear together."""
        held = Held(view.spot_base, view.perp_base)
        truth = await reconcile(self._tools, pair.spot, pair.perp, held)
        if truth.halting:
            await self._tools.clock.sleep_s(self._tools.settings.poll_s)
            truth = await reconcile(self._tools, pair.spot, pair.perp, held)
        self._note_differences(truth.differences)
        return truth

    def _note_differences(self, found: tuple[Difference, ...]) -> None:
        self.report = replace(self.report, differences=(*self.report.differences, *found))
        for difference in found:
            if difference.kind in (DifferenceKind.ORDER_RESTING, DifferenceKind.LATE_ORDER) or difference.halts:
                facts = {"kind": difference.kind.value, "note": difference.note}
                self._room.tell("carry.difference", facts, Severity.ALERT)

    def risk_book(self, stop: Stop, spec_id: str) -> RiskBook:
        """What the guards need, from this cycle's account."""
        account, live, view = self.report.account, self._room.store.live, self.report.performance
        memory = self._room.counters.memory
        equity = self._known_equity()
        held = float(abs(view.perp_base) * account.mark_price) if view and account else 0.0
        open_loss = float(-view.profit_quote) if view else 0.0
        leverage = live.parameters.leverage if live else 1
        return RiskBook(
            now_ms=self._tools.clock.now_ms(),
            equity_quote=equity,
            committed_quote=held * (1 + 1 / leverage),
            pending_quote=pending_quote(
                self._tools.intents.unresolved(),
                prices={self.report.symbol: float(account.mark_price)} if account else {},
                unknown_quote=equity,
            ),
            position_quote=held,
            open_positions=int(live is not None),
            strategy_loss_quote=max(0.0, open_loss - memory.strategy_quote.get(spec_id, 0.0)),
            strategy_capital_quote=float(live.capital_quote)
            if live
            else equity * self._room.limits.first_live_pct / 100,
            free_spot_quote=float(account.spot_quote) if account else 0.0,
            free_futures_quote=float(account.futures_quote) if account else 0.0,
            moves_collateral=self._tools.collateral.between_wallets,
            memory=memory,
            stop=stop,
        )

    def _risk(self, stop: Stop) -> Decision | None:
        """Mark equity, halt what has crossed its line; the strongest standing halt that closes what is held, or None.

        Money that the books cannot explain raises no peak: equity is marked without it. Missing money counts as lost.
        """
        live, now_ms = self._room.store.live, self._tools.clock.now_ms()
        self._room.counters.mark(self._known_equity(), now_ms, venue_ms=self._room.pulse.venue_now_ms())
        self._break_circuits(now_ms)
        book = self.risk_book(stop, live.spec_id if live else "")
        checks = halting(book, self._room.limits)
        held = held_risk(book, self._room.limits, leverage=live.parameters.leverage) if live else ()
        self.report = replace(self.report, checks=(*checks, *held))
        self._tell_too_large(held)
        for check in checks:
            if check.allowed:
                self._room.counters.recovered(check.reason)
            elif self._halt_entries(check) and live is not None and check.reason is Reason.STRATEGY_DRAWDOWN:
                facts = {"id": live.spec_id, "value": check.value, "limit": check.limit}
                self._room.tell("strategy.stopped_for_good", facts, Severity.ALERT)
        self._watch(checks)
        standing = {halt.reason: halt.decision for halt in self._room.counters.memory.halts}
        return next((standing[reason] for reason in FLAT_REASONS if reason in standing), None)

    def _known_equity(self) -> float:
        """Equity without what the books cannot explain, quote."""
        return float(self.report.equity_quote or 0) - max(0.0, self._room.counters.memory.unexplained_quote)

    def _tell_too_large(self, held: tuple[Decision, ...]) -> None:
        """The book has outgrown a limit that it fitted when it was opened: a human is told until it fits again."""
        crossed = [check for check in held if not check.allowed]
        for check in crossed:
            facts = {"reason": check.reason.value, "value": check.value, "limit": check.limit, "note": check.note}
            self._room.tell("risk.book_too_large", facts, Severity.ALERT)
        if self._room.too_large and not crossed:
            self._room.tell("risk.book_fits", {"note": "what is held is within its limits again"}, Severity.NOTICE)
        self._room.too_large[:] = [check.reason for check in crossed]

    async def _compare_clocks(self) -> None:
        """Ask for the exchange's time where it is not known, or our clock was set since: a day begins on both."""
        if not self._room.pulse.knows_clock(self._room.limits.max_clock_drift_s):
            await self._tools.venue.time_ms()

    def _break_circuits(self, now_ms: int) -> None:
        """Open and close the breakers by the readings of now, and tell of both."""
        limits = self._room.limits
        bad = [reading for reading in readings(self._room.pulse.vitals, limits) if not reading.allowed]
        opened, closed = self._room.counters.trip(bad, now_ms, rest_s=limits.breaker_rest_s)
        for name, halts in (("risk.breaker_opened", opened), ("risk.breaker_closed", closed)):
            for halt in halts:
                facts = {"reason": halt.reason.value, "value": halt.value, "limit": halt.limit, "note": halt.note}
                self._room.tell(name, facts, Severity.NOTICE)

    def _watch(self, checks: tuple[Decision, ...]) -> None:
        """Tell once of a strategy whose loss has reached the line below its end."""
        live, limit = self._room.store.live, self._room.limits.strategy_watch_pct / 100
        loss = next((check.value for check in checks if check.reason is Reason.STRATEGY_DRAWDOWN), 0.0)
        if live is not None and loss >= limit and self._room.counters.watch(live.spec_id):
            facts = {"id": live.spec_id, "value": loss, "limit": limit}
            self._room.tell("risk.strategy_watch", facts, Severity.NOTICE)


def _is_same(error: float, released: float, tolerance: float) -> bool:
    """Is it the difference a human released: to the tolerance, or to a hundredth where coins change their price."""
    return abs(error - released) <= max(tolerance, abs(released) / 100)
