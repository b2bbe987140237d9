"""The lab's own shelf of tapes: Parquet files by market, symbol, interval and month, with a manifest of hashes.

`ROOT/spot/BTCUSDT/1h/2024-01-3f9a….parquet`, and `manifest.json` beside it, which names the file that counts for each
month. A file is written under a new name before the manifest points at it, so a crash leaves the old state or the new
one. A candle that comes again with other numbers does not replace the one held: it is put aside in `revisions.jsonl`
and reported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from trading.domain.clock import as_datetime, iso
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.market.importers import CANDLE, SETTLEMENT, read_funding, tape_of
from trading.market.parquet import Columns, read_parquet, write_parquet
from trading.market.resample import resample
from trading.market.tape import Funding, Origin, Tape
from trading.storage.files import append_line, read_json, set_aside, write_json
from trading.storage.lock import waiting_lock

SCHEMA = 1
_FETCH = "run `./lab history fetch`"


class Month(BaseModel):
    """One month of a market, as the manifest has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
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
    """Open, high, low, close, volume in base."""
    offered: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of a tape that was put on the shelf."""

    added_bars: int
    known_bars: int
    added_settlements: int
    revised: tuple[Revision, ...]


@dataclass(frozen=True, slots=True)
class Holding:
    """What the shelf has of one market and interval."""

    market: Market
    symbol: str
    interval: str
    bars: int
    start_ms: int
    end_ms: int
    origins: tuple[Origin, ...]


class TapeStore:
    """Tapes on disk.

    Args:
        root: Folder of the store; made when the first tape is saved.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def save(self, tape: Tape) -> Saved:
        """Add a tape's bars and settlements.

        Raises:
            DataProviderError: synthetic and real bars would be mixed.
            StateFileError: the store cannot be written to.
        """
        folder = self._folder(tape.market, tape.symbol, tape.interval)
        folder.mkdir(parents=True, exist_ok=True)
        with waiting_lock(folder / ".lock"):
            months = self._manifest(folder)
            origins = {month.origin for month in months.values()} | {tape.origin}
            if "synthetic" in origins and len(origins) > 1:
                held_origins = ", ".join(sorted(origins - {tape.origin}))
                raise DataProviderError(
                    f"{folder}: origin={tape.origin}: the store holds {held_origins} bars; "
                    "keep synthetic markets in a store of their own"
                )
            added, revised, stale = 0, list[Revision](), list[str]()
            for name, part in _by_month(tape):
                held = months.get(name)
                merged, news, changed = _merge(self._month(folder, held) if held else None, part)
                added += news
                revised += changed
                if news:
                    mixed = held is not None and held.origin != tape.origin
                    months[name] = _write_month(folder, name, merged, "downloaded" if mixed else tape.origin)
                    stale += [held.file] if held and held.file != months[name].file else []
            write_json(
                folder / "manifest.json", {"months": {k: months[k].model_dump() for k in sorted(months)}}, schema=SCHEMA
            )
            for file in stale:
                (folder / file).unlink(missing_ok=True)
            _note_revisions(folder / "revisions.jsonl", revised)
            settled = self._settle(tape)
        return Saved(added, len(tape) - added - len(revised), settled, tuple(revised))

    def load(
        self, market: Market, symbol: str, interval: str, start_ms: int | None = None, end_ms: int | None = None
    ) -> Tape:
        """The bars that open in [start, end), with settled funding for a perpetual.

        An interval that is not held is made from the longest shorter one that is.

        Raises:
            DataProviderError: nothing is held for the market or the stretch; a file does not match its hash.
        """
        source = self._held_interval(market, symbol, interval)
        folder = self._folder(market, symbol, source)
        months = [
            month
            for month in self._manifest(folder).values()
            if (start_ms is None or month.end_ms > start_ms) and (end_ms is None or month.start_ms < end_ms)
        ]
        if not months:
            have = ", ".join(f"{iso(h.start_ms)}..{iso(h.end_ms)}" for h in self._holdings_of(folder))
            raise DataProviderError(
                f"store {market} {symbol} {interval}: no bars in that stretch, held are {have}; {_FETCH}"
            )
        parts = [self._month(folder, month) for month in sorted(months, key=lambda month: month.start_ms)]
        columns: Columns = {name: np.concatenate([part[name] for part in parts]) for name in CANDLE}
        origins = {month.origin for month in months}
        origin = origins.pop() if len(origins) == 1 else "downloaded"
        times = columns["open_time"]
        kept = np.ones(len(times), dtype=np.bool_)
        kept &= times >= (times[0] if start_ms is None else start_ms)
        kept &= times < (times[-1] + 1 if end_ms is None else end_ms)
        if not kept.any():
            raise DataProviderError(f"store {market} {symbol} {interval}: no bars in that stretch; {_FETCH}")
        for name in CANDLE:
            columns[name] = columns[name][kept]
        funding = self._funding(market, symbol, np.asarray(columns["open_time"], np.int64), INTERVAL_MS[source])
        return resample(tape_of(columns, market, symbol, source, origin=origin, funding=funding), interval)

    def holdings(self) -> list[Holding]:
        """What the shelf has, by market, symbol and interval."""
        found = sorted(self.root.glob("*/*/*/manifest.json"))
        return [holding for path in found for holding in self._holdings_of(path.parent)]

    def _folder(self, market: Market, symbol: str, interval: str) -> Path:
        return self.root / market / symbol / interval

    def _held_interval(self, market: Market, symbol: str, interval: str) -> str:
        shorter = [
            held
            for held in sorted(INTERVAL_MS, key=lambda name: -INTERVAL_MS[name])
            if INTERVAL_MS.get(interval, 0) % INTERVAL_MS[held] == 0
            and (self._folder(market, symbol, held) / "manifest.json").exists()
        ]
        if interval not in INTERVAL_MS or not shorter:
            raise DataProviderError(f"store {market} {symbol} {interval}: not held in {self.root}; {_FETCH}")
        return shorter[0]

    def _holdings_of(self, folder: Path) -> list[Holding]:
        months = list(self._manifest(folder).values())
        if not months:
            return []
        market, symbol, interval = folder.parts[-3:]
        return [
            Holding(
                Market(market),
                symbol,
                interval,
                sum(month.bars for month in months),
                min(month.start_ms for month in months),
                max(month.end_ms for month in months),
                tuple(sorted({month.origin for month in months})),
            )
        ]

    def _manifest(self, folder: Path) -> dict[str, Month]:
        data = read_json(folder / "manifest.json", schema=SCHEMA)
        months = data.get("months") if data else {}
        try:
            return {name: Month.model_validate(month) for name, month in dict(months or {}).items()}  # type: ignore[call-overload]
        except (ValidationError, TypeError, ValueError) as error:
            kept = set_aside(folder / "manifest.json")
            raise DataProviderError(
                f"{folder}: the manifest makes no sense; set aside as {kept.name}; {_FETCH}"
            ) from error

    def _month(self, folder: Path, month: Month) -> Columns:
        path = folder / month.file
        columns = read_parquet([path], CANDLE)
        if _sha256(columns) != month.sha256:
            kept = set_aside(path)
            raise DataProviderError(f"{path}: does not match its hash; set aside as {kept.name}; {_FETCH}")
        return columns

    def _funding_file(self, symbol: str) -> Path:
        return self.root / Market.PERP / symbol / "funding.parquet"

    def _funding(self, market: Market, symbol: str, times: NDArray[np.int64], interval_ms: int) -> Funding:
        path = self._funding_file(symbol)
        if market is Market.SPOT or not path.exists():
            return Funding.none()
        return read_funding(path, start_ms=int(times[0]), end_ms=int(times[-1]) + interval_ms)

    def _settle(self, tape: Tape) -> int:
        if len(tape.funding.time_ms) == 0:
            return 0
        path = self._funding_file(tape.symbol)
        parts = [read_funding(path, start_ms=-1, end_ms=2**62)] if path.exists() else []
        parts.append(tape.funding)
        times, kept = np.unique(np.concatenate([part.time_ms for part in parts]), return_index=True)
        added = len(times) - (len(parts[0].time_ms) if len(parts) == 2 else 0)
        if added:
            rates = np.concatenate([part.rate for part in parts])[kept]
            marks = np.concatenate([part.mark_price for part in parts])[kept]
            write_parquet(path, dict(zip(SETTLEMENT, (times, rates, marks), strict=True)))
        return added


def _by_month(tape: Tape) -> Iterator[tuple[str, Columns]]:
    names = np.array([as_datetime(float(ms)).strftime("%Y-%m") for ms in _month_starts(tape)])
    edges = [*np.searchsorted(tape.open_time_ms, _month_starts(tape)), len(tape)]
    values = (tape.open, tape.high, tape.low, tape.close, tape.volume_base)
    for i, name in enumerate(names):
        part = slice(int(edges[i]), int(edges[i + 1]))
        if part.stop > part.start:
            columns: Columns = {"open_time": tape.open_time_ms[part]}
            columns |= {column: array[part] for column, array in zip(CANDLE[1:], values, strict=True)}
            yield str(name), columns


def _month_starts(tape: Tape) -> list[int]:
    first = np.datetime64(tape.start_ms, "ms").astype("datetime64[M]")
    last = np.datetime64(int(tape.open_time_ms[-1]), "ms").astype("datetime64[M]")
    return [int(m.astype("datetime64[ms]").astype(np.int64)) for m in np.arange(first, last + 1)]


def _merge(held: Columns | None, part: Columns) -> tuple[Columns, int, list[Revision]]:
    """Held and offered candles of a month: the merged ones, how many are new, which were revised."""
    if held is None:
        return part, len(part["open_time"]), []
    both, i, j = np.intersect1d(held["open_time"], part["open_time"], assume_unique=True, return_indices=True)
    old = np.column_stack([held[name][i] for name in CANDLE[1:]])
    new = np.column_stack([part[name][j] for name in CANDLE[1:]])
    revised = [
        Revision(int(both[k]), tuple(map(float, old[k])), tuple(map(float, new[k])))
        for k in np.flatnonzero((old != new).any(axis=1))
    ]
    fresh = ~np.isin(part["open_time"], held["open_time"], assume_unique=True)
    times = np.concatenate([held["open_time"], part["open_time"][fresh]])
    order = np.argsort(times)
    merged: Columns = {"open_time": np.asarray(times[order], dtype=np.int64)}
    for name in CANDLE[1:]:
        merged[name] = np.concatenate([held[name], part[name][fresh]]).astype(np.float64)[order]
    return merged, int(fresh.sum()), revised


def _write_month(folder: Path, name: str, columns: Columns, origin: Origin) -> Month:
    digest = _sha256(columns)
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


def _sha256(columns: Columns) -> str:
    digest = hashlib.sha256()
    for name in CANDLE:
        digest.update(columns[name].astype(np.int64 if name == "open_time" else np.float64).tobytes())
    return digest.hexdigest()


def _note_revisions(path: Path, revised: list[Revision]) -> None:
    known = set(path.read_text(encoding="utf-8").splitlines()) if revised and path.exists() else set()
    for revision in revised:
        line = json.dumps({"open_time_ms": revision.open_time_ms, "held": revision.held, "offered": revision.offered})
        if line not in known:
            append_line(path, line.encode())
