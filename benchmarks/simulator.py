"""How fast the simulator is: `python benchmarks/simulator.py [--quick] [--tape DIR]`; JSON on the last line.

One strategy with its rules given as arrays (entries, exits, ATR) over recorded BTCUSDT minutes of 2024, with fees,
slippage, stop and target; without recorded data, over a synthetic walk, and the JSON says so. Compile times are those
of fresh processes with an empty and with a filled numba cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from trading.domain.instrument import Market
from trading.market.importers import import_recorded, tape_of
from trading.market.tape import Tape
from trading.simulator.carry import simulate_carry
from trading.simulator.compile import Program
from trading.simulator.costs import CarryCosts, Costs, MarketRules
from trading.simulator.feed import Feeder
from trading.simulator.kernel import run
from trading.simulator.records import FILL, Columns
from trading.simulator.simulate import kernel_rules, new_state, simulate
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

DATA = Path(os.environ.get("LAB_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
BARS = 525_600
REPEATS = 5
COMPILE = "import time; a = time.perf_counter(); from trading.simulator.compiled import compile_kernels; compile_kernels(); print(time.perf_counter() - a)"  # noqa: E501


def minutes(folder: Path) -> Tape:
    """A year of BTCUSDT spot minutes, recorded where there are any."""
    if (folder / "spot_BTCUSDT_1m_2024.parquet").exists():
        return import_recorded(folder, Market.SPOT, "BTCUSDT", "1m", 1_704_067_200_000, 1_735_689_600_000)
    rng = np.random.default_rng(1)
    close = 40_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.0006, BARS)))
    opens = np.concatenate(([40_000.0], close[:-1]))
    columns = {
        "open_time": 1_704_067_200_000 + 60_000 * np.arange(BARS),
        "open": opens,
        "high": np.maximum(opens, close) * 1.0003,
        "low": np.minimum(opens, close) / 1.0003,
        "close": close,
        "volume": rng.lognormal(3.0, 1.0, BARS),
    }
    return tape_of(columns, Market.SPOT, "BTCUSDT", "1m", origin="synthetic")


def strategy() -> StrategySpec:
    """A dip buyer with stop, target and time limit, about ten thousand trades a year of minutes."""
    return new_spec(
        "benchmark",
        StrategyType.MEAN_REVERSION,
        SpecMarket(exchange="binance", symbol="BTC/USDT", timeframe="1m"),
        RuleParameters(
            entry_long=("rsi(14) < 30", "close < bb_lower(20, 2)"),
            exit_long=("rsi(14) > 55",),
            filters=("adx(14) < 40", "volume_ratio(20) > 0.5"),
            risk=RiskParameters(position_pct=10.0, stop_loss_atr=3.0, take_profit_atr=4.0, max_hold_bars=120),
        ),
        Origin(author="benchmark"),
        0,
    )


def best_s(work: object) -> float:
    """Shortest of a few runs of a callable, seconds."""
    took = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()  # type: ignore[operator]
        took.append(time.perf_counter() - began)
    return min(took)


def rule_figures(tape: Tape) -> dict[str, float | str]:
    """One strategy: the loop alone over given arrays, and from text to full result."""
    spec, costs, rules = strategy(), Costs(), MarketRules(tick=0.01, lot=0.00001, min_notional=5.0)
    columns: Columns = Feeder(Program(spec.parameters, tape.interval)).columns(tape)
    margin = rules.margin()
    numbers, equity, trades = kernel_rules(spec, rules), np.empty(len(tape)), np.empty(len(tape), dtype=FILL)
    loop_s = best_s(lambda: run(new_state(10_000.0), columns, numbers, costs.rates(), margin, equity, trades))
    whole_s = best_s(lambda: simulate(tape, spec, costs=costs, rules=rules))
    return {
        "market": tape.origin,
        "bars": len(tape),
        "trades": len(simulate(tape, spec, costs=costs, rules=rules).trades),
        "single_mbars_s": round(len(tape) / loop_s / 1e6, 1),
        "text_to_result_ms": round(whole_s * 1e3, 1),
    }


def carry_figures(folder: Path) -> dict[str, float]:
    """A carry over all recorded hours."""
    spot, perp = (import_recorded(folder, market, "BTCUSDT", "1h") for market in (Market.SPOT, Market.PERP))
    parameters = CarryParameters(
        entry_apr_pct=10.0,
        exit_apr_pct=2.0,
        max_basis_bps=50.0,
        rebalance_delta_pct=2.0,
        min_hold_fundings=9,
        capital_pct=90.0,
    )
    market = SpecMarket(exchange="binance", symbol="BTC/USDT:USDT", timeframe="1h")
    spec = new_spec("benchmark", StrategyType.FUNDING_CARRY, market, parameters, Origin(author="benchmark"), 0)
    took_s = best_s(lambda: simulate_carry(spot, perp, spec, costs=CarryCosts()))
    return {"carry_ms": round(took_s * 1e3, 1), "carry_mbars_s": round(len(perp) / took_s / 1e6, 1)}


def compile_figures() -> dict[str, float]:
    """Import and compile every kernel in a fresh process, with an empty cache and with the one it left."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        took = [
            float(
                subprocess.run([sys.executable, "-c", COMPILE], env=environment, check=True, capture_output=True).stdout
            )
            for _ in range(2)
        ]
    return {"compile_cold_s": round(took[0], 2), "compile_warm_s": round(took[1], 2)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the single strategy and the compile times only")
    parser.add_argument("--tape", type=Path, default=DATA, help="folder of recorded data")
    arguments = parser.parse_args()
    figures = rule_figures(minutes(arguments.tape)) | compile_figures()
    if not arguments.quick and (arguments.tape / "perp_BTCUSDT_1h.parquet").exists():
        figures |= carry_figures(arguments.tape)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
