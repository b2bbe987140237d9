"""Books that disagree, data that cannot be trusted, a strategy at its end: what is held is cared for all the same."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.trading.execution.fake_venue import HOUR_MS, FakeVenue
from tests.trading.execution.rig import START_MS
from tests.trading.funding.rig import LAST_SETTLEMENT_MS, DeskRig, settled
from trading.domain.decisions import Decision, Reason
from trading.funding.position import PositionStore
from trading.journal.audit import CycleStatus
from trading.risk.limits import RiskLimits
from trading.storage.home import Home

D = Decimal


def halts(rig: DeskRig) -> list[Reason]:
    return [halt.reason for halt in rig.desk.counters.memory.halts]


async def test_books_that_disagree_halt_and_go_on_when_they_agree_again(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    venue.futures_usdt -= 5
    report = await rig.cycle()
    assert (report.status, report.reason) == (CycleStatus.HALTED, Reason.EQUITY_IDENTITY)
    assert report.decision.value == pytest.approx(-5.0)
    assert rig.names().count("risk.halted") == 1
    venue.futures_usdt += 5
    report = await rig.cycle()
    assert (report.status, report.reason) == (CycleStatus.NO_TRADE, Reason.HOLDING)
    assert halts(rig) == []
    assert rig.names().count("risk.released") == 1


async def test_a_position_whose_books_disagree_is_still_closed_when_it_should_be(
    rig: DeskRig, venue: FakeVenue
) -> None:
    await rig.cycle()
    venue.settle_funding(-0.0009, START_MS + HOUR_MS)
    venue.history, venue.rate = settled(-0.0009), -0.0009
    venue.spot_usdt += 100
    report = await rig.cycle()
    assert report.reason is Reason.EXPECTATION_NEGATIVE
    assert venue.quantity == 0
    assert halts(rig) == [Reason.EQUITY_IDENTITY]


async def test_a_drawdown_closes_a_position_whose_books_disagree(home: Home, venue: FakeVenue) -> None:
    rig = DeskRig(home, venue)
    await rig.cycle()
    venue.futures_usdt -= 7_000
    report = await rig.cycle()
    assert report.reason is Reason.DRAWDOWN_EXIT
    assert venue.quantity == 0


@pytest.mark.parametrize("moved", [100, -2000])
async def test_a_release_takes_the_difference_for_money_moved(rig: DeskRig, venue: FakeVenue, moved: int) -> None:
    await rig.cycle()
    await rig.cycle()
    before = rig.desk.counters.memory
    venue.spot_usdt += moved
    await rig.cycle()
    assert rig.desk.release_halts()
    again = rig.reborn()
    report = await again.cycle()
    assert report.identity is not None
    assert (report.reason, halts(again)) == (Reason.HOLDING, [])
    assert "carry.money_moved" in again.names()
    report = await again.cycle()
    assert report.identity is not None
    assert abs(report.identity.error_quote) < D("0.01")
    after = again.desk.counters.memory
    assert after.peak_quote == pytest.approx(before.peak_quote + moved, abs=0.01)
    assert after.equity_quote == pytest.approx(before.equity_quote + moved, abs=0.01)
    assert after.day_loss_fraction == pytest.approx(before.day_loss_fraction, abs=1e-5)


async def test_coins_that_were_moved_and_released_stay_explained_when_the_price_moves(
    rig: DeskRig, venue: FakeVenue
) -> None:
    await rig.cycle()
    venue.spot_base += D("0.02")
    assert (await rig.cycle()).reason is Reason.EQUITY_IDENTITY
    rig.desk.release_halts()
    assert (await rig.cycle()).reason is Reason.HOLDING
    venue.price += 900
    assert (await rig.cycle()).reason is Reason.HOLDING


async def test_a_release_covers_only_the_difference_that_was_told(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    venue.futures_usdt -= 5
    await rig.cycle()
    rig.desk.release_halts()
    venue.futures_usdt -= 50
    report = await rig.cycle()
    assert (report.status, report.reason) == (CycleStatus.HALTED, Reason.EQUITY_IDENTITY)
    assert report.decision.value == pytest.approx(-55.0)
    assert halts(rig) == [Reason.EQUITY_IDENTITY]


async def test_a_settlement_paid_before_its_record_is_waited_for(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    await venue.clock.sleep_s(3600)
    venue.settle_funding(0.0030, venue.clock.now_ms())
    late = venue.records.pop()
    assert late.amount_quote > 1
    await venue.clock.sleep_s(60)
    report = await rig.cycle()
    assert (report.status, report.reason) == (CycleStatus.DEGRADED, Reason.EQUITY_IDENTITY)
    assert "is awaited" in report.decision.note
    assert halts(rig) == []
    venue.records.append(late)
    assert (await rig.cycle()).reason is Reason.HOLDING


async def test_a_record_that_is_an_hour_late_halts_until_it_comes(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    await venue.clock.sleep_s(3600)
    venue.settle_funding(0.0030, venue.clock.now_ms())
    late = venue.records.pop()
    await venue.clock.sleep_s(3660)
    assert (await rig.cycle()).status is CycleStatus.HALTED
    assert halts(rig) == [Reason.EQUITY_IDENTITY]
    venue.records.append(late)
    assert (await rig.cycle()).reason is Reason.HOLDING
    assert halts(rig) == []


async def test_a_difference_that_is_not_the_settlement_is_not_waited_for(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    await venue.clock.sleep_s(3600)
    venue.settle_funding(0.0030, venue.clock.now_ms())
    venue.records.pop()
    venue.futures_usdt -= 1
    await venue.clock.sleep_s(60)
    assert (await rig.cycle()).status is CycleStatus.HALTED


async def test_a_contract_far_from_spot_is_not_traded_and_the_note_says_so(rig: DeskRig, venue: FakeVenue) -> None:
    venue.basis = D(2_000)
    report = await rig.cycle()
    assert report.reason is Reason.DATA_BLOCKED
    assert "a second source disagrees" in report.decision.note
    assert report.quality < 100
    assert not venue.sent


async def test_a_price_that_jumps_between_two_looks_is_not_traded(rig: DeskRig, venue: FakeVenue) -> None:
    first = await rig.cycle(armed=False)
    assert first.quality == 100
    venue.price *= D("1.25")
    report = await rig.cycle()
    assert (report.reason, report.quality < 100) == (Reason.DATA_BLOCKED, True)
    assert "the price jumped" in report.decision.note
    assert not venue.sent


async def test_a_settlement_time_that_cannot_be_is_not_traded_on(rig: DeskRig, venue: FakeVenue) -> None:
    venue.next_funding_ms = LAST_SETTLEMENT_MS - 8 * HOUR_MS
    report = await rig.cycle()
    assert report.reason is Reason.DATA_BLOCKED
    assert "FUNDING_TIME" in report.decision.note


async def test_a_price_of_zero_ends_the_look_with_a_reason_and_not_the_next_one(rig: DeskRig, venue: FakeVenue) -> None:
    venue.price, venue.basis = D(0), D(0)
    report = await rig.cycle()
    assert (report.reason, report.basis_bps) == (Reason.DATA_BLOCKED, None)
    assert not venue.sent
    venue.price = D(50_000)
    assert (await rig.cycle()).reason is Reason.OK


async def test_books_that_agree_again_leave_another_halt_and_its_alert_standing(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    venue.futures_usdt -= 5
    await rig.cycle()
    rig.desk.counters.halt(Decision(False, Reason.LOSS_STREAK, 5, 5), venue.clock.now_ms())
    venue.futures_usdt += 5
    assert (await rig.cycle()).status is CycleStatus.HALTED
    assert halts(rig) == [Reason.LOSS_STREAK]
    assert "risk.released" not in rig.names()
    assert "carry.books_agree" in rig.names()


async def test_a_strategy_at_its_end_is_closed_and_told_for_good(home: Home, venue: FakeVenue) -> None:
    limits = RiskLimits(live_scale_pct=100, cooldown_after_fill_s=0, strategy_watch_pct=0.001, strategy_stop_pct=0.002)
    rig = DeskRig(home, venue, limits)
    await rig.cycle()
    report = await rig.cycle()  # the fees alone are more than 0.002 % of its capital
    assert report.reason is Reason.STRATEGY_DRAWDOWN
    assert venue.quantity == 0
    (told,) = [event for event in rig.events if event.name == "strategy.stopped_for_good"]
    assert str(told.facts["id"]).startswith("fc-")
    assert told.facts["limit"] == pytest.approx(0.00002)
    await rig.cycle()
    assert rig.names().count("strategy.stopped_for_good") == 1


async def test_a_strategys_end_is_not_hidden_by_a_drawdown_that_awaits_review(home: Home, venue: FakeVenue) -> None:
    limits = RiskLimits(
        live_scale_pct=100,
        cooldown_after_fill_s=0,
        strategy_watch_pct=0.001,
        strategy_stop_pct=0.002,
        drawdown_review_pct=0.001,
    )
    rig = DeskRig(home, venue, limits)
    await rig.cycle(armed=False)
    await rig.cycle()
    await rig.cycle()
    assert Reason.DRAWDOWN_REVIEW in halts(rig)
    assert venue.quantity == 0


async def test_a_loss_worth_watching_is_told_once(home: Home, venue: FakeVenue) -> None:
    rig = DeskRig(home, venue, RiskLimits(live_scale_pct=100, cooldown_after_fill_s=0, strategy_watch_pct=0.001))
    for _ in range(3):
        await rig.cycle()
    await rig.reborn().cycle()
    assert rig.names().count("risk.strategy_watch") == 1
    assert venue.quantity != 0


async def test_a_loss_is_counted_once_when_the_lab_dies_before_its_position_is_closed(
    rig: DeskRig, venue: FakeVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.cycle()

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(PositionStore, "close", dies)
        venue.settle_funding(-0.0009, START_MS + HOUR_MS)
        venue.history, venue.rate = settled(-0.0009), -0.0009
        with pytest.raises(KeyboardInterrupt):
            await rig.cycle()
    once = rig.desk.counters.memory
    again = rig.reborn()
    await again.cycle()
    assert again.desk.store.lives == ()
    after = again.desk.counters.memory
    assert (after.losses_in_a_row, after.strategy_quote) == (1, once.strategy_quote)
    assert after.trades_today == once.trades_today == 2


async def test_a_desk_that_is_told_to_hurry_opens_nothing_and_holds_what_is_there(
    rig: DeskRig, venue: FakeVenue
) -> None:
    rig.desk.hurry()
    report = await rig.cycle()
    assert report.reason is Reason.STOPPED_BY_HUMAN
    assert not venue.sent
    again = rig.reborn()
    await again.cycle()
    again.desk.hurry()
    assert (await again.cycle()).reason is Reason.HOLDING


async def test_what_must_be_left_is_closed_by_the_ordinary_exit_and_nothing_new_is_opened(
    rig: DeskRig, venue: FakeVenue
) -> None:
    await rig.cycle()
    assert venue.quantity != 0
    why = Decision(True, Reason.EVIDENCE_EXPIRED, 1.0, 0.0, "EVIDENCE_EXPIRED: live")
    leave = {live.id: why for live in rig.desk.store.lives}
    report = await rig.desk.cycle((), stop=rig.stop, leave=leave)
    assert (report.status, report.reason, report.flat_s) == (CycleStatus.EXECUTED, Reason.EVIDENCE_EXPIRED, None)
    assert (venue.quantity, rig.desk.store.live_of("BTCUSDT")) == (0, None)
    (closed,) = rig.desk.store.closed
    assert (closed.reason, closed.capital_quote) == ("EVIDENCE_EXPIRED", D("750.1575"))
    assert halts(rig) == []
    sent = len(venue.sent)
    again = await rig.reborn().desk.cycle((), stop=rig.stop, leave=leave)
    assert (again.reason, len(venue.sent)) == (Reason.NO_APPROVED_STRATEGY, sent)


async def test_what_must_be_left_waits_for_data_fit_to_trade_on(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    venue.basis = D(2_000)
    why = Decision(True, Reason.EVIDENCE_EXPIRED, 1.0, 0.0, "EVIDENCE_EXPIRED: live")
    leave = {live.id: why for live in rig.desk.store.lives}
    assert (await rig.desk.cycle((), stop=rig.stop, leave=leave)).reason is Reason.DATA_BLOCKED
    assert venue.quantity != 0
    venue.basis = D(0)
    await rig.desk.cycle((), stop=rig.stop, leave=leave)
    await rig.desk.cycle((), stop=rig.stop, leave=leave)
    assert venue.quantity == 0


async def test_a_saga_that_stays_in_doubt_ends_flat_and_halted(rig: DeskRig, venue: FakeVenue) -> None:
    venue.maker_fills = ("0.4",)
    venue.fault_on = {"find": ["down"] * 2000, "cancel": ["down"] * 2000}
    began_ms = venue.clock.now_ms()
    report = await rig.cycle()
    assert report.reason is Reason.OUTCOME_UNKNOWN
    assert rig.names().count("carry.in_doubt") == 1
    assert rig.about("carry.in_doubt") == {"BTCUSDT"}
    while Reason.OUTCOME_UNKNOWN not in halts(rig):
        await venue.clock.sleep_s(60)
        rig = rig.reborn()
        await rig.cycle()
    # A minute to find the first doubt, 90 s of it, and the cycle that was under way.
    assert venue.clock.now_ms() - began_ms < (60 + 90 + 2 * 60 + 120 + 60) * 1000
    assert venue.quantity == 0
    assert venue.spot_base < D("0.0001")
    venue.fault_on.clear()
    assert (await rig.cycle()).status is CycleStatus.HALTED
    assert rig.desk.store.lives == ()
    sent = len(venue.sent)
    await rig.cycle()
    assert len(venue.sent) == sent
    rig.desk.release_halts()
    assert (await rig.cycle()).reason is Reason.OK
