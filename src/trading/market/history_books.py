"""What the history fetch keeps beside the shelf: which sources were imported, which holes there are and why.

`ledger/spot_BTCUSDT_1m.sources.jsonl` has a line for each file or run of pages that is on the shelf, with the file's
SHA-256: a fetch that is begun again, or was killed, takes up where it was. `ledger/spot_BTCUSDT_1m.gaps.json` is the
ledger of gaps. Both can be made anew by fetching again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from trading.domain.errors import DataProviderError
from trading.market.gap_ledger import Cause, Hole
from trading.storage.files import append_line, read_json, set_aside, write_json

log = structlog.get_logger()

SCHEMA, OLDEST_SCHEMA = 2, 1
"""Of the ledger of gaps; the oldest had one stretch."""


class Source(BaseModel):
    """One imported file of the archive, or one run of the exchange's pages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Path in the archive, or `pages`."""
    sha256: str
    """Of the zip; empty for pages."""
    rows: int
    first_ms: int
    last_ms: int
    """Open times of its first and last candle, UTC milliseconds."""
    at_ms: int
    """When it was imported."""


def source_of(name: str, sha256: str, times: NDArray[np.float64] | NDArray[np.int64], now_ms: int) -> Source:
    """A source by what it brought: times are (n,) open or settlement times, ascending."""
    first_ms, last_ms = (int(times[0]), int(times[-1])) if len(times) else (0, 0)
    return Source(name=name, sha256=sha256, rows=len(times), first_ms=first_ms, last_ms=last_ms, at_ms=now_ms)


def sources_file(books: Path, series: str, symbol: str, interval: str) -> Path:
    """Where the sources of a series are noted."""
    return books / f"{_name(series, symbol, interval)}.sources.jsonl"


def gaps_file(books: Path, series: str, symbol: str, interval: str) -> Path:
    """Where the ledger of a series' gaps is."""
    return books / f"{_name(series, symbol, interval)}.gaps.json"


class SourceBook:
    """Imported sources of one series of one symbol and interval, append-only.

    Args:
        path: Its file; made with the first line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, Source]:
        """The newest line of each source. A line that was torn by a crash counts as never written."""
        if not self._path.exists():
            return {}
        found: dict[str, Source] = {}
        for number, line in enumerate(self._path.read_bytes().splitlines()):
            if not line.strip():
                continue
            try:
                source = Source.model_validate_json(line)
            except ValidationError:
                log.warning("history.source_line_unreadable", file=self._path.name, line=number + 1)
                continue
            found[source.name] = source
        return found

    def note(self, source: Source) -> None:
        """Append a line; what it tells of must be on the shelf already.

        Raises:
            StateFileError: the file cannot be written to.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        torn = self._path.exists() and not self._path.read_bytes().endswith(b"\n")
        append_line(self._path, (b"\n" if torn else b"") + source.model_dump_json().encode())


@dataclass(frozen=True, slots=True)
class GapLedger:
    """The holes of one series over what was fetched of it."""

    stretches: tuple[tuple[int, int], ...]
    """[start, end) of open times that were asked for, ascending, apart from each other."""
    at_ms: int
    """When they were looked for."""
    holes: tuple[Hole, ...]
    repaired: tuple[Hole, ...] = ()
    """Holes of the archive that the exchange's pages filled."""


def write_ledger(path: Path, ledger: GapLedger) -> None:
    """Replace the ledger of gaps.

    Raises:
        StateFileError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"stretches": ledger.stretches, "at_ms": ledger.at_ms}
    write_json(path, {**data, "holes": _rows(ledger.holes), "repaired": _rows(ledger.repaired)}, schema=SCHEMA)


def read_ledger(path: Path) -> GapLedger | None:
    """The ledger of gaps; None: nobody has looked yet.

    Raises:
        StateFileError: not what `write_ledger` writes; set aside.
        DataProviderError: its rows make no sense; set aside.
    """
    data = read_json(path, schema=SCHEMA, oldest=OLDEST_SCHEMA)
    if data is None:
        return None
    try:
        rows = json.loads(json.dumps(data))
        stretches = rows["stretches"] if "stretches" in rows else [(rows["start_ms"], rows["end_ms"])]
        asked = together((int(start_ms), int(end_ms)) for start_ms, end_ms in stretches)
        return GapLedger(asked, int(rows["at_ms"]), _holes(rows["holes"]), _holes(rows["repaired"]))
    except (KeyError, TypeError, ValueError) as error:
        kept = set_aside(path)
        raise DataProviderError(
            f"{path}: makes no sense ({error}); set aside as {kept.name}; run `./lab history fetch` again"
        ) from error


def together(stretches: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """[start, end) stretches in order, those that touch or overlap made one; empty ones left out."""
    found: list[tuple[int, int]] = []
    for start_ms, end_ms in sorted(one for one in stretches if one[0] < one[1]):
        if found and start_ms <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end_ms))
        else:
            found.append((start_ms, end_ms))
    return tuple(found)


def _name(series: str, symbol: str, interval: str) -> str:
    return "_".join(part for part in (series, symbol, interval) if part)


def _rows(holes: Sequence[Hole]) -> list[object]:
    return [
        {"first_ms": hole.first_ms, "bars": hole.bars, "cause": hole.cause.value, "evidence": list(hole.evidence)}
        for hole in holes
    ]


def _holes(rows: list[dict[str, Any]]) -> tuple[Hole, ...]:
    return tuple(
        Hole(int(row["first_ms"]), int(row["bars"]), Cause(row["cause"]), tuple(map(str, row["evidence"])))
        for row in rows
    )
