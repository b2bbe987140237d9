"""Specs in `dry_run`, traded on paper on the closed bars of the live market, with the simulator's own step.

Each strategy has an account of its own. After every bar the account is on disk before anyone hears of the bar, so a
restart at any line goes on with the next bar as if nothing had happened. Equity that does not add up parks the account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ai_brain.evidence.filing import load_evidence
from ai_brain.paper.account import LearnedTerms, PaperAccount, load_account, save_account
from ai_brain.paper.book import Book, BookStep
from ai_brain.paper.books import open_book, terms_sha256
from ai_brain.paper.market_view import MarketView, PaperTapes, fresh_bars, history_from_ms, lacks_spot, tapes_of
from ai_brain.paper.outcome import PaperOutcome, PaperPosition, PaperStatus, position_of
from ai_brain.paper.performance import PaperPerformance
from ai_brain.paper.review import ReviewDecision, ReviewReason, decide_review
from ai_brain.paper.settings import PaperSettings
from trading.domain.clock import Clock, iso
from trading.domain.errors import DataProviderError, StateFileError
from trading.domain.events import Event, Publish, Severity
from trading.domain.market import INTERVAL_MS
from trading.market.tape import Tape
from trading.simulator.carry_weights import CarryWeights
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import StrategySpec, spec_sha256, with_performance

IDENTITY_TOLERANCE = 1e-9
"""Of equity: what cash and position may differ from it by rounding."""
GAP_PATIENCE_MS = 6 * 3_600_000
"""How long missing bars are waited for; after that the venue had none, and the hole is taken as a gap."""


class PaperEngine:
    """Steps every paper account to the newest closed bar.

    Args:
        home: Where the accounts lie.
        repository: Where specs are read from, and their `performance.dry_run` written to.
        settings: What an account is.
        clock: Lab time; an account counts bars that close after it was opened.
        publish: Where events go.
        weights: How a carry decides.
        learned: What own fills have taught of a spec's markets; an account that begins takes it and keeps it.
    """

    def __init__(
        self,
        home: Home,
        repository: StrategyRepository,
        settings: PaperSettings,
        *,
        clock: Clock,
        publish: Publish,
        weights: CarryWeights,
        learned: Callable[[StrategySpec], LearnedTerms | None] = lambda _: None,
    ) -> None:
        self._home = home
        self._repository = repository
        self._settings = settings
        self._clock = clock
        self._publish = publish
        self._weights = weights
        self._learned = learned
        self._accounts: dict[str, PaperAccount] = {}
        self._books: dict[str, Book] = {}
        self._marked: dict[str, PaperPosition] = {}
        self._told: dict[str, str] = {}

    def on_closed_bar(self, view: MarketView) -> list[PaperOutcome]:
        """Step every spec in `dry_run` over the bars it has not seen. CPU work: call it in a worker thread.

        Raises:
            StateFileError: an account could not be written; its bar was not counted and will be stepped again.
        """
        outcomes = []
        specs = sorted(self._repository.by_stage(Stage.DRY_RUN), key=lambda spec: spec.id)
        self._forget({spec.id for spec in specs})
        # Every account is open before the first one steps: positions of all count against the limit.
        broken = {spec.id: why for spec in specs if (why := self._open(spec, view)) is not None}
        for spec in specs:
            outcome = self._advance(spec, view) if spec.id not in broken else broken[spec.id]
            self._mark(spec.id)
            outcomes.append(outcome)
            self._tell_change(outcome)
        return outcomes

    def performance(self, spec_id: str) -> PaperPerformance | None:
        """What an account has shown; None: there is none, or its file lies aside because it cannot be read."""
        account = self._readable(spec_id)
        return None if account is None else account.performance()

    def ready_for_review(self, spec: StrategySpec) -> ReviewDecision:
        """Whether a human should be asked about a spec now: enough trades and hours, and a result as predicted."""
        try:
            account = self._accounts.get(spec.id) or load_account(self._home, spec.id)
        except StateFileError as error:
            return ReviewDecision(False, ReviewReason.PAPER_PARKED, 1.0, 0.0, f"Parked: {error}.")
        if account is None:
            return ReviewDecision(False, ReviewReason.NO_PAPER_ACCOUNT, 0.0, 1.0, "Not traded on paper yet.")
        if account.parked:
            return ReviewDecision(False, ReviewReason.PAPER_PARKED, 1.0, 0.0, f"Parked: {account.parked}.")
        evidence = load_evidence(self._home, spec.id)
        return decide_review(account.performance(), evidence, spec_sha256=spec_sha256(spec), settings=self._settings)

    def positions(self) -> list[PaperPosition]:
        """Every account in `dry_run` since the first call, by id, each as it was after its last whole bar."""
        return [position for _, position in sorted(dict(self._marked).items())]

    def curve(self, spec_id: str) -> list[tuple[int, float]]:
        """(close time ms, equity quote) of an account, oldest first; empty when there is none that can be read."""
        account = self._readable(spec_id)
        return [] if account is None else list(account.curve)

    def _readable(self, spec_id: str) -> PaperAccount | None:
        """An account for who only tells of it: one broken file must not silence the report of all others."""
        try:
            return self._accounts.get(spec_id) or load_account(self._home, spec_id)
        except StateFileError:
            return None

    def _open(self, spec: StrategySpec, view: MarketView) -> PaperOutcome | None:
        """Have a spec's account and book in memory; an outcome when its file is broken, for it must not begin anew."""
        if spec.id in self._accounts:
            return None
        try:
            rules, account = view.rules(spec), load_account(self._home, spec.id)
            learned = self._learned(spec) if account is None else None
        except StateFileError as error:
            return PaperOutcome(spec.id, PaperStatus.PARKED, 0, str(error))
        except DataProviderError as error:
            return PaperOutcome(spec.id, PaperStatus.BLOCKED, 0, str(error))
        if account is None:
            terms = terms_sha256(spec, self._settings, rules, self._weights, learned)
            account = self._new_account(spec, terms, learned)
            save_account(self._home, account)
        self._accounts[spec.id] = account
        if not account.parked and account.spec_sha256 != spec_sha256(spec):
            self._park(account, "its parameters changed while it was on paper")
        if not account.parked:
            self._books[spec.id] = open_book(spec, account, self._settings, rules, self._weights)
        return None

    def _advance(self, spec: StrategySpec, view: MarketView) -> PaperOutcome:
        account = self._accounts[spec.id]
        if not account.parked and account.spec_sha256 != spec_sha256(spec):
            self._park(account, "its parameters changed while it was on paper")
            self._books.pop(spec.id, None)
        if account.parked:
            return PaperOutcome(spec.id, PaperStatus.PARKED, 0, account.parked)
        tapes = tapes_of(view, spec, start_ms=history_from_ms(spec, account))
        if isinstance(tapes, str):
            return PaperOutcome(spec.id, PaperStatus.BLOCKED, 0, tapes)
        try:
            return self._step_all(spec, account, tapes)
        except StateFileError:
            # Memory is ahead of the disk now; the next call starts from the disk and steps the bar again.
            self._forget(set(self._accounts) - {spec.id})
            raise

    def _step_all(self, spec: StrategySpec, account: PaperAccount, tapes: PaperTapes) -> PaperOutcome:
        fresh = fresh_bars(account, tapes)
        if not fresh:
            return PaperOutcome(spec.id, PaperStatus.NO_NEW_BAR, 0, "")
        book = self._books[spec.id]
        if account.last_bar_ms is None:
            account.begin([int(ms) for ms in tapes.main.open_time_ms if ms <= fresh[0]])
            if fresh[0] > tapes.main.start_ms:
                book.warm_up(tapes.until(fresh[0]))
        for done, bar_ms in enumerate(fresh):
            if (why := self._hole_before(account, bar_ms) or self._spot_awaited(tapes.main, bar_ms)) is not None:
                return PaperOutcome(spec.id, PaperStatus.BLOCKED, done, why)
            step = book.step(tapes.until(bar_ms + tapes.main.interval_ms), may_open=self._may_open(spec.id))
            if lacks_spot(tapes.main, bar_ms):
                account.no_spot_ms.append(bar_ms)
            self._note(account, book, step, bar_ms)
            if account.parked:
                return PaperOutcome(spec.id, PaperStatus.PARKED, done + 1, account.parked)
        self._write_performance(spec, account)
        return PaperOutcome(spec.id, PaperStatus.STEPPED, len(fresh), "")

    def _write_performance(self, spec: StrategySpec, account: PaperAccount) -> None:
        """Tell the strategy's file; when someone has moved the strategy meanwhile, the next bar tells it."""
        try:
            self._repository.save(with_performance(spec, "dry_run", account.performance().to_block()))
        except StateFileError as error:
            self._tell("paper.performance_not_saved", {"strategy_id": spec.id, "reason": str(error)})

    def _note(self, account: PaperAccount, book: Book, step: BookStep, bar_ms: int) -> None:
        """Book one bar: check the identity, write the account, then tell."""
        account.mark(bar_ms, step.equity_quote)
        if step.refused_entry:
            account.dropped_ms.append(bar_ms)
        account.fees_quote, account.slippage_quote = step.fees_quote, step.slippage_quote
        account.funding_quote = step.funding_quote
        account.trades.extend(step.closed)
        self._note_results(account, step)
        account.book = book.to_json()
        off = step.identity_error_quote
        if not off <= IDENTITY_TOLERANCE * max(account.starting_quote, abs(step.equity_quote)):
            account.parked = f"equity identity off by {off!r} quote at the bar of {iso(bar_ms)}"
        save_account(self._home, account)
        self._tell_bar(account, step, bar_ms)

    def _note_results(self, account: PaperAccount, step: BookStep) -> None:
        """A rule strategy's result is a trade; a carry's is what equity did from settlement to settlement."""
        if not account.is_carry:
            account.results.extend(trade.pnl_quote / account.starting_quote for trade in step.closed)
            return
        account.settlements += step.settlements
        if step.settlements:
            account.results.append((step.equity_quote - account.settled_equity_quote) / account.starting_quote)
            account.settled_equity_quote = step.equity_quote

    def _tell_bar(self, account: PaperAccount, step: BookStep, bar_ms: int) -> None:
        common = {"strategy_id": account.spec_id, "bar_ms": bar_ms}
        if step.refused_entry:
            limit = self._settings.max_positions
            self._tell("paper.entry_refused", {**common, "reason": "MAX_POSITIONS", "value": limit, "limit": limit})
        for opened in step.opened:
            self._tell("paper.trade_opened", {**common, **opened})
        for trade in step.closed:
            self._tell("paper.trade_closed", {**common, **trade.model_dump()})
        if step.settlements:
            facts = {"settlements": step.settlements, "funding_quote": step.settled_quote}
            self._tell("paper.settlement", {**common, **facts})
        self._tell(
            "paper.equity",
            {**common, "equity_quote": step.equity_quote, "identity_error_quote": step.identity_error_quote},
        )
        if account.parked:
            self._tell("paper.parked", {**common, "reason": account.parked}, Severity.NOTICE)

    def _mark(self, spec_id: str) -> None:
        """Note one account for whoever reports: a bar is stepped in a thread, and half of it adds up to nothing."""
        if (account := self._accounts.get(spec_id)) is not None:
            self._marked[spec_id] = position_of(account, self._books.get(spec_id))

    def _may_open(self, spec_id: str) -> bool:
        held = sum(book.is_open for other, book in self._books.items() if other != spec_id)
        return held < self._settings.max_positions

    def _hole_before(self, account: PaperAccount, bar_ms: int) -> str | None:
        """Why a bar must wait for the ones before it; None: they are there, or were waited for long enough."""
        if account.last_bar_ms is None:
            return None
        expected_ms = account.last_bar_ms + INTERVAL_MS[account.interval]
        if bar_ms == expected_ms or self._clock.now_ms() - bar_ms > GAP_PATIENCE_MS:
            return None
        return f"bars from {iso(expected_ms)} on are missing; waiting for the history to be repaired"

    def _spot_awaited(self, tape: Tape, bar_ms: int) -> str | None:
        """Why a bar whose basis is read must wait for spot; None: it is there, or was waited for long enough."""
        if not lacks_spot(tape, bar_ms) or self._clock.now_ms() - bar_ms > GAP_PATIENCE_MS:
            return None
        return f"spot has no bar of {iso(bar_ms)}; waiting for the history to be repaired"

    def _new_account(self, spec: StrategySpec, terms: str, learned: LearnedTerms | None) -> PaperAccount:
        start = self._settings.starting_usdt
        return PaperAccount(
            spec_id=spec.id,
            spec_sha256=spec_sha256(spec),
            family=str(spec.type),
            interval=spec.market.timeframe,
            started_ms=self._clock.now_ms(),
            starting_quote=start,
            equity_quote=start,
            settled_equity_quote=start,
            book={},
            terms_sha256=terms,
            learned=learned,
        )

    def _park(self, account: PaperAccount, why: str) -> None:
        account.parked = why
        save_account(self._home, account)
        facts = {"strategy_id": account.spec_id, "reason": why}
        self._tell("paper.parked", facts, Severity.NOTICE)

    def _forget(self, kept: set[str]) -> None:
        """Drop what is no longer in `dry_run`; its account stays on disk, its position no longer takes a place."""
        for gone in set(self._accounts) - kept:
            self._accounts.pop(gone)
            self._books.pop(gone, None)
            self._marked.pop(gone, None)

    def _tell_change(self, outcome: PaperOutcome) -> None:
        """One event when a strategy begins to wait, and one when it goes on; not one a minute."""
        note = outcome.note if outcome.status is PaperStatus.BLOCKED else ""
        if self._told.get(outcome.spec_id, "") != note:
            self._told[outcome.spec_id] = note
            facts = {"strategy_id": outcome.spec_id, "reason": note or "data is back"}
            self._tell("paper.blocked" if note else "paper.resumed", facts)

    def _tell(self, name: str, facts: Mapping[str, object], severity: Severity = Severity.INFO) -> None:
        self._publish(Event(self._clock.now_ms(), name, facts, severity))
