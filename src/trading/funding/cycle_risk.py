"""The stage of a cycle that asks the guards: equity is marked, lines are held against it, and what is crossed halts."""

from __future__ import annotations

from dataclasses import replace

from trading.domain.decisions import Decision, Reason
from trading.domain.events import Severity
from trading.funding.cycle_books import CycleBooks
from trading.funding.exposure import pending_quote
from trading.risk.breakers import readings
from trading.risk.guards import RiskBook, halting, held_risk, held_size, strategy_stop
from trading.risk.kill_switch import Stop


class CycleRisk(CycleBooks):
    """Nothing here sends an order."""

    def risk_book(self, stop: Stop, spec_id: str) -> RiskBook:
        """What the guards need of the account, as one strategy sees it."""
        lives, memory, equity = self._room.store.lives, self._room.counters.memory, self._known_equity()
        own = [live for live in lives if live.spec_id == spec_id]
        views = [view for live in own if (view := self._view_of(live.symbol)) is not None]
        open_loss = sum(float(-view.profit_quote) for view in views)
        capital = sum(float(live.capital_quote) for live in own)
        accounts = {name: one.account for name, one in self.report.symbols.items() if one.account is not None}
        account = next(iter(accounts.values()), None)
        return RiskBook(
            now_ms=self._tools.clock.now_ms(),
            equity_quote=equity,
            committed_quote=sum(self._held_quote(live) * (1 + 1 / live.parameters.leverage) for live in lives),
            held_leverage=max((live.parameters.leverage for live in lives), default=None),
            pending_quote=pending_quote(
                self._tools.intents.unresolved(),
                prices={name: float(one.mark_price) for name, one in accounts.items()},
                unknown_quote=equity,
            ),
            position_quote=sum(map(self._held_quote, own)),
            open_positions=len(lives),
            strategy_loss_quote=max(0.0, open_loss - memory.strategy_quote.get(spec_id, 0.0)),
            strategy_capital_quote=capital if own else equity * self._room.limits.first_live_pct / 100,
            free_spot_quote=float(account.spot_quote) if account else 0.0,
            free_futures_quote=float(account.futures_quote) if account else 0.0,
            moves_collateral=self._tools.collateral.between_wallets,
            memory=memory,
            stop=stop,
        )

    def _risk(self, stop: Stop) -> tuple[Decision | None, dict[str, Decision]]:
        """Mark equity, halt what has crossed its line; the standing halt that closes all that is held (None: none
        does), and those that close one strategy's, by symbol.

        Money that the books cannot explain raises no peak: equity is marked without it. Missing money counts as lost.
        """
        lives, now_ms = self._room.store.lives, self._tools.clock.now_ms()
        self._room.counters.mark(self._known_equity(), now_ms, venue_ms=self._room.pulse.venue_now_ms())
        self._break_circuits(now_ms)
        ids = list(dict.fromkeys(live.spec_id for live in lives)) or [""]
        book = self.risk_book(stop, ids[0])
        stops = {spec_id: strategy_stop(self.risk_book(stop, spec_id), self._room.limits) for spec_id in ids[1:]}
        checks = halting(book, self._room.limits)
        held = held_risk(book, self._room.limits, leverage=book.held_leverage or 1) if lives else ()
        size = held_size(book, self._room.limits, leverage=book.held_leverage or 1) if lives else ()
        self.report = replace(self.report, checks=(*checks, *stops.values(), *held, *size))
        self._tell_too_large(held)
        for check in checks:
            self._mark_line(check, ids[0] if check.reason is Reason.STRATEGY_DRAWDOWN else "")
        for spec_id, check in stops.items():
            self._mark_line(check, spec_id)
        halts = self._room.counters.memory.halts
        everything = next((halt.decision for halt in halts if halt.reason is Reason.DRAWDOWN_EXIT), None)
        lost = [halt for halt in halts if halt.reason is Reason.STRATEGY_DRAWDOWN]
        return everything, {
            live.symbol: halt.decision for live in lives for halt in lost if halt.subject in ("", live.spec_id)
        }

    def _mark_line(self, check: Decision, spec_id: str) -> None:
        """A line of the ladder, crossed or not; of one strategy, or of the account."""
        if check.allowed:
            self._room.counters.recovered(check.reason)
        elif self._halt_entries(check, subject=spec_id) and spec_id:
            facts = {"id": spec_id, "value": check.value, "limit": check.limit}
            self._room.tell("strategy.stopped_for_good", facts, Severity.NOTICE)
        self._watch(check, spec_id)

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
        if opened:
            facts = {**opened[0].facts, "others": [halt.facts for halt in opened[1:]]}
            self._room.tell("risk.breaker_opened", facts, Severity.NOTICE)
        for halt in closed:  # while another one is open nothing is over for who reads
            is_last = halt is closed[-1] and not self._room.counters.memory.tripped
            self._room.tell("risk.breaker_closed", halt.facts, Severity.NOTICE if is_last else Severity.INFO)

    def _watch(self, check: Decision, spec_id: str) -> None:
        """Tell once of a strategy whose loss has reached the line below its end."""
        limit = self._room.limits.strategy_watch_pct / 100
        if spec_id and check.value >= limit and self._room.counters.watch(spec_id):
            facts = {"id": spec_id, "value": check.value, "limit": limit}
            self._room.tell("risk.strategy_watch", facts, Severity.NOTICE)
