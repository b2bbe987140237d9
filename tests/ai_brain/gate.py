"""The gate for a test, in one place: what every evaluation needs besides a spec and its market, and one judgement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.filing import Judgement
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.learning_db import LearningDb
from ai_brain.strategy_evaluator import evaluate
from trading.domain.clock import Clock
from trading.strategy.spec import StrategySpec

NOW_MS = 1_800_000_000_000


@contextmanager
def gate_at(database: Path) -> Iterator[Bench]:
    """A bench on a file of its own, with a clock that hardly moves."""
    db, clock = LearningDb(database), Clock(scale=1e-6, origin_ms=NOW_MS)
    try:
        yield Bench.of(db, clock, GateSettings())
    finally:
        db.close()


def judged(spec: StrategySpec, tapes: Tapes, bench: Bench, *, settings: GateSettings | None = None) -> Judgement:
    """What the gate says, by other thresholds where they are given."""
    return evaluate(spec, tapes, bench if settings is None else replace(bench, settings=settings))
