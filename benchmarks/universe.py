"""What the point-in-time universe and the funding schedule cost: disk a year, and time to read them.

`python -m benchmarks.universe`; JSON. Sizes are of the recorded exchange info and margin tables of `../shared/data`.
The year of loading has 365 snapshots of the recorded document, each with one minimum notional of its own: the dearest
case, for a day without a change is no file.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from trading.domain.clock import HOUR_MS
from trading.domain.instrument import Market
from trading.market.funding_schedule import read_schedule
from trading.market.universe import Universe
from trading.market.universe_snapshot import Kind, Snapshot, packed, read_document
from trading.market.universe_store import UniverseStore

PAYLOADS = Path(__file__).resolve().parents[2] / "shared" / "data" / "payloads" / "binance_rest"
DAY_MS, DAYS = 86_400_000, 365
SPOT, PERP = "spot_exchangeInfo_2021-04-29.json.gz", "usdm_exchangeInfo_2025-03-06.json.gz"
TABLES = "usdm_leverage_brackets.trim.json"
SYMBOLS = {Kind.SPOT: 3_000, Kind.PERP: 500, Kind.BRACKETS: 500}
"""Of the venue today, roughly; the recorded documents have fewer."""


def read(name: str) -> Snapshot:
    """A recorded document."""
    return read_document((PAYLOADS / name).read_bytes(), name, at_ms=1_735_689_600_000, is_complete=name != TABLES)


def seconds(work: Callable[[], object]) -> float:
    """Best of three."""
    spent = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return round(min(spent), 4)


def changed(snapshot: Snapshot, day: int) -> Snapshot:
    """The same a day later, with another minimum for one symbol."""
    symbol, row = next(iter(snapshot.rows.items()))
    held = dict(row) if isinstance(row, dict) else {}
    rows = {**snapshot.rows, symbol: {**held, "min_notional": str(day + 1)}}
    return replace(snapshot, taken_ms=snapshot.taken_ms + day * DAY_MS, confirmed_ms=0, rows=rows)


def year_of(name: str, market: Market, symbol: str) -> dict[str, float]:
    """Loading a year that changed every day, and one question to it."""
    first = read(name)
    with tempfile.TemporaryDirectory() as folder:
        store = UniverseStore(Path(folder))
        store.root.mkdir()
        for day in range(DAYS):
            file, content = packed(changed(first, day))
            (store.root / file).write_bytes(content)
        load_s = seconds(lambda: store.snapshots(first.kind, symbol=symbol))
        load_all_s = seconds(lambda: store.snapshots(first.kind))
        universe = Universe(store.snapshots(first.kind))
        at_ms = first.taken_ms + 200 * DAY_MS
        return {
            f"load_year_{market}_s": load_s,
            f"load_year_{market}_every_symbol_s": load_all_s,
            f"ask_{market}_s": seconds(lambda: universe.of(market, symbol, at_ms)),
        }


def hourly_with_changes() -> np.ndarray:
    """Five years of a contract that goes from 8 h to hourly and back to 4 h every month."""
    hours, hour = list[int](), 0
    while hour < 5 * 365 * 24:
        for interval, count in ((8, 45), (1, 120), (4, 60)):
            hours += range(hour, hour + interval * count, interval)
            hour += interval * count
        hour += -hour % 8
    return np.unique(np.array(hours, dtype=np.int64)) * HOUR_MS + 7


def figures() -> dict[str, object]:
    """Everything that is told."""
    found: dict[str, object] = {}
    year_mb = 0.0
    for name in (SPOT, PERP, TABLES):
        snapshot = read(name)
        size = len(packed(snapshot)[1])
        a_day = size / len(snapshot.rows) * SYMBOLS[snapshot.kind]
        year_mb += a_day * DAYS / 1e6
        found[f"{snapshot.kind}_file_bytes"], found[f"{snapshot.kind}_symbols"] = size, len(snapshot.rows)
        found[f"{snapshot.kind}_read_document_s"] = seconds(lambda name=name: read(name))  # type: ignore[misc]
    found["year_mb_if_every_day_changed"] = round(year_mb, 1)
    found |= year_of(SPOT, Market.SPOT, "BTCUSDT") | year_of(PERP, Market.PERP, "BTCUSDT")
    eights, changing = np.arange(5 * 365 * 3, dtype=np.int64) * 8 * HOUR_MS, hourly_with_changes()
    found["schedule_5_years_8h_s"] = seconds(lambda: read_schedule(eights))
    found["schedule_changing_settlements"] = len(changing)
    found["schedule_changing_stretches"] = len(read_schedule(changing).stretches)
    found["schedule_changing_s"] = seconds(lambda: read_schedule(changing))
    return found


if __name__ == "__main__":
    print(json.dumps(figures(), indent=2))
