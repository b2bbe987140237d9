"""The carry desk against the sandbox exchange: a process of its own, real sockets, the real ccxt client."""

from __future__ import annotations

import asyncio
import atexit
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
from pydantic import SecretStr

from tests.conftest import DATA
from tests.trading.funding.rig import carry_spec
from trading.domain.clock import Clock, Timeline, parse_iso
from trading.domain.events import Event
from trading.exchange.access import Access
from trading.exchange.binance import Binance
from trading.execution.settings import ExecutionSettings
from trading.funding.carry_settings import CarrySettings
from trading.funding.cycle_base import Carry
from trading.funding.desk import CarryDesk, DeskSettings
from trading.funding.report import CycleReport
from trading.market.parquet import read_parquet, write_parquet
from trading.risk.kill_switch import read_stop
from trading.risk.limits import RiskLimits
from trading.storage.home import Home

START_MS = parse_iso("2024-11-12T06:00:00Z")
HOUR_MS = 3_600_000
SLOW = 20.0
DAY_MS = 24 * HOUR_MS
FINE = ("spot_BTCUSDT_1m_2024.parquet", "perp_BTCUSDT_5m.parquet")
"""Half a million bars, of which these tests play some hours."""


@cache
def some_days() -> Path:
    """The recorded tape, of its minutes only the days around the start: a sandbox opens in half the time."""
    folder = TemporaryDirectory(prefix="lab-some-days-")
    atexit.register(folder.cleanup)
    tape = Path(folder.name)
    for file in DATA.glob("*.parquet"):
        if file.name not in FINE:
            (tape / file.name).symlink_to(file)
            continue
        names = ("open_time", "open", "high", "low", "close", "volume")
        around = read_parquet([file], names, start=START_MS - 3 * DAY_MS, end=START_MS + 5 * DAY_MS)
        write_parquet(tape / file.name, around)
    return tape


@dataclass
class World:
    """A sandbox, a lab's clock that follows it, and the desk."""

    home: Home
    url: str
    http: aiohttp.ClientSession
    clock: Clock
    venue: Binance
    events: list[Event] = field(default_factory=list)
    limits: RiskLimits = field(default_factory=lambda: RiskLimits(live_scale_pct=100, cooldown_after_fill_s=0))
    execution: ExecutionSettings = field(
        default_factory=lambda: ExecutionSettings(maker_budget_s=20, max_unhedged_s=60)
    )

    def desk(self) -> CarryDesk:
        """The desk as built from disk."""
        return CarryDesk(
            self.home,
            self.venue,
            settings=DeskSettings(CarrySettings(), self.limits, self.execution),
            publish=self.events.append,
            clock=self.clock,
            environment={},
        )

    async def cycle(self, desk: CarryDesk, *, armed: bool = True, **changes: float) -> CycleReport:
        return await desk.cycle([Carry(carry_spec(**changes), armed)], stop=read_stop(self.home, {}))

    async def ask(self, path: str) -> dict[str, object]:
        async with self.http.get(self.url + path) as answer:
            found = await answer.json()
            assert isinstance(found, dict)
            return found

    async def post(self, path: str, body: object) -> dict[str, object]:
        async with self.http.post(self.url + path, json=body) as answer:
            found = await answer.json()
            assert answer.status == 200, found
            return dict(found) if isinstance(found, dict) else {}

    async def faults(self, *faults: dict[str, object]) -> None:
        await self.post("/sandbox/faults", list(faults))

    async def run_at(self, scale: float, *, until_ms: int | None = None) -> None:
        """Set a new segment, in the sandbox first and then in the lab."""
        segment = await self.post(
            "/sandbox/clock", {"scale": scale, "until_ms": until_ms, "scale_after": SLOW if until_ms else None}
        )
        self.follow(segment)

    async def jump(self, until_ms: int) -> None:
        """Let the world run fast until a moment, and wait for it."""
        await self.run_at(20_000.0, until_ms=until_ms)
        await self.clock.sleep_until_ms(until_ms)

    def follow(self, segment: dict[str, object]) -> None:
        until = segment["until_ms"]
        self.clock.follow(
            Timeline(
                anchor_s=float(str(segment["anchor_s"])),
                origin_ms=float(str(segment["origin_ms"])),
                scale=float(str(segment["scale"])),
                until_ms=None if until is None else float(str(until)),
                scale_after=float(str(segment["scale_after"] or 1.0)),
            )
        )


@asynccontextmanager
async def world(home: Home, *extra: str) -> AsyncIterator[World]:
    """Start a sandbox on the recorded tape, with a desk's venue connected to it."""
    tape, start = str(some_days()), str(START_MS)
    arguments = ["--tape", tape, "--symbol", "BTCUSDT", "--start", start, "--scale", str(SLOW), *extra]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        ready = json.loads(await process.stdout.readline())
        clock = Clock(scale=SLOW, origin_ms=START_MS)
        secret = (SecretStr("sandbox-key"), SecretStr("sandbox-secret"))
        venue = Binance(Access(clock, base_url=ready["url"], api_key=secret[0], api_secret=secret[1]))
        async with aiohttp.ClientSession() as http:
            here = World(home, ready["url"], http, clock, venue)
            here.follow(await here.ask("/sandbox/clock"))
            try:
                yield here
            finally:
                await venue.close()
    finally:
        process.terminate()
        await process.wait()
