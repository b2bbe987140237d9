"""The demo's download: zips over a real socket become the market that is played, or the demo says what it plays."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from ai_brain.evidence.filing import evidence_folder
from ops.demo.market import DemoMarket, choose_market
from tests.archive_server import DAY_MS, ArchiveServer, archive_of, source_market
from tests.conftest import needs_data
from trading.domain.clock import Clock, parse_iso
from trading.domain.instrument import Market
from trading.journal.audit import verify_audit
from trading.market.importers import import_recorded
from trading.market.tape import Tape
from trading.storage.home import Home

END_MS = parse_iso("2025-03-05")
"""Spot stamps change from ms to µs within the stretch."""
NOW_MS = END_MS + 10 * 3_600_000
DAYS = 761


@pytest.fixture(scope="module")
def source() -> list[Tape]:
    return source_market(END_MS, days=DAYS + 5)


async def chosen(server: ArchiveServer, folder: Path, said: list[str]) -> DemoMarket:
    return await choose_market(
        None, "BTCUSDT", 12, workplace=folder, seed=7, now_ms=NOW_MS, say=said.append, archive_url=server.url
    )


def same_bars(found: Tape, source: Tape) -> None:
    expected = source.window(END_MS - DAYS * DAY_MS, END_MS)
    assert np.array_equal(found.open_time_ms, expected.open_time_ms)
    for name in ("open", "high", "low", "close", "volume_base"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


async def test_a_market_is_downloaded_bar_for_bar_with_its_settlements_and_says_so(
    source: list[Tape], tmp_path: Path
) -> None:
    said: list[str] = []
    async with archive_of(source, NOW_MS) as server:
        market = await chosen(server, tmp_path, said)
    assert market.origin == "downloaded"
    spot, perp = (import_recorded(market.folder, one, "BTCUSDT", "1h") for one in (Market.SPOT, Market.PERP))
    same_bars(spot, source[0])
    same_bars(perp, source[1])
    paid = perp.funding
    kept = (source[1].funding.time_ms > perp.start_ms) & (source[1].funding.time_ms < parse_iso("2025-03-01"))
    assert paid.time_ms.tolist() == source[1].funding.time_ms[kept].tolist(), "the running month's are not out yet"
    assert paid.rate.tolist() == source[1].funding.rate[kept].tolist()
    assert market.end_ms == parse_iso("2025-03-01"), "what is played has settlements to its end"
    assert "SYNTHETIC" not in "".join(said)
    for what in ("spot", "perp"):
        assert any(re.fullmatch(rf"downloading {what} BTCUSDT 1h: 50 % \(BTCUSDT-1h-.*\.zip\)", line) for line in said)
    assert len([line for line in said if line.startswith("downloading spot")]) <= 11
    zips = [path for path in server.seen if path.endswith(".zip")]
    mb = server.sent_bytes / 1e6
    assert said[-1] == f"downloaded {len(zips)} zips, {mb:.1f} MB, every one equal to its checksum"


async def test_a_month_without_a_zip_is_taken_day_by_day_and_a_day_without_one_is_a_gap_that_is_named(
    source: list[Tape], tmp_path: Path
) -> None:
    said: list[str] = []
    async with archive_of(source, NOW_MS) as server:
        for month in ("2024-06", "2025-02"):
            server.missing.add(f"spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-{month}.zip")
        server.missing.add("futures/um/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-07.zip")
        server.missing.add("futures/um/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2024-07-09.zip")
        server.missing.add("BTCUSDT-fundingRate-2024-05.zip")
        market = await chosen(server, tmp_path, said)
    assert market.origin == "downloaded"
    same_bars(import_recorded(market.folder, Market.SPOT, "BTCUSDT", "1h"), source[0])
    perp = import_recorded(market.folder, Market.PERP, "BTCUSDT", "1h")
    assert [(gap.first_missing_ms, gap.missing_bars) for gap in perp.gaps] == [(parse_iso("2024-07-09"), 24)]
    assert "gap: perp BTCUSDT: 24 bars missing from 2024-07-09T00:00:00Z" in said
    assert "gap: BTCUSDT: 93 settlements missing after 2024-04-30T16:00:00Z" in said


async def test_a_zip_that_does_not_match_its_checksum_is_fetched_again(source: list[Tape], tmp_path: Path) -> None:
    said: list[str] = []
    async with archive_of(source, NOW_MS) as server:
        server.damaged["spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-06.zip"] = 2
        market = await chosen(server, tmp_path, said)
    assert market.origin == "downloaded"
    same_bars(import_recorded(market.folder, Market.SPOT, "BTCUSDT", "1h"), source[0])


@pytest.mark.parametrize(
    ("accident", "told"),
    [
        ("damaged", r"no download: archive BTCUSDT-1h-2024-06\.zip: does not match its checksum in 3 tries; try again"),
        ("torn", r"no download: archive data/spot/.*2024-06\.zip: RemoteProtocolError: .*, 3 times; try again later"),
    ],
)
async def test_a_download_that_cannot_be_had_is_told_in_one_line_and_a_market_is_made_up(
    source: list[Tape], tmp_path: Path, accident: str, told: str
) -> None:
    said: list[str] = []
    async with archive_of(source, NOW_MS) as server:
        getattr(server, accident)["spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-06.zip"] = 9
        market = await chosen(server, tmp_path, said)
    assert market.origin == "synthetic"
    (line,) = (line for line in said if line.startswith("no download"))
    assert re.match(told, line)
    assert "\n" not in line
    assert said[-1].startswith("SYNTHETIC MARKET")
    assert not list(tmp_path.glob("archive/*2024-06.zip")), "what failed its checksum is not kept"


async def test_a_connection_torn_twice_still_brings_the_market(source: list[Tape], tmp_path: Path) -> None:
    said: list[str] = []
    async with archive_of(source, NOW_MS) as server:
        server.torn["spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-06.zip"] = 2
        market = await chosen(server, tmp_path, said)
    assert market.origin == "downloaded"


@needs_data
@pytest.mark.timeout(480)
async def test_the_demo_judges_ideas_on_a_downloaded_market_and_ends_at_once_when_interrupted(tmp_path: Path) -> None:
    now_ms = Clock().now_ms()
    month_ms = int(np.datetime64(now_ms, "ms").astype("datetime64[M]").astype("datetime64[ms]").astype(np.int64))
    # Settled months end with the last one: whatever the date is, the same recorded days are played.
    async with archive_of(source_market(month_ms, days=DAYS + 5), now_ms) as server:
        demo = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ops.cli", "demo", "--archive", server.url, cwd=tmp_path, env=dict(os.environ),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        home = Home(tmp_path / "demo-last")
        try:
            async with asyncio.timeout(200):
                while not (filed := [*evidence_folder(home).glob("*.json")]) and demo.returncode is None:  # noqa: ASYNC110 -- files of another process
                    await asyncio.sleep(0.2)
        finally:
            if demo.returncode is None:
                demo.send_signal(signal.SIGINT)
            out = (await demo.communicate())[0].decode()
    assert demo.returncode == 130, out[-3000:]
    assert "downloading perp BTCUSDT 1h: 100 %" in out
    assert "SYNTHETIC" not in out
    for path in filed:
        origins = {used["origin"] for used in json.loads(path.read_text())["data"]}
        assert origins == {"downloaded"}, path.name
    check = verify_audit(home.audit_file)
    assert check.ok, check.why
