"""A made-up market for where no recorded one can be had. Origin `synthetic`: said on every screen and in every file.

Volatility has regimes and clusters as real markets do (a GARCH-like recursion around a slowly switching level), tails
are fat, returns have no drift and no memory: there is nothing to be found in it, as an honest stand-in should have it.
The perpetual trades around spot with a basis that reverts; funding follows the basis with a positive mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS, YEAR_MS
from trading.market.importers import CANDLE, SETTLEMENT
from trading.market.parquet import write_parquet
from trading.market.tape import Funding, Tape, make_tape

FUNDING_MS = 8 * 3_600_000
STEPS = 12
"""Prices drawn inside a bar for its high and low."""
_CALM, _WILD = 0.35, 1.05  # volatility per sqrt(year) of the two regimes, fractions
_SWITCH_DAYS = (12.0, 4.0)  # mean stay in each
_SHOCK, _MEMORY = 0.08, 0.90  # how much of yesterday's surprise, and of yesterday's variance, stays
_TAIL_DF = 5.0
_BASIS_SD, _BASIS_HALF_LIFE_H = 0.0004, 12.0
_FUNDING_CAP = 0.003


@dataclass(frozen=True, slots=True)
class Plan:
    """What market to make up."""

    symbol: str = "BTCUSDT"
    interval: str = "1h"
    start_ms: int = 1_704_067_200_000
    """Open time of the first bar; on the interval's grid."""
    bars: int = 24 * 90
    seed: int = 7
    price: float = 42_000.0
    """At the start, quote per base."""
    tick: float = 0.1
    """Prices are rounded to it, quote per base."""
    volume_quote_per_day: float = 1.5e9
    funding_mean_rate: float = 0.0001
    """What a settlement pays on average, fraction of notional."""


@dataclass(frozen=True, slots=True)
class SyntheticMarket:
    """Spot and perpetual of one made-up coin."""

    spot: Tape
    perp: Tape


def synthetic_market(plan: Plan) -> SyntheticMarket:
    """Spot and perpetual with funding; the same plan gives the same market to the bit."""
    random = np.random.default_rng(plan.seed)
    span_ms = INTERVAL_MS[plan.interval]
    times = plan.start_ms + span_ms * np.arange(plan.bars, dtype=np.int64)
    sigma = _volatility(random, plan.bars, span_ms)
    scale = math.sqrt((_TAIL_DF - 2.0) / _TAIL_DF / STEPS)
    steps = random.standard_t(_TAIL_DF, size=(plan.bars, STEPS)) * scale * sigma[:, None]
    path = np.concatenate(([0.0], np.cumsum(steps)))
    points = np.lib.stride_tricks.sliding_window_view(path, STEPS + 1)[::STEPS]
    spot_log = points + math.log(plan.price)
    basis = _basis(random, plan.bars, span_ms)
    perp_log = spot_log + np.linspace(basis[:-1], basis[1:], STEPS + 1, axis=1)
    bars_a_day = 86_400_000 / span_ms
    busy = sigma / sigma.mean() * random.lognormal(-0.08, 0.4, plan.bars)
    volume = plan.volume_quote_per_day / bars_a_day * busy
    spot = _tape(plan, Market.SPOT, times, spot_log, volume)
    perp = _tape(plan, Market.PERP, times, perp_log, volume * 4.0)
    return SyntheticMarket(spot, _with_funding(perp, basis, random, mean_rate=plan.funding_mean_rate))


def write_layout(folder: Path, tapes: list[Tape]) -> list[Path]:
    """Write tapes as a folder of recorded files: what the sandbox replays and `import_recorded` reads.

    `spot_SYM_1h.parquet`, `perp_SYM_1h.parquet`, and for a perpetual `funding_SYM.parquet` and, of hours,
    `mark_SYM_1h.parquet` (its own price stands in for the mark).

    Returns:
        The files written.

    Raises:
        StateFileError: a file cannot be written.
    """
    written = []
    for tape in tapes:
        candles = (tape.open_time_ms, tape.open, tape.high, tape.low, tape.close, tape.volume_base)
        path = folder / f"{tape.market}_{tape.symbol}_{tape.interval}.parquet"
        write_parquet(path, dict(zip(CANDLE, candles, strict=True)))
        written.append(path)
        if tape.market is Market.SPOT:
            continue
        if tape.interval == "1h":
            path = folder / f"mark_{tape.symbol}_1h.parquet"
            write_parquet(path, dict(zip(CANDLE[:5], candles[:5], strict=True)))
            written.append(path)
        if len(tape.funding.time_ms):
            path = folder / f"funding_{tape.symbol}.parquet"
            settled = (tape.funding.time_ms, tape.funding.rate, tape.funding.mark_price)
            write_parquet(path, {**dict(zip(SETTLEMENT, settled, strict=True)), "funding_time_raw": settled[0]})
            written.append(path)
    return written


def _volatility(random: np.random.Generator, bars: int, span_ms: int) -> NDArray[np.float64]:
    """Volatility of each bar, fraction: a level that switches, and clusters around it."""
    per_bar = math.sqrt(span_ms / YEAR_MS)
    stay = [math.exp(-span_ms / (days * 86_400_000)) for days in _SWITCH_DAYS]
    wild, ratio = False, 1.0
    found = np.empty(bars)
    surprises, switches = random.standard_normal(bars), random.random(bars)
    for i in range(bars):
        wild = wild if switches[i] < stay[wild] else not wild
        found[i] = (_WILD if wild else _CALM) * per_bar * math.sqrt(ratio)
        ratio = 1.0 - _SHOCK - _MEMORY + (_SHOCK * surprises[i] ** 2 + _MEMORY) * ratio
    return found


def _basis(random: np.random.Generator, bars: int, span_ms: int) -> NDArray[np.float64]:
    """(bars + 1,) perpetual over spot at the bars' edges, fraction; it reverts to a small premium."""
    keep = 0.5 ** (span_ms / (_BASIS_HALF_LIFE_H * 3_600_000))
    noise = random.standard_normal(bars + 1) * _BASIS_SD * math.sqrt(1.0 - keep * keep)
    found = np.empty(bars + 1)
    found[0] = 0.0
    for i in range(1, bars + 1):
        found[i] = keep * found[i - 1] + noise[i]
    return found


def _with_funding(perp: Tape, basis: NDArray[np.float64], random: np.random.Generator, *, mean_rate: float) -> Tape:
    """Settle every 8 h: the mean premium since the last settlement around the usual rate, capped."""
    first = -(-(perp.start_ms + 1) // FUNDING_MS) * FUNDING_MS
    times = np.arange(first, perp.end_ms + 1, FUNDING_MS, dtype=np.int64)
    ends = ((times - perp.start_ms) // perp.interval_ms).astype(np.int64)
    width = max(1, FUNDING_MS // perp.interval_ms)
    premium = np.array([basis[max(0, end - width) : end + 1].mean() for end in ends])
    rates = np.clip(mean_rate + premium + random.normal(0.0, 0.00003, len(times)), -_FUNDING_CAP, _FUNDING_CAP)
    marks = perp.close[np.clip(ends - 1, 0, len(perp) - 1)]
    return make_tape(replace(perp, funding=Funding(times, np.round(rates, 8), marks)))


def _tape(
    plan: Plan,
    market: Market,
    times: NDArray[np.int64],
    log_prices: NDArray[np.float64],
    volume_quote: NDArray[np.float64],
) -> Tape:
    places = max(0, math.ceil(-math.log10(plan.tick)))  # so that 41456.2 is not 41456.200000000004
    prices = np.round(np.maximum(np.round(np.exp(log_prices) / plan.tick), 1.0) * plan.tick, places)
    return make_tape(
        Tape(
            market,
            plan.symbol,
            plan.interval,
            "synthetic",
            times,
            open=prices[:, 0],
            high=prices.max(axis=1),
            low=prices.min(axis=1),
            close=prices[:, -1],
            volume_base=np.round(volume_quote / prices[:, -1], 5),
            funding=Funding.none(),
            gaps=(),
            content_hash="",
        )
    )
