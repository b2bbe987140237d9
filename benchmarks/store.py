"""DuckDB beside Polars on the store's own files: `python -m benchmarks.store [--tape DIR]`; JSON on the last line.

The questions a store of candles is asked: a year of minutes as columns, a month of them, the year made into hours.
Each engine runs in a process of its own, so that what importing and memory cost is its own. An engine that is not
installed is left out by name; Polars is no dependency of the lab: `python -m pip install polars` where it is measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from trading.domain.clock import parse_iso
from trading.domain.instrument import Market
from trading.market.importers import import_recorded
from trading.market.store import TapeStore

ROOT = Path(__file__).resolve().parents[1]
JULY_MS, AUGUST_MS = parse_iso("2024-07-01"), parse_iso("2024-08-01")
FRAME = """
import json, resource, time
def rss():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
def best(work, times=5):
    found = []
    for _ in range(times):
        began = time.perf_counter(); work(); found.append(time.perf_counter() - began)
    return min(found)
before = rss(); began = time.perf_counter()
{body}
print(json.dumps({{"import_s": imported, "year_s": best(year), "month_s": best(month), "hours_s": best(hours),
                  "rss_mb": rss() - before}}))
"""
DUCKDB = """
import duckdb
imported = time.perf_counter() - began
con = duckdb.connect(config={{"threads": 1}})
names = "open_time, open, high, low, close, volume"
files = "read_parquet('{files}')"
def year():
    return con.execute(f"select {{names}} from {{files}} order by open_time").fetchnumpy()
def month():
    where = "open_time >= {july} and open_time < {august}"
    return con.execute(f"select {{names}} from {{files}} where {{where}} order by open_time").fetchnumpy()
def hours():
    return con.execute(f'''select open_time // 3600000 * 3600000 as t, first(open order by open_time), max(high),
        min(low), last(close order by open_time), sum(volume) from {{files}} group by t order by t''').fetchnumpy()
"""
POLARS = """
import polars as pl
imported = time.perf_counter() - began
names = ["open_time", "open", "high", "low", "close", "volume"]
def arrays(frame):
    return {{name: frame[name].to_numpy() for name in frame.columns}}
def year():
    return arrays(pl.scan_parquet('{files}').select(names).sort("open_time").collect())
def month():
    t = pl.col("open_time")
    wanted = pl.scan_parquet('{files}').filter((t >= {july}) & (t < {august}))
    return arrays(wanted.select(names).sort("open_time").collect())
def hours():
    t = (pl.col("open_time") // 3_600_000 * 3_600_000).alias("t")
    frame = pl.scan_parquet('{files}').sort("open_time").group_by(t, maintain_order=True).agg(
        pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last(),
        pl.col("volume").sum())
    return arrays(frame.collect())
"""


def engine_figures(name: str, body: str, files: str) -> dict[str, float]:
    """One engine's figures; empty when it is not installed."""
    code = FRAME.format(body=body.format(files=files, july=JULY_MS, august=AUGUST_MS))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if "ModuleNotFoundError" in done.stderr:
        return {}
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip()[-300:]}")
    return {f"{name}_{key}": value for key, value in json.loads(done.stdout).items()}


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tape", type=Path, default=ROOT.parent / "shared" / "data", help="recorded data")
    data = parser.parse_args().tape.resolve()
    if not (data / "spot_BTCUSDT_1m_2024.parquet").exists():
        print(json.dumps({"skipped": f"no spot_BTCUSDT_1m_2024.parquet in {data}"}))
        return
    with tempfile.TemporaryDirectory() as name:
        year = import_recorded(data, Market.SPOT, "BTCUSDT", "1m", parse_iso("2024-01-01"), parse_iso("2025-01-01"))
        TapeStore(Path(name)).save(year)
        files = f"{name}/spot/BTCUSDT/1m/*.parquet"
        figures = engine_figures("duckdb", DUCKDB, files) | engine_figures("polars", POLARS, files)
    print(json.dumps({key: round(value, 3) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
