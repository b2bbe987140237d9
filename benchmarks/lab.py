"""How fast and how large the whole lab is: `python benchmarks/lab.py [--tape DIR]`; JSON on the last line.

Everything is measured from outside, as whole processes: the demo, the service's start against a sandbox with a warm and
with an empty numba cache, `get_status.py`, and one strategy in the simulator.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable
START_MS = 1_733_011_200_000
"""2024-12-01, inside the recorded data."""
LIMIT_S = 300.0


def demo(tape: Path, folder: Path) -> dict[str, float]:
    """Play the whole story; its own figures."""
    out = folder / "demo.json"
    words = [str(ROOT / "lab"), "demo", "--tape", str(tape), "--json", str(out)]
    subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=LIMIT_S)
    figures = json.loads(out.read_text())
    return {"demo_wall_s": figures["wall_s"], "demo_rss_mb": figures["peak_rss_mb"]}


def start_s(tape: Path, folder: Path, cache: Path) -> float:
    """Seconds from starting the service to its first completed cycle, against a sandbox that already runs."""
    sandbox = subprocess.Popen(
        [PYTHON, "-m", "sandbox", "--tape", str(tape), "--symbol", "BTCUSDT", "--start", str(START_MS)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if sandbox.stdout is None:
            raise RuntimeError("sandbox without a pipe")
        url = json.loads(sandbox.stdout.readline())["url"]
        home = Path(tempfile.mkdtemp(dir=folder))
        (home / "lab.yaml").write_text(
            f"venue: {{base_url: {url}, follow_sandbox_clock: true}}\nnews: {{feeds: [{url}/feed.xml]}}\n"
        )
        environment = {**os.environ, "LAB_HOME": str(home), "NUMBA_CACHE_DIR": str(cache)}
        began = time.perf_counter()
        service = subprocess.Popen(
            [PYTHON, "-m", "ops.cli", "run"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            heartbeat = home / "state" / "heartbeat.json"
            while not heartbeat.exists():
                if service.poll() is not None or time.perf_counter() - began > LIMIT_S:
                    raise RuntimeError(f"the service ended with {service.returncode}; see {home / 'logs'}")
                time.sleep(0.02)
            return time.perf_counter() - began
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(10)
    finally:
        sandbox.terminate()
        sandbox.wait(5)


def status_s() -> float:
    """The quicker of three runs of `get_status.py`, seconds."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([PYTHON, str(ROOT / "get_status.py")], check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - began)
    return min(took)


def single_mbars_s() -> float:
    """Million bars a second of one strategy, from the simulator's own benchmark."""
    words = [PYTHON, str(ROOT / "benchmarks" / "simulator.py"), "--quick"]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=LIMIT_S)
    return float(json.loads(done.stdout.strip().splitlines()[-1])["single_mbars_s"])


def main() -> None:
    """Measure everything and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tape", type=Path, default=ROOT.parent / "shared" / "data", help="recorded data")
    tape = parser.parse_args().tape.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        warm, cold = folder / "warm", folder / "cold"
        figures = {"start_cold_s": start_s(tape, folder, cold)}
        shutil.copytree(cold, warm)
        figures["start_warm_s"] = start_s(tape, folder, warm)
        os.environ["NUMBA_CACHE_DIR"] = str(warm)
        figures |= demo(tape, folder) | {"status_s": status_s(), "single_mbars_s": single_mbars_s()}
    print(json.dumps({key: round(value, 3) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
