"""The crash matrix: kill -9 at every await point and every write of the desk's journal and state.

Points are found by instrumentation. A task factory wraps every coroutine of `src/trading` that becomes a task, and
counts each time one is suspended, with the line it waits in; the two functions that put something on disk count before,
in the middle and after. A first run counts; then one lab is killed at each point.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.live_checks import EVEN_WITHIN_S, settled, verdict
from benchmarks.live_plots import Plot, set_faults
from benchmarks.live_world import Json, Lab, lab_process, open_exchange
from trading.execution import journal_file
from trading.storage import files

_OURS = "/src/trading/"
_ROOMS = ("execution/", "funding/")


@dataclass
class Points:
    """Counts the points of a run; at `fatal` the process is killed."""

    fatal: int = 0
    """1 is the first; 0: only count."""
    places: list[str] = field(default_factory=list)

    def reach(self, place: str) -> None:
        """One more point."""
        self.places.append(place)
        if len(self.places) == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Watch this process from now on: its tasks and its writes."""
        asyncio.get_running_loop().set_task_factory(self._task)
        append, replace = files.append_line, files.write_atomic

        def watched_append(path: Path, line: bytes) -> None:
            self.reach(f"write {path.name}: before")
            self._tear(path, line)
            append(path, line)
            self.reach(f"write {path.name}: after")

        def watched_replace(path: Path, content: bytes) -> None:
            self.reach(f"replace {path.name}: before")
            replace(path, content)
            self.reach(f"replace {path.name}: after")

        journal_file.append_line = watched_append  # type: ignore[attr-defined]
        files.write_atomic = watched_replace

    async def watch(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Await a coroutine and count its suspensions."""
        return await _Watched(work, self.reach)

    def _tear(self, path: Path, line: bytes) -> None:
        if len(self.places) + 1 == self.fatal:
            with path.open("ab") as file:
                file.write(line[: len(line) // 2])
        self.reach(f"write {path.name}: in the middle of the line")

    def _task(self, loop: asyncio.AbstractEventLoop, work: Any, **named: Any) -> asyncio.Task[Any]:
        code = getattr(work, "cr_code", None)
        if code is not None and _OURS in code.co_filename:
            work = self.watch(work)
        return asyncio.Task(work, loop=loop, **named)


class _Watched:
    def __init__(self, work: Coroutine[Any, Any, Any], reach: Callable[[str], None]) -> None:
        self._work, self._reach = work, reach

    def __await__(self) -> Generator[Any, Any, Any]:
        answer: Any = None
        error: BaseException | None = None
        while True:
            try:
                waits_for = self._work.send(answer) if error is None else self._work.throw(error)
            except StopIteration as ended:
                return ended.value
            self._reach(f"await {_place(self._work)}")
            answer, error = None, None
            try:
                answer = yield waits_for
            except BaseException as thrown:  # noqa: BLE001 - passed on to the coroutine that is watched
                error = thrown


def _place(work: Any) -> str:
    """The innermost line of the desk or the saga in which a coroutine waits, and the venue's call it waits for."""
    place = call = ""
    while work is not None:
        frame = getattr(work, "cr_frame", None)
        if frame is not None and _OURS in frame.f_code.co_filename:
            room, name = frame.f_code.co_filename.split(_OURS)[1], frame.f_code.co_name
            if room.startswith(_ROOMS):
                place, call = f"{room}:{frame.f_lineno} {name}", ""
            elif not call:
                call = f" > {name}"
        work = getattr(work, "cr_await", None)
    return place + call


def count_points(plot: Plot, folder: Path) -> list[str]:
    """The places of an undisturbed run, in order."""
    told = _one(plot, folder, fatal=0)
    if told["wrong"]:
        raise RuntimeError(f"{plot.name}: undisturbed, and yet {told['wrong']}")
    return [str(place) for place in told["places"]]


def kill_at(plot: Plot, folder: Path, number: int) -> Json:
    """Kill the lab at a point, start it again, and see what does not hold."""
    return _one(plot, folder, fatal=number)


def _one(plot: Plot, folder: Path, *, fatal: int) -> Json:
    world = plot.world.copied(folder)
    with open_exchange(world) as ready:
        first = lab_process(world, ready, lambda lab: _disturbed(lab, plot, fatal))
        if first is not None and "error" in first:
            return {"wrong": [first["error"]], "duplicates": 0, "lost": 0, "apart_s": 0.0, "places": []}
        told = lab_process(world, ready, lambda lab: _again(lab, plot)) or {"error": "killed"}
    if "error" in told:
        told = {"wrong": [told["error"]], "duplicates": 0, "lost": 0, "apart_s": 0.0}
    return {**told, "reached": first is None, "places": [] if first is None else first["places"]}


async def _disturbed(lab: Lab, plot: Plot, fatal: int) -> Json:
    if plot.faults:
        await set_faults(lab, plot.faults)
    desk, points = lab.desk(), Points(fatal)
    points.install()
    report = await points.watch(plot.play(lab, desk))
    return {"places": points.places, "reason": report.reason, "unhedged_s": report.max_unhedged_s}


async def _again(lab: Lab, plot: Plot) -> Json:
    began_ms = lab.clock.now_ms()
    try:
        desk, report = await settled(lab, wants_flat=plot.wants_flat)
    except RuntimeError as error:
        return {"error": str(error)}
    told = await verdict(lab, desk, report, since_ms=began_ms)
    if told["apart_s"] > EVEN_WITHIN_S:
        told["wrong"].append(f"the legs were apart for {told['apart_s']:.1f} s after the restart")
    return told
