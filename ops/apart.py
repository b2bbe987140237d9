"""Work for the processor in a process of its own: the event loop goes on beside it, and its memory is given back.

Question and answer are pickles on the standard input and output of `python -m ops.apart`. The process ends with the one
that asked, however that ends, and gives way to it for the processor.
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
from threading import Thread
from typing import Any, ParamSpec, TypeVar

import structlog

from trading.domain.errors import FarmError

log = structlog.get_logger(__name__)

Given = ParamSpec("Given")
Found = TypeVar("Found")

NICENESS = 10
LENGTH_BYTES = 8
"""Before the question: how long it is."""


async def apart(work: Callable[Given, Found], *args: Given.args, **kwargs: Given.kwargs) -> Found:
    """Have `work` done by a process of its own and give what it returns or raises.

    Args:
        work: A function of a module. What the module imports the process imports too, so best a small one.
        args: For it; they travel, and so does the answer.
        kwargs: For it.

    Raises:
        FarmError: the process was ended from outside.
        RuntimeError: it ended by itself without an answer, a bug of ours; with what it said last.
    """
    question = pickle.dumps((work, args, kwargs))
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    into, out, told = process.stdin, process.stdout, process.stderr
    if into is None or out is None or told is None:
        raise RuntimeError("asked for pipes, got none")
    try:
        into.write(len(question).to_bytes(LENGTH_BYTES, "big") + question)  # and stays open: see `_end_with`
        answer, said = await asyncio.gather(out.read(), told.read())
        code = await process.wait()
    finally:
        into.close()
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    name, words = getattr(work, "__name__", "work"), said.decode(errors="replace").strip()
    if code < 0:
        by = signal.Signals(-code).name
        raise FarmError(f"{name}: the process that does it was ended by {by}; is there memory enough (dmesg)?")
    if code > 0:
        raise RuntimeError(f"{name}: {words}")
    if words:
        log.warning("apart.said", work=name, words=words)
    is_found, found = pickle.loads(answer)  # noqa: S301  # of our own process
    if not is_found:
        raise found
    return found  # type: ignore[no-any-return]  # what `main` sends


def main() -> int:
    """Do what standard input asks for."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; who started us decides
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    out, sys.stdout = sys.stdout.buffer, sys.stderr  # whoever logs or warns does not speak into the answer
    length = int.from_bytes(sys.stdin.buffer.read(LENGTH_BYTES), "big")
    question = sys.stdin.buffer.read(length)
    Thread(target=_end_with, args=(sys.stdin.fileno(),), daemon=True).start()
    work, args, kwargs = pickle.loads(question)  # noqa: S301  # of our own process
    del question
    found: tuple[bool, Any]
    try:
        found = True, work(*args, **kwargs)
    except Exception as error:  # noqa: BLE001  # raised again where it was asked for
        error.add_note("".join(traceback.format_exception(error)))
        found = False, error
    out.write(pickle.dumps(found))
    out.flush()
    return 0


def _end_with(pipe: int) -> None:
    """End when whoever asked has let go of the pipe."""
    os.read(pipe, 1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
