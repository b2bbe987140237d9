"""The lab's memory, and all that the gate needs beside a spec and its market."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ai_brain.evidence.case import Bench
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.learning_db import LearningDb
from tests.ai_brain.gate import NOW_MS
from trading.domain.clock import Clock
from trading.storage.home import Home


@pytest.fixture
def db(home: Home) -> Iterator[LearningDb]:
    opened = LearningDb(home.learning_db)
    yield opened
    opened.close()


@pytest.fixture
def bench(db: LearningDb) -> Bench:
    return Bench.of(db, Clock(scale=1e-6, origin_ms=NOW_MS), GateSettings())
