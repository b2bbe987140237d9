"""`./lab drill`: chooses the venue, plays the rehearsals one after the other, files each, shows a table.

The sandbox is the default and touches nothing of the lab. The demo venue is the operator's own account there: it is not
rehearsed on while the lab holds a position or runs. The live venue never is.
"""

from __future__ import annotations

import asyncio
import inspect
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from ops.drill.filed import REHEARSALS, Drill, drills_file, file_drill
from ops.drill.rehearsals import rehearse
from ops.drill.stage import DEMO, SANDBOX, Outside, demo_venue, open_sandbox, open_stage
from ops.environment import Environment, find_home
from ops.logs import set_up_logs
from ops.run import read_all
from ops.settings import LabSettings
from trading.domain.clock import Clock
from trading.domain.errors import SettingsError, TradingEngineError
from trading.execution.intents import Intents
from trading.simulator.code_version import files_sha256, sources
from trading.storage.home import Home
from trading.storage.lock import only_one

ROOMS = ("execution", "exchange", "funding", "risk")
"""Of the ground floor, those whose code is rehearsed."""


def run_drill(venue: str, only: Sequence[str]) -> int:
    """Play and file; 0 when every rehearsal passed, 1 when one did not.

    Raises:
        SettingsError: the venue, the keys or a name is not fit for a rehearsal.
        StateFileError: another drill runs, or on the demo venue the lab.
        TradingEngineError: the venue does not answer.
    """
    home = find_home().make()
    environment, settings = read_all(home)
    names = _chosen(only)
    if venue not in (SANDBOX, DEMO):
        raise SettingsError(
            f"drill: --venue {venue}: a rehearsal is played on sandbox or demo, never on the live venue"
        )
    set_up_logs(home.logs / "drill.log", clock=Clock(), secrets=environment.secret_values(), to_console=False)
    with only_one(home.state / "drill.lock", what="a drill"):
        if venue == SANDBOX:
            return asyncio.run(_on_sandbox(home, settings, names))
        _refuse_unfit_demo(home, environment)
        with only_one(home.lock_file, what="the lab"):
            return asyncio.run(_play(home, demo_venue(settings, environment), names))


def lab_version() -> str:
    """The beginning of a hash over the code that trades and rehearses."""
    floor = Path(inspect.getfile(Home)).parents[1]
    folders = [str(floor / room) for room in ROOMS] + [str(Path(__file__).parent)]
    return files_sha256([path for folder in folders for path in sources(folder)])[:12]


def table(drills: Sequence[Drill]) -> list[str]:
    """What was rehearsed, a line each."""
    lines = [f"{'rehearsal':10} {'passed':7} seconds"]
    for drill in drills:
        steps = ", ".join(f"{step} {took_s:.2f}" for step, took_s in drill.seconds.items())
        lines.append(f"{drill.rehearsal:10} {'yes' if drill.passed else 'NO':7} {steps}".rstrip())
        lines += [f"{'':10} {'':7} {drill.why_not}"] if drill.why_not else []
    return lines


def _chosen(only: Sequence[str]) -> tuple[str, ...]:
    for name in only:
        if name not in REHEARSALS:
            raise SettingsError(f"drill: --only {name}: no such rehearsal; there are {', '.join(REHEARSALS)}")
    return tuple(name for name in REHEARSALS if name in only or not only)


def _refuse_unfit_demo(home: Home, environment: Environment) -> None:
    if environment.binance_api_key is None or not environment.binance_testnet:
        raise SettingsError(
            "drill: --venue demo: needs BINANCE_TESTNET=true and the demo venue's own keys in .env; it is never played "
            "with live keys"
        )
    if held := Intents(home.intents_file, mends=False).positions():
        raise SettingsError(
            f"drill: --venue demo: the lab holds {', '.join(held)}; close it first, or rehearse on the sandbox"
        )


async def _on_sandbox(home: Home, settings: LabSettings, names: Sequence[str]) -> int:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="lab-drill-"))
        outside = await stack.enter_async_context(open_sandbox(settings, Path(folder)))
        return await _play(home, outside, names)


async def _play(home: Home, outside: Outside, names: Sequence[str]) -> int:
    print(f"rehearsing {', '.join(names)} on the {outside.name} venue with {outside.settings.venue.symbol}", flush=True)
    drills = []
    for name in names:
        drill = await _one(home, outside, name)
        file_drill(home, drill)
        drills.append(drill)
        print(f"  {name}: {'passed' if drill.passed else 'NOT PASSED'}", flush=True)
    print("\n".join(table(drills)))
    print(f"filed in {drills_file(home)}")
    return 0 if all(drill.passed for drill in drills) else 1


async def _one(home: Home, outside: Outside, name: str) -> Drill:
    seconds, wrong = {}, []
    try:
        async with open_stage(outside, home, name) as stage:
            played = await rehearse(name, stage)
            seconds, wrong = played.seconds, played.wrong
    except TradingEngineError as error:
        wrong.append(str(error))
    return Drill(Clock().now_ms(), outside.name, lab_version(), name, not wrong, seconds, "; ".join(wrong))
