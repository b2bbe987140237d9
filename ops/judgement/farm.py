"""`./lab farm`: where many strategies at once are evaluated, and whether that place agrees with this one."""

from __future__ import annotations

from collections.abc import Iterator

from ops.environment import find_home
from ops.judgement.worker import CORES, cluster_of
from ops.settings import read_settings
from trading.domain.clock import Clock
from trading.market.synthetic import Plan, synthetic_market
from trading.market.tape import Tape
from trading.simulator.compiled import compile_population
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.executors.farm import Farm
from trading.simulator.executors.parts import Executor, Terms, Threads
from trading.simulator.executors.processes import Processes
from trading.simulator.executors.settings import FarmSettings
from trading.simulator.population import PopulationResult
from trading.strategy.spec import (
    Origin,
    RiskParameters,
    RuleParameters,
    SpecMarket,
    StrategySpec,
    StrategyType,
    new_spec,
)

CHECK_BARS, CHECK_START_MS = 43_800, 1_577_836_800_000
"""Five years of hours, from 2020 on."""
TERMS = Terms(Costs(), MarketRules(tick=0.01, lot=0.00001, min_notional=5.0), keep_trades=True)


def executor_from(farm: FarmSettings) -> Executor:
    """Where populations are evaluated: on the farm if one is named, else in processes if any, else in threads.

    Raises:
        SettingsError: an address or a certificate that is none.
        FarmError: no scheduler answers.
    """
    if farm.cluster is not None:
        return Farm(cluster_of(farm, farm.cluster), patience_s=farm.patience_s)
    return Processes(farm.processes) if farm.processes else Threads(CORES)


def run_farm(count: int) -> int:
    """Evaluate strategies where `lab.yaml` says and in this process, and compare the bytes.

    Returns:
        0: they are the same; 1: they are not.

    Raises:
        TradingEngineError: see `executor_from` and `Executor.evaluate`.
    """
    settings = read_settings(find_home().settings_file).farm
    tape = synthetic_market(Plan("BTCUSDT", "1h", CHECK_START_MS, CHECK_BARS, seed=1)).perp
    specs = list(check_population(count))
    compile_population()
    with executor_from(settings) as executor:
        there, there_s = _timed(executor, tape, specs)
        if isinstance(executor, Farm):
            for line in executor.refused.values():
                print(line)
            print(f"farm: {len(executor.tapes_arrived())} workers at {executor.cluster.address}")
    here, here_s = _timed(Threads(CORES), tape, specs)
    place = settings.cluster or (f"{settings.processes} processes" if settings.processes else "threads")
    trades = sum(len(rows) for rows in here.trades)
    print(f"farm: {count} strategies, {len(tape)} synthetic hours, {trades} trades")
    print(f"farm: {there_s:.2f} s by {place}, {here_s:.2f} s by {CORES} threads here")
    pairs = zip((there.scores, *there.trades), (here.scores, *here.trades), strict=True)
    is_same = all(a.tobytes() == b.tobytes() for a, b in pairs)
    print(f"farm: results are {'the same to the bit' if is_same else 'NOT THE SAME: do not use this farm'}")
    return 0 if is_same else 1


def check_population(count: int) -> Iterator[StrategySpec]:
    """EMA crosses with stop and target, all different."""
    market = SpecMarket(exchange="binance", symbol="BTC/USDT:USDT", timeframe="1h")
    for number in range(count):
        fast, slow = 2 + number % 30, 40 + number % 41
        rules = RuleParameters(
            entry_long=(f"ema({fast}) crosses_above ema({slow})", f"rsi({3 + number % 19}) > 40"),
            exit_long=(f"ema({fast}) crosses_below ema({slow})",),
            risk=RiskParameters(position_pct=50.0, stop_loss_atr=2.0, take_profit_atr=3.0, max_hold_bars=None),
        )
        yield new_spec("farm check", StrategyType.MOMENTUM, market, rules, Origin(author="farm check"), CHECK_START_MS)


def _timed(executor: Executor, tape: Tape, specs: list[StrategySpec]) -> tuple[PopulationResult, float]:
    clock = Clock()
    began_s = clock.real_s()
    return executor.evaluate(tape, specs, TERMS), clock.real_s() - began_s
