"""Every indicator of `trading.strategy.indicator_catalogue` as a recipe over `indicators.py` and `windows.py`.

A recipe is built once with its parameters and then fed chunks of bars, oldest first: a whole tape, or one bar at a
time. What it remembers between chunks lies in a `Memory`, so that it can be written to disk and read back.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trading.simulator.basis_recipes import basis_mean, basis_zscore
from trading.simulator.chunk import Chunk, Column, Feed, Memory, Recipe, frozen
from trading.simulator.funding_recipes import funding_apr, funding_mean
from trading.simulator.indicators import (
    HISTOGRAM,
    LINE,
    SIGNAL,
    average_range,
    banded,
    convergence,
    directional,
    directional_index,
    log_change,
    place_in_range,
    ratio,
    relative_strength,
    smoothed,
    typical,
    worth,
)
from trading.simulator.volume_indicators import money_flow, on_balance, session_average
from trading.simulator.window_feeds import (
    against,
    band,
    deviation,
    highest,
    lowest,
    mean,
    scanned,
    score,
    share,
    weighted_mean,
)
from trading.simulator.windows import window_change, window_channel, window_growth, window_rank


def _of_close(feed: Callable[..., Feed]) -> Callable[..., Recipe]:
    """The recipe that feeds the close."""

    def build(memory: Memory, *arguments: float) -> Recipe:
        close = feed(memory, *arguments)
        return lambda bars: close(bars.close)

    return build


def _smooth(memory: Memory, n: int, weight: float) -> Feed:
    state = memory.new(2, 0.0)

    def feed(x: Column) -> Column:
        out = np.empty(len(x))
        smoothed(x, n, weight, state, out)
        return frozen(out)

    return feed


def _ema(memory: Memory, n: int) -> Feed:
    return _smooth(memory, n, 2.0 / (n + 1))


def _rsi(memory: Memory, n: int) -> Recipe:
    state = memory.new(4, 0.0)

    def recipe(bars: Chunk) -> Column:
        out = np.empty(len(bars.close))
        relative_strength(bars.close, n, state, out)
        return frozen(out)

    return recipe


def _macd(memory: Memory, fast: int, slow: int, signal: int, what: int) -> Recipe:
    """The line, its signal or their difference: `LINE`, `SIGNAL`, `HISTOGRAM`."""
    state = memory.new(4, 0.0)

    def recipe(bars: Chunk) -> Column:
        out = np.empty(len(bars.close))
        convergence(bars.close, fast, slow, signal, what, state, out)
        return frozen(out)

    return recipe


def _directional(memory: Memory, n: int, side: int) -> Recipe:
    """+DI for side +1, -DI for side -1."""
    state = memory.new(6, 0.0)

    def recipe(bars: Chunk) -> Column:
        out = np.empty(len(bars.close))
        directional(bars.high, bars.low, bars.close, n, side, state, out)
        return frozen(out)

    return recipe


def _adx(memory: Memory, n: int) -> Recipe:
    state, smooth = memory.new(6, 0.0), _smooth(memory, n, 1.0 / n)

    def recipe(bars: Chunk) -> Column:
        out = np.empty(len(bars.close))
        directional_index(bars.high, bars.low, bars.close, n, state, out)
        return smooth(frozen(out))

    return recipe


def _atr(memory: Memory, n: int) -> Recipe:
    state = memory.new(3, 0.0)

    def recipe(bars: Chunk) -> Column:
        out = np.empty(len(bars.close))
        average_range(bars.high, bars.low, bars.close, n, state, out)
        return frozen(out)

    return recipe


def _keltner(memory: Memory, n: int, k: float) -> Recipe:
    ema, ranges = _ema(memory, n), _atr(memory, n)

    def recipe(bars: Chunk) -> Column:
        out = np.empty(len(bars.close))
        banded(ema(bars.close), ranges(bars), k, out)
        return frozen(out)

    return recipe


def _donchian_high(memory: Memory, n: int) -> Recipe:
    top = highest(memory, n)
    return lambda bars: top(bars.high)


def _donchian_low(memory: Memory, n: int) -> Recipe:
    bottom = lowest(memory, n)
    return lambda bars: bottom(bars.low)


def _stoch_k(memory: Memory, n: int, smooth: int) -> Recipe:
    top, bottom, average = highest(memory, n), lowest(memory, n), mean(memory, smooth)

    def recipe(bars: Chunk) -> Column:
        out = np.empty(len(bars.close))
        place_in_range(bars.close, top(bars.high), bottom(bars.low), out)
        return average(frozen(out))

    return recipe


def _stoch_d(memory: Memory, n: int, smooth: int, d: int) -> Recipe:
    fast, average = _stoch_k(memory, n, smooth), mean(memory, d)
    return lambda bars: average(fast(bars))


def _cci(memory: Memory, n: int) -> Recipe:
    channel = scanned(memory, n, window_channel)

    def recipe(bars: Chunk) -> Column:
        out = np.empty(len(bars.close))
        typical(bars.high, bars.low, bars.close, out)
        return channel(frozen(out))

    return recipe


def _mfi(memory: Memory, n: int) -> Recipe:
    state, shared = memory.new(1, 0.0), share(memory, n, 0.5)

    def recipe(bars: Chunk) -> Column:
        rising, moving = np.empty(len(bars.close)), np.empty(len(bars.close))
        money_flow(bars.high, bars.low, bars.close, bars.volume, state, rising, moving)
        return frozen(100.0 * shared(frozen(rising), frozen(moving)))

    return recipe


def _obv(memory: Memory) -> Recipe:
    state = memory.new(2, 0.0)

    def recipe(bars: Chunk) -> Column:
        out = np.empty(len(bars.close))
        on_balance(bars.close, bars.volume, state, out)
        return frozen(out)

    return recipe


def _vwap(memory: Memory, n: int) -> Recipe:
    shared = share(memory, n, np.nan)

    def recipe(bars: Chunk) -> Column:
        out = np.empty(len(bars.close))
        worth(bars.high, bars.low, bars.close, bars.volume, out)
        return shared(frozen(out), bars.volume)

    return recipe


def _vwap_session(memory: Memory) -> Recipe:
    state = memory.new(4, 0.0)

    def recipe(bars: Chunk) -> Column:
        out = np.empty(len(bars.close))
        session_average(bars.open_ms, bars.high, bars.low, bars.close, bars.volume, state, out)
        return frozen(out)

    return recipe


def _volatility(memory: Memory, n: int) -> Recipe:
    state, spread = memory.new(1, 0.0), deviation(memory, n)

    def recipe(bars: Chunk) -> Column:
        out = np.empty(len(bars.close))
        log_change(bars.close, state, out)
        return spread(frozen(out))

    return recipe


def _volume_ratio(memory: Memory, n: int) -> Recipe:
    average = mean(memory, n)

    def recipe(bars: Chunk) -> Column:
        out = np.empty(len(bars.close))
        ratio(bars.volume, average(bars.volume), out)
        return frozen(out)

    return recipe


RECIPES: dict[str, Callable[..., Recipe]] = {
    "sma": _of_close(mean),
    "ema": _of_close(_ema),
    "wma": _of_close(weighted_mean),
    "rsi": _rsi,
    "macd": lambda memory, fast, slow: _macd(memory, fast, slow, 1, LINE),
    "macd_signal": lambda memory, fast, slow, signal: _macd(memory, fast, slow, signal, SIGNAL),
    "macd_hist": lambda memory, fast, slow, signal: _macd(memory, fast, slow, signal, HISTOGRAM),
    "adx": _adx,
    "di_plus": lambda memory, n: _directional(memory, n, +1),
    "di_minus": lambda memory, n: _directional(memory, n, -1),
    "atr": _atr,
    "bb_upper": _of_close(band),
    "bb_lower": _of_close(lambda memory, n, k: band(memory, n, -k)),
    "bb_mid": _of_close(mean),
    "kc_upper": _keltner,
    "kc_lower": lambda memory, n, k: _keltner(memory, n, -k),
    "donchian_high": _donchian_high,
    "donchian_low": _donchian_low,
    "stoch_k": _stoch_k,
    "stoch_d": _stoch_d,
    "cci": _cci,
    "mfi": _mfi,
    "obv": _obv,
    "vwap": _vwap,
    "vwap_session": _vwap_session,
    "roc": _of_close(lambda memory, n: against(memory, n, window_growth)),
    "mom": _of_close(lambda memory, n: against(memory, n, window_change)),
    "volatility": _volatility,
    "zscore": _of_close(score),
    "volume_ratio": _volume_ratio,
    "highest": _of_close(highest),
    "lowest": _of_close(lowest),
    "rank": _of_close(lambda memory, n: scanned(memory, n, window_rank)),
    "funding_mean": funding_mean,
    "funding_apr": funding_apr,
    "basis_mean": basis_mean,
    "basis_zscore": basis_zscore,
}
"""By the catalogue's names; called with a `Memory` and the catalogue's parameters in order."""
