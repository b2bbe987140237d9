"""Candles of one symbol onto the shelf: the public archive first, the exchange's pages for the rest.

Whatever lands on the shelf is noted with its source after it is safe there, so that a fetch may be killed anywhere and
begun again: nothing is lost, nothing is there twice, and the end is the same. Holes that the archive leaves are asked
for at the exchange's pages; what neither has goes into the ledger of gaps with that as its evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trading.domain.clock import Clock, iso
from trading.domain.errors import DataProviderError, NetworkDownError
from trading.domain.market import INTERVAL_MS
from trading.market.archive import CONNECTIONS, Archive, Fetched
from trading.market.archive_files import ArchiveFile, candle_files
from trading.market.archive_rows import candles_of
from trading.market.gap_ledger import NOT_KNOWN, Listing
from trading.market.history_books import Source, SourceBook, gaps_file, source_of, sources_file
from trading.market.history_intake import Intake, Report, Stretch, Told, closed_until
from trading.market.history_mend import mend
from trading.market.history_pages import PageReader, Pages
from trading.market.series import Series
from trading.market.store import TapeStore
from trading.market.tape import Origin


@dataclass(frozen=True, slots=True)
class HistoryFetch:
    """Fetches candles.

    Args:
        store: The shelf.
        archive: The public archive.
        pages: The exchange's own pages; asked only where the archive has nothing.
        books: Folder of sources and ledgers.
        clock: Lab time.
        told: Hears of progress.
        origin: Where candles come from; of a sandbox they are not the exchange's own.
    """

    store: TapeStore
    archive: Archive
    pages: Pages
    books: Path
    clock: Clock
    told: Told
    origin: Origin = "downloaded"

    async def candles(self, series: Series, want: Stretch, *, listing: Listing = NOT_KNOWN) -> Report:
        """One series of candles, as far as they have closed.

        Raises:
            NetworkDownError: archive or exchange do not answer.
            DataProviderError: neither has any of it, or what comes makes no sense.
        """
        report = Report(series.value, want.symbol, want.interval)
        # once: a candle that closes meanwhile is the next fetch's, not a hole
        want = replace(want, end_ms=min(want.end_ms, closed_until(self.clock, INTERVAL_MS[want.interval])))
        intake = Intake(self.store, series, want, self.clock, self.told, report, self.origin)
        reader = PageReader(self.pages, series, want.symbol, want.interval, self.clock)
        await self._from_archive(intake)
        await self._from_pages(intake, reader)
        if not self.store.months(series, want.symbol, want.interval):
            raise DataProviderError(
                f"{series} {want.symbol} {want.interval} {iso(want.start_ms)}..{iso(want.end_ms)}: neither the archive "
                f"nor the exchange has a candle of it; check symbol and dates"
                f"{f' ({report.refused})' if report.refused else ''}"
            )
        await mend(intake, reader, gaps_file(self.books, series, want.symbol, want.interval), listing=listing)
        return report

    async def _from_archive(self, intake: Intake) -> None:
        """Months in parallel; then the days of months that have no zip, but for those before the listing."""
        want = intake.want
        stretch = (want.symbol, want.interval, want.start_ms, want.end_ms)
        files = candle_files(intake.series, *stretch, now_ms=self.clock.now_ms())
        known = {} if want.again else self._on_the_shelf(intake)
        there = await self._import(intake, files, known)
        listed_from_ms = min((file.first_ms for file in there), default=None)
        days: list[ArchiveFile] = []
        for file in (file for file in files if file.days and file not in there):
            if listed_from_ms is None:
                days = list(file.days)  # only the newest month's: what was never listed is not looked for day by day
            elif file.first_ms > listed_from_ms:
                days += file.days
        await self._import(intake, days, known)

    async def _import(
        self, intake: Intake, files: Sequence[ArchiveFile], known: dict[str, Source]
    ) -> list[ArchiveFile]:
        """Those of the files that the archive has; each is on the shelf now."""
        places = asyncio.Semaphore(CONNECTIONS + 2)
        there: list[ArchiveFile] = []

        async def one(file: ArchiveFile) -> None:
            async with places:
                if file.path in known:
                    intake.report.files_known += 1
                elif (fetched := await self.archive.fetch(file)) is not None:
                    await self._put(intake, file, fetched)
                elif file.days:
                    return
                else:
                    self.told(_rows_in(file, intake.want), f"{intake.series} {file.name}: none")
                    return
                there.append(file)
                self.told(_rows_in(file, intake.want), f"{intake.series} {file.name}")

        try:
            async with asyncio.TaskGroup() as group:
                for file in files:
                    group.create_task(one(file), name=file.name)
        except ExceptionGroup as troubles:
            raise troubles.exceptions[0] from troubles
        return there

    async def _put(self, intake: Intake, file: ArchiveFile, fetched: Fetched) -> None:
        with_volume = intake.series.has_trades
        where = f"archive {intake.series} {file.name}"
        columns = await asyncio.to_thread(candles_of, fetched.content, where, with_volume=with_volume)
        await intake.save(columns)
        intake.report.files += 1
        self._book(intake).note(source_of(file.path, fetched.sha256, columns["open_time"], self.clock.now_ms()))

    async def _from_pages(self, intake: Intake, reader: PageReader) -> None:
        """What there is since the last candle held. A symbol that is gone has the archive alone."""
        want, end_ms = intake.want, intake.want.end_ms
        months = self.store.months(intake.series, want.symbol, want.interval).values()
        held = [month.end_ms for month in months if want.start_ms < month.end_ms and month.start_ms < end_ms]
        start_ms = max(held, default=want.start_ms)
        if start_ms >= end_ms:
            return
        try:
            first_ms = await reader.first_ms(start_ms)
        except NetworkDownError:
            raise
        except DataProviderError as error:
            intake.report.refused = str(error)
            return
        if first_ms is not None and first_ms < end_ms:
            await intake.take_pages(reader, (first_ms, end_ms))

    def _on_the_shelf(self, intake: Intake) -> dict[str, Source]:
        """Imported sources whose months are still there: a store that was cleared is filled again."""
        want = intake.want
        months = self.store.months(intake.series, want.symbol, want.interval)
        rows = {name: month.bars for name, month in months.items()}
        sources = self._book(intake).read()
        return {name: s for name, s in sources.items() if rows.get(iso(s.first_ms)[:7], 0) >= s.rows}

    def _book(self, intake: Intake) -> SourceBook:
        return SourceBook(sources_file(self.books, intake.series, intake.want.symbol, intake.want.interval))


def _rows_in(file: ArchiveFile, want: Stretch) -> int:
    """Candles a file has of the stretch when it is whole."""
    span_ms = min(file.end_ms, want.end_ms) - max(file.first_ms, want.start_ms)
    return max(0, span_ms) // INTERVAL_MS[want.interval]
