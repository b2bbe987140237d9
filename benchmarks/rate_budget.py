"""What a place in the shared budget of requests costs, and whether processes that contend for it ever exceed it.

`python -m benchmarks.rate_budget` prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from trading.domain.clock import Clock
from trading.domain.errors import RateLimitError
from trading.exchange import rate_budget
from trading.exchange.rate_budget import RateBudget
from trading.exchange.rate_file import Limits, RateFile
from trading.exchange.rate_window import Priority
from trading.exchange.request_weights import Request

PROCESSES = 4
LIMIT = 40_000
"""Of the contended run, a minute: more than the processes can take in the time, so that each take is a whole one."""
CALLS = 3_000
"""Of each process."""
TIGHT = 6_000
"""Of the run that must not be exceeded: Binance's own for spot."""
ONE = Request(1, Priority.URGENT)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        alone = _take(Path(folder) / "alone", LIMIT, CALLS)
        contended = _contend(Path(folder) / "contended", LIMIT, CALLS)
        tight = _contend(Path(folder) / "tight", TIGHT, CALLS)
    took_us = np.concatenate([np.array(run["took_us"]) for run in contended])
    granted = sum(int(run["granted"]) for run in tight)
    figures = {
        "processes": PROCESSES,
        "acquire_us_p50": round(float(np.percentile(took_us, 50)), 1),
        "acquire_us_p99": round(float(np.percentile(took_us, 99)), 1),
        "acquire_alone_us_p50": round(float(np.percentile(alone["took_us"], 50)), 1),
        "acquire_alone_us_p99": round(float(np.percentile(alone["took_us"], 99)), 1),
        "tight_limit": TIGHT,
        "tight_asked": PROCESSES * CALLS,
        "tight_granted": granted,
        "overshoot": max(0, granted - TIGHT),
    }
    print(json.dumps(figures, indent=2))


def _contend(path: Path, limit: int, calls: int) -> list[dict[str, list[float]]]:
    """So many processes at once on one file; each says ready, then waits for the word."""
    words = [sys.executable, "-m", "benchmarks.rate_budget", "take", str(path), str(limit), str(calls)]
    running = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
    ]
    for one in running:
        if one.stdout is None or one.stdout.readline().strip() != "ready":
            raise RuntimeError("a process of the benchmark did not start")
    for one in running:
        if one.stdin is not None:
            one.stdin.write("go\n")
            one.stdin.flush()
    return [json.loads(one.communicate(timeout=120)[0]) for one in running]


def _take(path: Path, limit: int, calls: int) -> dict[str, list[float]]:
    """Take places until the budget is used up or so many were had; microseconds of each."""
    rate_budget.PATIENCE_S = dict.fromkeys(Priority, 0.2)

    async def run() -> dict[str, list[float]]:
        budget = RateBudget(RateFile(path, Limits(limit, 100, 10)), Clock())
        took_us: list[float] = []
        for _ in range(calls):
            began_s = time.perf_counter()
            try:
                await budget.take(ONE, where="benchmark")
            except RateLimitError:
                break
            took_us.append((time.perf_counter() - began_s) * 1e6)
        budget.close()
        return {"took_us": took_us, "granted": len(took_us)}  # type: ignore[dict-item]

    return asyncio.run(run())


if __name__ == "__main__":
    if sys.argv[1:2] == ["take"]:
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(_take(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
    else:
        main()
