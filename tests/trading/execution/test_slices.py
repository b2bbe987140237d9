"""Large positions go in slices, each hedged before the next; none is too small to send, and who hurries knows none."""

from __future__ import annotations

import tempfile
from decimal import ROUND_DOWN, Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.execution.fake_venue import Crash, FakeVenue
from tests.trading.execution.rig import Rig, VirtualClock
from trading.domain.decisions import Reason
from trading.domain.instrument import Market
from trading.execution.intent_records import Purpose
from trading.execution.saga_table import SagaState
from trading.execution.settings import ExecutionSettings
from trading.risk.kill_switch import Stop, StopKind

D = Decimal
LOT = D("0.001")
SMALL = ExecutionSettings(slice_usdt=1000, slice_pause_s=20)
"""0.02 BTC of 50 000 a slice."""


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, FakeVenue(VirtualClock()), SMALL)


def spot_fills(rig: Rig) -> list[Decimal]:
    return [fill.quantity_base for fill in rig.venue.trades if fill.market is Market.SPOT]


async def test_a_large_opening_and_closing_go_in_slices_that_are_hedged_each(rig: Rig) -> None:
    report = await rig.run(Purpose.OPEN, "0.10011", "0.100")
    assert (report.state, report.outcome) == (SagaState.BALANCED, Reason.OK)
    assert spot_fills(rig) == [D("0.02"), D("0.02"), D("0.02"), D("0.02"), D("0.02011")]
    assert report.elapsed_s > 4 * 20
    assert report.max_unhedged_s < 5
    rig.venue.trades.clear()
    report = await rig.run(Purpose.CLOSE, "0.1", "0.100")
    assert report.outcome is Reason.OK
    assert len(spot_fills(rig)) == 5
    assert rig.venue.quantity == 0


async def test_a_stop_between_two_slices_keeps_what_is_hedged_and_opens_no_more(rig: Rig) -> None:
    stops = [Stop()]
    rig.read_stop = lambda: stops[-1]
    clock, waited = rig.venue.clock, 0.0

    async def sleep_s(lab_s: float) -> None:
        nonlocal waited
        waited = waited + lab_s if len(rig.venue.trades) == 2 else 0.0
        if waited > 3:
            stops.append(Stop(StopKind.KILL))
        await clock.sleep_until_ms(clock.now_ms() + lab_s * 1000)

    clock.sleep_s = sleep_s  # type: ignore[method-assign]
    report = await rig.run(Purpose.OPEN, "0.10011", "0.100")
    assert (report.spot_base, report.perp_base) == (D("0.02"), D("0.019"))
    assert report.elapsed_s < 15


async def test_a_closing_that_is_urgent_knows_no_slices(rig: Rig) -> None:
    await rig.run(Purpose.OPEN, "0.10011", "0.100")
    rig.venue.trades.clear()
    rig.read_stop = lambda: Stop(StopKind.KILL)
    report = await rig.run(Purpose.CLOSE, "0.1", "0.100")
    assert len(spot_fills(rig)) == 1
    assert report.elapsed_s < 5
    assert rig.venue.quantity == 0


async def test_a_book_that_turns_bad_between_two_slices_ends_the_opening_even(rig: Rig) -> None:
    clock = rig.venue.clock

    async def sleep_s(lab_s: float) -> None:
        rig.venue.book_fault = "empty" if len(rig.venue.trades) >= 4 else ""
        await clock.sleep_until_ms(clock.now_ms() + lab_s * 1000)

    clock.sleep_s = sleep_s  # type: ignore[method-assign]
    report = await rig.run(Purpose.OPEN, "0.10011", "0.100")
    assert (report.state, report.outcome) == (SagaState.BALANCED, Reason.DATA_UNAVAILABLE)
    assert report.spot_base == D("0.04")
    assert abs(rig.venue.net_delta) < LOT


@settings(max_examples=25, deadline=None)
@given(
    perp=st.integers(3, 200),
    slice_usdt=st.integers(150, 20_000),
    fills=st.lists(st.sampled_from(["0", "0.1", "0.33", "0.7", "1"]), min_size=1, max_size=5),
    faults=st.lists(st.sampled_from(["", "lost_after", "lost_before", "late", "half", "reject", "down"]), max_size=6),
    death=st.integers(0, 120),
)
async def test_however_it_is_cut_the_legs_end_even_and_nothing_is_sent_twice(
    perp: int, slice_usdt: int, fills: list[str], faults: list[str], death: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        venue = FakeVenue(
            VirtualClock(), maker_fills=tuple(fills), spot_usdt=D(10**6), futures_usdt=D(10**6), liquidity=D("0.05")
        )
        rig = Rig(Path(folder), venue, ExecutionSettings(slice_usdt=slice_usdt, slice_pause_s=5))
        base = D(perp) * LOT
        venue.fault_on["place"] = faults
        venue.faults = {death: "crash_after"} if death else {}
        try:
            await rig.run(Purpose.OPEN, str(base + D("0.00002")), str(base))
        except Crash:
            rig = rig.reborn()
            await rig.resume()
        assert not rig.intents.unfinished()
        assert abs(venue.net_delta) < LOT + D("0.0003")
        assert max(venue.sent.values(), default=1) == 1
        venue.faults, venue.fault_on, venue.liquidity = {}, {}, D(1000)
        spot, short = rig.intents.held("c-1")
        if short:
            await rig.run(
                Purpose.CLOSE, str(min(spot, venue.spot_base).quantize(D("0.00001"), ROUND_DOWN)), str(-short)
            )
        assert abs(venue.net_delta) < LOT + D("0.0003")
