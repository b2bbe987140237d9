"""The way to flat: fast where nothing can be overshot, patient where something foreign could be taken, never short."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.execution.fake_venue import FakeVenue
from tests.trading.execution.rig import Rig, VirtualClock
from trading.domain.instrument import Market
from trading.domain.orders import Order, OrderType, Side
from trading.execution.flatten import FlattenReport, flatten
from trading.execution.intent_records import IntentStatus, Purpose

D = Decimal
DUST = D("0.0001")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, FakeVenue(VirtualClock()))


async def held(rig: Rig, *, foreign_spot: str = "0", foreign_short: str = "0") -> Rig:
    """A lab that holds a carry, beside what it did not open."""
    await rig.run(Purpose.OPEN, "0.10011", "0.100")
    rig.venue.spot_base += D(foreign_spot)
    rig.venue.quantity -= D(foreign_short)
    return rig


async def to_flat(rig: Rig) -> FlattenReport:
    return await flatten(rig.tools, "c-1", why="KILL_SWITCH")


async def test_twelve_lost_answers_do_not_cost_a_wait_each(rig: Rig) -> None:
    await held(rig)
    rig.venue.fault_on["place"] = ["lost_before"] * 12
    began_ms = rig.venue.clock.now_ms()
    report = await to_flat(rig)
    assert report.is_flat
    assert (rig.venue.quantity, rig.venue.spot_base < DUST) == (0, True)
    # Six tries of each leg, seconds apart; then every order that was in doubt must become known.
    closed_s = (rig.venue.trades[-1].at_ms - began_ms) / 1000
    assert closed_s < 2.5 * 6
    assert report.elapsed_s < closed_s + rig.settings.absent_after_s + 2
    assert not rig.intents.unresolved()


async def test_an_order_that_cannot_be_looked_up_keeps_neither_leg_open(rig: Rig) -> None:
    await held(rig)
    rig.venue.fault_on["place"] = ["lost_after"]
    rig.venue.fault_on["find"] = ["down"] * 500
    rig.venue.fault_on["cancel"] = ["down"] * 500
    report = await to_flat(rig)
    assert (rig.venue.quantity, rig.venue.spot_base < DUST) == (0, True)
    assert not report.is_flat, "flat is only said when every order is known"
    assert len(report.errors) == 3, "a human is told the first and the last, not hundreds alike"
    assert report.errors[1].startswith("... and ")
    assert report.elapsed_s < rig.settings.flat_budget_s + 5
    rig.venue.fault_on.clear()
    assert (await to_flat(rig)).is_flat
    assert max(rig.venue.sent.values()) == 1


async def test_a_venue_that_cannot_cancel_is_closed_on_all_the_same(rig: Rig) -> None:
    await held(rig)
    rig.venue.fault_on["cancel_all"] = ["down"] * 6
    report = await to_flat(rig)
    assert report.is_flat
    assert len(report.errors) == 6


async def test_a_sale_that_arrives_late_does_not_take_the_owners_coins(rig: Rig) -> None:
    await held(rig, foreign_spot="0.5", foreign_short="0.2")
    rig.venue.fault_on["place"] = ["late", "late"]
    report = await to_flat(rig)
    assert report.is_flat
    assert abs(rig.venue.spot_base - D("0.5")) < DUST
    assert rig.venue.quantity == D("-0.2")


def in_doubt(rig: Rig, market: Market, side: Side, quantity: str, *, filled: bool) -> None:
    """An order of before, of which nobody has heard: it filled, or it never arrived."""
    intent, now_ms = rig.intents.orders()[0].intent_id, rig.venue.clock.now_ms()
    draft = Order("", market, "BTCUSDT", side, OrderType.MARKET, D(quantity))
    record = rig.intents.write_ahead(intent, draft, slice_number=9, at_ms=now_ms)
    rig.intents.marked(record.order.client_id, IntentStatus.UNKNOWN, note="no answer", at_ms=now_ms)
    if filled:
        rig.venue._accept(record.order)


@pytest.mark.parametrize("foreign", ["0", "0.03", "0.5"])
@pytest.mark.parametrize("filled", [True, False])
@pytest.mark.parametrize(
    ("market", "side"), [(market, side) for market in Market for side in Side], ids=lambda part: str(part)
)
async def test_what_was_in_doubt_before_is_closed_when_it_is_known_and_not_paid_for_with_the_owners(
    rig: Rig, market: Market, side: Side, filled: bool, foreign: str
) -> None:
    # A sale of the contract in doubt beside a foreign short is the one case in which the short is closed on suspicion.
    is_suspicion = (market, side, filled) == (Market.PERP, Side.SELL, False)
    await held(rig, foreign_spot=foreign, foreign_short="0" if is_suspicion else foreign)
    in_doubt(rig, market, side, "0.06", filled=filled)
    rig.venue.fault_on = {"find": ["down"] * 4, "cancel": ["down"] * 4}
    assert (await to_flat(rig)).is_flat
    assert abs(rig.venue.spot_base - D(foreign)) < DUST + D("0.00006")
    assert rig.venue.quantity == (0 if is_suspicion else -D(foreign))
    assert not rig.intents.unresolved()


@settings(max_examples=60, deadline=None)
@given(
    faults=st.lists(st.sampled_from(["", "lost_before", "lost_after", "late", "reject", "half", "down"]), max_size=8),
    answers=st.lists(st.sampled_from(["", "down", "lost_before", "rate_limit"]), max_size=6),
    foreign_spot=st.sampled_from(["0", "0.00005", "0.5"]),
    foreign_short=st.sampled_from(["0", "0.001", "0.2"]),
)
async def test_whatever_goes_wrong_what_is_ours_is_closed_and_nothing_else(
    faults: list[str], answers: list[str], foreign_spot: str, foreign_short: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rig = await held(
            Rig(Path(folder), FakeVenue(VirtualClock())), foreign_spot=foreign_spot, foreign_short=foreign_short
        )
        rig.venue.fault_on = {"place": list(faults), "find": list(answers), "cancel_all": list(answers)}
        report = await to_flat(rig)
        assert report.is_flat
        assert abs(rig.venue.spot_base - D(foreign_spot)) < DUST
        assert rig.venue.quantity == -D(foreign_short)
        assert max(rig.venue.sent.values()) == 1
        statuses = {record.status for record in rig.intents.orders()}
        assert not statuses & {IntentStatus.UNKNOWN, IntentStatus.MEANT, IntentStatus.OPEN}
