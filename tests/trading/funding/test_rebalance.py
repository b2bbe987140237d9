"""Legs that came apart while held are made even again, and the position goes on."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.execution.fake_venue import Crash, FakeVenue, perp_btc, spot_btc
from tests.trading.execution.rig import VirtualClock
from tests.trading.funding.rig import DeskRig, carry_parameters, settled
from trading.domain.decisions import Reason
from trading.domain.instrument import Market, coarser_lot
from trading.domain.orders import Order, OrderType, Side
from trading.execution.intent_records import IntentStatus
from trading.funding.books import Performance
from trading.funding.ledger import Pair
from trading.funding.moves import rebalance_due
from trading.journal.audit import CycleStatus
from trading.risk.guardian import UNHEDGED_FRACTION
from trading.storage.home import Home

D = Decimal
PAIR = Pair(spot_btc(), perp_btc())
LOT = coarser_lot(PAIR.spot, PAIR.perp)
PRICE = D(50_000)


def arrives_late(rig: DeskRig, venue: FakeVenue, market: Market, side: Side, quantity: str) -> None:
    """An order of the live position that was given up as absent is at the venue after all, and fills."""
    position, now_ms = rig.desk.store.live_of("BTCUSDT"), venue.clock.now_ms()
    intents = rig.desk._room.tools.intents
    assert position is not None
    intent = intents.orders(position_id=position.id)[0].intent_id
    draft = Order("", market, "BTCUSDT", side, OrderType.MARKET, D(quantity), None, reduce_only=False)
    record = intents.write_ahead(intent, draft, slice_number=9, at_ms=now_ms)
    intents.marked(record.order.client_id, IntentStatus.ABSENT, note="the venue never had it", at_ms=now_ms)
    venue._accept(record.order)


def view(spot: Decimal, short: Decimal) -> Performance:
    zero = D(0)
    return Performance(spot, -short, zero, zero, zero, zero, zero, 0)


@pytest.mark.parametrize(
    ("market", "side", "quantity"),
    [
        (Market.SPOT, Side.BUY, "0.004"),
        (Market.SPOT, Side.SELL, "0.004"),
        (Market.PERP, Side.BUY, "0.004"),
        (Market.PERP, Side.SELL, "0.004"),
    ],
)
async def test_a_late_order_is_booked_as_ours_and_the_leg_that_is_ahead_gives_it_back(
    rig: DeskRig, venue: FakeVenue, market: Market, side: Side, quantity: str
) -> None:
    await rig.cycle()
    held = venue.quantity
    arrives_late(rig, venue, market, side, quantity)
    assert abs(venue.net_delta) > D("0.003")
    report = await rig.cycle()
    assert (report.status, report.reason) == (CycleStatus.EXECUTED, Reason.REBALANCE)
    assert abs(venue.net_delta) < LOT
    assert abs(venue.quantity) <= abs(held) + LOT
    assert report.identity is not None
    assert abs(report.identity.error_quote) < D("0.01")
    assert [name for name in rig.names() if name in ("carry.difference", "carry.rebalanced")] == [
        "carry.difference",
        "carry.rebalanced",
    ]
    assert rig.about("carry.difference") == rig.about("carry.rebalanced") == {"BTCUSDT"}
    assert rig.desk.counters.memory.halts == ()
    assert (await rig.cycle()).reason is Reason.HOLDING


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
@pytest.mark.parametrize("fault", ["crash_before", "crash_after"])
async def test_a_rebalance_that_is_cut_short_at_any_call_is_finished_by_the_next_start(
    home: Home, side: Side, fault: str
) -> None:
    for call in range(1, 60):
        home_of_call = Home(home.root / f"{call}").make()
        venue = FakeVenue(VirtualClock(), history=settled())
        rig = DeskRig(home_of_call, venue)
        await rig.cycle()
        arrives_late(rig, venue, Market.SPOT, side, "0.004")
        venue.faults = {venue.calls + call: fault}
        try:
            await rig.cycle()
        except Crash:
            rig = rig.reborn()
        else:
            assert call > 20
            return
        for _ in range(3):
            await venue.clock.sleep_s(60)
            await rig.cycle()
        assert abs(venue.net_delta) < LOT
        assert max(venue.sent.values()) == 1
        assert rig.desk.store.lives
        assert rig.desk.counters.memory.halts == ()


async def test_legs_are_made_even_also_while_the_data_are_doubted(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    arrives_late(rig, venue, Market.SPOT, Side.SELL, "0.004")
    venue.quote_age_ms = 120_000
    assert (await rig.cycle()).reason is Reason.REBALANCE
    assert abs(venue.net_delta) < LOT
    assert (await rig.cycle()).status is CycleStatus.DEGRADED


async def test_legs_that_differ_by_less_than_a_lot_are_left(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    arrives_late(rig, venue, Market.SPOT, Side.SELL, "0.0005")
    sent = len(venue.sent)
    assert (await rig.cycle()).reason is Reason.HOLDING
    assert len(venue.sent) == sent


@given(
    spot=st.integers(0, 4_000_00),
    short=st.integers(0, 4_000),
    delta=st.floats(0.01, 50),
)
def test_what_is_left_alone_is_never_more_than_a_lot_dust_or_what_the_guardian_closes(
    spot: int, short: int, delta: float
) -> None:
    held, sold = D(spot) * PAIR.spot.lot, D(short) * PAIR.perp.lot
    due = rebalance_due(view(held, sold), PAIR, carry_parameters(rebalance_delta_pct=delta), price=PRICE)
    apart = abs(held - sold)
    if due is None and min(held, sold) > 0:
        assert apart < max(LOT, max(held, sold) * D(str(UNHEDGED_FRACTION)), PAIR.spot.min_notional / PRICE)
    if due is not None:
        assert apart >= LOT
        assert due.value >= due.limit
