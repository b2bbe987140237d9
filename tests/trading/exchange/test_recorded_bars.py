"""The candles of a stretch out of a raw recording: which lines count, which files are opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ops.test_replay import MINUTE_MS, START_MS, Day, candle, streamed
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.exchange.recorded_bars import LATE_MS, RecordedBars, read_recorded_bars
from trading.storage import raw_log
from trading.storage.raw_log import raw_files


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_log, "FLUSH_S", 0.01)


def read(folder: Path, first: int, until: int) -> RecordedBars:
    return read_recorded_bars(folder, start_ms=START_MS + first * MINUTE_MS, end_ms=START_MS + until * MINUTE_MS)


def minutes(found: RecordedBars) -> list[int]:
    return sorted((ms - START_MS) // MINUTE_MS for ms in found.of(Market.SPOT, "BTCUSDT", "1m"))


def close_of(found: RecordedBars, minute: int) -> float:
    return found.of(Market.SPOT, "BTCUSDT", "1m")[START_MS + minute * MINUTE_MS].close


def test_streamed_candles_that_closed_count_and_fetched_ones_fill_in(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.begin()  # history of the minutes 5 to 9; the tenth had not closed
    day.say(10, streamed(10, closed=False))
    day.say(11, streamed(10))
    day.say(12, streamed(11))
    day.out.close()
    found = read(tmp_path, 7, 12)
    assert minutes(found) == [7, 8, 9, 10, 11]
    assert found.of(Market.PERP, "BTCUSDT", "1m") == {}


def test_what_was_streamed_counts_before_history_and_a_second_look_before_both(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.begin()
    odd = streamed(9).replace('"101.0"', '"100.5"')
    day.say(11, odd)
    day.out.close()
    assert close_of(read(tmp_path, 9, 10), 9) == 100.5
    again = Day(tmp_path / "again")
    again.begin()
    again.say(11, odd)
    params = {"symbol": "BTCUSDT", "interval": "1m", "startTime": START_MS + 9 * MINUTE_MS, "limit": 1}
    opened, *_ = candle(9)
    again.answer("publicGetKlines", params, [[opened, "100.0", "102.0", "99.0", "101.5", "5.0"]])
    again.klines(9, 11)
    again.out.close()
    assert close_of(read(tmp_path / "again", 9, 10), 9) == 101.5


def test_only_the_files_of_the_stretch_are_opened(tmp_path: Path) -> None:
    for minute in (0, 200, 400):
        day = Day(tmp_path)
        day.say(minute + 1, streamed(minute))
        day.out.close()
    assert len(raw_files(tmp_path)) == 3
    found = read(tmp_path, 190, 210)
    assert (minutes(found), found.reading.files) == ([200], 2), "the one before may go on into it"
    assert LATE_MS < 180 * MINUTE_MS
    assert read(tmp_path, 400, 500).reading.files == 2
    assert read(tmp_path / "nowhere", 0, 10).reading.files == 0


def test_a_line_that_is_no_candle_is_named(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.say(1, '{"stream":"btcusdt@kline_1m","data":{"e":"kline","k":{"x":true,"t":"soon"}}}')
    day.out.close()
    with pytest.raises(DataProviderError, match="spot candle stream"):
        read(tmp_path, 0, 10)
