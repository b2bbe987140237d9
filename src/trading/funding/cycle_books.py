"""The bookkeeping stages of a cycle: the venue's records, the identity, reconciliation, and what risk makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from trading.domain.decisions import Decision, Reason
from trading.domain.events import Severity
from trading.domain.orders import IncomeKind
from trading.execution.reconcile import Difference, DifferenceKind, Held, Reconciliation, late_orders, reconcile
from trading.funding.books import Performance, VenueAccount, income_key
from trading.funding.cycle_base import CycleBase
from trading.funding.ledger import OVERLAP_MS, Checked, Pair, adopt_forced, check_identity, read_accounts
from trading.funding.position import CarryPosition, ClosedPosition
from trading.funding.settlements import GRACE_MS, awaited_quote
from trading.journal.audit import CycleStatus


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The venue has something otherwise than the books."""

    symbol: str
    decision: Decision
    is_own: bool
    """It is about what is held in this symbol; False: about the account as a whole."""


class CycleBooks(CycleBase):
    """Stages that read and judge; nothing here sends an order but the cancelling of what should not rest."""

    async def _books(self, pairs: Mapping[str, Pair]) -> tuple[Mismatch, ...]:
        """The books of the account and of each symbol against the venue; what does not fit."""
        store, tolerance = self._room.store, Decimal(str(self._room.carry.identity_tolerance_usdt))
        for symbol in pairs:
            self._note_differences(symbol, await late_orders(self._tools, symbol))
        if not store.lives:
            await self._books_flat(pairs)
            return await self._held_against(pairs)
        await self._book_late()
        held = [(pairs[live.symbol], live) for live in store.lives]
        checked = await check_identity(self._tools, held, store.cash, tolerance_quote=tolerance)
        for booking in checked.bookings.values():
            store.save(booking.position)
            self._note_booked(booking)
            if booking.funding_quote:
                facts = {"position": booking.position.id, "funding_quote": float(booking.funding_quote)}
                self._room.tell("carry.funding_booked", facts, Severity.INFO)
        self.report = replace(self.report, identity=checked.identity)
        self._value(pairs, {**checked.accounts, **await self._dusty(pairs)})
        mismatches = await self._held_against(pairs)
        if not mismatches:
            await self._hold_identity(checked, tolerance)
        return mismatches

    async def _dusty(self, pairs: Mapping[str, Pair]) -> dict[str, VenueAccount]:
        """The account as the symbols see it in which nothing is held, but coins of closed positions are left."""
        store = self._room.store
        left = [pair for symbol, pair in pairs.items() if store.live_of(symbol) is None and store.dust_base(symbol)]
        return await read_accounts(self._tools, left) if left else {}

    async def _held_against(self, pairs: Mapping[str, Pair]) -> tuple[Mismatch, ...]:
        """Reconcile every symbol; an order with our prefix that nobody knows is about the account as a whole."""
        found = []
        for symbol, pair in pairs.items():
            position, view = self._room.store.live_of(symbol), self._view_of(symbol)
            held = Held(view.spot_base, view.perp_base) if view is not None else Held(Decimal(0), Decimal(0))
            truth = await self._reconcile(pair, held)
            if position is None or view is None:
                halting = [one for one in truth.halting if one.kind is DifferenceKind.ORDER_ORPHAN]
            else:
                halting = list(truth.halting)
            if position is not None and any(one.kind is DifferenceKind.PERP_MISSING for one in halting):
                self._room.store.save(adopt_forced(position))
            if halting:
                worst = halting[0]
                numbers = float(worst.ours), float(worst.venue)
                if position is None:
                    numbers = 1.0, 0.0
                verdict = Decision(False, Reason.RECONCILE_MISMATCH, *numbers, worst.note)
                found.append(Mismatch(symbol, verdict, worst.kind is not DifferenceKind.ORDER_ORPHAN))
        return tuple(found)

    async def _hold_identity(self, checked: Checked, tolerance: Decimal) -> None:
        """Books that disagree halt entries, not the care for what is held; a halt for it ends when they agree again."""
        counters, held = self._room.counters, checked.identity
        error = held.error_quote
        released = counters.memory.adopt_quote
        if released is not None and _is_same(float(error), released, float(tolerance)):
            counters.unexplained(float(held.error_cash))
            self._room.store.rebase(held)
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
        books = f"expected {held.expected_quote:,.4f}, the venue says {held.venue_quote:,.4f}"
        note = f"unexplained flow of {error:+.2f}: no fill, fee, funding or transfer; {books}"
        verdict = Decision(False, Reason.EQUITY_IDENTITY, float(error), float(tolerance), note)
        awaited = await self._awaited(checked)
        slack = max(tolerance, abs(awaited) * Decimal(str(self._room.carry.funding_tolerance_pct)) / 100)
        if awaited and abs(error - awaited) <= slack and not counters.memory.unexplained_quote:
            wait = f"{books}; the venue's record of a settlement of {awaited:.8f} is awaited"
            self._doubt = (CycleStatus.DEGRADED, replace(verdict, note=wait))
            return
        self._halt_entries(verdict)
        counters.restate(verdict)
        counters.unexplained(float(held.error_cash))
        self._doubt = (CycleStatus.HALTED, verdict)

    async def _awaited(self, checked: Checked) -> Decimal:
        """Funding that the venue has paid and not recorded yet, quote."""
        total, now_ms = Decimal(0), self._tools.clock.now_ms()
        for live in self._room.store.lives:
            settled = await self._tools.venue.funding_history(live.symbol, start_ms=now_ms - 2 * GRACE_MS, limit=1000)
            mark = checked.accounts[live.symbol].mark_price
            total += awaited_quote(live, settled, mark=mark, now_ms=now_ms)
        return total

    def _adopt(self, moved_quote: float) -> None:
        self._room.counters.adopt(moved_quote)
        facts = {"quote": moved_quote, "note": "a human released it: booked as capital and not as profit"}
        self._room.tell("carry.money_moved", facts, Severity.NOTICE)

    def _halt_entries(self, verdict: Decision, *, subject: str = "") -> bool:
        """Halt until a human releases, and tell it; False: that halt stands already."""
        counters = self._room.counters
        if not counters.halt(verdict, self._tools.clock.now_ms(), subject=subject):
            return False
        self._room.tell("risk.halted", counters.memory.halts[-1].facts, Severity.ALERT)
        return True

    async def _books_flat(self, pairs: Mapping[str, Pair]) -> None:
        accounts = await read_accounts(self._tools, list(pairs.values()))
        account = next(iter(accounts.values()))
        released = self._room.counters.memory.adopt_quote
        if released is not None:
            self._adopt(released)
        await self._note_flow(account.spot_quote + account.futures_quote)
        self._value(pairs, accounts)

    async def _note_flow(self, cash: Decimal) -> None:
        """Cash that changed while flat: funding recorded late is earned, anything else was put in or taken out."""
        counters = self._room.counters
        moved = counters.moved(float(cash))
        late = await self._late_funding(self._room.store.closed) if moved else Decimal(0)
        is_earned = bool(late) and abs(moved - float(late)) <= self._room.carry.identity_tolerance_usdt
        counters.flat(float(cash), is_earned=is_earned)
        if is_earned:
            self._tell_late(moved)
        elif moved:
            note = "unexplained flow, booked as capital and not as profit: no order of ours, no record of funding"
            self._room.tell("carry.money_moved", {"quote": moved, "note": note}, Severity.NOTICE)

    async def _book_late(self) -> None:
        """Funding that the venue recorded only after its position was closed beside others; it is earned."""
        since_ms = self._tools.clock.now_ms() - OVERLAP_MS
        recent = [one for one in self._room.store.closed if one.closed_ms >= since_ms]
        late = await self._late_funding([one for one in recent if self._room.store.live_of(one.symbol) is None])
        if late:
            self._tell_late(float(late))

    def _tell_late(self, quote: float) -> None:
        note = "recorded after the position was closed: in the equity, not in its profit"
        self._room.tell("carry.funding_late", {"quote": quote, "note": note}, Severity.NOTICE)

    async def _late_funding(self, closed: Sequence[ClosedPosition]) -> Decimal:
        """Funding of each symbol's last closed position that the books did not have, quote; now they do."""
        total = Decimal(0)
        for last in {one.symbol: one for one in closed}.values():
            if last.settled is None:
                continue
            start_ms = max(last.opened_ms, last.closed_ms - OVERLAP_MS)
            records = await self._tools.venue.income(last.symbol, start_ms=start_ms)
            paid = [
                record
                for record in records
                if record.kind is IncomeKind.FUNDING_FEE and income_key(record) not in last.known_ids
            ]
            if paid:
                self._room.store.note_late(last.id, paid)
                total += sum((record.amount_quote for record in paid), Decimal(0))
        return total

    async def _reconcile(self, pair: Pair, held: Held) -> Reconciliation:
        """Twice before a missing leg is believed: a position and its fill do not always appear together."""
        truth = await reconcile(self._tools, pair.spot, pair.perp, held)
        if truth.halting and self._room.store.live_of(pair.symbol) is not None:
            await self._tools.clock.sleep_s(self._tools.settings.poll_s)
            truth = await reconcile(self._tools, pair.spot, pair.perp, held)
        self._note_differences(pair.symbol, truth.differences)
        return truth

    def _note_differences(self, symbol: str, found: tuple[Difference, ...]) -> None:
        for difference in found:
            facts = {"kind": difference.kind.value, "symbol": symbol, "note": difference.note}
            if self._is_told_by_its_halt(difference):
                self._room.tell("carry.difference", facts, Severity.INFO)
            elif difference.kind in (DifferenceKind.ORDER_RESTING, DifferenceKind.LATE_ORDER) or difference.halts:
                self._room.tell("carry.difference", facts, Severity.ALERT)
            self.report = replace(self.report, differences=(*self.report.differences, difference))

    def _is_told_by_its_halt(self, difference: Difference) -> bool:
        """It is the first that halts, and nothing is halted for it yet: the alert of that halt has its words."""
        halted = any(halt.reason is Reason.RECONCILE_MISMATCH for halt in self._room.counters.memory.halts)
        return difference.halts and not halted and not any(one.halts for one in self.report.differences)

    def _view_of(self, symbol: str) -> Performance | None:
        """Of what is held in a symbol, at the prices this cycle read; None: nothing is held, or it was not read."""
        position = self._room.store.live_of(symbol)
        found = self.report.symbols.get(symbol)
        return found.performance if position is not None and found is not None else None

    def _held_quote(self, position: CarryPosition) -> float:
        """Notional of one leg."""
        found, view = self.report.symbols.get(position.symbol), self._view_of(position.symbol)
        return float(abs(view.perp_base) * found.account.mark_price) if view and found and found.account else 0.0


def _is_same(error: float, released: float, tolerance: float) -> bool:
    """Is it the difference a human released: to the tolerance, or to a hundredth where coins change their price."""
    return abs(error - released) <= max(tolerance, abs(released) / 100)
