"""Money that a human puts in or takes out is a capital flow: told by name, never a profit, never a loss."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.conftest import needs_data
from tests.trading.execution.fake_venue import FakeVenue
from tests.trading.funding.rig import DeskRig
from tests.trading.funding.sandbox_rig import world
from trading.domain.decisions import Decision, Reason
from trading.domain.orders import Income, IncomeKind
from trading.risk.memory import Memory
from trading.storage.home import Home

D = Decimal
STOP = Decision(False, Reason.STOPPED_BY_HUMAN, 1.0, 0.0)


@pytest.fixture
def rig(quick_rig: DeskRig) -> DeskRig:
    return quick_rig


def earned(equity: float, start: float, memory: Memory) -> float:
    """The reports' change since the start, by the same parts."""
    return equity - start - memory.flows_quote - max(0.0, memory.unexplained_cash_quote)


@pytest.mark.parametrize("moved", [500, -500])
async def test_money_moved_while_flat_is_a_flow_named_and_not_profit(
    rig: DeskRig, venue: FakeVenue, moved: int
) -> None:
    await rig.cycle(armed=False)
    venue.spot_usdt += moved
    report = await rig.cycle(armed=False)
    memory = rig.desk.counters.memory
    assert memory.flows_quote == moved
    assert earned(float(report.equity_quote or 0), 20_000.0, memory) == 0
    (told,) = [event for event in rig.events if event.name == "carry.money_moved"]
    assert told.facts["quote"] == moved
    assert "unexplained flow" in str(told.facts["note"])
    assert rig.reborn().desk.counters.memory.flows_quote == moved


async def test_a_deposit_right_after_the_close_is_a_flow_and_not_profit(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    await rig.desk.flatten(STOP)
    venue.spot_usdt += 500
    report = await rig.cycle(armed=False)
    profit = float(rig.desk.store.closed[-1].profit_quote)
    assert rig.desk.counters.memory.flows_quote == pytest.approx(500)
    assert earned(float(report.equity_quote or 0), 20_000.0, rig.desk.counters.memory) == pytest.approx(profit)


async def test_funding_recorded_after_the_close_is_earned_and_no_flow(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    await rig.desk.flatten(STOP)
    venue.futures_usdt += D("0.25")
    now_ms = venue.clock.now_ms()
    venue.records.append(Income("BTCUSDT", IncomeKind.FUNDING_FEE, D("0.25"), now_ms, "late-1"))
    await rig.cycle(armed=False)
    assert rig.desk.counters.memory.flows_quote == 0
    assert "carry.funding_late" in rig.names()
    assert "carry.money_moved" not in rig.names()


@pytest.mark.parametrize("moved", [100, -100])
async def test_money_moved_beside_a_position_is_unexplained_then_a_flow_once_released(
    rig: DeskRig, venue: FakeVenue, moved: int
) -> None:
    before = await rig.cycle()
    venue.spot_usdt += moved
    await rig.cycle()
    memory = rig.desk.counters.memory
    assert (memory.unexplained_cash_quote, memory.flows_quote) == (pytest.approx(moved, abs=0.01), 0)
    (halted,) = [event for event in rig.events if event.name == "risk.halted"]
    assert f"unexplained flow of {moved:+.2f}" in str(halted.facts["note"])
    rig.desk.release_halts()
    report = await rig.cycle()
    memory = rig.desk.counters.memory
    assert (memory.unexplained_cash_quote, memory.flows_quote) == (0, pytest.approx(moved, abs=0.01))
    start = float(before.equity_quote or 0)
    assert earned(float(report.equity_quote or 0), start, memory) == pytest.approx(0, abs=0.01)


async def test_coins_moved_are_no_flow_of_cash(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    venue.spot_base += D("0.02")
    await rig.cycle()
    assert rig.desk.counters.memory.unexplained_cash_quote == pytest.approx(0, abs=0.01)
    rig.desk.release_halts()
    await rig.cycle()
    assert rig.desk.counters.memory.flows_quote == pytest.approx(0, abs=0.01)


async def test_an_unexplained_flow_that_goes_away_again_is_forgotten(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    venue.spot_usdt += 100
    await rig.cycle()
    venue.spot_usdt -= 100
    await rig.cycle()
    memory = rig.desk.counters.memory
    assert (memory.unexplained_cash_quote, memory.flows_quote, memory.halts) == (0, 0, ())


@needs_data
async def test_a_deposit_on_the_exchange_beside_a_carry_is_unexplained_until_released(home: Home) -> None:
    async with world(home) as here:
        desk = here.desk()
        flat = await here.cycle(desk, armed=False)
        await here.post("/sandbox/deposit", {"usdt": "250"})
        await here.cycle(desk, armed=False)
        assert desk.counters.memory.flows_quote == pytest.approx(250)
        await here.cycle(desk)
        assert desk.store.lives
        await here.post("/sandbox/deposit", {"usdt": "1000"})
        report = await here.cycle(desk)
        memory = desk.counters.memory
        assert memory.unexplained_cash_quote == pytest.approx(1000, abs=0.02)
        start, now = float(flat.equity_quote or 0), float(report.equity_quote or 0)
        assert now - start > 1200
        assert abs(earned(now, start, memory)) < 5  # the fees and the basis, no deposit
        desk.release_halts()
        report = await here.cycle(desk)
        assert report.reason is Reason.HOLDING, report.decision
        assert desk.counters.memory.flows_quote == pytest.approx(1250, abs=0.02)
        assert abs(earned(float(report.equity_quote or 0), start, desk.counters.memory)) < 5
        ledger = await here.ask("/sandbox/ledger")
        assert dict(ledger["equity"])["adds_up"]  # type: ignore[call-overload]
