"""The stop with no lab to help it: a carry is open, the lab is dead, frozen or busy, and it must end."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ops import stop_trading as script
from ops.demo.story import is_flat
from ops.environment import read_environment
from ops.lab_clock import lab_clock
from ops.settings import read_settings
from ops.venues import make_venue
from tests.ops.papers import no_faults, put
from tests.ops.world import NOW_MS, World, approved_carry, furnish, start_service, wait_for_beat
from tests.ops.world import end as end_service
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import StateFileError
from trading.domain.instrument import Market
from trading.domain.orders import Order, OrderType, Side
from trading.execution.intent_records import Purpose
from trading.execution.intents import Intents
from trading.funding.carry_settings import CarrySettings
from trading.funding.cycle_base import Carry
from trading.funding.desk import CarryDesk, DeskSettings, trading_lock
from trading.funding.report import CycleReport
from trading.journal.audit import CycleStatus
from trading.risk.counters import RiskCounters
from trading.risk.kill_switch import Stop, StopKind, read_stop
from trading.storage.home import Home

SCALE = 60.0
HOLDER = """
import sys, time
from pathlib import Path
from trading.storage.lock import only_one
state = Path(sys.argv[1])
with only_one(state / sys.argv[2], what="the lab"), only_one(state / "trading.lock", what="trading"):
    print("held", flush=True)
    time.sleep(float(sys.argv[3]))
"""
"""A process that holds the account, and the lab's own lock or another."""


@pytest.fixture
def carrying(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home whose lab opened a carry and died; flat again when the test is over, whatever it did."""
    home = Home(tmp_path / "home").make()
    furnish(home, world.url)
    monkeypatch.setenv("LAB_HOME", str(home.root))
    opened = asyncio.run(one_cycle(home, Stop()))
    assert opened.status is CycleStatus.EXECUTED, opened.decision
    assert opened.position is not None
    yield home
    no_faults(world)
    if not is_flat(world.ask("/sandbox/ledger")):
        furnish(home, world.url)
        assert script.main([]) == 0


async def one_cycle(home: Home, stop: Stop) -> CycleReport:
    """What the service's loop does with the armed carry."""
    settings, environment = read_settings(home.settings_file), read_environment(home)
    clock = lab_clock(settings)
    venue = make_venue(settings, environment, clock)
    rooms = DeskSettings(CarrySettings(), settings.risk, settings.execution)
    try:
        desk = CarryDesk(home, venue, settings=rooms, publish=lambda _: None, clock=clock, environment={})
        return await desk.cycle([Carry(approved_carry(home), armed=True)], stop=stop)
    finally:
        await venue.close()


async def leave_an_order(home: Home, world: World) -> None:
    """A bid far below the market, resting."""
    settings, environment = read_settings(home.settings_file), read_environment(home)
    venue = make_venue(settings, environment, lab_clock(settings))
    price = (await venue.quote(Market.SPOT, "BTCUSDT")).bid * 0.8
    bid = Decimal(f"{price:.1f}")
    order = Order(
        "left-over-1", Market.SPOT, "BTCUSDT", Side.BUY, OrderType.POST_ONLY, Decimal("0.001"), bid, reduce_only=False
    )
    try:
        await venue.place(order)
    finally:
        await venue.close()
    assert len(world.ask("/sandbox/ledger")["open_orders"]) == 1  # type: ignore[arg-type]


def hold(home: Home, *, lock: str = "lab.lock", seconds: float = 60.0) -> subprocess.Popen[str]:
    """Another process takes the account."""
    words = [sys.executable, "-c", HOLDER, str(home.state), lock, str(seconds)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(5)
    if process.stdout is not None:
        process.stdout.close()


def freeze_between_cycles(home: Home, pid: int) -> None:
    """Freeze the service while it does not hold the account, so that it may wake up again."""
    for _ in range(400):
        os.kill(pid, signal.SIGSTOP)
        try:
            with trading_lock(home):
                return
        except StateFileError:
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.05)
    raise AssertionError("the service never let go of the account")


def test_with_a_dead_lab_both_legs_are_closed_and_the_exchange_says_so(
    carrying: Home, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(leave_an_order(carrying, world))
    assert script.main(["--why", "drill"]) == 0
    out = capsys.readouterr().out
    assert "TRADING_STOPPED.json is written" in out
    assert "flat after" in out
    ledger = world.ask("/sandbox/ledger")
    assert is_flat(ledger)
    assert ledger["open_orders"] == []
    assert ledger["equity"]["adds_up"] is True  # type: ignore[index]
    assert world.ask("/sandbox/seen")["duplicate_orders"] == []
    kept = json.loads(carrying.stopped_file.read_text())
    assert (kept["why"], kept["keep_positions"]) == ("drill", False)
    perp = [order for order in world.ask("/sandbox/seen")["orders"] if order["market"] == "perp"]  # type: ignore[attr-defined]
    assert perp[-1]["side"] == "BUY"
    assert perp[-1]["reduce_only"] is True


def test_asked_again_it_finds_nothing_to_do_and_the_next_lab_books_what_was_closed(
    carrying: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main([]) == 0
    assert script.main([]) == 0
    stop = read_stop(carrying, {})
    assert stop.kind is StopKind.STOPPED
    report = asyncio.run(one_cycle(carrying, stop))
    assert report.status is CycleStatus.HALTED
    assert report.position is None
    capsys.readouterr()
    assert script.main([]) == 0
    assert "nothing of this lab's is open" in capsys.readouterr().out


@pytest.mark.parametrize("kept_lines", [0, 9])
def test_a_journal_that_lost_its_orders_is_never_taken_for_flat(
    carrying: Home, world: World, capsys: pytest.CaptureFixture[str], kept_lines: int
) -> None:
    journal = carrying.intents_file.read_bytes()
    carrying.intents_file.write_bytes(b"".join(journal.splitlines(keepends=True)[:kept_lines]))
    orders = world.ask("/sandbox/seen")["orders"]
    assert script.main([]) == 2
    assert "current_positions.json: holds c-0000" in capsys.readouterr().err
    assert not (carrying.state / "seen_flat.json").exists()
    with pytest.raises(StateFileError, match=r"restore intents\.jsonl from a backup"):
        asyncio.run(one_cycle(carrying, Stop()))
    assert world.ask("/sandbox/seen")["orders"] == orders, "no leg is closed alone"
    carrying.intents_file.write_bytes(journal)
    assert script.main([]) == 0
    assert is_flat(world.ask("/sandbox/ledger"))


def test_keep_positions_leaves_the_hedge_and_opens_nothing_new(carrying: Home, world: World) -> None:
    before = world.ask("/sandbox/ledger")["positions"]
    orders = len(world.ask("/sandbox/seen")["orders"])  # type: ignore[arg-type]
    assert script.main(["--keep-positions"]) == 0
    stop = read_stop(carrying, {})
    assert stop.blocks_entries
    assert not stop.demands_flat
    report = asyncio.run(one_cycle(carrying, stop))
    assert report.position is not None
    after = world.ask("/sandbox/ledger")["positions"]
    assert [row["quantity"] for row in after] == [row["quantity"] for row in before]  # type: ignore[attr-defined]
    assert len(world.ask("/sandbox/seen")["orders"]) == orders  # type: ignore[arg-type]


def test_an_exchange_in_trouble_is_asked_until_it_is_flat(carrying: Home, world: World) -> None:
    faults = [
        {"match": "POST /api/v3/order", "kind": "lost_answer"},
        {"match": "POST /fapi/v1/order", "kind": "503"},
        {"match": "DELETE /api/v3/openOrders", "kind": "drop_socket"},
    ]
    put(world, "/sandbox/faults", faults)
    assert script.main([]) == 0
    assert is_flat(world.ask("/sandbox/ledger"))
    assert world.ask("/sandbox/seen")["duplicate_orders"] == []


def test_a_frozen_lab_that_holds_the_account_is_ended(
    carrying: Home, world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "FROZEN_PATIENCE_S", 0.5)
    carrying.heartbeat_file.write_text("{}")
    lab = hold(carrying)
    try:
        os.kill(lab.pid, signal.SIGSTOP)
        assert script.main([]) == 0
        assert lab.wait(5) == -signal.SIGKILL
    finally:
        end(lab)
    assert f"process {lab.pid} does not let go" in capsys.readouterr().out
    assert is_flat(world.ask("/sandbox/ledger"))


async def test_a_lab_that_was_ended_is_given_the_time_to_be_gone(home: Home) -> None:
    lab, killed = hold(home), list[int]()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "kill", lambda pid, _: killed.append(pid))
            holder = script._Holder(home, lambda _: None, script.Patience(frozen_s=0.0, busy_s=0.0))
            assert [await holder.waited() for _ in range(3)] == [True, True, True]
            assert killed == [lab.pid], "killed once, then waited for"
            patch.setattr(script, "ENDED_PATIENCE_S", 0.0)
            assert not await holder.waited()
    finally:
        end(lab)


def test_a_lab_without_a_heartbeat_for_minutes_counts_as_frozen(
    carrying: Home, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "FROZEN_PATIENCE_S", 0.5)
    carrying.heartbeat_file.write_text("{}")
    old = time.time() - 3600
    os.utime(carrying.heartbeat_file, (old, old))
    lab = hold(carrying)
    try:
        assert script.main([]) == 0
    finally:
        end(lab)
    assert is_flat(world.ask("/sandbox/ledger"))


def test_a_lab_that_works_on_the_account_is_waited_for(
    carrying: Home, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = hold(carrying, seconds=1.0)
    try:
        assert script.main([]) == 0
        assert lab.wait(5) == 0, "it was ended although it worked"
    finally:
        end(lab)
    assert f"process {lab.pid} works on the account" in capsys.readouterr().out
    assert is_flat(world.ask("/sandbox/ledger"))


def test_a_process_that_is_not_the_lab_is_named_and_left_alone(
    carrying: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "BUSY_PATIENCE_S", 0.5)
    other = hold(carrying, lock="other.lock")
    try:
        assert script.main([]) == 2
        assert other.poll() is None
    finally:
        end(other)
    err = capsys.readouterr().err
    assert f"already runs as process {other.pid}" in err
    assert "run it again" in err


def test_an_exchange_that_is_gone_leaves_the_stop_and_says_what_to_do(
    carrying: Home, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    carrying.settings_file.write_text(carrying.settings_file.read_text().replace(world.url, "http://127.0.0.1:9"))
    assert script.main([]) == 2
    assert carrying.stopped_file.exists()
    assert "run it again" in capsys.readouterr().err


@pytest.mark.timeout(90)
def test_a_real_service_that_is_frozen_finds_itself_stopped_when_it_wakes(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home").make()
    furnish(home, world.url)
    approved_carry(home)
    monkeypatch.setenv("LAB_HOME", str(home.root))
    service = start_service(home)
    try:
        until_s = time.monotonic() + 40
        while not (home.positions_file.exists() and '"status": "open"' in home.positions_file.read_text().lower()):
            assert time.monotonic() < until_s, home.log_file.read_text()[-2000:]
            assert service.poll() is None
            time.sleep(0.05)
        freeze_between_cycles(home, service.pid)
        assert script.main([]) == 0
        assert is_flat(world.ask("/sandbox/ledger"))
        orders = len(world.ask("/sandbox/seen")["orders"])  # type: ignore[arg-type]
        os.kill(service.pid, signal.SIGCONT)
        wait_for_beat(home, service, after=time.time())
        wait_for_beat(home, service, after=time.time())
        assert end_service(service) < 5.0
    finally:
        if service.poll() is None:
            service.kill()
            service.wait(5)
    assert len(world.ask("/sandbox/seen")["orders"]) == orders  # type: ignore[arg-type]
    assert is_flat(world.ask("/sandbox/ledger"))
    positions = json.loads(home.positions_file.read_text())
    assert positions["lives"] == [], "the woken lab has not booked what was closed"


def test_without_keys_the_stop_is_all_there_is_to_do(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    assert script.main([]) == 0
    assert home.stopped_file.exists()
    assert "no trading keys" in capsys.readouterr().out


def test_a_stop_that_cannot_be_written_says_which_one_was_and_none_is_one_line(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    home.stopped_file.mkdir()
    assert script.main([]) == 0
    instead = (
        "stopped: state/KILL_SWITCH is written in place of state/TRADING_STOPPED.json, which cannot be; nothing new"
    )
    assert capsys.readouterr().out.startswith(instead)
    assert read_stop(home, {}).demands_flat

    def refused(path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "touch", refused)
    assert script.main([]) == 0, "the one that stands already is one"
    assert capsys.readouterr().out.startswith(instead)
    (home.state / "KILL_SWITCH").unlink()
    assert script.main([]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("stop_trading.py: NOT STOPPED, no stop can be written: ")
    assert told.err.count("\n") == 1


def test_a_release_that_cannot_disarm_releases_nothing_and_is_one_line(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    approved_carry(home)
    home.kill_files[1].touch()
    unlink = Path.unlink

    def stays(path: Path, **how: bool) -> None:
        if path == home.armed_file:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        unlink(path, **how)

    monkeypatch.setattr(Path, "unlink", stays)
    assert script.main(["--release"]) == 2
    assert capsys.readouterr().err == (
        f"stop_trading.py: {home.armed_file}: cannot be removed: Read-only file system; check space and permissions\n"
    )
    assert read_stop(home, {}).kind is StopKind.KILL


def test_that_nothing_is_open_stays_true_where_it_cannot_be_noted(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    (home.state / "seen_flat.json").mkdir()
    assert script.main([]) == 0
    told = capsys.readouterr()
    assert "the journal knows of nothing that is open" in told.out
    assert told.err.startswith("stop_trading.py: that cannot be noted for the watchman: ")


def test_release_takes_every_stop_back_and_asks_for_the_halts(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    approved_carry(home)
    counters = RiskCounters(home.state / "risk_counters.json")
    counters.halt(Decision(False, Reason.LOSS_STREAK, 5.0, 5.0), NOW_MS)
    assert script.main(["--keep-positions"]) == 0
    for path in (*home.kill_files, home.pause_file):
        path.write_text("any content")
    assert script.main(["--release"]) == 0
    assert read_stop(home, {}).kind is StopKind.NONE
    assert not home.armed_file.exists()
    assert script.release_request(home).exists()
    out = capsys.readouterr().out
    for words in ("TRADING_STOPPED.json", "KILL_SWITCH", ".kill", "PAUSED", "LOSS_STREAK", "no longer armed"):
        assert words in out


def test_release_without_a_halt_leaves_no_wish_for_a_halt_to_come(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    assert script.main(["--release"]) == 0
    assert not script.release_request(home).exists()
    assert capsys.readouterr().out == "released: nothing was stopped\n"


def test_release_says_that_a_kill_in_the_environment_still_stands(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    monkeypatch.setenv("KILL", "1")
    assert script.main(["--release"]) == 0
    assert "KILL is still set" in capsys.readouterr().out


def test_without_keys_it_says_what_the_journal_holds_and_does_not_call_that_flat(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    assert script.main([]) == 0
    assert "nothing that is open" in capsys.readouterr().out
    both = (Decimal("0.002"), Decimal("0.002"))
    Intents(home.intents_file).begin("c-000001", Purpose.OPEN, "BTCUSDT", both, leverage=1, at_ms=1)
    assert script.main([]) == 1
    assert "NOT CHECKED: c-000001 may be open" in capsys.readouterr().out


def test_a_slip_in_the_settings_does_not_keep_positions_open(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    home.settings_file.write_text("risk: {trade_pc: 3}\n")
    assert script.main([]) == 0
    told = capsys.readouterr()
    assert "did you mean risk.trade_pct?; stopping with the default settings" in told.err
    assert home.stopped_file.exists()
