"""A whole lab at midnight: two days on paper behind it, what the venue told it on record, one bit bent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import numpy as np

from ai_brain.paper.account import load_account, save_account
from ai_brain.paper_trading_engine import PaperEngine
from ops.environment import read_environment
from ops.market_view import Snapshot
from ops.service.lab import Lab, Setting
from ops.service.wiring import open_lab
from ops.settings import config_hash, read_settings
from tests.ops.world import BASIS, NOW_MS
from trading.domain.clock import DAY_MS, Clock, StandingClock
from trading.domain.events import Event
from trading.domain.instrument import Market
from trading.exchange.recording import Recorder
from trading.journal.bus import Bus
from trading.market.as_told import COLUMNS
from trading.market.tape import Tape
from trading.storage.home import Home
from trading.storage.raw_log import RawLog
from trading.strategy.lifecycle import Stage, move
from trading.strategy.spec import StrategySpec, load_spec

HOUR_MS = 3_600_000


def without_recording(home: Home) -> None:
    """The lab writes down nothing of what it is told, its history at the start among it."""
    with home.settings_file.open("a") as file:
        file.write("recording: {enabled: false}\n")


@asynccontextmanager
async def lab_at_night(home: Home, clock: Clock | None = None) -> AsyncIterator[tuple[Lab, list[Event]]]:
    """A wired lab that runs no job by itself, and what it tells; by its own clock a minute after midnight."""
    settings = read_settings(home.settings_file)
    setting = Setting(home, settings, read_environment(home), config_hash(settings), "synthetic")
    bus, heard = Bus(), list[Event]()
    bus.subscribe(heard.append)
    async with open_lab(setting, clock or Clock(origin_ms=NOW_MS + 60_000), bus, wake=asyncio.Event()) as lab:
        yield lab, heard


async def play_on_paper(
    lab: Lab, *specs: StrategySpec, told: Mapping[Market, Tape] | None = None, at_ms: int = NOW_MS - 2 * DAY_MS
) -> None:
    """Two days on paper until midnight, stepped by the engine of the service; on the shelf's candles, or as told."""
    for spec in specs:
        lab.repository.save(spec)
    symbol, interval = specs[0].market.native_symbol, specs[0].market.timeframe
    shelf = {market: await lab.history.tape(market, symbol, interval) for market in Market}
    tapes = {(market, symbol, interval): tape for market, tape in (shelf | dict(told or {})).items()}
    clock = Clock(scale=1e-6, origin_ms=at_ms)
    engine = PaperEngine(
        lab.home,
        lab.repository,
        lab.settings.paper,
        clock=clock,
        publish=lambda _: None,
        weights=lab.settings.carry.weights(),
    )
    engine.on_closed_bar(Snapshot(tapes, {}, lab.instruments, interval))


def bend(home: Home, spec: StrategySpec) -> tuple[float, float]:
    """One bit of the account's last mark is another; what it is now, and what it was."""
    account = load_account(home, spec.id)
    assert account is not None
    at_ms, true = account.curve[-1]
    account.curve[-1] = (at_ms, float(np.nextafter(true, 1e9)))
    save_account(home, account)
    return account.curve[-1][1], true


def mend(home: Home, spec: StrategySpec, true: float) -> None:
    account = load_account(home, spec.id)
    assert account is not None
    account.curve[-1] = (account.curve[-1][0], true)
    save_account(home, account)


def basis_in_dry_run() -> StrategySpec:
    spec = load_spec(BASIS.replace("zscore(48) < -1", "zscore(24) < 0").encode(), where="test")
    for to in (Stage.BACKTESTING, Stage.DRY_RUN):
        spec = move(spec, to, by="test", why="test", at_ms=NOW_MS - 5 * 3_600_000)
    return spec


def record(home: Home, tape: Tape, start_ms: int = 0, end_ms: int = NOW_MS) -> None:
    """The candles of a market as the venue streams them."""
    start_ms = max(start_ms, tape.start_ms)
    clock = StandingClock(start_ms, real_s=0.0)
    out = RawLog(home.recordings, clock, max_bytes=10**9, keep_days=9999)
    recorder, connection = Recorder(out, clock), f"{tape.market}/market/0"
    for at, opened in enumerate(tape.open_time_ms):
        if not start_ms <= opened < end_ms:
            continue
        cells = {name: repr(float(getattr(tape, column)[at])) for name, column in zip("ohlcv", COLUMNS, strict=True)}
        candle = {"t": int(opened), "s": tape.symbol, "i": tape.interval, **cells, "x": True}
        clock.put(int(opened) + HOUR_MS + 200, 0.0)
        text = json.dumps({"stream": "btcusdt@kline_1h", "data": {"e": "kline", "k": candle}}, separators=(",", ":"))
        recorder.message(connection, clock.now_ms(), text)
    out.close()


async def record_all(lab: Lab) -> None:
    """Every candle of both markets was told as the shelf has it."""
    for market in Market:
        record(lab.home, await lab.history.tape(market, "BTCUSDT", "1h"))


def named(heard: list[Event], name: str) -> list[Event]:
    return [event for event in heard if event.name == name]
