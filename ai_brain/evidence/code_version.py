"""Which code gave a number."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import ai_brain.evidence
import trading.market.beside
import trading.market.funding_schedule
import trading.market.synthetic
from trading.simulator.code_version import files_sha256, simulator_files, sources

_BESIDE_THE_GATE = ("campaign.py", "rule_numbers.py", "strategy_evaluator.py")
_OF_THE_MARKET = (
    trading.market.beside.__file__,
    trading.market.funding_schedule.__file__,
    trading.market.synthetic.__file__,
)


def code_files() -> list[Path]:
    """Every source a verdict depends on: the gate, the evaluator and the search, what they read, and the simulator."""
    gate = Path(ai_brain.evidence.__path__[0])
    ours = [*sources(str(gate)), *(gate.parent / name for name in _BESIDE_THE_GATE)]
    return [*ours, *map(Path, _OF_THE_MARKET), *simulator_files()]


@cache
def code_sha256() -> str:
    """Hash over `code_files`, read from disk once, hex."""
    return files_sha256(code_files())
