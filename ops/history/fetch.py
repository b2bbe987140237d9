"""`./lab history fetch`: markets onto the lab's own shelf, with what is missing told, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ops.environment import find_home, read_environment
from ops.flags import fetchable_of, interval_of, span_of_days, symbol_of, ticks_of
from ops.history.words import lines_of, lines_of_comparison, lines_of_settlements, lines_of_ticks
from ops.lab_clock import lab_clock
from ops.settings import read_settings
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, NetworkDownError, SettingsError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.market.archive import Archive, archive_at
from trading.market.archive_files import BASE_URL, Ticks
from trading.market.funding_schedule import missing_settlements
from trading.market.gap_ledger import Listing
from trading.market.history_books import SourceBook, sources_file
from trading.market.history_compare import compare_with_own
from trading.market.history_fetch import HistoryFetch
from trading.market.history_intake import Stretch
from trading.market.history_pages import Pages
from trading.market.history_settlements import fetch_settlements
from trading.market.series import Series
from trading.market.store import TapeStore
from trading.market.tape import Origin
from trading.market.ticks import TickShelf
from trading.market.universe import Universe
from trading.market.universe_store import UniverseStore
from trading.storage.home import Home

FUNDING = "funding"
COMPARED_WITH = "1h"
"""The exchange's own candles that shorter ones are compared with."""
EARLIEST_MS = 1_502_928_000_000
"""2017-08-17, Binance's first candle."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be fetched."""

    stretch: Stretch
    names: tuple[str, ...]
    """Series of candles, and `funding`."""
    ticks: tuple[Ticks, ...] = ()
    compare: bool = True
    """Hold shorter candles against the exchange's own hours."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where history comes from, and how progress is shown."""

    archive_url: str
    pages: Pages
    clock: Clock
    console: Console
    origin: Origin = "downloaded"
    """What they give."""


@dataclass(frozen=True, slots=True)
class _Shelf:
    """Where it goes, and what is known of the symbol."""

    store: TapeStore
    books: Path
    universe: Universe


def run_fetch(
    symbol: str, start: str, end: str | None, interval: str, market: str, ticks: str, *, again: bool, compare: bool
) -> int:
    """Fetch history into the store; 1 when a series of several could not be had.

    Raises:
        SettingsError: a flag is wrong.
        NetworkDownError: archive or exchange do not answer.
        DataProviderError: neither has any of it.
    """
    home = find_home()
    settings, environment = read_settings(home.settings_file), read_environment(home)
    start_ms, end_ms = span_of_days(start, end)
    clock = lab_clock(settings)
    now_ms = clock.now_ms()
    first_ms = max(start_ms or 0, EARLIEST_MS)
    if first_ms >= now_ms:
        raise SettingsError(f"--from {start}: in the future; history ends today")
    stretch = Stretch(symbol_of(symbol), interval_of(interval), first_ms, min(end_ms or now_ms, now_ms), again=again)
    wanted = Wanted(stretch, fetchable_of(market), ticks_of(ticks), compare)
    base_url = settings.venue.base_url
    origin: Origin = "downloaded" if settings.venue.origin == "live" else settings.venue.origin

    async def go() -> bool:
        from ops.venues import make_records  # seconds of imports, after the flags were found good

        # the archive is the real exchange's: what is not in it yet is not asked of the demo venue
        venue = make_records(settings, replace(environment, binance_testnet=False), clock, home)
        try:
            return await fetch(home, wanted, Sources(base_url or BASE_URL, venue, clock, Console(), origin), print)
        finally:
            await venue.close()

    return 0 if asyncio.run(go()) else 1


async def fetch(home: Home, wanted: Wanted, sources: Sources, out: Callable[[str], None]) -> bool:
    """Fetch each series in turn, with a bar, and say what became of it; False: one of them could not be had.

    It may be killed and begun again anywhere; a second run fetches only what is missing.

    Raises:
        NetworkDownError: archive or exchange do not answer.
        DataProviderError: none of the series could be had.
    """
    store, books, want = TapeStore(home.tapes), home.tapes / "ledger", wanted.stretch
    shelf = _Shelf(store, books, Universe(UniverseStore(home.tapes).snapshots(symbol=want.symbol)))
    failed: list[str] = []
    async with archive_at(sources.archive_url, sources.clock) as archive:
        for name in wanted.names:
            try:
                _say(out, await _series(name, want, shelf, archive, sources))
            except NetworkDownError:
                raise
            except DataProviderError as error:
                failed.append(name)
                if len(failed) == len(wanted.names):
                    raise
                out(f"not fetched: {error}")
        there = replace(wanted, names=tuple(name for name in wanted.names if name not in failed))
        await _compare(store, archive, books, there, sources, out)
        await _ticks(home, archive, there, sources, out)
    return not failed


async def _series(name: str, want: Stretch, shelf: _Shelf, archive: Archive, sources: Sources) -> Iterator[str]:
    """Fetch one series; the lines that tell of it."""
    store, books = shelf.store, shelf.books
    expected = (want.end_ms - want.start_ms) // INTERVAL_MS["8h" if name == FUNDING else want.interval]
    with _bar(sources.console, f"{name} {want.symbol}", expected) as told:
        if name == FUNDING:
            book = SourceBook(sources_file(books, FUNDING, want.symbol, ""))
            report = await fetch_settlements(store, archive, sources.pages, book, want, clock=sources.clock, told=told)
        else:
            fetcher = HistoryFetch(store, archive, sources.pages, books, sources.clock, told, sources.origin)
            report = await fetcher.candles(Series(name), want, listing=_listing(shelf.universe, Series(name), want))
    missing = _not_settled(store, want, shelf.universe) if name == FUNDING else ()
    return chain(lines_of(report), missing)


def _listing(universe: Universe, series: Series, want: Stretch) -> Listing:
    """Since when and until when a symbol is traded, where the venue's snapshots tell the moment."""
    market = Market.SPOT if series is Series.SPOT else Market.PERP
    listed, ended = universe.of(market, want.symbol, want.end_ms).listed, universe.end_of(market, want.symbol)
    return Listing(
        listed.to_ms if listed is not None and listed.is_exact else None,
        ended.to_ms if ended is not None and ended.is_exact else None,
    )


def _not_settled(store: TapeStore, want: Stretch, universe: Universe) -> Iterator[str]:
    """Settlements that should be there and are not: gaps, never payments of zero."""
    funding = store.funding(want.symbol, want.start_ms, want.end_ms)
    if len(funding.time_ms):
        first_ms = int(funding.time_ms[0])
        yield from lines_of_settlements(
            missing_settlements(funding, first_ms, want.end_ms, universe.funding_told(want.symbol))
        )


async def _compare(
    store: TapeStore, archive: Archive, books: Path, wanted: Wanted, sources: Sources, out: Callable[[str], None]
) -> None:
    want = wanted.stretch
    if not wanted.compare or INTERVAL_MS[want.interval] >= INTERVAL_MS[COMPARED_WITH]:
        return
    for market in (market for market in Market if market.value in wanted.names):
        with _bar(sources.console, f"{market} {want.symbol} {COMPARED_WITH}", None) as told:
            found = await compare_with_own(
                store, archive, books, market, want, COMPARED_WITH, clock=sources.clock, told=told
            )
        _say(out, lines_of_comparison(market, want, found))


async def _ticks(home: Home, archive: Archive, wanted: Wanted, sources: Sources, out: Callable[[str], None]) -> None:
    want = wanted.stretch
    for kind in wanted.ticks:
        for market in (market for market in Market if market.value in wanted.names):
            if kind is Ticks.BOOK_TICKER and market is Market.SPOT:
                out(f"spot {want.symbol} {kind}: the archive has it of USD-M futures only")
                continue
            shelf = TickShelf(home.tapes / "ticks", kind, market, want.symbol)
            with _bar(sources.console, f"{market} {want.symbol} {kind}", None) as told:
                found = await shelf.fetch(
                    archive, want.start_ms, want.end_ms, clock=sources.clock, told=told, again=want.again
                )
            _say(out, lines_of_ticks(market, want.symbol, kind, found))


def _say(out: Callable[[str], None], lines: Iterator[str]) -> None:
    for line in lines:
        out(line)


class _Rate(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        """As a person reads it."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} rows/s", style="cyan")


@contextmanager
def _bar(console: Console, what: str, expected: int | None) -> Iterator[Callable[[int, str], None]]:
    """A line with what is worked on, rows, rate and remaining time; gone when the block ends."""
    columns = (
        TextColumn("{task.fields[series]}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.fields[rows]}"),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        rows = "?" if expected is None else f"{expected:,}"
        task = bar.add_task("", total=expected, series=what, rows=rows)

        def told(count: int, doing: str) -> None:
            bar.update(task, advance=count, description=doing)

        yield told
