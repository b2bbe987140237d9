"""A search as the service asks for it, of a process of its own, which opens the lab's memory and judges what waits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from ai_brain.campaign import Campaign, campaign
from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.gate_settings import GateSettings
from ops.learning import open_at
from trading.domain.clock import Clock
from trading.strategy.spec import StrategySpec

STANDING = 1e-9
"""Lab seconds a real one: a rehearsal may turn its clock meanwhile, and nothing may be stamped with what is to come."""


def searched(
    memory: Path | SecretStr,
    settings: GateSettings,
    now_ms: int | None,
    specs: Sequence[StrategySpec],
    tapes: Tapes,
) -> Campaign:
    """Judge specs of one market together; see `campaign`.

    Args:
        memory: The database that counts them.
        settings: The gate's.
        now_ms: Lab time of a rehearsal; None: the system's.
        specs: What waits.
        tapes: Their market.

    Raises:
        StateFileError: the memory cannot be read or written; then nothing may be shown.
    """
    clock = Clock() if now_ms is None else Clock(scale=STANDING, origin_ms=now_ms)
    db = open_at(memory)
    try:
        return campaign(specs, tapes, Bench.of(db, clock, settings))
    finally:
        db.close()
