"""`./lab history replay`: what a recording gives, told in lines a person reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ops.history.replay import run_replay
from trading.domain.clock import StandingClock
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.exchange.recording import Recorder
from trading.exchange.sockets import Asked, Reply
from trading.storage import raw_log
from trading.storage.raw_log import RawLog, raw_files

MINUTE_MS = 60_000
START_MS = 1_704_067_200_000
NOW_MS = START_MS + 10 * MINUTE_MS + 500
KEY = (Market.SPOT, "BTCUSDT", "1m")


def candle(minute: int) -> list[object]:
    return [START_MS + minute * MINUTE_MS, "100.0", "102.0", "99.0", "101.0", "5.0"]


def streamed(minute: int, *, closed: bool = True) -> str:
    opened, *prices = candle(minute)
    names = dict(zip(("o", "h", "l", "c", "v"), prices, strict=True))
    body = {"e": "kline", "k": {"t": opened, "s": "BTCUSDT", "i": "1m", **names, "x": closed}}
    return json.dumps({"stream": "btcusdt@kline_1m", "data": body})


def depth(first: int, last: int) -> str:
    body = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last, "b": [["99", "1"]], "a": [["101", "1"]]}
    return json.dumps({"stream": "btcusdt@depth@100ms", "data": body})


class Day:
    """Writes a recording as the lab would."""

    def __init__(self, folder: Path) -> None:
        self.clock = StandingClock(NOW_MS, real_s=0.0)
        self.out = RawLog(folder, self.clock, max_bytes=10**9, keep_days=9999)
        self.recorder = Recorder(self.out, self.clock)

    def answer(self, endpoint: str, params: dict[str, object], document: object) -> None:
        asked = Asked(Market.SPOT, endpoint, params, self.clock.now_ms(), self.clock.real_s())
        self.recorder.answer(asked, Reply(document, self.clock.now_ms(), self.clock.now_ms()), json.dumps(document))

    def klines(self, first: int, until: int) -> None:
        params = {"symbol": "BTCUSDT", "interval": "1m", "startTime": START_MS + first * MINUTE_MS, "limit": 1000}
        self.answer("publicGetKlines", params, [candle(minute) for minute in range(first, until)])

    def begin(self) -> None:
        """Five minutes of history, then a stream."""
        self.recorder.begin([KEY], 5)
        self.klines(5, 11)
        self.answer("publicGetExchangeInfo", {"symbol": "BTCUSDT"}, {"symbols": [LISTED]})
        self.open()

    def open(self) -> None:
        self.recorder.opened("spot/spot/0", self.clock.now_ms(), ["btcusdt@kline_1m"])

    def say(self, minute: int, text: str) -> None:
        self.clock.put(START_MS + minute * MINUTE_MS + 1_000, minute * 60.0 + 1.0)
        self.recorder.message("spot/spot/0", self.clock.now_ms(), text)


LISTED = {
    "symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT", "status": "TRADING",
    "filters": [{"filterType": "PRICE_FILTER", "tickSize": "0.01"},
                {"filterType": "LOT_SIZE", "stepSize": "0.1", "minQty": "0.1", "maxQty": "10"},
                {"filterType": "NOTIONAL", "minNotional": "5"}],
}  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_log, "FLUSH_S", 0.01)


def test_a_recording_is_told_with_its_tapes_breaks_and_books(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    day = Day(tmp_path)
    day.begin()
    day.say(11, streamed(10))
    day.recorder.broken("spot/spot/0", day.clock.now_ms(), "torn")
    day.clock.put(START_MS + 14 * MINUTE_MS + 1_000, 841.0)
    day.open()
    day.say(14, streamed(14, closed=False))
    day.klines(11, 15)
    day.say(15, streamed(14))
    day.say(15, depth(1, 2))
    day.answer("publicGetDepth", {"symbol": "BTCUSDT", "limit": 1000}, {"lastUpdateId": 2, "bids": [], "asks": []})
    day.say(15, depth(3, 4))
    day.out.close()
    assert run_replay(tmp_path) == 0
    told = capsys.readouterr().out
    assert "5 messages, 4 answers, 0 requests that failed, 1 connections that broke" in told
    assert "spot BTCUSDT 1m: 5 bars, 2024-01-01T00:10:00Z to 2024-01-01T00:15:00Z, 0 gaps" in told
    assert "spot BTCUSDT book: 2 changes, whole after 50.0%, 0 breaks" in told
    assert "were not made live" not in told


def test_a_killed_recorder_and_a_second_start_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        day = Day(tmp_path)
        day.begin()
        day.say(11, streamed(10))
        day.out.close()
    first = raw_files(tmp_path)[0]
    first.write_bytes(first.read_bytes()[:-8])
    assert run_replay(tmp_path) == 0
    told = capsys.readouterr().out
    assert f"{first.name}: its end is missing" in told
    assert told.count("spot BTCUSDT 1m: 5 bars") == 2


def test_a_repair_that_was_not_recorded_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day = Day(tmp_path)
    day.begin()
    day.say(11, streamed(10))
    day.say(14, streamed(13))
    day.out.close()
    run_replay(tmp_path)
    assert "1 requests were made that were not made live" in capsys.readouterr().out


def test_a_folder_without_a_recording_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataProviderError, match=str(tmp_path)):
        run_replay(tmp_path)
