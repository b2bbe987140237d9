"""What the carry's look at the market is held against, and what a blocked look still lets happen."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.trading.execution.fake_venue import HOUR_MS, FakeVenue
from tests.trading.execution.rig import VirtualClock
from tests.trading.funding.rig import DeskRig, settled
from trading.domain.decisions import Reason
from trading.domain.instrument import Instrument, Market
from trading.domain.market import FundingNow
from trading.domain.orders import PerpPosition
from trading.journal.audit import CycleStatus
from trading.storage.home import Home

D = Decimal


class OddVenue(FakeVenue):
    """A venue of which a few answers can be changed."""

    liquidation_price: Decimal | None = None
    interval_ms: int | None = None
    is_trading: bool = True
    tick: Decimal = D("0.1")
    ahead_ms: int = 0

    async def time_ms(self) -> int:
        return self.clock.now_ms() + self.ahead_ms

    async def position(self, symbol: str) -> PerpPosition:
        return replace(await super().position(symbol), liquidation_price=self.liquidation_price)

    async def funding_now(self, symbol: str) -> FundingNow:
        said = await super().funding_now(symbol)
        return said if self.interval_ms is None else replace(said, interval_ms=self.interval_ms)

    async def instrument(self, market: Market, symbol: str) -> Instrument:
        known = await super().instrument(market, symbol)
        return replace(known, is_trading=self.is_trading, tick=max(known.tick, self.tick))


@pytest.fixture
def venue() -> OddVenue:
    return OddVenue(VirtualClock(), history=settled())


@pytest.fixture
def rig(home: Home, venue: OddVenue) -> DeskRig:
    return DeskRig(home, venue)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"is_trading": False}, "SYMBOL_STATUS"),
        ({"tick": D(7)}, "TICK"),
        ({"ahead_ms": 1_500}, "CLOCK_DRIFT"),
        ({"ahead_ms": -1_500}, "CLOCK_DRIFT"),
        ({"history": settled()[:40] + settled()[41:]}, "FUNDING_MISSING"),
        ({"history": settled()[:-1]}, "FUNDING_MISSING"),
    ],
)
async def test_what_the_venue_says_of_the_symbol_and_its_settlements_blocks_orders(
    rig: DeskRig, venue: OddVenue, change: dict[str, object], rule: str
) -> None:
    for name, value in change.items():
        setattr(venue, name, value)
    report = await rig.cycle()
    assert report.reason is Reason.DATA_BLOCKED
    assert rule in report.decision.note
    assert not venue.sent


async def test_a_changed_settlement_interval_stops_orders_for_one_look(rig: DeskRig, venue: OddVenue) -> None:
    assert (await rig.cycle(armed=False)).quality == 100
    venue.interval_ms = 4 * HOUR_MS
    changed = await rig.cycle()
    assert "FUNDING_INTERVAL_CHANGED" in changed.decision.note
    assert not venue.sent


async def test_a_move_far_beyond_the_usual_ones_stops_orders(rig: DeskRig, venue: OddVenue) -> None:
    for i in range(40):
        venue.price = D(50_000) + i % 3
        await rig.cycle(armed=False)
        await venue.clock.sleep_s(60)
    venue.price *= D("1.05")
    report = await rig.cycle()
    assert "SPIKE" in report.decision.note
    assert not venue.sent


async def test_a_position_near_its_liquidation_is_closed_while_the_data_is_doubted(
    rig: DeskRig, venue: OddVenue
) -> None:
    await rig.cycle()
    assert venue.quantity < 0
    venue.basis = D(2_000)
    held = await rig.cycle()
    assert (held.status, held.reason) == (CycleStatus.DEGRADED, Reason.DATA_BLOCKED)
    assert venue.quantity < 0
    venue.liquidation_price = D(60_000)  # 15 % above the mark; 25 % is the least
    report = await rig.cycle()
    assert (report.status, report.reason) == (CycleStatus.EXECUTED, Reason.LEVERAGE)
    assert venue.quantity == 0
