"""Every call of the saga dies, lies or stays silent once; the legs end together all the same, and nothing is lost."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.execution.fake_venue import Crash, FakeVenue
from tests.trading.execution.rig import Rig, VirtualClock
from trading.domain.instrument import Market
from trading.domain.orders import Order, OrderState, OrderStatus, OrderType, Side
from trading.execution import journal_file
from trading.execution.intent_records import IntentStatus, Purpose
from trading.execution.intents import Intents
from trading.storage.files import append_line

D = Decimal
LOT = D("0.001")
KINDS = (
    "crash_before",
    "crash_after",
    "lost_before",
    "lost_after",
    "late",
    "reject",
    "rate_limit",
    "down",
    "half",
)


async def run_to_the_end(rig: Rig, purpose: Purpose, spot: str, perp: str) -> Rig:
    """Run the saga; after each death rebuild it from disk and resume, as often as it takes."""
    try:
        await rig.run(purpose, spot, perp)
    except Crash:
        rig = rig.reborn()
    for _ in range(20):
        if not rig.intents.unfinished():
            return rig
        try:
            await rig.resume()
        except Crash:
            rig = rig.reborn()
    raise AssertionError(f"no end in sight: {rig.intents.unfinished()}")


def check(rig: Rig) -> None:
    """The invariants: nothing twice, nothing lost, together within one lot, nothing left in doubt."""
    venue, again = rig.venue, rig.reborn().intents
    assert max(venue.sent.values(), default=0) <= 1
    assert not again.unresolved()
    assert abs(venue.net_delta) < LOT + D("0.0001")
    ours = {record.venue_id for record in again.orders() if record.venue_id}
    executed = {m: D(0) for m in Market}
    for fill in venue.trades:
        assert fill.venue_order_id in ours, "a fill the journal does not know"
        executed[fill.market] += fill.quantity_base * fill.side.sign
    held = [again.held(position_id) for position_id in again.position_ids()]
    assert executed[Market.SPOT] == sum((spot for spot, _ in held), D(0))
    assert executed[Market.PERP] == sum((perp for _, perp in held), D(0))


def a_rig(folder: Path, **changes: object) -> Rig:
    return Rig(folder, FakeVenue(VirtualClock(), **changes))  # type: ignore[arg-type]


async def calls_of(purpose: Purpose, folder: Path) -> int:
    """How many calls an undisturbed saga makes."""
    rig = a_rig(folder, maker_fills=("0.3", "0", "1"))
    await rig.run(Purpose.OPEN, "0.03004", "0.030")
    if purpose is Purpose.CLOSE:
        before = rig.venue.calls
        await rig.run(Purpose.CLOSE, "0.03", "0.030")
        return rig.venue.calls - before
    return rig.venue.calls


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("purpose", [Purpose.OPEN, Purpose.CLOSE])
async def test_one_fault_at_every_call(purpose: Purpose, kind: str, tmp_path: Path) -> None:
    (tmp_path / "count").mkdir()
    total = await calls_of(purpose, tmp_path / "count")
    for number in range(1, total + 3):
        folder = tmp_path / str(number)
        folder.mkdir()
        rig = a_rig(folder, maker_fills=("0.3", "0", "1"))
        if purpose is Purpose.CLOSE:
            await rig.run(Purpose.OPEN, "0.03004", "0.030")
        rig.venue.faults = {rig.venue.calls + number: kind}
        sizes = ("0.03004", "0.030") if purpose is Purpose.OPEN else ("0.03", "0.030")
        rig = await run_to_the_end(rig, purpose, *sizes)
        try:
            check(rig)
        except AssertionError as error:
            raise AssertionError(f"{purpose} {kind} at call {number}: {error}") from error


@pytest.fixture
def dying_journal(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """Die at a chosen write of the journal: before it, after it, or in the middle of the line."""
    plan: dict[str, object] = {"left": -1, "how": "before"}

    def write(path: Path, line: bytes) -> None:
        plan["left"] = int(str(plan["left"])) - 1
        if plan["left"] != 0:
            append_line(path, line)
            return
        if plan["how"] == "after":
            append_line(path, line)
        if plan["how"] == "torn":
            with path.open("ab") as file:
                file.write(line[: len(line) // 2])
        raise Crash

    monkeypatch.setattr(journal_file, "append_line", write)
    return plan


@pytest.mark.parametrize("how", ["before", "after", "torn"])
@pytest.mark.parametrize("purpose", [Purpose.OPEN, Purpose.CLOSE])
async def test_death_at_every_write_of_the_journal(
    purpose: Purpose, how: str, tmp_path: Path, dying_journal: dict[str, object]
) -> None:
    for number in range(1, 40):
        folder = tmp_path / str(number)
        folder.mkdir()
        dying_journal["left"] = -1
        rig = a_rig(folder, maker_fills=("0.3", "0", "1"))
        if purpose is Purpose.CLOSE:
            await rig.run(Purpose.OPEN, "0.03004", "0.030")
        dying_journal.update(left=number, how=how)
        sizes = ("0.03004", "0.030") if purpose is Purpose.OPEN else ("0.03", "0.030")
        rig = await run_to_the_end(rig, purpose, *sizes) if number > 1 else await _dies_at_once(rig, purpose, *sizes)
        check(rig)
        if int(str(dying_journal["left"])) > 0:
            return
    raise AssertionError("the journal is written more often than this test counts")


async def _dies_at_once(rig: Rig, purpose: Purpose, spot: str, perp: str) -> Rig:
    with pytest.raises(Crash):
        await rig.run(purpose, spot, perp)
    reborn = rig.reborn()
    await reborn.resume()
    return reborn


@settings(max_examples=150, deadline=None)
@given(
    faults=st.dictionaries(st.integers(1, 60), st.sampled_from(KINDS), max_size=8),
    maker=st.lists(st.sampled_from(["0", "0.05", "0.3", "0.5", "1"]), min_size=1, max_size=5),
    liquidity=st.sampled_from(["0.004", "0.02", "1000"]),
    refuse_post_only=st.booleans(),
    closes=st.booleans(),
)
async def test_any_script_of_fills_faults_and_deaths_ends_together(
    faults: dict[int, str], maker: list[str], liquidity: str, refuse_post_only: bool, closes: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rig = a_rig(
            Path(folder),
            faults=faults,
            maker_fills=tuple(maker),
            liquidity=D(liquidity),
            refuse_post_only=refuse_post_only,
        )
        rig = await run_to_the_end(rig, Purpose.OPEN, "0.03004", "0.030")
        check(rig)
        spot, perp = rig.intents.held("c-1") if rig.intents.positions() else (D(0), D(0))
        sell = (spot * D("0.999")).quantize(D("0.00001"), rounding="ROUND_DOWN")
        if closes and perp and sell * rig.venue.price > 100:
            rig = await run_to_the_end(rig, Purpose.CLOSE, str(sell), str(-perp))
            check(rig)


def test_a_torn_last_line_is_set_aside_and_the_journal_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "intents.jsonl"
    intents = Intents(path)
    intents.begin("c-1", Purpose.OPEN, "BTCUSDT", (D(1), D(1)), leverage=1, at_ms=1)
    with path.open("ab") as file:
        file.write(b'{"kind":"ord')
    again = Intents(path)
    assert "set aside as intents.jsonl.torn-1" in again.notes[0]
    assert [intent.position_id for intent in again.unfinished()] == ["c-1"]
    assert Intents(path).notes == ()


async def _given_up_after_s(folder: Path, *, written_s: float) -> float:
    """Lab seconds after a restart until an order that was written ahead so long before it is given up."""
    rig = a_rig(folder)
    intent = rig.begin(Purpose.OPEN, "0.01", "0.010")
    draft = Order("", Market.PERP, "BTCUSDT", Side.SELL, OrderType.MARKET, D("0.010"))
    record = rig.intents.write_ahead(intent.id, draft, slice_number=1, at_ms=rig.venue.clock.now_ms())
    await rig.venue.clock.sleep_s(written_s)
    began_s = rig.venue.clock.monotonic_s()
    known = await rig.reborn().tools.broker.cancel(record)
    assert known.status is IntentStatus.ABSENT
    return rig.venue.clock.monotonic_s() - began_s


async def test_an_order_that_left_just_before_the_death_is_not_given_up_while_it_may_arrive(tmp_path: Path) -> None:
    """It may have waited for a place in the budget of requests, so that its stamp is as young as the death."""
    for name in ("young", "old"):
        (tmp_path / name).mkdir()
    assert await _given_up_after_s(tmp_path / "young", written_s=8.0) >= 7.0
    assert await _given_up_after_s(tmp_path / "old", written_s=60.0) < 1.0


async def test_a_fill_that_crossed_its_cancel_is_found_though_the_answer_does_not_tell(tmp_path: Path) -> None:
    rig = a_rig(tmp_path, maker_fills=("0",))
    cancel = rig.venue.cancel

    async def cancel_then_fill(market: Market, symbol: str, client_id: str) -> OrderState | None:
        told = await cancel(market, symbol, client_id)
        resting = rig.venue.orders[client_id]
        if resting.filled == 0 and resting.order.price is not None:
            rig.venue._fill(resting, D("0.01"), resting.order.price, maker=True)
            resting.status = OrderStatus.CANCELLED
        return told

    rig.venue.cancel = cancel_then_fill  # type: ignore[method-assign]  # the venue's answer is a moment too old
    rig = await run_to_the_end(rig, Purpose.OPEN, "0.03004", "0.030")
    check(rig)
