"""Order books of the recorded data: raw depth streams replayed over their snapshot, and a few single snapshots."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trading.domain.instrument import Market

Levels = tuple[tuple[float, float], ...]

SAMPLE_MS = 1000
"""A replayed book is looked at this often."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Both sides of a book at one moment; `asks` empty where only bids were recorded."""

    source: str
    market: Market
    at_ms: int
    bids: Levels
    asks: Levels


def replayed(path: Path, market: Market) -> Iterator[Sighting]:
    """A book a second out of a raw stream file: `LOCAL_NS JSON` lines with one REST snapshot among the diffs.

    The side of a book is the snapshot's 1000 levels and what diffs put among them; deeper ones are not all known, so
    none beyond the snapshot's end is given.
    """
    waiting: list[dict[str, object]] = []
    sides: dict[str, dict[float, float]] = {}
    seen, edge, next_ms = -1, {"b": 0.0, "a": float("inf")}, 0
    with gzip.open(path, "rt") as lines:
        for line in lines:
            told = json.loads(line.split(" ", 1)[1])
            if "stream" not in told:
                seen = told["lastUpdateId"]
                for key, name in (("b", "bids"), ("a", "asks")):
                    sides[key] = {float(p): float(q) for p, q in told[name]}
                    edge[key] = float(told[name][-1][0])
                for diff in waiting:
                    _apply(sides, diff, seen)
                continue
            diff = told["data"]
            if diff.get("e") != "depthUpdate":
                continue
            if not sides:
                waiting.append(diff)
                continue
            _apply(sides, diff, seen)
            if diff["E"] < next_ms:
                continue
            next_ms = diff["E"] + SAMPLE_MS
            bids = sorted(((p, q) for p, q in sides["b"].items() if p >= edge["b"]), reverse=True)
            asks = sorted((p, q) for p, q in sides["a"].items() if p <= edge["a"])
            yield Sighting(path.name, market, diff["E"], tuple(bids), tuple(asks))


def _apply(sides: dict[str, dict[float, float]], diff: dict[str, object], seen: int) -> None:
    if diff["u"] <= seen:  # type: ignore[operator]
        return
    for key, side in sides.items():
        for price, size in diff[key]:  # type: ignore[attr-defined]
            if float(size) > 0.0:
                side[float(price)] = float(size)
            else:
                side.pop(float(price), None)


def tardis(path: Path) -> Iterator[Sighting]:
    """Rows of a Tardis `book_snapshot_N` file; stamps are microseconds."""
    with path.open() as file:
        for row in csv.DictReader(file):
            sides = [
                tuple(
                    (float(row[f"{side}[{i}].price"]), float(row[f"{side}[{i}].amount"]))
                    for i in range(25)
                    if row.get(f"{side}[{i}].price")
                )
                for side in ("bids", "asks")
            ]
            yield Sighting(path.name, Market.PERP, int(row["timestamp"]) // 1000, *sides)


def bids_alone(path: Path) -> Iterator[Sighting]:
    """A snapshot of a hundred bids, one a row."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    bids = sorted(((float(row["price"]), float(row["qty"])) for row in rows if row["side"] == "b"), reverse=True)
    yield Sighting(path.name, Market.PERP, int(rows[0]["timestamp"]), tuple(bids), ())


def sightings(folder: Path) -> Iterator[Sighting]:
    """Every recorded book of BTCUSDT."""
    raw, rest = folder / "payloads" / "binance_ws_raw", folder / "payloads" / "binance_rest"
    yield from replayed(raw / "spot_btcusdt_20240808.gz", Market.SPOT)
    yield from replayed(raw / "usdm_btcusdt_20240808.gz", Market.PERP)
    yield from tardis(rest / "tardis_binance-futures_book_snapshot_25_BTCUSDT.csv")
    yield from bids_alone(rest / "nautilus_btcusdt-depth-snap.csv")
