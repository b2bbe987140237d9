"""What a fetch of history puts on the shelf, and what it says of itself; shared by its steps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from trading.domain.clock import Clock
from trading.market.columns import Columns
from trading.market.gap_ledger import Hole
from trading.market.history_pages import PageReader
from trading.market.series import Series
from trading.market.store import Saved, TapeStore
from trading.market.store_months import Revision
from trading.market.tape import Origin

CLOSED_AFTER_MS = 5_000
"""After the end of a candle until every page has it as closed; one asked for sooner would look like a hole."""
FLUSH_S = 1.0
"""Pages are put on the shelf together, at least so often: a kill loses no more than this much of work."""


class Told(Protocol):
    """Hears of progress, in candles or settlements."""

    def __call__(self, rows: int, what: str, /) -> None:
        """So many more of the expected rows are done; `what` is being worked on."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What of a symbol is wanted."""

    symbol: str
    interval: str
    start_ms: int
    end_ms: int
    """Candles that open in [start, end)."""
    again: bool = False
    """Fetch what was imported before too, to find what the exchange has restated since."""


@dataclass(slots=True)
class Report:
    """What became of one series."""

    series: str
    symbol: str
    interval: str
    new: int = 0
    known: int = 0
    files: int = 0
    """Files of the archive imported this time."""
    files_known: int = 0
    """Files imported before."""
    paged: int = 0
    """Rows that came from the exchange's pages."""
    refused: str = ""
    """What the exchange said where its pages do not speak of this symbol; empty: they do."""
    revised: list[Revision] = field(default_factory=list)
    repaired: list[Hole] = field(default_factory=list)
    holes: tuple[Hole, ...] = ()
    first_ms: int | None = None
    end_ms: int | None = None
    held: int = 0
    """Rows on the shelf within the stretch now."""

    def count(self, saved: Saved) -> None:
        """Add what a save did."""
        self.new += saved.added_bars
        self.known += saved.known_bars
        self.revised += saved.revised


@dataclass(frozen=True, slots=True)
class Intake:
    """One series on its way to the shelf.

    Args:
        store: The shelf.
        series: Which candles.
        want: Of which symbol, interval and stretch.
        clock: Times the flushes.
        told: Hears of progress.
        report: Counts what became of it.
        origin: Where its candles come from.
    """

    store: TapeStore
    series: Series
    want: Stretch
    clock: Clock
    told: Told
    report: Report
    origin: Origin = "downloaded"

    async def save(self, columns: Columns) -> None:
        """Put candles on the shelf.

        Raises:
            DataProviderError: they make no sense.
            StateFileError: the store cannot be written to.
        """
        symbol, interval = self.want.symbol, self.want.interval
        saved = await asyncio.to_thread(
            self.store.save_series, self.series, symbol, interval, columns, origin=self.origin
        )
        self.report.count(saved)

    async def take_pages(self, reader: PageReader, stretch: tuple[int, int]) -> int:
        """Put the exchange's pages of [start, end) on the shelf; returns how many rows they had."""
        waiting: list[Columns] = []
        total, flushed_s = 0, self.clock.real_s()
        async for page in reader.between(*stretch):
            rows = len(page["open_time"])
            total += rows
            if rows:
                waiting.append(page)
            self.told(rows, f"{self.series} {self.want.symbol} by pages")
            if waiting and self.clock.real_s() - flushed_s > FLUSH_S:
                await self.save(joined(waiting))
                waiting.clear()
                flushed_s = self.clock.real_s()
        if waiting:
            await self.save(joined(waiting))
        self.report.paged += total
        return total


def closed_until(clock: Clock, interval_ms: int) -> int:
    """The end of the newest candle that has surely closed, UTC milliseconds."""
    return (clock.now_ms() - CLOSED_AFTER_MS) // interval_ms * interval_ms


def joined(parts: Sequence[Columns]) -> Columns:
    """Columns one behind the other, ascending, each open time once."""
    names = [name for name in parts[0] if all(name in part for part in parts)]
    columns: Columns = {name: np.concatenate([part[name] for part in parts]) for name in names}
    _, first = np.unique(columns["open_time"], return_index=True)
    return {name: values[first] for name, values in columns.items()}
