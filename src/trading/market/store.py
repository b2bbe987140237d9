"""The lab's own shelf of markets: Parquet files by series, symbol, interval and month, with a manifest of hashes.

`ROOT/spot/BTCUSDT/1h/2024-01-3f9a….parquet`, and `manifest.json` beside it, which names the file that counts for each
month. A file is written under a new name before the manifest points at it, so a crash leaves the old state or the new
one. A candle or a settlement that comes again with other numbers does not replace the one held: it is put aside in
`revisions.jsonl` and reported.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from trading.domain.clock import DAY_MS, iso
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.market.columns import Columns
from trading.market.importers import tape_of
from trading.market.resample import resample
from trading.market.series import CANDLE, VOLUME, Series, check_columns
from trading.market.store_funding import merge_settlements, note_revisions, read_settlements
from trading.market.store_months import Month, Revision, by_month, held_ms, merge, read_month, write_month
from trading.market.tape import Funding, Origin, Tape
from trading.storage.files import read_json, set_aside, write_json
from trading.storage.lock import reading_lock, waiting_lock

SCHEMA = 1
EDGES_MS = DAY_MS
"""Of a stretch a longer interval may have so much less and still be taken: its edges are cut to whole candles."""
_FETCH = "run `./lab history fetch`"


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of candles that were put on the shelf."""

    added_bars: int
    known_bars: int
    added_settlements: int
    revised: tuple[Revision, ...]


@dataclass(frozen=True, slots=True)
class Holding:
    """What the shelf has of one series and interval."""

    series: Series
    symbol: str
    interval: str
    bars: int
    start_ms: int
    end_ms: int
    origins: tuple[Origin, ...]

    @property
    def market(self) -> Market:
        """Which book of the venue it belongs to."""
        return Market.SPOT if self.series is Series.SPOT else Market.PERP


class TapeStore:
    """Markets on disk.

    Args:
        root: Folder of the store; made when the first candles are saved.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def save(self, tape: Tape) -> Saved:
        """Add a tape's bars and settlements.

        Raises:
            DataProviderError: synthetic and real bars would be mixed.
            StateFileError: the store cannot be written to.
        """
        values = (tape.open_time_ms, tape.open, tape.high, tape.low, tape.close, tape.volume_base)
        columns: Columns = dict(zip((*CANDLE, VOLUME), values, strict=True))
        saved = self.save_series(Series(tape.market.value), tape.symbol, tape.interval, columns, origin=tape.origin)
        settled = self.settle(tape.symbol, tape.funding)
        return Saved(saved.added_bars, saved.known_bars, settled, saved.revised)

    def save_series(self, series: Series, symbol: str, interval: str, columns: Columns, *, origin: Origin) -> Saved:
        """Add candles of a series.

        Args:
            series: Which.
            symbol: `BTCUSDT`.
            interval: `1m`.
            columns: open_time (UTC ms, ascending), open, high, low, close, and where there are trades volume and any
                of `series.OPTIONAL`; (n,) each.
            origin: Where they come from.

        Raises:
            DataProviderError: they make no sense, or synthetic and real ones would be mixed.
            StateFileError: the store cannot be written to.
        """
        return self._put(series, symbol, interval, columns, origin, offered_counts=False)

    def take_over(self, series: Series, symbol: str, interval: str, columns: Columns, *, origin: Origin) -> Saved:
        """As `save_series`, but what comes counts: a held candle with other numbers is the one put aside."""
        return self._put(series, symbol, interval, columns, origin, offered_counts=True)

    def _put(
        self, series: Series, symbol: str, interval: str, columns: Columns, origin: Origin, *, offered_counts: bool
    ) -> Saved:
        check_columns(columns, series, interval, f"{series} {symbol} {interval}")
        folder = self._folder(series, symbol, interval)
        folder.mkdir(parents=True, exist_ok=True)
        with waiting_lock(folder / ".lock"):
            months = self._manifest(folder)
            origins = {month.origin for month in months.values()} | {origin}
            if "synthetic" in origins and len(origins) > 1:
                held_origins = ", ".join(sorted(origins - {origin}))
                raise DataProviderError(
                    f"{folder}: origin={origin}: the store holds {held_origins} bars; "
                    "keep synthetic markets in a store of their own"
                )
            before, added, revised = set(months), 0, list[Revision]()
            for name, part in by_month(columns):
                held = months.get(name)
                merged = merge(read_month(folder, held) if held else None, part, offered_counts=offered_counts)
                added += merged.added
                revised += merged.revised
                if merged.is_changed:
                    mixed = held is not None and held.origin != origin
                    months[name] = write_month(folder, name, merged.columns, "downloaded" if mixed else origin)
            # Before the manifest: what it no longer names is found nowhere else afterwards.
            note_revisions(folder / "revisions.jsonl", revised)
            write_json(
                folder / "manifest.json", {"months": {k: months[k].model_dump() for k in sorted(months)}}, schema=SCHEMA
            )
            named = {month.file for month in months.values()}
            for path in folder.glob("*.parquet"):
                # What was replaced, by this writer or by one that was killed before it came to here.
                if path.name not in named and path.name[: len("2024-01")] in before:
                    path.unlink(missing_ok=True)
            for path in folder.glob(".*.tmp"):
                path.unlink(missing_ok=True)
        return Saved(added, len(columns["open_time"]) - added - len(revised), 0, tuple(revised))

    def series(
        self, series: Series, symbol: str, interval: str, start_ms: int | None = None, end_ms: int | None = None
    ) -> Columns:
        """The candles of a series that open in [start, end), as columns, oldest first.

        Raises:
            DataProviderError: nothing is held of the stretch; a file does not match its hash.
        """
        folder = self._folder(series, symbol, interval)
        # A writer removes the file that it replaced: without the lock a month could be gone before it is read.
        with reading_lock(folder / ".lock"):
            held = self._manifest(folder)
            months = [
                month
                for month in held.values()
                if (start_ms is None or month.end_ms > start_ms) and (end_ms is None or month.start_ms < end_ms)
            ]
            columns = _in_one(folder, sorted(months, key=lambda month: month.start_ms)) if months else {}
        if not months:
            have = ", ".join(f"{iso(h.start_ms)}..{iso(h.end_ms)}" for h in _holding(folder, held)) or "none"
            raise DataProviderError(
                f"store {series} {symbol} {interval}: no bars in that stretch, held are {have}; {_FETCH}"
            )
        times = columns["open_time"]
        low = 0 if start_ms is None else int(np.searchsorted(times, start_ms))
        high = len(times) if end_ms is None else int(np.searchsorted(times, end_ms))
        if low >= high:
            raise DataProviderError(f"store {series} {symbol} {interval}: no bars in that stretch; {_FETCH}")
        return {name: values[low:high] for name, values in columns.items()}

    def load(
        self, market: Market, symbol: str, interval: str, start_ms: int | None = None, end_ms: int | None = None
    ) -> Tape:
        """The bars that open in [start, end), with settled funding for a perpetual.

        It is made of the longest interval held that has as much of the stretch as any: hours of a few days do not
        hide minutes of years.

        Raises:
            DataProviderError: nothing is held for the market or the stretch; a file does not match its hash.
        """
        series = Series(market.value)
        source = self._held_interval(series, symbol, interval, start_ms, end_ms)
        columns = self.series(series, symbol, source, start_ms, end_ms)
        origins = {
            month.origin
            for month in self.months(series, symbol, source).values()
            if (start_ms is None or month.end_ms > start_ms) and (end_ms is None or month.start_ms < end_ms)
        }
        origin = origins.pop() if len(origins) == 1 else "downloaded"
        times, funding = columns["open_time"], Funding.none()
        if market is Market.PERP:
            funding = self.funding(symbol, int(times[0]), int(times[-1]) + INTERVAL_MS[source])
        return resample(tape_of(columns, market, symbol, source, origin=origin, funding=funding), interval)

    def months(self, series: Series, symbol: str, interval: str) -> dict[str, Month]:
        """The months held of a series, by name (`2024-01`); empty: none."""
        folder = self._folder(series, symbol, interval)
        with reading_lock(folder / ".lock"):
            return self._manifest(folder)

    def revisions(self, series: Series, symbol: str, interval: str) -> list[Revision]:
        """Candles that came again with other numbers, in the order they came."""
        path = self._folder(series, symbol, interval) / "revisions.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        found = (json.loads(line) for line in lines if line.endswith("}"))
        return [Revision(row["open_time_ms"], tuple(row["held"]), tuple(row["offered"])) for row in found]

    def settle(self, symbol: str, funding: Funding) -> int:
        """Add settlements of a perpetual; returns how many are new.

        A mark that was not known is taken over; another rate for a time that is held is put aside as a revision.

        Raises:
            StateFileError: the store cannot be written to.
        """
        return merge_settlements(self._funding_file(symbol), funding, offered_counts=False)

    def settle_over(self, symbol: str, funding: Funding) -> int:
        """As `settle`, but what comes counts: a held settlement with another rate is the one put aside."""
        return merge_settlements(self._funding_file(symbol), funding, offered_counts=True)

    def funding(self, symbol: str, start_ms: int, end_ms: int) -> Funding:
        """Settlements in (start, end]; none when none are held.

        Raises:
            DataProviderError: the file is damaged, or was and nothing has been fetched since.
        """
        return read_settlements(self._funding_file(symbol), start_ms, end_ms)

    def holdings(self) -> list[Holding]:
        """What the shelf has, by series, symbol and interval."""
        found = sorted(self.root.glob("*/*/*/manifest.json"))
        folders = (path.parent for path in found)
        return [one for folder in folders for one in _holding(folder, self.months(*_key_of(folder)))]

    def _folder(self, series: Series, symbol: str, interval: str) -> Path:
        return self.root / series / symbol / interval

    def _held_interval(
        self, series: Series, symbol: str, interval: str, start_ms: int | None, end_ms: int | None
    ) -> str:
        span_ms = INTERVAL_MS.get(interval, 0)
        held = {
            name: held_ms(self.months(series, symbol, name).values(), length_ms, start_ms, end_ms)
            for name, length_ms in sorted(INTERVAL_MS.items(), key=lambda item: -item[1])
            if span_ms % length_ms == 0 and (self._folder(series, symbol, name) / "manifest.json").exists()
        }
        if not span_ms or not held:
            raise DataProviderError(f"store {series} {symbol} {interval}: not held in {self.root}; {_FETCH}")
        most_ms = max(held.values())
        return next(name for name, found_ms in held.items() if found_ms + EDGES_MS >= most_ms)

    def _manifest(self, folder: Path) -> dict[str, Month]:
        data = read_json(folder / "manifest.json", schema=SCHEMA)
        months = data.get("months") if data else {}
        try:
            found = {name: Month.model_validate(month) for name, month in dict(months or {}).items()}  # type: ignore[call-overload]
        except (ValidationError, TypeError, ValueError) as error:
            kept = set_aside(folder / "manifest.json")
            raise DataProviderError(
                f"{folder}: the manifest makes no sense; set aside as {kept.name}; {_FETCH}"
            ) from error
        # A file is written before the manifest names it: one that is not there was damaged and set aside.
        return {name: month for name, month in found.items() if (folder / month.file).exists()}

    def _funding_file(self, symbol: str) -> Path:
        return self.root / Series.PERP / symbol / "funding.parquet"


def _key_of(folder: Path) -> tuple[Series, str, str]:
    series, symbol, interval = folder.parts[-3:]
    return Series(series), symbol, interval


def _holding(folder: Path, held: dict[str, Month]) -> list[Holding]:
    months = list(held.values())
    if not months:
        return []
    return [
        Holding(
            *_key_of(folder),
            sum(month.bars for month in months),
            min(month.start_ms for month in months),
            max(month.end_ms for month in months),
            tuple(sorted({month.origin for month in months})),
        )
    ]


def _in_one(folder: Path, months: Sequence[Month]) -> Columns:
    """Months one behind the other, each read into its place: a year of minutes is not held twice."""
    first = read_month(folder, months[0])
    total = sum(month.bars for month in months)
    columns: Columns = {name: np.empty_like(values, shape=(total,)) for name, values in first.items()}
    at = 0
    for month in months:
        part = first if month is months[0] else read_month(folder, month)
        for name in [name for name in columns if name not in part]:
            del columns[name]
        for name, values in columns.items():
            values[at : at + month.bars] = part[name]
        at += month.bars
    return columns
