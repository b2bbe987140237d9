"""The four rehearsals. Each opens a small carry, breaks one thing, measures, and leaves everything flat.

A rehearsal returns the seconds of its steps, real ones, and what did not hold; empty: it passed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ops.drill.desk import DeskAtWork, is_quiet, leave_a_bid, refusal
from ops.drill.stage import PATIENCE_S, Stage, next_line, orders_of, wrong_key
from ops.drill.witness import Account, is_even, is_flat, untrue_fills
from trading.domain.decisions import Reason
from trading.domain.errors import DataProviderError, TradingEngineError
from trading.domain.instrument import Market
from trading.execution.intents import Intents
from trading.funding.report import CycleReport
from trading.notify.told import ToldLog
from trading.risk.kill_switch import read_stop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EVEN_WITHIN_S = 10.0
"""From the moment the restarted desk is up until both legs are even."""
UNWIND_S = 5.0
"""Beyond `max_unhedged_s`, which is when a leg that stands alone begins to be given back."""
WATCH_S = 0.005
"""Between two looks into a journal, for a death in the middle of a saga."""
HEDGE_DELAY_MS = 1500
"""How long the sandbox keeps the hedge's order to itself, so that the desk dies while it is under way."""


@dataclass(slots=True)
class Played:
    """How a rehearsal went."""

    seconds: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


Rehearsal = Callable[[Stage, Played], Awaitable[None]]


async def stop(stage: Stage, played: Played) -> None:
    """`stop_trading.py`, typed while the lab holds a carry and an order rests: seconds from the command on."""
    work, end, seen = stage.desk(), asyncio.Event(), dict[str, float]()

    def say(facts: Mapping[str, object]) -> None:
        if "stop" in facts:
            seen.setdefault("detected", stage.clock.real_s())

    await _open(work)
    await leave_a_bid(stage.venue, stage.symbol, stage.clock)
    going = asyncio.create_task(work.go_round(end, say, opens=False), name="desk")
    try:
        began_s = stage.clock.real_s()
        async with stage.process("ops.stop_trading", "--why", "./lab drill") as script:
            code = asyncio.create_task(script.wait(), name="script")
            await _until(stage, lambda now: now.resting == 0, seen, "cancelled")
            await _until(stage, lambda now: is_flat(now, stage.before, stage.lot), seen, "flat")
            await asyncio.wait_for(code, PATIENCE_S)
            seen["verified"] = stage.clock.real_s()
            said = (await script.stdout.read()).decode().strip() if script.stdout is not None else ""
        if script.returncode != 0:
            played.wrong.append(f"stop_trading.py ended with {script.returncode}: {said.splitlines()[-1:]}")
    finally:
        end.set()
        await going
    steps = ("detected", "cancelled", "flat", "verified")
    played.seconds |= {step: seen[step] - began_s for step in steps if step in seen}
    if not read_stop(stage.home, {}).demands_flat:
        played.wrong.append("the stop does not stand any more")
    if "detected" not in seen:
        played.wrong.append("the running desk did not see the stop")


async def crash(stage: Stage, played: Played) -> None:
    """kill -9 while the hedge is under way, then a start: seconds until the desk is up, both legs are even, and nothing
    is in doubt any more."""
    async with stage.process("ops.drill.desk", "--opens") as victim:
        began_s = stage.clock.real_s()
        await _until_hedging(stage, victim)
        victim.kill()
        await victim.wait()
    played.seconds["killed"] = stage.clock.real_s() - began_s
    if is_quiet(stage.home):
        played.wrong.append("it died too late: the saga had ended")
    async with stage.process("ops.drill.desk") as again:
        began_s = stage.clock.real_s()
        await asyncio.wait_for(next_line(again), PATIENCE_S)
        up_s, seen = stage.clock.real_s(), dict[str, float]()
        settled = asyncio.create_task(_settled(again), name="settled")
        await _until(stage, lambda now: is_even(now, stage.before, stage.lot), seen, "even")
        await asyncio.wait_for(settled, PATIENCE_S)
        seen["settled"] = stage.clock.real_s()
        now = await stage.witness.look()
    played.seconds |= {"up": up_s - began_s} | {step: at_s - up_s for step, at_s in seen.items()}
    if not is_even(now, stage.before, stage.lot):
        played.wrong.append(f"settled, and the legs are apart: {now}")
    if played.seconds["even"] > EVEN_WITHIN_S:
        played.wrong.append(f"even only after {played.seconds['even']:.1f} s, {EVEN_WITHIN_S:g} are allowed")
    began_s = stage.clock.real_s()
    played.wrong += await stage.flat()  # with a dead lab, on the stop script's own way
    played.seconds["flat"] = stage.clock.real_s() - began_s


async def leg(stage: Stage, played: Played) -> None:
    """The hedge's orders fail, first without an answer, then with a no: seconds that one leg stood alone."""

    async def on_first_leg(market: Market) -> bool:
        path = _path_of(market)
        no = "reject:-2010" if market is Market.SPOT else "reject:-2019"
        lame = [{"match": f"POST {path}", "kind": "5xx"}, {"match": f"POST {path}", "kind": no, "times": 50}]
        await stage.outside.tell("/sandbox/faults", lame)
        return stage.outside.sandbox is not None

    work = stage.desk(on_first_leg=on_first_leg)
    began_s = stage.clock.real_s()
    report = await work.cycle(opens=True)
    unhedged_s = report.max_unhedged_s
    while not is_quiet(stage.home) and stage.clock.real_s() - began_s < PATIENCE_S:
        await stage.clock.real_sleep_s(1.0)
        unhedged_s = max(unhedged_s, (await work.cycle(opens=False)).max_unhedged_s)
    now = await stage.witness.look()
    played.seconds |= {"unhedged": unhedged_s, "over": stage.clock.real_s() - began_s}
    if report.reason is not Reason.SECOND_LEG_FAILED:
        played.wrong.append(f"a failed leg was due, and it ended with {refusal(report)}")
    if not is_flat(now, stage.before, stage.lot):
        played.wrong.append(f"the first leg was not given back: {now}")
    limit_s = stage.outside.settings.execution.max_unhedged_s + UNWIND_S
    if unhedged_s > limit_s:
        played.wrong.append(f"one leg stood alone for {unhedged_s:.1f} s, {limit_s:g} are allowed")
    if not any("was given back" in told.text for told in ToldLog(stage.home.outbox)):
        played.wrong.append("nobody was told")


async def key(stage: Stage, played: Played) -> None:
    """The key is refused while a carry is held: seconds until the desk halts, and until the human is told what is held;
    then the key works again."""
    work = stage.desk()
    await _open(work)
    orders = len(orders_of(stage.home))
    async with _without_key(stage, work) as blind:
        began_s = stage.clock.real_s()
        report = await blind.cycle(opens=True)
        played.seconds["refused"] = stage.clock.real_s() - began_s
        alert = blind.outbox.open_alerts().get("carry.key_refused")
        played.seconds["told"] = stage.clock.real_s() - began_s
        if report.reason is not Reason.KEY_UNFIT:
            played.wrong.append(f"a halt for the key was due, and it ended with {refusal(report)}")
        if alert is None or f"{stage.symbol}: spot" not in alert.text:
            played.wrong.append("nobody was told what is held")
    began_s = stage.clock.real_s()
    report = await work.cycle(opens=True)
    played.seconds["back"] = stage.clock.real_s() - began_s
    if report.reason is not Reason.HOLDING:
        played.wrong.append(f"the key works again, and it ended with {refusal(report)}")
    if len(orders_of(stage.home)) != orders:
        played.wrong.append("an order was sent without a key, or after it")


REHEARSED: Mapping[str, Rehearsal] = {"stop": stop, "crash": crash, "leg": leg, "key": key}


async def rehearse(name: str, stage: Stage) -> Played:
    """Play one, leave everything flat, and hold every fill of the exchange against the journal."""
    played = Played()
    try:
        await REHEARSED[name](stage, played)
    except TimeoutError:
        played.wrong.append(f"a step took longer than {PATIENCE_S:g} s")
    except TradingEngineError as error:
        played.wrong.append(str(error))
    finally:
        await stage.outside.behave()
        played.wrong += await stage.flat()
    intents = Intents(stage.home.intents_file, mends=False)
    played.wrong += await untrue_fills(stage.venue, intents, stage.symbol, since_ms=stage.began_ms)
    if stage.outside.sandbox is not None:
        twice = (await stage.outside.sandbox.ask("/sandbox/seen"))["duplicate_orders"]
        played.wrong += [f"sent twice: {twice}"] if twice else []
    return played


async def _open(work: DeskAtWork) -> CycleReport:
    report = await work.cycle(opens=True)
    if report.position is None:
        raise DataProviderError(f"no carry was opened, so there was nothing to rehearse with: {refusal(report)}")
    return report


async def _until(stage: Stage, is_so: Callable[[Account], bool], seen: dict[str, float], step: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so(await stage.witness.look()):
            await stage.clock.real_sleep_s(stage.witness.every_s)
    seen[step] = stage.clock.real_s()


async def _until_hedging(stage: Stage, victim: asyncio.subprocess.Process) -> None:
    """Until an order of the second leg is written ahead: the first has filled, and its hedge is about to leave."""
    journal, late = Intents(stage.home.intents_file, mends=False), False
    async with asyncio.timeout(PATIENCE_S):
        said = asyncio.create_task(_first_cycle(victim), name="victim")
        try:
            while len(markets := {record.order.market for record in journal.orders()}) < 2 and not said.done():
                if markets and not late:
                    path = _path_of(next(market for market in Market if market not in markets))
                    fault = {"match": f"POST {path}", "kind": f"delay:{HEDGE_DELAY_MS}"}
                    await stage.outside.tell("/sandbox/faults", [fault])
                    late = True
                await stage.clock.real_sleep_s(WATCH_S)
                journal.catch_up()
            if said.done():
                raise DataProviderError(
                    f"it was not killed in the middle of an opening: its cycle had ended: {said.result()}"
                )
        finally:
            said.cancel()


def _path_of(market: Market) -> str:
    """Where the sandbox takes orders."""
    return "/api/v3/order" if market is Market.SPOT else "/fapi/v1/order"


async def _settled(process: asyncio.subprocess.Process) -> None:
    """Until a desk process says that nothing of its journal is in doubt."""
    while not (await next_line(process)).get("settled"):
        pass


async def _first_cycle(process: asyncio.subprocess.Process) -> str:
    """How the first cycle of a desk process ended."""
    while "reason" not in (told := await next_line(process)):
        pass
    return f"{told['reason']} {told['note']}"


@asynccontextmanager
async def _without_key(stage: Stage, work: DeskAtWork) -> AsyncIterator[DeskAtWork]:
    """The same desk with the key revoked; on the demo venue, one that signs with a wrong secret."""
    if stage.outside.sandbox is not None:
        await stage.outside.tell("/sandbox/key", {"revoked": True})
        yield work
        await stage.outside.tell("/sandbox/key", {"revoked": False})
        return
    venue = wrong_key(stage.outside, stage.home)
    try:
        yield stage.desk(venue=venue)
    finally:
        await venue.close()
