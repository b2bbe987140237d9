"""A forced close and the desk: woken by the account's own stream, the spot is sold within seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx
import pytest

from ops import account_watch
from ops.account_watch import AccountWatch
from ops.demo.story import is_flat
from ops.jobs import trading_loop
from ops.service.lab import Lab
from tests.ops.test_service import holds_carry, running, until
from tests.ops.world import World, approved_carry, furnish
from tests.trading.funding.test_forced_close import filled
from trading.domain.account_events import AccountEvent, AccountUnseen
from trading.domain.clock import Clock
from trading.domain.errors import StateFileError
from trading.domain.instrument import Market
from trading.storage.home import Home

SOLD_WITHIN_S = 10.0
"""The bar, lab seconds; two to three are usual. The ordinary cycle comes once in sixty."""
FORCED, HOLE = filled("adl_autoclose"), AccountUnseen(Market.PERP, "broken")


def force_close(world: World, kind: str) -> int:
    """The exchange closes the contract; when it did."""
    return int(httpx.post(f"{world.url}/sandbox/force-close", json={"kind": kind}).raise_for_status().json()["at_ms"])


def spot_sold_ms(world: World) -> list[int]:
    fills = cast(list[dict[str, object]], world.ask("/sandbox/ledger")["fills"])
    return [int(str(fill["time"])) for fill in fills if fill["market"] == "spot" and not fill["isBuyer"]]


async def test_when_the_perpetual_is_closed_by_force_the_spot_is_sold_within_seconds(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home").make()
    furnish(home, world.url)
    words = home.settings_file.read_text().replace("maker_budget_s: 20", "maker_budget_s: 0.5, poll_s: 0.5")
    home.settings_file.write_text(words)
    monkeypatch.setenv("LAB_HOME", str(home.root))
    approved_carry(home)
    told: list[str] = []
    async with running(home, hear=lambda event: told.append(event.name)) as (service, task):
        await until(lambda: holds_carry(service), task, limit_s=30)
        await until(lambda: "POST /fapi/v1/listenKey" in str(world.ask("/sandbox/seen")["requests"]), task)
        await asyncio.sleep(0.5)
        at_ms = await asyncio.to_thread(force_close, world, "ADL")
        await until(lambda: is_flat(world.ask("/sandbox/ledger")), task)
        await until(lambda: "risk.flat" in told, task)
    took_s = (spot_sold_ms(world)[-1] - at_ms) / 1000
    assert 0 <= took_s < SOLD_WITHIN_S
    assert "hedge.woken" in told
    assert {"risk.halted", "hedge.forced", "carry.closed"} <= set(told)
    assert "GET /0/public/Ticker" in str(world.ask("/sandbox/seen")["requests"]), "the dollar's second source is asked"
    assert world.ask("/sandbox/seen")["duplicate_orders"] == []


class Account:
    """An account whose events a test sends."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[AccountEvent] = asyncio.Queue()

    async def account_events(self, *markets: Market) -> AsyncIterator[AccountEvent]:
        assert markets == (Market.PERP,)
        while True:
            yield await self.queue.get()


class Rig:
    """A watch over a lab of nothing but a desk, whose looks are counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, gone_after: int = 1) -> None:
        self.account, self.stop, self.looks = Account(), asyncio.Event(), 0
        held = SimpleNamespace(symbol="BTCUSDT")
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.events: list[str] = []
        store = SimpleNamespace(lives=(held,), live_of=lambda _: store.lives[0] if store.lives else None)
        self.store = store

        async def look(_: object) -> None:
            self.looks += 1
            await self.go_on.wait()
            if self.looks >= gone_after:
                store.lives = ()

        monkeypatch.setattr(trading_loop, "at_once", look)
        monkeypatch.setattr(account_watch, "AGAIN_S", (0.0, 0.001, 0.001, 0.001))
        settings = SimpleNamespace(service=SimpleNamespace(grace_s=0.2))
        self.lab = SimpleNamespace(
            desk=SimpleNamespace(store=store), account=self.account, clock=Clock(), settings=settings,
            tell=lambda name, _: self.events.append(name), failed=lambda where, _: self.events.append(where),
        )  # fmt: skip

    async def hear(self, *events: AccountEvent) -> None:
        """Send these, and let the watch come to rest."""
        for event in events:
            self.account.queue.put_nowait(event)
        for _ in range(20):
            await asyncio.sleep(0.002)

    async def run(self) -> asyncio.Task[None]:
        return asyncio.create_task(AccountWatch(cast(Lab, self.lab), self.stop).run())

    async def end(self, task: asyncio.Task[None]) -> None:
        self.stop.set()
        async with asyncio.timeout(2):
            await task


async def test_a_forced_close_is_looked_at_until_the_books_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, gone_after=3)
    task = await rig.run()
    await rig.hear(FORCED)
    assert (rig.looks, rig.events) == (3, ["hedge.woken"])
    await rig.hear(FORCED, HOLE)
    assert rig.looks == 3, "nothing is held any more"
    await rig.end(task)


async def test_a_look_whose_files_cannot_be_written_is_tried_again_and_ends_no_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig(monkeypatch)

    async def full(_: object) -> None:
        rig.looks += 1
        rig.store.lives = rig.store.lives if rig.looks < 3 else ()
        raise StateFileError("heartbeat.json: cannot be written: No space left on device")

    monkeypatch.setattr(trading_loop, "at_once", full)
    task = await rig.run()
    await rig.hear(FORCED)
    assert (rig.looks, rig.events) == (3, ["hedge.woken", "account", "account", "account"])
    await rig.end(task)


async def test_a_hole_is_looked_at_and_again_after_a_rest_however_often_the_stream_breaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig(monkeypatch, gone_after=99)
    monkeypatch.setattr(account_watch, "HOLE_REST_S", 2.0)
    task = await rig.run()
    await rig.hear(HOLE)
    await rig.hear(HOLE, HOLE)
    await rig.hear(HOLE)
    assert rig.looks == 1
    await asyncio.sleep(2.5)
    assert rig.looks == 2, "what broke last is looked at too"
    await rig.end(task)


async def test_what_is_no_hole_does_not_wait_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, gone_after=99)
    task = await rig.run()
    await rig.hear(HOLE)
    await rig.hear(HOLE)
    assert rig.looks == 1
    await rig.hear(filled("web_1"))
    assert rig.looks == 2
    await rig.hear(filled("web_2"), HOLE)
    assert rig.looks == 3, "a break right behind it does not hide it"
    await rig.end(task)


async def test_what_is_heard_during_a_look_is_one_more_look_and_a_hole_does_not_hide_a_forced_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig(monkeypatch, gone_after=2)
    rig.go_on.clear()
    task = await rig.run()
    await rig.hear(HOLE)
    await rig.hear(FORCED, HOLE, HOLE)
    rig.go_on.set()
    await rig.hear()
    assert (rig.looks, rig.store.lives) == (2, ())
    await rig.end(task)


async def test_an_end_waits_for_a_look_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch)
    rig.go_on.clear()
    task = await rig.run()
    await rig.hear(FORCED)
    assert rig.looks == 1
    await rig.end(task)


async def test_without_keys_there_is_nothing_to_hear() -> None:
    lab = SimpleNamespace(desk=None, account=None)
    await AccountWatch(cast(Lab, lab), asyncio.Event()).run()
