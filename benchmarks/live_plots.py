"""What the desk is doing when it is killed or lied to: open, hedge in parts, exit, stop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.live_world import Json, Lab, World, after, carry_spec
from trading.domain.decisions import Decision, Reason
from trading.funding.desk import CarryDesk
from trading.funding.report import CycleReport
from trading.risk.kill_switch import read_stop


@dataclass(frozen=True, slots=True)
class Plot:
    """One cycle of the desk, from a prepared moment."""

    name: str
    world: World
    wants_flat: bool
    """It ends with nothing held."""
    faults: tuple[Json, ...] = ()
    """What the exchange does besides."""

    async def play(self, lab: Lab, desk: CarryDesk) -> CycleReport:
        """Run it once."""
        if self.name == "stop":
            lab.home.kill_files[0].write_text("")
        leave = Decision(True, Reason.EXPECTATION_NEGATIVE, 0.0, 0.0, "the plot") if self.name == "exit" else None
        stop = read_stop(lab.home, {})
        return await desk.cycle(carry_spec(), armed=self.name != "exit", stop=stop, leave=leave)


async def set_faults(lab: Lab, faults: tuple[Json, ...]) -> None:
    """Put faults into the exchange's schedule."""
    async with aiohttp.ClientSession() as http, http.post(f"{lab.url}/sandbox/faults", json=list(faults)) as answer:
        if answer.status != 200:
            raise RuntimeError(await answer.text())


def plots(world: World, folder: Path) -> tuple[Plot, ...]:
    """Every plot with its moment prepared."""

    async def opened(lab: Lab) -> Json:
        report = await lab.desk().cycle(carry_spec(), armed=True, stop=read_stop(lab.home, {}))
        if report.reason is not Reason.OK:
            raise RuntimeError(f"nothing was opened: {report.reason} {report.decision.note}")
        return {}

    held = after(world, folder / "held", opened)
    half = ({"match": "POST /*/order", "kind": "half_fill", "times": 3},)
    return (
        Plot("entry", world, wants_flat=False),
        Plot("hedge", world, wants_flat=False, faults=half),
        Plot("exit", held, wants_flat=False),
        Plot("stop", held, wants_flat=True),
    )
