"""The ledger comes first: when it cannot be written nothing is told, and what is told stands in it to the last bit."""

from __future__ import annotations

import sqlite3
import traceback
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import median

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ai_brain.evidence.case import Tapes
from ai_brain.evidence.page import evidence_markdown
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.verdict import Evidence
from ai_brain.learning_db import LearningDb
from ops.cli import app
from tests.ai_brain.gate import gate_at, judged
from tests.ai_brain.markets import carry_spec, funded_pair, noise, planted, rule_spec
from trading.domain.errors import StateFileError
from trading.market.synthetic import write_layout
from trading.simulator.costs import MarketRules
from trading.strategy.spec import StrategySpec, dump_spec, spec_sha256

CONDITIONS = Conditions(MarketRules())
EDGE = Tapes(planted(8000, 6, edge=0.0045), CONDITIONS)
SOUND = rule_spec(position_pct=25.0)
_NUMBER = count()

Row = dict[str, object]


def funded() -> Tapes:
    spot, perp = funded_pair(4000, 1, rate=0.0002)
    return Tapes(perp, CONDITIONS, spot)


CASES = {
    "rules that are approved": (SOUND, EDGE),
    "rules that lose on the search": (rule_spec("roc(3) < -1.2"), Tapes(noise(6000, 3), CONDITIONS)),
    "a carry": (carry_spec(), funded()),
    "rules of the basis": (rule_spec("basis_zscore(24) < -1.5"), funded()),
}


def fail_after(database: Path, looks: int) -> None:
    """From so many looks on the file takes no more, as a full disk would have it."""
    there, fails = "(SELECT count(*) FROM trials)", "SELECT RAISE(ABORT, 'disk is full')"
    LearningDb(database).close()
    with closing(sqlite3.connect(database)) as other, other:
        other.execute(f"CREATE TRIGGER full BEFORE INSERT ON trials WHEN {there} >= {looks} BEGIN {fails}; END")


def seen(database: Path, spec: StrategySpec, tapes: Tapes) -> tuple[Evidence, list[Row]]:
    """A verdict and every look at the spec, of a ledger that was empty."""
    with gate_at(database) as bench:
        evidence = judged(spec, tapes, bench).evidence
        return evidence, bench.ledger.trials_of(spec_sha256(spec))


def numbers(rows: list[Row]) -> set[str]:
    """A performance as it would be printed, whichever way."""
    told = [float(str(row[name])) for row in rows for name in ("net_return", "sharpe_bar", "turnover")]
    return {text for value in told if value for text in (repr(value), f"{value:+.3%}", f"{value:.6g}")}


@pytest.mark.parametrize("name", CASES)
def test_whichever_look_cannot_be_recorded_nothing_of_the_verdict_leaves(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    spec, tapes = CASES[name]
    _, rows = seen(tmp_path / "whole.db", spec, tapes)
    assert rows
    for looks in range(len(rows)):
        database = tmp_path / f"{looks}.db"
        fail_after(database, looks)
        with gate_at(database) as bench:
            with pytest.raises(StateFileError, match="disk is full") as refused:
                judged(spec, tapes, bench)
            assert len(bench.ledger.trials_of(spec_sha256(spec))) <= looks
            assert bench.graveyard.count_by_reason() == {}
        told = "".join(traceback.format_exception(refused.value)) + caplog.text + "".join(capsys.readouterr())
        assert [text for text in numbers(rows) if text in told] == []


@pytest.mark.parametrize("looks", [0, 1, 5, 9])
def test_lab_backtest_prints_and_files_nothing_when_a_look_cannot_be_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    home, recorded, mine = tmp_path / "home", tmp_path / "recorded", tmp_path / "mine.json"
    recorded.mkdir()
    write_layout(recorded, [EDGE.main])
    mine.write_bytes(dump_spec(SOUND))
    monkeypatch.setenv("LAB_HOME", str(home))
    words = ["backtest", str(mine), "--tape", str(recorded)]
    home.mkdir()
    whole = CliRunner().invoke(app, words)
    assert "| walk-forward |" in whole.stdout, whole.output
    for path in (*home.rglob("*.db*"), *home.rglob("evidence.json")):
        path.unlink()
    fail_after(home / "state" / "ai_learning.db", looks)
    refused = CliRunner().invoke(app, words)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith("lab: ")
    assert "disk is full" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert list(home.rglob("evidence.json")) == []


def assert_all_is_recorded(evidence: Evidence, rows: list[Row]) -> None:
    """Every run that the evidence tells is a row with its numbers, and every row is told or is a neighbour."""
    beside = [row for row in rows if str(row["stretch"]).startswith(("next to it", "in one piece"))]
    near = [row for row in beside if row["stretch"] != "in one piece"]
    looks = [row for row in rows if row not in beside]
    same = ("start_ms", "end_ms", "bars", "entries", "net_return")
    assert [(row["stretch"], *(row[name] for name in same)) for row in looks] == [
        (told.name, *(getattr(told, name) for name in same)) for told in evidence.stretches
    ]
    assert {row["data_sha256"] for row in rows} == {"+".join(used.content_hash for used in evidence.data)}
    for row, told in zip(looks, evidence.stretches, strict=True):
        per_year = float(str(row["bars_per_year"]))
        assert told.sharpe_annual == pytest.approx(float(str(row["sharpe_bar"])) * per_year**0.5, rel=1e-12)
    if evidence.statistics is not None:
        (record,) = (row for row in looks if row["stretch"] == "record")
        assert evidence.statistics.sharpe_bar == record["sharpe_bar"]
    returns = [float(str(row["net_return"])) for row in near]
    found = evidence.neighbours
    if found is None:
        assert near == []
        return
    assert (found.count, found.earning) == (len(near), sum(value > 0.0 for value in returns))
    assert (found.median_net_return, found.worst_net_return) == (median(returns), min(returns))
    assert f"next to it, {found.worst}" in {row["stretch"] for row in near}


@pytest.mark.parametrize("name", CASES)
def test_every_run_that_is_told_has_its_row_in_the_ledger(tmp_path: Path, name: str) -> None:
    evidence, rows = seen(tmp_path / "ledger.db", *CASES[name])
    assert_all_is_recorded(evidence, rows)
    assert all(f"| {row['stretch']} |" in evidence_markdown(evidence) for row in rows[:1])


def test_an_approved_strategy_has_all_its_looks_in_the_ledger_neighbours_and_worse_conditions_too(
    tmp_path: Path,
) -> None:
    evidence, rows = seen(tmp_path / "ledger.db", *CASES["rules that are approved"])
    assert evidence.neighbours is not None
    names = {str(row["stretch"]) for row in rows}
    assert {"search", "walk-forward", "costs doubled", "one bar late", "vault", "record", "in one piece"} < names
    assert {f"next to it, entry_long 1: roc(1) < -{value}" for value in ("1.08", "1.32")} < names


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(1, 10_000), edge=st.sampled_from([0.0, 0.004, 0.008]), max_hold_bars=st.integers(1, 12))
def test_whatever_the_market_gives_what_is_told_is_recorded(
    tmp_path: Path, seed: int, edge: float, max_hold_bars: int
) -> None:
    tapes = replace(EDGE, main=planted(3000, seed, edge=edge))
    spec = rule_spec("roc(1) < -0.9", max_hold_bars=max_hold_bars)
    assert_all_is_recorded(*seen(tmp_path / f"{next(_NUMBER)}.db", spec, tapes))
