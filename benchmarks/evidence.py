"""How fast the evidence gate's own computations are: `python -m benchmarks.evidence [FIGURE ...]`; JSON last.

A figure is a function below that takes nothing and returns its number, the unit in its name; without names all are
measured. Inputs are synthetic and seeded, so that no figure needs recorded data.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ai_brain.evidence.backtest_overfitting import backtest_overfitting
from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.graveyard import Graveyard
from ai_brain.evidence.rehearse import Conditions
from ai_brain.evidence.superior_predictive_ability import superior_predictive_ability
from ai_brain.evidence.trial_ledger import TrialLedger
from ai_brain.learning_db import LearningDb
from ai_brain.strategy_evaluator import evaluate
from trading.domain.clock import Clock
from trading.domain.instrument import Market
from trading.market.importers import tape_of
from trading.simulator.costs import MarketRules
from trading.strategy.parameters import RiskParameters, RuleParameters
from trading.strategy.spec import Origin, SpecMarket, StrategyType, new_spec

STRATEGIES = 1000
ROWS = 3000
"""Two years of 6 h bars, or eight of days."""
REPEATS = 3
HOURS, START_MS = 17_520, 1_672_531_200_000
"""Two years from 2023 on."""


def best_s(call: Callable[[], object]) -> float:
    """Seconds of the quickest of a few calls."""
    took = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return min(took)


def cscv_1000x16_s() -> float:
    """Probability of backtest overfitting of 1,000 strategies over 3,000 rows in 16 blocks: 12,870 splits."""
    returns = np.random.default_rng(1).standard_normal((ROWS, STRATEGIES)) * 0.01
    return best_s(lambda: backtest_overfitting(returns, blocks=16))


def spa_1000x2000_s() -> float:
    """Superior predictive ability of 1,000 strategies over 3,000 rows with 2,000 resamples, block length included."""
    differences = np.random.default_rng(1).standard_normal((ROWS, STRATEGIES)) * 0.01
    return best_s(lambda: superior_predictive_ability(differences, seed=1, draws=2000))


def verdict_s() -> float:
    """One rule strategy before the whole gate: two years of hours, all four stretches, its neighbours, the ledger."""
    random = np.random.default_rng(1)
    close = 30_000.0 * np.exp(np.cumsum(random.normal(0.0002, 0.006, HOURS)))
    opens = np.concatenate((close[:1], close[:-1]))
    columns = {
        "open_time": START_MS + 3_600_000 * np.arange(HOURS),
        "open": opens,
        "high": np.maximum(opens, close) * 1.0005,
        "low": np.minimum(opens, close) * 0.9995,
        "close": close,
        "volume": np.full(HOURS, 1000.0),
    }
    tapes = Tapes(tape_of(columns, Market.PERP, "BTCUSDT", "1h", origin="synthetic"), Conditions(MarketRules()))
    rules = RuleParameters(
        entry_long=("ema(50) > ema(200)", "rsi(14) < 55"),
        exit_long=("ema(50) < ema(200)",),
        risk=RiskParameters(position_pct=50.0, stop_loss_atr=4.0, take_profit_atr=6.0, max_hold_bars=72),
    )
    market = SpecMarket(exchange="binance", symbol="BTC/USDT:USDT", timeframe="1h")
    spec = new_spec("benchmark", StrategyType.MOMENTUM, market, rules, Origin(author="benchmark"), START_MS)

    def judged() -> None:
        with TemporaryDirectory() as folder, closing(LearningDb(Path(folder) / "ledger.db")) as db:
            clock = Clock()
            evidence = evaluate(
                spec, tapes, Bench(TrialLedger(db, clock), Graveyard(db, clock), clock, GateSettings())
            ).evidence
            if evidence.neighbours is None:
                raise SystemExit(f"verdict_s: refused by {evidence.deciding} before it came to the neighbours")

    return best_s(judged)


FIGURES: tuple[Callable[[], float], ...] = (cscv_1000x16_s, spa_1000x2000_s, verdict_s)


def main() -> None:
    """Measure what is asked for, and print one JSON object as the last line."""
    known = {figure.__name__: figure for figure in FIGURES}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figure", nargs="*", help=f"of {', '.join(known)}; default: all")
    wanted = parser.parse_args().figure or list(known)
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"{unknown[0]} is no figure; give some of {', '.join(known)}")
    print(json.dumps({name: round(known[name](), 3) for name in wanted}))


if __name__ == "__main__":
    main()
