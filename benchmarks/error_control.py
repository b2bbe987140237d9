"""How often error control over time is wrong, how soon right: `python -m benchmarks.error_control [--seed N]`; JSON.

Streams of 100 candidates for the false-discovery procedures at q = 0.10, and lives of 1,000 results for the sequential
test at alpha = 0.05. Every figure of docs/evidence.md, section "Error over time", is printed here.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from math import erfc, sqrt

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.false_discovery import StreamDecisions, early_spending, lord_plus_plus, saffron
from ai_brain.evidence.sequential_test import Promise, e_values, promise_of

Q = 0.1
ALPHA = 0.05
CANDIDATES = 100
STREAMS = 1000
LIVES = 2000
RESULTS = 1000
SHOWN_AT = (50, 100, 200, 500, 1000)
PROMISE = Promise(expectancy=0.2, low=-3.0, high=3.0)
PROCEDURES: dict[str, Callable[[list[float]], StreamDecisions]] = {
    "LORD++, as the gate keeps it": partial(lord_plus_plus, q=Q, w0=0.9 * Q, spending=early_spending),
    "LORD++, published spending": partial(lord_plus_plus, q=Q, w0=Q / 2),
    "LORD++, w0 = q / 10": partial(lord_plus_plus, q=Q),
    "SAFFRON": partial(saffron, q=Q),
}
STREAM_CASES = {
    "nothing true": {"true_share": 0.0},
    "5 % true, z 4": {"true_share": 0.05, "edge": 4.0},
    "5 % true, z 4, the rest lose (z -1)": {"true_share": 0.05, "edge": 4.0, "null_edge": -1.0},
    "20 % true, z 3.5": {"true_share": 0.2, "edge": 3.5},
    "20 % true, z 3.5, correlation 0.5": {"true_share": 0.2, "edge": 3.5, "correlation": 0.5},
    "5 % true, z 3.5, correlation 0.8": {"true_share": 0.05, "edge": 3.5, "correlation": 0.8},
}


def streams(
    rng: np.random.Generator,
    *,
    true_share: float,
    edge: float = 0.0,
    null_edge: float = 0.0,
    correlation: float = 0.0,
) -> dict[str, dict[str, float]]:
    """False discoveries and power of each procedure on the same streams of one-sided normal tests."""
    rows: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in PROCEDURES}
    for _ in range(STREAMS):
        true = rng.random(CANDIDATES) < true_share
        common, own = rng.standard_normal(), rng.standard_normal(CANDIDATES)
        z = sqrt(correlation) * common + sqrt(1.0 - correlation) * own + np.where(true, edge, null_edge)
        p_values = [0.5 * erfc(value / sqrt(2.0)) for value in z]
        for name, procedure in PROCEDURES.items():
            rejected = np.array(procedure(p_values).rejected)
            found = int((rejected & true).sum())
            rows[name].append(
                ((rejected & ~true).sum() / max(1, rejected.sum()), found / max(1, true.sum()), found == 0)
            )
    summary = {}
    for name, row in rows.items():
        false, power, empty = np.array(row, dtype=np.float64).T
        summary[name] = {
            "false_share": round(float(false.mean()), 4),
            "standard_error": round(float(false.std() / sqrt(STREAMS)), 4),
            "found_share": round(float(power.mean()), 3),
            "empty_streams": round(float(empty.mean()), 3),
        }
    return summary


def autocorrelated(rng: np.random.Generator, phi: float) -> NDArray[np.float64]:
    """(lives, results) of mean 0 and variance 1, each result phi times the one before plus news."""
    values = rng.standard_normal((LIVES, RESULTS))
    for t in range(1, RESULTS):
        values[:, t] = phi * values[:, t - 1] + sqrt(1.0 - phi**2) * values[:, t]
    return values


def failed_by(results: NDArray[np.float64], promise: Promise = PROMISE) -> dict[str, float]:
    """Share of lives that have failed by so many results."""
    highest = np.maximum.accumulate(e_values(results, promise=promise), axis=1)
    return {
        str(n): round(float((highest[:, n - 1] * ALPHA >= 1.0).mean()), 3) for n in SHOWN_AT if n <= results.shape[1]
    }


def failed_own_backtest(rng: np.random.Generator, *, trades: int, standard_errors: float) -> float:
    """Share of unchanged strategies that fail in 1,000 results what their own backtest of so many trades promised."""
    failed = 0
    for _ in range(400):
        backtest, life = rng.standard_normal(trades) + 0.2, rng.standard_normal(RESULTS) + 0.2
        promise = promise_of(backtest, low=-3.0, high=3.0, standard_errors=standard_errors)
        failed += bool(e_values(life, promise=promise).max() * ALPHA >= 1.0)
    return failed / 400


def sequential(rng: np.random.Generator) -> dict[str, object]:
    """Lives of standard deviation 1 that were promised 0.2 a result."""
    told: dict[str, object] = {
        f"mean {mean}": failed_by(rng.standard_normal((LIVES, RESULTS)) + mean) for mean in (0.2, 0.1, 0.0, -0.1, -0.3)
    }
    for phi in (0.2, 0.5, 0.8):
        values = autocorrelated(rng, phi)
        told[f"mean 0.2, autocorrelation {phi}"] = failed_by(values + 0.2)
        sums = values.reshape(LIVES, -1, 10).sum(axis=2)
        mean, spread = 2.0, float(sums.std())
        promise = Promise(expectancy=mean, low=mean - 3 * spread, high=mean + 3 * spread)
        told[f"mean 0.2, autocorrelation {phi}, sums of 10"] = failed_by(sums + mean, promise)
    for good in (300, 1000):
        broken = rng.standard_normal((LIVES, good + 500)) + 0.2
        broken[:, good:] -= 0.3
        highest = np.maximum.accumulate(e_values(broken, promise=PROMISE), axis=1)[:, good - 1 :]
        told[f"mean -0.1 after {good} at 0.2"] = {
            str(n): round(float((highest[:, n] * ALPHA >= 1.0).mean()), 3) for n in (0, 100, 200, 300, 500)
        }
    for standard_errors in (0.0, 1.0, 2.0):
        told[f"own backtest of 100, less {standard_errors} standard errors"] = failed_own_backtest(
            rng, trades=100, standard_errors=standard_errors
        )
    return told


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    rng = np.random.default_rng(parser.parse_args().seed)
    found = {case: streams(rng, **settings) for case, settings in STREAM_CASES.items()}
    print(json.dumps({"streams": found, "lives": sequential(rng)}, indent=1))


if __name__ == "__main__":
    main()
