"""The watchman under cron: restarts what died or froze, appends to its log, and lets a stopped lab lie."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MONITOR = Path(__file__).resolve().parents[2] / "monitor_bot.sh"


class Watch:
    """A home watched by the script, whose 'service' is a process named like ours that only sleeps."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state = home / "state"
        self.state.mkdir()
        self.service = home / "ops-service.sh"
        self.service.write_text(f'#!/bin/bash\necho $$ > "{self.state}/lab.lock"\nexec -a ops-service sleep 60\n')
        self.service.chmod(0o755)
        self.started: list[int] = []

    def run(self, **environment: str) -> str:
        settings = {"LAB_HOME": str(self.home), "MONITOR_START_COMMAND": str(self.service), **environment}
        subprocess.run(["bash", MONITOR], env={"PATH": os.environ["PATH"], **settings}, check=True, timeout=30)
        return self.log()

    def log(self) -> str:
        return (self.home / "logs" / "monitor.log").read_text()

    def wait_for_service(self) -> int:
        lock = self.state / "lab.lock"
        for _ in range(200):
            if lock.exists() and lock.read_text().strip():
                pid = int(lock.read_text())
                if b"ops-service" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    self.started.append(pid)
                    return pid
            subprocess.run(["sleep", "0.02"], check=True)
        raise AssertionError("the service was not started")

    def beat(self, *, age_s: int = 0) -> None:
        heartbeat = self.state / "heartbeat.json"
        heartbeat.write_text("{}")
        subprocess.run(["touch", "-d", f"{age_s} seconds ago", heartbeat], check=True)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    watched = Watch(tmp_path)
    yield watched
    for pid in watched.started:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, 9)


def test_a_dead_service_is_started(watch: Watch) -> None:
    assert "restart: no process" in watch.run()
    pid = watch.wait_for_service()
    watch.beat()
    assert f"ok: pid {pid}" in watch.run()


def test_a_service_with_an_old_heartbeat_is_restarted(watch: Watch) -> None:
    watch.run()
    old_pid = watch.wait_for_service()
    watch.beat(age_s=900)
    subprocess.run(["sleep", "2.1"], check=True)  # ps counts whole seconds of age
    (watch.state / "lab.lock").write_text(str(old_pid))
    assert "heartbeat 90" in watch.run(MONITOR_MAX_HEARTBEAT_AGE_S="1")
    new_pid = watch.wait_for_service()
    assert new_pid != old_pid or not Path(f"/proc/{old_pid}").exists()


@pytest.mark.parametrize("stop", ["state/TRADING_STOPPED.json", "state/KILL_SWITCH", ".kill"])
def test_a_stopped_lab_stays_stopped(watch: Watch, stop: str) -> None:
    (watch.home / stop).write_text("")
    log = watch.run()
    assert "stopped, not restarting" in log
    assert "restart:" not in log.replace("not restarting", "")
    assert not (watch.state / "lab.lock").exists()


def test_kill_in_the_env_file_is_a_stop_too(watch: Watch) -> None:
    (watch.home / ".env").write_text("KILL=1\n")
    assert "KILL=1" in watch.run()
    assert not (watch.state / "lab.lock").exists()


def test_three_restarts_within_an_hour_are_an_alert(watch: Watch) -> None:
    for _ in range(3):
        log = watch.run()
        watch.wait_for_service()
        (watch.state / "lab.lock").write_text("")
    assert log.count("restart: no process") == 3
    assert "alert: AI Trading Lab: 3 restarts within an hour" in log


def test_a_log_too_large_is_rotated_and_nothing_is_lost(watch: Watch) -> None:
    logs = watch.home / "logs"
    logs.mkdir()
    (logs / "ai_lab.log").write_bytes(b"x" * 2_000_000)
    (watch.state / "KILL_SWITCH").write_text("")
    watch.run(MONITOR_MAX_LOG_MB="1")
    assert (logs / "ai_lab.log").read_bytes() == b""
    assert (logs / "ai_lab.log.1").stat().st_size == 2_000_000


def test_its_own_log_is_appended_to(watch: Watch) -> None:
    (watch.state / "KILL_SWITCH").write_text(json.dumps({}))
    watch.run()
    assert watch.run().count("stopped, not restarting") == 2


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
@pytest.mark.parametrize("script", ["monitor_bot.sh", "lab"])
def test_shell_scripts_are_clean(script: str) -> None:
    subprocess.run(["shellcheck", MONITOR.parent / script], check=True)
