"""`./lab evidence`: the page of a judged strategy, and what it says of files that are not those it was judged on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import typer

from ai_brain.evidence.curve import CURVE_COLUMNS
from ai_brain.evidence.filing import Judgement, evidence_folder, save_evidence
from ai_brain.evidence.page import evidence_markdown
from ai_brain.evidence.run import TradeLine
from ai_brain.evidence.run_tables import trades_csv
from ai_brain.evidence.verdict import DataUsed, Evidence, Verdict
from ops.cli import evidence as evidence_command
from ops.dashboard.evidence import document
from ops.judgement.evidence_page import run_evidence
from tests.ops.world import CARRY
from trading.domain.clock import iso, parse_iso
from trading.domain.errors import SpecError, StateFileError
from trading.storage.home import Home
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import StrategySpec, load_spec, spec_sha256

START_MS = parse_iso("2024-01-01")
HOUR_MS = 3_600_000
TRADES = trades_csv([TradeLine(START_MS, START_MS + HOUR_MS, 1, 0.1, 100.0, 101.0, 0.1, 0.1, 0.0, 1.0, "EXIT")])
CURVE = "\n".join(
    [",".join(CURVE_COLUMNS), *(f"{iso(START_MS + n * HOUR_MS)},{10_000.0 + n},search" for n in range(20)), ""]
).encode()


@pytest.fixture
def lab(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    return home


@pytest.fixture
def spec(lab: Home) -> StrategySpec:
    spec = load_spec(CARRY.encode(), where="test")
    StrategyRepository(lab.strategies).save(spec)
    return spec


@pytest.fixture
def judged(lab: Home, spec: StrategySpec) -> Evidence:
    """On file, with its trades and its curve."""
    used = DataUsed(
        market="perp", symbol="BTCUSDT", interval="1h", origin="recorded", content_hash="d" * 64, start_ms=START_MS,
        end_ms=START_MS + 20 * HOUR_MS, bars=20, missing_bars=0, settlements=2,
    )  # fmt: skip
    evidence = Evidence(
        spec_id=spec.id, spec_sha256=spec_sha256(spec), name=spec.name, family=str(spec.type),
        market="BTC/USDT:USDT 1h",
        thesis="Longs pay <b>", at_ms=START_MS, verdict=Verdict.REJECTED, deciding=None, quarantined=False, findings=(),
        data=(used,), stretches=(), statistics=None, prediction=(), suspicious=(), costs={}, starting_quote=10_000.0,
        settings_sha256="e" * 64, code_sha256="f" * 64, trades_sha256=hashlib.sha256(TRADES).hexdigest(),
        settlements_sha256=None, curve_sha256=hashlib.sha256(CURVE).hexdigest(),
    )  # fmt: skip
    save_evidence(lab, Judgement(evidence, TRADES))
    (evidence_folder(lab) / f"{spec.id}.curve.csv").write_bytes(CURVE)
    return evidence


def test_the_page_of_a_strategy_named_by_its_beginning_is_printed_from_its_files(
    judged: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_evidence(judged.spec_id[:6], None) == 0
    assert capsys.readouterr().out == evidence_markdown(judged)


def test_the_web_page_shows_it_too_and_renames_no_file_that_it_cannot_read(lab: Home, judged: Evidence) -> None:
    assert "Longs pay &lt;b&gt;" in document(lab, judged.spec_id)
    trades = evidence_folder(lab) / f"{judged.spec_id}.trades.csv"
    trades.write_text("changed")
    with pytest.raises(StateFileError, match=r"not as judged: .*trades.csv"):
        document(lab, judged.spec_id)
    path = evidence_folder(lab) / f"{judged.spec_id}.json"
    for broken in ("{", '{"schema": 1, "verdict": "SURELY"}'):
        path.write_text(broken)
        with pytest.raises(StateFileError):
            document(lab, judged.spec_id)
        assert path.read_text() == broken
    path.unlink()
    with pytest.raises(SpecError, match="never judged"):
        document(lab, judged.spec_id)


def test_the_html_page_is_written_where_it_is_wanted_and_the_path_is_printed(
    judged: Evidence, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.html"
    path.write_text("older")
    with pytest.raises(typer.Exit) as done:
        evidence_command(judged.spec_id, html=path)
    assert done.value.exit_code == 0
    assert capsys.readouterr().out == f"{path}\n"
    page = path.read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("<svg") == 5, "curve and trades are read; no statistics and no power to draw"
    assert "Longs pay &lt;b&gt;" in page
    assert [p.name for p in tmp_path.glob("*page*")] == ["page.html"]


@pytest.mark.parametrize("table", ["trades", "curve"])
@pytest.mark.parametrize(("content", "words"), [(b"bar\n", "another"), (None, "missing or empty")])
def test_a_table_that_is_not_the_one_judged_on_is_named_in_one_line_and_nothing_is_shown(
    lab: Home, judged: Evidence, capsys: pytest.CaptureFixture[str], table: str, content: bytes | None, words: str
) -> None:
    path = evidence_folder(lab) / f"{judged.spec_id}.{table}.csv"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert run_evidence(judged.spec_id, lab.root / "page.html") == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"lab: {judged.spec_id}: not as judged: {path.name} ({words}); let it be judged anew\n"
    assert not (lab.root / "page.html").exists()


def test_evidence_that_its_history_does_not_know_or_of_other_parameters_is_no_page(
    lab: Home, spec: StrategySpec, judged: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    move = {
        "at": iso(START_MS),
        "from": "generated",
        "to": "backtesting",
        "by": "x",
        "why": "y",
        "evidence_sha256": "0" * 64,
    }
    path = next(lab.strategies.rglob(f"{spec.id}.json"))
    moved = CARRY.replace('"history": []', f'"history": [{json.dumps(move)}]')
    path.write_text(moved.replace('"stage": "generated"', '"stage": "backtesting"'))
    assert run_evidence(spec.id, None) == 1
    assert f"not as judged: {spec.id}.json (not the one in its history);" in capsys.readouterr().err
    path.write_text(CARRY.replace('"leverage": 1', '"leverage": 2'))
    assert run_evidence(spec.id, None) == 1
    assert "not as judged: the strategy file (other parameters);" in capsys.readouterr().err


def test_evidence_from_before_curves_were_kept_has_a_page_that_says_so(
    lab: Home, judged: Evidence, tmp_path: Path
) -> None:
    older = judged.model_copy(update={"curve_sha256": None, "trades_sha256": None})
    save_evidence(lab, Judgement(older, b""))
    assert run_evidence(judged.spec_id, tmp_path / "page.html") == 0
    page = (tmp_path / "page.html").read_text()
    assert "Equity: not drawn. It has no curve" in page
    assert "Cost split: not drawn." in page


def test_who_was_never_judged_or_is_unknown_has_no_page(spec: StrategySpec) -> None:
    with pytest.raises(SpecError, match="it was never judged; there is no page"):
        run_evidence(spec.id, None)
    with pytest.raises(SpecError, match="unknown"):
        run_evidence("mo-1", None)


def test_a_folder_that_is_not_there_is_told(judged: Evidence, tmp_path: Path) -> None:
    with pytest.raises(StateFileError, match="cannot be written"):
        run_evidence(judged.spec_id, tmp_path / "none" / "page.html")
