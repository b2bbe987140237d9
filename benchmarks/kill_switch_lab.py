"""A lab for the trials of the kill switch, a process of its own: desk, pulse and watch of the service, and no more.

`python -m benchmarks.kill_switch_lab MODE`, in the home of LAB_HOME. It opens the carry, leaves a futures order
resting, says `open`, and then is what MODE says: `healthy` (it sees a stop and closes by itself), `busy` (its loop
turns no more, in the middle of a cycle) or `frozen` (SIGSTOP, in the middle of a cycle).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from ops.drill.desk import leave_a_bid
from ops.environment import find_home, read_environment
from ops.lab_clock import lab_clock
from ops.settings import LabSettings, read_settings
from ops.venues import make_venue
from tests.ops.world import CARRY
from trading.domain.clock import Clock
from trading.domain.decisions import Decision, Reason
from trading.funding.cycle_base import Carry
from trading.funding.desk import CarryDesk, DeskSettings, trading_lock
from trading.funding.report import CycleReport
from trading.risk.kill_switch import Stop, read_stop
from trading.storage.files import write_json
from trading.storage.home import Home
from trading.storage.lock import only_one
from trading.strategy.spec import load_spec

SYMBOL = "BTCUSDT"
LOOK_S = 0.2
"""As the service's."""


def main(mode: str) -> None:
    """Be a lab until killed."""
    home = find_home()
    settings = read_settings(home.settings_file)
    with only_one(home.lock_file, what="the lab"):
        asyncio.run(_live(home, settings, lab_clock(settings), mode))


async def _live(home: Home, settings: LabSettings, clock: Clock, mode: str) -> None:
    venue = make_venue(settings, read_environment(home), clock, home)
    rooms = DeskSettings(settings.carry, settings.risk, settings.execution, settings.validator)
    desk = CarryDesk(home, venue, settings=rooms, publish=lambda _: None, clock=clock, environment=os.environ)
    pulse = asyncio.create_task(_pulse(home, clock), name="pulse")
    try:
        await desk.resume()
        report = await desk.cycle([Carry(load_spec(CARRY.encode(), where="trial"), armed=True)], stop=Stop())
        if report.position is not None:
            await leave_a_bid(venue, SYMBOL, clock)
        facts = {"status": str(report.status), "note": report.decision.note, "open": report.position is not None}
        write_json(home.heartbeat_file, facts, schema=1)
        if mode in ("busy", "frozen"):
            with trading_lock(home):
                _say(report)
                if mode == "frozen":
                    os.kill(os.getpid(), signal.SIGSTOP)
                while True:
                    hash(mode)  # a loop that turns no more
        _say(report)
        while True:
            stop = read_stop(home, os.environ)
            if stop.demands_flat:
                await desk.flatten(Decision(False, Reason.KILL_SWITCH, 1.0, 0.0, stop.source))
            await clock.real_sleep_s(LOOK_S)
    finally:
        pulse.cancel()
        await venue.close()


def _say(report: CycleReport) -> None:
    print("open" if report.position else f"flat: {report.status} {report.reason} {report.decision.note}", flush=True)


async def _pulse(home: Home, clock: Clock) -> None:
    while True:
        home.pulse_file.touch()
        await clock.real_sleep_s(LOOK_S)


if __name__ == "__main__":
    main(sys.argv[1])
