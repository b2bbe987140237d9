"""`./lab history fetch` and `./lab history import`: recorded markets onto the lab's own shelf, with their gaps told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ops.environment import find_home
from ops.flags import interval_of, markets_of, span_of_days, symbol_of
from trading.domain.clock import Clock, iso
from trading.domain.errors import DataProviderError, SettingsError
from trading.domain.instrument import Market
from trading.market.archive import BASE_URL, fetch_archive
from trading.market.historical_data_fetcher import Want
from trading.market.importers import import_recorded
from trading.market.store import Saved, TapeStore
from trading.market.tape import Tape
from trading.storage.home import Home

GAPS_TOLD = 10
"""Most gaps that are listed one by one."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be fetched."""

    symbol: str
    interval: str
    markets: list[Market]
    start_ms: int
    end_ms: int


def run_fetch(symbol: str, start: str, end: str | None, interval: str, market: str) -> int:
    """Fetch history from the public archive into the store.

    Raises:
        SettingsError: a flag is wrong.
        NetworkDownError: the archive does not answer.
        DataProviderError: the archive has none of it.
    """
    clock = Clock()
    start_ms, end_ms = span_of_days(start, end)
    wanted = Wanted(
        symbol_of(symbol),
        interval_of(interval),
        markets_of(market),
        start_ms or 0,
        clock.now_ms() if end_ms is None else end_ms,
    )
    if wanted.start_ms >= clock.now_ms():
        raise SettingsError(f"--from {start}: in the future; history ends today")
    console = Console()
    asyncio.run(fetch(find_home(), wanted, now_ms=clock.now_ms(), console=console))
    return 0


async def fetch(home: Home, wanted: Wanted, *, now_ms: int, console: Console, base_url: str = BASE_URL) -> None:
    """Fetch each market in turn, with a bar, and say what became of it.

    What was downloaded stays in `market/archive`: a second run, or one that was cut off, fetches only what is missing.
    """
    store = TapeStore(home.tapes)
    for market in wanted.markets:
        want = Want(market, wanted.symbol, wanted.interval, wanted.start_ms, wanted.end_ms)
        with _bar(console) as bar:
            told = _Told(bar, bar.add_task(str(want), total=1.0))
            tape = await fetch_archive(want, home.tapes / "archive", now_ms=now_ms, base_url=base_url, progress=told)
        saved = await asyncio.to_thread(store.save, tape)
        say(tape, saved, print)


def run_import(folder: Path, symbol: str, interval: str) -> int:
    """Import recorded files of both markets into the store; one of them may be missing.

    Raises:
        SettingsError: a flag is wrong.
        DataProviderError: the folder has neither market, or a file is damaged.
    """
    symbol, interval = symbol_of(symbol), interval_of(interval)
    if not folder.is_dir():
        raise DataProviderError(f"{folder}: no such folder; give one with spot_{symbol}_{interval}.parquet")
    store = TapeStore(find_home().tapes)
    there = [market for market in Market if any(folder.glob(f"{market}_{symbol}_*.parquet"))]
    for market in there or [Market.SPOT]:
        tape = import_recorded(folder, market, symbol, interval)
        say(tape, store.save(tape), print)
    for market in Market:
        if market not in there:
            print(f"{market} {symbol}: no file in {folder}")
    return 0


def say(tape: Tape, saved: Saved, out: Callable[[str], None]) -> None:
    """What is on the shelf now: bars, gaps, settlements, and what came again with other numbers."""
    missing = sum(gap.missing_bars for gap in tape.gaps)
    out(
        f"{tape.market} {tape.symbol} {tape.interval}: {iso(tape.start_ms)} to {iso(tape.end_ms)}, {len(tape)} bars: "
        f"{saved.added_bars} new, {saved.known_bars} known; {saved.added_settlements} new settlements"
    )
    out(f"  {missing} bars missing in {len(tape.gaps)} gaps (the venue has none there; none was invented)")
    for gap in tape.gaps[:GAPS_TOLD]:
        out(f"    {iso(gap.first_missing_ms)}: {gap.missing_bars} bars")
    if len(tape.gaps) > GAPS_TOLD:
        out(f"    and {len(tape.gaps) - GAPS_TOLD} more gaps")
    if saved.revised:
        first = iso(saved.revised[0].open_time_ms)
        out(
            f"  {len(saved.revised)} bars came with other numbers than those held (the first at {first}); "
            "the held ones stay, see revisions.jsonl"
        )


@dataclass(frozen=True, slots=True)
class _Told:
    """Moves one line of the bar."""

    bar: Progress
    task: TaskID

    def __call__(self, what: str, fraction: float) -> None:
        self.bar.update(self.task, completed=fraction, description=what)


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)
