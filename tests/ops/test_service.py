"""The service in this process against the sandbox: cycles, bugs, stops, a Telegram that is away, and its end."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest.mock import AsyncMock

import httpx
import pytest
from pydantic import SecretStr

import sandbox.telegram
from ops import ai_trading_lab, kill_watch
from ops import stop_trading as script
from ops.ai_trading_lab import JOBS, Service
from ops.approve_strategy import approve_strategy
from ops.demo.story import is_flat
from ops.environment import Environment, read_environment
from ops.gather import gather
from ops.jobs import trading_loop
from ops.jobs.trading_loop import chosen
from ops.lab_clock import lab_clock
from ops.reports import account_line
from ops.service.lab import Lab, Setting
from ops.service.wiring import open_lab, open_notifier
from ops.settings import config_hash, read_settings
from ops.telling import delivery
from tests.ops.papers import Human, no_faults, put, put_in_review
from tests.ops.test_stop_trading import hold
from tests.ops.world import NOW_MS, World, approved_carry
from trading.domain.clock import Clock
from trading.domain.decisions import Decision, Reason
from trading.domain.events import Event, Severity
from trading.domain.instrument import Market
from trading.execution.intent_records import Purpose
from trading.execution.intents import Intents
from trading.funding.cycle_base import Carry
from trading.funding.report import CycleReport
from trading.journal.audit import CycleStatus, verify_audit
from trading.journal.bus import Bus, Subscriber
from trading.market.universe import Universe
from trading.market.universe_store import UniverseStore
from trading.notify.message import Message
from trading.notify.outbox import MAIN, Outbox
from trading.notify.told import ToldLog
from trading.risk.arming import write_armed
from trading.risk.counters import RiskCounters
from trading.risk.kill_switch import stop_trading
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage, move
from trading.strategy.repository import StrategyRepository

SCALE = 60.0
Work = Callable[[Lab], Awaitable[None]]
LOOP: Mapping[str, Work] = {"loop": JOBS["loop"]}


@pytest.fixture
def lab_home(lab_home: Home, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home that points at the sandbox; nothing of its own is open there when the test is over."""
    monkeypatch.setenv("LAB_HOME", str(lab_home.root))
    yield lab_home
    no_faults(world)
    if not is_flat(world.ask("/sandbox/ledger")):
        assert script.main([]) == 0


def with_telegram(home: Home) -> Environment:
    """The home's keys and the sandbox's Telegram."""
    token = SecretStr(sandbox.telegram.TOKEN)
    return replace(read_environment(home), telegram_token=token, telegram_chat_id="42")


@asynccontextmanager
async def running(
    home: Home,
    *,
    jobs: Mapping[str, Work] = LOOP,
    environment: Environment | None = None,
    hear: Subscriber | None = None,
) -> AsyncIterator[tuple[Service, asyncio.Task[None]]]:
    """A service with these jobs; ended, and its end awaited, with the block."""
    settings = read_settings(home.settings_file)
    environment = environment or read_environment(home)
    setting = Setting(home, settings, environment, config_hash(settings), "synthetic")
    stop, wake, bus = asyncio.Event(), asyncio.Event(), Bus()
    if hear is not None:
        bus.subscribe(hear)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ai_trading_lab, "JOBS", jobs)
        async with (
            open_lab(setting, lab_clock(settings), bus, wake=wake) as lab,
            open_notifier(environment, settings) as notifier,
        ):
            service = Service(lab, {MAIN: notifier}, stop=stop, wake=wake)
            task = asyncio.create_task(service.run())
            try:
                yield service, task
            finally:
                stop.set()
                await asyncio.wait({task})
                if not task.cancelled():
                    task.exception()


async def until(what: Callable[[], bool], task: asyncio.Task[None] | None = None, *, limit_s: float = 20.0) -> None:
    """Wait for something to become true."""
    end_s = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < end_s, "it never came"
        assert task is None or not task.done(), task.exception() if task else ""
        await asyncio.sleep(0.02)


def audit_lines(home: Home) -> list[dict[str, object]]:
    return [json.loads(line) for line in home.audit_file.read_text().splitlines()] if home.audit_file.exists() else []


def tell(world: World, path: str, words: dict[str, object]) -> None:
    httpx.post(world.url + path, json=words).raise_for_status()


def chat(world: World) -> list[str]:
    return [str(message["text"]) for message in httpx.get(f"{world.url}/sandbox/telegram").json()]


def holds_carry(service: Service) -> bool:
    live = service.lab.memory.live
    return live is not None and live.position is not None and live.performance is not None


async def test_the_first_cycle_writes_the_heartbeat_and_an_audit_line(lab_home: Home) -> None:
    approved_carry(lab_home)
    lab_home.armed_file.unlink()
    began_s = time.monotonic()
    async with running(lab_home) as (service, task):
        await until(lambda: service.schedule.has_run("loop"), task)
        took_s = time.monotonic() - began_s
    beat = json.loads(lab_home.heartbeat_file.read_text())
    assert beat["data_quality"] > 0
    assert beat["accounts"][0]["kind"] == "live (sandbox)"
    assert abs(beat["accounts"][0]["equity_quote"] - 20_000) < 500
    (first, *_) = audit_lines(lab_home)
    assert first["status"] == "NO_TRADE"
    assert first["reason"] == "NOT_ARMED"
    for name in ("config_sha256", "data_sha256", "data_quality", "stage_s", "regime", "equity"):
        assert first[name], name
    assert str(first["regime"]).split()[0] in ("calm", "usual", "stormy"), first["regime"]
    assert verify_audit(lab_home.audit_file).ok
    assert took_s < 8.0


async def test_a_key_that_may_withdraw_opens_nothing_is_an_alert_and_once_mended_trades(
    lab_home: Home, world: World
) -> None:
    approved_carry(lab_home)
    tell(world, "/sandbox/key", {"withdrawals": True})
    heard: list[Event] = []
    try:
        async with running(lab_home, jobs={**LOOP, "keys": JOBS["keys"]}, hear=heard.append) as (service, task):
            await until(lambda: service.schedule.has_run("loop"), task)
            (first, *_) = audit_lines(lab_home)
            assert (first["status"], first["reason"]) == ("NO_TRADE", "KEY_UNFIT")
            assert "the key may withdraw" in str(first["risk"])
            assert not service.lab.desk or not service.lab.desk.store.lives
            assert [event.severity for event in heard if event.name == "keys.unfit"] == [Severity.ALERT]
            tell(world, "/sandbox/key", {"withdrawals": False})
            assert "keys.unfit" in service.lab.outbox.open_alerts()
            await JOBS["keys"](service.lab)
            assert "keys.unfit" not in service.lab.outbox.open_alerts()
            await until(lambda: holds_carry(service), task)
    finally:
        tell(world, "/sandbox/key", {"withdrawals": False})


async def test_an_exchange_that_stumbles_at_the_start_is_asked_again(lab_home: Home, world: World) -> None:
    tell(world, "/sandbox/faults", {"match": "GET /api/v3/exchangeInfo", "kind": "503", "times": 1})
    async with running(lab_home) as (service, task):
        await until(lambda: service.schedule.has_run("loop"), task)
    assert set(service.lab.instruments) == {(side, "BTCUSDT") for side in Market}


async def test_a_key_of_which_the_exchange_says_nothing_opens_nothing_until_it_does(
    lab_home: Home, world: World
) -> None:
    approved_carry(lab_home)
    fault = {"match": "GET /sapi/v1/account/apiRestrictions", "kind": "reject:-1000", "times": 1}
    tell(world, "/sandbox/faults", fault)
    async with running(lab_home) as (service, task):
        await until(lambda: holds_carry(service), task)
    (first, *_) = audit_lines(lab_home)
    assert first["reason"] == "KEY_UNFIT"
    assert "has not said yet" in str(first["risk"])


def told(service: Service) -> str:
    """The live account's line as the next report would have it; empty before the first cycle."""
    accounts = gather(service.lab).accounts
    assert [account for account in accounts if not account.adds_up] == []
    return account_line(accounts[0]) if accounts else ""


async def test_a_deposit_is_told_beside_the_change_since_the_start_and_not_in_it_over_a_restart_too(
    lab_home: Home, world: World
) -> None:
    approved_carry(lab_home)
    try:
        async with running(lab_home, environment=with_telegram(lab_home)) as (service, task):
            await until(lambda: holds_carry(service), task)
            put(world, "/sandbox/deposit", {"usdt": "500"})
            await until(lambda: "(UNEXPLAINED flow +500.00 is no profit)" in told(service), task)
            await until(lambda: any("unexplained flow of +500.00" in text for text in chat(world)), task)
            assert abs(gather(service.lab).accounts[0].change_quote) < 5
            script.release_request(lab_home).write_text("")
            await until(lambda: "(+500.00 put in is no profit)" in told(service), task)
        async with running(lab_home) as (service, task):
            await until(lambda: "(+500.00 put in is no profit)" in told(service), task)
            account = gather(service.lab).accounts[0]
        assert account.flows_quote == pytest.approx(500, abs=0.02)
        assert account.equity_quote - account.start_quote > 495
        assert abs(account.change_quote) < 5
    finally:
        put(world, "/sandbox/deposit", {"usdt": "-500"})


@pytest.mark.parametrize(("risk", "name"), [("", "risk.feasible"), ("risk: {trade_pct: 0.01}\n", "risk.infeasible")])
async def test_at_the_start_it_is_said_whether_any_trade_is_permitted(lab_home: Home, risk: str, name: str) -> None:
    with lab_home.settings_file.open("a") as file:
        file.write(risk)
    told: list[Event] = []
    async with running(lab_home, hear=told.append) as (service, task):
        await until(lambda: service.is_open, task)
    (event,) = [event for event in told if event.name.startswith(("risk.feasible", "risk.infeasible"))]
    assert event.name == name
    assert "trade_pct" in str(event.facts["note"]) or "first_live" in str(event.facts["note"])


async def test_without_keys_the_lab_is_paper_only_and_never_asks_for_the_account(lab_home: Home, world: World) -> None:
    put(world, "/sandbox/reset-seen", {})
    no_keys = replace(read_environment(lab_home), binance_api_key=None, binance_api_secret=None)
    approved_carry(lab_home)
    async with running(lab_home, environment=no_keys) as (service, task):
        await until(lambda: service.schedule.has_run("loop"), task)
    line = audit_lines(lab_home)[0]
    assert (line["mode"], line["status"], line["reason"]) == ("paper", "NO_TRADE", "NOT_ARMED")
    asked = world.ask("/sandbox/seen")["requests"]
    assert isinstance(asked, dict)
    assert not any("account" in path or "/order" in path for path in asked)


async def test_the_chains_pages_are_read_for_the_next_prompt_and_their_faults_are_reasons(
    lab_home: Home, world: World
) -> None:
    fault = {"match": "GET /api/v1/fees*", "kind": "html", "times": 1}
    put(world, "/sandbox/faults", [fault])
    heard: list[Event] = []
    async with running(lab_home, jobs={**LOOP, "onchain": JOBS["onchain"]}, hear=heard.append) as (service, task):
        await until(lambda: service.schedule.has_run("onchain"), task)
        readings = service.lab.onchain.fresh()
    (told,) = [event.facts for event in heard if event.name == "onchain.fetched"][:1]
    assert len(readings) == 8
    assert {reading.name for reading in readings} == set(cast("dict[str, float]", told["readings"]))
    ((address, why),) = cast("dict[str, str]", told["failures"]).items()
    assert address.endswith("/fees/recommended")
    assert "JSON" in why
    assert "job.failed" not in [event.name for event in heard]


async def test_what_the_venue_lists_is_recorded_once_and_a_second_day_without_a_change_costs_no_file(
    lab_home: Home, world: World
) -> None:
    heard: list[Event] = []
    async with running(lab_home, jobs={**LOOP, "universe": JOBS["universe"]}, hear=heard.append) as (service, task):
        await until(lambda: service.schedule.has_run("universe"), task)
        await JOBS["universe"](service.lab)
        universe = Universe(UniverseStore(lab_home.tapes).snapshots())
        known = universe.of(Market.PERP, "BTCUSDT", service.lab.clock.now_ms())
        listed = service.lab.instruments[Market.PERP, "BTCUSDT"]
    assert known.listing is not None
    assert known.listing.source == world.url
    v = known.listing.value
    assert (v.is_trading, v.tick, v.lot, v.min_notional) == (True, listed.tick, listed.lot, listed.min_notional)
    assert known.brackets is not None
    assert known.brackets.value == listed.brackets
    assert known.funding is not None
    assert known.funding.value.interval_ms == 8 * 3_600_000
    first, again = ([str(line) for line in told] for told in (
        cast("list[str]", event.facts["documents"]) for event in heard if event.name == "universe.recorded"
    ))  # fmt: skip
    assert [line.partition(" ")[0] for line in first] == ["spot", "perp", "funding", "brackets"]
    assert all("symbols: kept, " in line for line in first)
    assert all("nothing changed since" in line or "known already" in line for line in again)
    assert len(list((lab_home.tapes / "universe").glob("*.json.gz"))) == 4


async def test_a_bug_in_a_job_that_only_thinks_parks_it_with_an_alert(lab_home: Home, world: World) -> None:
    async def buggy(_: Lab) -> None:
        raise ZeroDivisionError("a bug that thinks")

    jobs = {**LOOP, "news": buggy}
    async with running(lab_home, jobs=jobs, environment=with_telegram(lab_home)) as (service, task):
        await until(lambda: "news" in service.schedule.parked, task)
        lines = len(audit_lines(lab_home))
        await until(lambda: len(audit_lines(lab_home)) > lines, task)
        await until(lambda: any("a bug that thinks" in text for text in chat(world)), task)
    assert any(text.startswith("🚨") and "a bug that thinks" in text for text in chat(world))


async def test_a_bug_where_money_is_touched_ends_the_service_and_is_told(lab_home: Home, world: World) -> None:
    async def buggy(_: Lab) -> None:
        raise ZeroDivisionError("a bug with money")

    async with running(lab_home, jobs={"loop": buggy}, environment=with_telegram(lab_home)) as (service, task):
        await until(task.done)
        assert service.has_ended
    bug = task.exception()
    assert isinstance(bug, BaseExceptionGroup)
    assert bug.subgroup(ZeroDivisionError) is not None
    assert any("a bug with money" in text for text in chat(world)), "the last words did not leave"


async def scraped(heard: list[Event], path: str = "/metrics", host: str = "127.0.0.1") -> httpx.Response:
    """What Prometheus would read, at the port that the service told."""
    (port,) = [event.facts["port"] for event in heard if event.name == "metrics.on"]
    async with httpx.AsyncClient() as client:
        return await client.get(f"http://127.0.0.1:{port}{path}", headers={"Host": f"{host}:{port}"})


async def test_the_kill_file_makes_everything_flat_within_seconds_and_is_told(lab_home: Home, world: World) -> None:
    approved_carry(lab_home)
    with lab_home.settings_file.open("a") as settings:
        settings.write("metrics: {port: 0}\n")
    heard: list[Event] = []
    async with running(lab_home, environment=with_telegram(lab_home), hear=heard.append) as (service, task):
        await until(lambda: holds_carry(service), task)
        metrics = (await scraped(heard)).text.splitlines()
        assert "lab_positions_open 1.0" in metrics
        assert 'lab_orders_total{market="perp",outcome="filled"} 1.0' in metrics
        assert 'lab_events_total{name="carry.opened",severity="notice"} 1.0' in metrics
        unknown = {"lab_parity_age_seconds", "lab_guardian_age_seconds", "lab_backup_age_seconds"}  # nothing of it yet
        unknown |= {"lab_model_spent_usd", "lab_model_budget_usd", "lab_model_calls"}  # there is no model
        unknown |= {"lab_identity_error_usdt"}  # until the books were held against the exchange once more
        assert {line.split()[0] for line in metrics if line.endswith(" NaN")} <= unknown
        assert (await scraped(heard, "/")).status_code == 404
        assert (await scraped(heard, host="somewhere.example")).status_code == 403
        lab_home.kill_files[0].write_text("")
        began_s = time.monotonic()
        await until(lambda: not holds_carry(service) and is_flat(world.ask("/sandbox/ledger")), task)
        took_s = time.monotonic() - began_s
        await until(lambda: any(text.startswith("🚨 Stop seen (KILL_SWITCH)") for text in chat(world)), task)
        lines = len(audit_lines(lab_home))
        await until(lambda: len(audit_lines(lab_home)) > lines, task)
        await until(lambda: "Stopped, everything is flat" in service.lab.outbox.open_alerts()["stop"].text, task)
    assert took_s < 3.0
    assert audit_lines(lab_home)[-1]["reason"] == "KILL_SWITCH"
    assert audit_lines(lab_home)[-1]["status"] == "HALTED"
    assert world.ask("/sandbox/seen")["duplicate_orders"] == []
    left = json.loads(lab_home.heartbeat_file.read_text())["holdings"]
    assert all(holding["text"].startswith("dust ") for holding in left), left
    told = [one.text.partition(" (")[0].partition(",")[0] for one in ToldLog(lab_home.outbox)]
    assert {"🚨 Stop seen", "🔔 Everything is flat", "🔔 Carry closed on BTCUSDT"} <= set(told)
    assert [text for text in told if "Position" in text] == [], "that it is flat is told once"


async def test_a_stop_while_the_exchange_is_away_is_two_alerts_and_tells_how_long_it_took(
    lab_home: Home, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kill_watch, "FLAT_AGAIN_S", 0.1)
    words = lab_home.settings_file.read_text()
    lab_home.settings_file.write_text(words.replace("maker_budget_s: 20", "maker_budget_s: 20, flat_budget_s: 10"))
    approved_carry(lab_home)
    heard: list[Event] = []
    async with running(lab_home, jobs=LOOP, hear=heard.append) as (service, task):
        await until(lambda: holds_carry(service), task)
        put(world, "/sandbox/faults", [{"match": "* /api/*", "kind": "503", "times": 9999}])
        stop_trading(lab_home, by="ada", why="test", at_ms=NOW_MS, keep_positions=False)
        await until(lambda: sum(event.name == "risk.not_flat" for event in heard) > 1, task)
        no_faults(world)
        await until(lambda: any(event.name == "stop.flat" for event in heard), task)
    flat = next(event for event in heard if event.name == "stop.flat")
    first = next(event for event in heard if event.name == "stop.seen")
    assert abs(float(str(flat.facts["seconds"])) - (flat.at_ms - first.at_ms) / 1000) < 10, "since the stop was seen"
    alerts = sorted(one.text for one in ToldLog(lab_home.outbox) if one.severity == Severity.ALERT.value)
    assert "Stop seen (TRADING_STOPPED.json)" in alerts[1]
    assert "c-000001 on BTCUSDT is still there" in alerts[0]
    assert len(alerts) == 2, alerts
    closed = next(event for event in heard if event.name == "carry.closed")
    assert closed.facts["reason"] == "STOPPED_BY_HUMAN", "no kill switch is on"


async def test_a_stop_is_seen_through_although_its_files_cannot_be_written_for_a_while(
    lab_home: Home, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kill_watch, "FLAT_AGAIN_S", 0.2)
    approved_carry(lab_home)
    lab_home.pulse_file.symlink_to(lab_home.root / "nowhere" / "pulse")
    heard: list[Event] = []
    async with running(lab_home, hear=heard.append) as (service, task):
        await until(lambda: holds_carry(service), task)
        await until(lambda: not service.lab.trading.locked(), task)
        books = lab_home.positions_file.read_bytes()
        lab_home.positions_file.unlink()
        lab_home.positions_file.mkdir()  # no file can take its place
        lab_home.kill_files[0].write_text("")
        await until(lambda: is_flat(world.ask("/sandbox/ledger")), task)
        await until(lambda: any(event.facts.get("where") == "watch" for event in heard), task)
        lab_home.positions_file.rmdir()
        lab_home.positions_file.write_bytes(books)
        await until(lambda: any(event.name == "stop.stands" for event in heard), task)
        assert not holds_carry(service)
    assert world.ask("/sandbox/seen")["duplicate_orders"] == []


async def test_a_stop_of_a_lab_without_keys_closes_nothing_and_says_so(lab_home: Home) -> None:
    keyless = replace(read_environment(lab_home), binance_api_key=None, binance_api_secret=None)
    lab_home.kill_files[0].write_text("")
    async with running(lab_home, environment=keyless, jobs={"loop": JOBS["loop"]}) as (service, task):
        await until(lambda: "stop" in service.lab.outbox.open_alerts(), task)
        assert "Stopped, nothing is held" in service.lab.outbox.open_alerts()["stop"].text


async def test_what_is_held_without_keys_is_told_and_not_called_flat(lab_home: Home) -> None:
    keyless = replace(read_environment(lab_home), binance_api_key=None, binance_api_secret=None)
    bases = Decimal("0.01"), Decimal("0.01")
    Intents(lab_home.intents_file).begin("c-000001", Purpose.OPEN, "BTCUSDT", bases, leverage=1, at_ms=NOW_MS)
    async with running(lab_home, environment=keyless) as (service, task):
        await until(lambda: "carry.unattended" in service.lab.outbox.open_alerts(), task)
        lab_home.kill_files[0].write_text("")
        await until(lambda: "stop" in service.lab.outbox.open_alerts(), task)
        assert "c-000001 may be open, which nobody can close" in service.lab.outbox.open_alerts()["stop"].text
    lab_home.intents_file.unlink()


async def test_a_guardian_that_is_missed_while_a_carry_is_held_is_an_alert_until_it_looks(lab_home: Home) -> None:
    approved_carry(lab_home)

    def opened(key: str) -> bool:
        return key in service.lab.outbox.open_alerts()

    def age(file: Path, seconds: float) -> None:
        file.touch()
        os.utime(file, (time.time() - seconds,) * 2)

    async with running(lab_home, jobs={"loop": JOBS["loop"]}) as (service, task):
        await until(lambda: holds_carry(service), task)
        cycles = len(service.lab.memory.cycles)
        await until(lambda: len(service.lab.memory.cycles) > cycles + 1, task)
        assert not opened("carry.unguarded"), "it has five minutes to come up beside the service"
        age(lab_home.lock_file, 400)
        await until(lambda: opened("carry.unguarded"), task)
        text = service.lab.outbox.open_alerts()["carry.unguarded"].text
        assert "BTCUSDT is held, and no guardian has looked for 6 minutes" in text
        lab_home.guardian_pulse_file.touch()
        await until(lambda: not opened("carry.unguarded"), task)
        age(lab_home.guardian_pulse_file, 400)
        await until(lambda: opened("carry.unguarded"), task)
        lab_home.kill_files[0].write_text("")
        await until(lambda: not opened("carry.unguarded") and not holds_carry(service), task)


async def test_what_was_told_of_a_stop_is_over_when_it_was_released_while_nothing_ran(lab_home: Home) -> None:
    outbox, clock = Outbox(lab_home.outbox), Clock()
    for key in ("stop", "stop.not_flat", "risk.flat:KILL_SWITCH:position=c-000001", "parity.differs:fc-1"):
        outbox.put(Message("alert", f"🚨 {key}", dedup_key=key, severity=Severity.ALERT), clock)
    async with running(lab_home, jobs={"loop": JOBS["loop"]}) as (service, task):
        await until(lambda: service.is_open, task)
        assert list(outbox.open_alerts()) == ["parity.differs:fc-1"]


async def test_what_a_stop_script_holds_is_tried_again_until_it_is_flat(
    lab_home: Home, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kill_watch, "FLAT_AGAIN_S", 0.2)
    approved_carry(lab_home)
    jobs = {"loop": JOBS["loop"]}
    async with running(lab_home, jobs=jobs) as (service, task):
        await until(lambda: holds_carry(service), task)
        async with service.lab.trading:  # between two cycles
            other = hold(lab_home, lock="other.lock", seconds=1.5)
            lab_home.kill_files[1].write_text("")
        try:
            await until(lambda: "stop.not_flat" in service.lab.outbox.open_alerts(), task)
            await until(lambda: not holds_carry(service), task)
            assert is_flat(world.ask("/sandbox/ledger"))
            await until(lambda: "stop.not_flat" not in service.lab.outbox.open_alerts(), task)
        finally:
            other.kill()
            other.wait(5)
            if other.stdout is not None:
                other.stdout.close()


async def test_stopped_stays_stopped_over_a_restart(lab_home: Home, world: World) -> None:
    approved_carry(lab_home)
    stop_trading(lab_home, by="ada", why="test", at_ms=NOW_MS, keep_positions=False)
    before = len(cast("list[object]", world.ask("/sandbox/seen")["orders"]))
    for _ in range(2):
        async with running(lab_home) as (service, task):
            await until(lambda service=service: service.schedule.has_run("loop"), task)  # type: ignore[misc]
    assert {line["reason"] for line in audit_lines(lab_home)} <= {"STOPPED_BY_HUMAN", "KILL_SWITCH"}
    assert {line["status"] for line in audit_lines(lab_home)} == {"HALTED"}
    assert len(cast("list[object]", world.ask("/sandbox/seen")["orders"])) == before


async def test_kill_in_the_env_file_counts_as_the_kill_file(lab_home: Home, world: World) -> None:
    approved_carry(lab_home)
    before = len(cast("list[object]", world.ask("/sandbox/seen")["orders"]))
    killed = replace(read_environment(lab_home), kill=True)
    async with running(lab_home, environment=killed) as (service, task):
        await until(lambda: service.schedule.has_run("loop"), task)
    assert {line["reason"] for line in audit_lines(lab_home)} == {"KILL_SWITCH"}
    assert len(cast("list[object]", world.ask("/sandbox/seen")["orders"])) == before


async def test_a_release_ends_the_alert_and_every_halt(lab_home: Home) -> None:
    counters = RiskCounters(lab_home.state / "risk_counters.json")
    counters.halt(Decision(False, Reason.LOSS_STREAK, 5.0, 5.0), NOW_MS)
    stop_trading(lab_home, by="ada", why="test", at_ms=NOW_MS, keep_positions=False)
    async with running(lab_home) as (service, task):
        await until(lambda: "stop" in service.lab.outbox.open_alerts(), task)
        script.release(lab_home, lambda _: None)
        await until(lambda: "stop" not in service.lab.outbox.open_alerts(), task)
        await until(lambda: not script.release_request(lab_home).exists(), task)
        assert service.lab.desk is not None
        assert service.lab.desk.counters.memory.halts == ()
    assert RiskCounters(lab_home.state / "risk_counters.json").memory.halts == ()


async def test_messages_wait_while_telegram_is_away_and_arrive_in_order(
    lab_home: Home, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "OUTBOX_S", 0.2)
    fault = {"match": "POST /bot*", "kind": "503", "times": 1000}
    put(world, "/sandbox/faults", [fault])
    async with running(lab_home, environment=with_telegram(lab_home)) as (service, task):
        await until(lambda: service.is_open, task)
        for number in range(3):
            service.lab.messenger.tell("notice", f"waiting message {number}")
        await until(lambda: service.schedule.has_run("loop"), task)
        assert service.lab.outbox.waiting >= 3
        assert not any("waiting message" in text for text in chat(world))
        no_faults(world)
        await until(lambda: service.lab.outbox.waiting == 0, task)
    told = [text.splitlines()[0] for text in chat(world) if "waiting message" in text]
    assert told == [f"waiting message {number}" for number in range(3)]
    assert all("SYNTHETIC MARKET" in text for text in chat(world) if "waiting message" in text)


async def test_the_service_ends_in_time_although_telegram_never_answers(lab_home: Home, world: World) -> None:
    fault = {"match": "POST /bot*", "kind": "timeout_before", "times": 1000}
    put(world, "/sandbox/faults", [fault])
    async with running(lab_home, environment=with_telegram(lab_home)) as (service, task):
        await until(lambda: service.is_open, task)
        service.lab.messenger.tell("notice", "nobody takes this")
        await until(lambda: service.schedule.has_run("loop"), task)
        began_s = time.monotonic()
        service._stop.set()
        await until(task.done)
        took_s = time.monotonic() - began_s
    assert task.exception() is None
    assert took_s < 5.0
    assert service.lab.outbox.waiting >= 1, "what was not taken waits on disk"


async def test_where_a_carry_waits_for_the_second_gate_the_reason_is_that_it_is_not_armed(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cycle(carries: list[Carry], **_: object) -> CycleReport:
        assert carries == []
        verdict = Decision(False, Reason.NO_APPROVED_STRATEGY, 0.0, 1.0, "no carry has been approved")
        return CycleReport(NOW_MS, CycleStatus.NO_TRADE, verdict)

    monkeypatch.setattr("ops.jobs.keys.once", AsyncMock())
    monkeypatch.setattr("ops.jobs.expiry.leave", lambda _: {})
    spec, human, clock = put_in_review(home), Human(["yes"]), Clock(origin_ms=NOW_MS)
    setting, desk = SimpleNamespace(switches={}), SimpleNamespace(cycle=cycle)
    repository = StrategyRepository(home.strategies)
    rooms = {"home": home, "repository": repository, "setting": setting, "desk": desk, "clock": clock}
    lab = cast("Lab", SimpleNamespace(**rooms, trading=asyncio.Lock()))
    before = await trading_loop._live(lab)
    approve_strategy(home, spec.id, ask=human.ask, say=human.say, clock=clock, operator="ada")
    after = await trading_loop._live(lab)
    assert before is not None
    assert after is not None
    assert before.decision.reason is Reason.NO_APPROVED_STRATEGY, "nobody has signed it"
    assert after.decision.reason is Reason.NOT_ARMED
    assert after.decision.note == f"{spec.id} is approved but not armed: python go_live.py {spec.id}"


def test_a_strategy_that_is_armed_is_chosen_before_one_that_is_not(home: Home) -> None:
    older = approved_carry(home)
    waiting, human = put_in_review(home, number=0xA1), Human(["yes"])
    clock = Clock(origin_ms=NOW_MS)
    signed = approve_strategy(home, waiting.id, ask=human.ask, say=human.say, clock=clock, operator="ada")
    assert signed is not None
    newer = move(signed, Stage.LIVE_TESTING, by="ada", why="armed", at_ms=NOW_MS + 1000)
    repository = StrategyRepository(home.strategies)
    repository.save(newer)
    write_armed(home, newer, operator="ada", at_ms=NOW_MS + 1000, keeps_others=False)
    environment = Environment(None, None, None, None, None, binance_testnet=False, live_trading=True, kill=False)
    fit = Decision(True, Reason.OK, 0.0, 0.0, "")
    setting, memory = SimpleNamespace(environment=environment), SimpleNamespace(key=fit)
    lab = SimpleNamespace(home=home, repository=repository, setting=setting, memory=memory)
    assert [spec.id for spec in repository.by_stage(Stage.LIVE_TESTING)] == [older.id, newer.id]
    ((spec, decision),) = chosen(cast("Lab", lab))
    assert decision.allowed
    assert spec == newer


def test_no_network_is_one_line_and_exit_code_3(home: Home) -> None:
    home.settings_file.write_text("venue: {base_url: 'http://127.0.0.1:9'}\n")
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "run"],
        # With the kernels that are compiled already: it looks for the market and loads them at the same time.
        env={"LAB_HOME": str(home.root), "PATH": "/usr/bin:/bin", "NUMBA_CACHE_DIR": os.environ["NUMBA_CACHE_DIR"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stdout
    begun, why = done.stdout.splitlines()
    assert begun.startswith("AI Trading Lab starts"), "the journal has it when it happens, not at the end"
    assert "./lab demo" in why
