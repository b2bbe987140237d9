"""A lab and its exchange as processes that can be killed: forked from one warm parent, so that each costs little.

The exchange is the sandbox on a made-up market, at `SCALE` times real speed, over real sockets and the lab's own
client. It is a process of its own and outlives the lab; the lab is forked, killed, and forked again on the same folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import structlog
from pydantic import SecretStr

from sandbox.exchange.exchange import Exchange, Key, Start
from sandbox.server import Built, Town, build, serving
from trading.domain.clock import Clock, Timeline
from trading.domain.events import Event
from trading.exchange import ccxt_line
from trading.exchange.access import Access
from trading.exchange.binance import Binance
from trading.execution.settings import ExecutionSettings
from trading.funding.carry_settings import CarrySettings
from trading.funding.desk import CarryDesk, DeskSettings
from trading.market.synthetic import Plan, synthetic_market, write_layout
from trading.risk.limits import RiskLimits
from trading.storage.home import Home
from trading.strategy.parameters import CarryParameters
from trading.strategy.spec import StrategySpec, new_spec
from trading.strategy.spec_parts import Origin, SpecMarket, StrategyType

SCALE = 6.0
"""Lab seconds per real second; what the wire costs is therefore counted six times over."""
SYMBOL = "BTCUSDT"
PLAN = Plan(bars=24 * 60, funding_mean_rate=0.0004)
START_MS = PLAN.start_ms + 50 * 86_400_000 + 6 * 3_600_000
PATIENCE = ExecutionSettings(poll_s=0.5, maker_budget_s=3.0, max_unhedged_s=10.0)
_KEY = Key("sandbox-key", "sandbox-secret")
Json = dict[str, Any]
Work = Callable[["Lab"], Awaitable[Json]]


def carry_spec(**changes: float) -> StrategySpec:
    """The carry that every plot runs."""
    plain: dict[str, float] = {
        "entry_apr_pct": 5.0,
        "exit_apr_pct": -200.0,
        "max_basis_bps": 200.0,
        "leverage": 1,
        "rebalance_delta_pct": 2.0,
        "min_hold_fundings": 0,
        "capital_pct": 20.0,
    }
    return new_spec(
        name="Funding carry",
        type=StrategyType.FUNDING_CARRY,
        market=SpecMarket(exchange="binance", symbol="BTC/USDT:USDT", timeframe="1h"),
        parameters=CarryParameters.model_validate({**plain, **changes}),
        origin=Origin(author="benchmark", thesis="longs pay for leverage"),
        at_ms=START_MS,
    )


class Lab:
    """The lab's side: a clock that follows the exchange's, the real client, the desk on a folder."""

    def __init__(self, world: World, ready: Json) -> None:
        self.home, self.url = Home(world.folder).make(), f"http://127.0.0.1:{ready['port']}"
        self.clock = Clock(scale=SCALE, origin_ms=START_MS)
        segment = ready["segment"]
        self.clock.follow(Timeline(segment["anchor_s"], segment["origin_ms"], segment["scale"]))
        secrets = SecretStr(_KEY.name), SecretStr(_KEY.secret)
        self.venue = Binance(Access(self.clock, base_url=self.url, api_key=secrets[0], api_secret=secrets[1]))
        self.events: list[Event] = []
        self.patience, self.carry = PATIENCE, world.carry

    def desk(self) -> CarryDesk:
        """The desk as built from disk."""
        limits = RiskLimits(live_scale_pct=100, cooldown_after_fill_s=0)
        return CarryDesk(
            self.home,
            self.venue,
            settings=DeskSettings(self.carry, limits, self.patience),
            publish=self.events.append,
            clock=self.clock,
            environment={},
        )


@dataclass(frozen=True, slots=True)
class World:
    """A moment to begin at: an exchange with its account, and the lab's folder that belongs to it."""

    tape: Path
    exchange: Exchange
    at_ms: int
    """Sandbox time at which the exchange goes on."""
    folder: Path
    futures_usdt: Decimal = Decimal(10_000)
    """In the futures wallet when the exchange opened."""
    carry: CarrySettings = field(default_factory=CarrySettings)
    """The desk's."""

    def copied(self, folder: Path) -> World:
        """The same moment with a folder of its own; the exchange is copied by the fork."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder)
        return replace(self, folder=folder)


def new_world(workplace: Path, *, futures_usdt: Decimal = Decimal(10_000)) -> World:
    """An exchange that has just opened, and an empty lab."""
    tape, folder = workplace / "tape", workplace / "fresh"
    tape.mkdir(parents=True, exist_ok=True)
    made = synthetic_market(PLAN)
    write_layout(tape, [made.spot, made.perp])
    Home(folder).make()
    town = Town(_start(tape, START_MS, futures_usdt), _KEY)
    return World(tape, build(town).exchange, START_MS, folder, futures_usdt)


def after(world: World, folder: Path, work: Work) -> World:
    """Another world, in which some work has been done; kept in this process to be forked from."""
    world = replace(world.copied(folder), exchange=build(_town(world)).exchange)

    async def play() -> int:
        built = _built(world)
        async with serving(built) as opened:
            lab = Lab(world, {"port": opened.port, "segment": asdict(built.exchange.clock.segment)})
            try:
                await work(lab)
            finally:
                await lab.venue.close()
        return built.exchange.clock.now_ms()

    return replace(world, at_ms=asyncio.run(play()))


@contextmanager
def open_exchange(world: World) -> Iterator[Json]:
    """Fork the exchange; its port and clock. It is killed at the end."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _in_child(lambda: asyncio.run(_serve(world, write)))
    os.close(write)
    try:
        with os.fdopen(read) as told:
            yield json.loads(told.readline())
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def lab_process(world: World, ready: Json, work: Work) -> Json | None:
    """Fork a lab and let it work; what it told, or None when it was killed."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _in_child(lambda: _tell(write, asyncio.run(_work(world, ready, work))))
    os.close(write)
    with os.fdopen(read) as told:
        text = told.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return None
    return json.loads(text) if text else {"error": f"the lab ended with status {status} and said nothing"}


async def ledger_of(lab: Lab) -> tuple[Json, Json]:
    """The exchange's own ledger, and what it saw."""
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{lab.url}/sandbox/ledger") as answer:
            ledger = await answer.json()
        async with http.get(f"{lab.url}/sandbox/seen") as answer:
            return ledger, await answer.json()


def warm_up() -> None:
    """What every fork is to share: the client's library is loaded, logs are off, time-outs fit the speed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    ccxt_line._TIMEOUT_MS = int(10_000 / SCALE)  # ten lab seconds


async def _work(world: World, ready: Json, work: Work) -> Json:
    lab = Lab(world, ready)
    try:
        return await work(lab)
    finally:
        await lab.venue.close()


async def _serve(world: World, write: int) -> None:
    built = _built(world)
    async with serving(built) as opened:
        segment = asdict(built.exchange.clock.segment)
        os.write(write, json.dumps({"port": opened.port, "segment": segment}).encode() + b"\n")
        await opened.pump


def _built(world: World) -> Built:
    world.exchange.clock.jump(0.0)  # its sleepers were of another loop
    return build(_town(world), exchange=world.exchange)


def _town(world: World) -> Town:
    return Town(_start(world.tape, world.at_ms, world.futures_usdt), _KEY)


def _tell(write: int, told: Json) -> None:
    with os.fdopen(write, "w") as out:
        json.dump(told, out)


def _in_child(work: Callable[[], None]) -> None:
    """Work and leave at once: nothing of the parent's is closed, flushed or reported here."""
    status = 1
    try:
        work()
        status = 0
    finally:
        if status:
            traceback.print_exc(file=sys.stderr)
        os._exit(status)


def _start(tape: Path, at_ms: int, futures_usdt: Decimal) -> Start:
    return Start(tape, (SYMBOL,), at_ms, SCALE, spot_usdt=Decimal(10_000), futures_usdt=futures_usdt)
