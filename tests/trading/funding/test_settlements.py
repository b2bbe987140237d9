"""Each settlement against its record: what differs is an alert, and what cannot be checked is said."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.trading.execution.fake_venue import HOUR_MS
from tests.trading.execution.rig import START_MS
from tests.trading.funding.rig import DeskRig
from trading.domain.decisions import Reason
from trading.domain.market import FundingRate

D = Decimal
AT_MS = START_MS + HOUR_MS
RATE = 0.0004


async def paid_without_a_mark(rig: DeskRig) -> None:
    """A settlement that the venue pays and records, and whose rate names no mark."""
    await rig.cycle()
    await rig.venue.clock.sleep_until_ms(AT_MS + 1000)
    rig.venue.settle_funding(RATE, AT_MS)
    rig.venue.history[-1] = FundingRate("BTCUSDT", AT_MS, RATE, None)


def about_funding(rig: DeskRig) -> list[str]:
    return [name for name in rig.names() if name.startswith("carry.funding_") and name != "carry.funding_booked"]


async def test_a_settlement_without_a_mark_is_checked_by_the_marks_own_candle(rig: DeskRig) -> None:
    await paid_without_a_mark(rig)
    rig.venue.marks[AT_MS] = D(50_010)
    assert (await rig.cycle()).reason is Reason.HOLDING
    assert rig.desk.store.lives
    assert rig.desk.store.live_of("BTCUSDT").checked_settlements_ms == (AT_MS,)
    assert about_funding(rig) == []
    before = rig.venue.seen.count("mark_at")
    await rig.cycle()
    assert rig.venue.seen.count("mark_at") == before, "once is enough"


async def test_a_settlement_that_differs_is_an_alert_whoever_named_the_mark(rig: DeskRig) -> None:
    await paid_without_a_mark(rig)
    rig.venue.marks[AT_MS] = D(51_000)
    await rig.cycle()
    assert about_funding(rig) == ["carry.funding_differs"]
    (told,) = [event.facts for event in rig.events if event.name == "carry.funding_differs"]
    assert (told["booked_quote"], told["expected_quote"]) == (pytest.approx(0.30006), pytest.approx(0.306))


@pytest.mark.parametrize("fault", ["", "down"])
async def test_a_settlement_whose_mark_nobody_knows_is_told_as_not_checked_once_and_after_an_hour(
    rig: DeskRig, fault: str
) -> None:
    await paid_without_a_mark(rig)
    rig.venue.fault_on["mark_at"] = [fault] * 5
    await rig.cycle()
    assert about_funding(rig) == [], "it may come yet"
    await rig.venue.clock.sleep_s(3600)
    for _ in range(2):
        await rig.cycle()
    assert about_funding(rig) == ["carry.funding_unchecked"]
    (told,) = [event.facts for event in rig.events if event.name == "carry.funding_unchecked"]
    assert told["why"] == "the exchange names no mark price of its moment"
