"""Whatever the book, the limits and the history: the smallest wins, more is never more permitted, nothing is lost."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.trading.risk.test_guards import BOOK, LIMITS, WANTED
from trading.domain.decisions import Decision, Reason
from trading.risk.counters import RiskCounters
from trading.risk.guards import Exposure, RiskBook, allowed_notional
from trading.risk.limits import RiskLimits
from trading.risk.rules import RULES, Kind
from trading.risk.value_at_risk import TailRisk

NOON = 1_700_049_600_000  # Wednesday 2023-11-15T12:00Z
DAY_MS = 86_400_000
money = st.floats(0, 20_000)
ROUNDING_QUOTE = 1e-6
"""What is added to a book and taken off for another cluster leaves the last bits of a float64."""
CAPS = {rule.id for rule in RULES if rule.kind is Kind.CAP}


@st.composite
def books(draw: st.DrawFn) -> RiskBook:
    return replace(
        BOOK,
        equity_quote=draw(st.floats(100, 100_000)),
        committed_quote=draw(st.floats(0, 3_000)),
        pending_quote=draw(st.floats(0, 1_000)),
        position_quote=draw(st.floats(0, 500)),
        strategy_loss_quote=draw(st.floats(0, 200)),
        free_spot_quote=draw(money),
        free_futures_quote=draw(money),
        tail=TailRisk(draw(st.floats(0.01, 0.5)), draw(st.floats(0.01, 0.5))),
        quote_age_s=draw(st.floats(0, 70)),
    )


limits_of = st.builds(
    RiskLimits,
    total_at_risk_pct=st.floats(1, 100),
    position_pct=st.floats(1, 100),
    trade_pct=st.floats(1, 100),
    cluster_pct=st.floats(1, 100),
    value_at_risk_pct=st.floats(0.1, 5),
    expected_shortfall_pct=st.floats(0.1, 5),
    stress_loss_pct=st.floats(0.1, 10),
    first_live_usdt=st.floats(10, 5_000),
    live_scale_pct=st.sampled_from([25, 50, 100]),
)


@settings(max_examples=150)
@given(books(), limits_of)
def test_the_smallest_cap_is_the_size_and_one_closed_gate_is_none(book: RiskBook, limits: RiskLimits) -> None:
    sized = allowed_notional(book, limits, WANTED)
    caps = [d.limit for d in sized.decisions if d.reason in CAPS]
    gates = [d for d in sized.decisions if d.reason not in CAPS]
    if sized.allowed:
        assert sized.notional_quote == min(*caps, WANTED.notional_quote)
        assert all(gate.allowed for gate in gates)
    else:
        assert min(*caps, WANTED.notional_quote) < WANTED.min_notional_quote or not all(gate.allowed for gate in gates)
        assert not sized.deciding.allowed


@settings(max_examples=150)
@given(
    books(), limits_of, st.floats(0, 2_000), st.sampled_from(["held", "pending", "position", "other", "tail", "count"])
)
def test_more_exposure_is_never_more_permitted(book: RiskBook, limits: RiskLimits, more: float, where: str) -> None:
    other = (Exposure("ETHUSDT", more, correlation=0.1),)
    worse = {
        "held": replace(book, committed_quote=book.committed_quote + more),
        "pending": replace(book, pending_quote=book.pending_quote + more),
        "position": replace(
            book, position_quote=book.position_quote + more, committed_quote=book.committed_quote + 2 * more
        ),
        "other": replace(book, exposures=other, committed_quote=book.committed_quote + 2 * more),
        "tail": replace(book, tail=TailRisk(book.tail.var_rate + more, book.tail.shortfall_rate + more)),
        "count": replace(book, open_positions=book.open_positions + 1),
    }[where]
    more_held, less_held = allowed_notional(worse, limits, WANTED), allowed_notional(book, limits, WANTED)
    assert more_held.notional_quote <= less_held.notional_quote + ROUNDING_QUOTE
    rooms = [[(d.reason, d.limit) for d in sized.decisions if d.reason in CAPS] for sized in (more_held, less_held)]
    for (reason, narrower), (_, wider) in zip(*rooms, strict=False):  # a refusal for want of money stands behind them
        assert narrower <= wider + ROUNDING_QUOTE, reason


@settings(max_examples=50)
@given(st.floats(0, 1), st.floats(0, 2_000))
def test_what_moves_together_shares_a_cap_and_what_does_not_has_its_own(correlation: float, held: float) -> None:
    book = replace(BOOK, committed_quote=2 * held, exposures=(Exposure("ETHUSDT", held, correlation=correlation),))
    (cluster,) = [d for d in allowed_notional(book, LIMITS, WANTED).decisions if d.reason is Reason.CLUSTER_EXPOSURE]
    together = correlation >= LIMITS.cluster_correlation
    assert cluster.limit == pytest.approx(max(0.0, 1_500 - held) if together else 1_500)


class Life(RuleBasedStateMachine):
    """Counters over restarts and a clock that goes anywhere, against the simplest book of what must be remembered."""

    @initialize()
    def born(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "risk_counters.json"
        self.counters = RiskCounters(self.path)
        self.now_ms, self.equity, self.day, self.peak = NOON, 1_000.0, "", 0.0
        self.halts: set[Reason] = set()
        self.streak = 0
        self.serial = 0
        self.counters.mark(self.equity, self.now_ms)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(equity=st.floats(500, 1_500), ahead_ms=st.integers(0, DAY_MS))
    def time_passes(self, equity: float, ahead_ms: int) -> None:
        self.now_ms, self.equity = self.now_ms + ahead_ms, equity
        self.counters.mark(equity, self.now_ms, venue_ms=self.now_ms)

    @rule(back_ms=st.integers(1, 40 * DAY_MS))
    def the_clock_is_set_back_for_a_cycle(self, back_ms: int) -> None:
        before = self.counters.memory
        after = self.counters.mark(self.equity, self.now_ms - back_ms)
        assert (after.day_loss_fraction, after.trades_today) == (before.day_loss_fraction, before.trades_today)
        assert after.week_loss_fraction == before.week_loss_fraction

    @rule(ahead_ms=st.integers(1, 40 * DAY_MS))
    def the_clock_is_set_ahead_and_the_exchange_does_not_follow(self, ahead_ms: int) -> None:
        before = self.counters.memory
        after = self.counters.mark(self.equity, self.now_ms + ahead_ms, venue_ms=self.now_ms)
        assert (after.day, after.day_loss_fraction, after.trades_today) == (
            before.day,
            before.day_loss_fraction,
            before.trades_today,
        )

    @rule(profit=st.floats(-10, 10), twice=st.booleans())
    def a_position_ends(self, profit: float, twice: bool) -> None:
        self.serial += 1
        for _ in range(1 + twice):
            self.counters.closed(f"c-{self.serial}", "fc-1", profit, self.now_ms)
        self.streak = self.streak + 1 if profit < 0 else 0

    @rule(reason=st.sampled_from([Reason.LOSS_STREAK, Reason.STRATEGY_DRAWDOWN, Reason.RECONCILE_MISMATCH]))
    def a_line_is_crossed(self, reason: Reason) -> None:
        self.counters.halt(Decision(False, reason, 1.0, 0.0), self.now_ms)
        self.halts.add(reason)

    @rule()
    def a_breaker_reads_badly(self) -> None:
        self.counters.trip([Decision(False, Reason.LATENCY, 9.0, 5.0)], self.now_ms, rest_s=60)

    @rule()
    def a_human_releases(self) -> None:
        self.counters.release()
        self.halts, self.streak = set(), 0

    @rule()
    def the_process_is_killed(self) -> None:
        self.counters = RiskCounters(self.path)

    @invariant()
    def what_must_be_remembered_is(self) -> None:
        if not hasattr(self, "counters"):
            return
        memory = self.counters.memory
        assert RiskCounters(self.path).memory == memory
        assert memory.day >= self.day
        assert memory.peak_quote >= self.peak
        assert {halt.reason for halt in memory.halts} == self.halts
        assert memory.losses_in_a_row == self.streak
        self.day, self.peak = memory.day, memory.peak_quote


Life.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestLife = Life.TestCase
