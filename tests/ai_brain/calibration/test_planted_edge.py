"""A planted edge: earned on the held bars and nowhere else, without moving a position, and as large as asked for."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_brain.calibration.null_market import mirrored, null_market
from ai_brain.calibration.planted_edge import drift_for, drift_on, held_sides, plant, planted_spec
from tests.ai_brain.markets import START_MS, rule_spec
from tests.ai_brain.tapes import wandering_tape
from tests.conftest import DATA, needs_data
from trading.domain.clock import parse_iso
from trading.domain.errors import SpecError
from trading.domain.instrument import Market
from trading.market.importers import import_recorded
from trading.market.tape import Funding, Tape, make_tape
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.metrics import sharpe
from trading.simulator.simulate import Result, simulate
from trading.strategy.spec import StrategySpec, dump_spec, load_spec

SPEC = planted_spec("BTCUSDT", START_MS)
FREE = Costs(taker_rate=0.0, maker_rate=0.0, half_spread_rate=0.0, impact_k=0.0)
YEARS_3 = 26_280


def shocked(bars: int, seed: int) -> Tape:
    """A made-up market in which one hour in fifty trades ten times as much."""
    tape = wandering_tape(bars, seed=seed)
    shocks = np.where(np.random.default_rng(seed).random(bars) < 0.02, 10.0, 1.0)
    return make_tape(replace(tape, volume_base=tape.volume_base * shocks))


@cache
def null_markets(first_seed: int) -> tuple[Tape, ...]:
    """Twenty of three years, from recorded BTCUSDT."""
    source = import_recorded(DATA, Market.PERP, "BTCUSDT", "1h", start_ms=parse_iso("2021-01-01T00:00:00Z"))
    return tuple(null_market(source, bars=YEARS_3, seed=first_seed + k) for k in range(20))


def run(market: Tape, costs: Costs | None = None, spec: StrategySpec = SPEC) -> Result:
    return simulate(market, spec, costs=costs or Costs(), rules=MarketRules())


def sharpes(markets: tuple[Tape, ...], costs: Costs | None = None) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([sharpe(run(market, costs).returns, bars_per_year=8760) for market in markets])


def when(result: Result) -> list[tuple[int, int, int]]:
    return [(int(t["entry_bar"]), int(t["exit_bar"]), int(t["side"])) for t in result.trades]


@given(st.integers(0, 10_000), st.floats(-0.01, 0.01))
@settings(max_examples=30, deadline=None)
def test_positions_are_the_same_whatever_is_planted_and_volume_and_rates_too(seed: int, drift: float) -> None:
    market = shocked(900, seed)
    there = plant(market, SPEC, drift=drift)
    assert when(run(there)) == when(run(market))
    assert run(there).orders_refused == run(market).orders_refused == 0
    assert (held_sides(there, SPEC) == held_sides(market, SPEC)).all()
    for column in ("open_time_ms", "volume_base"):
        assert (getattr(there, column) == getattr(market, column)).all()
    assert (there.funding.rate == market.funding.rate).all()
    assert there.origin == "synthetic"


def test_each_held_bar_rises_by_the_drift_more_and_no_other_bar_or_step_between_bars_changes() -> None:
    market = shocked(900, 1)
    there = plant(market, SPEC, drift=0.004)
    held = held_sides(market, SPEC)
    assert 100 < held.sum() < 800
    assert there.close / there.open - market.close / market.open == pytest.approx(0.004 * held, abs=1e-12)
    assert there.open[1:] / there.close[:-1] == pytest.approx(market.open[1:] / market.close[:-1], rel=1e-12)
    flat = held == 0
    for column in ("high", "low"):
        as_before = getattr(market, column)[flat] / market.open[flat]
        assert getattr(there, column)[flat] / there.open[flat] == pytest.approx(as_before, rel=1e-12)


def test_a_trade_earns_the_drift_of_each_bar_from_its_entry_to_the_one_before_its_exit() -> None:
    market = shocked(900, 2)
    quiet = make_tape(
        replace(
            market,
            **{column: np.full(900, 30_000.0) for column in ("open", "high", "low", "close")},
            funding=Funding.none(),
        )
    )
    trades = run(plant(quiet, SPEC, drift=0.001), FREE).trades
    assert len(trades) > 5
    assert set(trades["exit_bar"] - trades["entry_bar"]) == {24}
    earned = trades["pnl"] / (trades["quantity"] * trades["entry_price"])
    assert earned == pytest.approx(np.full(len(trades), 1.001**24 - 1.0), rel=1e-9)


def test_no_drift_leaves_every_price_as_it_was_and_a_short_is_given_the_opposite_one() -> None:
    market = shocked(900, 3)
    assert (plant(market, SPEC, drift=0.0).close == market.close).all()
    rules = SPEC.parameters.model_copy(update={"entry_long": (), "entry_short": ("volume_ratio(168) > 3.5",)})
    short = SPEC.model_copy(update={"parameters": rules})
    assert held_sides(market, short) == pytest.approx(-held_sides(market, SPEC))
    there = plant(market, short, drift=0.002)
    assert there.close[-1] < market.close[-1]
    assert run(there, FREE, short).equity[-1] > run(market, FREE, short).equity[-1]


def test_a_position_still_open_at_the_end_is_planted_to_the_last_bar() -> None:
    market = shocked(900, 4)
    volume = market.volume_base.copy()
    volume[-60:] = 20.0
    volume[-5] = 1000.0
    held = held_sides(make_tape(replace(market, volume_base=volume)), SPEC)
    assert held[-6:].tolist() == [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]


def test_rules_that_read_prices_drifts_without_measure_and_no_markets_are_refused() -> None:
    market = shocked(900, 5)
    for priced in (rule_spec("close > open"), rule_spec("volume_ratio(20) > 2", stop_loss_atr=3.0)):
        with pytest.raises(SpecError, match="reads prices"):
            plant(market, priced, drift=0.001)
    for drift in (0.2, float("nan")):
        with pytest.raises(ValueError, match=f"drift={drift}"):
            plant(market, SPEC, drift=drift)
    ask = {"sharpe_annual": 1.0, "costs": Costs(), "rules": MarketRules()}
    with pytest.raises(ValueError, match="no markets"):
        drift_for([], SPEC, **ask)  # type: ignore[arg-type]  # of mixed types
    with pytest.raises(SpecError, match="never in one of the markets"):
        drift_for([wandering_tape(400)], SPEC, **ask)  # type: ignore[arg-type]  # of mixed types
    with pytest.raises(ValueError, match="drift"):
        drift_for([market], SPEC, **{**ask, "sharpe_annual": 1e6})  # type: ignore[arg-type]  # of mixed types


def test_the_strategy_can_be_filed_and_trades_the_symbol_asked_for() -> None:
    spec = planted_spec("ETHUSDT", START_MS)
    assert load_spec(dump_spec(spec), where="it") == spec
    assert spec.market.native_symbol == "ETHUSDT"


@needs_data
def test_on_null_markets_it_trades_about_twice_a_week_and_is_in_the_market_a_quarter_of_the_time() -> None:
    for market in null_markets(0):
        assert 80 <= len(run(market).trades) / 3 <= 130
        assert 0.20 <= np.mean(held_sides(market, SPEC)) <= 0.35


@needs_data
def test_without_a_drift_it_earns_minus_its_costs() -> None:
    markets = [both for market in null_markets(0) for both in (market, mirrored(market))]
    earned = []
    for market in markets:
        result = run(plant(market, SPEC, drift=0.0))
        earned.append(result.equity[-1] - result.starting_quote + result.costs.fees + result.costs.slippage)
    pairs = np.reshape(earned, (-1, 2)).mean(axis=1)  # with its mirror image a market has next to no luck
    assert abs(pairs.mean()) < 4.0 * pairs.std(ddof=1) / np.sqrt(len(pairs))
    assert sharpes(tuple(markets)).mean() < -0.3
    assert sharpes(tuple(markets), FREE).mean() == pytest.approx(0.0, abs=0.05)


@needs_data
@pytest.mark.parametrize("asked", [0.0, 3.0])
def test_on_fresh_markets_the_mean_sharpe_ratio_is_the_one_asked_for(asked: float) -> None:
    drift = drift_for(null_markets(0), SPEC, sharpe_annual=asked, costs=Costs(), rules=MarketRules())
    found = sharpes(tuple(plant(market, SPEC, drift=drift) for market in null_markets(1000)))
    assert 0.4 < found.std(ddof=1) < 0.8
    assert abs(found.mean() - asked) < 4.0 * found.std(ddof=1) / np.sqrt(len(found))


@needs_data
def test_five_markets_are_enough_for_the_drift_because_each_comes_with_its_opposite_luck() -> None:
    drift = drift_for(null_markets(0)[:5], SPEC, sharpe_annual=1.0, costs=Costs(), rules=MarketRules())
    fresh = [both for market in null_markets(1000) for both in (market, mirrored(market))]
    found = sharpes(tuple(plant(market, SPEC, drift=drift) for market in fresh))
    assert found.mean() == pytest.approx(1.0, abs=0.1)  # without mirrors its standard error would be 0.26


@needs_data
def test_a_market_and_its_mirror_image_have_opposite_returns_and_the_same_volume() -> None:
    market = null_markets(0)[0]
    other = mirrored(market)
    assert other.close / other.open - 1.0 == pytest.approx(1.0 - market.close / market.open, abs=1e-12)
    assert other.high / other.open - 1.0 == pytest.approx(1.0 - market.low / market.open, abs=1e-12)
    assert other.low / other.open - 1.0 == pytest.approx(1.0 - market.high / market.open, abs=1e-12)
    assert (other.volume_base == market.volume_base).all()
    assert (other.funding.rate == -market.funding.rate).all()
    assert mirrored(other).close == pytest.approx(market.close, rel=1e-9)


def test_an_edge_can_be_as_large_as_asked_on_one_very_market_luck_included() -> None:
    for seed in (3, 4):
        market = null_market(shocked(6_000, seed), bars=6_000, seed=seed)
        spec = planted_spec("BTCUSDT", market.start_ms)
        for asked in (0.0, 3.0):
            drift = drift_on(market, spec, sharpe_annual=asked, costs=Costs(), rules=MarketRules())
            returns = simulate(plant(market, spec, drift=drift), spec, costs=Costs(), rules=MarketRules()).returns
            assert sharpe(returns, bars_per_year=8760.0) == pytest.approx(asked, abs=0.01)
