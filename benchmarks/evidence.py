"""How fast the evidence gate is: `python -m benchmarks.evidence [GROUP ...] [--quick] [--json FILE]`; JSON last.

A group is a function below that returns its figures by name, the unit in the name; without groups all are measured.
The ledger's are of a million real rows, or with `--quick` of a twentieth, seconds and megabytes brought to a million.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ai_brain.evidence.backtest_overfitting import backtest_overfitting
from ai_brain.evidence.superior_predictive_ability import superior_predictive_ability
from benchmarks.evidence_ledger import ledger_figures
from benchmarks.evidence_verdict import verdict_figures

STRATEGIES = 1000
ROWS = 3000
"""Two years of 6 h bars, or eight of days."""
REPEATS = 3
TRIALS, QUICK_TRIALS = 1_000_000, 50_000

Figures = Mapping[str, float | str]


def best_s(call: Callable[[], object]) -> float:
    """Seconds of the quickest of a few calls."""
    took = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return round(min(took), 3)


def cscv() -> Figures:
    """Probability of backtest overfitting of 1,000 strategies over 3,000 rows in 16 blocks: 12,870 splits."""
    returns = np.random.default_rng(1).standard_normal((ROWS, STRATEGIES)) * 0.01
    return {"cscv_1000x16_s": best_s(lambda: backtest_overfitting(returns, blocks=16))}


def spa() -> Figures:
    """Superior predictive ability of 1,000 strategies over 3,000 rows with 2,000 resamples, block length included."""
    differences = np.random.default_rng(1).standard_normal((ROWS, STRATEGIES)) * 0.01
    return {"spa_1000x2000_s": best_s(lambda: superior_predictive_ability(differences, seed=1, draws=2000))}


def verdict() -> Figures:
    """One rule strategy through the whole gate over two years of hours."""
    return verdict_figures()


def ledger(trials: int, folder: Path | None) -> Figures:
    """Writing trials, and the questions that the gate asks of so many."""
    with TemporaryDirectory(dir=folder) as made:
        return ledger_figures(trials, Path(made))


def main() -> None:
    """Measure what is asked for, and print one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("group", nargs="*", help="of cscv, spa, verdict, ledger; default: all")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_TRIALS:,} trials for the ledger")
    parser.add_argument("--trials", type=int, help=f"for the ledger; default {TRIALS:,}")
    parser.add_argument("--folder", type=Path, help="where the ledger's file is made; default: the system's")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the JSON object there too")
    asked = parser.parse_args()
    trials = asked.trials
    if trials is None:
        trials = QUICK_TRIALS if asked.quick else TRIALS
    if trials < 1:
        parser.error(f"--trials {trials}: at least one is needed")
    groups: dict[str, Callable[[], Figures]] = {
        "cscv": cscv,
        "spa": spa,
        "verdict": verdict,
        "ledger": partial(ledger, trials, asked.folder),
    }
    if unknown := [name for name in asked.group if name not in groups]:
        parser.error(f"{unknown[0]} is no group; give some of {', '.join(groups)}")
    figures = dict[str, float | str]()
    for name in asked.group or groups:
        figures |= groups[name]()
    line = json.dumps(figures)
    if asked.json is not None:
        asked.json.write_text(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
