"""What a million trials cost the ledger: `python benchmarks/evidence_ledger.py [TRIALS] [FOLDER]`.

Writes them as an optimiser would, in batches of distinct ideas with sketches, into a new database, then asks what the
gate asks. The last line is JSON; seconds and megabytes are brought to a million trials, whatever their number was.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ai_brain.evidence.return_sketch import DAY_MS, return_sketch
from ai_brain.evidence.trial_ledger import Trial, TrialLedger
from ai_brain.learning_db import LearningDb
from trading.domain.clock import Clock

TRIALS = 1_000_000
BATCH = 1_000
GROUPS = 5_000
"""Kinds of behaviour behind the ideas, at a correlation of 0.95 within each."""
DAYS = 730
FAMILIES = ("momentum", "mean_reversion")


def trials(count: int, *, groups: int = GROUPS, seed: int = 0) -> Iterator[list[Trial]]:
    """`count` ideas in batches: hourly bars of two years, each with its sketch, as `groups` kinds that correlate."""
    random = np.random.default_rng(seed)
    kinds = random.normal(0.0, 0.01, (groups, DAYS)).astype(np.float32)
    opens = (19_000 + np.arange(DAYS)) * DAY_MS
    for first in range(0, count, BATCH):
        batch = list[Trial]()
        for number in range(first, min(first + BATCH, count)):
            daily = np.sqrt(0.95) * kinds[random.integers(groups)] + np.sqrt(0.05) * random.normal(0.0, 0.01, DAYS)
            batch.append(_trial(number, daily.mean() / daily.std() / np.sqrt(24.0), return_sketch(daily, opens)))
        yield batch


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
        "sharpe_variance_s": lambda: ledger.sharpe_variance(bars_per_year=8760.0, family="momentum"),
        "effective_n_s": ledger.effective_count,
    }
    found = dict[str, float]()
    for name, question in asked.items():
        began = time.perf_counter()
        question()
        found[name] = time.perf_counter() - began
    return found


def measure(count: int, folder: Path) -> dict[str, float]:
    """Everything, on a database made in `folder`."""
    path, clock = folder / "ledger.db", Clock()
    db = LearningDb(path)
    spent_s = insert_s(TrialLedger(db, clock), count)
    db.close()  # takes the write-ahead log into the file
    size_mb = path.stat().st_size / 1e6
    db = LearningDb(path)
    ledger = TrialLedger(db, clock)
    asked = questions(ledger)
    counts = {"trials": count, "count": ledger.count(), "effective_n": ledger.effective_count()}
    db.close()
    per_million = 1e6 / count
    return {
        "ledger_insert_s_per_million": round(spent_s * per_million, 1),
        "ledger_mb_per_million": round(size_mb * per_million, 1),
        **asked,
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
        start_ms=19_000 * DAY_MS,
        end_ms=(19_000 + DAYS) * DAY_MS,
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


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS
    with TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        print(json.dumps(measure(wanted, Path(folder))))
