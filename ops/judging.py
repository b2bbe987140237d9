"""A search as the service asks for it, of a process of its own, which opens the lab's memory and judges what waits."""

from __future__ import annotations

from collections.abc import Sequence

from ai_brain.campaign import Campaign, campaign
from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.gate_settings import GateSettings
from ops.environment import Environment
from ops.learning import open_learning_db
from trading.domain.clock import Clock, Timeline
from trading.storage.home import Home
from trading.strategy.spec import StrategySpec


def searched(
    home: Home,
    environment: Environment,
    settings: GateSettings,
    timeline: Timeline | None,
    specs: Sequence[StrategySpec],
    tapes: Tapes,
) -> Campaign:
    """Judge specs of one market together; see `campaign`.

    Args:
        home: Whose memory counts them.
        environment: Names the database where it is none of the home's.
        settings: The gate's.
        timeline: The lab's time; None: the system's.
        specs: What waits.
        tapes: Their market.

    Raises:
        StateFileError: the memory cannot be read or written; then nothing may be shown.
    """
    clock, db = Clock(), open_learning_db(home, environment)
    if timeline is not None:
        clock.follow(timeline)
    try:
        return campaign(specs, tapes, Bench.of(db, clock, settings))
    finally:
        db.close()
