"""What the desk is doing when it is killed or lied to: open, hedge in parts, pay a wallet, make the legs even, put
margin behind the short, exit, stop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import aiohttp

from benchmarks.live_world import Json, Lab, World, after, carry_spec, new_world
from trading.domain.decisions import Decision, Reason
from trading.domain.instrument import Market
from trading.domain.orders import Order, OrderType, Side
from trading.execution.intent_records import IntentStatus
from trading.execution.intents import Intents
from trading.funding.carry_settings import CarrySettings
from trading.funding.cycle_base import Carry
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
        held = desk.store.lives if self.name == "exit" else ()
        why = Decision(True, Reason.EXPECTATION_NEGATIVE, 0.0, 0.0, "the plot")
        leave = {position.id: why for position in held}
        stop = read_stop(lab.home, {})
        return await desk.cycle([Carry(carry_spec(), self.name != "exit")], stop=stop, leave=leave)


async def set_faults(lab: Lab, faults: tuple[Json, ...]) -> None:
    """Put faults into the exchange's schedule."""
    async with aiohttp.ClientSession() as http, http.post(f"{lab.url}/sandbox/faults", json=list(faults)) as answer:
        if answer.status != 200:
            raise RuntimeError(await answer.text())


def plots(world: World, folder: Path) -> tuple[Plot, ...]:
    """Every plot with its moment prepared."""

    async def opened(lab: Lab) -> Json:
        report = await lab.desk().cycle([Carry(carry_spec(), armed=True)], stop=read_stop(lab.home, {}))
        if report.reason is not Reason.OK:
            raise RuntimeError(f"nothing was opened: {report.reason} {report.decision.note}")
        return {}

    async def apart(lab: Lab) -> Json:
        """A third of the spot is sold by an order that was given up as absent."""
        await opened(lab)
        intents, now_ms = Intents(lab.home.intents_file), lab.clock.now_ms()
        first = intents.orders()[0]
        sold = (intents.held(intents.positions()[0])[0] / 3).quantize(Decimal("0.00001"))
        draft = Order("", Market.SPOT, first.order.symbol, Side.SELL, OrderType.MARKET, sold)
        late = intents.write_ahead(first.intent_id, draft, slice_number=9, at_ms=now_ms)
        intents.marked(late.order.client_id, IntentStatus.ABSENT, note="the plot", at_ms=now_ms)
        await lab.venue.place(late.order)
        return {}

    held = after(world, folder / "held", opened)
    poor = new_world(folder / "poor", futures_usdt=Decimal(200))
    anxious = CarrySettings(top_up_below_pct=100.0, top_up_to_pct=120.0)
    half = ({"match": "POST /*/order", "kind": "half_fill", "times": 3},)
    return (
        Plot("entry", world, wants_flat=False),
        Plot("hedge", world, wants_flat=False, faults=half),
        Plot("transfer", poor, wants_flat=False),
        Plot("rebalance", after(world, folder / "apart", apart), wants_flat=False),
        Plot("top-up", replace(held, carry=anxious), wants_flat=False),
        Plot("exit", held, wants_flat=False),
        Plot("stop", held, wants_flat=True),
    )
