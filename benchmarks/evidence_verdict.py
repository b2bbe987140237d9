"""How long one verdict takes: a rule strategy through the whole gate, neighbours, vault and the writing of all looks.

Three years of hours with a planted edge that no question of the gate refuses (see `ai_brain/calibration`), made of the
recorded perpetual where the recorded data are there, else of a made-up one; the figures say which.
"""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ai_brain.calibration.null_market import null_market
from ai_brain.calibration.planted_edge import drift_on, plant, planted_spec
from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.verdict import Evidence
from ai_brain.learning_db import LearningDb
from ai_brain.strategy_evaluator import evaluate
from trading.domain.clock import Clock, parse_iso
from trading.domain.instrument import Market
from trading.market.importers import import_recorded, tape_of
from trading.market.tape import Tape
from trading.simulator.costs import Costs, MarketRules
from trading.strategy.spec import StrategySpec

DATA = Path(os.environ.get("LAB_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
SYMBOL = "BTCUSDT"
START_MS, END_MS = parse_iso("2021-01-01"), parse_iso("2025-01-01")
RULES = MarketRules(tick=0.1, lot=0.001, min_notional=100.0)
BARS, SEED, SHARPE = 26_280, 1, 3.0
REPEATS = 3


@dataclass(frozen=True, slots=True)
class Timed:
    """One verdict, whole."""

    evidence: Evidence
    looks: int
    """Performances it wrote to the ledger."""
    took_s: float


def verdict_figures(data: Path = DATA) -> dict[str, float | str]:
    """Seconds of the quickest of a few verdicts, and of what.

    Raises:
        SystemExit: the gate refused it before its vault was opened; then nothing whole was timed.
    """
    source = market(data)
    tape = null_market(source, bars=BARS, seed=SEED)
    spec = planted_spec(SYMBOL, tape.start_ms)
    tape = plant(tape, spec, drift=drift_on(tape, spec, sharpe_annual=SHARPE, costs=Costs(), rules=RULES))
    quickest = min((verdict(spec, tape) for _ in range(REPEATS)), key=lambda timed: timed.took_s)
    if quickest.evidence.confirmation is None:
        raise SystemExit(f"verdict_s: refused for {quickest.evidence.deciding} before its vault was opened")
    return {
        "verdict_s": round(quickest.took_s, 3),
        "verdict_looks": quickest.looks,
        "verdict_bars": len(tape),
        "verdict_tape": f"made of {source.origin} {SYMBOL} {source.interval}",
        "verdict_strategy": spec.name,
    }


def verdict(spec: StrategySpec, tape: Tape) -> Timed:
    """One evaluation with a ledger of its own, the only place here that knows how the gate is called."""
    with TemporaryDirectory() as folder, closing(LearningDb(Path(folder) / "ledger.db")) as db:
        bench = Bench.of(db, Clock(), GateSettings())
        began = time.perf_counter()
        evidence = evaluate(spec, Tapes(tape, Conditions(RULES)), bench).evidence
        return Timed(evidence, bench.ledger.looks(), time.perf_counter() - began)


def market(data: Path) -> Tape:
    """Four years of hours, recorded or made up, to make markets of."""
    if data.is_dir():
        return import_recorded(data, Market.PERP, SYMBOL, "1h", start_ms=START_MS, end_ms=END_MS)
    hours = (END_MS - START_MS) // 3_600_000
    chance = np.random.default_rng(1)
    close = 30_000.0 * np.exp(np.cumsum(chance.normal(0.0, 0.006, hours)))
    opens = np.concatenate((close[:1], close[:-1]))
    columns = {
        "open_time": START_MS + 3_600_000 * np.arange(hours),
        "open": opens,
        "high": np.maximum(opens, close) * 1.0005,
        "low": np.minimum(opens, close) * 0.9995,
        "close": close,
        "volume": 1000.0 * np.exp(chance.normal(0.0, 0.8, hours)),
    }
    return tape_of(columns, Market.PERP, SYMBOL, "1h", origin="synthetic")
