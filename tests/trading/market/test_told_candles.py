"""Which word on a candle counted, and when: as the live tape keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ops.test_replay import MINUTE_MS, START_MS, Day, streamed
from trading.domain.instrument import Market
from trading.domain.market import Bar
from trading.exchange.recorded_bars import Heard, tellings
from trading.exchange.replayed_day import replay
from trading.market.told_candles import ToldCandles
from trading.storage import raw_log

HOUR_MS = 3_600_000
CLOSE_MS = START_MS + HOUR_MS


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_log, "FLUSH_S", 0.01)


def bar(close: float) -> Bar:
    cells = 100.0, 110.0, 90.0, close, 5.0
    return Bar(Market.SPOT, "BTCUSDT", "1h", START_MS, *cells, is_closed=True, received_ms=CLOSE_MS)


def close(told: ToldCandles, at_ms: int) -> float | None:
    cells = told.seen(START_MS, at_ms)
    return None if cells is None else cells[3]


def certain(told: ToldCandles, at_ms: int, *, was_told: bool = False) -> bool:
    return told.is_certain(START_MS, at_ms, for_ms=HOUR_MS, was_told=was_told)


def test_the_first_word_counts_whatever_is_said_later_in_the_same_life_of_the_lab() -> None:
    told = ToldCandles()
    assert close(told, CLOSE_MS) is None
    assert not certain(told, CLOSE_MS)
    told.hear(bar(101.0), at_ms=CLOSE_MS + 500, start_ms=CLOSE_MS + 100)
    told.hear(bar(100.5), at_ms=CLOSE_MS + 900, start_ms=CLOSE_MS + 100)
    assert close(told, CLOSE_MS) == close(told, CLOSE_MS + 9 * HOUR_MS) == 101.0
    assert certain(told, CLOSE_MS)


def test_a_second_look_replaces_the_word_that_made_no_sense_and_no_later_one() -> None:
    told = ToldCandles()
    told.hear(bar(101.0), at_ms=CLOSE_MS + 500, start_ms=None)
    told.hear(bar(102.0), at_ms=CLOSE_MS + 600, start_ms=None, is_second_look=True)
    assert close(told, CLOSE_MS) == 102.0
    told.hear(bar(103.0), at_ms=CLOSE_MS + 3 * HOUR_MS, start_ms=CLOSE_MS + 2 * HOUR_MS)
    told.hear(bar(102.0), at_ms=CLOSE_MS + 600, start_ms=None, is_second_look=True)
    assert close(told, CLOSE_MS) == 102.0
    assert close(told, CLOSE_MS + 2 * HOUR_MS) == 103.0


def test_a_start_of_the_lab_that_reads_another_word_holds_that_one_from_then_on() -> None:
    told = ToldCandles()
    for _ in range(2):  # the same stretch may be heard again
        told.hear(bar(101.0), at_ms=CLOSE_MS + 500, start_ms=START_MS)
        told.hear(bar(102.0), at_ms=CLOSE_MS + 5 * HOUR_MS + 9, start_ms=CLOSE_MS + 5 * HOUR_MS)
        told.hear(bar(103.0), at_ms=CLOSE_MS + 6 * HOUR_MS, start_ms=CLOSE_MS + 5 * HOUR_MS)
    assert close(told, CLOSE_MS + 4 * HOUR_MS) == 101.0
    assert close(told, CLOSE_MS + 7 * HOUR_MS) == 102.0
    assert certain(told, CLOSE_MS), "whoever stepped it at its close saw the first"
    assert not certain(told, CLOSE_MS + 5 * HOUR_MS - 60_000), "in the hour from then on it may have been either"


def test_a_bar_that_was_told_only_after_it_must_have_been_is_not_certain() -> None:
    told = ToldCandles()
    told.hear(bar(101.0), at_ms=CLOSE_MS + 8 * HOUR_MS, start_ms=CLOSE_MS + 7 * HOUR_MS)
    assert certain(told, CLOSE_MS), "the lab was away; paper stepped it when it was told"
    assert not certain(told, CLOSE_MS + HOUR_MS, was_told=True)


def test_a_word_from_elsewhere_fills_what_nobody_was_told_and_replaces_nothing() -> None:
    told = ToldCandles()
    told.fill(START_MS, (1.0, 1.0, 1.0, 1.0, 1.0))
    told.fill(START_MS, (2.0, 2.0, 2.0, 2.0, 2.0))
    assert close(told, 0) == 1.0
    assert list(told) == [START_MS]


async def test_what_counts_is_what_the_live_code_makes_of_the_same_recording(tmp_path: Path) -> None:
    day = Day(tmp_path)
    day.begin()
    day.clock.put(START_MS + 10 * MINUTE_MS + 1500, 601.5)
    day.recorder.message("spot/spot/0", day.clock.now_ms(), streamed(9).replace('"101.0"', '"100.5"'))
    day.say(11, streamed(10))
    day.out.close()
    (session,) = await replay(tmp_path)
    tape = session.market.tape(Market.SPOT, "BTCUSDT", "1m")
    told = ToldCandles()
    for one in tellings(tmp_path, Heard()):
        told.hear(one.bar, at_ms=one.at_ms, start_ms=one.start_ms, is_second_look=one.is_second_look)
    closes = {ms: cells[3] for ms in told if (cells := told.seen(ms, ms + MINUTE_MS)) is not None}
    live = dict(zip(tape.open_time_ms.tolist(), tape.close.tolist(), strict=True))
    assert {ms: closes[ms] for ms in live} == live
