"""Settled funding of a perpetual onto the shelf: the archive's months, then the exchange's pages for what they lack."""

from __future__ import annotations

import asyncio

import numpy as np
import structlog

from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, NetworkDownError
from trading.market.archive import Archive
from trading.market.archive_files import settlement_files
from trading.market.archive_rows import settlements_of
from trading.market.funding_schedule import missing_settlements
from trading.market.history_books import Source, SourceBook, source_of
from trading.market.history_intake import Report, Stretch, Told
from trading.market.history_pages import Pages, settlements_from
from trading.market.series import Series
from trading.market.store import TapeStore
from trading.market.tape import Funding

log = structlog.get_logger()

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
        DataProviderError: what comes makes no sense, or the shelf holds a made-up market of that name.
    """
    held_candles = (one for one in store.holdings() if (one.series, one.symbol) == (Series.PERP, want.symbol))
    if any("synthetic" in one.origins for one in held_candles):
        raise DataProviderError(
            f"funding {want.symbol}: {store.root} holds synthetic candles of it; keep synthetic markets in a store of "
            "their own"
        )
    report = Report("funding", want.symbol, "")
    held = await asyncio.to_thread(_held, store, want.symbol, 0, 2**62)
    known = {} if want.again else {name: one for name, one in book.read().items() if _has(held, one)}
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
    stretch = (want.symbol, want.start_ms, want.end_ms)
    held = await asyncio.to_thread(_held, store, *stretch)
    for lacking in _lacking(held, want, clock.now_ms()):
        try:
            settled = await settlements_from(pages, want.symbol, *lacking)
        except NetworkDownError:
            raise
        except DataProviderError as error:
            report.refused = str(error)
            break
        report.paged += len(settled.time_ms)
        report.new += await asyncio.to_thread(store.settle, want.symbol, settled)
        told(len(settled.time_ms), f"{want.symbol} settlements by pages")
    # one at the very start is in the files, and was counted
    times = (await asyncio.to_thread(_held, store, want.symbol, want.start_ms - 1, want.end_ms)).time_ms
    report.held = len(times)
    report.first_ms, report.end_ms = (int(times[0]), int(times[-1])) if len(times) else (None, None)
    return report


def _held(store: TapeStore, symbol: str, start_ms: int, end_ms: int) -> Funding:
    """What the shelf has of a stretch; none when its file was damaged: it is brought back here."""
    try:
        return store.funding(symbol, start_ms, end_ms)
    except DataProviderError as error:
        log.warning("history.settlements_damaged", symbol=symbol, why=str(error))
        return Funding.none()


def _has(held: Funding, source: Source) -> bool:
    """The rows of a file that was imported are still there."""
    low, high = np.searchsorted(held.time_ms, [source.first_ms - EDGE_MS, source.last_ms + EDGE_MS])
    return bool(high - low >= source.rows)


def _lacking(held: Funding, want: Stretch, now_ms: int) -> list[tuple[int, int]]:
    """Stretches the pages are asked for: before what is held, holes in it, and what was settled since."""
    # the one at the very end belongs to the stretch: it is paid for the time before it
    until_ms, times = min(want.end_ms + EDGE_MS, now_ms + 1), held.time_ms
    if not len(times):
        return [(want.start_ms, until_ms)]
    first_ms, last_ms = int(times[0]), int(times[-1])
    after = [int(np.searchsorted(times, one.time_ms)) for one in missing_settlements(held, first_ms, last_ms)]
    holes = [(int(times[i - 1]) + EDGE_MS, int(times[i]) - EDGE_MS) for i in dict.fromkeys(after)]
    before = (want.start_ms + EDGE_MS, first_ms - EDGE_MS)
    found = [before, *holes, (last_ms + EDGE_MS, until_ms)]
    return [stretch for stretch in found if stretch[0] < stretch[1]]
