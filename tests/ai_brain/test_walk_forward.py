"""The walk forward: a chain of judged stretches that know nothing of one another."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ai_brain.evidence.carry_run import run_carry
from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.chain import chained
from ai_brain.evidence.filing import Judgement
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.graveyard import NoGraveyard
from ai_brain.evidence.page import evidence_markdown
from ai_brain.evidence.return_moments import return_moments
from ai_brain.evidence.rule_run import run_rules
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.verdict import Evidence, Stretch
from ai_brain.evidence.windows import MAX_PURGE_FRACTION, Window, between, search_window, shares, vault_window
from ai_brain.learning_db import LearningDb
from ai_brain.strategy_evaluator import evaluate
from tests.ai_brain.markets import HOUR_MS, START_MS, carry_spec, funded_pair, noise, planted, rule_spec, tape_of
from trading.domain.clock import Clock, parse_iso
from trading.market.tape import Funding, Tape, make_tape
from trading.simulator.costs import Costs, MarketRules
from trading.strategy.spec import StrategySpec

CONDITIONS = Conditions(MarketRules())
BARS = 3000
EDGE = 0.006
BELIEVING = GateSettings(max_sharpe_annual=1e6, max_return_pct_a_year=1e6, min_drawdown_pct=0.0, max_win_rate_pct=100.0)
"""Asks nothing of plausibility, so that a short tape may be walked."""
FEW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    db, clock = LearningDb(tmp_path_factory.mktemp("walk") / "ai_learning.db"), Clock(scale=1e-6, origin_ms=START_MS)
    yield replace(Bench.of(db, clock, BELIEVING), graveyard=NoGraveyard())
    db.close()


def walked(spec: StrategySpec, tapes: Tapes, bench: Bench, *, stretches: int = 4) -> Judgement:
    """Judged in so many stretches; an example that the search refuses says nothing of a walk."""
    settings = BELIEVING.model_copy(update={"stretches": stretches})
    judgement = evaluate(spec, tapes, replace(bench, settings=settings))
    assume(judgement.evidence.judged)
    return judgement


def windows(bars: int) -> tuple[Window, Window, Window]:
    """Search, walk-forward, vault, as the settings have them."""
    search, vault = search_window(bars, search_fraction=0.4), vault_window(bars, vault_fraction=0.4)
    return search, between(search, vault), vault


def chain(evidence: Evidence) -> Stretch:
    told = evidence.stretch("walk-forward")
    assert told is not None
    return told


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def with_later_noise(tape: Tape, first: int, seed: int) -> Tape:
    """The same up to a bar, and another market from there on, funding included."""
    close = tape.close.copy()
    steps = np.random.default_rng(seed).normal(0.0, 0.02, len(close) - first)
    close[first:] = close[first - 1] * np.exp(np.cumsum(steps))
    f = tape.funding
    late = f.time_ms > tape.open_time_ms[first]
    return tape_of(close, market=tape.market, funding=Funding(f.time_ms, np.where(late, -f.rate, f.rate), f.mark_price))


@FEW
@given(st.integers(1, 10_000), st.integers(1, 9), st.integers(1, 40))
def test_every_judged_stretch_lies_past_its_purge_and_no_trade_straddles_two(
    bench: Bench, seed: int, stretches: int, max_hold_bars: int
) -> None:
    tapes = Tapes(planted(BARS, seed, edge=EDGE), CONDITIONS)
    judgement = walked(rule_spec(max_hold_bars=max_hold_bars), tapes, bench, stretches=stretches)
    evidence = judgement.evidence
    search = evidence.stretch("search")
    assert search is not None
    _, middle, vault = windows(BARS)
    cut = [*shares(middle, stretches), vault][: len(evidence.judged)]
    assert len(cut) >= stretches
    for (before, after), share in zip(pairwise([search, *evidence.judged]), cut, strict=True):
        assert after.holding_bars >= max_hold_bars
        assert after.purge_bars == min(after.holding_bars, int(share.bars * MAX_PURGE_FRACTION))
        assert after.start_ms - before.end_ms == after.purge_bars * HOUR_MS
    spans = [(parse_iso(row["entry_bar"]), parse_iso(row["exit_bar"])) for row in table(judgement.trades_csv)]
    assert len(spans) == chain(evidence).trades + chain(evidence).left_open
    for entry_ms, exit_ms in spans:
        assert any(s.start_ms < entry_ms <= exit_ms < s.end_ms for s in evidence.judged)
    last = evidence.judged[-1]
    seen = [(exit_ms - entry_ms) // HOUR_MS for entry_ms, exit_ms in spans if exit_ms < last.start_ms]
    assert last.holding_bars >= max(seen, default=0)


@FEW
@given(st.integers(1, 10_000), st.integers(1, 9))
def test_the_chain_compounds_its_stretches_and_counts_what_they_count(bench: Bench, seed: int, stretches: int) -> None:
    tapes = Tapes(planted(BARS, seed, edge=EDGE), CONDITIONS)
    judgement = walked(rule_spec(), tapes, bench, stretches=stretches)
    evidence, whole = judgement.evidence, chain(judgement.evidence)
    assert [s.name for s in evidence.judged][:stretches] == [
        f"walk-forward {n}/{stretches}" for n in 1 + np.arange(stretches)
    ]
    assert [s.name for s in evidence.judged][stretches:] in ([], ["vault"])
    assert np.prod([1 + s.net_return for s in evidence.judged]) == pytest.approx(1 + whole.net_return, rel=1e-12)
    for name in ("bars", "entries", "trades", "settlements", "left_open", "fees_quote", "slippage_quote"):
        assert sum(getattr(s, name) for s in evidence.judged) == pytest.approx(getattr(whole, name), rel=1e-12)
    assert evidence.statistics is not None
    searched, record = evidence.stretch("search"), evidence.stretch("record")
    assert searched is not None
    assert evidence.statistics.bars == searched.bars + whole.bars
    assert record is not None
    assert (record.start_ms, record.end_ms, record.bars) == (searched.start_ms, whole.end_ms, evidence.statistics.bars)
    assert 1 + record.net_return == pytest.approx((1 + searched.net_return) * (1 + whole.net_return), rel=1e-12)
    before_the_vault = searched.bars + sum(s.bars for s in evidence.judged[:stretches])
    for name in ("costs doubled", "one bar late"):
        if (worse := evidence.stretch(name)) is not None:  # not asked of what lost
            end_ms = evidence.judged[stretches - 1].end_ms
            assert (worse.start_ms, worse.end_ms, worse.bars) == (searched.start_ms, end_ms, before_the_vault)


def test_amounts_of_a_chain_are_rounded_once_under_whatever_python() -> None:
    run = run_rules(rule_spec(), noise(50, 1), CONDITIONS)
    assert chained([replace(run, fees_quote=0.1) for _ in range(10)]).fees_quote == 1.0


@given(st.lists(st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=20), min_size=1, max_size=6))
def test_a_chain_has_the_returns_of_its_runs_one_after_the_other(parts: list[list[float]]) -> None:
    run = run_rules(rule_spec(), noise(50, 1), CONDITIONS)
    runs = [replace(run, equity=run.starting_quote * np.cumprod(1 + np.array(part))) for part in parts]
    np.testing.assert_allclose(chained(runs).returns, np.concatenate(parts), atol=1e-12)
    np.testing.assert_allclose(1 + chained(runs).net_return, np.prod([1 + run.net_return for run in runs]), rtol=1e-9)


@FEW
@given(st.integers(1, 10_000), st.integers(0, 2), st.sampled_from(["rules", "carry", "basis"]))
def test_what_comes_after_a_stretch_changes_nothing_in_it(bench: Bench, seed: int, kept: int, kind: str) -> None:
    conditions = CONDITIONS
    if kind == "carry":
        spot, perp = funded_pair(BARS, seed, rate=0.0002)
        spec, tapes = carry_spec(), Tapes(perp, conditions, spot)
    elif kind == "basis":  # longs are paid, and trading is free, so that the search seldom refuses it
        conditions = replace(conditions, costs=Costs(0.0, 0.0, 0.0, 0.0))
        spot, perp = funded_pair(BARS, seed, rate=-0.003)
        spec, tapes = rule_spec("basis_zscore(24) < -1"), Tapes(perp, conditions, spot)
    else:
        spec, tapes = rule_spec(filters=("close > ema(50) * 0.9",)), Tapes(planted(BARS, seed, edge=EDGE), CONDITIONS)
    first = walked(spec, tapes, bench).evidence
    after = int(np.searchsorted(tapes.main.open_time_ms, first.judged[kept].end_ms))
    spot_after = None if tapes.spot is None else with_later_noise(tapes.spot, after, seed + (kind == "basis"))
    other = Tapes(with_later_noise(tapes.main, after, seed), conditions, spot_after)
    second = evaluate(spec, other, bench).evidence
    assume(second.judged)  # too few signals in the noise is asked before any run
    assert second.stretches[: kept + 2] == first.stretches[: kept + 2]
    assert second.judged[kept + 1].net_return != first.judged[kept + 1].net_return


def test_a_strategy_that_earned_in_one_stretch_only_is_seen_as_such(bench: Bench) -> None:
    tape = planted(12_000, 3, edge=EDGE)
    second = shares(windows(12_000)[1], 4)[1]
    steps = np.diff(np.log(tape.close), prepend=np.log(tape.open[0]))
    plain = np.diff(np.log(planted(12_000, 3, edge=-0.004).close), prepend=np.log(tape.open[0]))
    mixed = np.concatenate((steps[: second.first - 600], plain[second.first - 600 : second.first]))
    mixed = np.concatenate((mixed, steps[second.first : second.stop], plain[second.stop :]))
    tapes = Tapes(tape_of(tape.open[0] * np.exp(np.cumsum(mixed))), CONDITIONS)
    evidence = evaluate(rule_spec(), tapes, bench).evidence
    assert [stretch.net_return > 0 for stretch in evidence.judged] == [False, True, False, False]
    assert evidence.positive == 1
    assert "- 1 of 4 judged stretches positive" in evidence_markdown(evidence)


def test_a_position_left_open_is_marked_at_the_last_close_and_told_and_its_age_is_purged(bench: Bench) -> None:
    drift = np.random.default_rng(2).normal(0.0002, 0.001, BARS)
    tape = tape_of(30_000.0 * np.exp(np.cumsum(drift)))
    free = replace(CONDITIONS, costs=Costs(0.0, 0.0, 0.0, 0.0))
    evidence = evaluate(
        rule_spec("close > 1", exits=("close < 1",), max_hold_bars=None), Tapes(tape, free), bench
    ).evidence
    assert [(s.entries, s.trades, s.left_open) for s in evidence.judged] == [(1, 0, 1)] * 4
    assert chain(evidence).left_open == 4
    for stretch in evidence.judged:
        first, last = np.searchsorted(tape.open_time_ms, [stretch.start_ms, stretch.end_ms - HOUR_MS])
        assert stretch.net_return == pytest.approx(tape.close[last] / tape.open[first + 1] - 1.0, rel=1e-3)
        assert stretch.holding_bars == 1198  # opened in the second bar of the search stretch, marked in its last
    assert "longest holding known by then: 1198, 1198, 1198, 1198 (longer than could be left out" in evidence_markdown(
        evidence
    )


def test_the_bars_before_a_stretch_make_its_first_signal_known_and_earn_nothing() -> None:
    tape = tape_of(30_000.0 * np.exp(np.linspace(0.0, 0.5, 600)))
    spec, begin_ms = (
        rule_spec("close > sma(200)", exits=("close < 1",), max_hold_bars=None),
        int(tape.open_time_ms[300]),
    )
    warm = run_rules(spec, tape, CONDITIONS, begin_ms=begin_ms)
    cold = run_rules(spec, tape.window(begin_ms, tape.end_ms), CONDITIONS)
    assert (warm.start_ms, warm.bars, warm.entries) == (begin_ms, 300, 1)
    assert warm.equity[0] == warm.starting_quote, "what the warm-up decided is not acted on"
    assert [(run.left_open[0].entry_ms - begin_ms) // HOUR_MS for run in (warm, cold)] == [1, 200]


def test_a_carry_knows_the_funding_before_its_stretch_and_is_paid_none_of_it() -> None:
    spot, perp = funded_pair(600, 1, rate=0.0002)
    begin_ms = int(perp.open_time_ms[300])
    warm = run_carry(carry_spec(), spot, perp, CONDITIONS, begin_ms=begin_ms)
    assert (warm.start_ms, warm.left_open[0].entry_ms) == (begin_ms, begin_ms + HOUR_MS)
    assert min(line.due_ms for line in warm.settled) > begin_ms
    assert warm.funding_quote == pytest.approx(sum(line.funding_quote for line in warm.settled))
    cut = (leg.window(begin_ms, leg.end_ms) for leg in (spot, perp))
    assert run_carry(carry_spec(), *cut, CONDITIONS).left_open[0].entry_ms > begin_ms + 60 * HOUR_MS


def test_no_stretch_of_a_carry_is_paid_a_settlement_outside_it(bench: Bench) -> None:
    spot, perp = funded_pair(BARS, 1, rate=0.0002)
    judgement = evaluate(carry_spec(), Tapes(perp, CONDITIONS, spot), bench)
    evidence, rows = judgement.evidence, table(judgement.settlements_csv)
    assert len(rows) == chain(evidence).settlements > 0
    for row in rows:
        assert any(s.start_ms < parse_iso(row["due"]) < s.end_ms for s in evidence.judged)
    assert sum(float(row["funding_quote"]) for row in rows) == pytest.approx(chain(evidence).funding_quote, rel=1e-9)


def test_a_hole_where_a_stretch_begins_is_no_reason_to_begin_elsewhere() -> None:
    tape = noise(400, 5)
    kept = np.arange(400) != 200
    names = ("open_time_ms", "open", "high", "low", "close", "volume_base")
    holed = make_tape(replace(tape, **{name: getattr(tape, name)[kept] for name in names}))
    run = run_rules(rule_spec(), holed, CONDITIONS, begin_ms=int(tape.open_time_ms[200]))
    assert run.start_ms == tape.open_time_ms[201]
    assert return_moments(run.returns).n == 199


@FEW
@given(st.integers(1, 10_000), st.booleans())
def test_what_a_run_earned_is_the_sum_of_its_table_the_position_left_open_included(seed: int, is_carry: bool) -> None:
    if is_carry:
        run = run_carry(carry_spec(), *funded_pair(400, seed, rate=0.0002), CONDITIONS)
    else:
        spec = rule_spec("close > sma(10)", exits=("close < sma(10)",), max_hold_bars=None)
        run = run_rules(spec, noise(400, seed), CONDITIONS)
    assert len(run.table) == run.entries
    earned = run.equity[-1] - run.starting_quote
    assert sum(line.pnl_quote for line in run.table) == pytest.approx(earned, abs=1e-6)
    assert sum(line.fees_quote for line in run.table) == pytest.approx(run.fees_quote, abs=1e-6)
    assert sum(line.slippage_quote for line in run.table) == pytest.approx(run.slippage_quote, abs=1e-6)
    assert sum(line.funding_quote for line in run.table) == pytest.approx(run.funding_quote, abs=1e-6)


def test_a_longer_holding_seen_in_one_stretch_lengthens_the_purge_before_the_next(bench: Bench) -> None:
    first, second, *_ = shares(windows(BARS)[1], 4)
    close = 30_000.0 * (1.0 + 0.01 * (np.arange(BARS) % 10))  # held for a few bars of every ten,
    close[first.first + 60 : first.first + 120] = 30_000.0  # but once for sixty
    spec = rule_spec("close < 30500", exits=("close > 32000",), max_hold_bars=None)
    free = replace(CONDITIONS, costs=Costs(0.0, 0.0, 0.0, 0.0))
    evidence = evaluate(spec, Tapes(tape_of(close), free), bench).evidence
    assert evidence.judged[0].holding_bars < 10
    assert all(59 <= s.holding_bars <= 75 for s in evidence.judged[1:])
    assert evidence.judged[1].purge_bars == min(evidence.judged[1].holding_bars, int(second.bars * MAX_PURGE_FRACTION))
