"""A slice of the crash and the fault matrix, the same each time; the whole of both is `python -m benchmarks.live`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_deaths_and_faults_of_the_live_carry_lose_nothing_and_send_nothing_twice() -> None:
    command = [sys.executable, "-m", "benchmarks.live", "--every", "90", "--cases-every", "170", "--entries", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["crash_points"] >= 4
    assert figures["crash_points_there_are"] >= 400
    assert figures["fault_cases"] >= 6
    assert (figures["duplicate_orders"], figures["lost_fills"]) == (0, 0)
    assert figures["unhedged_max_s"] <= 10.0
