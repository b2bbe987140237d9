"""Several carries under one budget: one set of books, each looked after by itself, and closed by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from tests.trading.execution.fake_venue import Crash, FakeVenue
from tests.trading.funding.many import ROOMY, ManyVenue, carry_in, rig_of
from tests.trading.funding.rig import DeskRig, settled
from tests.trading.funding.test_desk_risk import candles
from trading.domain.decisions import Decision, Reason
from trading.domain.instrument import Market
from trading.domain.orders import Income, IncomeKind, Order, OrderState
from trading.funding.cycle_base import Carry
from trading.funding.report import CycleReport
from trading.journal.audit import CycleStatus
from trading.risk.limits import RiskLimits
from trading.storage.home import Home

D = Decimal
BTC, ETH = "BTCUSDT", "ETHUSDT"
NEARLY = D("0.00000001")
WHY = Decision(True, Reason.EVIDENCE_EXPIRED, 1.0, 0.0, "a test")


@pytest.fixture
def venue() -> ManyVenue:
    return ManyVenue("BTC", "ETH")


@pytest.fixture
def rig(home: Home, venue: ManyVenue) -> DeskRig:
    return rig_of(home, venue)


async def cycle(
    rig: DeskRig, *symbols: str, armed: bool = True, leave: Mapping[str, Decision] | None = None, **changes: float
) -> CycleReport:
    """A minute later the desk looks."""
    await rig.venue.clock.sleep_s(60)
    carries = [Carry(carry_in(symbol, **changes), armed) for symbol in symbols or (BTC, ETH)]
    return await rig.desk.cycle(carries, stop=rig.stop, leave=leave or {})


def held(rig: DeskRig) -> list[str]:
    return [live.symbol for live in rig.desk.store.lives]


def leaving(rig: DeskRig, symbol: str) -> dict[str, Decision]:
    return {live.id: WHY for live in rig.desk.store.lives if live.symbol == symbol}


def error_of(report: CycleReport) -> Decimal:
    assert report.identity is not None
    return abs(report.identity.error_quote)


async def test_two_carries_are_opened_held_and_told_side_by_side(rig: DeskRig, venue: ManyVenue) -> None:
    report = await cycle(rig)
    assert held(rig) == [BTC, ETH]
    assert report.status is CycleStatus.EXECUTED
    for at_s in (1, 2, 3):
        for fake in venue.of.values():
            fake.settle_funding(0.0003, rig.venue.clock.now_ms() + at_s)
        report = await cycle(rig)
        assert (report.reason, error_of(report) < NEARLY) == (Reason.HOLDING, True)
    lines = report.equity_json()["positions"]
    assert isinstance(lines, list)
    assert [(line["symbol"], line["settlements"]) for line in lines] == [(BTC, 3), (ETH, 3)]
    assert report.equity_quote is not None
    assert abs(report.equity_quote - venue.equity()) < NEARLY


async def test_one_position_at_a_time_is_the_default_and_the_better_carry_is_it(home: Home, venue: ManyVenue) -> None:
    assert RiskLimits().max_positions == 1
    rig = rig_of(home, venue, replace_limits(max_positions=1))
    venue.of[ETH].rate, venue.of[ETH].history = 0.0006, settled(0.0006)
    report = await cycle(rig)
    assert held(rig) == [ETH]
    report = await cycle(rig)
    assert (held(rig), report.symbol, report.reason) == ([ETH], ETH, Reason.HOLDING)
    refused = report.symbols[BTC].decision
    assert refused is not None
    assert refused.reason is Reason.ONE_POSITION


def replace_limits(**changes: float) -> RiskLimits:
    return ROOMY.model_copy(update=changes)


@pytest.mark.parametrize("first", [BTC, ETH])
async def test_one_is_closed_the_other_goes_on_and_the_books_hold_to_the_end(
    rig: DeskRig, venue: ManyVenue, first: str
) -> None:
    other = ETH if first == BTC else BTC
    await cycle(rig)
    for fake in venue.of.values():
        fake.settle_funding(0.0004, rig.venue.clock.now_ms())
        fake.price += 700
    report = await cycle(rig, armed=False, leave=leaving(rig, first))
    assert (report.status, report.symbol, held(rig)) == (CycleStatus.EXECUTED, first, [other])
    assert (venue.of[first].quantity, venue.of[other].quantity < 0) == (0, True)
    assert report.equity_quote is not None
    assert abs(report.equity_quote - venue.equity()) < NEARLY, "dust of the closed one is in it"
    venue.of[other].price -= 900
    again = rig.reborn()
    report = await cycle(again, armed=False)
    assert report.equity_quote is not None
    assert abs(report.equity_quote - venue.equity()) < NEARLY
    assert (report.reason, error_of(report) < NEARLY) == (Reason.HOLDING, True)
    await cycle(again, armed=False, leave=leaving(again, other))
    report = await cycle(again, armed=False)
    assert (held(again), report.identity) == ([], None)
    store = again.desk.store
    profit = sum((closed.profit_quote for closed in store.closed), D(0))
    dust = sum((venue.of[one.symbol].price - one.dust_price) * (one.dust_base or D(0)) for one in store.closed)
    assert abs(venue.equity() - D(20_000) - profit - dust) < NEARLY
    assert again.desk.counters.memory.flows_quote == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("wallet", ["spot_usdt", "futures_usdt"])
async def test_a_cent_taken_from_either_wallet_is_found_beside_two_positions(
    rig: DeskRig, venue: ManyVenue, wallet: str
) -> None:
    await cycle(rig)
    setattr(venue.first, wallet, getattr(venue.first, wallet) - D("0.02"))
    report = await cycle(rig)
    assert report.reason is Reason.EQUITY_IDENTITY
    assert report.decision.value == pytest.approx(-0.02, abs=1e-6)
    rig.desk.release_halts()
    assert (await cycle(rig)).reason is Reason.HOLDING
    assert error_of(await cycle(rig)) < NEARLY


async def test_coins_and_cash_that_a_human_moved_are_adopted_each_where_they_lie(
    rig: DeskRig, venue: ManyVenue
) -> None:
    await cycle(rig)
    venue.of[ETH].spot_base += D("0.02")
    venue.first.spot_usdt += 100
    report = await cycle(rig)
    assert report.reason is Reason.EQUITY_IDENTITY
    rig.desk.release_halts()
    await cycle(rig)
    for fake in venue.of.values():
        fake.price += 500
    report = await cycle(rig)
    assert (report.reason, error_of(report) < NEARLY) == (Reason.HOLDING, True)
    assert rig.desk.counters.memory.flows_quote == pytest.approx(100, abs=0.01)


async def test_a_forced_close_of_one_leaves_the_other_as_it_was(rig: DeskRig, venue: ManyVenue) -> None:
    await cycle(rig)
    before = venue.of[BTC].quantity, venue.of[BTC].spot_base, len(venue.of[BTC].trades)
    venue.of[ETH].force_close()
    report = await cycle(rig)
    assert (report.status, report.reason, report.symbol) == (CycleStatus.HALTED, Reason.RECONCILE_MISMATCH, ETH)
    assert held(rig) == [BTC]
    assert (venue.of[BTC].quantity, venue.of[BTC].spot_base, len(venue.of[BTC].trades)) == before
    assert venue.of[ETH].spot_base < D("0.001")
    rig.desk.release_halts()
    report = await cycle(rig, BTC)
    assert (report.reason, error_of(report) < NEARLY) == (Reason.HOLDING, True)


async def test_a_stop_and_the_exit_ladder_of_the_account_close_all(rig: DeskRig, venue: ManyVenue) -> None:
    await cycle(rig)
    rig.home.kill_files[0].write_text("")
    report = await cycle(rig)
    assert (report.reason, held(rig)) == (Reason.KILL_SWITCH, [])
    assert [fake.quantity for fake in venue.of.values()] == [0, 0]


@pytest.mark.parametrize("opens", [True, False])
async def test_a_stop_that_comes_while_one_symbol_is_worked_on_waits_for_no_other(
    rig: DeskRig, venue: ManyVenue, opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not opens:
        await cycle(rig)
    place = FakeVenue.place

    async def place_and_stop(self: FakeVenue, order: Order) -> OrderState:
        rig.home.kill_files[0].write_text("")
        return await place(self, order)

    monkeypatch.setattr(FakeVenue, "place", place_and_stop)
    report = await cycle(rig, armed=opens, leave=leaving(rig, BTC))
    assert (venue.of[ETH].quantity, len(venue.of[ETH].trades) > 0) == (0, not opens)
    if not opens:
        assert (report.reason, held(rig)) == (Reason.KILL_SWITCH, [])


async def test_money_lost_beyond_the_exit_line_closes_all(rig: DeskRig, venue: ManyVenue) -> None:
    await cycle(rig)
    venue.first.futures_usdt -= 7_000
    report = await cycle(rig)
    assert (report.reason, held(rig)) == (Reason.DRAWDOWN_EXIT, [])


async def test_a_strategy_that_lost_too_much_is_closed_and_the_other_is_not(rig: DeskRig, venue: ManyVenue) -> None:
    await cycle(rig)
    venue.of[ETH].basis = D(12_000)
    report = await cycle(rig)
    assert held(rig) == [BTC]
    assert (report.symbol, report.reason) == (ETH, Reason.STRATEGY_DRAWDOWN)
    (halt,) = [halt for halt in rig.desk.counters.memory.halts if halt.reason is Reason.STRATEGY_DRAWDOWN]
    assert halt.subject == carry_in(ETH).id
    report = await cycle(rig)
    assert held(rig) == [BTC], "the halt stands, and is not about this one"


async def test_funding_recorded_after_one_was_closed_is_earned_beside_the_other(rig: DeskRig, venue: ManyVenue) -> None:
    await cycle(rig)
    await cycle(rig, armed=False, leave=leaving(rig, BTC))
    late = Income(BTC, IncomeKind.FUNDING_FEE, D("0.25"), rig.venue.clock.now_ms(), "late-1")
    venue.of[BTC].records.append(late)
    venue.of[BTC].futures_usdt += late.amount_quote
    report = await cycle(rig, armed=False)
    assert (report.reason, error_of(report) < NEARLY) == (Reason.HOLDING, True)
    await cycle(rig, armed=False)
    assert rig.names().count("carry.funding_late") == 1
    await cycle(rig, armed=False, leave=leaving(rig, ETH))
    await cycle(rig, armed=False)
    assert "carry.money_moved" not in rig.names()


async def test_a_record_that_names_no_symbol_counts_once_and_once_only_after_a_close(
    rig: DeskRig, venue: ManyVenue
) -> None:
    await cycle(rig)
    paid = Income("", IncomeKind.OTHER, D("3.5"), rig.venue.clock.now_ms(), "bonus-1")
    for fake in venue.of.values():
        fake.records.append(paid)
    venue.first.futures_usdt += paid.amount_quote
    assert error_of(await cycle(rig)) < NEARLY
    await cycle(rig, armed=False, leave=leaving(rig, BTC))
    assert error_of(await cycle(rig, armed=False)) < NEARLY


async def test_data_that_one_symbol_lacks_holds_up_no_other(rig: DeskRig, venue: ManyVenue) -> None:
    await cycle(rig)
    venue.of[BTC].fault_on = {"funding_now": ["down"] * 9}
    report = await cycle(rig, armed=False, leave=leaving(rig, ETH))
    assert (report.symbol, report.status, held(rig)) == (ETH, CycleStatus.EXECUTED, [BTC])


async def test_what_moves_together_shares_the_clusters_room_and_the_wallets_are_shared(
    home: Home, venue: ManyVenue
) -> None:
    rig = rig_of(home, venue, replace_limits(cluster_pct=6, trade_pct=4))
    await cycle(rig)
    first, second = rig.desk.store.lives
    assert float(first.capital_quote) == pytest.approx(800, rel=0.1)
    assert float(second.capital_quote) == pytest.approx(400, rel=0.15)


async def test_a_market_looked_at_before_another_was_opened_is_looked_at_anew(home: Home, venue: ManyVenue) -> None:
    rig = rig_of(home, venue, replace_limits(max_quote_age_s=1.5))
    report = await cycle(rig)
    assert held(rig) == [BTC]
    refused = report.symbols[ETH].decision
    assert refused is not None
    assert refused.reason is Reason.QUOTE_STALE
    await cycle(rig)
    assert held(rig) == [BTC, ETH]


async def test_what_moves_apart_has_room_of_its_own(home: Home, venue: ManyVenue) -> None:
    rig = rig_of(home, venue, replace_limits(cluster_pct=6, trade_pct=4))
    for number, fake in enumerate(venue.of.values()):
        walk = np.random.default_rng(number).normal(0, 0.01, 480)
        closes = [float(close) for close in 50_000 * np.exp(np.cumsum(walk))]
        bars = candles(Market.SPOT, closes) + candles(Market.PERP, closes)
        fake.bars = [replace(bar, symbol=fake.symbol) for bar in bars]
    await cycle(rig)
    capital = [float(live.capital_quote) for live in rig.desk.store.lives]
    assert capital == [pytest.approx(800, rel=0.1), pytest.approx(800, rel=0.1)]


async def test_a_file_with_one_live_position_is_read_as_it_was_before_there_could_be_several(
    rig: DeskRig, home: Home
) -> None:
    await cycle(rig, BTC)
    stored = json.loads(home.positions_file.read_bytes())
    stored["schema"], stored["live"] = 2, stored.pop("lives")[0]
    del stored["cash"]
    home.positions_file.write_text(json.dumps(stored))
    again = rig.reborn()
    assert held(again) == [BTC]
    report = await cycle(again, BTC)
    assert (report.reason, error_of(report) < NEARLY) == (Reason.HOLDING, True)


async def test_both_are_found_again_after_a_restart_in_the_middle_of_the_second(rig: DeskRig, venue: ManyVenue) -> None:
    await cycle(rig, BTC)
    venue.of[ETH].fault_on = {"place": ["crash_after"]}
    with pytest.raises(Crash):
        await cycle(rig)
    again = rig.reborn()
    await again.desk.resume()
    report = await cycle(again, armed=False)
    assert abs(venue.of[ETH].net_delta) < D("0.0014")
    assert (report.reason, error_of(report) < NEARLY) == (Reason.HOLDING, True)
    assert max(venue.of[ETH].sent.values()) == 1
