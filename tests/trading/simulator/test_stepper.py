"""Paper is the backtest: bar by bar, over restarts and on rolling tapes, to the last bit; and nothing sees tomorrow."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.simulator.markets import HOUR_MS, carry_spec, random_tape, rule_spec, rule_specs
from trading.domain.errors import StateFileError
from trading.domain.instrument import Market
from trading.market.tape import Tape, make_tape
from trading.simulator.carry import simulate_carry
from trading.simulator.carry_stepper import CarryStepper
from trading.simulator.costs import CarryCosts, Costs, MarketRules
from trading.simulator.simulate import Result, signals, simulate
from trading.simulator.stepper import Stepper
from trading.strategy.spec import StrategySpec

RULES = MarketRules(tick=0.01, lot=0.001, min_notional=5.0)
BARS = 120


def part(tape: Tape, first: int, stop: int) -> Tape:
    """Bars first..stop-1, and what was settled since the bar before them closed."""
    start_ms = int(tape.open_time_ms[first - 1]) + HOUR_MS if first else tape.start_ms
    return tape.window(start_ms, int(tape.open_time_ms[stop - 1]) + HOUR_MS)


def restarted(stepper: Stepper) -> Stepper:
    """Through its file and back."""
    plain = json.loads(json.dumps(stepper.to_json(), allow_nan=False))
    return Stepper.from_json(plain, stepper.spec, costs=Costs(), rules=RULES)


def assert_same_trades(fills: list, result: Result, tape: Tape) -> None:
    closes = [f for f in fills if f.is_close]
    found = [
        (
            *(f.entry_ms, f.open_ms, f.side, f.quantity_base, f.entry_price, f.price, f.trade_fees_quote),
            *(f.trade_funding_quote, f.trade_slippage_quote, f.pnl_quote, int(f.reason)),
        )
        for f in closes
    ]
    expected = [
        (
            *(int(tape.open_time_ms[t[bar]]) for bar in ("entry_bar", "exit_bar")),
            *(t[name].item() for name in t.dtype.names[2:]),
        )
        for t in result.trades
    ]
    assert found == expected


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    spec=rule_specs(),
    edges=st.lists(st.integers(1, BARS), max_size=8).map(lambda e: sorted({*e, BARS})),
    rolling=st.sampled_from([0, 1, 30, BARS]),
)
def test_paper_equals_backtest_to_the_last_bit(seed: int, spec: StrategySpec, edges: list[int], rolling: int) -> None:
    tape = part(random_tape(seed, BARS), 0, BARS)
    whole = simulate(tape, spec, costs=Costs(), rules=RULES)
    stepper, fills, done = Stepper(spec, costs=Costs(), rules=RULES), [], 0
    for edge in edges:
        fills += stepper.advance(part(tape, max(0, done - rolling), edge))
        assert stepper.equity_quote == whole.equity[edge - 1]
        assert stepper.identity_error_quote() < 1e-6
        stepper, done = restarted(stepper), edge
    assert_same_trades(fills, whole, tape)
    held = stepper.position
    assert (held.side * held.quantity_base if held else 0.0) == whole.open_quantity
    assert stepper.costs == whole.costs
    assert stepper.orders_refused == whole.orders_refused


FUNDING_RULES = {
    "entry_long": ("funding_mean(3) > 0",),
    "entry_short": ("funding_mean(2) < 0", "close < vwap_session()"),
    "exit_long": ("funding_apr() < 0",),
    "exit_short": ("funding_apr() > funding_mean(4) * 100",),
}


@pytest.mark.parametrize("rolling", [0, 1, 30, BARS])
@pytest.mark.parametrize("seed", range(6))
def test_a_settlement_that_several_tapes_tell_counts_once_in_funding_indicators(seed: int, rolling: int) -> None:
    tape = part(random_tape(seed, BARS), 0, BARS)
    spec = rule_spec(lists=FUNDING_RULES)
    whole = simulate(tape, spec, costs=Costs(), rules=RULES)
    assert len(whole.trades) > 2
    stepper = Stepper(spec, costs=Costs(), rules=RULES)
    for edge in range(1, BARS + 1):
        stepper.advance(part(tape, max(0, edge - 1 - rolling), edge))
        assert stepper.equity_quote == whole.equity[edge - 1]
    assert restarted(stepper).to_json() == stepper.to_json()


def test_one_bar_at_a_time_is_the_same_too() -> None:
    tape = random_tape(77, BARS)
    spec = rule_spec(stop_loss_atr=1.0, take_profit_atr=1.0, leverage=3)
    stepper = Stepper(spec, costs=Costs(), rules=RULES)
    equity = []
    for bar in range(1, BARS + 1):
        stepper.advance(part(tape, max(0, bar - 3), bar))
        equity.append(stepper.equity_quote)
    assert equity == simulate(tape, spec, costs=Costs(), rules=RULES).equity.tolist()


def test_a_bar_seen_before_is_not_stepped_again() -> None:
    tape = random_tape(4, BARS)
    stepper = Stepper(rule_spec(), costs=Costs(), rules=RULES)
    assert stepper.advance(tape)
    before = stepper.to_json()
    assert stepper.advance(tape) == []
    assert stepper.to_json() == before
    assert (stepper.bars, stepper.last_open_ms) == (BARS, int(tape.open_time_ms[-1]))


def test_warming_up_feeds_the_indicators_and_trades_nothing() -> None:
    tape = random_tape(9, BARS, wild=False)
    spec = rule_spec(lists={"entry_long": ("ema(20) > ema(40)",), "exit_long": ("ema(20) < ema(40)",)})
    stepper = Stepper(spec, costs=Costs(), rules=RULES)
    stepper.warm_up(part(tape, 0, 100))
    assert (stepper.equity_quote, stepper.bars, stepper.position) == (10_000.0, 0, None)
    fills = stepper.advance(part(tape, 90, BARS))
    said = signals(tape, spec.parameters)
    first = next(i for i in range(100, BARS) if said.entry_long[i])
    assert fills[0].open_ms == int(tape.open_time_ms[first + 1])


def test_the_memory_of_other_parameters_or_a_damaged_one_is_refused() -> None:
    stepper = Stepper(rule_spec(), costs=Costs(), rules=RULES)
    stepper.advance(random_tape(1, 30))
    plain = stepper.to_json()
    for broken, why in (
        ("nonsense", "expected an object"),
        ({**plain, "spec_sha256": "00"}, "other parameters"),
        ({**plain, "memory": []}, "not the memory"),
        ({**plain, "memory": ["???"] * len(plain["memory"])}, "not base64"),
        ({**plain, "state": {**plain["state"], "wallet": "much"}}, "wallet='much'"),
        ({**plain, "state": {"wallet": 1.0}}, "missing or unknown"),
        ({**plain, "last_open_ms": "now"}, "last_open_ms='now'"),
    ):
        with pytest.raises(StateFileError, match=why):
            Stepper.from_json(broken, stepper.spec, costs=Costs(), rules=RULES)


def noise_after(tape: Tape, kept: int, seed: int) -> Tape:
    """The same first bars, another future."""
    other = random_tape(seed, len(tape))
    columns = {
        name: np.concatenate((getattr(tape, name)[:kept], getattr(other, name)[kept:]))
        for name in ("open", "high", "low", "close", "volume_base", "spot_close")
    }
    return make_tape(replace(tape, **columns))


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), spec=rule_specs(), kept=st.integers(2, BARS - 1))
def test_another_future_changes_nothing_that_happened(seed: int, spec: StrategySpec, kept: int) -> None:
    tape = part(random_tape(seed, BARS), 0, BARS)
    whole = simulate(tape, spec, costs=Costs(), rules=RULES)
    for other in (part(tape, 0, kept), noise_after(tape, kept, seed + 1)):
        found = simulate(other, spec, costs=Costs(), rules=RULES)
        assert found.equity[:kept].tobytes() == whole.equity[:kept].tobytes()
        past, told = whole.trades[whole.trades["exit_bar"] < kept], found.trades[found.trades["exit_bar"] < kept]
        assert past.tobytes() == told.tobytes()
        mine, theirs = signals(tape, spec.parameters), signals(other, spec.parameters)
        assert (mine.flags()[:kept] == theirs.flags()[:kept]).all()


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**31),
    leverage=st.integers(1, 3),
    rolling=st.sampled_from([0, 7, 200]),
    edges=st.lists(st.integers(1, BARS), max_size=6).map(lambda e: sorted({*e, BARS})),
)
def test_carry_on_paper_equals_the_backtest_to_the_last_bit(
    seed: int, leverage: int, rolling: int, edges: list[int]
) -> None:
    spot, perp = random_tape(seed, BARS, market=Market.SPOT), part(random_tape(seed + 1, BARS), 0, BARS)
    spec = carry_spec(leverage=leverage, max_basis_bps=1000.0)
    spot = noise_free_legs(spot, perp)
    whole = simulate_carry(spot, perp, spec, costs=CarryCosts())
    stepper, steps = CarryStepper(spec, costs=CarryCosts()), []
    for edge in edges:
        end_ms = int(perp.open_time_ms[edge - 1]) + HOUR_MS
        if spot.start_ms < end_ms:
            start_ms = (stepper.last_open_ms or perp.start_ms) - rolling * HOUR_MS
            steps += stepper.advance(spot.window(start_ms, end_ms), perp.window(start_ms, end_ms))
        plain = json.loads(json.dumps(stepper.to_json(), allow_nan=False))
        stepper = CarryStepper.from_json(plain, spec, costs=CarryCosts())
    assert [s.equity_quote for s in steps] == whole.equity.tolist()
    assert [s.trade.tolist() for s in steps if s.trade is not None] == whole.trades.tolist()
    assert (sum(s.entered for s in steps), sum(s.settlements for s in steps)) == (whole.entries, whole.settlements)
    assert stepper.identity_error_quote() < 1e-6


def noise_free_legs(spot: Tape, perp: Tape) -> Tape:
    """A spot leg that follows the perpetual, with holes of its own."""
    kept = np.arange(len(perp)) % 11 != 7
    columns = {name: getattr(perp, name)[kept] for name in ("open", "high", "low", "close", "volume_base")}
    return make_tape(replace(spot, open_time_ms=perp.open_time_ms[kept], **columns))
