"""The saga opens both legs or neither, whatever the venue does to it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.trading.execution.fake_venue import FakeVenue
from tests.trading.execution.rig import Rig, VirtualClock
from trading.domain.decisions import Reason
from trading.domain.instrument import Bracket, Market
from trading.domain.orders import Order, OrderState, OrderType, Side
from trading.execution.intent_records import IntentStatus, Purpose
from trading.execution.saga_table import SagaState
from trading.execution.settings import ExecutionSettings
from trading.risk.kill_switch import Stop, StopKind

D = Decimal
LOT = D("0.001")


@pytest.fixture
def venue() -> FakeVenue:
    return FakeVenue(VirtualClock())


@pytest.fixture
def rig(tmp_path: Path, venue: FakeVenue) -> Rig:
    return Rig(tmp_path, venue)


async def test_opening_fills_both_legs_and_ends_balanced(rig: Rig, venue: FakeVenue) -> None:
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert (report.state, report.outcome) == (SagaState.BALANCED, Reason.OK)
    assert (report.spot_base, report.perp_base) == (D("0.01002"), D("0.010"))
    assert abs(venue.net_delta) < LOT
    assert not rig.intents.unresolved()
    assert not rig.intents.unfinished()


@pytest.mark.parametrize(
    ("fault", "why"), [("old", "the book is old"), ("upside down", "not best first"), ("empty", "empty")]
)
async def test_nothing_is_opened_by_a_book_that_is_no_market_and_what_is_held_is_closed_by_it(
    rig: Rig, venue: FakeVenue, fault: str, why: str
) -> None:
    await rig.run(Purpose.OPEN, "0.01002", "0.010")
    sent, venue.book_fault = len(venue.sent), fault
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert (report.state, report.outcome) == (SagaState.REFUSED, Reason.DATA_UNAVAILABLE)
    assert why in report.note
    assert len(venue.sent) == sent
    if fault != "empty":
        report = await rig.run(Purpose.CLOSE, "0.01", "0.010")
        assert report.outcome is Reason.OK
        assert venue.quantity == 0


async def test_the_thinner_leg_rests_post_only_first_and_the_other_takes(rig: Rig, venue: FakeVenue) -> None:
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    kinds = [(record.order.market, record.order.type) for record in report.orders]
    assert kinds == [(Market.SPOT, OrderType.POST_ONLY), (Market.PERP, OrderType.LIMIT_IOC)]


async def test_closing_sells_spot_and_buys_the_contract_back_reduce_only(rig: Rig, venue: FakeVenue) -> None:
    await rig.run(Purpose.OPEN, "0.01002", "0.010")
    report = await rig.run(Purpose.CLOSE, "0.01", "0.010")
    assert report.outcome is Reason.OK
    assert venue.quantity == 0
    assert venue.spot_base < D("0.00001")
    assert all(record.order.reduce_only for record in report.orders if record.order.market is Market.PERP)


async def test_each_partial_fill_is_hedged_as_it_comes(rig: Rig, venue: FakeVenue) -> None:
    venue.maker_fills = ("0.3", "0.5", "1")
    report = await rig.run(Purpose.OPEN, "0.0300", "0.030")
    hedges = [r for r in report.orders if r.order.market is Market.PERP]
    assert len(hedges) == 3
    assert abs(venue.net_delta) < LOT


async def test_a_fill_too_small_to_hedge_waits_for_more_and_is_not_left_naked(rig: Rig, venue: FakeVenue) -> None:
    venue.maker_fills = ("0.1", "0.1", "1")  # 50 USDT at a time; the contract's minimum is 100
    report = await rig.run(Purpose.OPEN, "0.0100", "0.010")
    assert report.outcome is Reason.OK
    assert abs(venue.net_delta) < LOT


async def test_a_maker_who_is_never_filled_takes_after_its_budget(rig: Rig, venue: FakeVenue) -> None:
    venue.maker_fills = ("0",)
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert report.outcome is Reason.OK
    assert report.elapsed_s >= rig.settings.maker_budget_s
    assert report.orders[0].status is IntentStatus.CANCELLED


async def test_a_quote_the_market_has_left_is_cancelled_and_quoted_again(rig: Rig, venue: FakeVenue) -> None:
    venue.maker_fills = ("0", "0", "1")
    refresh, moved = venue.find, []

    async def find_and_move(market, symbol, client_id):  # type: ignore[no-untyped-def]
        state = await refresh(market, symbol, client_id)
        if not moved:
            venue.price += 30
            moved.append(1)
        return state

    venue.find = find_and_move  # type: ignore[method-assign]
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    prices = [r.order.price for r in report.orders if r.order.type is OrderType.POST_ONLY]
    assert len(prices) == 2
    assert prices[1] == prices[0] + 30
    assert abs(venue.net_delta) < LOT


async def test_a_refused_post_only_order_ends_in_taking(rig: Rig, venue: FakeVenue) -> None:
    venue.refuse_post_only = True
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert report.outcome is Reason.OK
    assert abs(venue.net_delta) < LOT


async def test_a_second_leg_that_fails_unwinds_the_first(rig: Rig, venue: FakeVenue) -> None:
    venue.refuse_market = frozenset({Market.PERP})
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert (report.state, report.outcome) == (SagaState.BALANCED, Reason.SECOND_LEG_FAILED)
    assert venue.quantity == 0
    assert abs(venue.spot_base) < LOT
    assert 0 < report.max_unhedged_s <= rig.settings.max_unhedged_s


async def test_a_second_leg_that_fills_half_is_tried_again(rig: Rig, venue: FakeVenue) -> None:
    venue.fault_on = {"place": ["", "half"]}
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert report.outcome is Reason.OK
    assert abs(venue.net_delta) < LOT


async def test_an_accepted_order_whose_answer_was_lost_is_found_again(rig: Rig, venue: FakeVenue) -> None:
    venue.fault_on = {"place": ["lost_after", "lost_after"]}
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert report.outcome is Reason.OK
    assert max(venue.sent.values()) == 1
    assert len(report.orders) == 2


async def test_an_order_that_never_arrived_is_given_up_and_meant_anew(rig: Rig, venue: FakeVenue) -> None:
    venue.fault_on = {"place": ["", "lost_before"]}
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert [r.status for r in report.orders].count(IntentStatus.ABSENT) == 1
    assert max(venue.sent.values()) == 1
    assert abs(venue.net_delta) < LOT


async def test_an_order_that_arrives_late_is_not_sent_twice(rig: Rig, venue: FakeVenue) -> None:
    venue.fault_on = {"place": ["", "late"]}
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert report.outcome is Reason.OK
    assert venue.quantity == D("-0.010")


async def test_a_wallet_that_cannot_pay_refuses_before_anything_is_sent(rig: Rig, venue: FakeVenue) -> None:
    venue.futures_usdt, venue.spot_usdt = D(10), D(900)
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert (report.state, report.outcome) == (SagaState.REFUSED, Reason.INSUFFICIENT_BALANCE)
    assert not venue.sent
    assert "futures" in report.note or "perp wallet" in report.note


async def test_a_leg_below_its_minimum_refuses_both(rig: Rig, venue: FakeVenue) -> None:
    report = await rig.run(Purpose.OPEN, "0.00101", "0.001")
    assert (report.state, report.outcome) == (SagaState.REFUSED, Reason.MIN_NOTIONAL)
    assert not venue.sent


async def test_a_venue_that_is_silent_before_the_start_refuses(rig: Rig, venue: FakeVenue) -> None:
    venue.fault_on = {"book": ["down"]}
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert report.outcome is Reason.DATA_UNAVAILABLE
    assert not venue.sent


async def test_a_stop_while_opening_retreats_to_even(tmp_path: Path, venue: FakeVenue) -> None:
    stops = iter([Stop()] * 6)
    rig = Rig(tmp_path, venue, read_stop=lambda: next(stops, Stop(StopKind.KILL, "KILL_SWITCH")))
    venue.maker_fills = ("0", "0", "0.4", "0")
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert report.outcome is Reason.KILL_SWITCH
    assert abs(venue.net_delta) < LOT
    assert not rig.intents.unresolved()


async def test_an_order_in_doubt_for_too_long_halts_and_is_resumed_to_even(tmp_path: Path, venue: FakeVenue) -> None:
    rig = Rig(tmp_path, venue, ExecutionSettings(lookup_budget_s=20))
    place, find, cancel = venue.place, venue.find, venue.cancel
    dark = {"on": False}

    async def place_then_dark(order):  # type: ignore[no-untyped-def]
        if order.market is Market.PERP:
            dark["on"] = True
            venue.fault_on = {"place": ["lost_after"]}
        return await place(order)

    async def find_or_down(market, symbol, client_id):  # type: ignore[no-untyped-def]
        if dark["on"]:
            venue.fault_on["find"] = ["down"]
        return await find(market, symbol, client_id)

    async def cancel_or_down(market, symbol, client_id):  # type: ignore[no-untyped-def]
        if dark["on"]:
            venue.fault_on["cancel"] = ["down"]
        return await cancel(market, symbol, client_id)

    venue.place, venue.find, venue.cancel = place_then_dark, find_or_down, cancel_or_down  # type: ignore[method-assign]
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert (report.state, report.outcome) == (SagaState.IN_DOUBT, Reason.OUTCOME_UNKNOWN)
    assert rig.intents.unfinished()
    dark["on"] = False
    venue.place = place  # type: ignore[method-assign]
    (resumed,) = await rig.reborn().resume()
    assert resumed.state is SagaState.BALANCED
    assert abs(venue.net_delta) < LOT
    assert max(venue.sent.values()) == 1


async def test_an_interrupted_closing_is_carried_on(rig: Rig, venue: FakeVenue) -> None:
    await rig.run(Purpose.OPEN, "0.01002", "0.010")
    rig.begin(Purpose.CLOSE, "0.01", "0.010")
    (report,) = await rig.reborn().resume()
    assert report.outcome is Reason.OK
    assert venue.quantity == 0
    assert venue.spot_base < LOT


async def test_a_percent_price_filter_too_narrow_for_the_caps_refuses_before_anything_is_sent(
    rig: Rig, venue: FakeVenue
) -> None:
    venue.perp = replace(venue.perp, highest_share=D("1.005"), lowest_share=D("0.995"))
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert report.state is SagaState.REFUSED
    assert "percent price" in report.note
    assert not venue.sent


async def test_a_position_beyond_the_bracket_table_refuses_before_anything_is_sent(rig: Rig, venue: FakeVenue) -> None:
    venue.perp = replace(venue.perp, brackets=(Bracket(0, 400, 0.004, 0.0, 125),))
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert report.state is SagaState.REFUSED
    assert "bracket" in report.note
    assert not venue.sent


async def test_a_leg_that_cannot_be_given_back_is_evened_by_the_other(rig: Rig, venue: FakeVenue) -> None:
    venue.maker_fills = ("1",)
    venue.refuse_market = frozenset({Market.PERP})
    place = venue.place

    async def shut_spot_after_the_hedge_failed(order: Order) -> OrderState:
        if order.market is Market.SPOT and order.side is Side.SELL:
            venue.refuse_market = frozenset({Market.SPOT})  # what refused works again, what worked refuses
        return await place(order)

    venue.place = shut_spot_after_the_hedge_failed  # type: ignore[method-assign]  # the venue changes its mind
    report = await rig.run(Purpose.OPEN, "0.01002", "0.010")
    assert report.state is SagaState.BALANCED
    assert venue.quantity == D("-0.010")
    assert abs(venue.net_delta) < LOT
