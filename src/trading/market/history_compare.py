"""The exchange's own longer candles against those made of the minutes on the shelf, file by file of the archive."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.market.archive import Archive
from trading.market.archive_files import candle_files
from trading.market.archive_rows import candles_of
from trading.market.history_books import SourceBook, source_of
from trading.market.history_intake import Stretch, Told
from trading.market.importers import tape_of
from trading.market.interval_check import Comparison, Disagreement, compare
from trading.market.series import Series
from trading.market.store import TapeStore
from trading.market.tape import Tape
from trading.storage.files import write_atomic


async def compare_with_own(
    store: TapeStore,
    archive: Archive,
    books: Path,
    market: Market,
    want: Stretch,
    own: str,
    *,
    clock: Clock,
    told: Told,
) -> Comparison:
    """Compare what is held with the archive's own candles of a longer interval.

    A file that was compared before is not fetched again, unless all is (`want.again`); what it showed stays in the
    list until it is compared again.

    Args:
        store: The shelf, which holds `want.interval`.
        archive: The public archive.
        books: Folder of sources and ledgers; disagreements go to `spot_BTCUSDT_1m.vs_1h.jsonl` there.
        market: Spot or perpetual.
        want: Symbol, interval held, stretch.
        own: The longer interval.
        clock: Lab time.
        told: Hears of progress.

    Returns:
        Candles compared this time, and every disagreement on record.
    """
    name = f"{market}_{want.symbol}_{want.interval}.vs_{own}"
    book, listed = SourceBook(books / f"{name}.sources.jsonl"), books / f"{name}.jsonl"
    known = {} if want.again else book.read()
    series, compared = Series(market.value), 0
    for file in candle_files(series, want.symbol, own, want.start_ms, want.end_ms, now_ms=clock.now_ms()):
        told(0, f"{market} {want.symbol} {own} compared: {file.name}")
        if file.path in known or (fetched := await archive.fetch(file)) is None:
            continue
        columns = await asyncio.to_thread(candles_of, fetched.content, f"archive {market} {file.name}")
        tape = tape_of(columns, market, want.symbol, own, origin="downloaded")
        found = await asyncio.to_thread(_compared, store, tape, want.interval)
        if found is None:
            continue
        compared += found.compared
        others = (one for one in read_disagreements(listed) if not tape.start_ms <= one.open_time_ms < tape.end_ms)
        _list(listed, [*others, *found.disagreements])
        book.note(source_of(file.path, fetched.sha256, tape.open_time_ms, clock.now_ms()))
    return Comparison(own, compared, tuple(read_disagreements(listed)))


def read_disagreements(path: Path) -> list[Disagreement]:
    """Every disagreement on record, oldest candle first."""
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    found = {(row["open_time_ms"], row["column"]): Disagreement(**row) for row in rows}
    return [found[key] for key in sorted(found)]


def _list(path: Path, found: list[Disagreement]) -> None:
    """Replace the list.

    Raises:
        StateFileError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(asdict(one)) + "\n" for one in sorted(found, key=lambda one: (one.open_time_ms, one.column)))
    write_atomic(path, "".join(lines).encode())


def _compared(store: TapeStore, own: Tape, interval: str) -> Comparison | None:
    """None: what is held does not make one whole candle of that stretch."""
    try:
        finest = store.load(own.market, own.symbol, interval, own.start_ms, own.end_ms)
        return compare(finest, own)
    except DataProviderError:
        return None
