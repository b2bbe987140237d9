"""A lab that reads an exchange without perpetuals: its spot live, a strategy of it on paper, the rest refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from ops.doctor import checks as doctor
from ops.environment import Environment
from ops.jobs import evaluation, research, trading_loop
from ops.lab_clock import lab_clock
from ops.run import read_all
from ops.sandbox_process import timeline_of
from ops.service.lab import Lab, Setting
from ops.service.wiring import open_lab
from ops.settings import LabSettings, config_hash
from ops.venues import make_market_data, make_venue
from tests.ops.world import CARRY, NOW_MS, World
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, SettingsError
from trading.domain.events import Event
from trading.domain.instrument import Market
from trading.domain.market import Bar
from trading.journal.bus import Bus
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage, move
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import StrategySpec, load_spec

RULES = json.loads(CARRY) | {
    "id": "mr-20240601-000000", "name": "Buys every hour", "type": "mean_reversion",
    "market": {"exchange": "kraken", "symbol": "BTC/USDT", "timeframe": "1h"},
    "parameters": {"entry_long": ["close > 0"], "entry_short": [], "exit_long": ["close > 0"], "exit_short": [],
                   "filters": [], "risk": {"position_pct": 5.0, "leverage": 1, "stop_loss_atr": 2.0,
                                           "take_profit_atr": 3.0, "trailing_atr": None, "max_hold_bars": 48}},
}  # fmt: skip


BARS = 4


def pace(world: World, clock: Clock, scale: float) -> None:
    """Sandbox and lab at another speed."""
    body = {"scale": scale, "until_ms": None, "scale_after": None}
    clock.follow(timeline_of(httpx.post(f"{world.url}/sandbox/clock", json=body, timeout=10).json()))


def furnish(home: Home, url: str, *, fee_pct: float = 0.4) -> tuple[Environment, LabSettings]:
    home.settings_file.write_text(
        f"venue: {{exchange: kraken, base_url: '{url}', follow_sandbox_clock: true}}\n"
        f"paper: {{fee_pct: {fee_pct}}}\nresearch: {{live_bars: 300}}\n"
    )
    return read_all(home)


def on_paper(home: Home, text: str) -> StrategySpec:
    spec = load_spec(text.encode(), where="test")
    for stage in (Stage.BACKTESTING, Stage.DRY_RUN):
        spec = move(spec, stage, by="test", why="test", at_ms=NOW_MS - 3_600_000)
    StrategyRepository(home.strategies).save(spec)
    return spec


@asynccontextmanager
async def opened(home: Home, world: World, told: list[Event]) -> AsyncIterator[Lab]:
    environment, settings = furnish(home, world.url)
    bus = Bus()
    bus.subscribe(told.append, name="test")
    setting = Setting(home, settings, environment, config_hash(settings), "recorded")
    async with open_lab(setting, lab_clock(settings), bus, wake=asyncio.Event()) as lab:
        await lab.market.open()
        yield lab


@asynccontextmanager
async def later(lab: Lab, world: World) -> AsyncIterator[None]:
    """Some candles later, at normal speed again; the market is followed as long as the block runs."""
    done, stop, closed = asyncio.Event(), asyncio.Event(), list[Bar]()

    def hear(bar: Bar) -> None:
        closed.append(bar)
        if len(closed) == BARS:
            done.set()

    lab.market.on_closed_bar(hear)
    following = asyncio.create_task(lab.market.run(stop))
    pace(world, lab.clock, 40_000.0)
    async with asyncio.timeout(20):
        await done.wait()
    pace(world, lab.clock, 1.0)
    yield
    stop.set()
    await following


async def test_a_strategy_of_a_spot_only_exchange_steps_on_its_live_bars(world: World, home: Home):
    spec, foreign = on_paper(home, json.dumps(RULES)), on_paper(home, CARRY)
    told: list[Event] = []
    async with opened(home, world, told) as lab:
        assert (set(lab.instruments), lab.main_side) == ({(Market.SPOT, "BTCUSDT")}, Market.SPOT)
        assert (lab.desk, lab.account) == (None, None)
        await trading_loop.run(lab)
        async with later(lab, world):
            await trading_loop.run(lab)
        shown = lab.paper.performance(spec.id)
        assert shown is not None
        assert shown.bars >= BARS
        assert [position.spec_id for position in lab.paper.positions()] == [spec.id]
        assert {event.name for event in told} >= {"paper.equity", "paper.trade_opened"}
        blocked = {event.facts["reason"] for event in told if event.name == "paper.blocked"}
        assert blocked == {
            f"{foreign.id}: it is of binance and the lab reads kraken; set venue.exchange back, or retire it"
        }
    lines = [json.loads(line) for line in home.audit_file.read_text().splitlines()]
    assert [line["reason"] for line in lines] == ["NOT_ARMED", "NOT_ARMED"]
    assert lines[-1]["data_quality"] > 50
    assert home.heartbeat_file.exists()


async def test_research_is_about_the_spot_market_of_that_exchange(world: World, home: Home):
    async with opened(home, world, []) as lab:
        research.seed_library(lab)
        assert lab.repository.all() == [], "published effects are about perpetuals"
        assert research.live_tape(lab, "BTCUSDT").market is Market.SPOT
        for market, why in (
            ({"exchange": "binance", "symbol": "BTC/USDT", "timeframe": "1h"}, "the lab reads kraken"),
            ({"exchange": "kraken", "symbol": "BTC/USDT:USDT", "timeframe": "1h"}, "it needs perp, which the lab"),
        ):
            with pytest.raises(DataProviderError, match=why):
                await evaluation.tapes_for(
                    lab, load_spec(json.dumps(RULES | {"market": market}).encode(), where="test")
                )
        tapes = await evaluation.tapes_for(lab, load_spec(json.dumps(RULES).encode(), where="test"))
        assert tapes.conditions.costs is not None
        assert tapes.conditions.costs.taker_rate == 0.004, "what that exchange charges, not Binance's tier"
        assert 690 <= len(tapes.main) <= 720
    assert sorted(path.name for path in home.tapes.iterdir()) == ["kraken"], "kept apart from Binance's history"


def test_paper_may_not_be_cheaper_than_the_exchange(home: Home):
    with pytest.raises(SettingsError, match=r"paper\.fee_pct=0\.1: kraken charges a small account 0\.4 % a trade"):
        furnish(home, "http://127.0.0.1:9", fee_pct=0.1)


async def test_a_stop_finds_the_account_whatever_exchange_is_read(world: World, home: Home):
    home.env_file.write_text("BINANCE_API_KEY=sandbox-key\nBINANCE_API_SECRET=sandbox-secret\n")
    home.env_file.chmod(0o600)
    environment, settings = furnish(home, world.url)
    clock = lab_clock(settings)
    account = make_venue(settings, environment, clock, home)
    assert (await account.position("BTCUSDT")).quantity_base == 0
    await account.close()


async def test_the_doctor_asks_the_exchange_that_is_read(world: World, home: Home):
    environment, settings = furnish(home, world.url)
    clock = lab_clock(settings)
    data = make_market_data(settings, environment, clock, home)
    answers, in_time = await doctor.answer_checks(data, clock, name="kraken")
    assert (answers.name, answers.health, in_time.health) == ("kraken answers", doctor.Health.GOOD, doctor.Health.GOOD)
    await data.close()
