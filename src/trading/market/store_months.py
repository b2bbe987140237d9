"""One month of candles on the shelf: merged with what comes new, hashed, written and read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from trading.domain.clock import as_datetime
from trading.domain.errors import DamagedFileError, DataProviderError
from trading.domain.market import INTERVAL_MS
from trading.market.columns import Columns
from trading.market.parquet import columns_of, read_parquet, write_parquet
from trading.market.series import CANDLE, OPTIONAL, VOLUME
from trading.market.tape import Origin
from trading.storage.files import set_aside


class Month(BaseModel):
    """One month of a series, as the manifest has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(pattern=r"^\d{4}-\d{2}-[0-9a-f]{12}\.parquet$")
    """Beside the manifest; a manifest that was shared names nothing elsewhere."""
    bars: int
    start_ms: int
    """Open time of its first bar."""
    end_ms: int
    """End of its last bar."""
    origin: Origin
    sha256: str
    """Over the columns."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A candle that came again with other numbers; the held one stays."""

    open_time_ms: int
    held: tuple[float, ...]
    """Open, high, low, close, and volume in base where there is one."""
    offered: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """Held and offered candles of one month."""

    columns: Columns
    added: int
    is_changed: bool
    """There is something to write: new candles, or amounts that the held ones lacked."""
    revised: tuple[Revision, ...]


def by_month(columns: Columns) -> Iterator[tuple[str, Columns]]:
    """Candles split at the months' edges: (`2024-01`, its columns), oldest first."""
    times = np.asarray(columns["open_time"], dtype=np.int64)
    first, last = (np.datetime64(int(ms), "ms").astype("datetime64[M]") for ms in (times[0], times[-1]))
    starts = [
        int(month.astype("datetime64[ms]").astype(np.int64))
        for month in np.arange(first, last + np.timedelta64(1, "M"))
    ]
    edges = [*np.searchsorted(times, starts), len(times)]
    for i, start_ms in enumerate(starts):
        part = slice(int(edges[i]), int(edges[i + 1]))
        if part.stop > part.start:
            yield as_datetime(float(start_ms)).strftime("%Y-%m"), {k: values[part] for k, values in columns.items()}


def merge(held: Columns | None, part: Columns, *, offered_counts: bool = False) -> Merged:
    """Offered candles beside the held ones: new ones are added; of two for one time the held one stays.

    Amounts that the one that stays lacks (trades, taker volumes) are taken over when everything else is equal.

    Args:
        held: Candles of the month on the shelf; None: none.
        part: Candles offered.
        offered_counts: Of two for one time the offered one stays.
    """
    if held is None:
        return Merged(part, len(part["open_time"]), is_changed=True, revised=())
    if offered_counts:
        found = merge(part, held)
        added = len(found.columns["open_time"]) - len(held["open_time"])
        is_changed = content_sha256(found.columns) != content_sha256(held)
        return Merged(found.columns, added, is_changed=is_changed, revised=found.revised)
    compared = [name for name in (*CANDLE[1:], VOLUME) if name in held and name in part]
    both, i, j = np.intersect1d(held["open_time"], part["open_time"], assume_unique=True, return_indices=True)
    old = np.column_stack([held[name][i] for name in compared])
    new = np.column_stack([part[name][j] for name in compared])
    differs = (old != new).any(axis=1)
    revised = tuple(
        Revision(int(both[k]), tuple(map(float, old[k])), tuple(map(float, new[k]))) for k in np.flatnonzero(differs)
    )
    fresh = ~np.isin(part["open_time"], held["open_time"], assume_unique=True)
    times = np.concatenate([held["open_time"], part["open_time"][fresh]])
    order = np.argsort(times)
    merged: Columns = {"open_time": np.asarray(times[order], dtype=np.int64)}
    is_enriched = False
    for name in (*CANDLE[1:], VOLUME, *OPTIONAL):
        if name not in held and name not in part:
            continue
        mine = np.array(held.get(name, np.full(len(held["open_time"]), np.nan)), dtype=np.float64)
        theirs = np.asarray(part.get(name, np.full(len(part["open_time"]), np.nan)), dtype=np.float64)
        if name in OPTIONAL:
            filled = np.isnan(mine[i]) & ~np.isnan(theirs[j]) & ~differs
            mine[i[filled]] = theirs[j[filled]]
            is_enriched = is_enriched or bool(filled.any())
        merged[name] = np.concatenate([mine, theirs[fresh]])[order]
    added = int(fresh.sum())
    return Merged(merged, added, is_changed=added > 0 or is_enriched, revised=revised)


def held_ms(months: Iterable[Month], interval_ms: int, start_ms: int | None, end_ms: int | None) -> int:
    """How much of a stretch candles are held of, milliseconds; None: from the first, to the last."""
    total = 0
    for month in months:
        first = month.start_ms if start_ms is None else max(start_ms, month.start_ms)
        end = month.end_ms if end_ms is None else min(end_ms, month.end_ms)
        total += max(0, min(end - first, month.bars * interval_ms))
    return total


def write_month(folder: Path, name: str, columns: Columns, origin: Origin) -> Month:
    """Write a month under a name of its own content.

    Raises:
        StateFileError: the file cannot be written.
    """
    digest = content_sha256(columns)
    file = f"{name}-{digest[:12]}.parquet"
    write_parquet(folder / file, columns)
    times = columns["open_time"]
    return Month(
        file=file,
        bars=len(times),
        start_ms=int(times[0]),
        end_ms=int(times[-1]) + INTERVAL_MS[folder.name],
        origin=origin,
        sha256=digest,
    )


def read_month(folder: Path, month: Month) -> Columns:
    """A month, equal to its hash.

    Raises:
        DataProviderError: it is not what was written, and set aside; or the machine cannot read it now, and it stays.
    """
    path = folder / month.file
    try:
        there = columns_of(path)
        columns = read_parquet([path], [name for name in (*CANDLE, VOLUME, *OPTIONAL) if name in there])
    except DamagedFileError as error:
        kept = set_aside(path)
        raise DataProviderError(f"{error}; set aside as {kept.name}; run `./lab history fetch`") from error
    if content_sha256(columns) != month.sha256:
        kept = set_aside(path)
        raise DataProviderError(f"{path}: does not match its hash; set aside as {kept.name}; run `./lab history fetch`")
    return columns


def content_sha256(columns: Columns) -> str:
    """Over times, prices, and whatever else there is, by name."""
    digest = hashlib.sha256()
    for name in (*CANDLE, VOLUME, *OPTIONAL):
        if name in columns:
            if name in OPTIONAL:
                digest.update(name.encode())
            digest.update(_plain(columns[name], np.int64 if name == "open_time" else np.float64))
    return digest.hexdigest()


def _plain(values: NDArray[np.float64] | NDArray[np.int64], kind: type) -> memoryview:
    array: NDArray[np.float64] | NDArray[np.int64] = np.ascontiguousarray(values, dtype=kind)
    if kind is np.float64 and np.isnan(array).any():
        array = np.where(np.isnan(array), np.nan, array)  # one nan of all
    return array.data
