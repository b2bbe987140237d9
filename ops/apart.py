"""Work for the processor in a process of its own: the event loop goes on beside it, and its memory is given back.

Questions and answers are pickles on the standard input and output of `python -m ops.apart`. The process ends with the
one that asked, however that ends, gives way to it for the processor, and goes first where memory is short. It runs the
same code: where the sources have changed since the service started, it says so and does nothing. Within `at_hand` it
stays a few seconds for the next work, for a small one is nearly all start and imports.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import signal
import sys
import traceback
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from threading import Thread
from typing import ParamSpec, TypeVar

import structlog

from ops.resident import resident_bytes
from trading import domain
from trading.domain.errors import FarmError
from trading.simulator.code_version import files_sha256

log = structlog.get_logger(__name__)

Given = ParamSpec("Given")
Found = TypeVar("Found")

NICENESS = 10
OOM_SCORE = 500
"""Of -1000 to 1000: whom the kernel ends first when memory runs out; see proc_pid_oom_score_adj(5)."""
LENGTH_BYTES = 8
"""Before a question, behind the code it is of, and before an answer: how long it is."""
WAITS_S = 5.0
"""Real seconds that a process which has answered is kept for the next work."""
LIGHT_BYTES = 250_000_000
"""Resident memory of one that is kept; a heavier one gives it back at once."""
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM)
OTHER_CODE = "the lab's sources have changed since it started; restart it, so that one code does all"
SAID = 300
"""Signs of what an ended process said last."""


def _code_sha256() -> str:
    here = Path(__file__).parents[1]
    folders = (here / "ops", here / "ai_brain", Path(domain.__path__[0]).parent)
    return files_sha256(path for folder in folders for path in sorted(folder.rglob("*.py")))


CODE = _code_sha256()
"""Of the sources when this process began."""


class _Helper:
    """A process that works for this one, one piece of work at a time."""

    def __init__(self, process: Process) -> None:
        into, out, told = process.stdin, process.stdout, process.stderr
        if into is None or out is None or told is None:
            raise RuntimeError("asked for pipes, got none")
        self._process, self._into, self._out = process, into, out
        self._words = bytearray()
        self._listening = asyncio.create_task(self._listen(told))

    @classmethod
    async def start(cls) -> _Helper:
        """A new one; OSError where the machine has no room for it."""
        return cls(
            await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        )

    @property
    def lives(self) -> bool:
        """It has not ended: asked of the kernel, which knows before asyncio does (what has ended keeps no memory)."""
        return self._process.returncode is None and bool(resident_bytes(self._process.pid))

    @property
    def is_light(self) -> bool:
        """It lives, and what it keeps of the memory is little."""
        resident = resident_bytes(self._process.pid)
        return resident is not None and resident <= LIGHT_BYTES

    async def ask(self, question: bytes) -> bytes:
        """The answer; empty, where it ended without one."""
        self._into.write(CODE.encode() + len(question).to_bytes(LENGTH_BYTES, "big"))
        self._into.write(question)  # and it stays open: see `_end_with`
        try:
            length = await self._out.readexactly(LENGTH_BYTES)
            return await self._out.readexactly(int.from_bytes(length, "big"))
        except asyncio.IncompleteReadError:
            return b""

    def words(self) -> str:
        """What it said since this was asked last."""
        words = self._words.decode(errors="replace").strip()
        self._words.clear()
        return words

    async def ended(self) -> int:
        """Its exit status, once it has ended."""
        # What fills a pipe keeps asyncio from seeing the end; and where the loop ends, nobody listens any more.
        await asyncio.gather(self._out.read(), self._listening, return_exceptions=True)
        return await self._process.wait()

    def dismiss(self) -> None:
        """Have it end at once."""
        self._into.close()
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _listen(self, told: asyncio.StreamReader) -> None:
        while said := await told.read(2**16):
            self._words += said


class _Bench:
    """Where one process that has answered waits a while for the next work."""

    def __init__(self) -> None:
        self._helper: _Helper | None = None
        self._timer: asyncio.TimerHandle | None = None

    def take(self) -> _Helper | None:
        """Whoever waits there; nobody waits then."""
        if self._timer is not None:
            self._timer.cancel()
        helper, self._helper = self._helper, None
        return helper if helper is not None and helper.lives else None

    def keep(self, helper: _Helper) -> bool:
        """Let it wait; not where another one does already, or where it keeps much memory."""
        if self._helper is not None or not helper.is_light:
            return False
        self._helper = helper
        self._timer = asyncio.get_running_loop().call_later(WAITS_S, self._send_home)
        return True

    def _send_home(self) -> None:
        if (helper := self.take()) is not None:
            helper.dismiss()


_BENCH: ContextVar[_Bench | None] = ContextVar("bench", default=None)


@asynccontextmanager
async def at_hand() -> AsyncIterator[None]:
    """What is done `apart` within the block, one after the other, shares a process; none is left behind it."""
    bench = _Bench()
    _BENCH.set(bench)
    try:
        yield
    finally:
        _BENCH.set(None)
        if (helper := bench.take()) is not None:
            helper.dismiss()
            await helper.ended()


async def apart(work: Callable[Given, Found], *args: Given.args, **kwargs: Given.kwargs) -> Found:
    """Have `work` done by a process of its own and give what it returns or raises.

    Args:
        work: A function of a module. What the module imports the process imports too, so best a small one.
        args: For it; they travel, and so does the answer.
        kwargs: For it.

    Raises:
        FarmError: the machine has no room for it, the process was ended from outside, or the sources have changed.
        RuntimeError: it ended by itself without an answer, a bug of ours; with what it said last.
    """
    question = await asyncio.to_thread(pickle.dumps, (work, args, kwargs))
    name, bench = getattr(work, "__name__", "work"), _BENCH.get()
    try:
        helper = (bench.take() if bench is not None else None) or await _Helper.start()
    except OSError as error:
        why = error.strerror or str(error)
        raise FarmError(f"{name}: no process for it could be started: {why}; is there memory enough?") from error
    is_kept = False
    try:
        answer = await helper.ask(question)
        del question
        if not answer:
            raise _ended(name, await helper.ended(), helper.words())
        if words := helper.words():
            log.warning("apart.said", work=name, words=words)
        is_found, found = await asyncio.to_thread(pickle.loads, answer)
        if not is_found:
            raise found
        is_kept = bench is not None and bench.keep(helper)
        return found  # type: ignore[no-any-return]  # what `main` sends
    finally:
        if not is_kept:
            helper.dismiss()
            await helper.ended()


def _ended(name: str, code: int, words: str) -> Exception:
    """Why there is no answer of a process that has ended."""
    by = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    if -code in FROM_OUTSIDE:
        return FarmError(f"{name}: the process that does it was ended by {by}; is there memory enough (dmesg)?")
    log.error("apart.broke", work=name, by=by, words=words)
    return RuntimeError(f"{name}: the process that does it ended by {by}: {words[-SAID:]}")


def main() -> int:
    """Do what standard input asks for, until it ends."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; who started us decides
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    with suppress(OSError):  # a container may forbid it
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints does not speak into the answer
    Thread(target=_end_with, args=(sys.stdin.fileno(),), daemon=True).start()
    while answer := _next_answer():
        answers.write(len(answer).to_bytes(LENGTH_BYTES, "big"))
        answers.write(answer)
        answers.flush()
        del answer
    return 0


def _next_answer() -> bytes:
    """To the next question; empty: there is none."""
    code = sys.stdin.buffer.read(len(CODE)).decode()
    length = int.from_bytes(sys.stdin.buffer.read(LENGTH_BYTES), "big")
    question = sys.stdin.buffer.read(length)
    if not code:
        return b""
    # looked at anew: what is imported for this work may have changed since the last one
    return _answer(question) if code == _code_sha256() else pickle.dumps((False, FarmError(OTHER_CODE)))


def _answer(question: bytes) -> bytes:
    try:
        work, args, kwargs = pickle.loads(question)  # noqa: S301  # of our own process
        return pickle.dumps((True, work(*args, **kwargs)))
    except MemoryError:
        return pickle.dumps((False, FarmError("there is not memory enough for it")))
    except Exception as error:  # noqa: BLE001  # raised again where it was asked for
        return _raised(error)


def _raised(error: Exception) -> bytes:
    """An error with where it was, as it is where it survives the way; else in words."""
    where = "".join(traceback.format_exception(error))
    error.add_note(where)
    try:
        answer = pickle.dumps((False, error))
        if where in pickle.loads(answer)[1].__notes__:  # noqa: S301  # our own
            return answer
    except Exception as lost:  # noqa: BLE001  # whatever an error does to a pickle
        where += f"which does not travel: {lost!r}\n"
    return pickle.dumps((False, RuntimeError(where)))


def _end_with(pipe: int) -> None:
    """End when whoever asks has let go of the pipe, also in the middle of a work."""
    poll = select.poll()
    poll.register(pipe, 0)  # no event but that it was let go, which poll(2) tells always
    poll.poll()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
