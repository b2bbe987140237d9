"""What a spot fee taken in coin leaves behind: in the equity, in the profit, and told by name."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tests.conftest import needs_data
from tests.trading.execution.fake_venue import FakeVenue, spot_btc
from tests.trading.funding.rig import DeskRig
from tests.trading.funding.sandbox_rig import world
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import StateFileError
from trading.execution.intents import Intents
from trading.funding.dust import dust_in
from trading.funding.position import PositionStore
from trading.storage.home import Home

D = Decimal
STOP = Decision(False, Reason.STOPPED_BY_HUMAN, 1.0, 0.0)


@pytest.fixture
def rig(quick_rig: DeskRig) -> DeskRig:
    return quick_rig


async def a_carry(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    venue.settle_funding(0.0003, venue.clock.now_ms())
    await rig.cycle()
    await rig.desk.flatten(STOP)


async def test_after_a_close_equity_and_profit_agree_to_the_last_digit_with_the_dust_in_both(
    rig: DeskRig, venue: FakeVenue
) -> None:
    started = venue.equity()
    profit = D(0)
    for round_number in (1, 2):
        await a_carry(rig, venue)
        report = await rig.cycle(armed=False)
        profit += rig.desk.store.closed[-1].profit_quote
        assert report.equity_quote == venue.equity() == started + profit
        assert report.dust is not None
        assert report.dust.base == venue.spot_base > 0
        assert report.cash_quote == report.equity_quote - report.dust.quote, round_number
        assert report.equity_json()["dust_base"] == f"{venue.spot_base.normalize():f}"
    assert len(rig.desk.store.closed) == 2
    assert sum((closed.dust_base or D(0)) for closed in rig.desk.store.closed) == venue.spot_base


async def test_the_cycle_that_closes_tells_the_same_equity_as_the_ones_after_it(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    closing = await rig.desk.flatten(STOP)
    assert closing.equity_quote == venue.equity()
    assert (await rig.cycle(armed=False)).equity_quote == venue.equity()
    assert (await rig.reborn().cycle(armed=False)).equity_quote == venue.equity()


async def test_dust_is_marked_at_the_price_of_the_day_and_beside_the_next_position_too(
    rig: DeskRig, venue: FakeVenue
) -> None:
    await a_carry(rig, venue)
    venue.price += 5000
    assert (await rig.cycle(armed=False)).equity_quote == venue.equity()
    venue.price -= 5000
    report = await rig.cycle()
    assert report.reason is Reason.OK
    assert report.equity_quote == venue.equity()
    report = await rig.cycle()
    assert report.identity is not None
    assert report.identity.error_quote == 0
    assert report.equity_quote == venue.equity()


async def test_dust_that_a_human_took_is_not_counted_and_coins_of_their_own_are_no_dust(
    rig: DeskRig, venue: FakeVenue
) -> None:
    venue.spot_base = D(2)
    await a_carry(rig, venue)
    report = await rig.cycle(armed=False)
    assert report.dust is not None
    assert report.dust.base == venue.spot_base - 2
    venue.spot_base = D(0)
    report = await rig.cycle(armed=False)
    assert report.dust is None
    assert report.equity_quote == report.cash_quote


@pytest.mark.parametrize(
    ("left", "told"),
    [
        ("0.000008", "dust 0.000008 BTC = 0.75 USDT, below the lot of 0.00001, stays in the spot wallet"),
        ("0.000016", "dust 0.000016 BTC = 1.50 USDT, below the smallest order of 5 USDT, stays in the spot wallet"),
        ("0.0006", "dust 0.0006 BTC = 56.34 USDT, enough to sell by hand, stays in the spot wallet"),
    ],
)
def test_dust_is_told_by_name_with_its_worth_and_why_it_is_there(left: str, told: str) -> None:
    assert str(dust_in(spot_btc(), D(left), wallet_base=D(1), price=D("93898.79"))) == told


async def test_a_file_of_positions_from_before_dust_was_noted_is_still_read(
    rig: DeskRig, venue: FakeVenue, home: Home
) -> None:
    await a_carry(rig, venue)
    old = json.loads(home.positions_file.read_bytes())
    old["schema"] = 1
    del old["dust_base"]
    for closed in old["closed"]:
        for name in ("dust_base", "dust_price", "settled"):
            del closed[name]
    home.positions_file.write_text(json.dumps(old))
    store = PositionStore(home.positions_file, Intents(home.intents_file))
    assert store.closed[0].dust_base is None
    assert store.closed[0].settled is None
    assert store.dust_base("BTCUSDT") == 0
    assert (await rig.reborn().cycle(armed=False)).reason is Reason.NOT_ARMED
    old["schema"] = 99
    home.positions_file.write_text(json.dumps(old))
    with pytest.raises(StateFileError, match="schema=99, expected 3"):
        PositionStore(home.positions_file, Intents(home.intents_file))


@needs_data
async def test_on_the_sandbox_equity_after_a_carry_is_the_start_and_its_profit_to_the_cent(home: Home) -> None:
    async with world(home) as here:
        desk = here.desk()
        before = await here.cycle(desk, armed=False)
        await here.cycle(desk)
        report = await desk.flatten(STOP)
        (closed,) = desk.store.closed
        assert before.equity_quote is not None
        assert report.equity_quote is not None
        assert report.dust is not None
        assert 0 < report.dust.base < D("0.00001")
        assert abs(report.equity_quote - before.equity_quote - closed.profit_quote) <= D("0.01")
