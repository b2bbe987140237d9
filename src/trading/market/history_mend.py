"""Holes of a history: asked for at the exchange's pages once, mended where they can be, else written down with why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trading.domain.errors import DataProviderError, NetworkDownError
from trading.domain.market import INTERVAL_MS
from trading.market.columns import Columns
from trading.market.gap_ledger import NOT_KNOWN, Cause, Hole, Listing, Witness, holes_in, missing
from trading.market.history_books import GapLedger, read_ledger, together, write_ledger
from trading.market.history_intake import Intake, joined
from trading.market.history_pages import PageReader

THE_PAGES = "the exchange's pages"


async def mend(intake: Intake, reader: PageReader, path: Path, *, listing: Listing = NOT_KNOWN) -> None:
    """Ask for every hole of what was ever fetched, and write the ledger of what is left.

    Args:
        intake: The series, all of its files on the shelf; its stretch ends where candles have closed.
        reader: The exchange's pages.
        path: Of the ledger; holes it has were asked for before, and are not again unless all is fetched again.
        listing: Since when and until when the symbol is traded, where that is known.

    Raises:
        TradingEngineError: pages cannot be had, the store or the ledger cannot be used.
    """
    before, want = read_ledger(path), intake.want
    interval_ms = INTERVAL_MS[want.interval]
    stretches = together([*(before.stretches if before else ()), (want.start_ms, want.end_ms)])
    candles = await asyncio.to_thread(outline, intake)
    times = np.asarray(candles["open_time"], dtype=np.int64)
    asked = {} if before is None or want.again else {(h.first_ms, h.bars): h for h in before.holes if _was_asked(h)}
    witnesses = [
        _nothing_in(hole, interval_ms, has_none_since=asked[hole].cause is Cause.DELISTED)
        if hole in asked
        else await _ask(intake, reader, hole)
        for stretch in stretches
        for hole in missing(times, interval_ms, *stretch)
    ]
    if intake.report.repaired:
        candles = await asyncio.to_thread(outline, intake)
    found = holes_in(candles, interval_ms, stretches, witnesses=witnesses, listing=listing)
    repaired = (*(before.repaired if before else ()), *intake.report.repaired)
    write_ledger(path, GapLedger(stretches, intake.clock.now_ms(), tuple(found), repaired))
    _tell(intake, np.asarray(candles["open_time"], dtype=np.int64), found)


def outline(intake: Intake) -> Columns:
    """Open times of all that is held and, of a series with trades, what tells a standstill; read month by month."""
    want = intake.want
    names = ("open_time", "high", "low", "volume") if intake.series.has_trades else ("open_time",)
    months = intake.store.months(intake.series, want.symbol, want.interval).values()
    parts: list[Columns] = []
    for month in sorted(months, key=lambda month: month.start_ms):
        found = intake.store.series(intake.series, want.symbol, want.interval, month.start_ms, month.end_ms)
        parts.append({name: found[name] for name in names})
    return joined(parts)


async def _ask(intake: Intake, reader: PageReader, hole: tuple[int, int]) -> Witness:
    """Put what the pages have of a hole on the shelf; of what is left they are the witness that has none."""
    first_ms, bars = hole
    interval_ms = INTERVAL_MS[intake.want.interval]
    end_ms = first_ms + bars * interval_ms
    if intake.report.refused:
        return _nothing_in(hole, interval_ms, refusal=intake.report.refused)
    try:
        began_ms = await reader.first_ms(first_ms)
    except NetworkDownError:
        raise
    except DataProviderError as error:
        intake.report.refused = str(error)
        return _nothing_in(hole, interval_ms, refusal=intake.report.refused)
    if began_ms is not None and began_ms < end_ms:
        rows = await intake.take_pages(reader, (began_ms, end_ms))
        evidence = (f"{THE_PAGES}: {rows} of {bars}, taken from there",)
        intake.report.repaired.append(Hole(first_ms, bars, Cause.SOURCE_HOLE, evidence))
    return _nothing_in(hole, interval_ms, has_none_since=began_ms is None)


def _was_asked(hole: Hole) -> bool:
    return any(said.startswith(f"{THE_PAGES}: ") for said in hole.evidence)


def _nothing_in(hole: tuple[int, int], interval_ms: int, *, has_none_since: bool = False, refusal: str = "") -> Witness:
    first_ms, bars = hole
    return Witness(
        THE_PAGES,
        np.empty(0, dtype=np.int64),
        interval_ms,
        first_ms,
        first_ms + bars * interval_ms,
        is_same_market=True,
        has_none_since=has_none_since,
        refusal=refusal,
    )


def _tell(intake: Intake, times: NDArray[np.int64], found: list[Hole]) -> None:
    """What of the stretch is held and missing."""
    want, report = intake.want, intake.report
    interval_ms = INTERVAL_MS[want.interval]
    inside = times[(times >= want.start_ms) & (times < want.end_ms)]
    report.held = len(inside)
    if len(inside):
        report.first_ms, report.end_ms = int(inside[0]), int(inside[-1]) + interval_ms
    report.holes = tuple(
        hole
        for hole in found
        if hole.first_ms < want.end_ms and hole.first_ms + hole.bars * interval_ms > want.start_ms
    )
