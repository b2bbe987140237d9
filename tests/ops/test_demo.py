"""`./lab demo` on recorded data: the story plays to its end, and its figures are what the world itself saw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import DATA, needs_data
from trading.journal.audit import verify_audit
from trading.strategy.lifecycle import Stage
from trading.strategy.repository import StrategyRepository

STATED = (
    "wall_s peak_rss_mb market bars ideas refused paper_trades approved carry_opened settlements_booked funding_quote "
    "max_unhedged_s flat orders_sent duplicate_orders equity_identity_error_quote audit_lines audit_ok "
    "messages_sent errors"
)


@needs_data
@pytest.mark.timeout(480)
def test_the_story_plays_to_its_end_on_recorded_data(tmp_path: Path) -> None:
    words = [
        "demo",
        "--tape",
        str(DATA),
        "--days",
        "12",
        "--speed",
        "160000",
        "--keep",
        "--json",
        "out.json",
        "--picture",
        "last.svg",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", *words], cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    told = json.loads((tmp_path / "out.json").read_text())
    assert set(STATED.split()) <= set(told)
    assert told["market"] == "recorded"
    assert told["approved"] == 1
    assert told["carry_opened"]
    assert told["settlements_booked"] >= 1
    assert told["flat"]
    assert told["duplicate_orders"] == 0
    assert told["errors"] == 0
    assert abs(told["equity_identity_error_quote"]) <= 0.01
    assert sum(told["refused"].values()) >= 10
    home = tmp_path / "demo-001"
    check = verify_audit(home / "state" / "audit.jsonl")
    assert check.ok
    assert check.lines == told["audit_lines"]
    specs = StrategyRepository(home / "strategies", repair=False).all()
    assert sum(spec.stage is Stage.LIVE_TESTING for spec in specs) == 1
    assert all(spec.history for spec in specs)
    assert (home / "equity.png").read_bytes().startswith(b"\x89PNG")
    assert "SYNTHETIC" not in done.stdout
    assert "http" not in (tmp_path / "last.svg").read_text().replace("http://www.w3.org/", "").split("</style>")[-1]
