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
