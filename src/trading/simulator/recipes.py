"""Every indicator of `trading.strategy.indicator_catalogue` as a recipe over the kernels of `indicators.py`.

A recipe is built once with its parameters and then fed chunks of bars, oldest first: a whole tape, or one bar at a
time. What it remembers between chunks lies in a `Memory`, so that it can be written to disk and read back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading.simulator.indicators import (
    smoothed,
    wilder_sum,
    window_channel,
    window_deviation,
    window_highest,
    window_log_change,
    window_mean,
    window_weighted_mean,
)

Column = NDArray[np.float64]
Feed = Callable[[Column], Column]


class Chunk(NamedTuple):
    """Bars in order, (m,) each, read-only; `funding` is the last settled rate at each close, nan before the first."""

    open_ms: NDArray[np.int64]
    open: Column
    high: Column
    low: Column
    close: Column
    volume: Column
    funding: Column


Recipe = Callable[[Chunk], Column]


class Memory:
    """What recipes remember between chunks, in the order they were built."""

    def __init__(self) -> None:
        self.arrays: list[NDArray[np.float64]] = []

    def new(self, size: int, fill: float) -> NDArray[np.float64]:
        """An array that survives from chunk to chunk."""
        self.arrays.append(np.full(size, fill))
        return self.arrays[-1]


def frozen(array: Column) -> Column:
    """The same array, read-only: kernels see one kind of array, tape columns and computed ones alike."""
    array.flags.writeable = False
    return array


def lagged(memory: Memory, bars: int) -> Feed:
    """The value `bars` bars ago; nan before there is one."""
    tail = memory.new(bars, np.nan)

    def feed(x: Column) -> Column:
        whole = np.concatenate((tail, x))
        tail[:] = whole[len(whole) - bars :]
        return frozen(whole[: len(x)])

    return feed


def _windowed(memory: Memory, n: int, kernel: Callable[[Column, int], Column]) -> Feed:
    tail = memory.new(n - 1, np.nan)

    def feed(x: Column) -> Column:
        whole = frozen(np.concatenate((tail, x)))
        tail[:] = whole[len(whole) - (n - 1) :]
        return frozen(kernel(whole, n))

    return feed


def _mean(memory: Memory, n: int) -> Feed:
    return _windowed(memory, n, window_mean)


def _deviation(memory: Memory, n: int, ddof: int) -> Feed:
    return _windowed(memory, n, lambda x, n: window_deviation(x, n, ddof))


def _highest(memory: Memory, n: int) -> Feed:
    return _windowed(memory, n, window_highest)


def _lowest(memory: Memory, n: int) -> Feed:
    highest = _windowed(memory, n, window_highest)
    return lambda x: frozen(-highest(frozen(-x)))


def _smooth(memory: Memory, n: int, weight: float) -> Feed:
    state = memory.new(2, 0.0)
    return lambda x: frozen(smoothed(x, n, weight, state))


def _ema(memory: Memory, n: int) -> Feed:
    return _smooth(memory, n, 2.0 / (n + 1))


def _wilder(memory: Memory, n: int) -> Feed:
    return _smooth(memory, n, 1.0 / n)


def _divided(above: Column, below: Column, otherwise: float) -> Column:
    """above / below, `otherwise` where below is 0, nan where either has no value."""
    out = np.where(below == 0.0, otherwise, np.nan)
    np.divide(above, below, out=out, where=below != 0.0)
    return frozen(np.where(np.isnan(above), np.nan, out))


def _typical(bars: Chunk) -> Column:
    return frozen((bars.high + bars.low + bars.close) / 3.0)


def true_range(memory: Memory) -> Recipe:
    """max(high - low, |high - close[1]|, |low - close[1]|), from bar 1 on."""
    before = lagged(memory, 1)

    def recipe(bars: Chunk) -> Column:
        close = before(bars.close)
        return frozen(np.maximum(bars.high - bars.low, np.maximum(np.abs(bars.high - close), np.abs(bars.low - close))))

    return recipe


def atr(memory: Memory, n: int) -> Recipe:
    """Wilder's average true range."""
    ranges, smooth = true_range(memory), _wilder(memory, n)
    return lambda bars: smooth(ranges(bars))


def _sma(memory: Memory, n: int) -> Recipe:
    mean = _mean(memory, n)
    return lambda bars: mean(bars.close)


def _ema_close(memory: Memory, n: int) -> Recipe:
    ema = _ema(memory, n)
    return lambda bars: ema(bars.close)


def _wma(memory: Memory, n: int) -> Recipe:
    mean = _windowed(memory, n, window_weighted_mean)
    return lambda bars: mean(bars.close)


def _rsi(memory: Memory, n: int) -> Recipe:
    before, rises, falls = lagged(memory, 1), _wilder(memory, n), _wilder(memory, n)

    def recipe(bars: Chunk) -> Column:
        change = bars.close - before(bars.close)
        rise, fall = rises(frozen(np.maximum(change, 0.0))), falls(frozen(np.maximum(-change, 0.0)))
        return _divided(100.0 * rise, rise + fall, 50.0)

    return recipe


def _macd(memory: Memory, fast: int, slow: int) -> Recipe:
    quick, long = _ema(memory, fast), _ema(memory, slow)
    return lambda bars: frozen(quick(bars.close) - long(bars.close))


def _macd_signal(memory: Memory, fast: int, slow: int, signal: int) -> Recipe:
    macd, smooth = _macd(memory, fast, slow), _ema(memory, signal)
    return lambda bars: smooth(macd(bars))


def _macd_hist(memory: Memory, fast: int, slow: int, signal: int) -> Recipe:
    macd, smooth = _macd(memory, fast, slow), _ema(memory, signal)

    def recipe(bars: Chunk) -> Column:
        line = macd(bars)
        return frozen(line - smooth(line))

    return recipe


def _directional(memory: Memory, n: int, side: int) -> Recipe:
    """+DI for side +1, -DI for side -1."""
    high_before, low_before, ranges = lagged(memory, 1), lagged(memory, 1), true_range(memory)
    moved_state, range_state = memory.new(2, 0.0), memory.new(2, 0.0)

    def recipe(bars: Chunk) -> Column:
        up, down = bars.high - high_before(bars.high), low_before(bars.low) - bars.low
        mine, other = (up, down) if side > 0 else (down, up)
        moved = np.where((mine > other) & (mine > 0.0), mine, 0.0)
        moved[np.isnan(up)] = np.nan
        total = wilder_sum(ranges(bars), n, range_state)
        return _divided(100.0 * wilder_sum(frozen(moved), n, moved_state), total, 0.0)

    return recipe


def _adx(memory: Memory, n: int) -> Recipe:
    plus, minus, smooth = _directional(memory, n, +1), _directional(memory, n, -1), _wilder(memory, n)

    def recipe(bars: Chunk) -> Column:
        up, down = plus(bars), minus(bars)
        return smooth(_divided(100.0 * np.abs(up - down), up + down, 0.0))

    return recipe


def _bollinger(memory: Memory, n: int, k: float) -> Recipe:
    mean, deviation = _mean(memory, n), _deviation(memory, n, 0)
    return lambda bars: frozen(mean(bars.close) + k * deviation(bars.close))


def _keltner(memory: Memory, n: int, k: float) -> Recipe:
    ema, ranges = _ema(memory, n), atr(memory, n)
    return lambda bars: frozen(ema(bars.close) + k * ranges(bars))


def _donchian_high(memory: Memory, n: int) -> Recipe:
    highest = _highest(memory, n)
    return lambda bars: highest(bars.high)


def _donchian_low(memory: Memory, n: int) -> Recipe:
    lowest = _lowest(memory, n)
    return lambda bars: lowest(bars.low)


def _stoch_k(memory: Memory, n: int, smooth: int) -> Recipe:
    highest, lowest, mean = _highest(memory, n), _lowest(memory, n), _mean(memory, smooth)

    def recipe(bars: Chunk) -> Column:
        top, bottom = highest(bars.high), lowest(bars.low)
        return mean(_divided(100.0 * (bars.close - bottom), top - bottom, 50.0))

    return recipe


def _stoch_d(memory: Memory, n: int, smooth: int, d: int) -> Recipe:
    fast, mean = _stoch_k(memory, n, smooth), _mean(memory, d)
    return lambda bars: mean(fast(bars))


def _cci(memory: Memory, n: int) -> Recipe:
    channel = _windowed(memory, n, window_channel)
    return lambda bars: channel(_typical(bars))


def _mfi(memory: Memory, n: int) -> Recipe:
    before, inflow, outflow = lagged(memory, 1), _mean(memory, n), _mean(memory, n)

    def recipe(bars: Chunk) -> Column:
        price = _typical(bars)
        change = price - before(price)
        flow = np.where(np.isnan(change), np.nan, price * bars.volume)
        up, down = inflow(frozen(flow * (change > 0.0))), outflow(frozen(flow * (change < 0.0)))
        return _divided(100.0 * up, up + down, 50.0)

    return recipe


def _obv(memory: Memory) -> Recipe:
    before, total = lagged(memory, 1), memory.new(1, 0.0)

    def recipe(bars: Chunk) -> Column:
        change = bars.close - before(bars.close)
        signed = np.where(np.isnan(change), bars.volume, np.sign(change) * bars.volume)
        # Accumulated from what was there: np.cumsum is the same left-to-right loop, np.sum would not be.
        running = np.cumsum(np.concatenate((total, signed)))
        total[0] = running[-1]
        return frozen(running[1:])

    return recipe


def _vwap(memory: Memory, n: int) -> Recipe:
    paid, traded = _mean(memory, n), _mean(memory, n)
    return lambda bars: _divided(paid(frozen(_typical(bars) * bars.volume)), traded(bars.volume), np.nan)


def _roc(memory: Memory, n: int) -> Recipe:
    before = lagged(memory, n)
    return lambda bars: frozen(100.0 * (bars.close / before(bars.close) - 1.0))


def _mom(memory: Memory, n: int) -> Recipe:
    before = lagged(memory, n)
    return lambda bars: frozen(bars.close - before(bars.close))


def _volatility(memory: Memory, n: int) -> Recipe:
    change, deviation = _windowed(memory, 2, window_log_change), _deviation(memory, n, 1)
    return lambda bars: deviation(change(bars.close))


def _zscore(memory: Memory, n: int) -> Recipe:
    mean, deviation = _mean(memory, n), _deviation(memory, n, 0)
    return lambda bars: _divided(bars.close - mean(bars.close), deviation(bars.close), 0.0)


def _volume_ratio(memory: Memory, n: int) -> Recipe:
    mean = _mean(memory, n)
    return lambda bars: _divided(bars.volume, mean(bars.volume), np.nan)


def _highest_close(memory: Memory, n: int) -> Recipe:
    highest = _highest(memory, n)
    return lambda bars: highest(bars.close)


def _lowest_close(memory: Memory, n: int) -> Recipe:
    lowest = _lowest(memory, n)
    return lambda bars: lowest(bars.close)


RECIPES: dict[str, Callable[..., Recipe]] = {
    "sma": _sma,
    "ema": _ema_close,
    "wma": _wma,
    "rsi": _rsi,
    "macd": _macd,
    "macd_signal": _macd_signal,
    "macd_hist": _macd_hist,
    "adx": _adx,
    "di_plus": lambda memory, n: _directional(memory, n, +1),
    "di_minus": lambda memory, n: _directional(memory, n, -1),
    "atr": atr,
    "bb_upper": _bollinger,
    "bb_lower": lambda memory, n, k: _bollinger(memory, n, -k),
    "bb_mid": _sma,
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
    "roc": _roc,
    "mom": _mom,
    "volatility": _volatility,
    "zscore": _zscore,
    "volume_ratio": _volume_ratio,
    "highest": _highest_close,
    "lowest": _lowest_close,
}
"""By the catalogue's names; called with a `Memory` and the catalogue's parameters in order."""
