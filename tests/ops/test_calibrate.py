"""`./lab calibrate`: campaigns on markets whose answer is known, small enough to run here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ai_brain.calibration.report import calibration_of
from ai_brain.calibration.trials_of_the_gate import Outcome, Plan, noise_campaign, planted_campaign
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.run_conditions import Conditions
from ops.judgement import calibrate
from tests.ai_brain.tapes import wandering_tape
from tests.conftest import DATA, needs_data
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.market.importers import import_recorded
from trading.simulator.costs import MarketRules
from trading.storage.home import Home

SMALL = Plan(24, 9_000, GateSettings(), Conditions(MarketRules()))


def outcome(*, sent: int = 0, found: bool = False, naive: bool = False) -> Outcome:
    return Outcome(
        sent, found, naive, ideas=200, looked=180, opened=0, overfitting=None, reasons={"LOST_ON_SEARCH": 180}
    )


def test_shares_and_intervals_are_those_of_the_campaigns() -> None:
    noise = [outcome(naive=number < 3, sent=int(number == 9)) for number in range(10)]
    planted = {3.0: [outcome(sent=1, found=number < 8) for number in range(10)], 0.0: [outcome()]}
    told = calibration_of(noise, planted, {3.0: [outcome(found=True)]}, bars=26_280, noise_wall_s=6.0, wall_s=10.0)
    assert (told.campaigns, told.false_review_share, told.naive_false_share) == (10, 0.1, 0.3)
    assert told.false_review_upper95 == pytest.approx(0.44502, abs=1e-5)
    assert told.power == {"0": 0.0, "3": 0.8}
    assert told.power_expected["3"].share == 1.0
    assert told.ideas_a_second == (10 + 11 + 1) * 200 / 10.0
    assert told.reasons == {"LOST_ON_SEARCH": 1_800}


@needs_data
def test_a_campaign_is_the_same_whenever_it_is_run_and_noise_sends_nothing() -> None:
    source = import_recorded(DATA, Market.PERP, "BTCUSDT", "1h")
    first, again = noise_campaign(source, 1, SMALL), noise_campaign(source, 1, SMALL)
    assert first == again
    assert (first.sent, first.found, first.ideas) == (0, False, 24)
    assert sum(first.reasons.values()) == 24


@needs_data
def test_an_edge_that_is_large_is_found_and_one_that_only_pays_its_costs_is_not() -> None:
    source = import_recorded(DATA, Market.PERP, "BTCUSDT", "1h")
    plan = Plan(24, 26_280, GateSettings(), Conditions(MarketRules()))
    assert planted_campaign(source, 1, 4.0, plan).found
    assert not planted_campaign(source, 1, 0.0, plan).found


def test_the_command_prints_and_writes_its_figures(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    monkeypatch.setattr(calibrate, "_sources", lambda *_: [wandering_tape(3_000)])
    monkeypatch.setattr(calibrate, "_outcomes", lambda _s, _p, tasks: ((task, outcome()) for task in tasks))
    told, picture = tmp_path / "figures.json", tmp_path / "chart.png"
    assert calibrate.run_calibrate(None, campaigns=5, planted=0, json_file=told, picture=picture) == 0
    figures = json.loads(told.read_text())
    assert {"campaigns", "false_review_share", "false_review_upper95", "naive_false_share", "power"} <= set(
        figures.get("data", figures)
    )
    assert "false_review_share" in capsys.readouterr().out
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_too_many_false_alarms_are_the_exit_code(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    monkeypatch.setattr(calibrate, "_sources", lambda *_: [wandering_tape(3_000)])
    monkeypatch.setattr(calibrate, "_outcomes", lambda _s, _p, tasks: ((task, outcome(sent=1)) for task in tasks))
    assert calibrate.run_calibrate(None, campaigns=5, planted=0, json_file=None, picture=None) == 1


def test_without_a_recorded_market_it_says_so(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    with pytest.raises(DataProviderError, match="no recorded market"):
        calibrate.run_calibrate(tmp_path, campaigns=1, planted=0, json_file=None, picture=None)


def test_the_numbers_of_noise_of_edges_and_of_drifts_never_meet() -> None:
    tasks = list(calibrate._tasks(2, [dict.fromkeys(calibrate.EDGES, 0.1)] * 2, campaigns=50, planted=6))
    noise = {task.number for task in tasks if task.edge is None}
    edges = {task.number for task in tasks if task.edge is not None}
    assert not noise & edges
    assert max(noise | edges) < calibrate.FIRST_DRIFT_SEED
    expected = [task for task in tasks if task.drift is not None]
    assert {task.source for task in expected} == {0, 1}
    assert np.isclose(len(expected) / len([task for task in tasks if task.edge is not None]), 4 / 10, atol=0.2)
