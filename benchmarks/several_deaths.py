"""Two carries in one account: the lab dies, or the exchange lies, at every point of a cycle that works on one of them.

`python -m benchmarks.several_deaths [--quick]` prints one JSON object. Over a venue in memory, a second carry is opened
beside the first, one of two is closed, or the exchange closes one by force; at each call to the exchange the lab is
killed before or after it, its answer is lost, its order comes late or nothing answers; at each write of a file of state
the lab is killed before or after it. After a restart each symbol's legs are even, nothing was sent twice, journal and
file name the same positions, and the account's books agree. `--quick` takes every ninth point.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import structlog

from tests.trading.execution.fake_venue import Crash
from tests.trading.funding.many import ManyVenue, rig_of
from tests.trading.funding.rig import DeskRig
from tests.trading.funding.test_several import BTC, ETH, cycle, leaving
from trading.domain.decisions import Reason
from trading.storage.home import Home

PLOTS = (("open", ETH), ("close", BTC), ("close", ETH), ("forced", ETH))
"""What is done, and whose calls are disturbed; it is always BTC that is closed."""
FAULTS = ("crash_before", "crash_after", "lost_after", "late", "down")
WRITERS = (
    "trading.funding.position.write_json",
    "trading.risk.counters.write_json",
    "trading.execution.journal_file.append_line",
)
EVEN, NEARLY = Decimal("0.0014"), Decimal("0.0000001")
"""A lot and dust, base; nothing, quote."""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.several_deaths")
    parser.add_argument("--quick", action="store_true")
    step = 9 if parser.parse_args().quick else 1
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(json.dumps(asyncio.run(figures(step=step))))


async def figures(*, step: int) -> dict[str, object]:
    """Cases and those that failed, each told."""
    calls, wrong = 0, list[str]()
    for plot, symbol in PLOTS:
        for fault in FAULTS:
            at, reached = 1, True
            while reached:
                reached, found = await _disturbed(plot, symbol, at, fault)
                calls += reached
                wrong += [f"{plot} {symbol} call {at} {fault}: {line}" for line in found]
                at += step
    writes = 0
    for plot in ("open", "close", "forced"):
        for when in ("before", "after"):
            at, reached = 1, True
            while reached:
                reached, found = await _killed_at_write(plot, at, when)
                writes += reached
                wrong += [f"{plot} write {at} {when}: {line}" for line in found]
                at += step
    return {"several_call_cases": calls, "several_write_cases": writes, "several_failures": len(wrong), "wrong": wrong}


async def _disturbed(plot: str, symbol: str, at: int, fault: str) -> tuple[bool, list[str]]:
    """One fault at a symbol's call of this number; False: the plot has fewer."""
    with tempfile.TemporaryDirectory() as folder:
        venue = ManyVenue("BTC", "ETH")
        rig = await _prepared(plot, venue, Path(folder))
        first = venue.of[symbol].calls
        venue.of[symbol].faults = {first + at: fault}
        with suppress(Crash):
            await _play(plot, rig, venue)
        reached = venue.of[symbol].calls >= first + at
        venue.of[symbol].faults = {}
        return reached, await _wrong(rig.reborn(), venue)


@dataclass
class Writes:
    """Counts the writes of state, and dies at one."""

    at: int
    when: str
    count: int = 0

    def around(self, write: Callable[..., None]) -> Callable[..., None]:
        def counted(*args: object, **named: object) -> None:
            self.count += 1
            if self.count == self.at and self.when == "before":
                raise Crash
            write(*args, **named)
            if self.count == self.at:
                raise Crash

        return counted


async def _killed_at_write(plot: str, at: int, when: str) -> tuple[bool, list[str]]:
    """A kill at the write of this number; False: the plot has fewer."""
    from trading.storage.files import append_line, write_json

    with tempfile.TemporaryDirectory() as folder:
        venue, writes = ManyVenue("BTC", "ETH"), Writes(at, when)
        rig = await _prepared(plot, venue, Path(folder))
        kept = [patch(name, writes.around(append_line if "append" in name else write_json)) for name in WRITERS]
        for one in kept:
            one.start()
        try:
            with suppress(Crash):
                await _play(plot, rig, venue)
        finally:
            for one in kept:
                one.stop()
        return writes.count >= at, await _wrong(rig.reborn(), venue)


async def _prepared(plot: str, venue: ManyVenue, folder: Path) -> DeskRig:
    """One carry is held, or two, and each was paid once."""
    rig = rig_of(Home(folder).make(), venue)
    await (cycle(rig, BTC) if plot == "open" else cycle(rig))
    for fake in venue.of.values():
        fake.settle_funding(0.0003, venue.clock.now_ms())
    return rig


async def _play(plot: str, rig: DeskRig, venue: ManyVenue) -> None:
    if plot == "forced":
        venue.of[ETH].force_close()
    leave = leaving(rig, BTC) if plot == "close" else {}
    await cycle(rig, armed=plot == "open", leave=leave)


async def _wrong(rig: DeskRig, venue: ManyVenue) -> list[str]:
    """After a restart and five undisturbed cycles: every invariant that does not hold."""
    for _ in range(5):
        report = await cycle(rig, armed=False)
    store, intents = rig.desk.store, rig.desk._room.tools.intents
    found = []
    if {live.id for live in store.lives} != set(intents.positions()) or intents.unresolved():
        found.append("journal and file differ")
    for symbol, fake in venue.of.items():
        if abs(fake.net_delta) >= EVEN or (store.live_of(symbol) is None) != (fake.quantity == 0):
            found.append(f"{symbol}: spot {fake.spot_base}, perpetual {fake.quantity}")
        if max(fake.sent.values(), default=0) > 1:
            found.append(f"{symbol}: an order was sent twice")
    if any(halt.reason is Reason.EQUITY_IDENTITY for halt in rig.desk.counters.memory.halts):
        found.append("the books do not agree")
    if report.identity is not None and abs(report.identity.error_quote) >= NEARLY:
        found.append(f"equity identity: {report.identity.error_quote}")
    return found


if __name__ == "__main__":
    main()
