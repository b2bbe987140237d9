"""The process is told to end in the middle of a saga: nothing of ours stays resting, and the next start goes on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.trading.execution.fake_venue import FakeVenue, spot_btc
from tests.trading.execution.rig import Rig, VirtualClock
from trading.domain.decisions import Reason
from trading.domain.instrument import Market
from trading.execution import saga_steps
from trading.execution.intent_records import Purpose
from trading.execution.saga_steps import SagaReport
from trading.execution.saga_table import SagaState
from trading.execution.two_legs import TwoLegs

D = Decimal
LOT = D("0.001")


def a_rig(folder: Path, *fills: str) -> Rig:
    return Rig(folder, FakeVenue(VirtualClock(), maker_fills=fills))


async def until_resting(venue: FakeVenue) -> None:
    for _ in range(1000):
        if await venue.open_orders(Market.SPOT, "BTCUSDT"):
            return
        await asyncio.sleep(0)
    raise AssertionError("nothing rests")


async def cancelled(rig: Rig) -> None:
    task = asyncio.ensure_future(rig.run(Purpose.OPEN, "0.03004", "0.030"))
    await until_resting(rig.venue)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_saga_leaves_no_order_resting_and_is_resumed(tmp_path: Path) -> None:
    rig = a_rig(tmp_path, "0")
    await cancelled(rig)
    assert await rig.venue.open_orders(Market.SPOT, "BTCUSDT") == []
    again = rig.reborn()
    assert not again.intents.unresolved()
    (report,) = await again.resume()
    assert report.state is SagaState.BALANCED
    assert max(rig.venue.sent.values()) == 1


async def test_a_cancelled_saga_does_not_wait_for_a_silent_venue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = a_rig(tmp_path, "0")
    monkeypatch.setattr(saga_steps, "LET_GO_S", 0.05)

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(rig.venue, "cancel", never)
    async with asyncio.timeout(5):
        await cancelled(rig)
    assert len(rig.reborn().intents.unresolved()) == 1


async def hurried(rig: Rig, purpose: Purpose, spot: str, perp: str) -> SagaReport:
    """Told to hurry as soon as an order rests."""
    ending = asyncio.Event()
    tools = replace(rig.tools, is_ending=ending.is_set)
    saga = TwoLegs(rig.begin(purpose, spot, perp), spot_btc(), rig.venue.perp, tools)
    task = asyncio.ensure_future(saga.run())
    await until_resting(rig.venue)
    ending.set()
    return await task


async def test_a_hurried_opening_keeps_what_is_hedged_and_takes_no_more(tmp_path: Path) -> None:
    rig = a_rig(tmp_path, "0")
    report = await hurried(rig, Purpose.OPEN, "0.03004", "0.030")
    assert (report.state, report.outcome) == (SagaState.BALANCED, Reason.NOT_FILLED)
    assert report.elapsed_s < rig.settings.maker_budget_s / 2
    assert (rig.venue.spot_base, rig.venue.quantity) == (0, 0)


async def test_a_hurried_opening_hedges_the_part_that_filled(tmp_path: Path) -> None:
    rig = a_rig(tmp_path, "0.3", "0")
    report = await hurried(rig, Purpose.OPEN, "0.03004", "0.030")
    assert report.state is SagaState.BALANCED
    assert D("-0.03") < rig.venue.quantity < 0
    assert abs(rig.venue.net_delta) < LOT + D("0.0001")
    assert not rig.intents.unresolved()


async def test_a_hurried_closing_takes_the_rest(tmp_path: Path) -> None:
    rig = a_rig(tmp_path, "1")
    await rig.run(Purpose.OPEN, "0.03004", "0.030")
    rig.venue.maker_fills = ("0",)
    report = await hurried(rig, Purpose.CLOSE, "0.03", "0.030")
    assert (report.state, report.outcome) == (SagaState.BALANCED, Reason.OK)
    assert report.elapsed_s < rig.settings.maker_budget_s / 2
    assert rig.venue.quantity == 0
