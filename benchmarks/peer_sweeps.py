"""How fast the peers sweep EMA crosses: `python -m benchmarks.peers --speed`; each in a process of its own.

Every pair has a stop, a target, fees, slippage and four metrics, on bars that are in memory. A warm-up over a short
stretch compiles what compiles; only what comes after is timed. A strategy-bar is one bar of one strategy.
"""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trading.domain.instrument import Market
from trading.market.importers import import_recorded
from trading.market.tape import Tape
from trading.simulator.simulate import signals
from trading.strategy.spec import RiskParameters, RuleParameters

Pairs = Sequence[tuple[int, int]]
"""(fast, slow) spans of two exponential averages."""
Line = NDArray[np.float64]

FEE_RATE, HALF_SPREAD_RATE = 0.001, 0.0001
POSITION_FRACTION = 0.5
STOP_ATR, TARGET_ATR = 2.0, 3.0
START_QUOTE = 10_000.0
CELLS = 14_000_000
"""Bars times strategies in one of vectorbt's chunks: a sweep stays under 3 GB."""
WARM_BARS = 2_000
YEAR_MS = (1_704_067_200_000, 1_735_689_600_000)


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep took and found."""

    engine: str
    pairs: int
    bars: int
    seconds: float
    strategy_bars_per_s: float
    peak_mb: float
    """Of the whole process, its libraries included, 1e6 bytes."""
    sharpe: list[float]
    """(pairs,) annualised."""
    max_drawdown: list[float]
    """(pairs,) positive fractions."""
    win_rate: list[float]
    """(pairs,) fractions."""
    profit_factor: list[float]
    """(pairs,) net wins over net losses."""


def vectorbt_sweep(tape: Tape, pairs: Pairs) -> Sweep:
    """Every pair by `Portfolio.from_signals`, many columns at once, in chunks of `CELLS`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import vectorbt as vbt

        _vectorbt_chunk(vbt, first_bars(tape, WARM_BARS), pairs[:2])
        started_s = time.perf_counter()
        width = max(1, CELLS // len(tape))
        parts = [_vectorbt_chunk(vbt, tape, pairs[i : i + width]) for i in range(0, len(pairs), width)]
        return _sweep("vectorbt", tape, pairs, started_s, np.hstack(parts))


def backtesting_sweep(tape: Tape, pairs: Pairs) -> Sweep:
    """Every pair by a run of its own, as backtesting does it; give it few."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _backtesting_run(first_bars(tape, WARM_BARS), pairs[0])
        started_s = time.perf_counter()
        found = np.array([_backtesting_run(tape, pair) for pair in pairs]).T
        return _sweep("backtesting", tape, pairs, started_s, found)


def first_bars(tape: Tape, count: int) -> Tape:
    """The tape's beginning, for a warm-up."""
    cut = {name: getattr(tape, name)[:count] for name in ("open_time_ms", "open", "high", "low", "close")}
    return replace(tape, **cut, volume_base=tape.volume_base[:count])


def atr_of(tape: Tape) -> Line:
    """ATR(14) of the decision bar, on the bar that fills."""
    rules = RuleParameters(entry_long=("close > 0",), risk=RiskParameters(position_pct=1.0, max_hold_bars=1))
    return _next_bar(signals(tape, rules).atr)


def _vectorbt_chunk(vbt: Any, tape: Tape, pairs: Pairs) -> Line:
    """(4, pairs) metrics of one chunk; vectorbt drops the axis of a lone column, so a lone pair is done twice."""
    if len(pairs) == 1:
        return _vectorbt_chunk(vbt, tape, [*pairs, *pairs])[:, :1]
    fast, slow = (
        vbt.MA.run(tape.close, [pair[i] for pair in pairs], ewm=True, short_name=name)
        for i, name in enumerate(("fast", "slow"))
    )
    above = np.asarray(fast.ma.to_numpy() > slow.ma.to_numpy())
    before = np.vstack((above[:1], above[:-1]))
    ready = (np.arange(len(tape)) >= max(slow for _, slow in pairs))[:, None]
    buy, leave = _next_bar(above & ~before & ready), _next_bar(~above & before & ready)
    atr = atr_of(tape) / tape.open
    portfolio = vbt.Portfolio.from_signals(
        tape.close[:, None], entries=buy, exits=leave, price=tape.open[:, None], val_price=tape.open[:, None],
        open=tape.open[:, None], high=tape.high[:, None], low=tape.low[:, None], size=POSITION_FRACTION,
        size_type="percent", init_cash=START_QUOTE, fees=FEE_RATE, slippage=HALF_SPREAD_RATE,
        sl_stop=(STOP_ATR * atr)[:, None], tp_stop=(TARGET_ATR * atr)[:, None], stop_entry_price="fillprice",
        stop_exit_price="stopmarket", freq=tape.interval,
    )  # fmt: skip
    returns = portfolio.returns().vbt.returns(freq=tape.interval, year_freq="365 days")
    found = [returns.sharpe_ratio(), -returns.max_drawdown()]
    trades = portfolio.exit_trades.closed
    found += [trades.win_rate(), trades.profit_factor()]
    metrics = np.vstack([np.asarray(column, dtype=float) for column in found])
    del portfolio, returns, trades
    gc.collect()  # a portfolio and its caches hold one another; the next chunk must not find them still there
    return metrics


def _backtesting_run(tape: Tape, pair: tuple[int, int]) -> list[float]:
    """Four metrics of one pair."""
    import pandas as pd
    from backtesting import Strategy
    from backtesting.lib import FractionalBacktest

    close = pd.Series(tape.close)
    fast, slow = (close.ewm(span=span, adjust=False).mean().to_numpy() for span in pair)
    above = fast > slow
    before = np.r_[above[:1], above[:-1]]
    ready = np.arange(len(tape)) >= pair[1]
    buy, leave = _next_bar(above & ~before & ready), _next_bar(~above & before & ready)
    atr, unit = atr_of(tape), 2.0**-26

    class Cross(Strategy):
        def init(self) -> None:
            """Nothing to prepare: the signals are there."""

        def next(self) -> None:
            at = len(self.data)
            if at >= len(buy):
                return
            if buy[at] and not self.position:
                fill = tape.open[at] * (1.0 + HALF_SPREAD_RATE)
                levels = {"sl": (fill - STOP_ATR * atr[at]) * unit, "tp": (fill + TARGET_ATR * atr[at]) * unit}
                self.buy(size=POSITION_FRACTION, **levels)
            elif self.position and leave[at]:
                self.position.close()

    columns = {"Open": tape.open, "High": tape.high, "Low": tape.low, "Close": tape.close, "Volume": tape.volume_base}
    frame = pd.DataFrame(columns, index=pd.to_datetime(tape.open_time_ms, unit="ms"))
    bench = FractionalBacktest(frame, Cross, fractional_unit=unit, cash=START_QUOTE, commission=FEE_RATE,
                               spread=HALF_SPREAD_RATE)  # fmt: skip
    found = bench.run()
    percent = ("Max. Drawdown [%]", "Win Rate [%]")
    drawdown, won = (float(found[name]) / 100.0 for name in percent)
    return [float(found["Sharpe Ratio"]), -drawdown, won, float(found["Profit Factor"])]


def _next_bar(column: NDArray[Any]) -> NDArray[Any]:
    moved = np.zeros_like(column)
    moved[1:] = column[:-1]
    if moved.dtype.kind == "f":
        moved[0] = np.nan
    return moved


def _sweep(engine: str, tape: Tape, pairs: Pairs, started_s: float, found: Line) -> Sweep:
    seconds = time.perf_counter() - started_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    lists = (found[i].tolist() for i in range(4))
    return Sweep(engine, len(pairs), len(tape), seconds, len(pairs) * len(tape) / seconds, peak_mb, *lists)


def pairs_of(count: int) -> list[tuple[int, int]]:
    """The first pairs of a grid of spans, fast below slow."""
    grid = [(fast, slow) for fast in range(4, 64, 2) for slow in range(fast + 8, 256, 8)]
    return grid[:: max(1, len(grid) // count)][:count]


RUNS = {"vectorbt": (vectorbt_sweep, 100), "backtesting": (backtesting_sweep, 3)}
"""By engine: the sweep, and how many pairs it is given."""


def speeds(folder: Path) -> dict[str, object]:
    """Both sweeps over the recorded minutes of 2024, each in a process of its own so that its peak is its own."""
    found: dict[str, object] = {}
    for engine in RUNS:
        command = [sys.executable, "-m", "benchmarks.peer_sweeps", engine, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        sweep = json.loads(done.stdout.splitlines()[-1])
        found[engine] = {name: value for name, value in sweep.items() if not isinstance(value, list)}
    return found


def main(engine: str, folder: Path) -> None:
    """One sweep; JSON on the last line."""
    sweep, count = RUNS[engine]
    tape = import_recorded(folder, Market.SPOT, "BTCUSDT", "1m", *YEAR_MS)
    print(json.dumps(asdict(sweep(tape, pairs_of(count)))))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
