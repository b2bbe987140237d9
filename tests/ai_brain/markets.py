"""Made-up markets with known answers, and specs to try on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trading.domain.instrument import Market
from trading.market.tape import Funding, Tape, make_tape
from trading.strategy.parameters import CarryParameters, RiskParameters, RuleParameters
from trading.strategy.spec import Origin, SpecMarket, StrategySpec, StrategyType, new_spec

HOUR_MS = 3_600_000
START_MS = 1_700_006_400_000
"""2023-11-15T00:00Z, a full day and a settlement."""


def tape_of(close: NDArray[np.float64], *, market: Market = Market.PERP, funding: Funding | None = None) -> Tape:
    """Hourly bars that open at the close before, with a small shadow on both sides."""
    opens = np.concatenate((close[:1], close[:-1]))
    return make_tape(
        Tape(
            market,
            "BTCUSDT",
            "1h",
            "synthetic",
            START_MS + np.arange(len(close)) * HOUR_MS,
            opens,
            np.maximum(opens, close) * 1.0005,
            np.minimum(opens, close) * 0.9995,
            close,
            np.full(len(close), 1000.0),
            funding or Funding.none(),
            (),
            "",
        )
    )


def noise(bars: int, seed: int, *, sigma: float = 0.006) -> Tape:
    """A market with nothing to find."""
    steps = np.random.default_rng(seed).normal(0.0, sigma, bars)
    return tape_of(30_000.0 * np.exp(np.cumsum(steps)))


def planted(bars: int, seed: int, *, edge: float, sigma: float = 0.006) -> Tape:
    """Noise in which every fall of more than two sigma is followed by a rise of `edge` over the next two bars."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, sigma, bars)
    for t in np.flatnonzero(steps < -2 * sigma):
        steps[t + 1 : t + 3] += edge / 2
    return tape_of(30_000.0 * np.exp(np.cumsum(steps)))


def funded_pair(bars: int, seed: int, *, rate: float, rate_noise: float = 0.00002) -> tuple[Tape, Tape]:
    """Spot and perpetual with a small wandering basis; funding every 8 h at about `rate`."""
    rng = np.random.default_rng(seed)
    spot = 30_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.004, bars)))
    basis = np.zeros(bars)
    for t in range(1, bars):
        basis[t] = 0.9 * basis[t - 1] + rng.normal(0.0, 0.00005)
    perp = spot * (1.0 + basis)
    hours = np.arange(8, bars, 8)
    funding = Funding(
        START_MS + hours * HOUR_MS, rate + rng.normal(0.0, rate_noise, len(hours)), perp[hours - 1].copy()
    )
    return tape_of(spot, market=Market.SPOT), tape_of(perp, funding=funding)


def rule_spec(
    entry: str = "roc(1) < -1.2",
    *,
    exits: tuple[str, ...] = (),
    filters: tuple[str, ...] = (),
    position_pct: float = 100.0,
    max_hold_bars: int | None = 2,
    stop_loss_atr: float | None = None,
    name: str = "Buy the washout",
) -> StrategySpec:
    """A long-only rule strategy on the perpetual of `tape_of`."""
    risk = RiskParameters(
        position_pct=position_pct, leverage=1, stop_loss_atr=stop_loss_atr, max_hold_bars=max_hold_bars
    )
    return new_spec(
        name,
        StrategyType.MEAN_REVERSION,
        SpecMarket(exchange="binance", symbol="BTC/USDT:USDT", timeframe="1h"),
        RuleParameters(entry_long=(entry,), exit_long=exits, filters=filters, risk=risk),
        Origin(author="test", thesis="Falls overshoot"),
        START_MS,
    )


def carry_spec(*, entry_apr_pct: float = 5.0, min_hold_fundings: int = 21) -> StrategySpec:
    """A funding carry on the pair of `funded_pair`."""
    return new_spec(
        "Collect funding",
        StrategyType.FUNDING_CARRY,
        SpecMarket(exchange="binance", symbol="BTC/USDT:USDT", timeframe="1h"),
        CarryParameters(
            entry_apr_pct=entry_apr_pct,
            exit_apr_pct=0.0,
            max_basis_bps=50.0,
            leverage=1,
            rebalance_delta_pct=5.0,
            min_hold_fundings=min_hold_fundings,
            capital_pct=90.0,
        ),
        Origin(author="test", thesis="Longs pay for leverage"),
        START_MS,
    )
