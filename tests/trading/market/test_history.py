"""History by REST pages from a venue in memory, and from a small archive on loopback."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from tests.trading.market.samples import HOUR_MS, START_MS, MemoryVenue, tape
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, NetworkDownError
from trading.domain.instrument import Market
from trading.market.archive import fetch_archive
from trading.market.archive_files import candle_files
from trading.market.historical_data_fetcher import TRIES, Want, fetch_history
from trading.market.series import Series
from trading.market.tape import Funding

DAY_MS = 24 * HOUR_MS
CLOSES = (100.0 + np.arange(2500) % 7).tolist()
NOW_MS = START_MS + 2400 * HOUR_MS


def want(market: Market = Market.SPOT, *, start_ms: int = START_MS, end_ms: int = START_MS + 9999 * HOUR_MS) -> Want:
    return Want(market, "BTCUSDT", "1h", start_ms, end_ms)


@pytest.fixture
def clock() -> Clock:
    return Clock(scale=1000.0, origin_ms=NOW_MS)


async def test_pages_are_joined_and_the_running_candle_is_left_out(clock: Clock):
    whole = tape(CLOSES, drop=[1500, 1501, 1502])
    venue = MemoryVenue(clock, whole)
    found = await fetch_history(venue, want(), clock=clock)
    closed = whole.window(START_MS, clock.now_ms() // HOUR_MS * HOUR_MS)
    assert found.close.tolist() == closed.close.tolist()
    assert found.origin == "downloaded"
    assert [(gap.first_missing_ms, gap.missing_bars) for gap in found.gaps] == [(START_MS + 1500 * HOUR_MS, 3)]
    assert len(venue.asked) == 3


async def test_a_perpetual_comes_with_funding_of_its_stretch(clock: Clock):
    times = START_MS + 8 * HOUR_MS * np.arange(1, 20)
    funding = Funding(times, np.full(19, 1e-4), np.full(19, np.nan))
    venue = MemoryVenue(clock, tape(CLOSES, market=Market.PERP, funding=funding))
    found = await fetch_history(venue, want(Market.PERP, end_ms=START_MS + 24 * HOUR_MS), clock=clock)
    assert found.funding.time_ms.tolist() == times[:3].tolist()


async def test_a_page_that_fails_is_asked_for_again_but_not_for_ever(clock: Clock):
    venue = MemoryVenue(clock, tape(CLOSES))
    venue.down = TRIES - 1
    assert len(await fetch_history(venue, want(end_ms=START_MS + 10 * HOUR_MS), clock=clock)) == 10
    venue.down = TRIES
    with pytest.raises(NetworkDownError, match="unplugged"):
        await fetch_history(venue, want(end_ms=START_MS + 10 * HOUR_MS), clock=clock)


async def test_a_stretch_without_candles_or_without_length_is_refused(clock: Clock):
    venue = MemoryVenue(clock, tape(CLOSES))
    with pytest.raises(DataProviderError, match="lists no closed candle"):
        await fetch_history(venue, want(start_ms=NOW_MS + DAY_MS, end_ms=NOW_MS + 2 * DAY_MS), clock=clock)
    with pytest.raises(DataProviderError, match="the end must come after the start"):
        await fetch_history(venue, want(end_ms=START_MS), clock=clock)


@dataclass
class Archive:
    """The public archive on loopback: real zips, real checksums, and a list of what it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    torn: int = 0
    """So many of the next zips arrive damaged."""
    failing: int = 0
    """So many of the next answers are 503."""
    turning: bool = False
    """Every answer sends to where it was asked."""

    def add(self, path: str, text: str) -> None:
        box = io.BytesIO()
        with zipfile.ZipFile(box, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(Path(path).stem + ".csv", text)
        self.files[path] = box.getvalue()
        digest = hashlib.sha256(box.getvalue()).hexdigest()
        self.files[path + ".CHECKSUM"] = f"{digest}  {Path(path).name}\n".encode()

    async def serve(self, request: web.Request) -> web.Response:
        path = request.path.lstrip("/")
        self.seen[path] += 1
        if self.failing:
            self.failing -= 1
            return web.Response(status=503)
        if self.turning:
            return web.Response(status=302, headers={"Location": f"/{path}"})
        if path not in self.files:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
        body = self.files[path]
        if self.torn and path.endswith(".zip"):
            self.torn -= 1
            body = body[: len(body) // 2]
        return web.Response(body=body)


@asynccontextmanager
async def archive_with(start_ms: int, hours: int) -> AsyncIterator[Archive]:
    archive = Archive()
    app = web.Application()
    app.router.add_get("/{path:.*}", archive.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    archive.url = f"http://{host}:{port}"
    try:
        yield archive
    finally:
        await runner.cleanup()


def csv_of(start_ms: int, hours: int, *, microseconds: bool = False, header: bool = False) -> str:
    unit = 1000 if microseconds else 1
    lines = ["open_time,open,high,low,close,volume,close_time,a,b,c,d,e\n"] if header else []
    for hour in range(hours):
        opened = start_ms + hour * HOUR_MS
        lines.append(f"{opened * unit},100,102,99,{100 + hour % 3},5.5,{opened + 1},1,1,1,1,0\n")
    return "".join(lines)


SPOT = "data/spot/{}/klines/BTCUSDT/1h/BTCUSDT-1h-{}.zip"
JANUARY_H, NOVEMBER_MS = 31 * 24, START_MS - 61 * DAY_MS


async def test_months_and_then_days_are_downloaded_verified_and_kept(tmp_path: Path):
    async with archive_with(START_MS, JANUARY_H) as archive:
        archive.add(SPOT.format("monthly", "2024-01"), csv_of(START_MS, JANUARY_H))
        february_ms = START_MS + JANUARY_H * HOUR_MS
        for day in (1, 2):
            archive.add(
                SPOT.format("daily", f"2024-02-0{day}"), csv_of(february_ms + (day - 1) * DAY_MS, 24, microseconds=True)
            )
        wanted = want(start_ms=START_MS + DAY_MS, end_ms=february_ms + 10 * DAY_MS)
        told: list[float] = []
        asked = {"now_ms": february_ms + 2 * DAY_MS + HOUR_MS, "base_url": archive.url}
        found = await fetch_archive(wanted, tmp_path, progress=lambda _, done: told.append(done), **asked)
        assert (found.start_ms, found.end_ms, found.origin) == (wanted.start_ms, february_ms + 2 * DAY_MS, "downloaded")
        assert told == pytest.approx([1 / 3, 2 / 3, 1.0])
        assert sum(archive.seen.values()) == 6
        again = await fetch_archive(wanted, tmp_path, **asked)
        assert again.content_hash == found.content_hash
        assert sum(archive.seen.values()) == 6, "what is kept is not downloaded again"


async def test_a_damaged_download_is_fetched_again_and_a_damaged_file_on_disk_too(tmp_path: Path):
    async with archive_with(START_MS, JANUARY_H) as archive:
        archive.add(SPOT.format("monthly", "2024-01"), csv_of(START_MS, JANUARY_H))
        archive.torn = 2
        wanted = want(end_ms=START_MS + JANUARY_H * HOUR_MS)
        asked = {"now_ms": START_MS + 100 * DAY_MS, "base_url": archive.url}
        found = await fetch_archive(wanted, tmp_path, **asked)
        assert len(found) == JANUARY_H
        kept = next(tmp_path.glob("*.zip"))
        kept.write_bytes(kept.read_bytes()[:100])
        archive.failing = 1
        assert (await fetch_archive(wanted, tmp_path, **asked)).content_hash == found.content_hash
        archive.torn = 9
        kept.unlink()
        with pytest.raises(DataProviderError, match="does not match its checksum in 3 tries"):
            await fetch_archive(wanted, tmp_path, **asked)


async def test_a_perpetual_comes_with_the_archived_settlements(tmp_path: Path):
    async with archive_with(START_MS, JANUARY_H) as archive:
        archive.add(
            "data/futures/um/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-01.zip", csv_of(START_MS, JANUARY_H, header=True)
        )
        rows = "".join(f"{START_MS + n * 8 * HOUR_MS + 3},8,0.0001\n" for n in range(93))
        archive.add(
            "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-01.zip",
            "calc_time,funding_interval_hours,last_funding_rate\n" + rows,
        )
        found = await fetch_archive(
            want(Market.PERP, end_ms=START_MS + 10 * DAY_MS),
            tmp_path,
            now_ms=START_MS + 40 * DAY_MS,
            base_url=archive.url,
        )
        assert len(found) == 240
        assert found.funding.time_ms.tolist() == (START_MS + 8 * HOUR_MS * np.arange(1, 31)).tolist()


async def test_months_before_a_listing_are_left_out_and_nothing_at_all_is_told(tmp_path: Path):
    async with archive_with(START_MS, JANUARY_H) as archive:
        archive.add(SPOT.format("monthly", "2024-01"), csv_of(START_MS, JANUARY_H))
        asked = {"now_ms": START_MS + 100 * DAY_MS, "base_url": archive.url}
        found = await fetch_archive(want(start_ms=NOVEMBER_MS, end_ms=START_MS + 2 * DAY_MS), tmp_path, **asked)
        assert (found.start_ms, len(found)) == (START_MS, 48)
        with pytest.raises(DataProviderError, match="the archive has no file for it"):
            await fetch_archive(want(start_ms=NOVEMBER_MS, end_ms=NOVEMBER_MS + DAY_MS), tmp_path, **asked)
        with pytest.raises(DataProviderError, match="nothing of it is out yet"):
            await fetch_archive(want(), tmp_path, now_ms=START_MS, base_url=archive.url)
        archive.failing = 99
        with pytest.raises(NetworkDownError, match="status 503, 3 times"):
            await fetch_archive(want(end_ms=START_MS + DAY_MS), tmp_path / "new", **asked)
        archive.failing, archive.turning = 0, True
        with pytest.raises(NetworkDownError, match=r"TooManyRedirects: .* 3 times"):
            await fetch_archive(want(end_ms=START_MS + DAY_MS), tmp_path / "new", **asked)


async def test_offline_is_told_in_one_line(tmp_path: Path):
    with pytest.raises(NetworkDownError, match=r"archive http://127.0.0.1:9.*cannot be reached.*check the network"):
        await fetch_archive(want(), tmp_path, now_ms=START_MS + 100 * DAY_MS, base_url="http://127.0.0.1:9")


def test_the_running_month_is_taken_day_by_day_up_to_yesterday():
    stretch = (START_MS - DAY_MS, START_MS + 400 * DAY_MS)
    files = candle_files(Series.SPOT, "BTCUSDT", "1h", *stretch, now_ms=START_MS + 3 * DAY_MS + 1)
    assert [file.name for file in files] == [
        "BTCUSDT-1h-2023-12.zip",
        "BTCUSDT-1h-2024-01-01.zip",
        "BTCUSDT-1h-2024-01-02.zip",
        "BTCUSDT-1h-2024-01-03.zip",
    ]
