"""What a fetch of history tells a person: rows, sources, repairs, gaps by cause, disagreements. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from trading.domain.clock import iso
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.market.archive_files import Ticks
from trading.market.funding_schedule import MissingSettlement
from trading.market.gap_ledger import Cause, Hole, in_words
from trading.market.history_intake import Report, Stretch
from trading.market.interval_check import Comparison
from trading.market.store import Saved
from trading.market.store_months import Revision
from trading.market.tape import Tape
from trading.market.ticks import TickReport

TOLD = 10
"""Most gaps, revisions and disagreements that are listed one by one."""


def lines_of(report: Report) -> Iterator[str]:
    """What became of one series."""
    name = " ".join(part for part in (report.series, report.symbol, report.interval) if part)
    if report.first_ms is None or report.end_ms is None:
        yield f"{name}: nothing there"
        return
    what = "settlements" if report.series == "funding" else "candles"
    yield (
        f"{name}: {iso(report.first_ms)} to {iso(report.end_ms)}, {report.held:,} {what}: {report.new:,} new, "
        f"{report.known:,} known"
    )
    known = f", {report.files_known:,} imported before" if report.files_known else ""
    paged = f"{report.paged:,} {what[:-1] if report.paged == 1 else what}"
    yield f"  from {report.files:,} files of the archive{known}; {paged} by the exchange's pages"
    if report.refused:
        yield f"  the exchange's pages do not speak of it: {report.refused}"
    for hole in report.repaired[:TOLD]:
        yield f"  repaired: {in_words(hole, INTERVAL_MS[report.interval])}"
    if report.series != "funding":
        yield from lines_of_holes(report.holes, INTERVAL_MS[report.interval])
    yield from _revised(report.revised)


def lines_of_holes(holes: Iterable[Hole], interval_ms: int) -> Iterator[str]:
    """Gaps by cause, then the longest one by one."""
    found = list(holes)
    if not found:
        yield "  no gap"
        return
    bars, count = Counter[Cause](), Counter(hole.cause for hole in found)
    for hole in found:
        bars[hole.cause] += hole.bars
    parts = (f"{cause} {bars[cause]:,} in {count[cause]:,}" for cause in Cause if count[cause])
    yield f"  gaps, candles: {'; '.join(parts)} (none was invented)"
    longest = sorted(sorted(found, key=lambda hole: -hole.bars)[:TOLD], key=lambda hole: hole.first_ms)
    for hole in longest:
        yield f"    {in_words(hole, interval_ms)}"
    if len(found) > TOLD:
        yield f"    and {len(found) - TOLD:,} shorter ones, see market/ledger"


def lines_of_settlements(missing: Sequence[MissingSettlement]) -> Iterator[str]:
    """Settlements that should be there and are not."""
    if not missing:
        yield "  no settlement is missing"
        return
    more = f" and {len(missing) - TOLD} more" if len(missing) > TOLD else ""
    yield f"  settlements missing: {', '.join(map(str, missing[:TOLD]))}{more}"


def lines_of_import(tape: Tape, saved: Saved, holes: Iterable[Hole]) -> Iterator[str]:
    """What an import put on the shelf."""
    yield (
        f"{tape.market} {tape.symbol} {tape.interval}: {iso(tape.start_ms)} to {iso(tape.end_ms)}, {len(tape)} bars: "
        f"{saved.added_bars} new, {saved.known_bars} known; {saved.added_settlements} new settlements"
    )
    yield from lines_of_holes(holes, tape.interval_ms)
    yield from _revised(saved.revised)


def lines_of_comparison(market: Market, want: Stretch, found: Comparison) -> Iterator[str]:
    """What the exchange's own longer candles say."""
    listed = found.disagreements
    yield (
        f"{market} {want.symbol} {found.interval}: {found.compared:,} candles made of {want.interval} compared with "
        f"the exchange's own; {len(listed)} on record differ"
    )
    for one in listed[:TOLD]:
        yield f"    {one.in_words()}"
    if len(listed) > TOLD:
        yield f"    and {len(listed) - TOLD:,} more, see market/ledger"


def lines_of_ticks(market: Market, symbol: str, kind: Ticks, found: TickReport) -> Iterator[str]:
    """What became of ticks."""
    yield (
        f"{market} {symbol} {kind}: {found.rows:,} rows new, from {found.files} days of the archive; "
        f"{found.files_known} days known"
    )
    if found.missing:
        more = f" and {len(found.missing) - TOLD} more" if len(found.missing) > TOLD else ""
        yield f"  the archive has no file of {', '.join(found.missing[:TOLD])}{more}"


def _revised(revised: Iterable[Revision]) -> Iterator[str]:
    found = list(revised)
    if found:
        yield (
            f"  {len(found)} bars came with other numbers than those held (the first at "
            f"{iso(found[0].open_time_ms)}); the held ones stay, see revisions.jsonl"
        )
