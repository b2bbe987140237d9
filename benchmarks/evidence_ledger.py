"""What many trials cost the ledger: written as an optimiser would, in batches of distinct ideas with sketches, into a
new database, then asked what the gate asks. Seconds and megabytes of writing are brought to a million trials; the
questions are of as many as there are. `benchmarks/evidence.py` runs it.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from hashlib import sha256
from math import sqrt
from pathlib import Path

import numpy as np

from ai_brain.evidence.return_sketch import NUMBERS, return_sketch
from ai_brain.evidence.trial_ledger import Trial, TrialLedger
from ai_brain.learning_db import LearningDb
from trading.domain.clock import DAY_MS, Clock

BATCH = 1_000
GROUPS = 5_000
"""Kinds of behaviour behind the ideas."""
LIKENESS = 0.95
"""Correlation of two of one kind."""
FIRST_DAY, DAYS = 19_000, 730
FAMILIES = ("momentum", "mean_reversion")


def trials(count: int, *, groups: int = GROUPS, seed: int = 0) -> Iterator[list[Trial]]:
    """`count` ideas in batches, their sketches drawn directly and not from returns: of `groups` kinds."""
    random = np.random.default_rng(seed)
    kinds = random.normal(size=(groups, NUMBERS))
    for first in range(0, count, BATCH):
        n = min(BATCH, count - first)
        drawn = sqrt(LIKENESS) * kinds[random.integers(groups, size=n)]
        drawn += sqrt(1.0 - LIKENESS) * random.normal(size=(n, NUMBERS))
        values = np.rint(127.0 * drawn / np.abs(drawn).max(axis=1, keepdims=True)).astype(np.int8)
        header = struct.pack("<ii", FIRST_DAY, DAYS)
        sharpes = random.normal(0.0, 0.01, n)
        yield [_trial(first + i, sharpes[i], header + values[i].tobytes()) for i in range(n)]


def sketch_s(count: int = 1_000) -> float:
    """Seconds to sketch one strategy of hourly bars, as long as the trials."""
    bars = np.random.default_rng(0).normal(0.0, 0.002, (count, 24 * DAYS))
    opens = FIRST_DAY * DAY_MS + np.arange(24 * DAYS) * (DAY_MS // 24)
    return_sketch(bars[0], opens)
    began = time.perf_counter()
    for returns in bars:
        return_sketch(returns, opens)
    return (time.perf_counter() - began) / count


def insert_s(ledger: TrialLedger, count: int) -> float:
    """Seconds in `record` for `count` ideas, without making them up."""
    spent_s = 0.0
    for batch in trials(count):
        began = time.perf_counter()
        ledger.record(batch)
        spent_s += time.perf_counter() - began
    return spent_s


def questions(ledger: TrialLedger) -> dict[str, float]:
    """Seconds for each question; asked first of a ledger just opened, then again after one more idea."""
    found = dict[str, float]()
    for name, suffix in (("first", ""), ("again", "_again"), ("one_more", "_one_more")):
        if name == "one_more":
            ledger.record([_trial(-1, 0.0, None)])
        found |= {f"{key}{suffix}": round(value, 4) for key, value in _asked(ledger).items()}
    return found


def _asked(ledger: TrialLedger) -> dict[str, float]:
    asked = {
        "count_s": ledger.count,
        "expected_maximum_s": ledger.expected_maximum,
        "effective_n_s": ledger.effective_count,
    }
    found = dict[str, float]()
    for name, question in asked.items():
        began = time.perf_counter()
        question()
        found[name] = time.perf_counter() - began
    return found


def ledger_figures(count: int, folder: Path) -> dict[str, float | str]:
    """Everything, on a database made in `folder`."""
    path, clock = folder / "ledger.db", Clock()
    db = LearningDb(path)
    spent_s = insert_s(TrialLedger(db, clock), count)
    db.close()  # takes the write-ahead log into the file
    size_mb = path.stat().st_size / 1e6
    db = LearningDb(path)
    ledger = TrialLedger(db, clock)
    asked = questions(ledger)
    counts = {"count": ledger.count(), "effective_n": ledger.effective_count()}
    db.close()
    per_million = 1e6 / count
    return {
        "ledger_trials": count,
        "ledger_insert_s_per_million": round(spent_s * per_million, 1),
        "ledger_mb_per_million": round(size_mb * per_million, 1),
        **asked,
        "sketch_us": round(1e6 * sketch_s(), 1),
        **counts,
    }


def _trial(number: int, sharpe_bar: float, sketch: bytes | None) -> Trial:
    return Trial(
        origin="optimizer",
        family=FAMILIES[number % len(FAMILIES)],
        spec_id=f"mo-20260101-{number:06x}",
        spec_sha256=sha256(str(number).encode()).hexdigest(),
        data_sha256="d" * 64,
        stretch="search",
        start_ms=FIRST_DAY * DAY_MS,
        end_ms=(FIRST_DAY + DAYS) * DAY_MS,
        bars=24 * DAYS,
        bars_per_year=8760.0,
        sharpe_bar=float(sharpe_bar),
        skew=0.0,
        kurtosis=3.0,
        turnover=12.0,
        net_return=0.03,
        entries=40,
        sketch=sketch,
    )
