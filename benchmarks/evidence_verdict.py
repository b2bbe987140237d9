"""How long one verdict takes: a rule strategy before the whole gate, with its neighbours and the writing of all looks.

Two years of hours of the recorded perpetual where the recorded data are there, else of a made-up one; the figures say
which. The strategy is the first of the library that the gate does not refuse before it comes to the neighbours.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.rehearse import Conditions
from ai_brain.evidence.verdict import Evidence
from ai_brain.learning_db import LearningDb
from ai_brain.research_library import library_specs
from ai_brain.strategy_evaluator import evaluate
from trading.domain.clock import Clock, parse_iso
from trading.domain.instrument import Market
from trading.market.importers import import_recorded, tape_of
from trading.market.tape import Tape
from trading.simulator.costs import MarketRules
from trading.strategy.spec import RuleParameters, StrategySpec

DATA = Path(os.environ.get("LAB_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
SYMBOL = "BTCUSDT"
START_MS, END_MS = parse_iso("2023-01-01"), parse_iso("2025-01-01")
RULES = MarketRules(tick=0.1, lot=0.001, min_notional=100.0)
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
        SystemExit: the gate refuses all that the library has before it comes to the neighbours.
    """
    tape = market(data)
    spec = whole_way(library_specs(SYMBOL, START_MS), tape)
    quickest = min((verdict(spec, tape) for _ in range(REPEATS)), key=lambda timed: timed.took_s)
    return {
        "verdict_s": round(quickest.took_s, 3),
        "verdict_looks": quickest.looks,
        "verdict_bars": len(tape),
        "verdict_tape": f"{tape.origin} {SYMBOL} {tape.interval}",
        "verdict_strategy": spec.name,
    }


def whole_way(specs: Iterable[StrategySpec], tape: Tape) -> StrategySpec:
    """The first rule strategy that is judged as far as to its neighbours; compiles the kernels on the way."""
    for spec in specs:
        if isinstance(spec.parameters, RuleParameters) and verdict(spec, tape).evidence.neighbours is not None:
            return spec
    raise SystemExit(f"verdict_s: the gate refuses the whole library early on {tape.origin} {SYMBOL}; give another")


def verdict(spec: StrategySpec, tape: Tape) -> Timed:
    """One evaluation with a ledger of its own, the only place here that knows how the gate is called."""
    with TemporaryDirectory() as folder, closing(LearningDb(Path(folder) / "ledger.db")) as db:
        bench = Bench.of(db, Clock(), GateSettings())
        began = time.perf_counter()
        evidence = evaluate(spec, Tapes(tape, Conditions(RULES)), bench).evidence
        return Timed(evidence, bench.ledger.looks(), time.perf_counter() - began)


def market(data: Path) -> Tape:
    """Two years of hours: recorded, or with a drift that momentum lives on."""
    if data.is_dir():
        return import_recorded(data, Market.PERP, SYMBOL, "1h", start_ms=START_MS, end_ms=END_MS)
    hours = (END_MS - START_MS) // 3_600_000
    close = 30_000.0 * np.exp(np.cumsum(np.random.default_rng(1).normal(0.0002, 0.006, hours)))
    opens = np.concatenate((close[:1], close[:-1]))
    columns = {
        "open_time": START_MS + 3_600_000 * np.arange(hours),
        "open": opens,
        "high": np.maximum(opens, close) * 1.0005,
        "low": np.minimum(opens, close) * 0.9995,
        "close": close,
        "volume": np.full(hours, 1000.0),
    }
    return tape_of(columns, Market.PERP, SYMBOL, "1h", origin="synthetic")
