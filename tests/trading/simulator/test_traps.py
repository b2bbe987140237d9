"""Two traps that earlier systems fell into, in the simulator alone, and the metrics with known answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import DATA, needs_data
from tests.trading.simulator.markets import RULE_LISTS, random_tape, rule_spec, tape_of
from trading.domain.errors import SpecError
from trading.domain.instrument import Market
from trading.market.importers import import_recorded
from trading.market.tape import make_tape
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.metrics import NO_LOSS, max_drawdown, moments, sharpe, sortino, summary
from trading.simulator.simulate import simulate

FREE = Costs(0.0, 0.0, 0.0, 0.0)
RULES = MarketRules(tick=0.01, lot=0.00001, min_notional=5.0)


def test_a_rule_that_wins_by_looking_ahead_loses_about_its_costs_on_a_random_walk() -> None:
    """Bars that closed up are worth hundreds of percent at their own open, and nothing at the next one."""
    lists = {"entry_long": ("close > open",), "exit_long": ("close <= open",)}
    spec = rule_spec(lists=lists, position_pct=100.0)
    net, costs, cheating = [], [], []
    for seed in range(20):
        tape = random_tape(seed, 2000, wild=False)
        free = simulate(tape, spec, costs=FREE, rules=RULES)
        paid = simulate(tape, spec, costs=Costs(0.0002, 0.0002, 0.0, 0.0), rules=RULES)
        net.append(paid.equity[-1] - free.equity[-1])
        costs.append(-paid.costs.fees)
        moves = tape.close / tape.open
        cheating.append(float(np.log(moves[moves > 1]).sum()))
        assert abs(np.log(free.equity[-1] / 1e4)) < 4 * 0.01 * np.sqrt(2000 / 2) * 1.5
    assert np.mean(cheating) > 5.0
    assert np.mean(net) < 0.0
    assert np.sign(np.mean(net)) == np.sign(np.mean(costs))


@pytest.mark.parametrize("lists", RULE_LISTS)
def test_doubling_costs_changes_every_result_for_the_worse(lists: dict[str, tuple[str, ...]]) -> None:
    tape, spec, costs = random_tape(5, 400), rule_spec(lists=lists, stop_loss_atr=2.0, position_pct=5.0), Costs()
    once, twice = (simulate(tape, spec, costs=c, rules=RULES) for c in (costs, costs.doubled()))
    assert len(once.trades) > 0
    assert twice.equity[-1] < once.equity[-1]


def test_who_never_trades_has_constant_equity_and_a_sharpe_of_zero() -> None:
    result = simulate(
        random_tape(1, 100), rule_spec(lists={"entry_long": ("close > 1e9",)}), costs=Costs(), rules=RULES
    )
    told = summary(result)
    assert (result.equity == 10_000.0).all()
    assert (told.sharpe_annual, told.sharpe_daily, told.sortino_annual, told.max_drawdown) == (0.0, 0.0, 0.0, 0.0)
    assert (told.trades, told.win_rate, told.profit_factor, told.skew, told.kurtosis) == (0, 0.0, 0.0, 0.0, 3.0)


def test_a_tape_of_one_bar_has_a_result() -> None:
    told = summary(simulate(tape_of([(100.0, 101.0, 99.0, 100.0)]), rule_spec(), costs=Costs(), rules=RULES))
    assert (told.bars, told.trades, told.sharpe_annual, told.net_return) == (1, 0, 0.0, 0.0)


def test_known_answers_of_the_ratios() -> None:
    returns = np.array([0.01, -0.02, 0.03, 0.00])
    assert sharpe(returns, bars_per_year=1.0) == pytest.approx(0.005 / np.sqrt(0.0013 / 3))
    assert sharpe(returns, bars_per_year=8760.0) == pytest.approx(0.005 / np.sqrt(0.0013 / 3) * np.sqrt(8760))
    assert sortino(returns, bars_per_year=1.0) == pytest.approx(0.005 / np.sqrt(0.0004 / 3))
    assert sortino(np.array([0.1, 0.2]), bars_per_year=1.0) == 0.0
    assert sharpe(np.full(5, 0.1), bars_per_year=365.0) == 0.0
    assert max_drawdown(np.array([100.0, 120.0, 60.0, 130.0, 117.0])) == 0.5
    skew, kurtosis = moments(np.array([1.0, 2.0, 3.0, 4.0]))
    assert (skew, kurtosis) == (pytest.approx(0.0), pytest.approx(1.64))


@pytest.mark.parametrize(
    ("returns", "why"),
    [([0.1], "1 values"), ([0.1, np.nan], r"returns\[1\]=nan"), ([np.inf, 0.1], r"returns\[0\]=inf")],
)
def test_ratios_refuse_what_is_no_series(returns: list[float], why: str) -> None:
    for ratio in (sharpe, sortino):
        with pytest.raises(ValueError, match=why):
            ratio(np.array(returns), bars_per_year=365.0)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([1e-9, 1e-3, 1.0]))
def test_ratios_do_not_depend_on_the_scale_and_change_sign_with_the_returns(seed: int, scale: float) -> None:
    returns = np.random.default_rng(seed).normal(0.1, 1.0, 50)
    assert sharpe(returns * scale, bars_per_year=1.0) == pytest.approx(sharpe(returns, bars_per_year=1.0))
    assert sharpe(-returns, bars_per_year=1.0) == pytest.approx(-sharpe(returns, bars_per_year=1.0))
    assert moments(returns * scale) == pytest.approx(moments(returns))


def test_intrabar_drawdown_is_at_least_that_on_closes() -> None:
    for seed in range(20):
        told = summary(simulate(random_tape(seed, 200), rule_spec(position_pct=100.0), costs=Costs(), rules=RULES))
        assert told.max_drawdown_intrabar >= told.max_drawdown - 1e-12


def test_only_wins_have_a_finite_profit_factor() -> None:
    rows = [(100.0, 100.5, 99.0, 100.0), (100.0, 101.0, 99.5, 101.0)] + [
        (101.0 + i, 103.0 + i, 100.5 + i, 102.0 + i) for i in range(5)
    ]
    spec = rule_spec(lists={"entry_long": ("close > 100.5", "close < 101.5")}, max_hold_bars=2)
    told = summary(simulate(tape_of(rows), spec, costs=FREE, rules=RULES))
    assert (told.trades, told.win_rate, told.profit_factor) == (1, 1.0, NO_LOSS)


def test_the_price_level_does_not_matter() -> None:
    tape = random_tape(8, 300, wild=False, tick=1e-9)
    prices = {name: getattr(tape, name) * 1024.0 for name in ("open", "high", "low", "close")}
    marks = replace(tape.funding, mark_price=tape.funding.mark_price * 1024.0)
    dear = make_tape(replace(tape, **prices, volume_base=tape.volume_base / 1024.0, funding=marks))
    spec = rule_spec(stop_loss_atr=1.0, trailing_atr=2.0)
    fine = MarketRules(tick=1e-9, lot=1e-9, min_notional=0.0)
    a, b = (simulate(t, spec, costs=Costs(), rules=fine) for t in (tape, dear))
    np.testing.assert_allclose(a.equity, b.equity, rtol=1e-6)


@needs_data
def test_on_recorded_hours_costs_split_and_books_agree() -> None:
    tape = import_recorded(DATA, Market.PERP, "BTCUSDT", "1h")
    spec = rule_spec(lists={"entry_long": ("rsi(14) < 28",), "exit_long": ("rsi(14) > 55",)}, stop_loss_atr=2.0)
    result = simulate(tape, spec, costs=Costs(), rules=MarketRules(tick=0.1, lot=0.001, min_notional=100.0))
    t = result.trades
    gross = (t["side"] * t["quantity"] * (t["exit_price"] - t["entry_price"])).sum()
    assert len(t) > 300
    assert result.open_quantity == 0.0
    assert result.equity[-1] == pytest.approx(10_000.0 + gross - result.costs.fees + result.costs.funding)


def test_a_run_that_begins_later_is_the_run_on_the_later_bars_alone_where_no_indicator_looks_back() -> None:
    tape = random_tape(8, 200)
    lists = {"entry_long": ("close > open",), "exit_long": ("close < open",)}
    spec, begin_ms = rule_spec(lists=lists, position_pct=100.0), int(tape.open_time_ms[80])
    late = simulate(tape, spec, costs=FREE, rules=RULES, begin_ms=begin_ms)
    alone = simulate(tape.window(begin_ms, tape.end_ms), spec, costs=FREE, rules=RULES)
    assert len(late.trades) > 10
    assert late.trades.tobytes() == alone.trades.tobytes()
    assert (late.equity == alone.equity).all()
    assert (late.open_time_ms == alone.open_time_ms).all()
    assert late.open_trade == alone.open_trade


def test_a_run_cannot_begin_after_its_last_bar() -> None:
    tape = random_tape(8, 50)
    with pytest.raises(SpecError, match=r"begin_ms=.*: the last bar opens"):
        simulate(tape, rule_spec(), costs=FREE, rules=RULES, begin_ms=tape.end_ms)
