"""How fast the guardian notices a kill, cancels, and has everything flat by the exchange's own word, at real speed.

`python -m benchmarks.kill_switch [--quick] [--trials N]` prints one JSON object. Every trial opens a carry with an
order resting beside it; then the lab's loop is healthy, busy (it turns no more, in the middle of a cycle) or frozen
(SIGSTOP, in the middle of a cycle), and the kill file appears. Seconds count from its appearing. The sandbox's ledger
is the witness: what it does not call flat is a failure.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.kill_switch_stage import Stage, open_stage
from ops.demo.story import is_flat
from trading.risk.kill_switch import release_stop

MODES = ("healthy", "busy", "frozen")
TRIALS, QUICK = 200, 6
PATIENCE_S = 30.0
SEED = 6
BARS = {"kill_detect_p99_s": 0.5, "cancel_all_p99_s": 2.0, "flat_verified_p99_s": 5.0}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.kill_switch")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} trials in place of {TRIALS}")
    parser.add_argument("--trials", type=int, help="so many")
    options = parser.parse_args()
    print(json.dumps(kill_figures(options.trials or (QUICK if options.quick else TRIALS)), indent=2))


def kill_figures(trials: int) -> dict[str, object]:
    """So many kills on one stage, the modes in turn."""
    chance = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as folder, open_stage(Path(folder)) as stage:
        with stage.process("ops.cli", "guardian", says="the guardian watches") as guardian:
            runs = [_trial(stage, MODES[n % len(MODES)], float(chance.uniform(1.5, 2.0))) for n in range(trials)]
            memory_mb = _rss_mb(guardian.pid)
        duplicates = len(stage.world.ask("/sandbox/seen")["duplicate_orders"])  # type: ignore[arg-type]
    good = [run for run in runs if run["flat_s"] is not None]
    figures: dict[str, object] = {"trials": trials, "failures": trials - len(good), "duplicate_orders": duplicates}
    for name, key in (("kill_detect", "seen_s"), ("cancel_all", "cancelled_s"), ("flat_verified", "flat_s")):
        took = [float(str(run[key])) for run in good] or [float("nan")]
        for share in (50, 99):
            figures[f"{name}_p{share}_s"] = round(float(np.percentile(took, share)), 3)
        for mode in MODES:
            of_mode = [float(str(run[key])) for run in good if run["mode"] == mode]
            figures[f"{name}_max_s_{mode}"] = round(max(of_mode), 3) if of_mode else None
    figures["failed"] = [run for run in runs if run["flat_s"] is None]
    figures["guardian_rss_mb"] = memory_mb
    figures["within_bars"] = not figures["failures"] and all(float(str(figures[k])) <= v for k, v in BARS.items())
    return figures


def _trial(stage: Stage, mode: str, wait_s: float) -> dict[str, object]:
    """One kill; seconds from the appearing of the file, None where it did not come to that."""
    home = stage.home
    home.guardian_file.unlink(missing_ok=True)
    (home.state / "risk_counters.json").unlink(missing_ok=True)  # each trial is a day of its own
    with stage.process("benchmarks.kill_switch_lab", mode, says="open"):
        time.sleep(wait_s)  # the guardian sees what is held
        began_s = time.monotonic()
        home.kill_files[0].touch()
        filed: dict[str, object] = {}
        while filed.get("flat_s") is None and time.monotonic() - began_s < PATIENCE_S:
            time.sleep(0.01)
            filed = json.loads(home.guardian_file.read_text()) if home.guardian_file.exists() else {}
        ledger = stage.world.ask("/sandbox/ledger")
    release_stop(home)
    time.sleep(0.3)  # the guardian sees that the stop is gone
    took = {key: float(str(filed[key])) - began_s for key in ("seen_s", "cancelled_s") if filed.get(key)}
    if not is_flat(ledger) or filed.get("flat_s") is None or len(took) < 2:
        left = {name: ledger.get(name) for name in ("spot", "positions", "open_orders")}
        return {"mode": mode, "flat_s": None, "filed": filed, "ledger": left}
    return {"mode": mode, **took, "flat_s": float(str(filed["flat_s"])) - began_s}


def _rss_mb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1024


if __name__ == "__main__":
    main()
