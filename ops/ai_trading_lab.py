"""The service: builds the rooms, starts the schedule, shuts down in order.

One service a home, held by a lock. SIGTERM and SIGINT end it within five seconds: no new job, running ones get their
grace, then the stream, the outbox and the connections are closed.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping

import structlog

from ops.jobs import backup, evaluation, news, reports, research, trading_loop
from ops.lab import Lab, Setting
from ops.schedule import SCHEDULE, Job, Row, Schedule
from ops.wiring import open_lab, open_notifier
from trading.domain.clock import Clock
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import TradingEngineError
from trading.domain.events import Severity
from trading.journal.bus import Bus
from trading.notify.message import Notifier
from trading.risk.kill_switch import read_stop
from trading.storage.lock import only_one

log = structlog.get_logger(__name__)

WATCH_S = 0.2
"""Real seconds between two looks at the kill file."""
OUTBOX_S = 15.0
"""Real seconds after which waiting messages are tried again."""
JOBS: Mapping[str, Callable[[Lab], Awaitable[None]]] = {
    "loop": trading_loop.run,
    "news": news.run,
    "hypothesis": research.hypothesis,
    "crazy_idea": research.crazy_idea,
    "evaluation": evaluation.run,
    "hourly_report": reports.hourly,
    "heartbeat": reports.heartbeat,
    "insights": reports.insights,
    "daily_summary": reports.daily,
    "weekly_backup": backup.weekly,
}
"""What each row of the schedule calls."""


class Service:
    """A lab that runs: schedule, stream, messages, and the watch over the kill file.

    Args:
        lab: The wired rooms.
        notifier: Carries messages.
        stop: Ends the service.
        wake: Set when a message was queued.
    """

    def __init__(self, lab: Lab, notifier: Notifier, *, stop: asyncio.Event, wake: asyncio.Event) -> None:
        self.lab = lab
        self._notifier = notifier
        self._stop = stop
        self._wake = wake
        self.is_open = False
        """The market's history is here and the schedule runs."""
        self.has_ended = False
        """`run` is over, for whatever reason."""
        self.schedule = Schedule(
            rows_for(lab.settings.service.loop_s),
            {name: bound(job, lab) for name, job in JOBS.items()},
            clock=lab.clock,
            publish=lab.publish,
            last_runs_file=lab.home.state / "schedule.json",
        )

    async def run(self) -> None:
        """Run until `stop`.

        Raises:
            DataProviderError: no market at the start.
            BaseException: the bug of a job that touches money.
        """
        try:
            await self.lab.market.open()
            self.lab.tell("lab.started", {"market": self.lab.setting.market, "pid": os.getpid()})
            await self._resume()
            self.is_open = True
            async with asyncio.TaskGroup() as group:
                group.create_task(self.lab.market.run(self._stop), name="stream")
                group.create_task(self._messages(), name="messages")
                group.create_task(self._watch(), name="watch")
                try:
                    await self.schedule.run(self._stop, grace_s=self.lab.settings.service.grace_s)
                finally:
                    self._stop.set()
                    self._wake.set()
        except* TradingEngineError as errors:
            raise errors.exceptions[0] from errors
        finally:
            self.has_ended = True
            log.info("lab.ended")

    async def _resume(self) -> None:
        """After a crash: finish or unwind what was under way, before anything new is thought of."""
        if self.lab.desk is None:
            return
        report = await self.lab.desk.resume()
        trading_loop.remember_live(self.lab, report)
        facts = {"status": report.status, "reason": report.reason, "note": report.decision.note}
        self.lab.tell("live.resumed", facts)

    async def _messages(self) -> None:
        """Deliver what waits; try again after a while when something stayed."""
        while True:
            stopping = self._stop.is_set()
            self._wake.clear()
            await self.lab.outbox.drain(self._notifier, self.lab.clock)
            if stopping:
                return
            try:
                async with asyncio.timeout(OUTBOX_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _watch(self) -> None:
        """Notice a stop within a fraction of a second, whatever the schedule does, and make everything flat."""
        was_flat_for = ""
        while not self._stop.is_set():
            stop = read_stop(self.lab.home, os.environ)
            if stop.demands_flat and stop.source != was_flat_for:
                was_flat_for = stop.source
                await self._go_flat(stop.decision)
            elif not stop.demands_flat:
                was_flat_for = ""
            try:
                async with asyncio.timeout(WATCH_S):
                    await self._stop.wait()
            except TimeoutError:
                continue

    async def _go_flat(self, why: Decision) -> None:
        self.lab.tell("stop.seen", {"source": why.note, "alert_key": "stop"}, Severity.ALERT)
        if self.lab.desk is None:
            return
        async with self.lab.trading:
            report = await self.lab.desk.flatten(Decision(False, Reason.KILL_SWITCH, 1.0, 0.0, why.note))
        trading_loop.write_audit(self.lab, report, {})
        trading_loop.remember_live(self.lab, report)
        trading_loop.write_heartbeat(self.lab)
        facts = {"flat": report.position is None, "seconds": report.flat_s, "note": report.decision.note}
        self.lab.tell("stop.flat" if report.position is None else "stop.not_flat", facts, Severity.NOTICE)


def bound(job: Callable[[Lab], Awaitable[None]], lab: Lab) -> Job:
    """A job of the table, for one lab."""

    async def run() -> None:
        await job(lab)

    return run


def rows_for(loop_s: int) -> tuple[Row, ...]:
    """The schedule with the loop as often as the settings say."""
    return tuple(
        Row(row.name, loop_s, row.offset_s, row.touches_money, row.at_start) if row.name == "loop" else row
        for row in SCHEDULE
    )


async def serve(setting: Setting, clock: Clock) -> None:
    """Run the service of a home until a signal.

    Raises:
        StateFileError: another service runs in this home, or a file of state cannot be used.
        DataProviderError: no market.
    """
    stop, wake, bus = asyncio.Event(), asyncio.Event(), Bus()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with only_one(setting.home.lock_file, what="the lab"):
        async with (
            open_lab(setting, clock, bus, wake=wake) as lab,
            open_notifier(setting.environment, setting.settings) as notifier,
        ):
            await Service(lab, notifier, stop=stop, wake=wake).run()
