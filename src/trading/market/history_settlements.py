"""Settled funding of a perpetual onto the shelf: the archive's months, then the exchange's pages."""

from __future__ import annotations

import asyncio

from trading.domain.clock import Clock
from trading.market.archive import Archive
from trading.market.archive_files import settlement_files
from trading.market.archive_rows import settlements_of
from trading.market.history_books import SourceBook, source_of
from trading.market.history_intake import Report, Stretch, Told
from trading.market.history_pages import Pages, settlements_from
from trading.market.store import TapeStore

EDGE_MS = 60_000
"""Stamps jitter by milliseconds: a settlement so soon after the last one held is the same."""


async def fetch_settlements(
    store: TapeStore, archive: Archive, pages: Pages, book: SourceBook, want: Stretch, *, clock: Clock, told: Told
) -> Report:
    """Settlements in (start, end] of a stretch.

    Args:
        store: The shelf.
        archive: The public archive; the running month is not in it.
        pages: The exchange's own pages.
        book: Which files were imported before.
        want: The stretch; its interval means nothing here.
        clock: Lab time.
        told: Hears of progress, in settlements.

    Raises:
        NetworkDownError: archive or exchange do not answer.
        DataProviderError: what comes makes no sense.
    """
    report = Report("funding", want.symbol, "")
    known = {} if want.again else book.read()
    for file in settlement_files(want.symbol, want.start_ms, want.end_ms, now_ms=clock.now_ms()):
        if file.path in known:
            report.files_known += 1
            continue
        fetched = await archive.fetch(file)
        if fetched is None:
            continue
        settled = settlements_of(fetched.content, f"archive {file.name}")
        added = await asyncio.to_thread(store.settle, want.symbol, settled)
        book.note(source_of(file.path, fetched.sha256, settled.time_ms, clock.now_ms()))
        report.files += 1
        report.new += added
        report.known += len(settled.time_ms) - added
        told(len(settled.time_ms), file.name)
    held = store.funding(want.symbol, want.start_ms, want.end_ms).time_ms
    start_ms = int(held[-1]) + EDGE_MS if len(held) else want.start_ms
    # the one at the very end belongs to the stretch: it is paid for the time before it
    until_ms = min(want.end_ms + EDGE_MS, clock.now_ms() + 1)
    settled = await settlements_from(pages, want.symbol, start_ms, until_ms)
    report.paged = len(settled.time_ms)
    report.new += await asyncio.to_thread(store.settle, want.symbol, settled)
    told(report.paged, f"{want.symbol} settlements by pages")
    held = store.funding(want.symbol, want.start_ms, want.end_ms).time_ms
    report.held = len(held)
    report.first_ms, report.end_ms = (int(held[0]), int(held[-1])) if len(held) else (None, None)
    return report
