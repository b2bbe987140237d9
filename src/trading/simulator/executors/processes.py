"""Processes of this machine: whatever a population costs, the event loop beside it goes on.

Each worker process is looked after by one thread here, which hands it a part at a time over a pipe and waits. A worker
that dies is replaced and its part done again. Workers end when this process does, however it ends.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import connection, get_context, parent_process
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from trading.domain.errors import FarmError
from trading.market.tape import Tape
from trading.simulator.executors.parts import TRIES, Executor, Part, Terms, cut, join, work
from trading.simulator.population import PopulationResult
from trading.strategy.spec import StrategySpec

SPAWN = get_context("spawn")
"""A fork of a process with threads may hang at a lock that one of them held."""
END_S = 5.0
"""What a worker gets to end, seconds."""


class Processes(Executor):
    """So many worker processes, started when they are first needed."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._closed = Event()
        self._workers = [_Worker() for _ in range(count)]
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="population")

    def evaluate(self, tape: Tape, specs: Sequence[StrategySpec], terms: Terms) -> PopulationResult:
        """See `Executor`."""
        if self._closed.is_set():
            raise FarmError("processes: closed; open another executor")
        parts = cut(tape, specs, terms, self._count)
        tasks = [self._pool.submit(self._done, tape, part, terms) for part in parts]
        try:
            return join([task.result() for task in tasks])
        finally:
            for task in tasks:
                task.cancel()

    def close(self) -> None:
        """End the workers, and with them what they do."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.kill()
        self._pool.shutdown()
        for worker in self._workers:
            worker.end()

    def pids(self) -> list[int]:
        """Of the workers that run."""
        return [worker.process.pid for worker in self._workers if worker.process and worker.process.pid]

    def tapes_sent(self) -> int:
        """How often a tape went to a worker."""
        return sum(worker.tapes_sent for worker in self._workers)

    def _done(self, tape: Tape, part: Part, terms: Terms) -> PopulationResult:
        worker = self._idle.get()
        try:
            for _ in range(TRIES):
                if self._closed.is_set():
                    raise FarmError("processes: closed while a population was evaluated; evaluate it again")
                try:
                    answer = worker.do(tape, part, terms)
                except (EOFError, OSError):
                    worker.end()
                    continue
                if isinstance(answer, Exception):
                    raise answer
                return answer
        finally:
            self._idle.put(worker)
        raise FarmError(
            f"processes: {TRIES} workers died one after another at strategies {part.names()}; "
            "look for what they ask for (memory: dmesg), evaluate the others without them"
        )


class _Worker:
    """A process, this side's end of its pipe, and what it holds."""

    def __init__(self) -> None:
        self.process: Any = None
        self.tapes_sent = 0
        self._pipe: Any = None
        self._held = ""

    def do(self, tape: Tape, part: Part, terms: Terms) -> PopulationResult | Exception:
        """Hand over a part and wait for what comes of it, or for what was wrong with it.

        Raises:
            EOFError, OSError: the process died.
        """
        if self.process is None:
            self._start()
        if self._held != tape.content_hash:
            self._pipe.send(tape)
            self._held = tape.content_hash
            self.tapes_sent += 1
        self._pipe.send((part.specs, terms))
        return self._pipe.recv()  # type: ignore[no-any-return]  # what `_serve` sends

    def kill(self) -> None:
        """From another thread than the one that waits for it."""
        process = self.process
        if process is not None:
            with suppress(ValueError):  # its thread has let go of it meanwhile
                process.kill()

    def end(self) -> None:
        """Let go of the process; its pipe closed, it ends by itself."""
        if self.process is not None:
            self._pipe.close()
            self.process.join(END_S)
            if self.process.is_alive():
                self.process.kill()
                self.process.join()
            self.process.close()
        self.process, self._held = None, ""

    def _start(self) -> None:
        self._pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=_serve, args=(theirs,), daemon=True, name="population worker")
        self.process.start()
        theirs.close()  # ours must be the only other end, or a death would go unnoticed


def _serve(pipe: connection.Connection) -> None:
    """A worker's life: a tape, or a part of a population over the tape it has, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; who started us decides
    Thread(target=_die_with_parent, daemon=True).start()
    tape: Tape | None = None
    while True:
        try:
            message = pipe.recv()
        except EOFError:
            return
        if isinstance(message, Tape):
            tape = message
            continue
        specs, terms = message
        pipe.send(_answer(tape, specs, terms))


def _answer(tape: Tape | None, specs: Sequence[StrategySpec], terms: Terms) -> PopulationResult | Exception:
    if tape is None:
        return FarmError("processes: a part came before its tape; evaluate the population again")
    try:
        return work(tape, specs, terms)
    except Exception as error:  # noqa: BLE001  # raised again where the population was asked for
        error.add_note("".join(traceback.format_exception(error)))
        return error


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
