"""Edges of the kernels: exact touches, two things at one open, full buffers. Found by breaking the kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.trading.simulator.markets import carry_spec, random_tape, rule_spec
from tests.trading.simulator.test_kernel import FREE, LONG_ONCE, RULES, only_trade, up_then
from trading.simulator.carry_numbers import carry_terms
from trading.simulator.carry_outlook import CarryVerdict, CarryView, carry_decision
from trading.simulator.carry_weights import CarryWeights
from trading.simulator.compile import Program
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.feed import Feeder
from trading.simulator.kernel import run
from trading.simulator.records import FILL, FILLS_A_BAR, Acted
from trading.simulator.simulate import as_trades, kernel_rules, new_state, simulate
from trading.simulator.stepper import Stepper

BOTH_WAYS = {"entry_long": ("close > 100.5", "close[1] <= 100"), "entry_short": ("close < 99.5",)}
"""Long at bar 21; short once a close is below 99.5."""
TURN = (102.0, 103.0, 99.0, 99.0)
"""The entry bar, whose close asks for the other side."""


def turned(opened: float, *, rules: MarketRules = RULES, **risk: float):
    rows = [TURN, (opened, opened + 1.0, opened - 1.0, opened)]
    return simulate(up_then(rows), rule_spec(lists=BOTH_WAYS, **risk), costs=FREE, rules=rules)


@pytest.mark.parametrize(
    ("opened", "why", "price"),
    [
        (106.0, Acted.OPPOSITE, 106.0),
        (106.01, Acted.TAKE_PROFIT, 106.0),
        (106.5, Acted.TAKE_PROFIT, 106.0),
        (300.0, Acted.TAKE_PROFIT, 106.0),
    ],
)
def test_a_target_that_the_open_trades_through_is_filled_before_the_opposite_entry(
    opened: float, why: Acted, price: float
) -> None:
    result = turned(opened, take_profit_atr=2.0)
    trade = only_trade(result)
    assert (trade.why, trade.exit_price) == (why, price)
    assert result.open_quantity < 0.0


@pytest.mark.parametrize(
    ("opened", "why"), [(51.0, Acted.LIQUIDATION), (51.5, Acted.OPPOSITE), (50.0, Acted.LIQUIDATION)]
)
def test_a_liquidation_at_the_open_comes_before_the_opposite_entry_and_that_still_opens(
    opened: float, why: Acted
) -> None:
    # Bought at 102 with leverage 2 and no maintenance margin: liquidated at exactly 51.
    free_of_maintenance = replace(RULES, maintenance_rate=0.0, liquidation_fee_rate=0.0)
    result = turned(opened, rules=free_of_maintenance, position_pct=51.0, leverage=2)
    assert result.trades["quantity"][0] == 100.0
    assert Acted(result.trades["reason"][0]) is why
    assert result.trades["exit_price"][0] == max(opened, 51.0)
    assert result.open_quantity < 0.0


@pytest.mark.parametrize("room", [FILLS_A_BAR, FILLS_A_BAR + 1, 10])
def test_a_full_buffer_of_trades_makes_the_run_stop_and_go_on_without_a_seam(room: int) -> None:
    tape, spec = (
        random_tape(4, 200),
        rule_spec(lists={"entry_long": ("close > 0",)}, max_hold_bars=1, stop_loss_atr=0.3),
    )
    whole = simulate(tape, spec, costs=Costs(), rules=RULES)
    columns = Feeder(Program(spec.parameters, tape.interval)).columns(tape)
    state, equity, parts, done = new_state(10_000.0), np.empty(len(tape)), [], 0
    numbers, margin = kernel_rules(spec, RULES), RULES.margin()
    for _ in range(len(tape)):
        trades = np.zeros(room, dtype=FILL)
        before = done
        done, written = run(state, columns, numbers, Costs().rates(), margin, equity, trades)
        assert written <= room
        assert done > before
        parts.append(trades[:written])
        if done == len(tape):
            break
    assert len(parts) > 5
    assert as_trades(np.concatenate(parts)).tobytes() == whole.trades.tobytes()
    assert equity.tobytes() == whole.equity.tobytes()


def test_a_carry_stays_at_exactly_its_exit_rate_and_without_an_expectation_that_is_a_number() -> None:
    p = carry_spec(entry_apr_pct=10.0, exit_apr_pct=2.0, max_basis_bps=50.0, min_hold_fundings=3).parameters

    terms = carry_terms(p, CarryWeights())

    def said(is_open: bool, apr: float, basis: float = 0.0) -> str:
        return CarryVerdict(carry_decision(CarryView(is_open, apr, 0.0, 0.001, basis, 3, 1.0), terms)).name

    assert (said(True, 0.02), said(True, 0.0199)) == ("HOLD", "LEAVE_EXPECTATION")
    assert (said(False, float("inf")), said(True, float("-inf"))) == ("UNKNOWN", "HOLD")
    wide = [said(False, 0.10, basis) for basis in (0.005, -0.005, 0.00501)]
    assert wide == ["ENTER", "ENTER", "BASIS_WIDE"]


def test_an_empty_wallet_refuses_each_entry_and_counts_it_once() -> None:
    # The whole wallet is the margin, and the liquidation takes it to the last cent.
    rows = [(100.0, 101.0, 99.0, 100.0), (30.0, 31.0, 29.0, 30.0), *[(30.0, 31.0, 29.0, 30.0)] * 3]
    lists = {"entry_long": ("close > 100.5",), "entry_short": ("close < 40",)}
    spec = rule_spec(lists=lists, position_pct=100.0, leverage=2)
    result = simulate(up_then(rows), spec, costs=FREE, rules=RULES)
    assert (only_trade(result).why, result.equity[-1]) == (Acted.LIQUIDATION, 0.0)
    assert result.orders_refused == 3  # at the opens after the closes of 30, the last of which has none


def test_without_a_minimum_an_order_of_less_than_a_lot_is_refused_and_a_tiny_one_is_made() -> None:
    rows = [(100.0, 101.0, 99.0, 100.0)]
    spec = rule_spec(lists=LONG_ONCE, position_pct=50.0)
    found = [
        simulate(up_then(rows), spec, costs=FREE, rules=MarketRules(lot=lot, min_notional=0.0), starting_quote=1.0)
        for lot in (1.0, 0.001)
    ]
    assert [(r.orders_refused, r.open_quantity) for r in found] == [(1, 0.0), (0, 0.005)]


@pytest.mark.parametrize(
    ("stop_atr", "why", "price"), [(25.65, Acted.LIQUIDATION, 51.0), (25.35, Acted.STOP, 51.3), (25.5, None, 51.0)]
)
def test_of_stop_and_liquidation_the_one_met_first_acts_however_near_the_other(
    stop_atr: float, why: Acted | None, price: float
) -> None:
    free_of_maintenance = replace(RULES, maintenance_rate=0.0, liquidation_fee_rate=0.0)
    spec = rule_spec(lists=LONG_ONCE, position_pct=51.0, leverage=2, stop_loss_atr=stop_atr)
    rows = [(102.0, 103.0, 101.0, 102.0), (102.0, 103.0, 40.0, 90.0)]
    trade = only_trade(simulate(up_then(rows), spec, costs=FREE, rules=free_of_maintenance))
    assert trade.exit_price == pytest.approx(price)
    assert why is None or trade.why is why


def test_what_is_closed_leaves_nothing_open_and_each_fill_tells_its_own_slippage() -> None:
    tape = up_then([(101.0, 102.0, 100.0, 101.0), (101.0, 101.5, 90.0, 95.0)])
    spec = rule_spec(lists=LONG_ONCE, stop_loss_atr=1.0)
    costs = Costs(half_spread_rate=0.001)
    result = simulate(tape, spec, costs=costs, rules=RULES)
    assert (only_trade(result).why, result.open_quantity) == (Acted.STOP, 0.0)
    opening, closing = Stepper(spec, costs=costs, rules=RULES).advance(tape)
    assert min(opening.slippage_quote, closing.slippage_quote) > 0.0
    assert opening.slippage_quote + closing.slippage_quote == pytest.approx(closing.trade_slippage_quote)
