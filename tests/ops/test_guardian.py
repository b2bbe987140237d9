"""The guardian over real sockets: each trigger, a frozen lab, its own death, and a stop that stays one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops import stop_trading as script
from ops.demo.story import is_flat
from ops.guardian.process import guardian_line, run_guardian
from tests.ops.guarding import (
    close_the_contract,
    closed_by,
    guarded,
    is_filed_flat,
    leave_a_bid,
    open_carry,
    wait_for,
    watch_until,
)
from tests.ops.papers import no_faults, put
from tests.ops.world import World, furnish
from trading.domain.clock import Clock
from trading.domain.errors import SettingsError, StateFileError
from trading.domain.events import Severity
from trading.execution.intents import Intents
from trading.notify.message import Message
from trading.notify.outbox import Outbox
from trading.risk.kill_switch import StopKind, read_stop
from trading.storage.home import Home

SCALE = 20.0
LAB = """
import os, sys
from pathlib import Path
from trading.storage.home import Home
from trading.storage.lock import only_one
import time
home = Home(Path(sys.argv[1]))
home.heartbeat_file.write_text("{}")
with only_one(home.lock_file, what="the lab"), only_one(home.state / "trading.lock", what="trading"):
    print("held", flush=True)
    while True:
        home.pulse_file.touch()
        time.sleep(0.1)
"""
"""A lab in the middle of a cycle: it holds the account and its loop turns."""


@contextmanager
def busy_lab(home: Home) -> Iterator[subprocess.Popen[str]]:
    """Such a lab, until the block ends."""
    with subprocess.Popen([sys.executable, "-c", LAB, str(home.root)], stdout=subprocess.PIPE, text=True) as lab:
        try:
            assert lab.stdout is not None
            assert lab.stdout.readline() == "held\n"
            yield lab
        finally:
            lab.kill()


@pytest.fixture
def carrying(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home whose lab opened a carry and died; flat again when the test is over, whatever it did."""
    home = Home(tmp_path / "home").make()
    furnish(home, world.url)
    with home.settings_file.open("a") as file:
        file.write("guardian: {look_s: 0.3, countdown_s: 40}\n")
    monkeypatch.setenv("LAB_HOME", str(home.root))
    assert open_carry(home).position is not None
    yield home
    no_faults(world)
    if not is_flat(world.ask("/sandbox/ledger")):
        assert script.main([]) == 0


def set_guardian(home: Home, words: str) -> None:
    """Other settings of the guardian."""
    lines = home.settings_file.read_text().splitlines()[:-1]
    home.settings_file.write_text("\n".join([*lines, f"guardian: {{look_s: 0.3, {words}}}\n"]))


def seconds(home: Home, name: str) -> float:
    """From seen to `cancelled_s` or `flat_s`."""
    closed = closed_by(home)
    return float(str(closed[name])) - float(str(closed["seen_s"]))


def test_a_frozen_lab_that_holds_the_account_is_ended_and_all_is_flat_within_seconds(
    carrying: Home, world: World
) -> None:
    with busy_lab(carrying) as lab, guarded(carrying) as guardian:
        leave_a_bid(carrying)
        os.kill(lab.pid, signal.SIGSTOP)
        (carrying.state / "KILL_SWITCH").write_text("")
        wait_for(carrying, lambda: is_filed_flat(carrying), guardian)
        assert lab.wait(5) == -signal.SIGKILL
    assert closed_by(carrying)["reason"] == "KILL_SWITCH"
    assert seconds(carrying, "cancelled_s") < 5
    assert seconds(carrying, "flat_s") < 15
    ledger = world.ask("/sandbox/ledger")
    assert is_flat(ledger), ledger
    assert world.ask("/sandbox/seen")["duplicate_orders"] == []
    (carrying.state / "KILL_SWITCH").unlink()
    stop = read_stop(carrying, {})
    assert (stop.kind, stop.demands_flat) == (StopKind.STOPPED, True), "the kill file is gone, the stop is not"
    assert (carrying.state / "seen_flat.json").exists()
    orders = len(world.ask("/sandbox/seen")["orders"])  # type: ignore[arg-type]
    carrying.guardian_file.unlink()
    watch_until(carrying, lambda: is_filed_flat(carrying))
    assert closed_by(carrying)["reason"] == "STOPPED_BY_HUMAN", "the next guardian honours the stop"
    assert len(world.ask("/sandbox/seen")["orders"]) == orders, "and has nothing more to send"  # type: ignore[arg-type]
    messages = [json.loads(file.read_text())["text"] for file in carrying.outbox.glob("[0-9]*.json")]
    assert any("flat and verified after" in text for text in messages), messages


def test_kill_in_the_env_file_is_seen_while_it_runs_and_an_exchange_in_trouble_is_asked_until_flat(
    carrying: Home, world: World
) -> None:
    faults = [
        {"match": "DELETE /api/v3/openOrders", "kind": "503"},
        {"match": "DELETE /fapi/v1/allOpenOrders", "kind": "drop_socket"},
        {"match": "POST /fapi/v1/order", "kind": "lost_answer"},
    ]
    put(world, "/sandbox/faults", faults)

    def kill() -> None:
        carrying.env_file.write_text(carrying.env_file.read_text() + "KILL=1\n")

    watch_until(carrying, lambda: is_filed_flat(carrying), kill)
    assert is_flat(world.ask("/sandbox/ledger"))
    assert world.ask("/sandbox/seen")["duplicate_orders"] == []


def test_a_leg_that_the_exchange_closes_while_the_loop_is_frozen_takes_the_other_with_it(
    carrying: Home, world: World
) -> None:
    set_guardian(carrying, "bare_s: 0.5")

    def deleverage() -> None:
        put(world, "/sandbox/force-close", {"kind": "ADL"})

    with busy_lab(carrying) as lab:
        os.kill(lab.pid, signal.SIGSTOP)
        watch_until(carrying, lambda: is_filed_flat(carrying), deleverage)
        assert lab.wait(5) == -signal.SIGKILL, "it held the account"
    assert closed_by(carrying)["reason"] == "UNHEDGED"
    assert seconds(carrying, "flat_s") < 5
    assert is_flat(world.ask("/sandbox/ledger"))
    assert world.ask("/sandbox/seen")["duplicate_orders"] == []


def test_a_leg_that_was_closed_by_force_while_the_lab_is_dead_takes_the_other_with_it(
    carrying: Home, world: World
) -> None:
    set_guardian(carrying, "abandoned_s: 1")
    watch_until(carrying, lambda: is_filed_flat(carrying), lambda: close_the_contract(carrying))
    assert closed_by(carrying)["reason"] == "UNHEDGED"
    assert is_flat(world.ask("/sandbox/ledger"))
    assert read_stop(carrying, {}).demands_flat


@pytest.mark.parametrize(
    ("words", "reason"), [("margin_ratio_pct: 0.1", "MARGIN_RATIO"), ("dead_lab_s: 0.5", "LAB_SILENT")]
)
def test_margin_and_a_dead_lab_close_everything(carrying: Home, world: World, words: str, reason: str) -> None:
    set_guardian(carrying, words)
    watch_until(carrying, lambda: is_filed_flat(carrying))
    assert closed_by(carrying)["reason"] == reason
    assert is_flat(world.ask("/sandbox/ledger"))


def test_when_the_guardian_is_killed_the_venue_cancels_what_rests(carrying: Home, world: World) -> None:
    set_guardian(carrying, "countdown_s: 100")  # five real seconds: a busy machine may take two for a renewal

    def renewals() -> int:
        return int(world.ask("/sandbox/seen")["requests"].get("POST /fapi/v1/countdownCancelAll", 0))  # type: ignore[attr-defined]

    before = renewals()
    assert "no guardian watches" in guardian_line(carrying)
    with guarded(carrying) as guardian:
        assert f"process {guardian.pid}" in guardian_line(carrying)
        with pytest.raises(StateFileError, match="the guardian already runs"):
            run_guardian()
        wait_for(carrying, lambda: renewals() > before, guardian)  # what an earlier guardian armed counts no more
        leave_a_bid(carrying)
        wait_for(carrying, lambda: renewals() >= before + 3, guardian)
        assert world.ask("/sandbox/ledger")["open_orders"], "it was cancelled while the guardian lived"
        guardian.kill()
        guardian.wait(5)
    until_s = time.monotonic() + 15
    while world.ask("/sandbox/ledger")["open_orders"]:
        assert time.monotonic() < until_s
        time.sleep(0.05)
    assert not is_flat(world.ask("/sandbox/ledger")), "the hedge stays"


def test_without_keys_there_is_nothing_to_guard(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    with pytest.raises(SettingsError, match="no trading keys"):
        run_guardian()


def test_a_line_that_is_being_written_is_left_to_its_writer(home: Home) -> None:
    home.intents_file.write_bytes(b'{"kind":"closed","position_id":"c-1"}\n{"kind":"clo')
    beside = Intents(home.intents_file, mends=False)
    assert beside.notes == ()
    with home.intents_file.open("ab") as file:
        file.write(b'sed","position_id":"c-2"}\n{"torn')
    beside.catch_up()
    assert beside.is_closed("c-2")
    assert home.intents_file.read_bytes().endswith(b"{torn".replace(b"{", b'{"'))
    beside.catch_up(alone=True)
    assert beside.notes
    assert home.intents_file.read_bytes().endswith(b'"c-2"}\n')


def test_that_it_was_not_flat_is_told_no_more_once_a_human_has_released_the_stop(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home").make()
    furnish(home, world.url)
    monkeypatch.setenv("LAB_HOME", str(home.root))
    outbox, key = Outbox(home.outbox), "guardian:not_flat"
    outbox.put(Message("alert", "🚨 NOT FLAT", dedup_key=key, severity=Severity.ALERT, is_money=True), Clock())
    watch_until(home, lambda: key not in outbox.open_alerts())
