"""Which code gave a number."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import ai_brain.evidence
import trading.simulator
import trading.strategy


@cache
def code_sha256() -> str:
    """Hash over the sources of the simulator, the rule language, the gate and the evaluator, hex."""
    folders = [Path(package.__path__[0]) for package in (ai_brain.evidence, trading.simulator, trading.strategy)]
    files = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    digest = hashlib.sha256()
    for path in (*files, folders[0].parent / "strategy_evaluator.py"):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
