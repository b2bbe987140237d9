"""The fault matrix: every call that a plot makes to the exchange, times everything that can go wrong with it.

Calls are found by an undisturbed run: the sandbox tells which endpoints were asked. Each case strikes one call, lets
the desk go on by its own rules, and asks the same questions as the crash matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.live_checks import settled, verdict
from benchmarks.live_plots import Plot, set_faults
from benchmarks.live_world import Json, Lab, lab_process, ledger_of, open_exchange

ANY_CALL = {
    "time-out before": "timeout_before",
    "time-out after": "timeout_after",
    "429": "429",
    "418": "418",
    "-1003": "reject:-1003",
    "-1021": "reject:-1021",
    "-2010": "reject:-2010",
    "-2019": "reject:-2019",
    "-5022": "reject:-5022",
    "5xx": "5xx",
    "socket torn before": "drop_socket",
    "socket torn after": "lost_answer",
    "filter changed": "reject:-1013",
    "clock jump": "jump:120000",
    "forced close": "force_close",
}
"""Name -> the sandbox's fault."""
LASTING = {"key revoked": ("reject:-2015", 3), "exchange halt": ("5xx", 12)}
"""Name -> fault, and how often it strikes everything that is asked from this call on."""
OF_ORDERS = {"half fill": "half_fill"}
OF_CANCELS = {"late fill after cancel": "late_fill", "cancel lost the race": "fill_first"}


@dataclass(frozen=True, slots=True)
class Case:
    """One fault on one call of a plot."""

    plot: Plot
    call: str
    """Method and path."""
    fault: str
    schedule: tuple[Json, ...]


def cases(plot: Plot, folder: Path) -> Iterator[Case]:
    """Every case of a plot."""
    for call in _calls(plot, folder):
        method, _, path = call.partition(" ")
        named = dict(ANY_CALL)
        if path.endswith("/order"):
            named |= OF_ORDERS if method == "POST" else OF_CANCELS if method == "DELETE" else {}
        for fault, kind in named.items():
            yield Case(plot, call, fault, ({"match": call, "kind": kind, "times": 1},))
        for fault, (kind, times) in LASTING.items():
            yield Case(plot, call, fault, ({"match": call, "kind": kind, "times": times},))


def strike(case: Case, folder: Path) -> Json:
    """Play the plot with the fault, then let the desk make it good; what does not hold."""
    with open_exchange(case.plot.world.copied(folder)) as ready:
        world = case.plot.world.copied(folder)
        told = lab_process(world, ready, lambda lab: _struck(lab, case)) or {"error": "the lab died"}
    if "error" in told:
        return {"wrong": [told["error"]], "duplicates": 0, "lost": 0, "apart_s": 0.0, "struck": True}
    return told


def _calls(plot: Plot, folder: Path) -> list[str]:
    world = plot.world.copied(folder)
    with open_exchange(world) as ready:
        told = lab_process(world, ready, lambda lab: _listen(lab, plot)) or {}
    return sorted(call for call in told["calls"] if "/sandbox/" not in call)


async def _listen(lab: Lab, plot: Plot) -> Json:
    await set_faults(lab, plot.faults)
    await plot.play(lab, lab.desk())
    _, seen = await ledger_of(lab)
    return {"calls": list(seen["requests"])}


async def _struck(lab: Lab, case: Case) -> Json:
    began_ms = lab.clock.now_ms()
    await set_faults(lab, (*case.schedule, *case.plot.faults))
    report = await case.plot.play(lab, lab.desk())
    try:
        desk, report = await settled(lab, wants_flat=case.plot.wants_flat)
    except RuntimeError as error:
        return {"error": str(error)}
    return await verdict(lab, desk, report, since_ms=began_ms)
