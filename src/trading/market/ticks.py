"""Ticks of the public archive on disk: every aggregated trade, and the best bid and ask, a Parquet file a day.

`ticks/perp/aggTrades/BTCUSDT/2024-10-18-<hash>.parquet`; the hash is the archive's own of the zip, and
`sources.jsonl` beside it lists what was imported. Prices are quote per base, quantities base, times UTC milliseconds.
"""

from __future__ import annotations

import asyncio
import io
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from trading.domain.clock import Clock, iso
from trading.domain.errors import DataProviderError, StateFileError
from trading.domain.instrument import Market
from trading.market.archive import Archive
from trading.market.archive_files import ArchiveFile, Ticks, tick_files
from trading.market.archive_rows import MICROSECONDS_FROM
from trading.market.columns import Columns
from trading.market.history_books import Source, SourceBook
from trading.market.history_intake import Told
from trading.market.parquet import csv_to_parquet, read_parquet, span_of

COLUMNS: Mapping[Ticks, tuple[str, ...]] = {
    Ticks.AGG_TRADES: ("trade_id", "price", "quantity_base", "first_id", "last_id", "time_ms", "is_buyer_maker"),
    Ticks.BOOK_TICKER: ("update_id", "bid", "bid_base", "ask", "ask_base", "time_ms", "event_ms"),
}
"""In the archive's own order."""
_MILLISECONDS = "CASE WHEN {0} >= " + str(MICROSECONDS_FROM) + " THEN {0} // 1000 ELSE {0} END"
_WHOLE = {"trade_id", "first_id", "last_id", "time_ms", "update_id", "event_ms"}


@dataclass(frozen=True, slots=True)
class TickReport:
    """What became of a fetch."""

    files: int
    files_known: int
    rows: int
    """Of the files imported this time."""
    missing: tuple[str, ...]
    """Days the archive has no file of."""


@dataclass(frozen=True, slots=True)
class TickShelf:
    """Ticks of one kind, market and symbol.

    Args:
        root: Folder of all ticks.
    """

    root: Path
    kind: Ticks
    market: Market
    symbol: str

    @property
    def folder(self) -> Path:
        """Where its days are."""
        return self.root / self.market / self.kind / self.symbol

    async def fetch(
        self, archive: Archive, start_ms: int, end_ms: int, *, clock: Clock, told: Told, again: bool = False
    ) -> TickReport:
        """Import the days of a stretch, one after another: a day may be a hundred megabytes.

        Raises:
            NetworkDownError: the archive does not answer.
            DataProviderError: none of it is in the archive, or a file is no CSV of ticks.
            StateFileError: the disk is full, or the folder cannot be written to.
        """
        book = SourceBook(self.folder / "sources.jsonl")
        known = {} if again else book.read()
        imported, before, rows, missing = 0, 0, 0, list[str]()
        for file in tick_files(self.kind, self.market, self.symbol, start_ms, end_ms, now_ms=clock.now_ms()):
            day = iso(file.first_ms)[:10]
            if file.path in known and self._file(day, known[file.path].sha256).exists():
                before += 1
                continue
            fetched = await archive.fetch(file)
            if fetched is None:
                missing.append(day)
                continue
            target = self._file(day, fetched.sha256)
            first_ms, last_ms, count = await asyncio.to_thread(self._import, fetched.content, file, target)
            source = Source(
                name=file.path, sha256=fetched.sha256, rows=count, first_ms=first_ms, last_ms=last_ms,
                at_ms=clock.now_ms(),
            )  # fmt: skip
            book.note(source)
            imported, rows = imported + 1, rows + count
            told(count, f"{self.market} {file.name}")
        if not imported and not before:
            raise DataProviderError(
                f"{self.market} {self.symbol} {self.kind}: the archive has none between {iso(start_ms)} and "
                f"{iso(end_ms)}; check symbol and dates"
            )
        return TickReport(imported, before, rows, tuple(missing))

    def read(self, start_ms: int, end_ms: int) -> Columns:
        """Ticks in [start, end), oldest first: see `COLUMNS`.

        Raises:
            DataProviderError: no day of the stretch is held.
        """
        sources = SourceBook(self.folder / "sources.jsonl").read().values()
        held = [source for source in sources if source.first_ms < end_ms and source.last_ms >= start_ms]
        # by the file's own day: its first tick may be stamped milliseconds before midnight
        files = [self._file(source.name.removesuffix(".zip")[-10:], source.sha256) for source in held]
        if not files:
            raise DataProviderError(
                f"ticks {self.market} {self.symbol} {self.kind}: no day held between {iso(start_ms)} and "
                f"{iso(end_ms)}; run `./lab history fetch {self.symbol} --ticks {self.kind}`"
            )
        names = ("time_ms", *(name for name in COLUMNS[self.kind] if name != "time_ms"))
        return read_parquet(files, names, start=start_ms, end=end_ms)

    def _file(self, day: str, sha256: str) -> Path:
        return self.folder / f"{day}-{sha256[:12]}.parquet"

    def _import(self, content: bytes, file: ArchiveFile, target: Path) -> tuple[int, int, int]:
        """First and last time and the count of rows of a day that is on disk now."""
        with ExitStack() as stack:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                scratch = stack.enter_context(tempfile.TemporaryDirectory(dir=target.parent, prefix=".ticks-"))
                csv = Path(scratch) / "ticks.csv"
                has_header, width = _unpack(content, csv, file.name)
            except OSError as error:
                raise StateFileError(
                    f"{target.parent}: cannot be written: {error.strerror}; check space and permissions"
                ) from error
            types = {name: "BIGINT" if name in _WHOLE else "DOUBLE" for name in COLUMNS[self.kind]}
            if self.kind is Ticks.AGG_TRADES:
                types["is_buyer_maker"] = "BOOLEAN"
            extra = {f"unused_{i}": "VARCHAR" for i in range(width - len(types))}
            values = {str(name): _MILLISECONDS.format(name) for name in types if name in ("time_ms", "event_ms")}
            csv_to_parquet(csv, target, {**types, **extra}, keep=tuple(types), values=values, has_header=has_header)
        span = span_of(target, "time_ms")
        if span is None:
            target.unlink()
            raise DataProviderError(f"archive {file.name}: holds no ticks; download it again")
        return span


def _unpack(content: bytes, csv: Path, name: str) -> tuple[bool, int]:
    """Write the zip's CSV to disk; whether it begins with a header, and how many cells a row has."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as box:
            entries = [entry for entry in box.namelist() if entry.endswith(".csv")]
            if len(entries) != 1:
                raise DataProviderError(f"archive {name}: holds {box.namelist()}, expected one CSV; download it again")
            with box.open(entries[0]) as source, csv.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
    except zipfile.BadZipFile as error:
        raise DataProviderError(f"archive {name}: not a zip ({content[:24]!r}); download it again") from error
    with csv.open("rb") as file:
        first = file.readline()
    return not first[:1].isdigit(), first.count(b",") + 1
