"""Work in a process of its own: its answer, its errors, its death, and that it never outlives who asked."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ops.apart import apart
from tests.ai_brain.tapes import wandering_tape
from trading.domain.errors import DataProviderError, FarmError
from trading.market.tape import Tape

WAIT_S = 20.0


def who_i_am(words: str, *, times: int) -> tuple[int, int, str]:
    print("this must not get into the answer")
    return os.getpid(), os.nice(0), words * times


def closes_of(tape: Tape) -> tuple[str, bool, float]:
    return tape.content_hash, tape.close.flags.writeable, float(tape.close.sum())


def refuse() -> None:
    raise DataProviderError("no such market; fetch it")


def stumble() -> None:
    raise KeyError("a bug")


def leave(code: int) -> None:
    os._exit(code)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep_and_tell(file: Path) -> None:
    file.write_text(str(os.getpid()))
    time.sleep(60)


async def pid_in(file: Path) -> int:
    async with asyncio.timeout(WAIT_S):
        while not (file.exists() and file.read_text()):  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.02)
    return int(file.read_text())


async def gone(pid: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while Path(f"/proc/{pid}").exists():  # noqa: ASYNC110  # another process ends
            await asyncio.sleep(0.02)


async def test_another_process_answers_gives_way_and_what_it_prints_is_no_answer() -> None:
    pid, niceness, words = await apart(who_i_am, "ab", times=2)
    assert pid != os.getpid()
    assert niceness == min(19, os.nice(0) + 10)
    assert words == "abab"


async def test_a_tape_arrives_as_it_was_and_read_only_so_that_no_kernel_is_compiled_anew() -> None:
    tape = wandering_tape()
    sha256, is_writeable, total = await apart(closes_of, tape)
    assert (sha256, is_writeable, total) == (tape.content_hash, False, float(np.sum(tape.close)))


async def test_what_it_raises_is_raised_here_with_where_it_was() -> None:
    with pytest.raises(DataProviderError, match="no such market") as refused:
        await apart(refuse)
    assert "in refuse" in refused.value.__notes__[0]
    with pytest.raises(KeyError, match="a bug"):
        await apart(stumble)


async def test_a_process_that_dies_is_one_line_and_one_that_just_leaves_is_a_bug() -> None:
    with pytest.raises(FarmError, match="die: the process that does it was ended by SIGKILL; is there memory enough"):
        await apart(die)
    with pytest.raises(RuntimeError, match="leave"):
        await apart(leave, 3)


async def test_the_loop_goes_on_and_nothing_is_left_when_nobody_waits_any_more(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    waiting = asyncio.create_task(apart(sleep_and_tell, file))
    pid = await pid_in(file)
    os.kill(pid, signal.SIGTERM)  # as a terminal's or a service manager's, to the whole group: who asked decides
    await asyncio.sleep(0.1)
    assert Path(f"/proc/{pid}").exists()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not Path(f"/proc/{pid}").exists()


async def test_it_does_not_outlive_who_asked_however_that_ended(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    program = (
        "import asyncio, pathlib; from ops.apart import apart; from tests.ops.test_apart import sleep_and_tell\n"
        f"asyncio.run(apart(sleep_and_tell, pathlib.Path({str(file)!r})))"
    )
    asker = subprocess.Popen([sys.executable, "-c", program])  # noqa: ASYNC220  # killed with SIGKILL
    try:
        pid = await pid_in(file)
    finally:
        asker.kill()
        asker.wait()
    await gone(pid)
