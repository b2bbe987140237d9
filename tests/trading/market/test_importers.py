from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import DATA, needs_data
from tests.trading.market.samples import HOUR_MS, START_MS, tape
from trading.domain.clock import parse_iso
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.market.archive_rows import candles_of, settlements_of
from trading.market.importers import import_recorded, join, tape_of
from trading.market.resample import resample
from trading.market.synthetic import Plan, synthetic_market, write_layout
from trading.market.tape import Tape

ARCHIVE = DATA / "payloads" / "binance_archive"


def zipped(text: str, name: str = "BTCUSDT-1h-2024-01.csv") -> bytes:
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w") as archive:
        archive.writestr(name, text)
    return box.getvalue()


def row(stamp: int, close: float = 101.0) -> str:
    return f"{stamp},100.0,102.0,99.0,{close},5.5,{stamp + 1},1,1,1,1,0\n"


@needs_data
def test_recorded_minutes_make_the_recorded_hours():
    minutes = import_recorded(DATA, Market.SPOT, "BTCUSDT", "1m", START_MS, START_MS + 90 * 24 * HOUR_MS)
    hours = import_recorded(DATA, Market.SPOT, "BTCUSDT", "1h", START_MS, START_MS + 90 * 24 * HOUR_MS)
    made = resample(minutes, "1h")
    for column in ("open_time_ms", "open", "high", "low", "close"):
        assert np.array_equal(getattr(made, column), getattr(hours, column)), column
    assert np.allclose(made.volume_base, hours.volume_base, rtol=1e-9)


@needs_data
def test_recorded_perpetual_comes_with_its_settlements_and_unknown_marks():
    perp = import_recorded(DATA, Market.PERP, "BTCUSDT", "1h")
    assert perp.origin == "recorded"
    assert perp.start_ms == parse_iso("2019-09-08T17:00:00Z")
    assert len(perp.funding.time_ms) > 5800
    assert (perp.funding.time_ms % HOUR_MS == 0).all()
    assert np.isnan(perp.funding.mark_price[0])
    assert np.isfinite(perp.funding.mark_price[-1])
    assert len(import_recorded(DATA, Market.SPOT, "BTCUSDT", "1h").funding.time_ms) == 0


@needs_data
@pytest.mark.parametrize(
    ("market", "interval", "start", "end", "bars"),
    [
        (Market.PERP, "5m", "2023-11-01", "2023-11-02", 288),
        (Market.PERP, "15m", "2024-02-01", "2024-02-02", 96),  # made of 5m
        (Market.PERP, "15m", "2023-07-20", "2023-07-21", 96),  # only the minutes reach there
        (Market.SPOT, "5m", "2022-11-05", "2022-11-06", 288),  # of one of three files of minutes
        (Market.SPOT, "1h", "2019-05-15", "2019-05-16", 14),  # an outage of ten hours stays one
        (Market.SPOT, "4h", "2024-01-01", "2024-01-03", 12),
    ],
)
def test_the_file_that_serves_a_stretch_is_found(market: Market, interval: str, start: str, end: str, bars: int):
    found = import_recorded(DATA, market, "BTCUSDT", interval, parse_iso(start), parse_iso(end))
    assert (len(found), found.interval) == (bars, interval)
    assert found.start_ms == parse_iso(start)


def archived(content: bytes, market: Market) -> Tape:
    return tape_of(candles_of(content, "archive"), market, "BTCUSDT", "1h", origin="downloaded")


@needs_data
def test_the_archive_of_spot_and_futures_reads_the_same_with_and_without_a_header():
    spot = archived((ARCHIVE / "spot-klines-BTCUSDT-1h-2024-10-28.zip").read_bytes(), Market.SPOT)
    perp = archived((ARCHIVE / "futures-um-klines-BTCUSDT-1h-2024-10-28.zip").read_bytes(), Market.PERP)
    assert (len(spot), len(perp), spot.start_ms, perp.start_ms) == (24, 24, 1730073600000, 1730073600000)
    assert (spot.close[0], perp.close[0], spot.origin) == (67859.91, 67835.2, "downloaded")
    recorded = import_recorded(DATA, Market.SPOT, "BTCUSDT", "1h", spot.start_ms, spot.end_ms)
    assert np.array_equal(spot.close, recorded.close)


def test_microsecond_stamps_are_the_same_bars_as_millisecond_stamps():
    in_ms = archived(zipped(row(START_MS) + row(START_MS + HOUR_MS)), Market.SPOT)
    in_us = archived(zipped(row(START_MS * 1000) + row((START_MS + HOUR_MS) * 1000)), Market.SPOT)
    assert in_us.content_hash == in_ms.content_hash


def test_archived_funding_is_read_without_its_jitter():
    text = (
        f"calc_time,funding_interval_hours,last_funding_rate\n{START_MS + 7},8,0.0001\n{START_MS + 28800029},8,-2e-4\n"
    )
    funding = settlements_of(zipped(text), "archive")
    assert funding.time_ms.tolist() == [START_MS, START_MS + 28_800_000]
    assert funding.rate.tolist() == [1e-4, -2e-4]
    assert np.isnan(funding.mark_price).all()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', "the archive has no such file"),
        (b"<html>gateway</html>", "not a zip"),
        (b"", "not a zip"),
        (zipped("x", name="readme.txt"), "expected one CSV"),
        (zipped("open_time,open\n"), "no rows"),
        (zipped("1,2,three,4,5,6\n"), "not rows of numbers"),
        (zipped(row(START_MS + 1)), "not on the grid"),
        (zipped(f"{START_MS},100.0,90.0,99.0,101.0,5.5,0,0,0,0,0,0\n"), r"high\[0\]=90.0"),
    ],
)
def test_what_is_no_archive_of_candles_is_told_in_one_line(content: bytes, words: str):
    with pytest.raises(DataProviderError, match=words) as told:
        archived(content, Market.SPOT)
    assert "\n" not in str(told.value)


def test_a_folder_that_cannot_serve_is_told_in_one_line(tmp_path: Path):
    with pytest.raises(DataProviderError, match="no such folder"):
        import_recorded(tmp_path / "nowhere", Market.SPOT, "BTCUSDT", "1h")
    write_layout(tmp_path, [synthetic_market(Plan(bars=48)).spot])
    with pytest.raises(DataProviderError, match=r"no file for it or .*the folder has spot_BTCUSDT_1h"):
        import_recorded(tmp_path, Market.SPOT, "BTCUSDT", "5m")
    with pytest.raises(DataProviderError, match="use one of 1m"):
        import_recorded(tmp_path, Market.SPOT, "BTCUSDT", "7m")
    with pytest.raises(DataProviderError, match="no bar between 2030"):
        import_recorded(tmp_path, Market.SPOT, "BTCUSDT", "1h", parse_iso("2030-01-01"), parse_iso("2030-01-02"))
    (tmp_path / "spot_BTCUSDT_1h.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataProviderError, match="cannot be read"):
        import_recorded(tmp_path, Market.SPOT, "BTCUSDT", "1h")


def test_resampling_drops_bars_it_covers_only_in_part_and_keeps_holes():
    hours = tape([float(100 + i) for i in range(14)], start_ms=START_MS + HOUR_MS, drop=[5])
    four = resample(hours, "4h")
    assert four.open_time_ms.tolist() == [START_MS + 4 * HOUR_MS, START_MS + 8 * HOUR_MS]
    assert four.close.tolist() == [106.0, 110.0]
    assert four.volume_base.tolist() == [4 + 5 + 7, 8 + 9 + 10 + 11]
    with pytest.raises(DataProviderError, match="multiple of 4h"):
        resample(four, "6h")
    with pytest.raises(DataProviderError, match="do not cover one whole 1d"):
        resample(hours, "1d")


def test_joined_stretches_keep_the_earlier_where_they_overlap():
    one, two = tape([100.0, 101.0, 102.0]), tape([201.0, 202.0, 203.0], start_ms=START_MS + HOUR_MS)
    assert join([one, two]).close.tolist() == [100.0, 101.0, 102.0, 203.0]
    with pytest.raises(DataProviderError, match="one market and interval"):
        join([one, tape([100.0], market=Market.PERP)])
