"""What the guards remember: today's trades, losses, the equity peak, streaks, cool-downs and halts.

Kept in `state/risk_counters.json`, written atomically at every change, so a restart forgets nothing. A clock set back
never reopens a day, one set ahead opens none before the exchange's clock does, and a cool-down that would start in the
future starts now. A halt stays until a human releases it;
a released drawdown halt may come again only after equity has recovered above its line. One halt ends by itself: books
that disagreed and agree again. Released while they still disagree, their difference is adopted as the human's money.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from trading.domain.clock import as_datetime
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import StateFileError
from trading.risk.memory import Halt, Memory
from trading.storage.checked import read_checked
from trading.storage.files import write_json

SCHEMA = 1
KEEP_CLOSED = 50
"""Ids of closed positions that are remembered; more than can be live at a time."""


_MEMORY = TypeAdapter(Memory)


class RiskCounters:
    """The counters with their file.

    Raises:
        StateFileError: the file cannot be read and has been set aside, now or at an earlier start; the lab must not
            trade on fresh counters until a human has looked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        mend = "restore it from a backup: without it the day's losses are not known"
        stored = read_checked(path, _MEMORY, schema=SCHEMA, needs=("halts", "peak_quote"), mend=mend)
        if stored is None and any(path.parent.glob(f"{path.name}.bad-*")):
            raise StateFileError(
                f"{path}: was set aside as broken, with it the halts and the day's losses; restore it from a backup, "
                f"or remove {path.name}.bad-* to begin anew"
            )
        self._memory = Memory() if stored is None else stored

    @property
    def memory(self) -> Memory:
        """The counters now."""
        return self._memory

    def mark(self, equity_quote: float, now_ms: int, *, venue_ms: int | None = None) -> Memory:
        """Take note of marked equity: rolls the day and the week, moves the peak.

        Args:
            equity_quote: Of all wallets, marked.
            now_ms: Lab time, UTC milliseconds.
            venue_ms: The exchange's time now; a day begins when both clocks say so. None: not known.
        """
        moment = as_datetime(now_ms if venue_ms is None else min(now_ms, venue_ms))
        day, year_week = moment.strftime("%Y-%m-%d"), "{}-W{:02d}".format(*moment.isocalendar()[:2])
        old, new = self._memory, replace(self._memory, equity_quote=equity_quote)
        if day > old.day:
            new = replace(new, day=day, trades_today=0, day_start_quote=old.equity_quote or equity_quote)
        if year_week > old.week:
            new = replace(new, week=year_week, week_start_quote=old.equity_quote or equity_quote)
        return self._keep(
            replace(
                new,
                peak_quote=max(old.peak_quote, equity_quote),
                last_fill_ms=min(old.last_fill_ms, now_ms),
                last_loss_ms=min(old.last_loss_ms, now_ms),
                tripped=tuple(replace(halt, at_ms=min(halt.at_ms, now_ms)) for halt in old.tripped),
            )
        )

    def trip(self, bad: Iterable[Decision], now_ms: int, *, rest_s: float) -> tuple[tuple[Halt, ...], tuple[Halt, ...]]:
        """Take note of the breakers' bad readings; forget those that have rested.

        Returns:
            Breakers opened now, and breakers closed now.
        """
        before = {halt.reason: halt for halt in self._memory.tripped}
        fresh = {d.reason: Halt(d.reason, now_ms, d.value, d.limit, d.note) for d in bad}
        rested = {reason for reason, halt in before.items() if now_ms - halt.at_ms >= rest_s * 1000} - fresh.keys()
        after = {reason: halt for reason, halt in (before | fresh).items() if reason not in rested}
        self._keep(replace(self._memory, tripped=tuple(after.values())))
        opened = tuple(halt for reason, halt in fresh.items() if reason not in before)
        return opened, tuple(before[reason] for reason in sorted(rested))

    def shift(self, external_quote: float, *, cash_quote: float | None = None) -> Memory:
        """Money put in (positive) or taken out by the human is neither profit nor loss.

        Args:
            external_quote: What the account is worth more.
            cash_quote: The part of it that is cash, where the rest is coins; None: all of it.
        """
        old = self._memory
        flow = external_quote if cash_quote is None else cash_quote
        return self._keep(
            replace(
                old,
                day_start_quote=old.day_start_quote + external_quote,
                week_start_quote=old.week_start_quote + external_quote,
                peak_quote=old.peak_quote + external_quote,
                equity_quote=old.equity_quote + external_quote,
                flows_quote=old.flows_quote + flow,
            )
        )

    def adopt(self, external_quote: float) -> Memory:
        """Take the released difference of the books for money moved by the human; equity was marked at its lower."""
        self.shift(external_quote, cash_quote=self._memory.unexplained_cash_quote)
        marked = self._memory.equity_quote - min(0.0, external_quote)
        return self._keep(replace(self._memory, equity_quote=marked, adopt_quote=None, unexplained_cash_quote=0.0))

    def unexplained(self, cash_quote: float) -> None:
        """Take note of cash that the books cannot explain; 0: they can."""
        self._keep(replace(self._memory, unexplained_cash_quote=cash_quote))

    def forget_release(self) -> None:
        """What a human released is not what is there now: nothing is adopted."""
        self._keep(replace(self._memory, adopt_quote=None))

    def moved(self, cash_quote: float) -> float:
        """What changed since the account was last seen flat, quote; 0 below a cent."""
        seen = self._memory.flat_cash_quote
        moved = 0.0 if seen is None else cash_quote - seen
        return 0.0 if abs(moved) < 0.01 else moved

    def flat(self, cash_quote: float, *, is_earned: bool = False) -> float:
        """Cash seen while flat: what changed since the last time was moved by the human; returned, quote.

        Args:
            cash_quote: Of both wallets.
            is_earned: The venue's own records explain the change: it is profit or loss.
        """
        moved = 0.0 if is_earned else self.moved(cash_quote)
        if moved:
            self.shift(moved)
        self._keep(replace(self._memory, flat_cash_quote=cash_quote))
        return moved

    def opened(self, now_ms: int) -> Memory:
        """A position was opened."""
        old = self._memory
        return self._keep(replace(old, trades_today=old.trades_today + 1, last_fill_ms=now_ms, flat_cash_quote=None))

    def closed(self, position_id: str, spec_id: str, profit_quote: float, now_ms: int) -> Memory:
        """A position was closed with this profit after all costs and funding; counted once, however often told."""
        old, lost = self._memory, profit_quote < 0
        if position_id in old.closed_ids:
            return old
        profits = {**old.strategy_quote, spec_id: old.strategy_quote.get(spec_id, 0.0) + profit_quote}
        return self._keep(
            replace(
                old,
                trades_today=old.trades_today + 1,
                last_fill_ms=now_ms,
                last_loss_ms=now_ms if lost else old.last_loss_ms,
                losses_in_a_row=old.losses_in_a_row + 1 if lost else 0,
                strategy_quote=profits,
                flat_cash_quote=None,
                closed_ids=(*old.closed_ids, position_id)[-KEEP_CLOSED:],
            )
        )

    def watch(self, spec_id: str) -> bool:
        """A strategy's loss is worth watching; True the first time."""
        if spec_id in self._memory.watched:
            return False
        self._keep(replace(self._memory, watched=(*self._memory.watched, spec_id)))
        return True

    def halt(self, decision: Decision, now_ms: int, *, subject: str = "") -> bool:
        """Halt for the decision's reason; False when that halt already stands or its release still holds.

        Args:
            decision: Reason, numbers and note.
            now_ms: Lab time.
            subject: The spec id it is about; empty: the account.
        """
        old = self._memory
        stands = any(halt.reason is decision.reason and halt.subject == subject for halt in old.halts)
        if decision.reason in old.released or stands:
            return False
        halt = Halt(decision.reason, now_ms, decision.value, decision.limit, decision.note, subject)
        self._keep(replace(old, halts=(*old.halts, halt)))
        return True

    def restate(self, decision: Decision) -> None:
        """Give the standing halt of the decision's reason its newest numbers."""
        newest = tuple(
            replace(halt, value=decision.value, limit=decision.limit, note=decision.note)
            if halt.reason is decision.reason
            else halt
            for halt in self._memory.halts
        )
        self._keep(replace(self._memory, halts=newest))

    def lift(self, reason: Reason) -> Halt | None:
        """What a halt was for has ended by itself; the halt that stood, None if none did."""
        lifted = next((halt for halt in self._memory.halts if halt.reason is reason), None)
        if lifted is not None:
            self._keep(replace(self._memory, halts=tuple(h for h in self._memory.halts if h is not lifted)))
        return lifted

    def recovered(self, reason: Reason) -> None:
        """The line is no longer crossed: a released halt may come again."""
        if reason in self._memory.released:
            kept = tuple(name for name in self._memory.released if name != reason)
            self._keep(replace(self._memory, released=kept))

    def release(self) -> tuple[Halt, ...]:
        """A human releases every halt; the streak of losses starts anew. The halts that stood."""
        old = self._memory
        ladder = (Reason.DRAWDOWN_REVIEW, Reason.DRAWDOWN_STOP, Reason.DRAWDOWN_EXIT)
        released = {*old.released, *(halt.reason.value for halt in old.halts if halt.reason in ladder)}
        adopt = old.unexplained_quote or old.adopt_quote
        new = replace(old, halts=(), losses_in_a_row=0, released=tuple(sorted(released)), adopt_quote=adopt)
        self._keep(new)
        return old.halts

    def _keep(self, memory: Memory) -> Memory:
        if memory != self._memory:
            write_json(self._path, _MEMORY.dump_python(memory, mode="json"), schema=SCHEMA)
            self._memory = memory
        return memory
