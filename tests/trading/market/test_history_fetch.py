"""History onto the shelf from an archive on loopback and the exchange's pages; killed anywhere, it ends the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from ops.history.words import lines_of
from tests.conftest import DATA, needs_data
from tests.trading.market.samples import HOUR_MS, START_MS, tape
from tests.trading.market.test_history import Archive as ArchiveServer
from tests.trading.market.test_history import archive_with
from trading.domain.clock import Clock, StandingClock
from trading.domain.errors import DataProviderError, NetworkDownError, StateFileError, TradingEngineError
from trading.domain.instrument import Market
from trading.domain.market import FundingRate
from trading.market.archive import archive_at
from trading.market.archive_files import Ticks
from trading.market.columns import Columns
from trading.market.gap_ledger import Cause
from trading.market.history_books import SourceBook, read_ledger
from trading.market.history_compare import compare_with_own
from trading.market.history_fetch import HistoryFetch
from trading.market.history_intake import Report, Stretch
from trading.market.history_settlements import fetch_settlements
from trading.market.parquet import csv_to_parquet
from trading.market.resample import resample
from trading.market.series import CANDLE, VOLUME, Series
from trading.market.store import TapeStore
from trading.market.store_funding import is_same
from trading.market.tape import Tape
from trading.market.ticks import TickShelf

DAY_MS = 24 * HOUR_MS
NOW_MS = START_MS + 63 * DAY_MS + 3 * HOUR_MS // 2
"""The fourth of March 2024, half past one: two months and three days are out."""
WHOLE = tape((100.0 + np.arange(63 * 24 + 1) % 11).tolist())
"""Hours of BTCUSDT from New Year to the last that has closed."""
KLINES = "data/spot/{}/klines/BTCUSDT/1h/BTCUSDT-1h-{}.zip"


@dataclass
class MemoryPages:
    """The exchange's pages over a tape; what a fault takes away is gone."""

    tape: Tape
    rates: Sequence[FundingRate] = ()
    asked: list[tuple[str, int, int]] = field(default_factory=list)
    down: int = 0
    refuses: str = ""

    async def candle_page(self, series: Series, symbol: str, interval: str, *, start_ms: int, limit: int) -> Columns:
        self.asked.append((series.value, start_ms, limit))
        if self.down:
            self.down -= 1
            raise NetworkDownError("pages: unplugged")
        if self.refuses:
            raise DataProviderError(self.refuses)
        first = int(np.searchsorted(self.tape.open_time_ms, start_ms))
        columns = columns_of(self.tape)
        return {name: values[first : first + limit] for name, values in columns.items()}

    async def funding_history(self, symbol: str, *, start_ms: int, limit: int) -> list[FundingRate]:
        return [rate for rate in self.rates if rate.time_ms >= start_ms][:limit]


def columns_of(tape: Tape) -> Columns:
    values = (tape.open_time_ms, tape.open, tape.high, tape.low, tape.close, tape.volume_base)
    return dict(zip((*CANDLE, VOLUME), values, strict=True))


def rows_of(tape: Tape, start_ms: int, end_ms: int) -> str:
    columns = [values.tolist() for values in columns_of(tape).values()]
    rows = [row for row in zip(*columns, strict=True) if start_ms <= row[0] < end_ms]
    return "".join(f"{','.join(repr(cell) for cell in row)},{int(row[0]) + 1},7.5,3,1.5,2.5,0\n" for row in rows)


@dataclass
class World:
    """An archive with two months and three days, pages with everything, and an empty shelf."""

    server: ArchiveServer
    pages: MemoryPages
    root: Path
    at: Tape = WHOLE

    def file(self, period: str, date: str, found: Tape) -> None:
        start = np.datetime64(date)
        unit = np.timedelta64(1, np.datetime_data(start)[0])
        edges = [int(day.astype("datetime64[ms]").astype(np.int64)) for day in (start, start + unit)]
        self.server.add(KLINES.format(period, date), rows_of(found, *edges))

    def fill(self, found: Tape = WHOLE) -> None:
        for month in ("2024-01", "2024-02"):
            self.file("monthly", month, found)
        for day in ("2024-03-01", "2024-03-02", "2024-03-03"):
            self.file("daily", day, found)

    async def fetch(
        self, *, start_ms: int = START_MS, end_ms: int = NOW_MS, again: bool = False, stop_at: int = 10**9
    ) -> Report:
        """One run of the fetch; it is cut off at the so-manyeth word of progress."""
        clock, heard = Clock(origin_ms=NOW_MS), 0

        def told(_rows: int, _what: str) -> None:
            nonlocal heard
            heard += 1
            if heard >= stop_at:
                raise CutOffError

        async with archive_at(self.server.url, clock) as archive:
            fetcher = HistoryFetch(TapeStore(self.root), archive, self.pages, self.root / "ledger", clock, told)
            return await fetcher.candles(Series.SPOT, Stretch("BTCUSDT", "1h", start_ms, end_ms, again))

    def held(self) -> Tape:
        return TapeStore(self.root).load(Market.SPOT, "BTCUSDT", "1h")

    def shelf(self) -> dict[str, str]:
        """Every file of the shelf with its hash, but for what says when."""
        files = (path for path in self.root.rglob("*") if path.is_file() and path.parent.name != "ledger")
        return {str(p.relative_to(self.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


class CutOffError(TradingEngineError):
    """Somebody pulled the plug."""


@asynccontextmanager
async def world(root: Path, *, pages: Tape = WHOLE) -> AsyncIterator[World]:
    async with archive_with(START_MS, 0) as server:
        yield World(server, MemoryPages(pages), root)


async def test_months_then_days_then_pages_make_the_whole_and_nothing_is_fetched_twice(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        at.fill()
        report = await at.fetch()
        assert np.array_equal(at.held().close, WHOLE.close)
        assert at.held().content_hash == replace(WHOLE).content_hash
        assert (report.files, report.paged, report.new, report.holes) == (5, 1, len(WHOLE), ())
        kept = TapeStore(tmp_path).series(Series.SPOT, "BTCUSDT", "1h", START_MS, START_MS + HOUR_MS)
        assert (kept["trades"][0], kept["taker_buy_quote_volume"][0]) == (3.0, 2.5)
        asked = sum(at.server.seen.values())
        again = await at.fetch()
        assert (sum(at.server.seen.values()), again.new, again.files_known) == (asked, 0, 5)
        assert len(SourceBook(tmp_path / "ledger" / "spot_BTCUSDT_1h.sources.jsonl").read()) == 5


async def test_cut_off_at_any_word_and_begun_again_it_ends_as_if_it_never_had_been(tmp_path: Path) -> None:
    async with world(tmp_path / "calm") as at:
        at.fill()
        await at.fetch()
        calm = at.shelf()
        for stop_at in range(1, 7):
            at.root = tmp_path / f"cut-{stop_at}"
            with pytest.raises(CutOffError):
                await at.fetch(stop_at=stop_at)
            await at.fetch()
            assert at.shelf() == calm, f"cut off at {stop_at}"


async def test_a_torn_line_of_the_sources_costs_one_file_and_nothing_else(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        at.fill()
        await at.fetch()
        calm, book = at.shelf(), tmp_path / "ledger" / "spot_BTCUSDT_1h.sources.jsonl"
        book.write_bytes(book.read_bytes()[:-20])
        assert (await at.fetch()).files == 1
        assert at.shelf() == calm
        assert len(SourceBook(book).read()) == 5


async def test_a_shelf_that_was_cleared_is_filled_again_whatever_the_sources_say(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        at.fill()
        await at.fetch()
        calm = at.shelf()
        for path in (tmp_path / "spot").rglob("*"):
            if path.is_file():
                path.unlink()
        assert (await at.fetch()).files == 5
        assert at.shelf() == calm


async def test_a_damaged_month_is_set_aside_and_the_next_fetch_brings_it_back(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        at.fill()
        await at.fetch()
        calm = at.shelf()
        month = next((tmp_path / "spot").rglob("2024-01-*.parquet"))
        month.write_bytes((tmp_path / "spot").rglob("2024-02-*.parquet").__next__().read_bytes())
        with pytest.raises(DataProviderError, match="does not match its hash; set aside"):
            at.held()
        assert (await at.fetch()).files == 1
        assert {name: held for name, held in at.shelf().items() if ".bad-" not in name} == calm


async def test_a_row_that_is_twice_in_a_zip_counts_once_and_two_that_differ_are_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        at.fill()
        rows = rows_of(WHOLE, START_MS, START_MS + 31 * DAY_MS).splitlines(keepends=True)
        at.server.add(KLINES.format("monthly", "2024-01"), "".join([*rows[:50], rows[7], *rows[49:]]))
        await at.fetch()
        assert np.array_equal(at.held().close, WHOLE.close)
    async with world(tmp_path / "other") as at:
        at.fill()
        other = rows[7].replace(",7.5,", ",8.5,")
        at.server.add(KLINES.format("monthly", "2024-01"), "".join([*rows[:8], other, *rows[8:]]))
        with pytest.raises(DataProviderError, match="not after the one before it"):
            await at.fetch()


async def test_real_funding_does_not_join_a_made_up_market(tmp_path: Path) -> None:
    store, clock = TapeStore(tmp_path), Clock(origin_ms=NOW_MS)
    store.save(replace(WHOLE, market=Market.PERP, origin="synthetic"))
    async with archive_with(START_MS, 0) as server, archive_at(server.url, clock) as archive:
        want, book = Stretch("BTCUSDT", "1h", START_MS, NOW_MS), SourceBook(tmp_path / "funding.sources.jsonl")
        with pytest.raises(DataProviderError, match="holds synthetic candles of it"):
            await fetch_settlements(store, archive, MemoryPages(WHOLE), book, want, clock=clock, told=lambda *_: None)


async def test_a_month_that_was_cut_short_stops_one_fetch_and_the_next_brings_it_back(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        at.fill()
        await at.fetch()
        calm = at.shelf()
        month = next((tmp_path / "spot").rglob("2024-01-*.parquet"))
        month.write_bytes(month.read_bytes()[:300])
        with pytest.raises(DataProviderError, match="cannot be read"):
            await at.fetch()
        assert (await at.fetch()).files == 1
        assert {name: held for name, held in at.shelf().items() if ".bad-" not in name} == calm


async def test_what_the_archive_lost_comes_from_the_pages_and_what_neither_has_is_a_halt(tmp_path: Path) -> None:
    halted = tape((100.0 + np.arange(63 * 24 + 1) % 11).tolist(), drop=range(200, 206))
    async with world(tmp_path, pages=halted) as at:
        at.fill(tape((100.0 + np.arange(63 * 24 + 1) % 11).tolist(), drop=[*range(200, 206), *range(300, 340)]))
        report = await at.fetch()
        assert np.array_equal(at.held().open_time_ms, halted.open_time_ms)
        (mended,) = report.repaired
        assert (mended.first_ms, mended.bars, mended.cause) == (START_MS + 300 * HOUR_MS, 40, Cause.SOURCE_HOLE)
        (hole,) = report.holes
        assert (hole.first_ms, hole.bars, hole.cause) == (START_MS + 200 * HOUR_MS, 6, Cause.EXCHANGE_HALT)
        assert hole.evidence == ("the exchange's pages: none of 6",)
        asked = len(at.pages.asked)
        again = await at.fetch()
        assert len(at.pages.asked) == asked, "a hole is asked for once"
        assert [h.cause for h in again.holes] == [Cause.EXCHANGE_HALT]
        ledger = read_ledger(tmp_path / "ledger" / "spot_BTCUSDT_1h.gaps.json")
        assert ledger is not None
        assert [h.bars for h in ledger.repaired] == [40]


async def test_two_stretches_apart_leave_what_lies_between_alone_until_it_is_asked_for(tmp_path: Path) -> None:
    early_ms, late_ms = START_MS + 10 * DAY_MS, START_MS + 40 * DAY_MS
    ledger_file = tmp_path / "ledger" / "spot_BTCUSDT_1h.gaps.json"
    gapped = tape((100.0 + np.arange(63 * 24 + 1) % 11).tolist(), drop=range(48, 53))
    async with world(tmp_path, pages=gapped) as at:
        await at.fetch(end_ms=early_ms)
        report = await at.fetch(start_ms=late_ms)
        assert (report.holes, report.repaired) == ((), [])
        assert not [ms for _, ms, _ in at.pages.asked if early_ms < ms < late_ms]
        ledger = read_ledger(ledger_file)
        assert ledger is not None
        assert ledger.stretches == ((START_MS, early_ms), (late_ms, START_MS + len(WHOLE) * HOUR_MS))
        assert [(hole.first_ms, hole.bars) for hole in ledger.holes] == [(START_MS + 48 * HOUR_MS, 5)]
        await at.fetch()
        ledger = read_ledger(ledger_file)
        assert ledger is not None
        assert len(ledger.stretches) == 1
        assert np.array_equal(at.held().open_time_ms, gapped.open_time_ms)


async def test_a_ledger_of_one_stretch_as_it_once_was_written_is_read(tmp_path: Path) -> None:
    hole = {"first_ms": START_MS, "bars": 2, "cause": "source hole", "evidence": ["spot ETHUSDT 1h: 2 of 2"]}
    old = {"schema": 1, "start_ms": START_MS, "end_ms": NOW_MS, "at_ms": NOW_MS, "holes": [hole], "repaired": []}
    (tmp_path / "old.gaps.json").write_text(json.dumps(old), encoding="utf-8")
    ledger = read_ledger(tmp_path / "old.gaps.json")
    assert ledger is not None
    assert (ledger.stretches, [one.bars for one in ledger.holes]) == (((START_MS, NOW_MS),), [2])


async def test_a_symbol_that_the_exchange_no_longer_knows_is_told_by_the_archive_alone(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        at.file("monthly", "2024-01", WHOLE)
        at.pages.refuses = "binance spot klines: BadSymbol: -1121 Invalid symbol."
        report = await at.fetch()
        assert (report.held, report.refused) == (31 * 24, at.pages.refuses)
        assert [(hole.cause, hole.bars) for hole in report.holes] == [(Cause.UNKNOWN, 32 * 24 + 1)]
        assert "  the exchange's pages do not speak of it: " + at.pages.refuses in list(lines_of(report))
        at.pages.refuses, at.pages.tape = "", WHOLE.window(START_MS, START_MS + 31 * DAY_MS)
        report = await at.fetch()
        assert [hole.cause for hole in report.holes] == [Cause.DELISTED], "it was asked again, and has none since"
        assert [hole.cause for hole in (await at.fetch()).holes] == [Cause.DELISTED]
    async with world(tmp_path / "nothing") as at:
        at.pages.refuses = "no such symbol"
        with pytest.raises(DataProviderError, match=r"neither the archive nor .* \(no such symbol\)"):
            await at.fetch()


async def test_a_candle_that_closes_while_it_is_fetched_is_no_hole(tmp_path: Path) -> None:
    grown = tape((100.0 + np.arange(63 * 24 + 40) % 11).tolist())
    async with world(tmp_path, pages=grown) as at:
        at.fill()
        clock = StandingClock(NOW_MS, real_s=0.0)

        def told(_rows: int, _what: str) -> None:
            clock.put(clock.now_ms() + HOUR_MS, real_s=0.0)

        async with archive_at(at.server.url, clock) as archive:
            fetcher = HistoryFetch(TapeStore(at.root), archive, at.pages, at.root / "ledger", clock, told)
            report = await fetcher.candles(Series.SPOT, Stretch("BTCUSDT", "1h", START_MS, NOW_MS + DAY_MS))
        assert (report.repaired, report.holes) == ([], ())


async def test_a_month_without_a_zip_is_taken_by_the_day_but_not_before_the_listing(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        at.file("monthly", "2024-01", WHOLE)
        for day in range(1, 30):
            at.file("daily", f"2024-02-{day:02}", WHOLE)
        report = await at.fetch(start_ms=START_MS - 90 * DAY_MS)
        assert np.array_equal(at.held().close, WHOLE.close)
        assert report.files == 30
        assert not [path for path in at.server.seen if "daily" in path and "-2023-" in path]
        (before,) = report.holes
        assert (before.cause, before.bars) == (Cause.NOT_LISTED, 90 * 24)


async def test_a_candle_restated_since_is_found_by_fetching_again_and_the_held_one_stays(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        at.fill()
        await at.fetch()
        closes = (100.0 + np.arange(63 * 24 + 1) % 11).tolist()
        closes[30] += 0.5
        at.file("monthly", "2024-01", tape(closes))
        assert (await at.fetch()).revised == []
        report = await at.fetch(again=True)
        assert [one.open_time_ms for one in report.revised] == [START_MS + 30 * HOUR_MS, START_MS + 31 * HOUR_MS]
        assert at.held().content_hash == WHOLE.content_hash
        kept = TapeStore(tmp_path).revisions(Series.SPOT, "BTCUSDT", "1h")
        assert [one.open_time_ms for one in kept] == [one.open_time_ms for one in report.revised]


async def test_pages_that_fail_are_asked_again_within_bounds_and_nothing_anywhere_is_told(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        at.pages.down = 1
        await at.fetch()
        assert np.array_equal(at.held().close, WHOLE.close)
    async with world(tmp_path / "none", pages=WHOLE.window(START_MS, START_MS + DAY_MS)) as at:
        with pytest.raises(DataProviderError, match="neither the archive nor the exchange has a candle of it"):
            await at.fetch(start_ms=START_MS + 40 * DAY_MS)


async def test_settlements_come_by_the_month_and_then_by_pages_and_a_mark_that_was_not_known_is_filled_in(
    tmp_path: Path,
) -> None:
    times = [START_MS + n * 8 * HOUR_MS for n in range(1, 64 * 3)]
    store, clock, book = TapeStore(tmp_path), Clock(origin_ms=NOW_MS), SourceBook(tmp_path / "funding.sources.jsonl")
    rates = [FundingRate("BTCUSDT", ms + 9, 1e-4, 100.5) for ms in times]
    async with archive_with(START_MS, 0) as server, archive_at(server.url, clock) as archive:
        rows = "".join(f"{ms + 3},8,0.0001\n" for ms in times if ms < START_MS + 31 * DAY_MS)
        name = "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-01.zip"
        server.add(name, "calc_time,funding_interval_hours,last_funding_rate\n" + rows)
        want, pages = Stretch("BTCUSDT", "1h", START_MS, NOW_MS), MemoryPages(WHOLE, rates)
        report = await fetch_settlements(store, archive, pages, book, want, clock=clock, told=lambda *_: None)
        due = [ms for ms in times if ms < NOW_MS]
        assert store.funding("BTCUSDT", START_MS, NOW_MS).time_ms.tolist() == due
        assert (report.files, report.new, report.held) == (1, len(due), len(due))
        asked = sum(server.seen.values())
        again = await fetch_settlements(store, archive, pages, book, want, clock=clock, told=lambda *_: None)
        assert (again.new, sum(server.seen.values()) - asked) == (0, 1), "only February, which is not there"
    marks = store.funding("BTCUSDT", START_MS, NOW_MS).mark_price
    assert np.isnan(marks[:92]).all()
    assert (marks[93:] == 100.5).all()
    other = store.funding("BTCUSDT", START_MS, NOW_MS)
    assert store.settle("BTCUSDT", replace(other, mark_price=np.full(len(marks), 100.5), rate=other.rate + 1.0e-5)) == 0
    assert np.isnan(store.funding("BTCUSDT", START_MS, NOW_MS).mark_price[:92]).all(), (
        "of another rate nothing is taken"
    )


async def test_settlements_that_the_archive_lacks_in_the_middle_come_by_pages_and_damaged_ones_come_back(
    tmp_path: Path,
) -> None:
    times = [START_MS + n * 8 * HOUR_MS for n in range(1, 60 * 3)]
    store, clock, book = TapeStore(tmp_path), Clock(origin_ms=NOW_MS), SourceBook(tmp_path / "funding.sources.jsonl")
    pages = MemoryPages(WHOLE, [FundingRate("BTCUSDT", ms, 1e-4, 100.5) for ms in times])
    want = Stretch("BTCUSDT", "1h", START_MS, START_MS + 60 * DAY_MS)

    async def fetch() -> Report:
        return await fetch_settlements(store, archive, pages, book, want, clock=clock, told=lambda *_: None)

    async with archive_with(START_MS, 0) as server, archive_at(server.url, clock) as archive:
        for month, days in (("2024-01", range(2, 31)), ("2024-02", range(31, 60))):
            at = [ms for ms in times if (ms - START_MS) // DAY_MS in days and (ms - START_MS) // DAY_MS not in (10, 40)]
            rows = "".join(f"{ms + 3},8,0.0001\n" for ms in at)
            name = f"data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-{month}.zip"
            server.add(name, "calc_time,funding_interval_hours,last_funding_rate\n" + rows)
        report = await fetch()
        assert store.funding("BTCUSDT", 0, 2**62).time_ms.tolist() == times
        assert (report.files, report.paged, report.held) == (2, 5 + 3 + 3, len(times))
        whole = store.funding("BTCUSDT", 0, 2**62)
        file = tmp_path / "perp" / "BTCUSDT" / "funding.parquet"
        file.write_bytes(file.read_bytes()[:90])
        report = await fetch()
        assert (report.files, report.held) == (2, len(times)), "sources whose rows are gone are fetched again"
        assert is_same(store.funding("BTCUSDT", 0, 2**62), whole)
        pages.rates = ()
        assert (await fetch()).files_known == 2


async def test_the_exchanges_own_hours_are_held_against_those_made_of_minutes(tmp_path: Path) -> None:
    minutes = tape((100.0 + np.arange(31 * 24 * 60) % 13).tolist(), interval="1m")
    hours = resample(minutes, "1h")
    close = hours.close.copy()
    close[5] = 107.5
    store, clock = TapeStore(tmp_path), Clock(origin_ms=NOW_MS)
    store.save(minutes)
    async with archive_with(START_MS, 0) as server, archive_at(server.url, clock) as archive:
        rows = rows_of(replace(hours, close=close), START_MS, START_MS + 31 * DAY_MS)
        server.add(KLINES.format("monthly", "2024-01"), rows)
        want = Stretch("BTCUSDT", "1m", START_MS, START_MS + 31 * DAY_MS)
        asked = {"clock": clock, "told": lambda *_: None}
        found = await compare_with_own(store, archive, tmp_path, Market.SPOT, want, "1h", **asked)
        assert (found.compared, [d.open_time_ms for d in found.disagreements]) == (744, [START_MS + 5 * HOUR_MS])
        assert (found.disagreements[0].column, found.disagreements[0].own) == ("close", 107.5)
        seen = sum(server.seen.values())
        again = await compare_with_own(store, archive, tmp_path, Market.SPOT, want, "1h", **asked)
        assert (again.compared, len(again.disagreements), sum(server.seen.values())) == (0, 1, seen)
        server.add(KLINES.format("monthly", "2024-01"), rows_of(hours, START_MS, START_MS + 31 * DAY_MS))
        want = replace(want, again=True)
        mended = await compare_with_own(store, archive, tmp_path, Market.SPOT, want, "1h", **asked)
        assert (mended.compared, mended.disagreements) == (744, ()), "what the exchange has mended is not listed"


@needs_data
async def test_a_recorded_day_of_aggregated_trades_is_read_back_tick_by_tick(tmp_path: Path) -> None:
    content = (DATA / "payloads/binance_archive/futures-APEUSDT-aggTrades-2024-10-18.zip").read_bytes()
    day_ms = START_MS + 291 * DAY_MS
    path = "data/futures/um/daily/aggTrades/APEUSDT/APEUSDT-aggTrades-2024-10-18.zip"
    shelf, clock = TickShelf(tmp_path, Ticks.AGG_TRADES, Market.PERP, "APEUSDT"), Clock(origin_ms=day_ms + 9 * DAY_MS)
    async with archive_with(START_MS, 0) as server, archive_at(server.url, clock) as archive:
        server.files[path] = content
        server.files[path + ".CHECKSUM"] = f"{hashlib.sha256(content).hexdigest()}  x.zip\n".encode()
        asked = {"clock": clock, "told": lambda *_: None}
        found = await shelf.fetch(archive, day_ms, day_ms + 2 * DAY_MS, **asked)
        assert (found.files, found.rows, found.missing) == (1, 45_342, ("2024-10-19",))
        assert (await shelf.fetch(archive, day_ms, day_ms + DAY_MS, **asked)).files_known == 1
    ticks = shelf.read(day_ms, day_ms + DAY_MS)
    assert (ticks["time_ms"][0], ticks["price"][0], ticks["quantity_base"][0]) == (1_729_209_603_958, 0.7097, 19.0)
    assert (len(ticks["price"]), bool(ticks["is_buyer_maker"][-1])) == (45_342, False)
    with pytest.raises(DataProviderError, match="no day held"):
        shelf.read(day_ms + 5 * DAY_MS, day_ms + 6 * DAY_MS)
    csv, there = tmp_path / "day.csv", tmp_path / "nowhere" / "day.parquet"
    csv.write_text("1\n", encoding="utf-8")
    with pytest.raises(StateFileError, match=r"nowhere/day\.parquet: cannot be written"):
        csv_to_parquet(csv, there, {"id": "BIGINT"}, keep=("id",), values={}, has_header=False)


async def test_a_day_whose_first_tick_is_stamped_before_midnight_is_read_back(tmp_path: Path) -> None:
    day_ms, shelf = START_MS + DAY_MS, TickShelf(tmp_path, Ticks.BOOK_TICKER, Market.PERP, "BTCUSDT")
    clock = Clock(origin_ms=day_ms + 9 * DAY_MS)
    async with archive_with(START_MS, 0) as server, archive_at(server.url, clock) as archive:
        rows = f"1,100.0,1.0,100.1,2.0,{day_ms - 4},{day_ms + 1}\n2,100.0,1.0,100.1,2.0,{day_ms + 50},{day_ms + 51}\n"
        server.add(
            "data/futures/um/daily/bookTicker/BTCUSDT/BTCUSDT-bookTicker-2024-01-02.zip", "a,b,c,d,e,f,g\n" + rows
        )
        await shelf.fetch(archive, day_ms, day_ms + DAY_MS, clock=clock, told=lambda *_: None)
    assert shelf.read(day_ms - DAY_MS, day_ms + DAY_MS)["update_id"].tolist() == [1, 2]
    assert shelf.read(day_ms, day_ms + DAY_MS)["update_id"].tolist() == [2]
