"""Markets and strategies for the simulator's tests: random ones with everything that goes wrong, and hand-made."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from hypothesis import strategies as st

from trading.domain.instrument import Market
from trading.market.tape import Funding, Tape, make_tape
from trading.strategy.spec import (
    CarryParameters,
    Origin,
    RiskParameters,
    RuleParameters,
    SpecMarket,
    StrategySpec,
    StrategyType,
    new_spec,
)

HOUR_MS = 3_600_000
START_MS = 1_700_006_400_000
"""A full hour and a multiple of 8 h."""


def tape_of(
    rows: list[tuple[float, float, float, float]],
    *,
    market: Market = Market.PERP,
    volume: float = 1e6,
    funding: list[tuple[int, float, float]] | None = None,
    times: list[int] | None = None,
) -> Tape:
    """Hourly bars from (open, high, low, close); funding from (time, rate, mark)."""
    columns = np.array(rows, dtype=float).T
    flows = funding or []
    return make_tape(
        Tape(
            market,
            "BTCUSDT",
            "1h",
            "synthetic",
            np.array(times) if times else START_MS + HOUR_MS * np.arange(len(rows)),
            *columns,
            np.full(len(rows), volume),
            Funding(*(np.array([flow[i] for flow in flows], dtype=(np.int64, float, float)[i]) for i in range(3))),
            (),
            "",
        )
    )


def random_tape(seed: int, bars: int, *, market: Market = Market.PERP, wild: bool = True, tick: float = 0.01) -> Tape:
    """A random walk; wild: with gaps, spikes, flat and traded-out stretches, and a settlement interval that changes.
    Beside a perpetual lies a spot market with holes of its own.
    """
    tape = _random_walk(seed, bars, market, wild=wild, tick=tick)
    return with_spot_closes(tape, seed) if market is Market.PERP else tape


def with_spot_closes(tape: Tape, seed: int) -> Tape:
    """Spot closes around the perpetual's, some of them the same, some unknown."""
    rng = np.random.default_rng((seed, 1))
    basis = np.where(rng.random(len(tape)) < 0.1, 0.0, rng.normal(0.0, 0.002, len(tape)))
    closes = np.where(rng.random(len(tape)) < 0.1, np.nan, tape.close / (1.0 + basis))
    return make_tape(replace(tape, spot_close=closes))


def _random_walk(seed: int, bars: int, market: Market, *, wild: bool, tick: float) -> Tape:
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, 0.01, bars)
    if wild:
        steps[rng.random(bars) < 0.03] *= 12.0
        steps[rng.random(bars) < 0.15] = 0.0
    close = 100.0 * np.exp(np.cumsum(np.clip(steps, -0.4, 0.4)))
    opens = np.concatenate(([100.0], close[:-1])) * np.exp(rng.normal(0.0, 0.002, bars) * wild)
    stretch = np.exp(np.abs(rng.normal(0.0, 0.006, bars)))
    flat = wild & (rng.random(bars) < 0.05)
    high, low = (
        np.maximum(opens, close) * np.where(flat, 1, stretch),
        np.minimum(opens, close) / np.where(flat, 1, stretch),
    )
    prices = [np.maximum(np.round(x / tick), 1.0) * tick for x in (opens, high, low, close)]
    volume = rng.lognormal(8.0, 1.0, bars)
    skipped = np.ones(bars, dtype=np.int64)
    if wild:
        volume[rng.random(bars) < 0.05] = 0.0
        skipped[rng.random(bars) < 0.05] = rng.integers(2, 30)
    times = START_MS + HOUR_MS * (np.cumsum(skipped) - 1)
    return make_tape(
        Tape(
            market,
            "BTCUSDT",
            "1h",
            "synthetic",
            times,
            *prices,
            volume,
            random_funding(rng, times) if market is Market.PERP else Funding.none(),
            (),
            "",
        )
    )


def random_funding(rng: np.random.Generator, times: np.ndarray) -> Funding:
    """Settlements every 8, 4 or 1 h, some between the hours, with jitter and holes in the marks."""
    end, at, stamps = int(times[-1]) + HOUR_MS, START_MS, []
    while at < end:
        stamps.append(at + int(rng.integers(0, 3)) * 1000)
        at += HOUR_MS * int(rng.choice([8, 4, 1])) + (HOUR_MS // 2 if rng.random() < 0.1 else 0)
    marks = np.where(rng.random(len(stamps)) < 0.5, np.nan, rng.uniform(80.0, 120.0, len(stamps)))
    return Funding(np.array(stamps), rng.normal(0.0002, 0.002, len(stamps)), marks)


def bars_of(tape: Tape) -> SimpleNamespace:
    """A tape as lists, for the twins."""
    return SimpleNamespace(
        time=tape.open_time_ms.tolist(),
        open=tape.open.tolist(),
        high=tape.high.tolist(),
        low=tape.low.tolist(),
        close=tape.close.tolist(),
        volume=tape.volume_base.tolist(),
        interval=tape.interval_ms,
        spot=[None if np.isnan(close) else float(close) for close in tape.spot_close],
        settlements=list(zip(tape.funding.time_ms.tolist(), tape.funding.rate.tolist(), strict=True)),
    )


def rule_spec(
    *, market: Market = Market.PERP, lists: dict[str, tuple[str, ...]] | None = None, **risk: float | None
) -> StrategySpec:
    """A rule strategy on BTCUSDT hours; without lists it buys when the close rises and leaves when it falls."""
    rules = lists or {"entry_long": ("close > close[1]",), "exit_long": ("close < close[1]",)}
    return new_spec(
        "made for a test",
        StrategyType.MOMENTUM,
        SpecMarket(exchange="binance", symbol="BTC/USDT:USDT" if market is Market.PERP else "BTC/USDT", timeframe="1h"),
        RuleParameters(**rules, risk=RiskParameters(**{"position_pct": 50.0, "max_hold_bars": 500, **risk})),
        Origin(author="test"),
        START_MS,
    )


def carry_spec(**parameters: float) -> StrategySpec:
    """A carry on BTCUSDT hours that likes any funding above 5 % a year."""
    defaults = {
        "entry_apr_pct": 5.0,
        "exit_apr_pct": 1.0,
        "max_basis_bps": 100.0,
        "leverage": 1,
        "rebalance_delta_pct": 2.0,
        "min_hold_fundings": 3,
        "capital_pct": 90.0,
    }
    return new_spec(
        "made for a test",
        StrategyType.FUNDING_CARRY,
        SpecMarket(exchange="binance", symbol="BTC/USDT:USDT", timeframe="1h"),
        CarryParameters(**{**defaults, **parameters}),
        Origin(author="test"),
        START_MS,
    )


RULE_LISTS = [
    {"entry_long": ("close > close[1]",), "entry_short": ("close < close[1]",)},
    {
        "entry_long": ("close crosses_above ema(5)",),
        "exit_long": ("rsi(3) > 70",),
        "filters": ("volume_ratio(5) > 0.5",),
    },
    {
        "entry_long": ("low < donchian_low(3)[1]",),
        "entry_short": ("high > donchian_high(3)[1]",),
        "exit_long": ("close > sma(4)",),
        "exit_short": ("close < sma(4)",),
    },
    {
        "entry_long": ("macd_hist(3, 6, 3) crosses_above 0", "funding > -0.001"),
        "entry_short": ("funding > 0.001", "zscore(6) > 0.5"),
        "exit_long": ("stoch_k(4, 2) > 80",),
        "exit_short": ("bb_upper(5, 1) * 0.99 > close",),
    },
    {
        "entry_long": ("close crosses_above ema(3) @ 4h", "(close - open) @ 2h > -1"),
        "entry_short": ("close < (low[1] @ 4h)[2]",),
        "exit_long": ("rsi(2) @ 2h > 70",),
        "exit_short": ("funding @ 8h > -1", "volume @ 2h > volume"),
    },
    {
        "entry_long": ("close > vwap_session()", "rank(5) > 0.5"),
        "entry_short": ("funding_mean(3) > 0.0002", "close < wma(7)"),
        "exit_long": ("funding_apr() < 0",),
        "exit_short": ("mom(5) > volatility(5) * close",),
    },
    {
        "entry_long": ("close > open", "basis_zscore(5) > -0.5"),
        "entry_short": ("basis < 0", "basis[1] @ 2h > -0.01"),
        "exit_long": ("basis_mean(3) > 0", "close > open"),
        "exit_short": ("basis crosses_below basis_mean(4)",),
    },
]
"""Lists that trade often on random walks."""


def distances() -> st.SearchStrategy[float | None]:
    """Stop, target or trail: off, tight or far, in ATR."""
    return st.sampled_from([None, 0.3, 1.0, 2.5, 8.0])


@st.composite
def rule_specs(draw: st.DrawFn) -> StrategySpec:
    """Rule strategies of every kind of protection."""
    return rule_spec(
        lists=draw(st.sampled_from(RULE_LISTS)),
        position_pct=draw(st.sampled_from([0.05, 5.0, 50.0, 100.0])),
        leverage=draw(st.integers(1, 3)),
        stop_loss_atr=draw(distances()),
        take_profit_atr=draw(distances()),
        trailing_atr=draw(distances()),
        max_hold_bars=draw(st.sampled_from([1, 3, 20])),
    )
