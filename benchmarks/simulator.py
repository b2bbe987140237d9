"""How fast the simulator is: `python benchmarks/simulator.py [--quick] [--peers] [--tape DIR]`; JSON on the last line.

Everything runs over recorded BTCUSDT spot minutes of 2024, with fees, slippage, stops and all metrics; without recorded
data over a synthetic walk, and the JSON says so. Each part has a process of its own, so that its peak memory is its
own. `--peers` sweeps EMA crosses in vectorbt and backtesting in the same run (dependency group `peers`).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
DATA = Path(os.environ.get("LAB_DATA") or ROOT.parent / "shared" / "data")
QUICK = ("single", "load", "carry", "step", "dense")
ALL = (*QUICK, "sparse", "sweep", "growth")
COMPILE = (
    "import time; began = time.perf_counter()\n"
    "from trading.simulator.compiled import compile_kernels, compile_population\n"
    "compile_kernels(); compile_population(); print(time.perf_counter() - began)"
)


def part(name: str, folder: Path) -> dict[str, float]:
    """One part of `simulator_parts.py` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.simulator_parts", name, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compile_figures() -> dict[str, float]:
    """Import and compile every kernel in a fresh process, with an empty cache and with the one it left."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        command = [sys.executable, "-c", COMPILE]
        took = [
            float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
            for _ in range(2)
        ]
    return {"compile_cold_s": round(took[0], 2), "compile_warm_s": round(took[1], 2)}


def peer_figures(folder: Path, sweep_per_s: float) -> dict[str, float]:
    """The same kind of sweep in each peer, and how many trades of the compared cases are equal."""
    from benchmarks.peer_sweeps import speeds

    figures: dict[str, float] = {}
    for engine, sweep in speeds(folder).items():
        per_s = float(sweep["strategy_bars_per_s"])  # type: ignore[index]  # JSON of the sweep
        figures[f"{engine}_mbars_s"] = round(per_s / 1e6, 3)
        figures[f"ratio_{engine}"] = round(sweep_per_s / per_s, 1)
    done = subprocess.run([sys.executable, "-m", "benchmarks.peers"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"benchmarks.peers:\n{done.stderr}")
    compared = json.loads(done.stdout.splitlines()[-1])
    totals = [row for row in compared.values() if isinstance(row, dict) and "equal" in row]
    figures["trades_equal_peers"] = sum(row["equal"] for row in totals)
    figures["trades_explained_peers"] = sum(sum(row["explained"].values()) for row in totals)
    figures["trades_unexplained_peers"] = sum(row["unexplained"] for row in totals)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)} and the compile times")
    parser.add_argument("--peers", action="store_true", help="vectorbt and backtesting beside it; minutes")
    parser.add_argument("--tape", type=Path, default=DATA, help="folder of recorded data")
    arguments = parser.parse_args()
    if arguments.peers and importlib.util.find_spec("vectorbt") is None:
        parser.error("--peers: vectorbt is not installed; pip install --no-deps -r requirements-peers.lock")
    figures: dict[str, float] = {}
    for name in QUICK if arguments.quick and not arguments.peers else ALL:
        figures |= part(name, arguments.tape)
        print(f"{name}: done", file=sys.stderr)
    figures |= compile_figures()
    if arguments.peers:
        figures |= peer_figures(arguments.tape, figures["sweep_mbars_s"] * 1e6)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
