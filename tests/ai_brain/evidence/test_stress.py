"""Three hard stretches of the recorded past: told where they lie on the tape, and a liquidation there refuses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ai_brain.evidence.case import Bench, Case, Tapes
from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.rule_run import run_rules
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.stress import STRETCHES, under_stress
from ai_brain.learning_db import LearningDb
from tests.ai_brain.markets import noise, rule_spec
from tests.conftest import DATA, needs_data
from trading.domain.clock import Clock, parse_iso
from trading.domain.instrument import Market
from trading.market.importers import import_recorded
from trading.market.tape import Tape
from trading.simulator.costs import MarketRules
from trading.storage.home import Home
from trading.strategy.spec import StrategySpec, spec_sha256

CONDITIONS = Conditions(MarketRules())
NAMES = [name for name, *_ in STRETCHES]
HOLD = rule_spec("close > sma(24)", exits=("close < sma(24)",), max_hold_bars=None)


@pytest.fixture
def bench(home: Home) -> Iterator[Bench]:
    db = LearningDb(home.learning_db)
    yield Bench.of(db, Clock(scale=1e-6, origin_ms=1_800_000_000_000), GateSettings())
    db.close()


def bitcoin(start: str = "2020-01-01", end: str = "2024-01-01") -> Tape:
    return import_recorded(DATA, Market.PERP, "BTCUSDT", "1h", start_ms=parse_iso(start), end_ms=parse_iso(end))


def case_of(tape: Tape, bench: Bench, spec: StrategySpec = HOLD) -> Case:
    return Case(spec, Tapes(tape, CONDITIONS), bench)


@needs_data
def test_crash_failure_and_quiet_summer_are_told_and_every_look_is_in_the_ledger(bench: Bench) -> None:
    tape = bitcoin()
    case = case_of(tape, bench)
    told, found = under_stress(case, before=len(tape))
    assert [(s.name, s.bars) for s in told] == list(zip(NAMES, (31 * 24, 30 * 24, 62 * 24), strict=True))
    assert [finding.passed for finding in found] == [True] * 3
    rows = bench.ledger.trials_of(spec_sha256(HOLD))
    assert [row["stretch"] for row in rows] == NAMES == [stretch.name for stretch in case.stretches]
    assert [row["net_return"] for row in rows] == [s.net_return for s in told]
    crash = run_rules(
        HOLD, tape.window(tape.start_ms, parse_iso("2020-04-01")), CONDITIONS, begin_ms=parse_iso("2020-03-01")
    )
    assert (told[0].net_return, told[0].max_drawdown) == (crash.net_return, crash.max_drawdown)
    assert f"0 liquidations in the {NAMES[0]}, net return {crash.net_return:+.3%}." == found[0].note


@needs_data
def test_a_stretch_that_lies_in_the_vault_or_off_the_tape_is_not_run_and_told_as_such(bench: Bench) -> None:
    tape = bitcoin("2020-03-02", "2024-01-01")  # a day late for the crash
    vault_first = int(tape.open_time_ms.searchsorted(parse_iso("2022-12-15")))
    told, _ = under_stress(case_of(tape, bench), before=vault_first)
    assert [s.bars for s in told] == [0, 30 * 24, 0]
    assert (told[0].net_return, told[2].max_drawdown) == (None, None)
    assert bench.ledger.looks() == 1


@needs_data
def test_a_stretch_cut_by_the_beginning_of_the_vault_is_not_run(bench: Bench) -> None:
    tape = bitcoin()
    told, found = under_stress(
        case_of(tape, bench), before=int(tape.open_time_ms.searchsorted(parse_iso("2022-11-20")))
    )
    assert [s.bars for s in told] == [31 * 24, 0, 0]
    assert len(found) == 1


@needs_data
def test_who_is_liquidated_in_the_crash_is_refused_for_that(bench: Bench) -> None:
    risk = HOLD.parameters.risk.model_copy(update={"leverage": 10})  # type: ignore[union-attr]  # rules
    reckless = HOLD.model_copy(update={"parameters": HOLD.parameters.model_copy(update={"risk": risk})})
    _, found = under_stress(case_of(bitcoin(), bench, reckless), before=40_000)
    assert (found[0].reason, found[0].passed, found[0].refuses) == (GateReason.LIQUIDATED_IN_STRESS, False, True)
    assert found[0].note.endswith(
        f"in the {NAMES[0]}, net return {bench.ledger.trials_of(spec_sha256(reckless))[0]['net_return']:+.3%}."
    )


def test_a_tape_of_none_of_them_is_run_on_none(bench: Bench) -> None:
    told, found = under_stress(case_of(noise(2000, 1), bench), before=2000)
    assert ([s.bars for s in told], found, bench.ledger.looks()) == ([0, 0, 0], [], 0)
