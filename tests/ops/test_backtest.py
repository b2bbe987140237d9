"""`./lab backtest` and `./lab verify` over a made-up market: what is shown, counted, filed, and found out again."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

import ops.judgement.verify
import sandbox.exchange.instruments as witness
from ai_brain.campaign import campaign
from ai_brain.desk.learned_file import write_learned
from ai_brain.desk.learned_fills import LearnedFills, LearnedRatio
from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.filing import evidence_folder, load_evidence, save_evidence
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.graveyard import Burial, Graveyard
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.trial_ledger import TRIALS, TrialLedger
from ai_brain.evidence.verdict import SLIPPAGE
from ai_brain.learning_db import LearningDb
from ai_brain.strategy_evaluator import evaluate
from ops.judgement.backtest import run_backtest, run_verify
from ops.universe.known_rules import known_rules, rules_for
from tests.ai_brain.markets import planted, rule_spec
from tests.ops.world import BASIS, CARRY, RULES
from trading.domain.clock import Clock, parse_iso
from trading.domain.errors import DataProviderError, SettingsError, SpecError
from trading.domain.instrument import Market
from trading.market.importers import import_recorded
from trading.market.store import TapeStore
from trading.market.synthetic import Plan, synthetic_market, write_layout
from trading.market.tape import Funding, make_tape
from trading.simulator.costs import FITTED_K
from trading.storage.home import Home
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import StrategySpec, load_spec

START_MS = parse_iso("2024-01-01")
HOURS = 24 * 200


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    made = synthetic_market(Plan(start_ms=START_MS, bars=HOURS, seed=11))
    write_layout(folder, [made.spot, made.perp])
    return folder


@pytest.fixture
def lab(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    return home


@pytest.fixture
def stocked(lab: Home, market: Path) -> Home:
    for side in Market:
        TapeStore(lab.tapes).save(import_recorded(market, side, "BTCUSDT", "1h"))
    return lab


def written(folder: Path, text: str) -> str:
    path = folder / "mine.json"
    path.write_text(text)
    return str(path)


def kept(home: Home, text: str = CARRY) -> StrategySpec:
    spec = load_spec(text.encode(), where="test")
    StrategyRepository(home.strategies).save(spec)
    return spec


def ledger_of(home: Home) -> tuple[int, int, set[str]]:
    """Ideas, looks, and who looked."""
    database = LearningDb(home.learning_db)
    try:
        ledger = TrialLedger(database, Clock())
        with database.reading() as connection:
            origins = {row[0] for row in connection.execute(TRIALS.select().with_only_columns(TRIALS.c.origin))}
        return ledger.count(), ledger.looks(), origins
    finally:
        database.close()


def test_a_file_of_ones_own_is_judged_and_filed_beside_not_among_the_labs_evidence(
    lab: Home, market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_backtest(written(tmp_path, RULES), market, None, None)
    shown = capsys.readouterr().out
    assert code == 1, "a rule on a market without memory has no edge"
    assert shown.startswith("# REJECTED: Dips (mr-20240601-000000)")
    assert "## What was asked" in shown
    assert not evidence_folder(lab).exists()
    (filed,) = (lab.root / "backtests" / "mr-20240601-000000").glob("*/evidence.json")
    assert str(filed) in shown
    assert json.loads(filed.read_text())["verdict"] == "REJECTED"
    assert load_spec((filed.parent / "spec.json").read_bytes(), where="filed").id == "mr-20240601-000000"
    assert StrategyRepository(lab.strategies).all() == []


def test_every_look_is_in_the_ledger_and_the_same_idea_counts_once(
    lab: Home, market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, CARRY)
    run_backtest(path, market, None, None)
    ideas, looks, origins = ledger_of(lab)
    assert (ideas, origins) == (1, {"command line"})
    assert looks >= 1
    run_backtest(path, market, None, None)
    assert ledger_of(lab) == (1, 2 * looks, {"command line"})
    capsys.readouterr()


def test_what_was_refused_before_is_judged_again_when_asked_and_nothing_is_buried(
    lab: Home, market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = load_spec(RULES.encode(), where="test")
    database = LearningDb(lab.learning_db)
    yard = Graveyard(database, Clock())
    sha = ops.judgement.verify.spec_sha256(spec)
    yard.bury([Burial(sha, spec.id, spec.name, "NO_TRADES", "0 trades")])
    run_backtest(written(tmp_path, RULES), market, None, None)
    told = capsys.readouterr()
    assert "refused before, NO_TRADES: 0 trades" in told.err
    assert "ALREADY_REFUSED" not in told.out
    assert "## Stretches" in told.out
    assert yard.count_by_reason() == {"NO_TRADES": 1}
    database.close()


def test_the_first_evidence_of_a_kept_strategy_is_its_evidence_and_a_later_look_never_replaces_it(
    stocked: Home, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = kept(stocked)
    run_backtest("fc-2024", None, None, None)
    path = evidence_folder(stocked) / f"{spec.id}.json"
    before = path.read_bytes()
    assert f"Evidence: {path}" in capsys.readouterr().out
    run_backtest(spec.id, market, "2024-01-10", "2024-04-01")
    assert path.read_bytes() == before
    (beside,) = (stocked.root / "backtests" / spec.id).glob("*/evidence.json")
    stretch = json.loads(beside.read_text())["data"][0]
    assert (stretch["start_ms"], stretch["end_ms"]) == (parse_iso("2024-01-10"), parse_iso("2024-04-01"))
    assert StrategyRepository(stocked.strategies).get(spec.id) == spec, "the strategy itself is not touched"


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("yesterday", None, r"--from 'yesterday': not a date; write it like 2024-01-31"),
        (None, "2024-13-01", r"--to '2024-13-01': not a date"),
        ("2024-02-01", "2024-01-01", r"--to 2024-01-01T00:00:00Z: not after --from 2024-02-01"),
    ],
)
def test_a_wrong_date_is_named_before_anything_is_counted(
    lab: Home, market: Path, tmp_path: Path, start: str | None, end: str | None, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        run_backtest(written(tmp_path, CARRY), market, start, end)
    assert not lab.learning_db.exists()


def test_an_unknown_strategy_a_missing_file_and_a_market_that_is_not_held_are_named(lab: Home, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="'fc-99': unknown; known: none yet"):
        run_backtest("fc-99", None, None, None)
    with pytest.raises(SettingsError, match=r"none\.json: cannot be read: No such file"):
        run_backtest(str(tmp_path / "none.json"), None, None, None)
    with pytest.raises(DataProviderError, match=r"not held in .*history fetch"):
        run_backtest(written(tmp_path, CARRY), None, None, None)
    assert not lab.learning_db.exists()


def test_rules_of_the_basis_name_both_tapes_and_verify_finds_another_spot_tape_out(
    stocked: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, store = kept(stocked, BASIS), TapeStore(stocked.tapes)
    run_backtest(spec.id, None, None, None)
    spot, perp = (store.load(side, "BTCUSDT", "1h") for side in Market)
    published = json.loads((evidence_folder(stocked) / f"{spec.id}.json").read_text())
    assert {used["market"]: used["content_hash"] for used in published["data"]} == {
        "spot": spot.content_hash,
        "perp": perp.content_hash,
    }
    assert published["stretches"][0]["trades"] > 20
    (stocked.tapes / "spot").rename(stocked.tapes / "gone")
    close = np.minimum(np.maximum(spot.close * 1.0001, spot.low), spot.high)
    store.save(make_tape(replace(spot, close=close)))
    capsys.readouterr()
    assert run_verify(spec.id) == 1
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == "differs: data, number"
    assert f"spot BTCUSDT 1h: published '{spot.content_hash}'" in shown


def test_rules_of_the_basis_without_spot_history_are_refused_with_one_line(
    lab: Home, market: Path, tmp_path: Path
) -> None:
    TapeStore(lab.tapes).save(import_recorded(market, Market.PERP, "BTCUSDT", "1h"))
    with pytest.raises(DataProviderError) as refused:
        run_backtest(written(tmp_path, BASIS), None, None, None)
    told = str(refused.value)
    assert told.startswith(
        "mr-20240601-00ba51: its rules read the basis, which needs spot too: store spot BTCUSDT 1h: "
    )
    assert "history fetch" in told
    assert "\n" not in told
    assert not lab.learning_db.exists()


@pytest.mark.parametrize("text", [CARRY, BASIS])
def test_two_markets_that_have_no_bar_in_common_are_refused(lab: Home, tmp_path: Path, text: str) -> None:
    made = synthetic_market(Plan(start_ms=START_MS, bars=600, seed=3))
    cut_ms = START_MS + 300 * 3_600_000
    write_layout(tmp_path, [made.spot.window(START_MS, cut_ms), made.perp.window(cut_ms, made.perp.end_ms)])
    with pytest.raises(DataProviderError, match="no bar in common"):
        run_backtest(written(tmp_path, text), tmp_path, None, None)


@pytest.mark.parametrize("text", [CARRY, RULES, BASIS])
def test_published_evidence_is_derived_again_bit_for_bit_and_no_trial_is_counted(
    stocked: Home, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    spec = kept(stocked, text)
    run_backtest(spec.id, None, None, None)
    counted = ledger_of(stocked)
    capsys.readouterr()
    assert run_verify(spec.id) == 0
    assert "same, bit for bit" in capsys.readouterr().out
    assert ledger_of(stocked) == counted


@pytest.fixture
def edged(lab: Home) -> Home:
    """A store with a planted edge, and a spec that finds it."""
    TapeStore(lab.tapes).save(planted(8000, 6, edge=0.0045))
    return lab


def test_what_was_reckoned_with_learned_costs_names_them_and_is_derived_again_when_they_have_changed(
    edged: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    dear = LearnedRatio(
        market="perp", symbol="BTCUSDT", n=50, sagas=40, is_enough=True, measured=1.6, ratio=1.5, low=1.2, high=1.8,
        assumed=1.5, large_quote=500.0, since_ms=START_MS,
    )  # fmt: skip
    learned = LearnedFills(as_of_ms=START_MS, slippage=(dear,))
    write_learned(edged, learned)
    spec = rule_spec(position_pct=25.0)
    StrategyRepository(edged.strategies).save(spec)
    run_backtest(spec.id, None, None, None)
    shown = capsys.readouterr().out
    assert f"from: 50 own orders of perp; {learned.version}" in shown
    evidence = load_evidence(edged, spec.id)
    assert evidence is not None
    assert evidence.costs["impact_k"] == 1.5 * FITTED_K
    assert [evidence.stretch(name) is not None for name in SLIPPAGE] == [True] * 3
    write_learned(edged, learned.model_copy(update={"slippage": ()}))
    assert run_verify(spec.id) == 0
    assert "same, bit for bit" in capsys.readouterr().out


def books_of(home: Home) -> list[tuple[object, ...]]:
    """Every row of the five books."""
    with closing(sqlite3.connect(home.learning_db)) as opened:
        tables = ("trials", "ideas", "graveyard", "vault_openings", "candidates")
        return [row for table in tables for row in opened.execute(f"SELECT * FROM {table}")]  # noqa: S608  # our names


def test_a_verdict_with_an_opened_vault_is_derived_again_bit_for_bit_and_no_book_is_touched(
    edged: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = rule_spec(position_pct=25.0)
    StrategyRepository(edged.strategies).save(spec)
    assert run_backtest(spec.id, None, None, None) == 0
    published = load_evidence(edged, spec.id)
    assert published is not None
    assert published.confirmation is not None
    assert published.confirmation.confirmed
    books = books_of(edged)
    capsys.readouterr()
    assert run_verify(spec.id) == 0
    assert "same, bit for bit" in capsys.readouterr().out
    assert books_of(edged) == books


@pytest.mark.parametrize(
    ("name", "value"), [("p_value_now", 0.0023), ("level", 0.001), ("confirmed", False), ("opening", 7)]
)
def test_an_answer_of_the_vault_that_was_touched_is_found_out(
    edged: Home, capsys: pytest.CaptureFixture[str], name: str, value: object
) -> None:
    spec = rule_spec(position_pct=25.0)
    StrategyRepository(edged.strategies).save(spec)
    run_backtest(spec.id, None, None, None)
    path = evidence_folder(edged) / f"{spec.id}.json"
    data = json.loads(path.read_text())
    data["confirmation"][name] = value
    path.write_text(json.dumps(data))
    capsys.readouterr()
    code = run_verify(spec.id)
    assert code == (0 if name == "opening" else 1), "the number in the book is taken as told, like the ledger's count"


def test_an_answer_that_stood_before_newer_bars_came_is_derived_again_as_it_stood(
    edged: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, tape = rule_spec(position_pct=25.0), planted(8000, 6, edge=0.0045)
    database = LearningDb(edged.learning_db)
    early = Tapes(tape.window(tape.start_ms, int(tape.open_time_ms[7800])), Conditions(rules_for(spec)))
    first = evaluate(spec, early, Bench.of(database, Clock(), GateSettings())).evidence.confirmation
    assert first is not None
    StrategyRepository(edged.strategies).save(spec)
    run_backtest(spec.id, None, None, None)
    later = load_evidence(edged, spec.id)
    assert later is not None
    assert later.confirmation is not None
    assert later.confirmation.p_value == first.p_value != later.confirmation.p_value_now
    capsys.readouterr()
    assert run_verify(spec.id) == 0, capsys.readouterr().out
    database.close()


def test_what_a_search_found_is_derived_again_with_its_overfitting_and_its_twin_has_no_number_to_derive(
    edged: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    dips = [rule_spec(f"roc(1) < -{0.9 + 0.04 * n:.2f}", position_pct=25.0) for n in range(12)]
    rises = [rule_spec(f"roc({2 + n}) > {1.2 + 0.1 * n:.1f}", position_pct=25.0) for n in range(12)]
    specs = [*dips, *rises, rule_spec("close < close[1] * 0.991", position_pct=25.0)]
    database = LearningDb(edged.learning_db)
    market = Tapes(TapeStore(edged.tapes).load(Market.PERP, "BTCUSDT", "1h"), Conditions(rules_for(specs[0])))
    found = campaign(specs, market, Bench.of(database, Clock(), GateSettings()))
    database.close()
    assert found.overfitting is not None
    shown = list[str]()
    for spec, judgement in zip(specs, found.judgements, strict=True):
        save_evidence(edged, judgement)
        StrategyRepository(edged.strategies).save(spec)
        assert run_verify(spec.id) == 0, capsys.readouterr().out
        shown.append(capsys.readouterr().out)
    judged = [judgement.evidence for judgement in found.judgements if judgement.evidence.confirmation]
    assert [evidence.overfitting for evidence in judged] == [found.overfitting]
    assert shown[-1].endswith("refused from memory without a look, so there is no number to derive\n")


def test_verify_still_finds_it_the_same_after_newer_bars_and_a_late_settlement_have_come(
    lab: Home, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spot, perp = (import_recorded(market, side, "BTCUSDT", "1h") for side in Market)
    end_ms = START_MS + 24 * 100 * 3_600_000
    store, early = TapeStore(lab.tapes), perp.window(START_MS, end_ms)
    assert early.funding.time_ms[-1] == end_ms
    f = early.funding
    unsettled = make_tape(replace(early, funding=Funding(f.time_ms[:-1], f.rate[:-1], f.mark_price[:-1])))
    store.save(unsettled)
    store.save(spot.window(START_MS, end_ms))
    spec = kept(lab)
    run_backtest(spec.id, None, None, None)
    store.save(perp)
    store.save(spot)
    assert run_verify(spec.id) == 0
    assert unsettled.content_hash in capsys.readouterr().out


def damage(home: Home, spec_id: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change one thing a verdict rests on."""
    path = evidence_folder(home) / f"{spec_id}.json"
    if what == "number":
        data = json.loads(path.read_text())
        data["stretches"][0]["net_return"] = float(np.nextafter(data["stretches"][0]["net_return"], 1.0))
        path.write_text(json.dumps(data))
    elif what == "data":
        data = json.loads(path.read_text())
        data["data"][0]["content_hash"] = "0" * 64
        path.write_text(json.dumps(data))
    elif what == "table":
        path.with_suffix(".settlements.csv").write_bytes(b"made up\n")
    elif what == "settings":
        home.settings_file.write_text("gate: {min_bars: 501}\n")
    elif what == "code":
        monkeypatch.setattr(ops.judgement.verify, "code_sha256", lambda: "f" * 64)


@pytest.mark.parametrize("what", ["number", "data", "table", "settings", "code"])
def test_verify_says_which_of_number_data_table_settings_and_code_differs(
    stocked: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    spec = kept(stocked)
    run_backtest(spec.id, None, None, None)
    damage(stocked, spec.id, what, monkeypatch)
    capsys.readouterr()
    assert run_verify(spec.id) == 1
    shown = capsys.readouterr().out
    differs = shown.splitlines()[-1]
    assert differs.startswith("differs: ")
    assert what in differs
    assert any(line.startswith(what) and "published" in line for line in shown.splitlines())


@pytest.mark.parametrize("what", ["spec", "data", "settings"])
def test_what_verify_shows_that_the_ledger_does_not_hold_is_counted_first(
    stocked: Home, market: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    spec, store = kept(stocked, RULES), TapeStore(stocked.tapes)
    run_backtest(spec.id, None, None, None)
    ideas, looks, _ = ledger_of(stocked)
    if what == "spec":
        (path,) = stocked.strategies.rglob(f"{spec.id}.json")
        path.write_text(path.read_text().replace("rsi(14) < 35", "rsi(14) < 34"))
    elif what == "settings":
        stocked.settings_file.write_text("gate: {search_pct: 45, stretches: 2}\n")
    else:
        perp = store.load(Market.PERP, "BTCUSDT", "1h")
        (stocked.tapes / "perp").rename(stocked.tapes / "gone")
        close = np.minimum(np.maximum(perp.close * 1.0001, perp.low), perp.high)
        store.save(make_tape(replace(perp, close=close)))
    capsys.readouterr()
    assert run_verify(spec.id) == 1
    shown = capsys.readouterr().out
    counted, looked, origins = ledger_of(stocked)
    assert counted - ideas == (what == "spec")
    assert looked > looks
    assert f"{looked - looks} looks that it did not hold are counted now" in shown
    assert origins == {"command line", "verify"}
    run_verify(spec.id)
    assert ledger_of(stocked) == (counted, looked, origins)


def test_a_strategy_that_was_never_judged_has_nothing_to_verify(lab: Home) -> None:
    spec = kept(lab)
    with pytest.raises(SpecError, match=f"{spec.id}: no evidence in .*never judged"):
        run_verify(spec.id)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "DOGEUSDT"])
@pytest.mark.parametrize("side", list(Market))
def test_the_known_steps_of_the_venue_are_those_the_sandbox_asks_for(side: Market, symbol: str) -> None:
    theirs, ours = witness.instrument(witness.Market(side.value), symbol), known_rules(side, symbol)
    assert [Decimal(str(number)) for number in (ours.tick, ours.lot)] == [theirs.tick, theirs.lot]
    assert ours.min_notional == float(theirs.min_notional)
