"""The desk dies, or is lied to, at every call of a cycle that opens, closes or flattens; the next ones make it good."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.trading.execution.fake_venue import HOUR_MS, Crash, FakeVenue
from tests.trading.execution.rig import START_MS, VirtualClock
from tests.trading.funding.rig import DeskRig, settled
from trading.domain.decisions import Reason
from trading.storage.home import Home

D = Decimal
LOT = D("0.001")
KINDS = ("crash_before", "crash_after", "lost_after", "late", "down", "rate_limit", "reject")
PLOTS = ("open", "close", "kill")


async def prepared(folder: Path, plot: str) -> DeskRig:
    """A desk just before the cycle that is disturbed."""
    rig = DeskRig(Home(folder).make(), FakeVenue(VirtualClock(), history=settled(), maker_fills=("0.4", "0", "1")))
    if plot == "open":
        return rig
    await rig.cycle()
    rig.venue.settle_funding(0.0003, START_MS + HOUR_MS)
    if plot == "close":
        rig.venue.history, rig.venue.rate = settled(-0.0009), -0.0009
        rig.venue.settle_funding(-0.0009, START_MS + 2 * HOUR_MS)
    else:
        rig.home.kill_files[0].write_text("")
    return rig


async def settle(rig: DeskRig, plot: str) -> DeskRig:
    """Cycle until nothing is open in the journal; a death begins anew from disk."""
    for _ in range(12):
        try:
            report = await rig.cycle(armed=False)
        except Crash:
            rig = rig.reborn()
            continue
        unfinished = rig.desk._room.tools.intents.unfinished()
        if not unfinished and report.reason not in (Reason.OUTCOME_UNKNOWN, Reason.DATA_UNAVAILABLE):
            flat = rig.venue.quantity == 0
            if flat or plot == "open":
                return rig
    raise AssertionError(f"{plot}: no end in sight: {report.decision}")


def check(rig: DeskRig) -> None:
    venue, live = rig.venue, rig.desk.store.live_of("BTCUSDT")
    assert max(venue.sent.values(), default=0) <= 1
    assert abs(venue.net_delta) < LOT + D("0.0001")
    assert not rig.desk._room.tools.intents.unresolved()
    if live is None:
        assert venue.quantity == 0
    ours = {r.venue_id for r in rig.desk._room.tools.intents.orders() if r.venue_id}
    assert {fill.venue_order_id for fill in venue.trades} <= ours
    assert len({closed.id for closed in rig.desk.store.closed}) == len(rig.desk.store.closed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("plot", PLOTS)
async def test_one_disturbance_at_every_call(plot: str, kind: str, tmp_path: Path) -> None:
    calm = await prepared(tmp_path / "calm", plot)
    before = calm.venue.calls
    await calm.cycle()
    for number in range(1, calm.venue.calls - before + 1):
        rig = await prepared(tmp_path / str(number), plot)
        rig.venue.faults = {rig.venue.calls + number: kind}
        try:
            await rig.cycle()
        except Crash:
            rig = rig.reborn()
        try:
            rig = await settle(rig, plot)
            check(rig)
        except AssertionError as error:
            raise AssertionError(f"{plot} {kind} at call {number}: {error}") from error
        if rig.desk.store.lives:
            report = await rig.cycle(armed=False)
            assert report.identity is not None
            assert abs(report.identity.error_quote) < D("0.01")
