"""Collateral follows what needs it: a leg that its wallet cannot pay, a short whose margin shrinks; and never twice."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.execution.fake_venue import Crash, FakeVenue, perp_btc, spot_btc
from tests.trading.execution.rig import VirtualClock
from tests.trading.funding.rig import DeskRig, settled
from trading.domain.decisions import Reason
from trading.domain.instrument import Market
from trading.domain.orders import PerpPosition, Purse
from trading.execution.intent_records import IntentStatus
from trading.funding.carry_settings import CarrySettings
from trading.funding.ledger import Pair
from trading.funding.margin_care import plan_margin, smallest_close
from trading.funding.report import CycleReport
from trading.journal.audit import CycleStatus
from trading.storage.home import Home

D = Decimal
LOT = D("0.001")
SETTINGS = CarrySettings()
AIM = SETTINGS.top_up_to_pct / 100


async def in_need(rig: DeskRig, *, share: str = "0.28", spot: str = "1000", futures: str = "1000") -> DeskRig:
    """A carry whose margin is so large a share of the short: its liquidation price is about as far away.

    Args:
        rig: The desk.
        share: Of the short.
        spot: Free in the spot wallet; the rest is held by somebody's orders.
        futures: Free in the futures wallet.
    """
    await rig.cycle()
    venue = rig.venue
    assert venue.quantity < 0
    venue.margin = (-venue.quantity * venue.price * D(share)).quantize(D("0.01"))
    venue.locked = {
        Market.SPOT: venue.spot_usdt - D(spot),
        Market.PERP: venue.futures_usdt - venue.margin - D(futures),
    }
    return rig


async def distance(venue: FakeVenue) -> float:
    found = (await venue.position("BTCUSDT")).liquidation_distance
    assert found is not None
    return found


def holds(report: CycleReport) -> bool:
    """The books agree, or nothing is held."""
    return report.identity is None or abs(report.identity.error_quote) < D("0.01")


# A leg that its wallet cannot pay


async def test_the_wallet_that_is_short_is_paid_from_the_other_and_the_carry_opens(
    rig: DeskRig, venue: FakeVenue
) -> None:
    venue.futures_usdt, equity = D(100), venue.equity() - 9_900
    report = await rig.cycle()
    assert (report.status, report.reason) == (CycleStatus.EXECUTED, Reason.OK)
    assert [move.to for move in venue.moved] == [Purse.FUTURES]
    assert abs(venue.net_delta) < LOT
    assert abs(venue.equity() - equity) < 5
    report = await rig.cycle()
    assert report.identity is not None
    assert holds(report)


async def test_a_refused_transfer_refuses_the_entry_once_and_is_not_tried_again_every_minute(
    rig: DeskRig, venue: FakeVenue
) -> None:
    venue.futures_usdt = D(300)
    venue.fault_on["move_collateral"] = ["reject"] * 9
    report = await rig.cycle()
    assert report.reason is Reason.INSUFFICIENT_BALANCE
    assert "USDT to futures: rejected" in report.decision.note
    for _ in range(3):
        await venue.clock.sleep_s(60)
        report = await rig.cycle()
    # What the futures wallet has by itself is traded instead.
    assert venue.seen.count("move_collateral") == 1
    assert (report.reason, abs(venue.net_delta) < LOT) == (Reason.HOLDING, True)
    assert -venue.quantity * venue.price < 300


async def test_being_told_to_stay_away_is_no_refusal_of_the_right_to_move(rig: DeskRig, venue: FakeVenue) -> None:
    venue.futures_usdt = D(300)
    venue.fault_on["move_collateral"] = ["rate_limit"]
    assert (await rig.cycle()).reason is Reason.INSUFFICIENT_BALANCE
    for _ in range(3):  # the breaker that the limit opened rests a minute
        await venue.clock.sleep_s(60)
        report = await rig.cycle()
    assert report.reason in (Reason.OK, Reason.HOLDING)
    assert len(venue.moved) == 1


@pytest.mark.parametrize(
    ("fault", "answers", "reason", "moved"),
    [
        ("lost_after", [], Reason.OK, 1),
        ("lost_before", [], Reason.INSUFFICIENT_BALANCE, 0),
        ("lost_after", ["down"] * 3, Reason.OK, 1),
        ("lost_after", ["down"] * 200, Reason.OUTCOME_UNKNOWN, 1),
    ],
)
async def test_a_transfer_whose_answer_was_lost_is_looked_up(
    rig: DeskRig, venue: FakeVenue, fault: str, answers: list[str], reason: Reason, moved: int
) -> None:
    venue.futures_usdt = D(300)
    venue.fault_on = {"move_collateral": [fault], "collateral_moves": answers}
    report = await rig.cycle()
    assert report.reason is reason
    assert len(venue.moved) == moved
    venue.fault_on.clear()
    for _ in range(3):  # the breaker that silence opened rests a minute
        await venue.clock.sleep_s(60)
        report = await rig.cycle()
    assert report.reason in (Reason.OK, Reason.HOLDING)
    assert len(venue.moved) == 1
    assert all(record.status.is_final for record in rig.desk._room.tools.intents.moves())


async def test_without_leave_to_move_money_each_wallet_pays_its_own_leg(home: Home, venue: FakeVenue) -> None:
    venue.futures_usdt = D(300)
    rig = DeskRig(home, venue)
    rig.execution = rig.execution.model_copy(update={"moves_collateral": False})
    rig = rig.reborn()
    await rig.cycle()
    assert venue.moved == []
    assert 0 < -venue.quantity * venue.price < 300


# A short whose margin shrinks


@pytest.mark.parametrize(
    ("spot", "futures", "places"),
    [("5000", "5000", [Purse.POSITION]), ("5000", "30", [Purse.FUTURES, Purse.POSITION])],
)
async def test_margin_follows_the_short_before_it_is_in_trouble(
    rig: DeskRig, venue: FakeVenue, spot: str, futures: str, places: list[Purse]
) -> None:
    await in_need(rig, spot=spot, futures=futures)
    assert await distance(venue) < 0.30
    equity = venue.equity()
    report = await rig.cycle()
    assert [move.to for move in venue.moved] == places
    assert await distance(venue) > AIM
    assert venue.equity() == equity
    assert rig.names().count("carry.margin_added") == 1
    assert report.reason is Reason.HOLDING
    await venue.clock.sleep_s(60)
    assert holds(await rig.cycle())


async def test_where_money_is_nowhere_both_legs_are_made_smaller_and_carry_on(rig: DeskRig, venue: FakeVenue) -> None:
    await in_need(rig, spot="0", futures="0")
    held = -venue.quantity
    report = await rig.cycle()
    assert (report.status, report.reason) == (CycleStatus.EXECUTED, Reason.MARGIN_LOW)
    assert held / 2 < -venue.quantity < held
    assert abs(venue.net_delta) < LOT
    await venue.clock.sleep_s(60)
    await rig.cycle()
    assert await distance(venue) > 0.30
    assert [name for name in rig.names() if "margin" in name or "reduced" in name] == [
        "carry.margin_low",
        "carry.reduced",
        "carry.margin_added",
    ]


async def test_a_margin_that_nobody_takes_is_told_and_the_carry_is_held_on(rig: DeskRig, venue: FakeVenue) -> None:
    await in_need(rig)
    venue.fault_on["move_collateral"] = ["reject"]
    report = await rig.cycle()
    assert report.reason is Reason.HOLDING
    assert rig.names().count("carry.margin_low") == 1
    await venue.clock.sleep_s(60)
    await rig.cycle()
    assert await distance(venue) > AIM


async def test_nothing_is_closed_for_money_that_could_not_be_moved(rig: DeskRig, venue: FakeVenue) -> None:
    await in_need(rig, spot="0", futures="20")
    venue.fault_on["move_collateral"] = ["reject"] * 9
    held = venue.quantity
    for _ in range(3):
        await venue.clock.sleep_s(60)
        assert (await rig.cycle()).reason is Reason.HOLDING
    assert venue.quantity == held


@pytest.mark.parametrize("plot", ["paying", "topping"])
@pytest.mark.parametrize("fault", ["crash_before", "crash_after"])
async def test_a_move_that_is_cut_short_at_any_call_is_known_after_the_next_start(
    home: Home, plot: str, fault: str
) -> None:
    for call in range(1, 90):
        venue = FakeVenue(VirtualClock(), history=settled())
        rig = DeskRig(Home(home.root / f"{call}").make(), venue)
        if plot == "paying":
            venue.futures_usdt = D(300)
        else:
            await in_need(rig, futures="30")
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
            report = await rig.cycle()
        intents = rig.desk._room.tools.intents
        assert not intents.unfinished()
        assert all(record.status.is_final for record in intents.moves())
        done = Counter((r.to, r.amount) for r in intents.moves() if r.status is IntentStatus.FILLED)
        assert done == Counter((move.to, move.amount) for move in venue.moved)
        assert abs(venue.net_delta) < LOT
        assert max(venue.sent.values()) == 1
        assert holds(report)
        if plot == "topping":
            assert await distance(venue) > 0.30


# The plan


@given(
    short=st.integers(1, 5_000),
    share=st.floats(0.02, 0.6),
    spot=st.integers(0, 100_000),
    futures=st.integers(0, 100_000),
    between=st.booleans(),
    rate=st.sampled_from(["0.004", "0.01"]),
)
def test_the_plan_takes_no_more_than_is_free_and_reaches_as_far_as_it_says(
    short: int, share: float, spot: int, futures: int, between: bool, rate: str
) -> None:
    held, mark, maintenance = D(short) * LOT, D(50_000), D(rate)
    margin = held * mark * D(str(share))

    def at(margin: Decimal, held: Decimal) -> PerpPosition:
        liquidation = (margin + held * mark) / (held * (1 + maintenance))
        return PerpPosition("BTCUSDT", -held, mark, mark, D(0), margin, liquidation, 1)

    position = at(margin, held)
    plan = plan_margin(
        position, SETTINGS, free_spot_quote=D(spot), free_futures_quote=D(futures), between_wallets=between
    )
    before = position.liquidation_distance
    assert before is not None
    if plan is None:
        assert before >= SETTINGS.top_up_below_pct / 100
        return
    assert plan.transfer_quote <= (spot if between else 0)
    assert plan.add_quote <= futures + plan.transfer_quote
    after = at(margin + plan.add_quote, held).liquidation_distance
    assert after is not None
    assert after >= min(AIM, before)
    if plan.missing_quote == 0:
        assert AIM - 0.001 <= after <= AIM + 0.02
    elif plan.close_fraction:
        closed = held * plan.close_fraction
        freed = (margin + plan.add_quote) * plan.close_fraction + (closed * mark if between else 0)
        left = (margin + plan.add_quote) * (1 - plan.close_fraction) + freed
        reached = at(left, held - closed).liquidation_distance
        assert reached is not None
        assert reached >= AIM - 0.01


def test_what_is_closed_is_never_below_what_the_venues_take() -> None:
    pair = Pair(spot_btc(), perp_btc())
    assert smallest_close(pair, D("0.0001"), held_base=D(1), price=D(50_000)) == D("0.001")
    assert smallest_close(pair, D("0.1"), held_base=D(1), price=D(50_000)) == D("0.1")
    assert smallest_close(pair, D("0.0001"), held_base=D(1), price=D(100)) == D("0.05")
