"""Work in a process of its own: its answer, its errors, its death, and that it never outlives who asked."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ops.apart import apart, at_hand
from ops.door import ROOT
from ops.resident import resident_bytes
from tests.ai_brain.tapes import wandering_tape
from trading.domain.errors import DataProviderError, FarmError, RateLimitError
from trading.market.tape import Tape

WAIT_S = 20.0
HELD: list[bytes] = []


def who_i_am(words: str, *, times: int) -> tuple[int, int, str]:
    print("this must not get into the answer")
    return os.getpid(), os.nice(0), words * times


def grow_heavy() -> int:
    HELD.append(bytes(b"x" * 300_000_000))
    return os.getpid()


def my_pid(*, after_s: float = 0.0) -> int:
    time.sleep(after_s)
    return os.getpid()


def closes_of(tape: Tape) -> tuple[str, bool, float]:
    return tape.content_hash, tape.close.flags.writeable, float(tape.close.sum())


def refuse() -> None:
    raise DataProviderError("no such market; fetch it")


def stumble() -> None:
    raise KeyError("a bug")


def leave(code: int) -> None:
    os._exit(code)


def die(by: int) -> None:
    print("my last words", file=sys.stderr)
    os.kill(os.getpid(), by)


def die_before_the_question(*_: object) -> None:
    raise AssertionError("never comes here")


def run_out_of_memory() -> None:
    raise MemoryError


def speak_into_the_answer() -> str:
    subprocess.run(["echo", "this is no answer"], check=True)
    return "an answer"


def raise_what_does_not_travel() -> None:
    raise RateLimitError("too many", retry_after_s=3.0)


def told_much(file: Path) -> bytes:
    file.write_text(str(os.getpid()))
    return bytes(30_000_000)


def sleep_and_tell(file: Path) -> None:
    file.write_text(str(os.getpid()))
    time.sleep(60)


async def pid_in(file: Path) -> int:
    async with asyncio.timeout(WAIT_S):
        while not (file.exists() and file.read_text()):  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.02)
    return int(file.read_text())


def status_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/status").read_text().splitlines()


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


async def test_an_error_that_does_not_travel_arrives_in_words() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)in raise_what_does_not_travel.*RateLimitError: too many"):
        await apart(raise_what_does_not_travel)


async def test_what_its_own_processes_print_is_no_answer_either() -> None:
    assert await apart(speak_into_the_answer) == "an answer"


async def test_one_that_was_ended_is_one_line_and_one_that_broke_or_just_left_is_a_bug_with_its_last_words() -> None:
    with pytest.raises(FarmError, match="die: the process that does it was ended by SIGKILL; is there memory enough"):
        await apart(die, signal.SIGKILL)
    with pytest.raises(RuntimeError, match=r"(?s)die: .* ended by SIGSEGV: my last words"):
        await apart(die, signal.SIGSEGV)
    with pytest.raises(RuntimeError, match=r"leave: .* ended by exit status 3"):
        await apart(leave, 3)


async def test_a_machine_without_room_for_it_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FarmError, match="not memory enough"):
        await apart(run_out_of_memory)

    async def no_room(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(asyncio, "create_subprocess_exec", no_room)
    with pytest.raises(FarmError, match="refuse: no process for it could be started: Cannot allocate memory"):
        await apart(refuse)


async def test_it_does_nothing_with_other_code_than_that_of_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.apart.CODE", "0" * 64)
    with pytest.raises(FarmError, match="sources have changed since it started; restart it"):
        await apart(refuse)


async def test_one_at_hand_sees_sources_that_change_between_two_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = tmp_path / "checkout"
    for folder in ("ops", "ai_brain", "src"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", f"{copy}:{copy / 'src'}")
    monkeypatch.chdir(copy)  # `python -m` looks there first
    async with at_hand():
        pid = await apart(os.getpid)
        assert await apart(os.getpid) == pid
        (copy / "ops" / "run.py").write_text("an update wrote this\n")
        with pytest.raises(FarmError, match="sources have changed since it started; restart it"):
            await apart(os.getpid)


async def test_a_question_larger_than_a_pipe_to_one_that_dies_at_once_ends_with_that(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nexit 7\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(RuntimeError, match="ended by exit status 7"):
            await apart(die_before_the_question, bytes(30_000_000))


async def test_nobody_waiting_any_more_for_a_large_answer_that_is_under_way_ends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    began = asyncio.Event()
    feed = asyncio.StreamReader.feed_data

    def feeding(reader: asyncio.StreamReader, data: bytes) -> None:
        feed(reader, data)
        began.set()

    monkeypatch.setattr(asyncio.StreamReader, "feed_data", feeding)
    waiting = asyncio.create_task(apart(told_much, tmp_path / "pid"))
    async with asyncio.timeout(WAIT_S):
        await began.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert not Path(f"/proc/{int((tmp_path / 'pid').read_text())}").exists()


async def test_the_loop_goes_on_and_nothing_is_left_when_nobody_waits_any_more(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    waiting = asyncio.create_task(apart(sleep_and_tell, file))
    pid = await pid_in(file)
    # A terminal's or a service manager's signal goes to the whole group: who asked decides.
    ignored = int(next(line for line in status_of(pid) if line.startswith("SigIgn")).split()[1], 16)
    assert all(ignored >> number - 1 & 1 for number in (signal.SIGINT, signal.SIGTERM))
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


async def test_at_hand_one_process_does_one_work_after_the_other_and_is_gone_behind_the_block() -> None:
    async with at_hand():
        pids = {await apart(my_pid) for _ in range(3)}
        assert len(pids) == 1
        pid, _, words = await apart(who_i_am, "ab", times=2)
        assert (pid in pids, words) == (True, "abab")
    assert not Path(f"/proc/{pid}").exists()
    assert await apart(my_pid) != pid, "and outside of it nothing is kept"


async def test_works_at_the_same_time_have_a_process_each_and_one_of_them_waits_for_the_next() -> None:
    async with at_hand():
        pids = await asyncio.gather(apart(my_pid, after_s=0.5), apart(my_pid, after_s=0.5))
        assert len(set(pids)) == 2
        assert sum(Path(f"/proc/{pid}").exists() for pid in pids) == 1
        assert await apart(my_pid) in pids


async def test_nobody_waits_for_ever_nor_with_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_hand():
        heavy = await apart(grow_heavy)
        assert not Path(f"/proc/{heavy}").exists()
        monkeypatch.setattr("ops.apart.WAITS_S", 0.2)
        await gone(await apart(my_pid))
        assert await apart(my_pid), "another one begins"


async def test_who_failed_or_was_ended_does_nothing_more() -> None:
    async with at_hand():
        before = await apart(my_pid)
        with pytest.raises(DataProviderError):
            await apart(refuse)
        assert not Path(f"/proc/{before}").exists()
        waits = await apart(my_pid)
        os.kill(waits, signal.SIGKILL)  # memory was short, and it goes first
        while resident_bytes(waits):
            time.sleep(0.001)  # noqa: ASYNC251  # and asyncio has had no turn to see it
        assert await apart(my_pid) != waits
        with pytest.raises(FarmError, match="ended by SIGKILL"):
            await apart(die, signal.SIGKILL)


async def test_who_is_waited_for_no_longer_does_not_wait_for_the_next_work(tmp_path: Path) -> None:
    async with at_hand():
        before = await apart(my_pid)
        waiting = asyncio.create_task(apart(sleep_and_tell, tmp_path / "pid"))
        assert await pid_in(tmp_path / "pid") == before
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not Path(f"/proc/{before}").exists()


async def test_who_waits_does_not_outlive_who_may_ask_either(tmp_path: Path) -> None:
    program = (
        "import asyncio, time; from ops.apart import apart, at_hand; from tests.ops.test_apart import my_pid\n"
        "async def main():\n"
        "    async with at_hand():\n"
        "        print(await apart(my_pid), flush=True)\n"
        "        time.sleep(60)\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as asker:  # noqa: ASYNC220
        assert asker.stdout is not None
        pid = int(asker.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        asker.kill()
    await gone(pid)
