"""Work for the processor in a process of its own: the event loop goes on beside it, and its memory is given back.

Question and answer are pickles on the standard input and output of `python -m ops.apart`. The process ends with the one
that asked, however that ends, gives way to it for the processor, and goes first where memory is short. It runs the same
code: where the sources have changed since the service started, it says so and does nothing.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
import traceback
from asyncio.subprocess import PIPE
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import ParamSpec, TypeVar

import structlog

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
"""Before the question and behind the code it is of: how long it is."""
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
    name = getattr(work, "__name__", "work")
    program = (sys.executable, "-m", __name__)
    try:
        process = await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    except OSError as error:
        why = error.strerror or str(error)
        raise FarmError(f"{name}: no process for it could be started: {why}; is there memory enough?") from error
    into, out, told = process.stdin, process.stdout, process.stderr
    if into is None or out is None or told is None:
        raise RuntimeError("asked for pipes, got none")
    try:
        into.write(CODE.encode() + len(question).to_bytes(LENGTH_BYTES, "big"))
        into.write(question)  # and it stays open: see `_end_with`
        del question
        answer, said = await asyncio.gather(out.read(), told.read())
        code = await process.wait()
    finally:
        into.close()
        with suppress(ProcessLookupError):
            process.kill()
        await asyncio.gather(out.read(), told.read())  # what fills a pipe keeps asyncio from seeing the end
        await process.wait()
    words = said.decode(errors="replace").strip()
    if code == 0:
        if words:
            log.warning("apart.said", work=name, words=words)
        is_found, found = await asyncio.to_thread(pickle.loads, answer)
        if not is_found:
            raise found
        return found  # type: ignore[no-any-return]  # what `main` sends
    by = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    if -code in FROM_OUTSIDE:
        raise FarmError(f"{name}: the process that does it was ended by {by}; is there memory enough (dmesg)?")
    log.error("apart.broke", work=name, by=by, words=words)
    raise RuntimeError(f"{name}: the process that does it ended by {by}: {words[-SAID:]}")


def main() -> int:
    """Do what standard input asks for."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; who started us decides
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    with suppress(OSError):  # a container may forbid it
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints does not speak into the answer
    code = sys.stdin.buffer.read(len(CODE)).decode()
    length = int.from_bytes(sys.stdin.buffer.read(LENGTH_BYTES), "big")
    question = sys.stdin.buffer.read(length)
    Thread(target=_end_with, args=(sys.stdin.fileno(),), daemon=True).start()
    answer.write(_answer(question) if code == CODE else pickle.dumps((False, FarmError(OTHER_CODE))))
    answer.flush()
    return 0


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
    """End when whoever asked has let go of the pipe."""
    os.read(pipe, 1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
