"""A slice of the crash and the fault matrix, the same each time; the whole of both is `python -m benchmarks.live`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_deaths_and_faults_of_the_live_carry_lose_nothing_and_send_nothing_twice() -> None:
    sample = ("--every", "90", "--cases-every", "170", "--entries", "2", "--trials", "0", "--audit-lines", "500")
    command = [sys.executable, "-m", "benchmarks.live", *sample]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["crash_points"] >= 4
    assert figures["crash_points_there_are"] >= 400
    assert figures["fault_cases"] >= 6
    assert (figures["duplicate_orders"], figures["lost_fills"]) == (0, 0)
    assert figures["unhedged_max_s"] <= 10.0
    assert figures["audit_ok"]
    assert {"kill_detect_p99_s", "cancel_all_p99_s", "flat_verified_p99_s", "audit_year_verify_s"} <= set(figures)
