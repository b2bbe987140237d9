"""The status page: from files alone, in a second, whether the lab lives or not, and never a word that is not so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops.approve_strategy import approve_strategy
from ops.get_status import main, status_lines
from ops.status import ALIVE_S, read_status
from tests.ops.papers import Human, put_in_review
from tests.ops.test_reports import FULL
from tests.ops.world import NOW_MS, approved_carry
from trading.domain.clock import Clock
from trading.domain.decisions import Decision, Reason
from trading.risk.counters import RiskCounters
from trading.risk.kill_switch import stop_trading
from trading.storage.files import write_json
from trading.storage.home import Home

ROOT = Path(__file__).resolve().parents[2]


def page(home: Home) -> str:
    return "\n".join(status_lines(read_status(home, Clock())))


def beat(home: Home, *, age_s: float = 1.0, **changes: object) -> None:
    """A heartbeat as the service writes it, so old."""
    write_json(home.heartbeat_file, FULL.to_json() | {"pid": 1} | changes, schema=1)
    at_s = time.time() - age_s
    os.utime(home.heartbeat_file, (at_s, at_s))


def everything(home: Home) -> dict[str, tuple[bytes, int]]:
    """Content and time of every file."""
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in home.root.rglob("*") if p.is_file()}


def test_a_home_in_which_nothing_ever_ran(home: Home) -> None:
    assert page(home).splitlines() == [
        "AI Trading Lab",
        "  service     never ran here; start it with ./lab run",
        "  mode        no account yet, live or on paper; nothing is armed for live trading",
        "  stop        none",
        "  holds       nothing",
        "  strategies  none yet",
        "  last cycle  none yet",
        "  drills      never rehearsed",
    ]


def test_a_running_lab_word_for_word(home: Home) -> None:
    beat(home, age_s=2.4)
    home.lock_file.write_text(str(os.getpid()))
    spec = put_in_review(home)
    assert page(home).splitlines() == [
        "AI Trading Lab",
        f"  service     runs as process {os.getpid()}, heartbeat 2 s old",
        "  mode        live; nothing is armed for live trading",
        "  stop        none",
        "  equity      1,012.50 USDT (live)",
        "  equity      9,990.00 USDT (paper fc-1)",
        "  holds       carry BTCUSDT: spot 0.006, perpetual -0.006",
        "  strategies  1 review",
        "  last cycle  NO_TRADE FUNDING_TOO_LOW (value 2.5, limit 8) 2.5 % a year against 8 %",
        "  no trades   FUNDING_TOO_LOW 51×, HOLDING 3× (last day)",
        "  drills      never rehearsed",
        f"  waits       {spec.id} Funding carry: python approve_strategy.py {spec.id}",
    ]


def test_a_carry_that_was_approved_waits_for_the_second_gate(home: Home) -> None:
    spec, human = put_in_review(home), Human(["yes"])
    approve_strategy(home, spec.id, ask=human.ask, say=human.say, clock=Clock(origin_ms=NOW_MS), operator="ada")
    gate = f"  waits       {spec.id} Funding carry, approved: python go_live.py {spec.id}"
    assert [line for line in page(home).splitlines() if "waits" in line] == [gate]
    home.armed_file.write_text("{}")
    assert gate in page(home), "another one is armed"


def test_what_is_armed_waits_for_nobody_and_what_is_no_longer_waits_again(home: Home) -> None:
    spec = approved_carry(home)
    assert "waits" not in page(home)
    home.armed_file.unlink()
    assert f"  waits       {spec.id} Funding carry, approved: python go_live.py {spec.id}" in page(home)


def test_a_halt_waits_for_the_human_as_the_hourly_report_says(home: Home) -> None:
    counters = RiskCounters(home.state / "risk_counters.json")
    counters.halt(Decision(False, Reason.DAILY_LOSS, 0.04, 0.03), NOW_MS)
    counters.halt(Decision(False, Reason.STRATEGY_DRAWDOWN, 0.2, 0.15), NOW_MS, subject="fc-1")
    told = page(home).splitlines()
    assert "  waits       python stop_trading.py --release (DAILY_LOSS, STRATEGY_DRAWDOWN fc-1)" in told


def test_what_an_old_heartbeat_says_of_a_stop_does_not_stand(home: Home) -> None:
    beat(home, in_force=["KILL_SWITCH"])
    assert "  waits" not in page(home), "it was released since"
    home.kill_files[0].touch()
    assert "  waits       python stop_trading.py --release (KILL_SWITCH)" in page(home)
    home.kill_files[0].unlink()
    beat(home, in_force=["KILL=1"])
    home.lock_file.write_text(str(os.getpid()))
    assert "  waits       unset KILL=1, then " in page(home), "only the service can know its own environment"


def test_a_dead_a_starting_and_a_frozen_lab_are_told_apart(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.lock_file.write_text(str(os.getpid()))
    assert f"starts as process {os.getpid()}, for 0 s, no heartbeat yet" in page(home)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    home.lock_file.write_text(str(gone.pid))
    beat(home, age_s=ALIVE_S + 60)
    assert "NOT RUNNING, heartbeat 360 s old" in page(home)
    home.lock_file.write_text(str(os.getpid()))
    assert f"starts as process {os.getpid()}, for 0 s, heartbeat 360 s old" in page(home)
    monkeypatch.setattr("ops.status.START_S", -1.0)  # it started long ago
    assert f"FROZEN? process {os.getpid()}, heartbeat 360 s old" in page(home)


def test_a_process_that_got_the_number_of_a_dead_lab_is_not_taken_for_it(home: Home) -> None:
    beat(home, age_s=ALIVE_S + 60)
    home.lock_file.write_text(str(os.getpid()))
    before_this_process_s = time.time() - 30 * 86_400
    os.utime(home.lock_file, (before_this_process_s, before_this_process_s))
    assert "NOT RUNNING, heartbeat 360 s old" in page(home)


def test_a_process_of_another_user_runs_all_the_same(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(pid: int, number: int) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "kill", forbidden)
    home.lock_file.write_text("4711")
    assert read_status(home, Clock()).pid == 4711


@pytest.mark.parametrize("name", ["state/KILL_SWITCH", ".kill"])
def test_every_kill_file_is_shown(home: Home, name: str) -> None:
    (home.root / name).touch()
    assert f"stop        {Path(name).name} is there" in page(home)


def test_every_other_stop_is_shown(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.pause_file.touch()
    assert "stop        PAUSED: no new positions" in page(home)
    stop_trading(home, by="ada", why="test", at_ms=NOW_MS, keep_positions=True)
    assert "stop        TRADING_STOPPED.json is there, positions are kept" in page(home)
    home.stopped_file.write_text("{")
    assert "stop        TRADING_STOPPED.json (unreadable content) is there" in page(home)
    home.env_file.write_text("KILL=1\n")
    home.env_file.chmod(0o600)
    assert "stop        KILL=1" in page(home)
    home.env_file.unlink()
    monkeypatch.setenv("KILL", "yes")
    assert "stop        KILL=yes" in page(home)


def test_the_mode_is_told_without_the_age_of_the_account(home: Home) -> None:
    kind = "live, STALE, as of 2026-01-21 05:00 UTC, 4 h old"
    beat(home, accounts=[{"kind": kind, "equity_quote": 1012.5}])
    assert "  mode        live; nothing is armed for live trading" in page(home).splitlines()
    assert f"  equity      1,012.50 USDT ({kind})" in page(home).splitlines()


def test_a_made_up_market_is_said(home: Home) -> None:
    beat(home, market="synthetic")
    assert "SYNTHETIC MARKET" in page(home)


def test_files_that_cannot_be_read_are_problems_not_ends(home: Home) -> None:
    home.heartbeat_file.write_text("{torn")
    (home.strategies / "testing" / "mr-1.json").write_text("[]")
    (home.strategies / "active" / "mr-2.json").write_bytes(b"\xff\xfe")
    home.env_file.write_text("TELEGRAM_TOKN=x\n")
    home.env_file.chmod(0o600)
    before = everything(home)
    told = read_status(home, Clock()).problems
    assert len(told) == 4
    for words in ("heartbeat.json", "mr-1.json", "mr-2.json", "TELEGRAM_TOKN"):
        assert any(words in line for line in told), words
    assert page(home).count("  problem     ") == 4
    assert "  holds       not known" in page(home), "a file that cannot be read says nothing"
    assert everything(home) == before


def test_pending_and_approved_list_only_those(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    assert main(["--pending"]) == 0
    assert capsys.readouterr().out == "none\n"
    armed, waiting = approved_carry(home), put_in_review(home, number=0xA1)
    assert main(["--pending"]) == 0
    assert capsys.readouterr().out == f"{waiting.id}  funding_carry   review       Funding carry\n"
    assert main(["--approved"]) == 0
    assert capsys.readouterr().out == f"{armed.id}  funding_carry   live_testing Funding carry\n"


def test_json_carries_everything(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    beat(home)
    spec = put_in_review(home)
    assert main(["--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["stages"] == {"review": 1}
    assert told["strategies"][0]["id"] == spec.id
    assert told["heartbeat"]["accounts"][0]["equity_quote"] == 1012.5
    assert (told["pid"], told["stop"], told["paused"], told["problems"]) == (None, None, False, [])


def test_a_home_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "nowhere"))
    assert main([]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_it_answers_at_once_writes_nothing_and_imports_no_exchange(home: Home) -> None:
    beat(home)
    for number in range(40):
        put_in_review(home, number=number)
    before = everything(home)
    code = "import sys, ops.get_status as g; g.main([]); print('ccxt' in sys.modules or 'numba' in sys.modules)"
    words = [sys.executable, "-c", code]
    took_s = []
    for _ in range(3):
        began_s = time.monotonic()
        done = subprocess.run(
            words, env={**os.environ, "LAB_HOME": str(home.root)}, cwd=ROOT, capture_output=True, text=True, check=True
        )
        took_s.append(time.monotonic() - began_s)
    assert done.stdout.rstrip().endswith("False")
    assert done.stderr == ""
    assert min(took_s) < 3.0, took_s  # on a busy machine; benchmarks/lab.py measures
    assert everything(home) == before
