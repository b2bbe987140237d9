"""The service: builds the rooms, starts the schedule, shuts down in order.

One service a home, held by a lock. SIGTERM and SIGINT end it within five seconds: no new job, the loop gets its grace
and other jobs none, then the stream, the outbox and the connections are closed.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog

from ops.account_watch import AccountWatch
from ops.doctor.feasibility import feasibility
from ops.jobs import (
    backup,
    evaluation,
    fills,
    keys,
    news,
    onchain,
    parity,
    reports,
    research,
    sentiment,
    trading_loop,
    tuner,
    universe,
)
from ops.kill_watch import KillWatch
from ops.schedule import Job, Schedule, rows_for
from ops.service.lab import Lab, Setting
from ops.service.supervisor import Supervisor
from ops.service.thinking import think
from ops.service.wiring import open_lab, open_notifier
from ops.telling.channels import open_channels
from ops.telling.delivery import Delivery
from trading.domain.clock import Clock
from trading.domain.errors import StateFileError, TradingEngineError
from trading.domain.events import Event, Severity
from trading.domain.venue import Venue
from trading.execution.intents import Intents
from trading.journal.bus import Bus
from trading.notify.message import Notifier
from trading.notify.outbox import MAIN
from trading.risk.kill_switch import read_stop
from trading.simulator.compiled import compile_kernels
from trading.storage.lock import only_one

log = structlog.get_logger(__name__)

PULSE_S = 0.2
"""Real seconds between two signs of life."""
JOBS: Mapping[str, Callable[[Lab], Awaitable[None]]] = {
    "loop": trading_loop.run,
    "news": news.run,
    "onchain": onchain.run,
    "sentiment": sentiment.run,
    "hypothesis": research.hypothesis,
    "crazy_idea": research.crazy_idea,
    "evaluation": evaluation.run,
    "tuner": tuner.run,
    "hourly_report": reports.hourly,
    "heartbeat": reports.heartbeat,
    "insights": reports.insights,
    "universe": universe.run,
    "keys": keys.run,
    "parity": parity.run,
    "fills": fills.run,
    "daily_summary": reports.daily,
    "weekly_backup": backup.weekly,
}
"""What each row of the schedule calls."""


class Service:
    """A lab that runs: schedule, stream, messages, and the watch over the kill file.

    Args:
        lab: The wired rooms.
        channels: Who carries messages, by the channel's name.
        stop: Ends the service.
        wake: Set when a message was queued.
    """

    def __init__(self, lab: Lab, channels: Mapping[str, Notifier], *, stop: asyncio.Event, wake: asyncio.Event) -> None:
        self.lab = lab
        self._delivery = Delivery(
            lab.outbox, channels, lab.settings.messages, lab.clock, wake=wake, stop=stop, publish=lab.publish
        )
        self._stop = stop
        self._wake = wake
        self._supervisor = Supervisor(os.environ)
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
        lab.failures = lambda: self.schedule.failures

    async def run(self) -> None:
        """Run until `stop`.

        Raises:
            DataProviderError: no market at the start.
            BaseException: the bug of a job that touches money.
        """
        try:
            await self._open()
            if self._stop.is_set():
                return
            self.lab.tell("lab.started", {"market": self.lab.setting.market, "pid": os.getpid()})
            self._end_released()
            await self._resume()
            self.is_open = True
            self._supervisor.ready()
            async with asyncio.TaskGroup() as group:
                group.create_task(self.lab.market.run(self._stop), name="stream")
                group.create_task(self._delivery.run(), name="messages")
                group.create_task(KillWatch(self.lab, self._stop).run(), name="watch")
                group.create_task(self._pulse(), name="pulse")
                group.create_task(self._hurry(), name="hurry")
                group.create_task(AccountWatch(self.lab, self._stop).run(), name="account")
                if self.lab.meter is not None:
                    from ops.service.metrics import serve_metrics  # with its client library, which is here by now

                    group.create_task(serve_metrics(self.lab, self._stop), name="metrics")
                try:
                    await self.schedule.run(self._stop, grace_s=self.lab.settings.service.grace_s)
                finally:
                    self._stop.set()
                    self._wake.set()
        except* TradingEngineError as errors:
            raise errors.exceptions[0] from errors
        finally:
            self._stop.set()
            self._supervisor.ends()
            self._write_again()
            await self._delivery.last_words()
            self.has_ended = True
            log.info("lab.ended")

    async def _open(self) -> None:
        """History and compiled kernels, side by side; a stop meanwhile is not kept waiting."""

        async def open_both() -> None:
            await asyncio.gather(self.lab.market.open(), think(compile_kernels))

        async def be_stopped() -> None:
            await self._stop.wait()

        opening, stopping = asyncio.create_task(open_both()), asyncio.create_task(be_stopped())
        try:
            await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not opening.done():
                opening.cancel()
        if not opening.cancelled() and not self._stop.is_set():
            await opening

    def _end_released(self) -> None:
        """A stop that was released while nothing ran is over, with all that was told of it."""
        if not read_stop(self.lab.home, self.lab.setting.switches).demands_flat:
            self.lab.messenger.end(Event(self.lab.clock.now_ms(), "stop.released"))

    async def _resume(self) -> None:
        """After a crash: finish or unwind what was under way, before anything new is thought of."""
        if self.lab.desk is None:
            if held := Intents(self.lab.home.intents_file, mends=False).positions():
                self.lab.tell("carry.unattended", {"held": ", ".join(held)}, Severity.ALERT)
            return
        report = await self.lab.desk.resume()
        trading_loop.remember_live(self.lab, report)
        facts = {"status": report.status, "reason": report.reason, "note": report.decision.note}
        self.lab.tell("live.resumed", facts)
        await self._check_limits(self.lab.account)

    async def _check_limits(self, account: Venue | None) -> None:
        """With this equity, these limits, filters and fees, is any trade permitted? Said once, at the start."""
        if account is None:
            return
        try:
            verdict = await feasibility(self.lab.settings, account)
        except TradingEngineError as error:
            self.lab.failed("limits", error)
            return
        name, severity = ("risk.feasible", Severity.INFO) if verdict.allowed else ("risk.infeasible", Severity.NOTICE)
        facts = {"reason": verdict.reason, "value": verdict.value, "limit": verdict.limit, "note": verdict.note}
        self.lab.tell(name, facts, severity)

    async def _pulse(self) -> None:
        """Show guardian and supervisor that the loop turns, whatever the watch and the jobs are waiting for."""
        while not self._stop.is_set():
            self._supervisor.turns(self.lab.clock.real_s())
            with suppress(OSError):  # read-only: its age tells
                self.lab.home.pulse_file.touch()
            self._write_again()
            await self.lab.clock.real_wait_s(self._stop, PULSE_S)

    def _write_again(self) -> None:
        """What the disk did not take of the messages, once more; whatever goes wrong ends nothing."""
        try:
            self.lab.messenger.write_again()
        except StateFileError:
            return  # the log has it from when it was told
        except Exception:
            log.exception("messages.not_told")

    async def _hurry(self) -> None:
        """The service is told to end: a saga under way waits for nothing more, so that no order is left resting."""
        await self._stop.wait()
        if self.lab.desk is not None:
            self.lab.desk.hurry()


def bound(job: Callable[[Lab], Awaitable[None]], lab: Lab) -> Job:
    """A job of the table, for one lab."""

    async def run() -> None:
        await think(lab.repository.read_ahead)  # thousands of ideas may have been written at once; the loop goes on
        await job(lab)

    return run


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
            open_channels(setting.environment, setting.settings, clock) as others,
        ):
            await Service(lab, {MAIN: notifier, **others}, stop=stop, wake=wake).run()
