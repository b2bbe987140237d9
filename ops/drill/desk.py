"""A desk that rehearses: the service's carry desk with its stop and its messages, and nothing else of the service.

`python -m ops.drill.desk [--opens]`, in the home of LAB_HOME, is such a desk as a process of its own, to be killed: it
takes up what the journal holds, opens a carry if told to, cares for it until killed, and says in lines of JSON what it
does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from ops.drill.venue import rehearsed
from ops.environment import find_home, read_environment
from ops.lab_clock import lab_clock
from ops.logs import set_up_logs
from ops.settings import LabSettings, read_settings
from ops.telling.messages import Messenger
from ops.venues import make_venue
from trading.domain.clock import Clock
from trading.domain.decisions import Decision, Reason
from trading.domain.instrument import Market
from trading.domain.orders import Order, OrderType, Side
from trading.domain.venue import Venue
from trading.execution.intents import Intents
from trading.funding.cycle_base import Carry
from trading.funding.desk import CarryDesk, DeskSettings
from trading.funding.report import CycleReport
from trading.journal.bus import Bus
from trading.notify.outbox import Outbox
from trading.risk.kill_switch import Stop, read_stop
from trading.storage.home import Home
from trading.strategy.parameters import CarryParameters
from trading.strategy.spec import StrategySpec, new_spec
from trading.strategy.spec_parts import Origin, SpecMarket, StrategyType

LOOK_S = 0.2
"""Real seconds between two looks at the switches, as the service's."""
CYCLE_S = 2.0
"""Real seconds between two cycles."""
AWAY = 0.97
"""Where the order beside the carry rests, of the best bid."""
Say = Callable[[Mapping[str, object]], None]


def drill_spec(symbol: str, *, at_ms: int) -> StrategySpec:
    """A carry that opens wherever it is paid at all, and stays."""
    numbers = {
        "entry_apr_pct": 1.0,
        "exit_apr_pct": -500.0,
        "max_basis_bps": 500.0,
        "leverage": 1,
        "rebalance_delta_pct": 10.0,
        "min_hold_fundings": 1000,
        "capital_pct": 90.0,
    }
    return new_spec(
        name="Rehearsal",
        type=StrategyType.FUNDING_CARRY,
        market=SpecMarket(exchange="binance", symbol=f"{symbol.removesuffix('USDT')}/USDT:USDT", timeframe="1h"),
        parameters=CarryParameters.model_validate(numbers),
        origin=Origin(author="drill", thesis="a rehearsal earns nothing"),
        at_ms=at_ms,
    )


@dataclass(frozen=True, slots=True)
class DeskAtWork:
    """A desk of a home, and what it needs to go round."""

    home: Home
    settings: LabSettings
    clock: Clock
    desk: CarryDesk
    outbox: Outbox
    spec: StrategySpec

    @classmethod
    def of(cls, home: Home, venue: Venue, settings: LabSettings, clock: Clock) -> DeskAtWork:
        """Built from disk, as the service builds its own; its messages wait in the home's outbox.

        Raises:
            StateFileError: a file of state cannot be read.
        """
        outbox, bus = Outbox(home.outbox), Bus()
        messenger = Messenger(outbox, clock, is_synthetic=False, wake=lambda: None)
        bus.subscribe(messenger.hear, name="messenger")
        rooms = DeskSettings(settings.carry, settings.risk, settings.execution, settings.validator)
        desk = CarryDesk(home, venue, settings=rooms, publish=bus.publish, clock=clock, environment={})
        spec = drill_spec(settings.venue.symbol, at_ms=clock.now_ms())
        return cls(home, settings, clock, desk, outbox, spec)

    async def cycle(self, *, opens: bool) -> CycleReport:
        """One decision cycle of the rehearsal's carry."""
        return await self.desk.cycle([Carry(self.spec, opens)], stop=Stop())

    async def go_round(self, end: asyncio.Event, say: Say, *, opens: bool) -> None:
        """Cycle until `end`, looking at the switches in between; a stop makes everything flat."""
        due_s = 0.0
        while not end.is_set():
            stop = read_stop(self.home, {})
            if stop.demands_flat:
                say({"stop": stop.source})
                report = await self.desk.flatten(stop.decision)
                say({"flat": report.position is None, "note": report.decision.note})
                await self.clock.real_wait_s(end, CYCLE_S)
                continue
            if self.clock.real_s() >= due_s:
                report = await self.cycle(opens=opens)
                say(_told(report, self.home))
                opens = opens and report.position is None
                due_s = self.clock.real_s() + CYCLE_S
            await self.clock.real_wait_s(end, LOOK_S)


async def leave_a_bid(venue: Venue, symbol: str, clock: Clock) -> None:
    """A small futures order below the market, for a stop to cancel."""
    perp = await venue.instrument(Market.PERP, symbol)
    price = perp.price((await venue.quote(Market.PERP, symbol)).bid * AWAY, round_up=False)
    least = max(perp.min_quantity, perp.min_notional * Decimal("1.05") / price)
    quantity = (least / perp.lot).quantize(Decimal(1), rounding=ROUND_UP) * perp.lot
    name = f"drill-{clock.system_ms()}"
    await venue.place(Order(name, Market.PERP, symbol, Side.BUY, OrderType.POST_ONLY, quantity, price))


def is_quiet(home: Home) -> bool:
    """The journal of a home has no saga without an end and no order in doubt."""
    intents = Intents(home.intents_file, mends=False)
    return not intents.unfinished() and not intents.unresolved()


def _told(report: CycleReport, home: Home) -> dict[str, object]:
    held = report.position is not None
    is_sure = report.decision.reason not in (Reason.OUTCOME_UNKNOWN, Reason.DATA_UNAVAILABLE)
    return {
        "status": report.status,
        "reason": report.decision.reason,
        "note": report.decision.note,
        "held": held,
        "settled": is_sure and is_quiet(home),
    }


def refusal(report: CycleReport) -> str:
    """Why a cycle did not do what the rehearsal wanted, in one line."""
    decision: Decision = report.decision
    return f"{decision.reason} (value {decision.value:.6g}, limit {decision.limit:.6g}) {decision.note}".rstrip()


def main(words: list[str]) -> int:
    """Be a desk until killed."""
    home = find_home()
    settings, environment = read_settings(home.settings_file), read_environment(home)
    clock = lab_clock(settings)
    set_up_logs(home.log_file, clock=clock, secrets=environment.secret_values(), to_console=False)

    async def live() -> None:
        venue = make_venue(settings, environment, clock, home)
        try:
            work = DeskAtWork.of(home, rehearsed(venue), settings, clock)
            _print({"up": os.getpid()})
            await work.go_round(asyncio.Event(), _print, opens="--opens" in words)
        finally:
            await venue.close()

    asyncio.run(live())
    return 0


def _print(facts: Mapping[str, object]) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
