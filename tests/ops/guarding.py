"""A guarded home for tests: a carry that a lab opened and left, a guardian process beside, and its file."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import TypeVar

from ops.environment import read_environment
from ops.guardian.process import open_guardian
from ops.lab_clock import lab_clock
from ops.settings import read_settings
from ops.venues import make_venue
from tests.ops.world import approved_carry
from trading.domain.instrument import Market
from trading.domain.orders import Order, OrderType, Side
from trading.domain.venue import Venue
from trading.funding.carry_settings import CarrySettings
from trading.funding.cycle_base import Carry
from trading.funding.desk import CarryDesk, DeskSettings
from trading.funding.report import CycleReport
from trading.risk.kill_switch import Stop
from trading.storage.home import Home

Answer = TypeVar("Answer")


@contextmanager
def guarded(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """`./lab guardian` in that home."""
    environment = {**os.environ, "LAB_HOME": str(home.root)}
    with (home.logs / "guardian.out").open("ab") as out:
        words = [sys.executable, "-m", "ops.cli", "guardian"]
        process = subprocess.Popen(words, env=environment, stdout=out, stderr=out)
    try:
        wait_for(home, lambda: "guardian.started" in log_of(home), process)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            assert process.wait(10) == 0, log_of(home)[-3000:]


def watch_until(home: Home, is_so: Callable[[], bool], begin: Callable[[], None] = lambda: None) -> None:
    """A guardian in this process, until something holds; `begin` happens when it has looked at the account."""

    async def watch() -> None:
        settings = read_settings(home.settings_file)
        clock, stop = lab_clock(settings), asyncio.Event()
        async with (
            open_guardian(home, read_environment(home), settings, clock) as guardian,
            asyncio.TaskGroup() as group,
        ):
            watching = group.create_task(guardian.run(stop))
            try:
                async with asyncio.timeout(30):
                    await asyncio.to_thread(begin)
                    while not is_so() and not watching.done():  # noqa: ASYNC110  # files have no event
                        await asyncio.sleep(0.02)
            finally:
                stop.set()

    asyncio.run(watch())


def log_of(home: Home) -> str:
    """What the guardian wrote, both where it prints and where it logs."""
    files = (home.logs / "guardian.out", home.logs / "guardian.log")
    return "\n".join(file.read_text() for file in files if file.exists())


def wait_for(home: Home, is_so: Callable[[], bool], process: subprocess.Popen[bytes], *, limit_s: float = 30.0) -> None:
    """Wait until something holds, while the guardian lives."""
    until_s = time.monotonic() + limit_s
    while not is_so():
        assert process.poll() is None, log_of(home)[-3000:]
        assert time.monotonic() < until_s, log_of(home)[-3000:]
        time.sleep(0.02)


def closed_by(home: Home) -> dict[str, object]:
    """What the guardian filed; empty: nothing yet."""
    return dict(json.loads(home.guardian_file.read_text())) if home.guardian_file.exists() else {}


def is_filed_flat(home: Home) -> bool:
    """It has closed everything and says so."""
    return closed_by(home).get("flat_s") is not None


def open_carry(home: Home) -> CycleReport:
    """What the service's loop does with the armed carry, once; then that lab is gone."""

    async def cycle(venue: Venue) -> CycleReport:
        settings = read_settings(home.settings_file)
        rooms = DeskSettings(CarrySettings(), settings.risk, settings.execution)
        desk = CarryDesk(home, venue, settings=rooms, publish=lambda _: None, clock=lab_clock(settings), environment={})
        return await desk.cycle([Carry(approved_carry(home), armed=True)], stop=Stop())

    return with_account(home, cycle)


def with_account(home: Home, work: Callable[[Venue], Awaitable[Answer]]) -> Answer:
    """Do something with the account of a home."""

    async def run() -> Answer:
        settings, environment = read_settings(home.settings_file), read_environment(home)
        venue = make_venue(settings, environment, lab_clock(settings))
        try:
            return await work(venue)
        finally:
            await venue.close()

    return asyncio.run(run())


def leave_a_bid(home: Home) -> None:
    """A futures order far below the market, resting."""

    async def place(venue: Venue) -> None:
        price = Decimal(f"{(await venue.quote(Market.PERP, 'BTCUSDT')).bid * 0.97:.1f}")
        bid = (
            f"left-over-{time.time_ns()}",
            Market.PERP,
            "BTCUSDT",
            Side.BUY,
            OrderType.POST_ONLY,
            Decimal("0.01"),
            price,
        )
        await venue.place(Order(*bid, reduce_only=False))

    with_account(home, place)


def close_the_contract(home: Home) -> None:
    """Somebody else, the venue's liquidation or a hand on its web page, ends our short."""

    async def close(venue: Venue) -> None:
        short = -(await venue.position("BTCUSDT")).quantity_base
        market = (f"by-another-hand-{time.time_ns()}", Market.PERP, "BTCUSDT", Side.BUY, OrderType.MARKET, short, None)
        await venue.place(Order(*market, reduce_only=True))

    with_account(home, close)
