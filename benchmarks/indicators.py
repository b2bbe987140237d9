"""How fast the indicators are: `python -m benchmarks.indicators [--tape DIR]`; one JSON line.

Each indicator with its defaults over 525,600 recorded BTCUSDT minutes of 2024, one thread, the best of a few runs,
beside TA-Lib (a development tool) where TA-Lib has the same one; without recorded data over a synthetic walk, and the
line says so. `one_bar_us` is one bar fed through the recipe, as a live cycle does.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from math import inf
from pathlib import Path

import numpy as np
import talib
from numpy.typing import NDArray

from benchmarks.simulator import DATA
from benchmarks.simulator_parts import minutes
from trading.market.tape import Funding
from trading.simulator.chunk import Chunk, Memory, frozen
from trading.simulator.compiled import compile_kernels
from trading.simulator.recipes import RECIPES
from trading.simulator.settlements import settled_at
from trading.strategy.indicator_catalogue import INDICATORS, complete_arguments

BARS = 525_600
REPEATS = 12
ONE_BAR_FEEDS = 2_000

Same = Callable[[Chunk], object]


def talib_twins() -> dict[str, Same]:
    """TA-Lib's call for each indicator it has, with the catalogue's defaults."""
    return {
        "sma": lambda b: talib.SMA(b.close, 20),
        "ema": lambda b: talib.EMA(b.close, 20),
        "wma": lambda b: talib.WMA(b.close, 20),
        "rsi": lambda b: talib.RSI(b.close, 14),
        "macd": lambda b: talib.MACD(b.close, 12, 26, 9),
        "macd_signal": lambda b: talib.MACD(b.close, 12, 26, 9),
        "macd_hist": lambda b: talib.MACD(b.close, 12, 26, 9),
        "adx": lambda b: talib.ADX(b.high, b.low, b.close, 14),
        "di_plus": lambda b: talib.PLUS_DI(b.high, b.low, b.close, 14),
        "di_minus": lambda b: talib.MINUS_DI(b.high, b.low, b.close, 14),
        "atr": lambda b: talib.ATR(b.high, b.low, b.close, 14),
        "bb_upper": lambda b: talib.BBANDS(b.close, 20, 2, 2),
        "bb_lower": lambda b: talib.BBANDS(b.close, 20, 2, 2),
        "bb_mid": lambda b: talib.SMA(b.close, 20),
        "donchian_high": lambda b: talib.MAX(b.high, 20),
        "donchian_low": lambda b: talib.MIN(b.low, 20),
        "stoch_k": lambda b: talib.STOCH(b.high, b.low, b.close, 14, 3, 0, 3, 0),
        "stoch_d": lambda b: talib.STOCH(b.high, b.low, b.close, 14, 3, 0, 3, 0),
        "cci": lambda b: talib.CCI(b.high, b.low, b.close, 20),
        "mfi": lambda b: talib.MFI(b.high, b.low, b.close, b.volume, 14),
        "obv": lambda b: talib.OBV(b.close, b.volume),
        "roc": lambda b: talib.ROC(b.close, 12),
        "mom": lambda b: talib.MOM(b.close, 10),
        "highest": lambda b: talib.MAX(b.close, 20),
        "lowest": lambda b: talib.MIN(b.close, 20),
    }


def bars_of(folder: Path) -> Chunk:
    """The first 525,600 minutes, with a settlement every 8 h at a rate of 0.0001."""
    tape = minutes(folder)
    columns = (tape.open, tape.high, tape.low, tape.close, tape.volume_base)
    closes = tape.open_time_ms[:BARS] + tape.interval_ms
    funding = settlements_every_8_h(closes)
    return Chunk(
        tape.open_time_ms[:BARS],
        *(frozen(np.ascontiguousarray(column[:BARS])) for column in columns),
        frozen(np.zeros(len(closes))),
        frozen(np.full(len(closes), 5e-4)),
        settled_at(funding, closes, since_ms=0),
    )


def settlements_every_8_h(closes: NDArray[np.int64]) -> Funding:
    """Made up: only their number matters here."""
    times = np.arange(closes[0] // 28_800_000 * 28_800_000, closes[-1], 28_800_000, dtype=np.int64)
    return Funding(times, np.full(len(times), 1e-4), np.full(len(times), np.nan))


def one(bars: Chunk, i: int) -> Chunk:
    """Bar i alone, nothing settled."""
    nothing = bars.settled._replace(
        time_ms=bars.settled.time_ms[:0], rate=bars.settled.rate[:0], known=np.zeros(1, dtype=np.int64)
    )
    return Chunk(*(column[i : i + 1] for column in bars[:-1]), nothing)


def seconds(*calls: Callable[[], object]) -> list[float]:
    """The best of a few runs of each, in turn: other work on the machine meets all of them."""
    best = [inf] * len(calls)
    for _ in range(REPEATS):
        for i, call in enumerate(calls):
            begun = time.perf_counter()
            call()
            best[i] = min(best[i], time.perf_counter() - begun)
    return best


def measured(name: str, bars: Chunk, singles: list[Chunk], twin: Same | None) -> dict[str, float | None]:
    """Nanoseconds a bar of ours and TA-Lib's, their ratio, and microseconds of a one-bar feed."""
    arguments = complete_arguments(name, ())
    recipe = RECIPES[name](Memory(), *arguments)
    ours, live, *theirs = seconds(
        lambda: RECIPES[name](Memory(), *arguments)(bars),
        lambda: [recipe(bar) for bar in singles],
        *([lambda: twin(bars)] if twin else []),
    )
    scale = 1e9 / len(bars.close)
    return {
        "ns_per_bar": round(ours * scale, 2),
        "talib_ns_per_bar": round(theirs[0] * scale, 2) if theirs else None,
        "ratio": round(ours / theirs[0], 2) if theirs else None,
        "one_bar_us": round(live / len(singles) * 1e6, 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tape", type=Path, default=DATA)
    folder = parser.parse_args().tape
    compile_kernels()
    bars, twins = bars_of(folder), talib_twins()
    singles = [one(bars, i) for i in range(ONE_BAR_FEEDS)]
    with np.errstate(all="ignore"):
        found = {name: measured(name, bars, singles, twins.get(name)) for name in INDICATORS}
    compared = {name: row["ratio"] for name, row in found.items() if row["ratio"] is not None}
    worst = max(compared, key=lambda name: compared[name])
    is_recorded = (folder / "spot_BTCUSDT_1m_2024.parquet").exists()
    print(
        json.dumps(
            {
                "bars": len(bars.close),
                "data": "spot_BTCUSDT_1m_2024" if is_recorded else "synthetic walk",
                "worst_ratio": compared[worst],
                "worst": worst,
                "slowest_one_bar_us": max(row["one_bar_us"] for row in found.values()),
                "indicators": found,
            }
        )
    )


if __name__ == "__main__":
    main()
