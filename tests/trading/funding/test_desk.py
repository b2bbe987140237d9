"""The desk's life with one carry: open, hold, be paid, close, and every way in which it is stopped."""

from __future__ import annotations

import shutil
from decimal import Decimal
from itertools import pairwise

import pytest

from tests.trading.execution.fake_venue import HOUR_MS, FakeVenue
from tests.trading.execution.rig import START_MS
from tests.trading.funding.rig import DeskRig, carry_spec, settled
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import StateFileError
from trading.domain.events import Severity
from trading.domain.instrument import Market
from trading.domain.market import FundingRate
from trading.domain.orders import Fill, Order, OrderStatus, OrderType, Side
from trading.execution.intent_records import Purpose
from trading.execution.intents import Intents
from trading.execution.reconcile import DifferenceKind
from trading.funding.again import AGAIN_S, Again
from trading.funding.carry_settings import CarrySettings
from trading.funding.desk import flatten_home, trading_lock, trading_tools
from trading.funding.position import PositionStatus, PositionStore
from trading.journal.audit import CycleStatus
from trading.risk.limits import RiskLimits
from trading.storage.home import Home

D = Decimal
LOT = D("0.001")


async def test_a_carry_that_pays_is_opened_within_the_limits(rig: DeskRig, venue: FakeVenue) -> None:
    report = await rig.cycle()
    assert (report.status, report.reason) == (CycleStatus.EXECUTED, Reason.OK)
    # 20,000 of equity: trade_pct 4 % is 800, the smallest cap; on the coarser lot at 50,010.5 that is 0.015.
    assert venue.quantity == D("-0.015")
    assert abs(venue.net_delta) < D("0.00002")
    assert "carry.opened" in rig.names()
    assert "earned back in" in str(rig.events[-1].facts["why"])
    assert rig.desk.store.lives
    assert rig.desk.store.live_of("BTCUSDT").status is PositionStatus.OPEN


async def test_from_the_night_on_a_dearer_impact_is_weighed_by_the_next_decision(rig: DeskRig) -> None:
    rig.desk.weigh(CarrySettings(impact_bps=60.0))
    dear = await rig.cycle()
    assert dear.reason is Reason.COST_ABOVE_EXPECTED
    assert "round trip 2." in dear.decision.note
    rig.desk.weigh(CarrySettings())
    assert (await rig.cycle()).reason is Reason.OK


async def test_a_key_that_is_refused_halts_tells_what_is_held_and_lets_go_on_when_it_is_taken_again(
    rig: DeskRig, venue: FakeVenue
) -> None:
    await rig.cycle()
    orders, venue.fault_on = len(venue.orders), {"balances": ["no_key"] * 2}
    for _ in range(2):
        refused = await rig.cycle()
        assert (refused.status, refused.reason) == (CycleStatus.HALTED, Reason.KEY_UNFIT)
    told = [event for event in rig.events if event.name == "carry.key_refused"]
    assert {event.severity for event in told} == {Severity.ALERT}
    wallet, short = venue.spot_base.normalize(), venue.quantity.normalize()
    assert told[0].facts["held"] == f"BTCUSDT: spot {wallet:f}, perpetual {short:f}", "what fees took is not held"
    again = await rig.cycle()
    assert again.reason is Reason.HOLDING
    await rig.cycle()
    assert rig.names().count("carry.key_taken") == 1
    assert len(venue.orders) == orders


async def test_the_books_agree_with_the_venue_to_the_cent_through_a_life(
    rig: DeskRig, venue: FakeVenue, home: Home
) -> None:
    start = venue.equity()
    await rig.cycle()
    for _ in range(3):
        await venue.clock.sleep_s(1200)
        venue.settle_funding(0.0004, venue.clock.now_ms())
        venue.price += 700
        report = await rig.cycle()
        assert report.identity is not None
        assert abs(report.identity.error_quote) < D("0.000001")
        assert report.reason is Reason.HOLDING
    assert report.performance is not None
    assert report.performance.settlements == 3
    venue.history = settled(-0.0009)
    venue.rate = -0.0009
    report = await rig.cycle()
    assert report.reason is Reason.EXPECTATION_NEGATIVE
    assert venue.quantity == 0
    (closed,) = rig.desk.store.closed
    assert float(closed.profit_quote) == pytest.approx(float(venue.equity() - start), abs=0.01)
    assert closed.settlements == 3
    assert closed.settled is not None
    assert [(s.at_ms, s.amount_quote, s.venue_id) for s in closed.settled] == [
        (record.at_ms, record.amount_quote, record.venue_id) for record in venue.records
    ]
    assert PositionStore(home.positions_file, Intents(home.intents_file)).closed == (closed,)


async def test_funding_is_booked_once_and_only_from_the_venues_records(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    report = await rig.cycle()
    assert report.performance is not None
    assert report.performance.funding_quote == 0
    venue.settle_funding(0.0003, START_MS + HOUR_MS)
    booked = [(await rig.cycle()).funding_booked_quote for _ in range(2)] + [
        (await rig.reborn().cycle()).funding_booked_quote
    ]
    assert booked == [venue.records[0].amount_quote, 0, 0]


async def test_of_a_position_held_for_months_only_the_last_hours_are_asked_for(
    rig: DeskRig, venue: FakeVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.cycle()
    await venue.clock.sleep_s(90 * 24 * 3600)
    venue.settle_funding(0.0003, venue.clock.now_ms())
    await rig.cycle()
    asked, plain = list[int](), FakeVenue.fills

    async def fills(of: FakeVenue, market: Market, symbol: str, *, start_ms: int) -> list[Fill]:
        asked.append(start_ms)
        return await plain(of, market, symbol, start_ms=start_ms)

    monkeypatch.setattr(FakeVenue, "fills", fills)
    venue.force_close()
    await rig.reborn().cycle()
    assert min(asked[:2]) >= venue.clock.now_ms() - 3 * HOUR_MS
    assert venue.spot_base < D("0.0001"), "and what came since is seen"


async def test_a_sign_flip_is_held_through(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    venue.settle_funding(-0.0001, START_MS + HOUR_MS)
    venue.rate = -0.0001
    report = await rig.cycle()
    assert report.reason is Reason.HOLDING
    assert venue.quantity != 0


async def test_a_way_to_flat_that_was_cut_short_is_over_with_its_position_and_does_not_close_the_next(
    rig: DeskRig, venue: FakeVenue
) -> None:
    intents = rig.desk._room.tools.intents
    bases = (D("0.005"), D("0.005"))
    intents.begin("c-000000", Purpose.FLATTEN, "BTCUSDT", bases, leverage=1, at_ms=START_MS)
    intents.close_position("c-000000", at_ms=START_MS)
    await rig.cycle()
    held = venue.quantity
    assert held != 0
    again = rig.reborn()
    report = await again.cycle()
    assert (report.reason, venue.quantity) == (Reason.HOLDING, held)
    assert again.desk._room.tools.intents.unfinished() == ()


async def test_without_both_gates_nothing_is_opened(rig: DeskRig, venue: FakeVenue) -> None:
    report = await rig.cycle(armed=False)
    assert report.reason is Reason.NOT_ARMED
    assert report.outlook is not None
    assert not venue.sent


async def test_without_a_strategy_nothing_is_asked(rig: DeskRig, venue: FakeVenue) -> None:
    report = await rig.desk.cycle((), stop=rig.stop)
    assert report.reason is Reason.NO_APPROVED_STRATEGY
    assert venue.calls == 0


async def test_low_funding_is_refused_with_both_numbers_and_told_once(rig: DeskRig, venue: FakeVenue) -> None:
    venue.history, venue.rate = settled(0.00002), 0.00002
    report = await rig.cycle()
    await rig.cycle()
    assert report.reason is Reason.FUNDING_TOO_LOW
    assert report.decision.value < report.decision.limit == 0.08
    assert rig.names().count("carry.refused") == 1


async def test_a_stale_quote_is_not_traded_on(rig: DeskRig, venue: FakeVenue) -> None:
    venue.quote_age_ms = 90_000
    report = await rig.cycle()
    assert report.reason is Reason.QUOTE_STALE
    assert not venue.sent


async def test_a_silent_venue_ends_the_cycle_without_a_trade(rig: DeskRig, venue: FakeVenue) -> None:
    venue.fault_on = {"funding_now": ["down"]}
    report = await rig.cycle()
    assert (report.status, report.reason) == (CycleStatus.DEGRADED, Reason.DATA_UNAVAILABLE)
    assert not venue.sent


async def test_the_kill_file_makes_everything_flat(rig: DeskRig, venue: FakeVenue, home: Home) -> None:
    await rig.cycle()
    home.kill_files[0].write_text("")
    report = await rig.cycle()
    assert (report.status, report.reason) == (CycleStatus.HALTED, Reason.KILL_SWITCH)
    assert report.flat_s is not None
    assert venue.quantity == 0
    assert venue.spot_base < D("0.0001")
    assert rig.desk.store.lives == ()
    assert rig.desk.store.closed[0].reason == "KILL_SWITCH"
    after = await rig.cycle()
    assert after.reason is Reason.KILL_SWITCH
    assert max(venue.sent.values()) == 1


async def test_paused_holds_what_is_there_and_opens_nothing(rig: DeskRig, venue: FakeVenue, home: Home) -> None:
    home.pause_file.write_text("")
    assert (await rig.cycle()).reason is Reason.PAUSED
    home.pause_file.unlink()
    await rig.cycle()
    home.pause_file.write_text("")
    assert (await rig.cycle()).reason is Reason.HOLDING
    assert venue.quantity != 0


async def test_the_stop_script_flattens_from_the_journal_alone(rig: DeskRig, venue: FakeVenue, home: Home) -> None:
    await rig.cycle()
    home.positions_file.unlink()
    tools = trading_tools(home, venue, settings=rig.execution, clock=venue.clock, environment={})
    (report,) = await flatten_home(tools, home, why="STOPPED_BY_HUMAN")
    assert report.is_flat
    assert venue.quantity == 0
    assert venue.spot_base < D("0.0001")


async def test_after_the_stop_script_the_desk_knows_that_it_is_flat(rig: DeskRig, venue: FakeVenue, home: Home) -> None:
    await rig.cycle()
    tools = trading_tools(home, venue, settings=rig.execution, clock=venue.clock, environment={})
    await flatten_home(tools, home, why="STOPPED_BY_HUMAN")
    report = await rig.cycle(armed=False)
    assert report.position is None
    assert rig.desk.store.lives == ()
    assert max(venue.sent.values()) == 1


async def test_only_one_process_sends_orders(rig: DeskRig, venue: FakeVenue, home: Home) -> None:
    with trading_lock(home):
        report = await rig.cycle()
    assert report.status is CycleStatus.HALTED
    assert "already runs as process" in report.decision.note
    assert not venue.sent


async def test_a_restored_file_cannot_resurrect_a_closed_position(rig: DeskRig, venue: FakeVenue, home: Home) -> None:
    await rig.cycle()
    yesterday = home.positions_file.read_bytes()
    venue.history, venue.rate = settled(-0.0009), -0.0009
    venue.settle_funding(-0.0009, START_MS + HOUR_MS)
    await rig.cycle()
    assert venue.quantity == 0
    home.positions_file.write_bytes(yesterday)
    again = rig.reborn()
    report = await again.cycle(armed=False)
    assert report.position is None
    assert again.about("carry.resurrection_refused") == {"BTCUSDT"}
    assert again.desk.store.next_id()[0] == "c-000002"


async def test_a_lost_file_of_positions_ends_flat_and_halted(rig: DeskRig, venue: FakeVenue, home: Home) -> None:
    await rig.cycle()
    home.positions_file.unlink()
    report = await rig.reborn().cycle()
    assert report.status is CycleStatus.HALTED
    assert venue.quantity == 0
    assert (await rig.reborn().cycle()).reason is Reason.RECONCILE_MISMATCH


async def test_a_contract_closed_by_force_sells_the_spot_and_halts(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    venue.force_close()
    report = await rig.cycle()
    assert (report.status, report.reason) == (CycleStatus.HALTED, Reason.RECONCILE_MISMATCH)
    assert DifferenceKind.PERP_MISSING in [d.kind for d in report.differences]
    alerts = [event.name for event in rig.events if event.severity is Severity.ALERT]
    assert alerts == ["risk.halted"], "one cause, one alert"
    assert venue.quantity == 0
    assert venue.spot_base < D("0.0001")
    assert "risk.halted" in rig.names()


async def test_a_position_opened_by_hand_is_told_and_left_alone(rig: DeskRig, venue: FakeVenue) -> None:
    venue.spot_base += 2
    hand = Order("web_1", Market.PERP, "BTCUSDT", Side.SELL, OrderType.MARKET, D("0.5"))
    await venue.place(hand)
    report = await rig.cycle()
    assert report.reason is Reason.OK
    assert venue.quantity == D("-0.515")
    report = await rig.cycle()
    assert {d.kind for d in report.differences} == {DifferenceKind.FOREIGN_PERP, DifferenceKind.FOREIGN_SPOT}
    assert report.reason is Reason.HOLDING
    await rig.desk.flatten(report.decision)
    assert venue.quantity == D("-0.5")
    assert D(2) <= venue.spot_base < D("2.0001")


async def test_an_order_by_hand_is_not_cancelled_by_a_cycle(rig: DeskRig, venue: FakeVenue) -> None:
    await venue.place(Order("web_2", Market.SPOT, "BTCUSDT", Side.BUY, OrderType.POST_ONLY, D("0.01"), D(40_000)))
    await rig.cycle()
    assert venue.orders["web_2"].status is OrderStatus.OPEN


async def test_a_deposit_while_flat_is_neither_profit_nor_loss(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle(armed=False)
    venue.spot_usdt -= 9_000
    report = await rig.cycle(armed=False)
    assert report.reason is Reason.NOT_ARMED
    assert rig.desk.counters.memory.drawdown_fraction == 0
    assert "carry.money_moved" in rig.names()


async def test_a_drawdown_beyond_the_exit_line_closes_everything(home: Home, venue: FakeVenue) -> None:
    limits = RiskLimits(
        live_scale_pct=100,
        cooldown_after_fill_s=0,
        drawdown_review_pct=0.001,
        drawdown_stop_pct=0.002,
        drawdown_exit_pct=0.003,
    )
    rig = DeskRig(home, venue, limits)
    await rig.cycle()
    report = await rig.cycle()  # the fees alone are more than 0.003 % of equity
    assert report.reason is Reason.DRAWDOWN_EXIT
    assert venue.quantity == 0


async def test_a_settlement_that_was_not_paid_is_an_alert(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    live = rig.desk.store.live_of("BTCUSDT")
    assert live is not None
    venue.history.append(FundingRate("BTCUSDT", live.opened_ms + HOUR_MS, 0.0003, 50_000.0))
    await venue.clock.sleep_s(2.5 * 3600)
    await rig.cycle()
    await rig.cycle()
    assert rig.names().count("carry.funding_missing") == 1


async def test_a_settlement_during_a_cycle_that_hung_for_hours_is_not_called_unpaid(
    rig: DeskRig, venue: FakeVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.cycle()

    async def hanging(symbol: str) -> int:
        monkeypatch.undo()
        venue.settle_funding(0.0003, venue.clock.now_ms() + HOUR_MS)
        await venue.clock.sleep_s(3 * 3600)
        return 1

    monkeypatch.setattr(venue, "adl_quantile", hanging)
    await rig.cycle()
    await rig.cycle()
    assert "carry.funding_booked" in rig.names()
    assert "carry.funding_missing" not in rig.names()


async def test_a_settlement_paid_wrongly_is_an_alert(rig: DeskRig, venue: FakeVenue) -> None:
    await rig.cycle()
    live = rig.desk.store.live_of("BTCUSDT")
    assert live is not None
    at_ms = live.opened_ms + HOUR_MS
    venue.settle_funding(0.0003, at_ms)
    venue.history[-1] = FundingRate("BTCUSDT", at_ms, 0.00032, 50_010.0)
    await venue.clock.sleep_s(1.5 * 3600)
    await rig.cycle()
    assert rig.names().count("carry.funding_differs") == 1


async def test_a_second_leg_that_fails_is_told_once_and_counted_as_a_loss(rig: DeskRig, venue: FakeVenue) -> None:
    venue.refuse_market = frozenset({Market.PERP})
    report = await rig.cycle()
    assert report.reason is Reason.SECOND_LEG_FAILED
    assert rig.desk.store.lives == ()
    assert rig.desk.counters.memory.losses_in_a_row == 1
    (told,) = [event for event in rig.events if event.name == "carry.unwound"]
    assert told.severity is Severity.NOTICE, "no position is left: there is nothing to repeat"
    assert (await rig.cycle()).reason is Reason.SECOND_LEG_FAILED
    await venue.clock.sleep_s(AGAIN_S[0])
    assert (await rig.cycle()).reason is Reason.COOL_DOWN


async def test_an_opening_that_the_exchange_refuses_is_tried_after_growing_gaps_and_told_once(
    rig: DeskRig, venue: FakeVenue
) -> None:
    venue.refuse_market = frozenset(Market)
    venue.refuse_post_only = True
    began_ms, tried_ms = venue.clock.now_ms(), list[int]()
    while venue.clock.now_ms() < began_ms + 1.5 * HOUR_MS:
        report = await rig.cycle()
        assert report.reason is Reason.NOT_FILLED
        if report.orders:
            tried_ms.append(report.at_ms)
        else:
            assert report.status is CycleStatus.NO_TRADE
            assert "in a row, tried again at" in report.decision.note
        await venue.clock.sleep_s(60)
    gaps_s = [(later - earlier) / 1000 for earlier, later in pairwise(tried_ms)]
    assert len(gaps_s) == len(AGAIN_S) - 1
    assert all(gap_s >= least_s for gap_s, least_s in zip(gaps_s, AGAIN_S[:-1], strict=True))
    told = [event for event in rig.events if event.name == "carry.not_opened"]
    assert [event.severity for event in told] == [Severity.NOTICE] + [Severity.INFO] * (len(tried_ms) - 1)
    assert told[0].facts["symbol"] == "BTCUSDT"
    assert told[0].facts["note"], "what the exchange said"


async def test_what_failed_once_is_opened_after_its_rest(rig: DeskRig, venue: FakeVenue) -> None:
    venue.refuse_market, venue.refuse_post_only = frozenset(Market), True
    await rig.cycle()
    venue.refuse_market, venue.refuse_post_only = frozenset(), False
    assert (await rig.cycle()).reason is Reason.NOT_FILLED
    await venue.clock.sleep_s(AGAIN_S[0])
    assert (await rig.cycle()).reason is Reason.OK


def test_the_gaps_end_at_an_hour_and_another_reason_is_told_too() -> None:
    again, now_ms = Again(), 0
    refused, missing = (Decision(False, reason, 0.0, 0.0) for reason in (Reason.NOT_FILLED, Reason.DATA_UNAVAILABLE))
    assert again.failed("BTCUSDT", refused, now_ms)
    for gap_s in (*AGAIN_S, AGAIN_S[-1]):
        assert again.rest("BTCUSDT", now_ms + gap_s * 1000 - 1) is not None
        now_ms += gap_s * 1000
        assert again.rest("BTCUSDT", now_ms) is None
        assert not again.failed("BTCUSDT", refused, now_ms)
    assert again.failed("BTCUSDT", missing, now_ms)
    assert again.rest("ETHUSDT", now_ms) is None
    again.over("BTCUSDT")
    assert again.failed("BTCUSDT", refused, now_ms)


async def test_what_a_restored_file_claims_is_told_once_as_a_notice(rig: DeskRig, venue: FakeVenue, home: Home) -> None:
    await rig.cycle()
    kept = home.positions_file.read_bytes()
    await rig.desk.flatten(Decision(True, Reason.KILL_SWITCH, 1.0, 0.0))
    home.positions_file.write_bytes(kept)
    again = rig.reborn()
    for _ in range(2):
        await again.cycle()
    (told,) = [event for event in again.events if event.name == "carry.resurrection_refused"]
    assert told.severity is Severity.NOTICE


async def test_the_report_carries_every_number_of_the_audit_line(rig: DeskRig) -> None:
    report = await rig.cycle()
    assert report.equity_json()["equity_quote"] is not None
    assert [order["status"] for order in report.orders_json()] == ["filled", "filled"]
    assert len(report.fills_json()) == 2
    assert report.risk_json()["reason"] == "OK"
    assert {"resume", "books", "market", "decide_and_execute"} <= set(report.stage_s)


async def test_counters_that_cannot_be_read_refuse_to_start(home: Home, venue: FakeVenue) -> None:
    (home.state / "risk_counters.json").write_text("{")
    with pytest.raises(StateFileError, match="set aside"):
        DeskRig(home, venue)


async def test_a_backup_of_the_state_is_a_full_restore(rig: DeskRig, venue: FakeVenue, home: Home) -> None:
    await rig.cycle()
    copy = home.root.parent / "copy"
    shutil.copytree(home.root, copy)
    again = DeskRig(Home(copy), venue, rig.limits)
    report = await again.cycle(carry_spec())
    assert report.reason is Reason.HOLDING


@pytest.mark.parametrize("held", [True, False])
async def test_a_key_that_is_refused_in_the_middle_of_a_cycle_is_no_outage_of_the_exchange(
    rig: DeskRig, venue: FakeVenue, held: bool
) -> None:
    if held:
        await rig.cycle()
    failed = rig.desk.vitals.failed
    venue.fault_on = {"fees": ["no_key"]}
    report = await rig.cycle()
    assert (report.status, report.reason) == (CycleStatus.HALTED, Reason.KEY_UNFIT)
    assert "carry.key_refused" in rig.names()
    assert rig.desk.vitals.failed == failed, "it answered, and said no"
    venue.fault_on = {"prepare_perp": ["no_key"]}
    if not held:
        assert (await rig.cycle()).reason is Reason.KEY_UNFIT, "also before the first order of a trade"
