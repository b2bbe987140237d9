"""History, store and streams: `python -m benchmarks.market_data [--tape DIR] [--quick]`; JSON on the last line.

A year of recorded minutes is loaded in a process of its own, imported from zips as the archive has them, and fetched
from the sandbox's archive and pages: once in peace, and once with the process killed (-9) again and again until it is
through; both shelves must be the same, file by file. The streams are those of `benchmarks/streams.py`. `--quick`
fetches a month and streams for 20 s.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import structlog

from benchmarks import streams
from trading.domain.clock import iso, parse_iso
from trading.domain.instrument import Market
from trading.market.archive_rows import candles_of
from trading.market.importers import import_recorded
from trading.market.series import Series
from trading.market.store import TapeStore
from trading.market.store_months import by_month
from trading.market.tape import Tape

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable
START_MS, END_MS = parse_iso("2024-01-01"), parse_iso("2025-01-01")
NOW_MS = parse_iso("2024-12-31T12:00")
"""Where the sandbox's time begins; what has closed since the last midnight, but for the last minute, which a fetch that
begins at once does not take for closed yet, comes by pages."""
KILL_EVERY_S = 5.0
MOST_RUNS = 200
LOAD = """
import json, time
from pathlib import Path
from trading.domain.instrument import Market
from trading.market.store import TapeStore
def rss():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
before = rss()
began = time.perf_counter()
tape = TapeStore(Path({root!r})).load(Market.SPOT, "BTCUSDT", "1m")
took = time.perf_counter() - began
print(json.dumps({{"s": took, "rss": rss() - before, "peak": peak() - before, "bars": len(tape)}}))
"""


def load_figures(tape: Tape, folder: Path) -> dict[str, float]:
    """Loading a year of minutes: the quickest and the smallest of three processes."""
    root = folder / "loaded"
    began = time.perf_counter()
    TapeStore(root).save(tape)
    saved_s = time.perf_counter() - began
    runs = []
    for _ in range(3):
        done = subprocess.run([PYTHON, "-c", LOAD.format(root=str(root))], check=True, capture_output=True, text=True)
        runs.append(json.loads(done.stdout))
    size = sum(path.stat().st_size for path in root.rglob("*.parquet"))
    return {
        "load_year_minutes_s": min(run["s"] for run in runs),
        "load_rss_mb": min(run["rss"] for run in runs) / 1e6,
        "load_peak_rss_mb": min(run["peak"] for run in runs) / 1e6,
        "load_bars": runs[0]["bars"],
        "save_year_s": saved_s,
        "disk_mb": size / 1e6,
    }


def import_figures(tape: Tape, folder: Path) -> dict[str, float]:
    """Rows a second from the archive's zips, in memory, to the shelf."""
    values = (tape.open_time_ms, tape.open, tape.high, tape.low, tape.close, tape.volume_base)
    columns = dict(zip(("open_time", "open", "high", "low", "close", "volume"), values, strict=True))
    zips = [zipped(part) for _, part in by_month(columns)]
    store = TapeStore(folder / "imported")
    began = time.perf_counter()
    for content in zips:
        store.save_series(Series.SPOT, "BTCUSDT", "1m", candles_of(content, "zip"), origin="downloaded")
    return {"import_rows_s": len(tape) / (time.perf_counter() - began)}


def zipped(columns: dict[str, np.ndarray]) -> bytes:
    """A month as the archive has it."""
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    text = "".join(f"{','.join(map(str, row))},{row[0] + 59_999},{row[5] * row[4]:.5f},100,1.5,2.5,0\n" for row in rows)
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("month.csv", text)
    return box.getvalue()


def fetch_figures(data: Path, folder: Path, *, quick: bool) -> dict[str, float]:
    """A fetch in peace, and one that is killed every few seconds until it is through."""
    first = "2024-12-01" if quick else "2024-01-01"
    with sandbox(data) as url:
        calm_s, _ = fetched(folder / "calm", url, first, kill_every_s=None)
        again_s, _ = fetched(folder / "calm-too", url, first, kill_every_s=None)
        killed_s, runs = fetched(folder / "killed", url, first, kill_every_s=KILL_EVERY_S)
    calm, killed = shelf(folder / "calm"), shelf(folder / "killed")
    return {
        "fetch_first_s": calm_s,
        "fetch_s": again_s,
        "fetch_killed_s": killed_s,
        "fetch_kills": runs - 1,
        "fetch_files": len(calm),
        "fetch_identical": float(calm == killed and bool(calm)),
    }


def fetched(home: Path, url: str, first: str, *, kill_every_s: float | None) -> tuple[float, int]:
    """Seconds and processes it takes until the fetch is through."""
    home.mkdir()
    (home / "lab.yaml").write_text(f"venue: {{base_url: {url}, follow_sandbox_clock: true}}\n")
    words = [PYTHON, "-m", "ops.cli", "history", "fetch", "BTCUSDT", "--from", first, "--to", iso(NOW_MS - 60_000),
             "--interval", "1m", "--market", "spot"]  # fmt: skip
    environment = {**os.environ, "LAB_HOME": str(home)}
    began = time.perf_counter()
    for run in range(1, MOST_RUNS):
        process = subprocess.Popen(words, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            if process.wait(timeout=kill_every_s) == 0:
                return time.perf_counter() - began, run
            raise RuntimeError(f"{words}: ended with {process.returncode}")
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    raise RuntimeError(f"not through after {MOST_RUNS} runs")


def shelf(home: Path) -> dict[str, str]:
    """Every file of the candles with its hash."""
    files = (path for path in (home / "market" / "spot").rglob("*") if path.is_file())
    return {str(p.relative_to(home)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@contextmanager
def sandbox(data: Path) -> Iterator[str]:
    """A sandbox on the recorded minutes, its time standing at noon of the last day."""
    words = [PYTHON, "-m", "sandbox", "--tape", str(data), "--symbol", "BTCUSDT", "--start", str(NOW_MS)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        if process.stdout is None:
            raise RuntimeError("sandbox without a pipe")
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.wait(10)


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tape", type=Path, default=ROOT.parent / "shared" / "data", help="recorded data")
    parser.add_argument("--quick", action="store_true", help="fetch a month, not a year")
    chosen = parser.parse_args()
    data = chosen.tape.resolve()
    if not (data / "spot_BTCUSDT_1m_2024.parquet").exists():
        print(json.dumps({"skipped": f"no spot_BTCUSDT_1m_2024.parquet in {data}"}))
        return
    tape = import_recorded(data, Market.SPOT, "BTCUSDT", "1m", START_MS, END_MS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = load_figures(tape, folder) | import_figures(tape, folder)
        figures |= fetch_figures(data, folder, quick=chosen.quick)
    told: dict[str, object] = {key: round(value, 3) for key, value in figures.items()}
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    print(json.dumps(told | streams.figures(streams.QUICK if chosen.quick else streams.Load())))


if __name__ == "__main__":
    main()
