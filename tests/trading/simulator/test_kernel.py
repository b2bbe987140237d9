"""The step of a rule strategy: each rule by hand-made bars, and all of them against the slow twin."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.registry import CPUDispatcher

from tests import naive
from tests.trading.simulator.markets import (
    HOUR_MS,
    START_MS,
    bars_of,
    carry_spec,
    random_tape,
    rule_spec,
    rule_specs,
    tape_of,
)
from trading.domain.errors import SettingsError, SpecError
from trading.domain.instrument import Bracket, Market
from trading.market.tape import Tape
from trading.simulator import carry_kernel, fills, indicators, kernel
from trading.simulator.carry import simulate_carry
from trading.simulator.costs import CarryCosts, Costs, MarketRules, continuous_brackets
from trading.simulator.records import Acted
from trading.simulator.settlements import on_minutes
from trading.simulator.simulate import Result, signals, simulate
from trading.simulator.stepper import Stepper
from trading.strategy.spec import StrategySpec

FREE = Costs(taker_rate=0.0, maker_rate=0.0, half_spread_rate=0.0, impact_k=0.0)
RULES = MarketRules(tick=0.01, lot=0.001, min_notional=5.0)
SMALL_BRACKETS = continuous_brackets(((300.0, 0.004), (900.0, 0.05), (2000.0, 0.125), (5000.0, 0.5)))
"""Steps that a purse of a thousand meets."""


def up_then(rows: list[tuple[float, float, float, float]], **kwargs) -> Tape:
    """Twenty quiet bars of range 2 (ATR is 2), then one that closes higher (the signal), then `rows`."""
    quiet = [(100.0, 101.0, 99.0, 100.0)] * 20
    return tape_of([*quiet, (100.0, 101.5, 99.5, 101.0), *rows], **kwargs)


SIGNAL_BAR, ENTRY_BAR = 20, 21
LONG_ONCE = {"entry_long": ("close > 100.5", "close[1] <= 100"), "exit_long": ("close < 1",)}


def bought(rows: list[tuple[float, float, float, float]], *, costs: Costs = FREE, **risk) -> Result:
    spec = rule_spec(lists=LONG_ONCE, **risk)
    return simulate(up_then(rows), spec, costs=costs, rules=RULES)


def only_trade(result: Result) -> SimpleNamespace:
    assert len(result.trades) == 1
    row = result.trades[0]
    return SimpleNamespace(**{name: row[name] for name in row.dtype.names}, why=Acted(int(row["reason"])))


def naive_options(spec: StrategySpec, costs: Costs, rules: MarketRules, delay: int, start: float) -> SimpleNamespace:
    risk = spec.parameters.risk
    return SimpleNamespace(
        fraction=risk.position_pct / 100,
        leverage=risk.leverage,
        stop=risk.stop_loss_atr,
        target=risk.take_profit_atr,
        trail=risk.trailing_atr,
        max_hold=risk.max_hold_bars,
        delay=delay,
        margined=spec.market.market is Market.PERP,
        tick=rules.tick,
        lot=rules.lot,
        min_notional=rules.min_notional,
        brackets=[
            (b.notional_from_quote, b.notional_to_quote, b.maintenance_rate, b.maintenance_amount_quote)
            for b in rules.brackets
        ]
        or [(0.0, 1e18, rules.maintenance_rate, 0.0)],
        liquidation_fee=rules.liquidation_fee_rate,
        taker=costs.taker_rate,
        maker=costs.maker_rate,
        half_spread=costs.half_spread_rate,
        k=costs.impact_k,
        interval=HOUR_MS,
        start=start,
    )


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**31),
    spec=rule_specs(),
    delay=st.sampled_from([0, 0, 1, 3]),
    lot=st.sampled_from([0.001, 0.1, 1.0]),
    brackets=st.sampled_from([(), SMALL_BRACKETS]),
)
def test_trades_and_equity_equal_the_slow_twin(
    seed: int, spec: StrategySpec, delay: int, lot: float, brackets: tuple[Bracket, ...]
) -> None:
    tape = random_tape(seed, 160)
    costs = Costs(0.0007, 0.0002, 0.0003, 0.8)
    rules = MarketRules(tick=0.01, lot=lot, min_notional=20.0, brackets=brackets)
    found = simulate(tape, spec, costs=costs, rules=rules, starting_quote=1000.0, entry_delay_bars=delay)
    said = signals(tape, spec.parameters)
    told = SimpleNamespace(
        long=said.entry_long.tolist(),
        short=said.entry_short.tolist(),
        exit_long=said.exit_long.tolist(),
        exit_short=said.exit_short.tolist(),
        atr=[None if np.isnan(v) else float(v) for v in said.atr],
    )
    f = tape.funding
    flows = [
        (int(t), float(r), None if np.isnan(m) else float(m))
        for t, r, m in zip(on_minutes(f.time_ms), f.rate, f.mark_price, strict=True)
    ]
    expected = naive.backtest(bars_of(tape), told, flows, naive_options(spec, costs, rules, delay, 1000.0))
    assert [(t["entry_bar"], t["exit_bar"], t["side"], Acted(t["reason"]).name) for t in found.trades] == [
        (t.entry_bar, t.exit_bar, t.side, t.reason) for t in expected.trades
    ]
    for name in ("quantity", "entry_price", "exit_price", "fees", "funding", "pnl"):
        twin = [getattr(t, name) for t in expected.trades]
        np.testing.assert_allclose(found.trades[name], twin, rtol=1e-9, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(found.equity, expected.equity, rtol=1e-9, atol=1e-9)
    assert (found.orders_refused, found.gaps_met) == (expected.refused, expected.gaps)


def test_a_decision_at_a_close_acts_at_the_next_open_with_taker_fee_and_half_spread_against_us() -> None:
    costs = Costs(taker_rate=0.001, maker_rate=0.0, half_spread_rate=0.0002, impact_k=0.0)
    result = bought([(102.0, 103.0, 101.5, 102.0), (104.0, 105.0, 103.0, 104.0)], costs=costs, max_hold_bars=1)
    trade = only_trade(result)
    assert (trade.entry_bar, trade.exit_bar, trade.why) == (ENTRY_BAR, ENTRY_BAR + 1, Acted.MAX_HOLD)
    assert trade.entry_price == pytest.approx(102.0 * 1.0002)
    assert trade.exit_price == pytest.approx(104.0 * 0.9998)
    assert trade.fees == pytest.approx(trade.quantity * (trade.entry_price + trade.exit_price) * 0.001)
    assert trade.pnl == pytest.approx(trade.quantity * (trade.exit_price - trade.entry_price) - trade.fees)
    assert result.equity[-1] == pytest.approx(10_000.0 + trade.pnl)


def test_quantity_is_the_fraction_of_equity_times_leverage_on_the_lot() -> None:
    trade = only_trade(bought([(102.0, 103.0, 101.0, 102.0)] * 3, position_pct=7.0, leverage=2, max_hold_bars=1))
    assert trade.quantity == 13.725  # 10,000 x 0.07 x 2 / 102 = 13.7254..


def test_an_order_below_the_minimum_notional_is_not_made_and_counted() -> None:
    spec = rule_spec(lists=LONG_ONCE, position_pct=5.0)
    result = simulate(up_then([(102.0, 103.0, 101.0, 102.0)]), spec, costs=FREE, rules=RULES, starting_quote=99.0)
    assert (result.orders_refused, len(result.trades), result.equity[-1]) == (1, 0, 99.0)


def test_a_touched_stop_is_a_market_order_at_its_price_and_counts_from_the_entry_bar_on() -> None:
    trade = only_trade(bought([(102.0, 103.0, 97.0, 99.0)], stop_loss_atr=2.0))
    atr = signals(up_then([]), rule_spec(lists=LONG_ONCE).parameters).atr[SIGNAL_BAR]
    assert (trade.why, trade.exit_bar) == (Acted.STOP, ENTRY_BAR)
    assert trade.exit_price == pytest.approx(102.0 - 2.0 * atr)


def test_a_stop_that_is_only_touched_is_hit() -> None:
    # Bars 0 to 19 have a range of 2 and bar 20 one of 2: the ATR is exactly 2.
    assert only_trade(bought([(102.0, 103.0, 98.0, 99.0)], stop_loss_atr=2.0)).exit_price == 98.0
    assert len(bought([(102.0, 103.0, 98.01, 99.0)], stop_loss_atr=2.0).trades) == 0


def test_an_open_beyond_the_stop_fills_at_the_open() -> None:
    trade = only_trade(bought([(102.0, 103.0, 101.0, 102.0), (90.0, 91.0, 89.0, 90.0)], stop_loss_atr=2.0))
    assert (trade.why, trade.exit_bar, trade.exit_price) == (Acted.STOP, ENTRY_BAR + 1, 90.0)


def test_a_target_is_filled_at_its_price_with_maker_fee_only_when_traded_through_by_a_tick() -> None:
    atr = signals(up_then([]), rule_spec(lists=LONG_ONCE).parameters).atr[SIGNAL_BAR]
    target = np.ceil((102.0 + 2.0 * atr) * 100.0) / 100.0
    entry = (102.0, 103.0, 101.0, 102.0)
    costs = Costs(taker_rate=0.001, maker_rate=0.0005, half_spread_rate=0.0, impact_k=0.0)
    touched = bought([entry, (103.0, target, 102.0, 103.0)], costs=costs, take_profit_atr=2.0)
    assert len(touched.trades) == 0
    through = only_trade(
        bought([entry, (103.0, round(target + 0.01, 2), 102.0, 103.0)], costs=costs, take_profit_atr=2.0)
    )
    assert (through.why, through.exit_price) == (Acted.TAKE_PROFIT, pytest.approx(target))
    assert through.fees == pytest.approx(through.quantity * (102.0 * 0.001 + target * 0.0005))


def test_an_open_beyond_the_target_fills_a_resting_order_at_its_own_price() -> None:
    rows = [(102.0, 103.0, 101.0, 102.0), (120.0, 121.0, 90.0, 95.0)]
    trade = only_trade(bought(rows, take_profit_atr=2.0, stop_loss_atr=2.0))
    assert (trade.why, trade.exit_bar) == (Acted.TAKE_PROFIT, ENTRY_BAR + 1)
    assert trade.exit_price < 107.0


def test_with_stop_and_target_inside_one_bar_the_stop_came_first() -> None:
    rows = [(102.0, 103.0, 101.0, 102.0), (102.0, 120.0, 80.0, 110.0)]
    assert only_trade(bought(rows, take_profit_atr=2.0, stop_loss_atr=2.0)).why is Acted.STOP


def test_a_trailing_stop_does_not_use_the_high_of_the_bar_it_is_hit_in() -> None:
    rows = [(102.0, 110.0, 101.5, 109.0), (109.0, 130.0, 107.0, 129.0), (129.0, 130.0, 120.0, 121.0)]
    trade = only_trade(bought(rows, trailing_atr=2.0))
    atr = signals(up_then([]), rule_spec(lists=LONG_ONCE).parameters).atr[SIGNAL_BAR]
    assert (trade.why, trade.exit_bar) == (Acted.TRAILING, ENTRY_BAR + 2)
    assert trade.exit_price == pytest.approx(130.0 - 2.0 * atr)


def test_an_opposite_entry_closes_and_opens_at_the_same_open() -> None:
    spec = rule_spec(lists={"entry_long": ("close > close[1]",), "entry_short": ("close < close[1]",)})
    rows = [(101.0, 102.0, 100.0, 102.0), (102.0, 102.5, 100.0, 100.5), (100.0, 100.5, 98.0, 99.0)]
    result = simulate(up_then(rows), spec, costs=FREE, rules=RULES)
    trade = only_trade(result)
    assert (trade.why, trade.exit_price, result.open_quantity < 0.0) == (Acted.OPPOSITE, 100.0, True)


def test_both_entries_at_once_are_no_answer() -> None:
    spec = rule_spec(lists={"entry_long": ("close > 1",), "entry_short": ("close > 1",)})
    assert len(simulate(random_tape(3, 60), spec, costs=FREE, rules=RULES).trades) == 0


@pytest.mark.parametrize(
    ("offset_ms", "paid"), [(0, False), (HOUR_MS // 2, True), (HOUR_MS, True), (4 * HOUR_MS, False)]
)
def test_funding_is_paid_by_who_was_in_before_the_settlement_and_not_out_before_it(offset_ms: int, paid: bool) -> None:
    entry_ms = START_MS + ENTRY_BAR * HOUR_MS
    rows = [(102.0, 103.0, 101.0, 102.0)] * 6
    tape = up_then(rows, funding=[(entry_ms + offset_ms, 0.001, 110.0)])
    result = simulate(tape, rule_spec(lists=LONG_ONCE, max_hold_bars=3), costs=FREE, rules=RULES)
    trade = only_trade(result)
    assert trade.funding == pytest.approx(-trade.quantity * 110.0 * 0.001 if paid else 0.0)
    assert result.costs.funding == trade.funding


def test_a_settlement_at_the_open_of_the_exit_is_still_paid() -> None:
    exit_ms = START_MS + (ENTRY_BAR + 3) * HOUR_MS
    tape = up_then([(102.0, 103.0, 101.0, 102.0)] * 6, funding=[(exit_ms, 0.001, float("nan"))])
    trade = only_trade(simulate(tape, rule_spec(lists=LONG_ONCE, max_hold_bars=3), costs=FREE, rules=RULES))
    assert trade.funding == pytest.approx(-trade.quantity * 102.0 * 0.001)


def test_who_is_stopped_inside_the_bar_of_a_settlement_pays_it_and_does_not_earn_it() -> None:
    half_past = START_MS + ENTRY_BAR * HOUR_MS + HOUR_MS // 2
    for rate, expected in ((0.001, -0.102), (-0.001, 0.0)):
        tape = up_then([(102.0, 103.0, 90.0, 95.0)], funding=[(half_past, rate, float("nan"))])
        trade = only_trade(simulate(tape, rule_spec(lists=LONG_ONCE, stop_loss_atr=1.0), costs=FREE, rules=RULES))
        assert trade.funding == pytest.approx(trade.quantity * expected)


def test_a_liquidation_takes_the_margin_at_most_and_comes_before_a_stop_beyond_it() -> None:
    rows = [(102.0, 103.0, 101.0, 102.0), (100.0, 101.0, 20.0, 30.0)]
    costs = Costs(0.001, 0.001, 0.001, 5.0)
    result = bought(rows, costs=costs, leverage=3, position_pct=90.0, stop_loss_atr=40.0)
    trade = only_trade(result)
    margin = trade.quantity * trade.entry_price / 3
    entry_fee = trade.quantity * trade.entry_price * 0.001
    assert trade.why is Acted.LIQUIDATION
    assert trade.pnl == pytest.approx(-margin - entry_fee)


def test_a_gap_is_counted_and_the_position_marked_at_the_next_real_bar() -> None:
    rows = [(102.0, 103.0, 101.0, 102.0), (110.0, 111.0, 109.0, 110.0)]
    times = [START_MS + HOUR_MS * i for i in (*range(22), 40)]
    result = simulate(up_then(rows, times=times), rule_spec(lists=LONG_ONCE), costs=FREE, rules=RULES)
    assert (len(result.equity), result.gaps_met) == (23, 1)
    assert result.equity[-1] == pytest.approx(10_000.0 + result.open_quantity * (110.0 - 102.0))


def test_no_entry_before_the_atr_of_its_stop_has_a_value() -> None:
    spec = rule_spec(lists={"entry_long": ("close > 1",)}, stop_loss_atr=1.0, max_hold_bars=1)
    result = simulate(random_tape(5, 60), spec, costs=FREE, rules=RULES)
    assert result.trades["entry_bar"].min() == 15


def test_an_entry_delay_moves_entries_and_not_exits() -> None:
    rows = [(102.0, 103.0, 101.0, 102.0)] * 5
    spec = rule_spec(lists=LONG_ONCE, max_hold_bars=1)
    late = simulate(up_then(rows), spec, costs=FREE, rules=RULES, entry_delay_bars=2)
    assert [(t["entry_bar"], t["exit_bar"]) for t in late.trades] == [(ENTRY_BAR + 2, ENTRY_BAR + 3)]


def test_spot_pays_no_funding_and_is_never_liquidated() -> None:
    tape = random_tape(11, 200, market=Market.SPOT)
    spec = rule_spec(market=Market.SPOT, position_pct=100.0)
    result = simulate(tape, spec, costs=Costs(), rules=RULES)
    assert len(result.trades) > 10
    assert result.costs.funding == 0.0
    assert Acted.LIQUIDATION not in {Acted(r) for r in result.trades["reason"]}


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), spec=rule_specs())
def test_the_books_add_up_and_no_trade_loses_more_than_its_margin_and_entry_fee(seed: int, spec: StrategySpec) -> None:
    result = simulate(random_tape(seed, 150), spec, costs=Costs(), rules=RULES)
    t = result.trades
    if result.open_quantity == 0.0:
        assert result.equity[-1] == pytest.approx(10_000.0 + t["pnl"].sum())
        assert result.costs.fees == pytest.approx(t["fees"].sum())
        assert result.costs.funding == pytest.approx(t["funding"].sum(), abs=1e-9)
    most = t["quantity"] * t["entry_price"] * (1 / spec.parameters.risk.leverage + 0.001)
    assert (t["pnl"] >= -most * (1 + 1e-9)).all()
    assert (result.equity > 0.0).all()


def test_a_strategy_for_another_market_or_of_another_kind_is_refused_in_one_line() -> None:
    tape = random_tape(1, 30, market=Market.SPOT)
    with pytest.raises(SpecError, match=r"is for perp BTCUSDT 1h, the tape is spot BTCUSDT 1h"):
        simulate(tape, rule_spec(), costs=FREE, rules=RULES)
    with pytest.raises(SpecError, match="use simulate_carry"):
        simulate(tape, carry_spec(), costs=FREE, rules=RULES)
    with pytest.raises(SpecError, match=r"starting_quote=-1\.0"):
        simulate(random_tape(1, 30), rule_spec(), costs=FREE, rules=RULES, starting_quote=-1.0)
    with pytest.raises(SpecError, match="entry_delay_bars=-1"):
        simulate(random_tape(1, 30), rule_spec(), costs=FREE, rules=RULES, entry_delay_bars=-1)
    with pytest.raises(SettingsError, match=r"taker_rate=-0\.1"):
        Costs(taker_rate=-0.1)
    with pytest.raises(SettingsError, match=r"lot=0"):
        MarketRules(lot=0.0)


def test_after_backtest_and_paper_every_kernel_has_at_most_one_compiled_version() -> None:
    spot, perp = random_tape(1, 200, market=Market.SPOT), random_tape(2, 200)
    simulate(perp, rule_spec(stop_loss_atr=1.0), costs=Costs(), rules=RULES)
    Stepper(rule_spec(stop_loss_atr=1.0), costs=Costs(), rules=RULES).advance(perp)
    simulate(spot, rule_spec(market=Market.SPOT), costs=Costs(), rules=RULES)
    simulate_carry(spot, perp, carry_spec(), costs=CarryCosts())
    versions = {
        name: len(function.signatures)
        for module in (kernel, fills, carry_kernel)
        for name, function in inspect.getmembers(module)
        if isinstance(function, CPUDispatcher)
    }
    versions |= {n: len(f.signatures) for n, f in inspect.getmembers(indicators) if isinstance(f, CPUDispatcher)}
    assert versions["run"] == versions["step"] == versions["carry_run"] == 1
    assert max(versions.values()) == 1, versions
