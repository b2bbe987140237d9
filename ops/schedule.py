"""Which job runs when: one table, and one loop that runs what is due by the lab's own clock.

The loop asks the clock at least once a second: one that is set, a server that slept or a speed that changes moves no
due time further away than it must. No scheduler of a library: APScheduler plans once, by the system's clock, and where
that is set back two hours it runs nothing for two hours.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from trading.domain.clock import Clock
from trading.domain.errors import StateFileError, TradingEngineError
from trading.domain.events import Event, Publish, Severity
from trading.storage.files import read_json, write_json

log = structlog.get_logger(__name__)

Job = Callable[[], Awaitable[None]]
LAST_RUNS_SCHEMA = 1
DAY_S = 86_400
FAILURES_IN_ROW = 5
"""A job that fails more often than this in a row is an alert of its own."""
AGAIN_S = 3600
"""Lab seconds after which a job that is due once a day or more seldom is tried again when it failed."""
TUNER_S = 300
FILLS_S = 600
"""After midnight until fills are learned from: by then the day's last candle has settled, and parity has it."""
LOOK_S = 1.0
"""Real seconds after which the clock is asked again at the latest."""
SUNDAY_S = 3 * DAY_S
"""1970 began on a Thursday: the first Sunday came three days later."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the schedule: due at every `every_s` of lab time since 1970, moved by `offset_s`."""

    name: str
    every_s: int
    offset_s: int = 0
    touches_money: bool = False
    """A bug in it ends the service, for the watchman to restart; a bug elsewhere parks the job."""
    at_start: bool = False
    """Runs on the very first start too; the others wait for their first due time."""

    def last_due_ms(self, now_ms: int) -> int:
        """The latest due time that is not after `now_ms`."""
        step, offset = self.every_s * 1000, self.offset_s * 1000
        return (now_ms - offset) // step * step + offset

    def next_due_ms(self, now_ms: int) -> int:
        """The first due time after `now_ms`."""
        return self.last_due_ms(now_ms) + self.every_s * 1000

    def started_ms(self, started_ms: int, now_ms: int) -> int:
        """The due time that counts as started at `now_ms`, where it was `started_ms` before; later: it is due now.

        Several missed due times are one. None comes twice where the clock was set back a little; one set back by more
        than a whole period was wrong before, and the job goes on by what it says now.
        """
        last_ms = self.last_due_ms(now_ms)
        return started_ms if last_ms < started_ms <= self.next_due_ms(now_ms) else last_ms


SCHEDULE = (
    Row("loop", 60, touches_money=True, at_start=True),
    Row("news", 15 * 60, at_start=True),
    Row("onchain", 30 * 60, at_start=True),
    Row("sentiment", 3600, at_start=True),
    Row("hypothesis", 30 * 60, at_start=True),
    Row("crazy_idea", 4 * 3600),
    Row("evaluation", 3600, at_start=True),
    Row("tuner", TUNER_S),
    Row("hourly_report", 3600),
    Row("heartbeat", 6 * 3600),
    Row("insights", 2 * 3600),
    Row("universe", DAY_S, at_start=True),
    Row("keys", DAY_S),
    Row("parity", DAY_S),
    Row("fills", DAY_S, FILLS_S),
    Row("daily_summary", DAY_S),
    Row("weekly_backup", 7 * DAY_S, SUNDAY_S),
)
"""Wall clock, UTC. What reports on a cycle waits for it (`ops/jobs/reports.py`), not for a few seconds to pass."""


def rows_for(loop_s: int) -> tuple[Row, ...]:
    """The schedule with the loop as often as the settings say, and the tuner, which looks at its cycles, no oftener."""
    every_s = {"loop": loop_s, "tuner": max(loop_s, TUNER_S)}
    return tuple(replace(row, every_s=every_s.get(row.name, row.every_s)) for row in SCHEDULE)


class Schedule:
    """Runs jobs by the table until told to stop.

    Args:
        rows: The table; only rows with a job run.
        jobs: Job by row name.
        clock: Lab time.
        publish: Told of failures and parked jobs.
        last_runs_file: Where the last due time of each finished job is kept over restarts.
    """

    def __init__(
        self, rows: tuple[Row, ...], jobs: Mapping[str, Job], *, clock: Clock, publish: Publish, last_runs_file: Path
    ) -> None:
        self._rows = {row.name: row for row in rows if row.name in jobs}
        self._jobs = dict(jobs)
        self._clock = clock
        self._publish = publish
        self._file = last_runs_file
        self._done_ms: dict[str, int] = {}
        self._started_ms: dict[str, int] = {}
        """The last due time at which each job was started, or would have been."""
        self._finished: set[str] = set()
        self._parked: dict[str, str] = {}
        self._failed: Counter[str] = Counter()
        """Failures in a row, by job, since the start."""
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: dict[str, asyncio.Task[None]] = {}
        """Rare jobs that failed and wait to be tried again; after a restart they are tried at once."""
        self._bug: BaseException | None = None
        self._stop = asyncio.Event()

    @property
    def parked(self) -> Mapping[str, str]:
        """Jobs set aside after a bug, with what they raised."""
        return dict(self._parked)

    @property
    def failures(self) -> Mapping[str, int]:
        """Jobs that failed the last time, with how often in a row."""
        return dict(self._failed)

    def settled(self, at_ms: int) -> bool:
        """Whether every job due at or before `at_ms` has finished."""
        return not self._running and all(
            name in self._parked or self._done_ms.get(name, 0) >= row.last_due_ms(at_ms)
            for name, row in self._rows.items()
        )

    def has_run(self, name: str) -> bool:
        """Whether a job has finished since the start, or was parked."""
        return name in self._finished or name in self._parked

    async def run(self, stop: asyncio.Event, *, grace_s: float) -> None:
        """Run until `stop`; then no new job, running ones that touch money get `grace_s` real seconds, the others none.

        Raises:
            BaseException: the bug of a job that touches money, for the service to end with.
        """
        self._stop = stop
        self._load()
        now_ms = self._clock.now_ms()
        for name, row in self._rows.items():
            last_due_ms = self._started_ms[name] = row.last_due_ms(now_ms)
            if self._done_ms.setdefault(name, 0 if row.at_start else last_due_ms) < last_due_ms:
                self._fire_now(name)
        woken = asyncio.Event()
        self._clock.on_change(woken.set)
        stopped = asyncio.create_task(stop.wait())
        stopped.add_done_callback(lambda _: woken.set())
        try:
            while not stop.is_set():
                for name in self._due():
                    self._fire(name)
                await self._clock.real_wait_s(woken, min(LOOK_S, self._until_due_s()))
                woken.clear()
        finally:
            stopped.cancel()
        for task in self._again.values():
            task.cancel()
        await self._drain(grace_s)
        if self._bug is not None:
            raise self._bug

    def _due(self) -> list[str]:
        """Jobs whose due time has come since the last look."""
        now_ms, before_ms = self._clock.now_ms(), self._started_ms
        self._started_ms = {name: row.started_ms(before_ms[name], now_ms) for name, row in self._rows.items()}
        return [name for name, at_ms in self._started_ms.items() if at_ms > before_ms[name]]

    def _until_due_s(self) -> float:
        """Real seconds until the next due time of any job."""
        next_ms = [row.next_due_ms(self._started_ms[name]) for name, row in self._rows.items()]
        return self._clock.real_delay_s(min(next_ms)) if next_ms else LOOK_S

    def _fire(self, name: str) -> None:
        if name not in self._running and name not in self._parked and not self._stop.is_set():
            self._fire_now(name)

    def _fire_now(self, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._run_one(name), name=f"job:{name}")
        self._running[name] = task
        return task

    async def _run_one(self, name: str) -> None:
        due_ms = self._rows[name].last_due_ms(self._clock.now_ms())
        started_s, outcome = self._clock.real_s(), "done"
        if (waiting := self._again.pop(name, None)) is not None:
            waiting.cancel()
        try:
            await self._jobs[name]()
        except TradingEngineError as error:
            outcome = f"{type(error).__name__}: {error}"
            self._note_failure(name, outcome)
            if self._rows[name].every_s >= DAY_S:
                self._again[name] = asyncio.create_task(self._try_again(name), name=f"again:{name}")
        except Exception as error:  # noqa: BLE001  # a bug: judged here, in one place
            outcome = f"bug: {type(error).__name__}: {error}"
            self._judge_bug(name, error)
        else:
            self._note_success(name)
        finally:
            self._running.pop(name, None)
        self._done_ms[name] = due_ms
        self._finished.add(name)
        try:
            self._save()
        except StateFileError as error:  # a full disk: after a restart it runs once more
            log.warning("schedule.not_saved", job=name, error=str(error))
        is_due = self._rows[name].last_due_ms(self._clock.now_ms()) > due_ms  # it fell due again while it ran
        if is_due and name not in self._parked and not self._stop.is_set():
            self._fire_now(name)
        log.info("job.cycle", job=name, outcome=outcome, elapsed_s=round(self._clock.real_s() - started_s, 3))

    async def _try_again(self, name: str) -> None:
        await self._clock.sleep_s(AGAIN_S)
        del self._again[name]  # else its own run would cancel it
        self._fire(name)

    def _note_failure(self, name: str, outcome: str) -> None:
        """One quiet event a failure, and one alert when it lasts; who delivers alerts repeats it."""
        self._failed[name] += 1
        facts: dict[str, object] = {"job": name, "error": outcome}
        self._publish(Event(self._clock.now_ms(), "job.failed", facts))
        if self._failed[name] == FAILURES_IN_ROW + 1:
            facts |= {"failures": self._failed[name], "limit": FAILURES_IN_ROW}
            self._publish(Event(self._clock.now_ms(), "job.failing", facts, Severity.ALERT))

    def _note_success(self, name: str) -> None:
        if self._failed.pop(name, 0) > FAILURES_IN_ROW:
            self._publish(Event(self._clock.now_ms(), "job.recovered", {"job": name}))

    def _judge_bug(self, name: str, error: Exception) -> None:
        facts = {"job": name, "error": f"{type(error).__name__}: {error}"}
        log.error("job.bug", exc_info=error, **facts)
        if self._rows[name].touches_money:
            self._bug = error
            self._publish(Event(self._clock.now_ms(), "job.ended_service", facts, Severity.ALERT))
            self._stop.set()
        else:
            self._parked[name] = str(facts["error"])
            self._publish(Event(self._clock.now_ms(), "job.parked", facts, Severity.ALERT))

    async def _drain(self, grace_s: float) -> None:
        """Only what touches money is waited for: another job that is cut off runs again after the next start."""
        running = list(self._running.items())
        money = [task for name, task in running if self._rows[name].touches_money]
        for name, task in running:
            if not self._rows[name].touches_money:
                log.info("job.cut_off", job=name)
                task.cancel()
        _, left = await asyncio.wait(money, timeout=grace_s) if money else (set(), set())
        for task in left:
            log.warning("job.cancelled", job=task.get_name(), grace_s=grace_s)
            task.cancel()
        await asyncio.gather(*(task for _, task in running), return_exceptions=True)

    def _load(self) -> None:
        try:
            kept = read_json(self._file, schema=LAST_RUNS_SCHEMA) or {}
        except StateFileError as error:
            facts = {"file": self._file.name, "error": str(error)}
            self._publish(Event(self._clock.now_ms(), "state.set_aside", facts, Severity.NOTICE))
            kept = {}
        now_ms = self._clock.now_ms()
        for name, due_ms in kept.items():
            if isinstance(due_ms, int) and not isinstance(due_ms, bool):
                self._done_ms[name] = min(due_ms, now_ms)

    def _save(self) -> None:
        done_ms = {name: due_ms - (name in self._again) for name, due_ms in sorted(self._done_ms.items())}
        write_json(self._file, done_ms, schema=LAST_RUNS_SCHEMA)
