"""Which code gave a number."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import ai_brain.evidence
import trading.market.beside
import trading.simulator
import trading.strategy
from trading.simulator.code_version import files_sha256, sources


@cache
def code_sha256() -> str:
    """Hash over the sources of the simulator, the rule language, the gate, the evaluator and `beside.py`, hex."""
    folders = [package.__path__[0] for package in (ai_brain.evidence, trading.simulator, trading.strategy)]
    files = [path for folder in folders for path in sources(folder)]
    evaluator, beside = Path(folders[0]).parent / "strategy_evaluator.py", Path(trading.market.beside.__file__)
    return files_sha256([*files, evaluator, beside])
