"""The carry against its slow twin, and its profit split to the cent."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import naive_carry
from tests.trading.simulator.markets import bars_of, carry_spec, random_tape
from trading.domain.instrument import Bracket, Market
from trading.market.tape import Funding, Tape, make_tape
from trading.simulator.carry import CarryResult, simulate_carry
from trading.simulator.carry_records import CarryActed
from trading.simulator.carry_weights import CarryWeights
from trading.simulator.costs import CarryCosts, Costs, MarketRules, continuous_brackets
from trading.simulator.settlements import on_minutes
from trading.strategy.spec import StrategySpec

COSTS = CarryCosts(Costs(0.001, 0.001, 0.0003, 0.8), Costs(0.0005, 0.0002, 0.0002, 0.6))
SMALL = CarryWeights(lookback_hours=72.0, doubt=0.1, min_liquidation_distance=0.1, basis_stress=1.2)
SMALL_BRACKETS = continuous_brackets(((300.0, 0.004), (900.0, 0.05), (2000.0, 0.125), (5000.0, 0.5)))


def wild_legs(seed: int, bars: int = 220) -> tuple[Tape, Tape]:
    """A perpetual with spikes, gaps and changing settlement intervals; spot near it, with gaps and noise of its own."""
    perp = random_tape(seed, bars)
    rng = np.random.default_rng(seed + 1)
    kept = rng.random(bars) > 0.08
    kept[0] = True
    prices = np.array([getattr(perp, name)[kept] for name in ("open", "high", "low", "close")])
    prices *= np.exp(rng.normal(0.0, 0.002, kept.sum()))
    spot = replace(
        perp,
        market=Market.SPOT,
        open_time_ms=perp.open_time_ms[kept],
        **dict(zip(("open", "high", "low", "close"), prices, strict=True)),
        volume_base=perp.volume_base[kept] * rng.integers(0, 3, kept.sum()),
        funding=Funding.none(),
        spot_close=np.empty(0),
    )
    return make_tape(spot), perp


def options(spec: StrategySpec, rules: MarketRules, delay: int, start: float, weights: CarryWeights) -> SimpleNamespace:
    p = spec.parameters
    leg = {
        name: SimpleNamespace(taker=c.taker_rate, half_spread=c.half_spread_rate, k=c.impact_k)
        for name, c in (("spot", COSTS.spot), ("perp", COSTS.perp))
    }
    table = [
        (b.notional_from_quote, b.notional_to_quote, b.maintenance_rate, b.maintenance_amount_quote)
        for b in rules.brackets
    ]
    return SimpleNamespace(
        entry_apr=p.entry_apr_pct / 100,
        exit_apr=p.exit_apr_pct / 100,
        max_basis=p.max_basis_bps / 10_000,
        min_hold=p.min_hold_fundings,
        fraction=p.capital_pct / 100,
        leverage=p.leverage,
        delay=delay,
        lot=rules.lot,
        min_notional=rules.min_notional,
        brackets=table or [(0.0, 1e18, rules.maintenance_rate, 0.0)],
        liquidation_fee=rules.liquidation_fee_rate,
        start=start,
        weights=weights,
        **leg,
    )


def told(perp: Tape) -> list[tuple[int, float, float | None]]:
    f = perp.funding
    return [
        (int(t), float(r), None if np.isnan(m) else float(m))
        for t, r, m in zip(on_minutes(f.time_ms), f.rate, f.mark_price, strict=True)
    ]


def both(
    seed: int,
    spec: StrategySpec,
    rules: MarketRules,
    delay: int = 0,
    start: float = 2000.0,
    weights: CarryWeights = SMALL,
) -> tuple[CarryResult, naive_carry.CarryOutcome]:
    spot, perp = wild_legs(seed)
    found = simulate_carry(
        spot,
        perp,
        spec,
        costs=replace(COSTS, weights=weights),
        rules=rules,
        starting_quote=start,
        entry_delay_bars=delay,
    )
    twin = naive_carry.carry(bars_of(spot), bars_of(perp), told(perp), options(spec, rules, delay, start, weights))
    return found, twin


@settings(deadline=None, max_examples=120)
@given(
    seed=st.integers(0, 2**31),
    leverage=st.integers(1, 3),
    entry_pct=st.sampled_from([0.5, 5.0, 40.0]),
    exit_pct=st.sampled_from([0.0, 0.4]),
    min_hold=st.sampled_from([1, 3, 12]),
    basis_bps=st.sampled_from([15.0, 100.0]),
    delay=st.sampled_from([0, 0, 2]),
    lot=st.sampled_from([0.001, 0.1, 5.0]),
    brackets=st.sampled_from([(), SMALL_BRACKETS]),
    weights=st.sampled_from([SMALL, CarryWeights(), CarryWeights(horizon_hours=24.0, doubt=0.0, cost_margin=1.0)]),
)
def test_carries_and_equity_equal_the_slow_twin(
    seed: int,
    leverage: int,
    entry_pct: float,
    exit_pct: float,
    min_hold: int,
    basis_bps: float,
    delay: int,
    lot: float,
    brackets: tuple[Bracket, ...],
    weights: CarryWeights,
) -> None:
    spec = carry_spec(
        leverage=leverage,
        entry_apr_pct=entry_pct,
        exit_apr_pct=exit_pct,
        min_hold_fundings=min_hold,
        max_basis_bps=basis_bps,
    )
    rules = MarketRules(tick=0.01, lot=lot, min_notional=20.0, brackets=brackets)
    found, twin = both(seed, spec, rules, delay, weights=weights)
    assert [(t["entry_bar"], t["exit_bar"], t["settlements"], CarryActed(t["reason"]).name) for t in found.trades] == [
        (t.entry_bar, t.exit_bar, t.settlements, t.reason) for t in twin.trades
    ]
    for name in found.trades.dtype.names:
        if name != "reason":
            np.testing.assert_allclose(
                found.trades[name], [getattr(t, name) for t in twin.trades], rtol=1e-9, atol=1e-8, err_msg=name
            )
    np.testing.assert_allclose(found.equity, twin.equity, rtol=1e-9)
    np.testing.assert_allclose(found.short_base, twin.short_base, rtol=1e-12)
    for name in ("entries", "settlements", "liquidations"):
        assert getattr(found, name) == getattr(twin, name), name
    assert (found.orders_refused, found.gaps_met) == (twin.refused, twin.gaps)
    for name in ("funding", "basis", "fees", "slippage"):
        assert getattr(found, f"{name}_quote") == pytest.approx(getattr(twin, name), abs=1e-7), name
    assert found.worst_drawdown == pytest.approx(twin.worst_drawdown, abs=1e-9)


def test_the_random_legs_meet_everything_a_carry_can_meet() -> None:
    rules = MarketRules(tick=0.01, lot=0.001, min_notional=20.0)
    runs = [both(seed, carry_spec(leverage=3, min_hold_fundings=1, max_basis_bps=15.0), rules)[0] for seed in range(40)]
    reasons = {CarryActed(int(r)) for run in runs for r in run.trades["reason"]}
    assert reasons == set(CarryActed)
    assert min(sum(getattr(run, name) for run in runs) for name in ("exits", "gaps_met", "settlements")) > 20


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), leverage=st.integers(1, 3))
def test_the_profit_is_funding_and_basis_less_fees_and_slippage(seed: int, leverage: int) -> None:
    spot, perp = wild_legs(seed)
    result = simulate_carry(spot, perp, carry_spec(leverage=leverage, min_hold_fundings=1), costs=CarryCosts())
    split = result.funding_quote + result.basis_quote - result.fees_quote - result.slippage_quote
    assert result.equity[-1] - result.starting_quote == pytest.approx(split, abs=1e-8)
    if result.short_base[-1] == 0.0 and result.exits == result.entries:
        t = result.trades
        assert result.equity[-1] - result.starting_quote == pytest.approx(t["pnl"].sum(), abs=1e-8)
        assert result.funding_quote == pytest.approx(t["funding"].sum(), abs=1e-8)
        assert result.fees_quote == pytest.approx(t["fees"].sum(), abs=1e-8)
        assert result.slippage_quote == pytest.approx(t["slippage"].sum(), abs=1e-8)
