"""One lab that reads several symbols: each is researched, traded on paper and judged by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from ai_brain.research_library import library_specs
from ops.jobs import evaluation, research, trading_loop
from ops.jobs.news import tone_now
from ops.lab_clock import lab_clock
from ops.run import read_all
from ops.service.due_bars import due_bars
from ops.service.lab import Lab, Setting
from ops.service.lasting import FAILURES_IN_ROW, alert_when_it_lasts, stale
from ops.service.wiring import open_lab
from ops.settings import config_hash
from tests.ops.world import CARRY, NOW_MS, World, furnish, open_world
from trading.domain.errors import DataProviderError
from trading.domain.events import Event, Severity
from trading.domain.instrument import Market
from trading.journal.bus import Bus
from trading.market.validator_rules import FLAWLESS, Verdict
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage, move
from trading.strategy.spec import StrategySpec, load_spec

SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    opened = open_world(tmp_path_factory.mktemp("tape"), scale=1.0, symbols=SYMBOLS)
    yield opened
    opened.close()


@asynccontextmanager
async def opened(home: Home, world: World, more: str = "ETHUSDT") -> AsyncIterator[tuple[Lab, list[Event]]]:
    furnish(home, world.url)
    text = home.settings_file.read_text()
    home.settings_file.write_text(text.replace("venue: {", f"venue: {{more_symbols: [{more}], "))
    home.env_file.unlink()
    environment, settings = read_all(home)
    bus, told = Bus(), list[Event]()
    bus.subscribe(told.append, name="test")
    setting = Setting(home, settings, environment, config_hash(settings), "recorded")
    async with open_lab(setting, lab_clock(settings), bus, wake=asyncio.Event()) as lab:
        await lab.market.open()
        yield lab, told


def carry_on_paper(lab: Lab, symbol: str) -> StrategySpec:
    text = CARRY.replace("BTC/", f"{symbol.removesuffix('USDT')}/").replace("-000000", f"-{symbol.encode().hex()[:6]}")
    spec = load_spec(text.encode(), where="test")
    for stage in (Stage.BACKTESTING, Stage.DRY_RUN):
        spec = move(spec, stage, by="test", why="test", at_ms=NOW_MS - 3_600_000)
    lab.repository.save(spec)
    return spec


async def test_every_symbol_has_its_filters_tapes_and_published_effects(home: Home, world: World) -> None:
    async with opened(home, world) as (lab, _):
        assert lab.symbols == SYMBOLS
        assert set(lab.instruments) == {(side, symbol) for symbol in SYMBOLS for side in Market}
        bitcoin, ether = (lab.instruments[Market.PERP, symbol] for symbol in SYMBOLS)
        assert (bitcoin.base, ether.base) == ("BTC", "ETH")
        assert [lab.market.tape(Market.PERP, symbol, "1h").symbol for symbol in SYMBOLS] == list(SYMBOLS)
        research.seed_library(lab)
        kept = {(spec.market.native_symbol, spec.name) for spec in lab.repository.all()}
        assert kept == {(symbol, spec.name) for symbol in SYMBOLS for spec in library_specs(symbol, NOW_MS)}


async def test_an_idea_is_judged_on_its_own_symbol_with_its_own_rules(home: Home, world: World) -> None:
    async with opened(home, world) as (lab, _):
        research.seed_library(lab)
        specs = [spec for spec in lab.repository.all() if spec.type == "funding_carry"]
        found = {spec.market.native_symbol: await evaluation.tapes_for(lab, spec) for spec in specs}
        assert {symbol: tapes.main.symbol for symbol, tapes in found.items()} == {symbol: symbol for symbol in SYMBOLS}
        lots = {symbol: float(lab.instruments[Market.PERP, symbol].lot) for symbol in SYMBOLS}
        assert {symbol: tapes.conditions.rules.lot for symbol, tapes in found.items()} == lots


async def test_paper_steps_both_and_one_that_is_silent_is_named_and_holds_up_no_other(
    home: Home, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(home, world) as (lab, told):
        specs = [carry_on_paper(lab, symbol) for symbol in SYMBOLS]
        await trading_loop.run(lab)
        assert lab.memory.qualities == dict.fromkeys(SYMBOLS, lab.memory.quality)
        assert lab.memory.quality > 50
        assert {position.spec_id for position in lab.paper.positions()} == {spec.id for spec in specs}
        held = lab.market.last_closed_ms

        def without_bitcoin(market: Market, symbol: str, interval: str) -> int | None:
            return 0 if symbol == "BTCUSDT" else held(market, symbol, interval)

        monkeypatch.setattr(lab.market, "last_closed_ms", without_bitcoin)
        lab.setting = replace(lab.setting, settings=patient(lab, 0.5))
        for _ in range(FAILURES_IN_ROW + 1):
            await trading_loop.run(lab)
        assert lab.memory.qualities["BTCUSDT"] == 0
        assert lab.memory.qualities["ETHUSDT"] > 50
        began_ms = lab.clock.now_ms()
        lab.setting = replace(lab.setting, settings=patient(lab, 50.0))
        await trading_loop.run(lab)
        assert lab.clock.now_ms() - began_ms < 20_000, "nobody waits for what did not come the last time"
        alerts = [event.facts["symbol"] for event in told if event.name == "data.stale"]
        assert alerts
        assert set(alerts) == {"BTCUSDT"}


async def test_candles_that_do_not_come_are_an_alert_of_each_coin_and_one_where_none_comes(
    home: Home, world: World
) -> None:
    async with opened(home, world) as (lab, _):

        def cycles(*late: str) -> set[str]:
            for _ in range(FAILURES_IN_ROW + 1):
                alert_when_it_lasts(lab, "data.stale", stale(lab, late))
            return set(lab.outbox.open_alerts())

        assert cycles("ETHUSDT") == {"data.stale:symbol=ETHUSDT"}
        assert cycles(*SYMBOLS) == {"data.stale:symbol=all 2 coins"}
        assert cycles("BTCUSDT") == {"data.stale:symbol=BTCUSDT"}
        assert cycles() == set()


async def test_bars_that_fail_are_an_alert_of_each_market_and_end_with_its_own_good_ones(
    home: Home, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(home, world) as (lab, _):
        facts = {"interval": "1h", "failures_in_row": 6, "top_reason": "a jump"}
        for side, symbol in (("perp", "BTCUSDT"), ("spot", "BTCUSDT"), ("perp", "ETHUSDT"), ("perp", "XRPUSDT")):
            lab.tell("data.failing", {"market": side, "symbol": symbol, **facts}, Severity.ALERT)
        assert len(lab.outbox.open_alerts()) == 4
        good = lab.market.verdict

        def verdict(market: Market, symbol: str, interval: str) -> Verdict:
            is_bad = (market, symbol) == (Market.PERP, "BTCUSDT")
            return replace(FLAWLESS, ok_for_orders=False) if is_bad else good(market, symbol, interval)

        monkeypatch.setattr(lab.market, "verdict", verdict)
        await due_bars(lab)
        assert set(lab.outbox.open_alerts()) == {"data.failing:perp:symbol=BTCUSDT"}, "of XRP the lab reads nothing now"


def patient(lab: Lab, seconds: float) -> object:
    service = lab.settings.service.model_copy(update={"bar_patience_s": seconds})
    return lab.settings.model_copy(update={"service": service})


async def test_a_symbol_that_is_not_listed_is_left_out_and_told(home: Home, world: World) -> None:
    async with opened(home, world, more="ETHUSDT, XRPUSDT") as (lab, told):
        assert lab.symbols == SYMBOLS
        left = [event for event in told if event.name == "market.left_out"]
        assert [(event.facts["symbol"], event.severity) for event in left] == [("XRPUSDT", Severity.NOTICE)]
        spec = carry_on_paper(lab, "XRPUSDT")
        with pytest.raises(DataProviderError, match=r"XRPUSDT, which the lab does not read; add it to venue.more_symb"):
            await evaluation.tapes_for(lab, spec)


async def test_the_model_is_asked_about_one_symbol_after_the_other(home: Home, world: World) -> None:
    async with opened(home, world) as (lab, _):
        asked = []
        for _ in range(4):
            asked.append(research.least_asked(lab))
            lab.memory.questions[asked[-1]] += 1
        assert sorted(asked[:2]) == sorted(asked[2:]) == sorted(SYMBOLS)
        assert [research.live_tape(lab, symbol).symbol for symbol in SYMBOLS] == list(SYMBOLS)
        assert tone_now(lab, "ETHUSDT") is not None or not lab.news.as_of(lab.clock.now_ms())
