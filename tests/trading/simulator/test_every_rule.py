"""Which tests hold which rule of the simulator, and the direct ones that no other module has.

Rules are numbered as docs/simulator.md lists them. `benchmarks/mutants.py` breaks the kernels to see them fail.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.trading.simulator.markets import HOUR_MS, START_MS, carry_spec, rule_spec, tape_of
from tests.trading.simulator.test_carry import legs
from tests.trading.simulator.test_kernel import (
    ENTRY_BAR,
    FREE,
    LONG_ONCE,
    RULES,
    SIGNAL_BAR,
    bought,
    only_trade,
    up_then,
)
from trading.domain.instrument import Market
from trading.market.tape import Tape, make_tape
from trading.simulator.carry import simulate_carry
from trading.simulator.carry_numbers import CARRY_RULES
from trading.simulator.costs import CarryCosts, Costs, MarketRules
from trading.simulator.metrics import daily_returns, sharpe, summary
from trading.simulator.population import simulate_population
from trading.simulator.records import Acted
from trading.simulator.simulate import signals, simulate

HERE = Path(__file__).parent

HELD_BY: dict[int, tuple[str, ...]] = {
    1: (
        "test_kernel::test_a_decision_at_a_close_acts_at_the_next_open_with_taker_fee_and_half_spread_against_us",
        "test_traps::test_a_rule_that_wins_by_looking_ahead_loses_about_its_costs_on_a_random_walk",
    ),
    2: (
        "test_indicators::test_an_indicator_equals_its_definition_and_has_its_documented_warm_up",
        "test_bits::test_two_columns_are_compared_bar_by_bar_and_infinite_values_are_no_values",
        "test_kernel::test_no_entry_before_the_atr_of_its_stop_has_a_value",
    ),
    3: ("test_intervals::test_a_longer_bar_is_seen_at_the_close_of_its_last_bar_and_not_before",),
    4: ("test_every_rule::test_a_market_order_pays_half_the_spread_and_the_square_root_of_its_share_both_ways",),
    5: (
        "test_every_rule::test_a_stop_pays_taker_fee_and_slippage_and_a_target_neither",
        "test_kernel::test_a_target_is_filled_at_its_price_with_maker_fee_only_when_traded_through_by_a_tick",
    ),
    6: (
        "test_kernel::test_a_touched_stop_is_a_market_order_at_its_price_and_counts_from_the_entry_bar_on",
        "test_kernel::test_an_open_beyond_the_stop_fills_at_the_open",
        "test_kernel::test_an_open_beyond_the_target_fills_a_resting_order_at_its_own_price",
        "test_kernel::test_with_stop_and_target_inside_one_bar_the_stop_came_first",
        "test_kernel::test_a_liquidation_takes_the_margin_at_most_and_comes_before_a_stop_beyond_it",
    ),
    7: ("test_kernel::test_a_trailing_stop_does_not_use_the_high_of_the_bar_it_is_hit_in",),
    8: ("test_every_rule::test_the_stop_keeps_the_atr_of_the_decision_bar_whatever_the_ranges_after_it",),
    9: ("test_kernel::test_an_opposite_entry_closes_and_opens_at_the_same_open",),
    10: (
        "test_kernel::test_quantity_is_the_fraction_of_equity_times_leverage_on_the_lot",
        "test_kernel::test_an_order_below_the_minimum_notional_is_not_made_and_counted",
        "test_every_rule::test_an_order_of_exactly_the_minimum_is_made_and_a_whole_wallet_pays_its_fee_too",
    ),
    11: (
        "test_every_rule::test_the_default_fees_are_spots_base_tier",
        "test_fee_tiers::test_a_tier_charges_each_market_its_own_rates",
    ),
    12: (
        "test_every_rule::test_a_market_order_pays_half_the_spread_and_the_square_root_of_its_share_both_ways",
        "test_book_walk::test_an_order_takes_the_best_levels_first_and_pays_their_average",
        "test_book_walk::test_the_default_k_is_the_larger_of_the_fits_to_the_recorded_books_rounded_up",
        "test_book_walk::test_every_result_names_its_impact_law",
    ),
    13: (
        "test_kernel::test_funding_is_paid_by_who_was_in_before_the_settlement_and_not_out_before_it",
        "test_kernel::test_a_settlement_at_the_open_of_the_exit_is_still_paid",
        "test_every_rule::test_funding_goes_by_sign_from_longs_to_shorts_or_back_at_the_open_and_inside",
    ),
    14: (
        "test_brackets::test_a_short_in_the_second_bracket_is_liquidated_where_the_venues_formula_says",
        "test_kernel::test_a_liquidation_takes_the_margin_at_most_and_comes_before_a_stop_beyond_it",
        "test_every_rule::test_funding_moves_the_liquidation_price_and_takes_the_margin_at_most",
        "test_every_rule::test_a_liquidation_pays_its_fee_and_slippage_where_the_margin_has_room",
    ),
    15: (
        "test_every_rule::test_equity_is_marked_at_each_close_and_a_year_of_crypto_has_365_days",
        "test_kernel::test_a_gap_is_counted_and_the_position_marked_at_the_next_real_bar",
    ),
    16: (
        "test_traps::test_known_answers_of_the_ratios",
        "test_traps::test_who_never_trades_has_constant_equity_and_a_sharpe_of_zero",
        "test_every_rule::test_the_worst_mark_inside_a_bar_is_told_beside_the_worst_close",
    ),
    17: ("test_kernel::test_a_gap_is_counted_and_the_position_marked_at_the_next_real_bar",),
    18: (
        "test_carry::test_it_enters_once_the_expectation_is_known_earns_each_settlement_and_pays_both_legs",
        "test_carry::test_a_premium_that_goes_is_basis_earned",
        "test_carry::test_a_doubled_price_liquidates_the_short_for_its_margin_and_the_spot_leg_goes_at_the_next_open",
        "test_carry_twin::test_carries_and_equity_equal_the_slow_twin",
        "test_every_rule::test_a_carrys_legs_slip_by_their_own_market_both_ways",
    ),
    19: ("test_stepper::test_paper_equals_backtest_to_the_last_bit",),
    20: ("test_population::test_together_and_alone_are_the_same",),
    21: ("test_stepper::test_another_future_changes_nothing_that_happened",),
}
"""By rule, `module::test` of this folder."""

QUIET = (100.0, 101.0, 99.0, 100.0)


def test_every_rule_is_held_by_tests_that_exist() -> None:
    assert sorted(HELD_BY) == list(range(1, 22))
    defined = {
        f"{path.stem}::{node.name}"
        for path in HERE.glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    assert {name for names in HELD_BY.values() for name in names} <= defined


def moved(price: float) -> tuple[float, float, float, float]:
    return (price, price + 1.0, price - 1.0, price)


SHORT_ONCE = {"entry_short": ("close > 100.5", "close[1] <= 100"), "exit_short": ("close < 1",)}


@pytest.mark.parametrize(("lists", "side"), [(LONG_ONCE, 1), (SHORT_ONCE, -1)])
def test_a_market_order_pays_half_the_spread_and_the_square_root_of_its_share_both_ways(lists: dict, side: int) -> None:
    # Sigma: exponentially weighted (0.94) squares of log changes. Quiet bars open where the last closed, so before the
    # entry there is one change: to 101.
    volume_base = 50.0
    tape = up_then([moved(102.0), moved(104.0), moved(104.0)], volume=volume_base)
    costs = Costs(taker_rate=0.001, maker_rate=0.0, half_spread_rate=0.0002, impact_k=0.5)
    result = simulate(tape, rule_spec(lists=lists, max_hold_bars=1), costs=costs, rules=RULES)
    trade = only_trade(result)
    changes = np.diff(np.log(np.concatenate(([tape.open[0]], tape.close))))
    squares = 0.0
    sigmas = []
    for change in changes:
        squares = 0.94 * squares + 0.06 * change * change
        sigmas.append(np.sqrt(squares))

    def rate(bar: int, notional: float) -> float:
        return 0.0002 + 0.5 * sigmas[bar - 1] * np.sqrt(notional / (volume_base * tape.close[bar - 1]))

    # The entry's notional is what was asked for, before the lot: half of 10,000.
    entry = 102.0 * (1.0 + side * rate(ENTRY_BAR, 5000.0))
    out = 104.0 * (1.0 - side * rate(ENTRY_BAR + 1, trade.quantity * 104.0))
    assert trade.entry_price == pytest.approx(entry, rel=1e-12)
    assert trade.exit_price == pytest.approx(out, rel=1e-12)
    slipped = trade.quantity * (side * (entry - 102.0) + side * (104.0 - out))
    assert trade.slippage == pytest.approx(slipped)
    assert result.costs.slippage == pytest.approx(slipped)
    assert result.costs.fees == pytest.approx(trade.quantity * (entry + out) * 0.001)


def test_a_stop_pays_taker_fee_and_slippage_and_a_target_neither() -> None:
    costs = Costs(taker_rate=0.001, maker_rate=0.0, half_spread_rate=0.0002, impact_k=0.0)
    stopped = only_trade(bought([(102.0, 103.0, 97.0, 99.0)], costs=costs, stop_loss_atr=2.0))
    stop = 102.0 * 1.0002 - 4.0
    assert stopped.exit_price == pytest.approx(stop * 0.9998)
    assert stopped.fees == pytest.approx(stopped.quantity * 0.001 * (102.0 * 1.0002 + stop * 0.9998))
    gained = only_trade(bought([(102.0, 110.0, 101.0, 109.0)], costs=costs, take_profit_atr=2.0))
    assert gained.exit_price == pytest.approx(106.03)  # 106.0204 on the tick, the far side
    assert gained.fees == pytest.approx(gained.quantity * 0.001 * 102.0 * 1.0002)
    assert gained.slippage == pytest.approx(gained.quantity * 102.0 * 0.0002)


def test_a_short_stop_and_target_lie_on_the_other_sides() -> None:
    def sold(rows: list[tuple[float, float, float, float]], **risk: float):
        return only_trade(simulate(up_then(rows), rule_spec(lists=SHORT_ONCE, **risk), costs=FREE, rules=RULES))

    stopped = sold([(102.0, 106.0, 101.0, 103.0)], stop_loss_atr=2.0)
    assert (stopped.why, stopped.exit_price, stopped.side) == (Acted.STOP, 106.0, -1)
    gained = sold([(102.0, 103.0, 97.99, 99.0)], take_profit_atr=2.0)
    assert (gained.why, gained.exit_price) == (Acted.TAKE_PROFIT, 98.0)
    trailed = sold([(102.0, 103.0, 90.0, 91.0), (91.0, 95.0, 90.0, 92.0)], trailing_atr=2.0)
    assert (trailed.why, trailed.exit_price) == (Acted.TRAILING, 94.0)


def test_the_stop_keeps_the_atr_of_the_decision_bar_whatever_the_ranges_after_it() -> None:
    wide = (102.0, 112.0, 99.0, 102.0)
    rows = [wide, wide, wide, (102.0, 103.0, 97.0, 100.0)]
    spec = rule_spec(lists=LONG_ONCE, stop_loss_atr=2.0)
    for delay in (0, 2):
        result = simulate(up_then(rows), spec, costs=FREE, rules=RULES, entry_delay_bars=delay)
        assert (only_trade(result).why, only_trade(result).exit_price) == (Acted.STOP, 98.0)
    assert signals(up_then(rows), spec.parameters).atr[SIGNAL_BAR + 2] > 2.5


def test_an_atr_below_one_is_an_atr_and_none_at_all_is_no_entry() -> None:
    small = [(q, q + 0.01, q - 0.01, q) for q in (1.0,) * 20]
    lists = {"entry_long": ("close > 1.005",)}
    tape = tape_of([*small, (1.0, 1.02, 1.0, 1.01), (1.01, 1.02, 0.5, 0.6)])
    rules = MarketRules(tick=0.0001, lot=0.001)
    trade = only_trade(simulate(tape, rule_spec(lists=lists, stop_loss_atr=1.0), costs=FREE, rules=rules))
    assert (trade.why, trade.exit_price) == (Acted.STOP, pytest.approx(0.99))
    flat = tape_of([(1.0, 1.0, 1.0, 1.0)] * 30)
    always = {"entry_long": ("close > 0",)}
    assert simulate(flat, rule_spec(lists=always, stop_loss_atr=1.0), costs=FREE, rules=rules).open_trade is None
    assert simulate(flat, rule_spec(lists=always), costs=FREE, rules=rules).open_trade is not None


def test_an_order_of_exactly_the_minimum_is_made_and_a_whole_wallet_pays_its_fee_too() -> None:
    rules = MarketRules(tick=0.01, lot=0.5, min_notional=50.0)
    tape = tape_of([*[QUIET] * 20, (100.0, 101.5, 99.5, 101.0), (100.0, 101.0, 99.0, 100.0)])
    spec = rule_spec(lists=LONG_ONCE, position_pct=50.0)
    quantities = [
        simulate(tape, spec, costs=FREE, rules=rules, starting_quote=quote).open_quantity for quote in (99.0, 100.0)
    ]
    assert quantities == [0.0, 0.5]
    costs = Costs(taker_rate=0.01, maker_rate=0.0, half_spread_rate=0.0, impact_k=0.0)
    fine = MarketRules(tick=0.01, lot=1e-6, min_notional=5.0)
    whole = rule_spec(lists=LONG_ONCE, position_pct=100.0, leverage=2)
    result = simulate(tape, whole, costs=costs, rules=fine, starting_quote=1000.0)
    # Margin q x 100 / 2 and fee q x 100 x 1 % are the wallet: q = 1000 / 51.
    assert result.open_quantity == pytest.approx(1000.0 / 51.0, abs=1e-6)


def test_the_default_fees_are_spots_base_tier() -> None:
    assert (Costs().taker_rate, Costs().maker_rate) == (0.001, 0.001)


@pytest.mark.parametrize(("lists", "side"), [(LONG_ONCE, 1), (SHORT_ONCE, -1)])
@pytest.mark.parametrize("rate", [0.001, -0.001])
@pytest.mark.parametrize("offset_ms", [HOUR_MS // 2, HOUR_MS])
def test_funding_goes_by_sign_from_longs_to_shorts_or_back_at_the_open_and_inside(
    lists: dict, side: int, rate: float, offset_ms: int
) -> None:
    settled = [(START_MS + ENTRY_BAR * HOUR_MS + offset_ms, rate, 110.0)]
    spec = rule_spec(lists=lists, max_hold_bars=3)
    result = simulate(up_then([moved(102.0)] * 6, funding=settled), spec, costs=FREE, rules=RULES)
    trade = only_trade(result)
    assert trade.funding == pytest.approx(-side * trade.quantity * 110.0 * rate)
    assert trade.pnl == pytest.approx(trade.funding)
    assert result.equity[-1] == pytest.approx(10_000.0 + trade.funding)
    assert result.costs.funding == trade.funding


def liquidated_at(funding: list[tuple[int, float, float]], low: float, *, fee: float = 0.0):
    """100 % at leverage 2 from 100, maintenance 0.4 %: without funding liquidated at 50 / 0.996 = 50.2."""
    rows = [(100.0, 101.0, 99.0, 100.0), (100.0, 101.0, 99.0, 100.0), (100.0, 101.0, low, 90.0)]
    spec = rule_spec(lists=LONG_ONCE, position_pct=100.0, leverage=2)
    rules = replace(RULES, liquidation_fee_rate=fee)
    return simulate(up_then(rows, funding=funding), spec, costs=FREE, rules=rules)


def test_funding_moves_the_liquidation_price_and_takes_the_margin_at_most() -> None:
    at_open = START_MS + (ENTRY_BAR + 1) * HOUR_MS
    assert len(liquidated_at([], 50.3).trades) == 0
    assert only_trade(liquidated_at([], 50.2)).exit_price == pytest.approx(50.0 / 0.996)
    for stamp in (at_open, at_open + HOUR_MS // 2):
        paid = only_trade(liquidated_at([(stamp, 0.1, 100.0)], 60.2))
        assert (paid.why, paid.exit_price) == (Acted.LIQUIDATION, pytest.approx(60.0 / 0.996))
        earned = liquidated_at([(stamp, -0.1, 100.0)], 50.1)
        assert len(earned.trades) == 0
    drained = only_trade(liquidated_at([(at_open, 0.9, 100.0)], 89.0))
    margin = drained.quantity * 100.0 / 2
    assert (drained.why, drained.exit_bar) == (Acted.LIQUIDATION, ENTRY_BAR + 1)
    assert drained.funding == pytest.approx(-margin)
    assert drained.pnl == pytest.approx(-margin)


def test_a_liquidation_pays_its_fee_and_slippage_where_the_margin_has_room() -> None:
    # At 50.2008 the margin left is the maintenance margin, 0.2008 a base: a fee of 0.1 % is 0.0502 of it.
    trade = only_trade(liquidated_at([], 40.0, fee=0.001))
    price = 50.0 / 0.996
    assert trade.exit_price == pytest.approx(price)
    assert trade.fees == pytest.approx(trade.quantity * price * 0.001)
    assert trade.pnl == pytest.approx(trade.quantity * (price - 100.0) - trade.fees)
    # A fee of 1 % is more than is left, and takes what is left.
    dear = only_trade(liquidated_at([], 40.0, fee=0.01))
    assert dear.exit_price == pytest.approx(price)
    assert dear.pnl == pytest.approx(-dear.quantity * 50.0)


def test_an_open_beyond_the_liquidation_price_liquidates_at_the_open_before_a_rule_exit() -> None:
    rows = [(100.0, 101.0, 99.0, 100.0), (45.0, 46.0, 44.0, 45.0)]
    spec = rule_spec(lists=LONG_ONCE, position_pct=100.0, leverage=2, max_hold_bars=1)
    trade = only_trade(simulate(up_then(rows), spec, costs=FREE, rules=RULES))
    assert (trade.why, trade.exit_bar) == (Acted.LIQUIDATION, ENTRY_BAR + 1)
    assert trade.exit_price == pytest.approx(50.0)  # the margin is all there is to lose
    assert trade.pnl == pytest.approx(-trade.quantity * 50.0)


def test_equity_is_marked_at_each_close_and_a_year_of_crypto_has_365_days() -> None:
    rows = [(102.0, 103.0, 101.0, 102.5), (102.5, 104.0, 102.0, 103.5), (103.5, 104.0, 100.0, 101.0)]
    result = bought(rows)
    held = result.open_quantity
    assert result.equity[ENTRY_BAR:].tolist() == pytest.approx([10_000.0 + held * d for d in (0.5, 1.5, -1.0)])
    assert result.returns[ENTRY_BAR + 1] == pytest.approx(result.equity[ENTRY_BAR + 1] / result.equity[ENTRY_BAR] - 1)
    assert summary(result).sharpe_annual == pytest.approx(sharpe(result.returns, bars_per_year=8760.0))
    daily = daily_returns(result.open_time_ms, result.equity, 10_000.0)
    assert len(daily) <= 2


def test_the_worst_mark_inside_a_bar_is_told_beside_the_worst_close() -> None:
    # Half of 10,000 at 100: 50 base. The peak is the close of 110, 10,500; the worst mark is the low of 80, 9,000.
    rows = [(100.0, 120.0, 99.0, 110.0), (110.0, 111.0, 80.0, 105.0), (105.0, 106.0, 101.0, 102.0)]
    told = summary(bought(rows))
    assert told.max_drawdown == pytest.approx(1.0 - 10_100.0 / 10_500.0)
    assert told.max_drawdown_intrabar == pytest.approx(1.0 - 9_000.0 / 10_500.0)
    short = simulate(up_then(rows), rule_spec(lists=SHORT_ONCE), costs=FREE, rules=RULES)
    assert summary(short).max_drawdown_intrabar == pytest.approx(1.0 - 9_000.0 / 10_000.0)
    alone = simulate_population(up_then(rows), [rule_spec(lists=SHORT_ONCE)], costs=FREE, rules=RULES).scores[0]
    assert alone["max_drawdown_intrabar"] == pytest.approx(0.1)


def wavy_legs(bars: int = 90) -> tuple[Tape, Tape]:
    """Legs whose closes alternate, so that both have a volatility, with volumes that differ."""
    spot, perp = legs([100.0 + (i % 2) for i in range(bars)])
    volumes = [np.full(bars, 300.0), np.full(bars, 900.0)]
    return tuple(make_tape(replace(leg, volume_base=v)) for leg, v in zip((spot, perp), volumes, strict=True))


def test_a_carrys_legs_slip_by_their_own_market_both_ways() -> None:
    spot, perp = wavy_legs()
    costs = CarryCosts(Costs(0.001, 0.001, 0.0003, 0.5), Costs(0.0005, 0.0002, 0.0002, 0.5))
    result = simulate_carry(spot, perp, carry_spec(), costs=costs, rules=replace(CARRY_RULES, lot=0.001))
    held = result.short_base[-1]
    assert held > 0.0
    sigma = np.log(1.01)
    weight = 1.0 - 0.94**63
    entry_open = 100.0 if int(np.argmax(result.in_position)) % 2 == 0 else 101.0
    before = 201.0 - entry_open
    rates = [
        half + 0.5 * sigma * np.sqrt(weight) * np.sqrt(9000.0 / (volume * before))
        for half, volume in ((0.0003, 300.0), (0.0002, 900.0))
    ]
    assert result.slippage_quote == pytest.approx(held * entry_open * sum(rates), rel=1e-9)


def test_spot_is_not_liquidated_by_a_price_near_nothing() -> None:
    rows = [(100.0, 101.0, 99.0, 100.0), (100.0, 100.0, 0.5, 1.0), (1.0, 2.0, 1.0, 2.0)]
    spec = rule_spec(market=Market.SPOT, lists={**LONG_ONCE, "exit_long": ("close < 0.1",)}, position_pct=100.0)
    result = simulate(up_then(rows, market=Market.SPOT), spec, costs=FREE, rules=RULES)
    assert (len(result.trades), result.equity[-1]) == (0, pytest.approx(10_000.0 / 100.0 * 2.0))
