"""The strategies that the simulator is timed with: one from text, EMA crosses, and random ones of four conditions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trading.strategy.spec import (
    Origin,
    RiskParameters,
    RuleParameters,
    SpecMarket,
    StrategySpec,
    StrategyType,
    new_spec,
)

MINUTES = SpecMarket(exchange="binance", symbol="BTC/USDT", timeframe="1m")


def dip_buyer() -> StrategySpec:
    """A dip buyer with stop, target and time limit, thousands of trades a year of minutes."""
    rules = RuleParameters(
        entry_long=("rsi(14) < 30", "close < bb_lower(20, 2)"),
        exit_long=("rsi(14) > 55",),
        filters=("adx(14) < 40", "volume_ratio(20) > 0.5"),
        risk=RiskParameters(position_pct=10.0, stop_loss_atr=3.0, take_profit_atr=4.0, max_hold_bars=120),
    )
    return _spec(rules)


def ema_cross(fast: int, slow: int) -> StrategySpec:
    """Long from the cross upwards to the cross downwards, with stop and target; what the peers sweep too."""
    rules = RuleParameters(
        entry_long=(f"ema({fast}) crosses_above ema({slow})",),
        exit_long=(f"ema({fast}) crosses_below ema({slow})",),
        risk=RiskParameters(position_pct=50.0, stop_loss_atr=2.0, take_profit_atr=3.0, max_hold_bars=None),
    )
    return _spec(rules)


def ema_pairs(count: int) -> list[tuple[int, int]]:
    """`count` (fast, slow) spans, spread over what traders use."""
    fasts, slows = range(5, 45), range(20, 240, 4)
    pairs = [(fast, slow) for slow in slows for fast in fasts if fast < slow]
    step = max(1, len(pairs) // count)
    return pairs[::step][:count]


def conditions() -> list[str]:
    """A few hundred conditions, of the kinds and thresholds that generators write."""
    found = [f"rsi({n}) {sign} {level}" for n in (7, 14, 21, 28) for level in range(20, 81, 2) for sign in "<>"]
    for n in (10, 20, 50, 100, 200):
        found += [f"close {sign} {name}({n})" for name in ("ema", "sma") for sign in "<>"]
        found += [f"close > bb_upper({n}, {k})" for k in (1, 1.5, 2, 2.5)]
        found += [f"close < bb_lower({n}, {k})" for k in (1, 1.5, 2, 2.5)]
    found += [f"adx({n}) {sign} {level}" for n in (14, 28) for level in range(10, 40, 2) for sign in "<>"]
    for n in (20, 60):
        found += [f"volume_ratio({n}) > {level}" for level in (0.5, 0.8, 1, 1.2, 1.5, 2, 3)]
        found += [f"zscore({n}) {sign} {level}" for level in (-2.5, -2, -1.5, -1, 1, 1.5, 2, 2.5) for sign in "<>"]
    found += [
        f"roc({n}) {sign} {level}" for n in (5, 15, 60) for level in (-1, -0.5, -0.2, 0.2, 0.5, 1) for sign in "<>"
    ]
    return found


def random_strategies(count: int, seed: int) -> list[StrategySpec]:
    """Four conditions that must all hold, a stop, a target and a time limit, all drawn."""
    rng, pool = np.random.default_rng(seed), conditions()
    drawn = []
    for _ in range(count):
        rules = RuleParameters(
            entry_long=tuple(str(text) for text in rng.choice(pool, 4, replace=False)),
            risk=RiskParameters(
                position_pct=10.0,
                stop_loss_atr=float(rng.choice([1.0, 1.5, 2.0, 3.0])),
                take_profit_atr=float(rng.choice([1.0, 2.0, 3.0, 4.0])),
                max_hold_bars=int(rng.choice([15, 30, 60, 120])),
            ),
        )
        drawn.append(_spec(rules))
    return drawn


def repeated(specs: Sequence[StrategySpec], count: int) -> list[StrategySpec]:
    """`count` of them, begun again from the first where there are fewer."""
    return [specs[i % len(specs)] for i in range(count)]


def _spec(rules: RuleParameters) -> StrategySpec:
    return new_spec("benchmark", StrategyType.MEAN_REVERSION, MINUTES, rules, Origin(author="benchmark"), 0)
