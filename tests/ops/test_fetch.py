"""`./lab history fetch` and `import`: onto the shelf, nothing twice, gaps told."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ops.flags import span_of_days
from ops.history.fetch import Sources, Wanted, fetch, run_fetch
from ops.history.recorded import run_import
from ops.history.show import run_show
from ops.settings import VenueSettings
from tests.trading.market.samples import START_MS, tape
from tests.trading.market.test_history import SPOT, archive_with, csv_of
from tests.trading.market.test_history_fetch import MemoryPages
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, SettingsError
from trading.domain.instrument import Market
from trading.market.history_intake import Stretch
from trading.market.store import TapeStore
from trading.market.synthetic import Plan, synthetic_market, write_layout
from trading.storage.home import Home

HOUR_MS, JANUARY_H = 3_600_000, 31 * 24
END_MS = START_MS + JANUARY_H * HOUR_MS


@pytest.fixture
def lab(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    return home


async def test_a_month_from_the_archive_is_on_the_shelf_with_its_gap_told_and_is_not_fetched_twice(home: Home) -> None:
    lines = csv_of(START_MS, JANUARY_H).splitlines(keepends=True)
    said: list[str] = []
    clock = Clock(origin_ms=END_MS + 40 * 24 * HOUR_MS)
    wanted = Wanted(Stretch("BTCUSDT", "1h", START_MS, END_MS), ("spot",))
    async with archive_with(START_MS, JANUARY_H) as archive:
        archive.add(SPOT.format("monthly", "2024-01"), "".join(lines[:10] + lines[13:]))
        pages = MemoryPages(tape([100.0, 101.0], start_ms=END_MS))
        screen = Console(file=io.StringIO(), width=200)
        sources = Sources(archive.url, pages, clock, screen)
        await fetch(home, wanted, sources, said.append)
        asked, first = sum(archive.seen.values()), "\n".join(said)
        assert f"{JANUARY_H - 3} candles: {JANUARY_H - 3} new, 0 known" in first
        assert "from 1 files of the archive; 0 candles by the exchange's pages" in first
        assert "gaps, candles: exchange halt 3 in 1 (none was invented)" in first
        assert "2024-01-01T10:00:00Z: 3 candles, 3 h: exchange halt (the exchange's pages: none of 3)" in first
        said.clear()
        await fetch(home, wanted, sources, said.append)
        assert sum(archive.seen.values()) == asked
        assert f"{JANUARY_H - 3} candles: 0 new, 0 known" in said[0]
        assert "from 0 files of the archive, 1 imported before" in said[1]
    held = TapeStore(home.tapes).load(Market.SPOT, "BTCUSDT", "1h")
    assert (len(held), held.origin) == (JANUARY_H - 3, "downloaded")


async def test_what_a_sandbox_gives_is_not_taken_for_the_exchanges_own(home: Home) -> None:
    wanted = Wanted(Stretch("BTCUSDT", "1h", START_MS, END_MS), ("spot",))
    async with archive_with(START_MS, JANUARY_H) as archive:
        archive.add(SPOT.format("monthly", "2024-01"), csv_of(START_MS, JANUARY_H))
        pages = MemoryPages(tape([100.0, 101.0], start_ms=END_MS))
        clock, screen = Clock(origin_ms=END_MS + 40 * 24 * HOUR_MS), Console(file=io.StringIO())
        await fetch(home, wanted, Sources(archive.url, pages, clock, screen, "recorded"), lambda _: None)
    assert TapeStore(home.tapes).load(Market.SPOT, "BTCUSDT", "1h").origin == "recorded"
    assert VenueSettings(base_url="http://127.0.0.1:9").origin == "recorded"
    assert VenueSettings().origin == "live"


async def test_a_series_that_cannot_be_had_does_not_keep_the_others_off_the_shelf(home: Home) -> None:
    said: list[str] = []
    wanted = Wanted(Stretch("BTCUSDT", "1h", START_MS, END_MS), ("mark", "spot"))
    async with archive_with(START_MS, JANUARY_H) as archive:
        archive.add(SPOT.format("monthly", "2024-01"), csv_of(START_MS, JANUARY_H))
        pages = MemoryPages(tape([100.0, 101.0], start_ms=END_MS))
        clock, screen = Clock(origin_ms=END_MS + 40 * 24 * HOUR_MS), Console(file=io.StringIO())
        sources = Sources(archive.url, pages, clock, screen)
        assert not await fetch(home, wanted, sources, said.append)
        assert said[0].startswith("not fetched: mark BTCUSDT 1h")
        assert said[1].startswith("spot BTCUSDT 1h: 2024-01-01")
        assert await fetch(home, replace(wanted, names=("spot",)), sources, said.append)
        with pytest.raises(DataProviderError, match="mark BTCUSDT 1h"):
            await fetch(home, replace(wanted, names=("mark",)), sources, said.append)


def test_a_year_is_its_first_day_at_either_end() -> None:
    assert span_of_days("2019", "2020") == span_of_days("2019-01-01", "2020-01-01")
    with pytest.raises(SettingsError, match="not after --from 2024"):
        span_of_days("2024", "2023")


def test_recorded_files_of_both_markets_are_imported_and_a_second_time_changes_nothing(
    lab: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = synthetic_market(Plan(start_ms=START_MS, bars=300, seed=2))
    write_layout(tmp_path, [made.spot, made.perp])
    assert run_import(tmp_path, "BTCUSDT", "1h") == 0
    shown = capsys.readouterr().out
    assert "spot BTCUSDT 1h: 2024-01-01T00:00:00Z to 2024-01-13T12:00:00Z, 300 bars: 300 new, 0 known" in shown
    assert "300 new, 0 known; 37 new settlements" in shown
    run_import(tmp_path, "BTCUSDT", "1h")
    assert capsys.readouterr().out.count("0 new, 300 known; 0 new settlements") == 2
    assert TapeStore(lab.tapes).load(Market.PERP, "BTCUSDT", "1h").content_hash == made.perp.content_hash


def test_a_folder_with_one_market_imports_that_one_and_a_bar_that_comes_changed_is_told(
    lab: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_layout(tmp_path, [tape([100.0, 101.0, 102.0])])
    run_import(tmp_path, "BTCUSDT", "1h")
    assert "perp BTCUSDT: no file in" in capsys.readouterr().out
    write_layout(tmp_path, [tape([100.0, 101.0, 103.0])])
    run_import(tmp_path, "BTCUSDT", "1h")
    assert "1 bars came with other numbers than those held (the first at 2024-01-01T02" in capsys.readouterr().out
    assert TapeStore(lab.tapes).load(Market.SPOT, "BTCUSDT", "1h").close.tolist() == [100.0, 101.0, 102.0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("BTCUSDT", "soon", None, "1h", "spot"), r"--from 'soon': not a date"),
        (("BTCUSDT", "2024-01-01", None, "7m", "spot"), r"--interval '7m': unknown; use one of 1m, 3m"),
        (
            ("BTCUSDT", "2024-01-01", None, "1h", "options"),
            r"--market 'options': unknown; use any of spot, perp",
        ),
        (("../../ETC", "2024-01-01", None, "1h", "spot"), r"symbol '../../ETC': not an exchange's name"),
        (("BTCUSDT", "2150", None, "1h", "spot"), r"--from 2150: in the future"),
    ],
)
def test_a_wrong_flag_is_named_before_anybody_is_asked(
    lab: Home, words: tuple[str, str, str | None, str, str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        run_fetch(*words, "", again=False, compare=True)
    assert not lab.tapes.exists()


def test_a_folder_without_the_symbol_is_refused_with_what_it_has(lab: Home, tmp_path: Path) -> None:
    with pytest.raises(DataProviderError, match="no such folder"):
        run_import(tmp_path / "none", "BTCUSDT", "1h")
    write_layout(tmp_path, [tape([100.0, 101.0])])
    with pytest.raises(DataProviderError, match=r"no file for it .*the folder has spot_BTCUSDT_1h"):
        run_import(tmp_path, "ETHUSDT", "1h")
    assert not lab.tapes.exists()


async def test_the_shelf_is_shown_with_what_is_missing_and_why(
    lab: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    assert run_show(None) == 0
    assert "the shelf is empty" in capsys.readouterr().out
    lines = csv_of(START_MS, JANUARY_H).splitlines(keepends=True)
    clock = Clock(origin_ms=END_MS + 40 * 24 * HOUR_MS)
    async with archive_with(START_MS, JANUARY_H) as archive:
        archive.add(SPOT.format("monthly", "2024-01"), "".join(lines[:10] + lines[13:]))
        sources = Sources(archive.url, MemoryPages(tape([100.0], start_ms=END_MS)), clock, Console(file=io.StringIO()))
        await fetch(lab, Wanted(Stretch("BTCUSDT", "1h", START_MS, END_MS), ("spot",)), sources, lambda _: None)
    assert run_show("btcusdt") == 0
    shown = capsys.readouterr().out
    assert "exchange halt 3" in shown
    assert "2024-01-01T10:00:00Z: 3 candles, 3 h: exchange halt (the exchange's pages: none of 3)" in shown
    assert run_show("ETHUSDT") == 1
    assert "nothing of ETHUSDT is on the shelf" in capsys.readouterr().out
