"""How fast the evidence gate's own computations are: `python -m benchmarks.evidence [FIGURE ...]`; JSON last.

A figure is a function below that takes nothing and returns its number, the unit in its name; without names all are
measured. Inputs are synthetic and seeded, so that no figure needs recorded data.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from ai_brain.evidence.backtest_overfitting import backtest_overfitting
from ai_brain.evidence.superior_predictive_ability import superior_predictive_ability

STRATEGIES = 1000
ROWS = 3000
"""Two years of 6 h bars, or eight of days."""
REPEATS = 3


def best_s(call: Callable[[], object]) -> float:
    """Seconds of the quickest of a few calls."""
    took = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return min(took)


def cscv_1000x16_s() -> float:
    """Probability of backtest overfitting of 1,000 strategies over 3,000 rows in 16 blocks: 12,870 splits."""
    returns = np.random.default_rng(1).standard_normal((ROWS, STRATEGIES)) * 0.01
    return best_s(lambda: backtest_overfitting(returns, blocks=16))


def spa_1000x2000_s() -> float:
    """Superior predictive ability of 1,000 strategies over 3,000 rows with 2,000 resamples, block length included."""
    differences = np.random.default_rng(1).standard_normal((ROWS, STRATEGIES)) * 0.01
    return best_s(lambda: superior_predictive_ability(differences, seed=1, draws=2000))


FIGURES: tuple[Callable[[], float], ...] = (cscv_1000x16_s, spa_1000x2000_s)


def main() -> None:
    """Measure what is asked for, and print one JSON object as the last line."""
    known = {figure.__name__: figure for figure in FIGURES}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figure", nargs="*", help=f"of {', '.join(known)}; default: all")
    wanted = parser.parse_args().figure or list(known)
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"{unknown[0]} is no figure; give some of {', '.join(known)}")
    print(json.dumps({name: round(known[name](), 3) for name in wanted}))


if __name__ == "__main__":
    main()
