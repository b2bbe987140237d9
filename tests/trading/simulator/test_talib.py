"""Indicators against TA-Lib, a second opinion written by strangers, wherever TA-Lib has the same one.

What TA-Lib calls differently is put right here, in the call, and told in docs/rule-language.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import talib

from tests.conftest import DATA
from tests.trading.simulator.markets import random_tape
from trading.domain.instrument import Market
from trading.market.importers import import_recorded
from trading.market.tape import Tape
from trading.simulator.chunk import Chunk, Memory, frozen
from trading.simulator.recipes import RECIPES

HOURS = DATA / "spot_BTCUSDT_1h.parquet"
YEAR_2024_MS = (1_704_067_200_000, 1_735_689_600_000)

Values = np.ndarray
Twin = Callable[..., Values]


def macd_line(b: Chunk, fast: int, slow: int) -> Values:
    """TA-Lib's MACD seeds the fast average late, with the bars right before the slow one's first value."""
    return talib.EMA(b.close, fast) - talib.EMA(b.close, slow)


def macd_signal(b: Chunk, fast: int, slow: int, signal: int) -> Values:
    return talib.EMA(macd_line(b, fast, slow), signal)


def keltner(b: Chunk, n: int, k: float) -> Values:
    return talib.EMA(b.close, n) + k * talib.ATR(b.high, b.low, b.close, n)


def log_deviation(b: Chunk, n: int) -> Values:
    """TA-Lib's divisor is n."""
    changes = np.concatenate(([np.nan], np.diff(np.log(b.close))))
    return talib.STDDEV(changes, n) * np.sqrt(n / (n - 1))


def score(b: Chunk, n: int) -> Values:
    return (b.close - talib.SMA(b.close, n)) / talib.STDDEV(b.close, n)


def stochastic(b: Chunk, n: int, smooth: int, d: int = 1) -> tuple[Values, Values]:
    return talib.STOCH(b.high, b.low, b.close, n, smooth, 0, d, 0)


def typical_mean(b: Chunk, n: int) -> Values:
    worth = talib.TYPPRICE(b.high, b.low, b.close) * b.volume
    return talib.SUM(worth, n) / talib.SUM(b.volume, n)


TWINS: dict[str, tuple[Twin, tuple[float, ...]]] = {
    "sma": (lambda b, n: talib.SMA(b.close, n), (20,)),
    "ema": (lambda b, n: talib.EMA(b.close, n), (20,)),
    "wma": (lambda b, n: talib.WMA(b.close, n), (20,)),
    "rsi": (lambda b, n: talib.RSI(b.close, n), (14,)),
    "macd": (macd_line, (12, 26)),
    "macd_signal": (macd_signal, (12, 26, 9)),
    "macd_hist": (lambda b, *n: macd_line(b, *n[:2]) - macd_signal(b, *n), (12, 26, 9)),
    "adx": (lambda b, n: talib.ADX(b.high, b.low, b.close, n), (14,)),
    "di_plus": (lambda b, n: talib.PLUS_DI(b.high, b.low, b.close, n), (14,)),
    "di_minus": (lambda b, n: talib.MINUS_DI(b.high, b.low, b.close, n), (14,)),
    "atr": (lambda b, n: talib.ATR(b.high, b.low, b.close, n), (14,)),
    "bb_upper": (lambda b, n, k: talib.BBANDS(b.close, n, k, k)[0], (20, 2.0)),
    "bb_lower": (lambda b, n, k: talib.BBANDS(b.close, n, k, k)[2], (20, 2.0)),
    "bb_mid": (lambda b, n: talib.BBANDS(b.close, n, 2.0, 2.0)[1], (20,)),
    "kc_upper": (keltner, (20, 2.0)),
    "kc_lower": (lambda b, n, k: keltner(b, n, -k), (20, 2.0)),
    "donchian_high": (lambda b, n: talib.MAX(b.high, n), (20,)),
    "donchian_low": (lambda b, n: talib.MIN(b.low, n), (20,)),
    "stoch_k": (lambda b, n, smooth: stochastic(b, n, smooth)[0], (14, 3)),
    "stoch_d": (lambda b, n, smooth, d: stochastic(b, n, smooth, d)[1], (14, 3, 3)),
    "cci": (lambda b, n: talib.CCI(b.high, b.low, b.close, n), (20,)),
    "mfi": (lambda b, n: talib.MFI(b.high, b.low, b.close, b.volume, n), (14,)),
    "obv": (lambda b: talib.OBV(b.close, b.volume), ()),
    "vwap": (typical_mean, (24,)),
    "roc": (lambda b, n: talib.ROC(b.close, n), (12,)),
    "mom": (lambda b, n: talib.MOM(b.close, n), (10,)),
    "volatility": (log_deviation, (20,)),
    "zscore": (score, (20,)),
    "volume_ratio": (lambda b, n: b.volume / talib.SMA(b.volume, n), (20,)),
    "highest": (lambda b, n: talib.MAX(b.close, n), (20,)),
    "lowest": (lambda b, n: talib.MIN(b.close, n), (20,)),
}
NOT_IN_TALIB = {"vwap_session", "rank", "funding_mean", "funding_apr", "basis_mean", "basis_zscore"}


def bars_of(tape: Tape) -> Chunk:
    columns = (tape.open_time_ms, tape.open, tape.high, tape.low, tape.close, tape.volume_base)
    return Chunk(*columns, frozen(np.zeros(len(tape))), frozen(np.full(len(tape), np.nan)))


def assert_same(name: str, bars: Chunk) -> None:
    twin, arguments = TWINS[name]
    with np.errstate(all="ignore"):
        found, expected = RECIPES[name](Memory(), *arguments)(bars), twin(bars, *arguments)
    assert (np.isnan(found) == np.isnan(expected)).all()
    # Differences of prices are as precise as the prices: 1e-9 of the largest of them, or of the value itself.
    scale = np.nanmax(np.abs(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * scale)


def test_every_indicator_is_compared_or_known_to_be_missing_in_talib() -> None:
    assert set(TWINS) | NOT_IN_TALIB == set(RECIPES)


@pytest.mark.skipif(not HOURS.exists(), reason="no recorded spot_BTCUSDT_1h.parquet beside the project")
@pytest.mark.parametrize("name", sorted(TWINS))
def test_on_recorded_hours_it_says_what_talib_says(name: str) -> None:
    assert_same(name, bars_of(import_recorded(DATA, Market.SPOT, "BTCUSDT", "1h", *YEAR_2024_MS)))


@pytest.mark.parametrize("name", sorted(TWINS))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_on_random_tapes_it_says_what_talib_says(name: str, seed: int) -> None:
    """On a fine tick: of two typical prices that differ by rounding only, mfi's, each library has its own opinion."""
    assert_same(name, bars_of(random_tape(seed, 600, wild=False, tick=1e-6)))


@pytest.mark.parametrize("name", sorted(TWINS))
@pytest.mark.parametrize("seed", [4, 5])
def test_with_spikes_gaps_and_flat_bars_it_says_what_talib_says(name: str, seed: int) -> None:
    assert_same(name, bars_of(random_tape(seed, 600, tick=1e-6)))


def test_macd_comes_to_the_same_once_its_seed_is_forgotten() -> None:
    bars = bars_of(random_tape(6, 900, wild=False))
    for place, name in enumerate(("macd", "macd_signal", "macd_hist")):
        found = RECIPES[name](Memory(), *TWINS[name][1])(bars)
        np.testing.assert_allclose(found[-100:], talib.MACD(bars.close, 12, 26, 9)[place][-100:], rtol=0, atol=1e-9)


def test_where_talib_says_0_for_a_market_that_stands_still_the_lab_says_what_is_documented() -> None:
    flat = frozen(np.full(60, 100.0))
    bars = Chunk(frozen(np.arange(60)), flat, flat, flat, flat, flat, flat, flat)
    for name, lab in {"rsi": 50.0, "stoch_k": 50.0, "mfi": 50.0, "zscore": 0.0, "cci": 0.0, "adx": 0.0}.items():
        assert RECIPES[name](Memory(), *TWINS[name][1])(bars)[-1] == lab
    assert talib.RSI(flat, 14)[-1] == talib.MFI(flat, flat, flat, flat, 14)[-1] == 0.0
