"""What bad input gets: refused before the kernel with bar, column and value named, or a finite result that says so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.simulator.markets import (
    HOUR_MS,
    RULE_LISTS,
    START_MS,
    carry_spec,
    random_tape,
    rule_spec,
    rule_specs,
)
from trading.domain.errors import DataProviderError, SettingsError, SpecError
from trading.domain.instrument import Market
from trading.market.tape import PRICES, Funding, Tape, make_tape
from trading.simulator.carry import simulate_carry
from trading.simulator.carry_stepper import CarryStepper
from trading.simulator.costs import CarryCosts, Costs, MarketRules
from trading.simulator.simulate import simulate
from trading.simulator.stepper import Stepper
from trading.strategy.spec import StrategySpec

ROOT = Path(__file__).resolve().parents[3]
NAN, INF = float("nan"), float("inf")
RULES = MarketRules(tick=0.01, lot=0.001)
GOOD = random_tape(1, 40, wild=False)


def spoiled(column: str, bar: int, value: float) -> Tape:
    values = getattr(GOOD, column).copy()
    values[bar] = value
    return replace(GOOD, **{column: values})


def cut(count: int) -> Tape:
    columns = {name: getattr(GOOD, name)[:count] for name in ("open_time_ms", *PRICES, "volume_base", "spot_close")}
    return replace(GOOD, **columns, funding=Funding.none())


def settled(times: list[int], rates: list[float], marks: list[float]) -> Tape:
    return replace(GOOD, funding=Funding(np.array(times), np.array(rates), np.array(marks)))


@pytest.mark.parametrize("column", PRICES)
@pytest.mark.parametrize("value", [NAN, INF, -INF, -1.0, 0.0, 1e300, 5e-324])
def test_a_price_that_is_none_is_refused_with_bar_column_and_value(column: str, value: float) -> None:
    with pytest.raises(
        DataProviderError, match=rf"BTCUSDT perp 1h: {column}\[7\]={re.escape(str(value))} at 2023-.*not a price"
    ):
        make_tape(spoiled(column, 7, value))


@pytest.mark.parametrize(
    ("tape", "why"),
    [
        (spoiled("high", 3, 1.0), r"high\[3\]=1.0 at .*below another price of its bar"),
        (spoiled("low", 3, 1e6), r"high\[3\]=.*below another price of its bar"),
        (spoiled("low", 3, float(max(GOOD.open[3], GOOD.close[3]))), r"low\[3\]=.*above another price of its bar"),
        (spoiled("volume_base", 5, NAN), r"volume_base\[5\]=nan at .*not a volume"),
        (spoiled("volume_base", 5, -1.0), r"volume_base\[5\]=-1.0 at .*not a volume"),
        (spoiled("volume_base", 5, INF), r"volume_base\[5\]=inf at .*not a volume"),
        (spoiled("volume_base", 5, 1e300), r"volume_base\[5\]=1e\+300 at .*not a volume"),
        (spoiled("open_time_ms", 5, START_MS), r"open_time\[5\]=2023-\S+ does not come after 2023-"),
        (spoiled("open_time_ms", 5, START_MS + 4 * HOUR_MS), r"open_time\[5\]=.*does not come after"),
        (
            spoiled("open_time_ms", 39, START_MS + 39 * HOUR_MS + 1),
            r"open_time\[39\]=\d+: not on the grid of 3600000 ms",
        ),
        (cut(0), "no bars; fetch history"),
        (replace(GOOD, close=GOOD.close[:-1]), "close has 39 values for 40 bars"),
        (replace(GOOD, interval="7m"), "interval='7m': use one of"),
        (settled([START_MS] * 2, [0.0, 0.0], [NAN, NAN]), r"funding time\[1\]=2023-\S+ does not come after"),
        (settled([START_MS + 1, START_MS], [0.0, 0.0], [NAN, NAN]), r"funding time\[1\]=2023-"),
        (settled([START_MS], [NAN], [NAN]), r"funding rate\[0\]=nan at 2023-.*not a fraction"),
        (settled([START_MS], [INF], [NAN]), r"funding rate\[0\]=inf at 2023-"),
        (settled([START_MS], [1.5], [NAN]), r"funding rate\[0\]=1.5 at 2023-"),
        (settled([START_MS], [0.0], [-3.0]), r"funding mark_price\[0\]=-3.0 at 2023-.*not a price"),
        (settled([START_MS], [0.0], [INF]), r"funding mark_price\[0\]=inf at 2023-"),
        (settled([START_MS], [0.0], []), "funding mark_price has 0 values for 1 settlements"),
    ],
)
def test_bars_that_are_none_are_refused_before_the_kernel(tape: Tape, why: str) -> None:
    with pytest.raises(DataProviderError, match=why):
        make_tape(tape)


@pytest.mark.parametrize("quote", [0.0, -1.0, NAN, INF, 1e300])
def test_a_purse_that_is_none_is_refused_by_both_simulators_and_both_steppers(quote: float) -> None:
    spot = random_tape(2, 40, market=Market.SPOT)
    for run in (
        lambda: simulate(GOOD, rule_spec(), costs=Costs(), rules=RULES, starting_quote=quote),
        lambda: Stepper(rule_spec(), costs=Costs(), rules=RULES, starting_quote=quote),
        lambda: simulate_carry(spot, GOOD, carry_spec(), costs=CarryCosts(), starting_quote=quote),
        lambda: CarryStepper(carry_spec(), costs=CarryCosts(), starting_quote=quote),
    ):
        with pytest.raises(SpecError, match="starting_quote="):
            run()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("tick", "lot") for value in (0.0, -1.0, NAN, INF, 1e-300)),
        *((name, value) for name in ("min_notional", "liquidation_fee_rate") for value in (-1.0, NAN, INF)),
        *(("maintenance_rate", value) for value in (-1.0, NAN, 1.0)),
    ],
)
def test_a_venues_step_that_is_none_is_refused(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=rf"market rules: {name}={value}"):
        MarketRules(**{name: value})


@pytest.mark.parametrize("name", ["taker_rate", "maker_rate", "half_spread_rate", "impact_k"])
@pytest.mark.parametrize("value", [-0.1, NAN, INF, 1e9])
def test_a_cost_that_is_none_is_refused(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=rf"costs: {name}={value}"):
        Costs(**{name: value})


@pytest.mark.parametrize("bars", [1, 2, 13, 14])
def test_a_tape_shorter_than_the_warm_up_gives_a_result_without_a_signal(bars: int) -> None:
    spec = rule_spec(lists={"entry_long": ("rsi(14) < 100",)}, stop_loss_atr=1.0)
    result = simulate(make_tape(cut(bars)), spec, costs=Costs(), rules=RULES)
    assert (len(result.trades), result.open_quantity, result.orders_refused) == (0, 0.0, 0)
    assert result.equity.tolist() == [10_000.0] * bars


@pytest.mark.parametrize("volume", [0.0, 1e-9, 1e18])
def test_an_order_larger_than_the_bars_volume_pays_dearly_and_stays_finite(volume: float) -> None:
    tape = make_tape(replace(GOOD, volume_base=np.full(len(GOOD), volume)))
    spec = rule_spec(lists=RULE_LISTS[0], position_pct=100.0, leverage=3)
    result = simulate(tape, spec, costs=Costs(), rules=RULES, starting_quote=1e12)
    assert np.isfinite(result.equity).all()
    assert len(result.trades) > 0
    assert (result.trades["exit_price"] > 0.0).all()
    if volume == 1e-9:
        # 1e12 of a bar worth 1e-7: the law says more than any price, the cap of half the price holds.
        first = result.trades[0]
        assert abs(first["entry_price"] / tape.open[first["entry_bar"]] - 1.0) == pytest.approx(0.5)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    spec=rule_specs(),
    scale=st.sampled_from([1e-9, 1e-3, 1e6, 1e9]),
    quote=st.sampled_from([1e-6, 1.0, 1e6, 1e12]),
)
def test_at_any_scale_that_is_let_in_every_number_is_finite(
    seed: int, spec: StrategySpec, scale: float, quote: float
) -> None:
    tape = random_tape(seed, 80)
    prices = {name: getattr(tape, name) * scale for name in PRICES}
    marks = replace(tape.funding, mark_price=tape.funding.mark_price * scale)
    rules = MarketRules(tick=1e-12, lot=1e-12, min_notional=0.0)
    result = simulate(
        make_tape(replace(tape, **prices, funding=marks)), spec, costs=Costs(), rules=rules, starting_quote=quote
    )
    assert np.isfinite(result.equity).all()
    assert (result.equity >= -quote * 1e-9).all()
    for name in result.trades.dtype.names:
        assert np.isfinite(result.trades[name]).all(), name


BOUNDS_CHECKED = """
import numpy as np
from numba import config, njit
from tests.trading.simulator.markets import RULE_LISTS, carry_spec, random_tape, rule_spec
from tests.trading.simulator.test_carry_twin import SMALL_BRACKETS, wild_legs
from trading.domain.instrument import Market
from trading.simulator.carry import simulate_carry
from trading.simulator.carry_stepper import CarryStepper
from trading.simulator.compiled import compile_kernels
from trading.simulator.costs import CarryCosts, Costs, MarketRules
from trading.simulator.population import simulate_population
from trading.simulator.simulate import simulate
from trading.simulator.stepper import Stepper

@njit
def beyond(values, i):
    return values[i]

assert config.BOUNDSCHECK == 1
try:
    beyond(np.zeros(3), 3)
except IndexError:
    pass
else:
    raise SystemExit("bounds are not checked")
compile_kernels()
rules = MarketRules(tick=0.01, lot=0.001, brackets=SMALL_BRACKETS)
runs = 0
for seed, bars in enumerate((1, 2, 3, 17, 60, 150, 150, 150)):
    for market in Market:
        tape, specs = random_tape(seed, bars, market=market), []
        for lists in RULE_LISTS:
            if market is Market.SPOT:
                lists = {
                    name: tuple(rule for rule in kept if "funding" not in rule and "basis" not in rule)
                    for name, kept in lists.items()
                    if "short" not in name
                }
            for risk in ({}, {"stop_loss_atr": 0.3, "take_profit_atr": 1.0, "trailing_atr": 2.5, "leverage": 3}):
                risk = risk if market is Market.PERP else {**risk, "leverage": 1} if risk else risk
                spec = rule_spec(market=market, lists=lists, max_hold_bars=3, **risk)
                simulate(tape, spec, costs=Costs(), rules=rules, starting_quote=1000.0, entry_delay_bars=seed % 3)
                Stepper(spec, costs=Costs(), rules=rules, starting_quote=1000.0).advance(tape)
                specs.append(spec)
                runs += 1
        simulate_population(tape, specs, costs=Costs(), rules=rules, starting_quote=1000.0, keep_trades=True)
    if bars > 3:
        spot, perp = wild_legs(seed, bars)
        spec = carry_spec(leverage=3, min_hold_fundings=1)
        simulate_carry(spot, perp, spec, costs=CarryCosts(), rules=rules, starting_quote=2000.0)
        CarryStepper(spec, costs=CarryCosts(), rules=rules, starting_quote=2000.0).advance(spot, perp)
print(runs)
"""


@pytest.mark.timeout(300)  # the first time with these kernels it compiles them all: 40 s of an idle core
def test_no_kernel_reads_or_writes_beyond_an_array() -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}/src:{ROOT}",
        "NUMBA_BOUNDSCHECK": "1",
        # Numba does not ask how a kernel on its disk was compiled: those with checks lie apart, under the same hash.
        "NUMBA_CACHE_DIR": str(Path(os.environ["NUMBA_CACHE_DIR"], "bounds_checked").resolve()),
    }
    done = subprocess.run(
        [sys.executable, "-c", BOUNDS_CHECKED], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 8 * 2 * 2 * len(RULE_LISTS)
