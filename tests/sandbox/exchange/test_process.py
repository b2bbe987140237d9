"""The process: its one line, its end, its clock, and what it says to bad input."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox.clock import SandboxClock
from tests.sandbox.exchange.conftest import GAP_MS, HOUR_MS, START_MS, start_town


async def test_it_starts_soon_tells_where_and_ends_at_once(tape: Path) -> None:
    started_s = time.monotonic()
    town = start_town(tape, "--scale", "60")
    assert time.monotonic() - started_s < 5.0
    segment = await town.call("GET", "/sandbox/clock")
    assert segment["scale"] == 60.0
    assert START_MS <= segment["now_ms"] < START_MS + 120_000
    ended_s = time.monotonic()
    town.process.terminate()
    out, err = town.process.communicate(timeout=5)
    assert time.monotonic() - ended_s < 1.0
    assert (town.process.returncode, out, err) == (0, "", "")


def test_it_ends_with_who_started_it_however_that_went(tape: Path) -> None:
    words = ["-m", "sandbox", "--tape", str(tape), "--symbol", "BTCUSDT", "--start", str(START_MS), "--with-parent"]
    code = f"import subprocess, sys; subprocess.run([sys.executable, *{words!r}])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        port = json.loads(parent.stdout.readline())["port"]
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            pass
        parent.kill()
        parent.stdout.read()  # ends when the sandbox, which has the other end, is gone
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--start", "0"], "no bars of BTCUSDT cover --start 0"),
        (["--start", "soon"], "invalid int value: 'soon'"),
        (["--start", str(START_MS), "--tape", "nowhere"], "tape nowhere: no such folder"),
        (["--start", str(START_MS), "--symbol", "BTCEUR"], "--symbol BTCEUR"),
        (["--start", str(START_MS), "--scale", "-1"], "--scale -1.0"),
        (["--start", str(START_MS), "--spot-usdt", "much"], "--spot-usdt much"),
        (["--start", str(START_MS), "--port", "70000"], "--port 70000"),
        (["--start", str(START_MS), "--faults", "missing.json"], "missing.json: cannot be read"),
        (["--start", str(START_MS), "--gemini-script", "missing.json"], "missing.json: cannot be read"),
        ([], "--start"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tape: Path, arguments: list[str], words: str) -> None:
    command = [sys.executable, "-m", "sandbox", "--tape", str(tape), "--symbol", "BTCUSDT", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_port_that_is_taken_is_told(tape: Path) -> None:
    town = start_town(tape)
    try:
        command = [sys.executable, "-m", "sandbox", "--tape", str(tape), "--symbol", "BTCUSDT"]
        command += ["--start", str(START_MS), "--port", str(town.port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith(f"sandbox: port {town.port}: ")
        assert done.stderr.count("\n") == 1
    finally:
        town.process.terminate()
        town.process.communicate(timeout=5)


async def test_the_clock_bends_where_it_was_told_and_refuses_nonsense(tape: Path) -> None:
    town = start_town(tape)
    try:
        await town.turn(scale=36_000.0, until_ms=float(GAP_MS), scale_after=2.0)
        assert town.segment["until_ms"] == GAP_MS
        await town.until(GAP_MS)
        await asyncio.sleep(0.2)
        now_ms = (await town.call("GET", "/sandbox/clock"))["now_ms"]
        assert abs(now_ms - town.now_ms()) < 200
        assert now_ms < GAP_MS + HOUR_MS
        for body, words in (({"scale": 0}, "scale=0"), ({}, "scale is missing"), ({"scale": "fast"}, "scale='fast'")):
            assert words in (await town.call("POST", "/sandbox/clock", body))["error"]
    finally:
        town.process.terminate()
        town.process.communicate(timeout=5)


async def test_sleepers_follow_a_change_of_speed() -> None:
    clock = SandboxClock(0.0, scale=1.0)
    sleeper = asyncio.ensure_future(clock.sleep_until_ms(HOUR_MS))
    await asyncio.sleep(0.02)
    assert not sleeper.done()
    clock.turn(scale=360_000.0)
    await asyncio.wait_for(sleeper, 2.0)
    assert clock.now_ms() >= HOUR_MS


async def test_a_rest_ends_at_the_bend() -> None:
    clock = SandboxClock(0.0, scale=1.0)
    clock.turn(scale=1000.0, until_ms=50_000.0, scale_after=1.0)
    started_s = clock.real_s()
    await clock.rest_s(5.0)
    assert clock.real_s() - started_s < 1.0
    assert clock.now_ms() >= 50_000
