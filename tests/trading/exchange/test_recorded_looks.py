"""Resting orders imagined in a recording: only what the market went through counts as filled."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import DATA, needs_data
from trading.domain.clock import StandingClock
from trading.domain.instrument import Market
from trading.exchange.recorded_looks import LONGEST_HOLE_S, Looks, read_looks
from trading.exchange.recording import Recorder
from trading.exchange.sockets import Asked, Reply
from trading.storage.raw_log import RawLog, raw_files

START_MS = 1_704_067_200_000
KEY = (Market.SPOT, "BTCUSDT")


class Written:
    """Writes a recording as the lab does, second by second."""

    def __init__(self, folder: Path, at_ms: int = START_MS) -> None:
        self.clock = StandingClock(at_ms, real_s=0.0)
        self.out = RawLog(folder, self.clock, max_bytes=10**9, keep_days=9999)
        self.recorder = Recorder(self.out, self.clock)

    def answer(self, second: int, endpoint: str, document: object, **params: object) -> None:
        at_ms = START_MS + 1000 * second
        asked = Asked(Market.SPOT, endpoint, {"symbol": "BTCUSDT", **params}, at_ms, 0.0)
        self.recorder.answer(asked, Reply(document, at_ms, at_ms), json.dumps(document))

    def quote(self, second: int, bid: float, ask: float) -> None:
        told = {"symbol": "BTCUSDT", "bidPrice": f"{bid}", "askPrice": f"{ask}", "bidQty": "1", "askQty": "1"}
        self.answer(second, "publicGetTickerBookTicker", told)

    def stream(self, second: int, name: str, body: dict[str, object]) -> None:
        text = json.dumps({"stream": f"btcusdt@{name}", "data": body})
        self.recorder.message("spot/0", START_MS + 1000 * second, text)

    def last(self, second: int, price: float) -> None:
        numbers = dict.fromkeys(("o", "h", "l", "c"), f"{price}")
        body = {"e": "kline", "k": {"t": START_MS, "s": "BTCUSDT", "i": "1h", **numbers, "v": "1", "x": False}}
        self.stream(second, "kline_1h", body)

    def others(self, first: int, stop: int, connection: str = "spot/0") -> None:
        """Candles of another symbol by the same connection, every two seconds."""
        for second in range(first, stop, 2):
            body = {"e": "kline", "k": {"s": "ETHUSDT"}}
            text = json.dumps({"stream": "ethusdt@kline_1h", "data": body})
            self.recorder.message(connection, START_MS + 1000 * second, text)

    def depth(self, second: int, update: int, bids: list[list[str]], asks: list[list[str]]) -> None:
        body = {"e": "depthUpdate", "E": START_MS + 1000 * second, "s": "BTCUSDT", "U": update, "u": update}
        self.stream(second, "depth@100ms", {**body, "b": bids, "a": asks})


def test_a_price_that_is_touched_fills_nobody_and_one_that_is_gone_through_does(tmp_path: Path) -> None:
    day = Written(tmp_path)
    day.quote(0, 100.0, 100.1)
    day.last(5, 100.0)  # touched: others were there before
    day.last(20, 99.99)
    day.last(50, 100.2)
    day.last(70, 100.05)
    day.others(0, 72)
    day.out.close()
    looks = read_looks(tmp_path, from_ms=0)[KEY]
    assert looks.quotes == [(START_MS, 100.0, 100.1)]
    assert looks.filled(within_s=15.0) == (0, 2)
    assert looks.filled(within_s=30.0) == (1, 2)
    assert looks.filled(within_s=60.0) == (2, 2)
    assert looks.filled(within_s=60.0, behind_bps=5.0) == (1, 2)  # 99.95 was not reached, 100.15 was
    assert looks.filled(within_s=60.0, behind_bps=50.0) == (0, 2)


def test_looks_stand_a_minute_apart_and_one_whose_minute_was_not_recorded_says_nothing(tmp_path: Path) -> None:
    day = Written(tmp_path)
    for second in (0, 30, 59, 60, 200):
        day.quote(second, 100.0, 100.1)
        day.last(second + 1, 100.05)
    day.others(0, 202)
    day.out.close()
    looks = read_looks(tmp_path, from_ms=0)[KEY]
    assert [at_ms for at_ms, _, _ in looks.quotes] == [START_MS, START_MS + 60_000, START_MS + 200_000]
    assert looks.filled(within_s=60.0)[1] == 4  # after the last one the recording ends
    assert Looks().filled(within_s=60.0) == (0, 0)


def test_a_book_that_was_streamed_is_kept_whole_and_its_other_side_shows_what_was_met(tmp_path: Path) -> None:
    day = Written(tmp_path)
    day.depth(0, 11, [["99", "1"]], [["101", "1"]])
    snapshot = {"lastUpdateId": 10, "bids": [["99", "2"], ["98", "3"]], "asks": [["101", "2"], ["102", "5"]]}
    day.answer(1, "publicGetDepth", snapshot, limit=1000)
    day.depth(2, 12, [["98.5", "1"]], [])
    day.depth(40, 13, [["99", "0"], ["98.5", "0"], ["98", "1"]], [["98.5", "4"]])
    day.depth(70, 14, [], [])
    day.others(0, 72)
    day.out.close()
    looks = read_looks(tmp_path, from_ms=0)[KEY]
    assert looks.books[0].bids[:2] == ((99.0, 2.0), (98.0, 3.0))
    assert looks.filled(within_s=60.0) == (1, 2)  # an ask of 98.5 would have met the bid of 99


@pytest.mark.parametrize("heard_until", [2, 30, 54])
def test_a_look_after_which_nobody_watched_says_nothing(tmp_path: Path, heard_until: int) -> None:
    day = Written(tmp_path)
    for number in range(50):
        at = number * 61
        day.quote(at, 100.0, 100.1)
        day.last(at + 1, 100.05)
        day.others(at, at + heard_until)  # then the lab was down until the next look
    day.out.close()
    assert read_looks(tmp_path, from_ms=0)[KEY].filled(within_s=60.0) == (0, 0)


def test_a_look_after_which_the_connection_broke_says_nothing_and_one_of_a_quiet_market_does(tmp_path: Path) -> None:
    day = Written(tmp_path)
    for at in (0, 100, 200):
        day.quote(at, 100.0, 100.1)
    day.last(1, 100.05)
    day.others(0, 300)
    day.recorder.broken("spot/0", START_MS + 130_000, "gone")
    day.recorder.broken("spot/1", START_MS + 230_000, "of others")
    day.others(0, 300, connection="spot/1")
    day.out.close()
    looks = read_looks(tmp_path, from_ms=0)[KEY]
    assert len(looks.quotes) == 3
    assert looks.filled(within_s=60.0) == (0, 4)  # of the first and the last, both of which nobody dealt beyond
    assert looks.filled(within_s=15.0) == (0, 6)  # by then it had not broken


@given(st.sets(st.integers(1, 59), max_size=55))
def test_a_minute_counts_if_and_only_if_no_hole_in_it_is_longer_than_a_few_seconds(heard: set[int]) -> None:
    looks = Looks()
    looks.saw(0, 100.0, 100.1)
    looks.went(61_000, 100.05, 100.05)
    looks.watch.spoke |= heard
    edges = [0, *sorted(heard), 60]
    longest = max(after - before for before, after in itertools.pairwise(edges))
    assert looks.filled(within_s=60.0) == (0, 2 if longest <= LONGEST_HOLE_S else 0)


def test_what_is_no_message_is_passed_over_and_a_broken_stream_loses_its_book(tmp_path: Path) -> None:
    day = Written(tmp_path)
    day.quote(0, 100.2, 100.1)  # crossed
    day.quote(1, 100.0, 100.1)
    day.recorder.message("spot/0", START_MS, '{"stream": "btcusdt@kline_1h", "data": {"e": "kline", "k": 3}}')
    day.recorder.message("spot/0", START_MS, "torn")
    day.answer(2, "publicGetDepth", {"bids": [["x", "1"]], "asks": []}, limit=20)
    day.depth(3, 11, [["99", "1"]], [["101", "1"]])
    snapshot = {"lastUpdateId": 11, "bids": [["99", "2"]], "asks": [["101", "2"]]}
    day.answer(4, "publicGetDepth", snapshot, limit=1000)
    day.recorder.broken("spot/0", START_MS + 5000, "gone")
    day.depth(6, 12, [["50", "1"]], [])
    day.out.close()
    looks = read_looks(tmp_path, from_ms=0)[KEY]
    assert looks.quotes == [(START_MS + 1000, 100.0, 100.1)]
    assert looks.streamed is not None
    assert not looks.streamed.is_whole


def test_files_that_had_ended_are_not_opened(tmp_path: Path) -> None:
    for day in range(3):
        written = Written(tmp_path, START_MS + day * 86_400_000)
        written.quote(day * 86_400, 100.0 + day, 101.0 + day)
        written.out.close()
    oldest = raw_files(tmp_path)[0]
    oldest.unlink()
    oldest.mkdir()  # whoever opens it finds no file
    looks = read_looks(tmp_path, from_ms=START_MS + 86_400_000 + 2000)
    assert [bid for _, bid, _ in looks[KEY].quotes] == [102.0]
    assert read_looks(tmp_path / "nowhere", from_ms=0) == {}


@needs_data
def test_on_a_real_morning_only_orders_that_real_trades_went_through_are_counted(tmp_path: Path) -> None:
    """Six minutes of 2024-08-08: whom the streamed books say was met, the trades beside them did go through."""
    day, trades = Written(tmp_path), list[tuple[int, float]]()
    with gzip.open(DATA / "payloads" / "binance_ws_raw" / "spot_btcusdt_20240808.gz", "rt") as lines:
        for line in lines:
            stamp, text = line.split(" ", 1)
            at_ms = int(stamp) // 1_000_000
            if '"e":"trade"' in text:
                data = json.loads(text)["data"]
                trades.append((at_ms, float(data["p"])))
            elif '"depthUpdate"' in text:
                day.recorder.message("spot/0", at_ms, text)
            elif '"lastUpdateId"' in text:
                asked = Asked(Market.SPOT, "publicGetDepth", {"symbol": "BTCUSDT", "limit": 1000}, at_ms, 0.0)
                day.recorder.answer(asked, Reply(None, at_ms, at_ms), text)
    day.out.close()
    looks = read_looks(tmp_path, from_ms=0)[KEY]
    assert looks.streamed is not None
    assert looks.streamed.breaks == 0
    assert len(looks.quotes) == len(looks.books) == 6
    assert all(book.bids[0][0] < book.asks[0][0] for book in looks.books)
    for within_s in (15.0, 30.0, 60.0):
        filled, of = looks.filled(within_s=within_s)
        went_through = 0
        for at_ms, bid, ask in looks.quotes[: of // 2]:
            prices = [price for traded_ms, price in trades if at_ms < traded_ms <= at_ms + 1000 * within_s]
            went_through += (min(prices) < bid) + (max(prices) > ask)
        assert 0 < filled <= went_through <= of
        assert of >= 10


@pytest.mark.parametrize(("bid", "ask"), [(0.0, 1.0), (2.0, 1.0)])
def test_a_quote_that_is_none_is_not_kept(bid: float, ask: float) -> None:
    looks = Looks()
    looks.saw(0, bid, ask)
    assert looks == Looks()
