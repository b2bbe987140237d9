"""The parts of `simulator.py`, each in a process of its own: `python -m benchmarks.simulator_parts PART DIR`.

A strategy-bar is one bar of one strategy. Times are of the wall, from specs to scores: rules parsed, columns computed,
strategies worked off, metrics made; kernels are compiled before.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.strategies import dip_buyer, ema_cross, ema_pairs, random_strategies, repeated
from trading.domain.instrument import Market
from trading.market.importers import import_recorded, tape_of
from trading.market.store import TapeStore
from trading.market.tape import Tape
from trading.simulator.bits import BARS_A_WORD
from trading.simulator.carry import simulate_carry
from trading.simulator.compile import Program
from trading.simulator.compiled import compile_kernels, compile_population
from trading.simulator.costs import CarryCosts, Costs, MarketRules
from trading.simulator.feed import Feeder
from trading.simulator.kernel import run
from trading.simulator.population import Population, simulate_population
from trading.simulator.records import FILL
from trading.simulator.simulate import kernel_rules, new_state, simulate
from trading.strategy.spec import CarryParameters, Origin, SpecMarket, StrategySpec, StrategyType, new_spec

BARS = 525_600
YEAR_MS = (1_704_067_200_000, 1_735_689_600_000)
COSTS, RULES = Costs(), MarketRules(tick=0.01, lot=0.00001, min_notional=5.0)
THREADS = os.cpu_count() or 1
DRAWN = 2_400
"""Random strategies from which the sparse and the dense ones are taken."""
SPARSE, DENSE = (1, 1_000), (10_000, 12_000)
"""Trades a year of minutes. Beyond some 25,000 the wallet is eaten up by fees, and refused orders would be timed."""
GROWTH_BARS, GROWTH_STRATEGIES = (65_700, 131_400, 262_800, BARS), (500, 1_000, 2_000, 4_000)
CONDITIONS, LIMIT_TILE = 400, 8_192
"""Of the limit: as many conditions as random strategies share, on tiles that fit a core's cache."""


def minutes(folder: Path) -> Tape:
    """A year of BTCUSDT spot minutes, recorded where there are any."""
    if (folder / "spot_BTCUSDT_1m_2024.parquet").exists():
        tape = import_recorded(folder, Market.SPOT, "BTCUSDT", "1m", *YEAR_MS)
        return first_bars(tape, BARS)
    rng = np.random.default_rng(1)
    close = 40_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.0006, BARS)))
    opens = np.concatenate(([40_000.0], close[:-1]))
    columns = {
        "open_time": YEAR_MS[0] + 60_000 * np.arange(BARS),
        "open": opens,
        "high": np.maximum(opens, close) * 1.0003,
        "low": np.minimum(opens, close) / 1.0003,
        "close": close,
        "volume": rng.lognormal(3.0, 1.0, BARS),
    }
    return tape_of(columns, Market.SPOT, "BTCUSDT", "1m", origin="synthetic")


def first_bars(tape: Tape, count: int) -> Tape:
    """The first bars of a tape."""
    return tape.window(tape.start_ms, int(tape.open_time_ms[count - 1]) + tape.interval_ms)


def best_s(work: Callable[[], object], repeats: int = 5) -> float:
    """Shortest of a few runs, seconds."""
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return min(took)


def evaluated_s(tape: Tape, specs: Sequence[StrategySpec], repeats: int = 3) -> float:
    """From specs to scores, whole machine."""
    return best_s(lambda: simulate_population(tape, specs, costs=COSTS, rules=RULES, threads=THREADS), repeats)


def chosen(tape: Tape, trades: tuple[int, int]) -> list[StrategySpec]:
    """Random strategies with so many trades on the tape."""
    drawn = random_strategies(DRAWN, seed=11)
    done = simulate_population(tape, drawn, costs=COSTS, rules=RULES, threads=THREADS).scores["trades"]
    return [spec for spec, count in zip(drawn, done, strict=True) if trades[0] <= count <= trades[1]]


def peak_rss_mb() -> float:
    """Of this process so far, 1e6 bytes."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)


def single(folder: Path) -> dict[str, float | str]:
    """One strategy: the loop alone over given arrays, and from text to full result."""
    tape, spec = minutes(folder), dip_buyer()
    columns = Feeder(Program(spec.parameters, tape.interval)).columns(tape)  # type: ignore[arg-type]  # rules
    numbers, equity, trades = kernel_rules(spec, RULES), np.empty(len(tape)), np.empty(len(tape), dtype=FILL)
    state = new_state(10_000.0)
    loop_s = best_s(lambda: run(state.copy(), columns, numbers, COSTS.rates(), RULES.margin(), equity, trades))
    result = simulate(tape, spec, costs=COSTS, rules=RULES)
    whole_s = best_s(lambda: simulate(tape, spec, costs=COSTS, rules=RULES))
    return {
        "market": tape.origin,
        "bars": len(tape),
        "trades": len(result.trades),
        "single_mbars_s": round(len(tape) / loop_s / 1e6, 1),
        "text_to_result_ms": round(whole_s * 1e3, 1),
    }


def load(folder: Path) -> dict[str, float]:
    """A year of minutes from the lab's own shelf."""
    tape = minutes(folder)
    with TemporaryDirectory() as shelf:
        store = TapeStore(Path(shelf))
        store.save(tape)
        return {"load_ms": round(best_s(lambda: store.load(Market.SPOT, tape.symbol, "1m")) * 1e3, 1)}


def sparse(folder: Path) -> dict[str, float]:
    """Ten thousand random strategies of few trades."""
    tape = minutes(folder)
    specs = repeated(chosen(tape, SPARSE), 10_000)
    took_s = evaluated_s(tape, specs)
    return {
        "sparse_gbars_s": round(len(specs) * len(tape) / took_s / 1e9, 3),
        "sparse_s": round(took_s, 2),
        "peak_rss_mb": peak_rss_mb(),
    }


def dense(folder: Path) -> dict[str, float]:
    """Random strategies of many trades."""
    tape = minutes(folder)
    specs = repeated(chosen(tape, DENSE), 1_000)
    took_s = evaluated_s(tape, specs)
    return {"dense_gbars_s": round(len(specs) * len(tape) / took_s / 1e9, 3), "dense_s": round(took_s, 2)}


def sweep(folder: Path) -> dict[str, float]:
    """A thousand EMA crosses, as the peers sweep them."""
    tape = minutes(folder)
    specs = [ema_cross(*pair) for pair in ema_pairs(1_000)]
    took_s = evaluated_s(tape, specs)
    return {"sweep_mbars_s": round(len(specs) * len(tape) / took_s / 1e6, 1), "sweep_s": round(took_s, 2)}


def step(folder: Path) -> dict[str, float]:
    """A thousand strategies fed bar by bar, as paper trading does."""
    tape, specs, warm, fed = minutes(folder), random_strategies(1_000, seed=5), 3_000, 60
    population = Population(specs, costs=COSTS, rules=RULES)
    population.advance(first_bars(tape, warm))
    since_ms = int(tape.open_time_ms[warm - 2])
    ahead = [tape.window(since_ms, int(tape.open_time_ms[warm + i]) + 60_000) for i in range(fed)]
    began = time.perf_counter()
    for seen in ahead:
        population.advance(seen)
    return {"step_us": round((time.perf_counter() - began) / fed / len(specs) * 1e6, 3)}


def carry(folder: Path) -> dict[str, float]:
    """A carry over all recorded hours; nothing where none are recorded."""
    if not (folder / "perp_BTCUSDT_1h.parquet").exists():
        return {}
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


def growth(folder: Path) -> dict[str, object]:
    """How cost grows: the slope of log seconds against log size, its points, and the limit's."""
    tape, specs = minutes(folder), random_strategies(4_000, seed=3)
    by_bars = [(count, evaluated_s(first_bars(tape, count), specs[:1_000], 2)) for count in GROWTH_BARS]
    by_count = [(count, evaluated_s(tape, specs[:count], 2)) for count in GROWTH_STRATEGIES]
    limits_bars = [(count, limit_s(count, 1_000)) for count in GROWTH_BARS]
    limits_count = [(count, limit_s(BARS, count)) for count in GROWTH_STRATEGIES]
    return {
        "bars_exponent": round(slope(by_bars), 3),
        "strategies_exponent": round(slope(by_count), 3),
        "limit_gbars_s": round(BARS * GROWTH_STRATEGIES[-1] / limits_count[-1][1] / 1e9, 2),
        "seconds_by_bars": rounded(by_bars),
        "seconds_by_strategies": rounded(by_count),
        "limit_by_bars": rounded(limits_bars),
        "limit_by_strategies": rounded(limits_count),
    }


def limit_s(bars: int, strategies: int) -> float:
    """The least work there is: four packed conditions of every strategy read and ANDed once, on every core, seconds."""
    rng = np.random.default_rng(7)
    words = rng.integers(0, 2**63, (CONDITIONS, LIMIT_TILE // BARS_A_WORD)).astype(np.uint64)
    picks = rng.integers(0, CONDITIONS, (strategies, 4))
    tiles = max(1, round(bars / LIMIT_TILE))
    edges = np.linspace(0, strategies, THREADS + 1).astype(int)
    and_four(words, picks[:1], 1)
    with ThreadPoolExecutor(THREADS) as pool:
        return best_s(lambda: [*pool.map(lambda a, b: and_four(words, picks[a:b], tiles), edges[:-1], edges[1:])], 3)


@njit(nogil=True)
def and_four(words: NDArray[np.uint64], picks: NDArray[np.int64], tiles: int) -> int:
    """How many words have a bar on which all four hold."""
    found = 0
    for _ in range(tiles):
        for k in range(len(picks)):
            a, b, c, d = words[picks[k, 0]], words[picks[k, 1]], words[picks[k, 2]], words[picks[k, 3]]
            for w in range(words.shape[1]):
                found += np.int64((a[w] & b[w] & c[w] & d[w]) != 0)
    return found


def rounded(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Seconds to a tenth of a millisecond."""
    return [(size, round(seconds, 4)) for size, seconds in points]


def slope(points: Sequence[tuple[int, float]]) -> float:
    """Of a line through the logarithms."""
    sizes, seconds = np.log(np.array(points, dtype=float)).T
    return float(np.polyfit(sizes, seconds, 1)[0])


PARTS = {
    "single": single,
    "load": load,
    "sparse": sparse,
    "dense": dense,
    "sweep": sweep,
    "step": step,
    "carry": carry,
    "growth": growth,
}


if __name__ == "__main__":
    compile_kernels()
    compile_population()
    print(json.dumps(PARTS[sys.argv[1]](Path(sys.argv[2]))))
