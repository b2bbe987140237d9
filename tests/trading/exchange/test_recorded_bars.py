"""The candles of a stretch out of a raw recording: which lines count, which files are opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ops.test_replay import MINUTE_MS, NOW_MS, START_MS, Day, candle, streamed
from trading.exchange.recorded_bars import Heard, Telling, tellings
from trading.market.missed_candles import SECOND_LOOK
from trading.storage import raw_log
from trading.storage.raw_log import raw_files


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_log, "FLUSH_S", 0.01)


def read(folder: Path, *, from_minute: int | None = None) -> tuple[list[Telling], Heard]:
    heard = Heard()
    from_ms = None if from_minute is None else START_MS + from_minute * MINUTE_MS
    return list(tellings(folder, heard, from_ms=from_ms)), heard


def told(folder: Path) -> list[tuple[int, float, bool]]:
    """Minute, close and whether it was a second look, as they were told."""
    found, _ = read(folder)
    return [((one.bar.open_time_ms - START_MS) // MINUTE_MS, one.bar.close, one.is_second_look) for one in found]


def test_closed_candles_come_in_the_order_they_were_told_whoever_told_them(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.begin()  # history of the minutes 5 to 9; the tenth had not closed
    day.say(10, streamed(9).replace('"101.0"', '"100.5"'))
    day.say(10, streamed(10, closed=False))
    day.say(11, streamed(10))
    params = {"symbol": "BTCUSDT", "interval": "1m", "startTime": START_MS + 10 * MINUTE_MS, "limit": SECOND_LOOK}
    opened, *_ = candle(10)
    day.answer("publicGetKlines", params, [[opened, "100.0", "102.0", "99.0", "101.5", "5.0"], candle(11)])
    day.out.close()
    history = [(minute, 101.0, False) for minute in range(5, 10)]
    assert told(tmp_path) == [*history, (9, 100.5, False), (10, 101.0, False), (10, 101.5, True)]


def test_each_telling_says_which_start_of_the_lab_heard_it(tmp_path: Path) -> None:
    for _ in range(2):
        day = Day(tmp_path)
        day.begin()
        day.say(11, streamed(10))
        day.out.close()
    found, heard = read(tmp_path)
    assert [one.start_ms for one in found] == [NOW_MS] * 12
    assert heard.newest_ms == START_MS + 11 * MINUTE_MS + 1_000
    found, _ = read(tmp_path, from_minute=11)
    assert [(one.start_ms, one.bar.open_time_ms) for one in found] == [(None, START_MS + 10 * MINUTE_MS)] * 2


def test_files_that_end_before_the_wanted_lines_are_not_opened(tmp_path: Path) -> None:
    for minute in (0, 200, 400):
        day = Day(tmp_path)
        day.say(minute + 1, streamed(minute))
        day.out.close()
    assert len(raw_files(tmp_path)) == 3
    found, heard = read(tmp_path, from_minute=190)
    assert (len(found), heard.reading.files) == (2, 3), "the one before may go on into it"
    found, heard = read(tmp_path, from_minute=400)
    assert (len(found), heard.reading.files) == (1, 2)
    assert read(tmp_path / "nowhere")[0] == []


def test_a_line_that_is_no_candle_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.say(1, '{"stream":"btcusdt@kline_1m","data":{"e":"kline","k":{"x":true,"t":"soon"}}}')
    day.say(2, '{"x":true')
    day.say(3, streamed(2))
    day.out.close()
    found, heard = read(tmp_path)
    assert len(found) == 1
    assert len(heard.unread) == 2
    assert "spot candle stream" in heard.unread[0]
