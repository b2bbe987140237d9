"""Candles and prices of a tape: whole, without a look ahead, with its gaps."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.exchange.errors import BinanceError, SandboxError
from sandbox.exchange.feed import INTERVALS, Feed, bucket
from sandbox.exchange.tape import Recorded, load, resample_hours
from tests.conftest import DATA, needs_data
from tests.sandbox.exchange.conftest import DAY_MS, DAY_ONE_MS, GAP_MS, HOUR_MS, START_MS, hourly, save_bars, walk

MINUTES = walk(DAY_ONE_MS, 60_000, 3 * 1440, seed=5, price=100.0, tick=0.01)


def feed_of(bars: np.ndarray, hours: np.ndarray | None = None) -> Feed:
    found = resample_hours(bars) if hours is None else hours
    return Feed(bars, found, step_ms=60_000, tick=0.01, key=[1, 2])


@pytest.mark.parametrize("interval", ["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "12h", "1d"])
def test_candles_are_what_the_bars_add_up_to(interval: str) -> None:
    now_ms, length = DAY_ONE_MS + 2 * DAY_MS, INTERVALS[interval]
    candles = feed_of(MINUTES).klines(interval, now_ms=now_ms, limit=5000, start_ms=DAY_ONE_MS)
    per = length // 60_000
    assert candles.shape[1] == 2 * DAY_MS // length
    for i in range(candles.shape[1]):
        part = MINUTES[:, i * per : (i + 1) * per]
        expected = [part[0, 0], part[1, 0], part[2].max(), part[3].min(), part[4, -1]]
        assert list(candles[:5, i]) == expected
        assert candles[5, i] == pytest.approx(part[5].sum())


@settings(max_examples=40)
@given(st.integers(60_000, 2 * DAY_MS), st.sampled_from(["1m", "5m", "1h", "4h", "1d"]))
def test_nothing_after_the_moment_changes_what_is_seen(after_ms: int, interval: str) -> None:
    now_ms = DAY_ONE_MS + after_ms
    running = MINUTES[0] // 60_000 * 60_000 >= now_ms
    changed = MINUTES.copy()
    changed[1:5, running] *= 3.0
    for limit in (1, 7, 500):
        seen, again = (feed_of(b).klines(interval, now_ms=now_ms, limit=limit) for b in (MINUTES, changed))
        assert np.array_equal(seen, again)
        assert seen.shape[1] <= limit
        assert (seen[0] < now_ms).all()


def test_the_running_candle_grows_and_becomes_the_closed_one() -> None:
    feed, opened = feed_of(MINUTES), DAY_ONE_MS + 90 * 60_000
    partial = [feed.klines("1m", now_ms=opened + s * 1000, limit=1)[:, 0] for s in range(1, 60)]
    whole = MINUTES[:, 90]
    for before, after in pairwise(partial):
        assert after[2] >= before[2]
        assert after[3] <= before[3]
        assert after[5] > before[5]
    for seconds, partly in enumerate(partial, start=1):
        prices = [feed.price(opened + s * 50) for s in range(seconds * 20 + 1)]
        assert partly[2] == pytest.approx(max(prices), abs=0.02)  # nothing of the rest of the bar shows
        assert partly[3] == pytest.approx(min(prices), abs=0.02)
    assert partial[0][2] - partial[0][3] < whole[2] - whole[3]
    assert all(p[0] == opened and p[1] == whole[1] and whole[3] <= p[4] <= whole[2] for p in partial)
    assert list(feed.klines("1m", now_ms=opened + 60_000, limit=1)[:, 0]) == pytest.approx(list(whole))


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    thursday = np.array([1_704_366_000_000.0])  # 2024-01-04T11:00Z
    assert bucket(thursday, "1w")[0] == 1_704_067_200_000  # Monday 2024-01-01
    assert bucket(thursday, "1M")[0] == 1_704_067_200_000
    assert bucket(np.array([1_709_251_199_000.0]), "1M")[0] == 1_706_745_600_000  # 2024-02-29 -> 02-01


def test_a_gap_gives_no_candle_and_the_last_price_holds() -> None:
    gap = np.delete(MINUTES, slice(100, 130), axis=1)
    feed = feed_of(gap)
    in_gap_ms = int(MINUTES[0, 110])
    assert feed.price(in_gap_ms) == MINUTES[4, 99]
    assert not feed.is_open(in_gap_ms)
    rows = feed.klines("1m", now_ms=DAY_ONE_MS + DAY_MS, limit=3, start_ms=int(MINUTES[0, 99]))
    assert list(rows[0]) == [MINUTES[0, 99], MINUTES[0, 130], MINUTES[0, 131]]


@pytest.mark.parametrize("interval", ["1s", "7m", "", "1H"])
def test_an_interval_there_is_not_is_refused(interval: str) -> None:
    with pytest.raises(BinanceError) as caught:
        feed_of(MINUTES).klines(interval, now_ms=START_MS, limit=1)
    assert caught.value.code == -1120


@settings(max_examples=60)
@given(st.floats(0, 3 * DAY_MS), st.floats(0, 6 * HOUR_MS), st.floats(0.97, 1.03), st.booleans())
def test_a_crossing_over_many_bars_is_the_first_one(start: float, span: float, ratio: float, below: bool) -> None:
    feed, from_ms = feed_of(MINUTES), DAY_ONE_MS + start
    to_ms = min(from_ms + span, float(MINUTES[0, -1]))
    if to_ms < from_ms:
        return
    price = feed.price(from_ms) * ratio
    found = feed.first_beyond(from_ms, to_ms, price, below=below)
    first = None
    for i in range(max(feed.bar_index(from_ms), 0), feed.bar_index(to_ms) + 1):
        opened = float(MINUTES[0, i])
        low, high = max(from_ms, opened), min(to_ms, opened + 60_000)
        first = feed.path(i).first_beyond(low, high, price, below=below) if high >= low else None
        if first is not None:
            break
    assert found == first


def test_the_tape_chooses_the_finest_bars_that_cover_the_start(tape: Path) -> None:
    found = load(tape, "BTCUSDT", START_MS)
    assert found.spot is not None
    assert found.perp is not None
    assert (found.spot.step_ms, found.perp.step_ms) == (60_000, 300_000)
    assert found.spot.hours[0, 0] == DAY_ONE_MS - 10 * DAY_MS
    earlier = load(tape, "BTCUSDT", DAY_ONE_MS - DAY_MS)
    assert earlier.spot is not None
    assert earlier.spot.step_ms == HOUR_MS
    assert earlier.perp is None
    gap_hours = found.spot.base[0]
    assert not ((gap_hours >= GAP_MS) & (gap_hours < GAP_MS + 1_800_000)).any()


@pytest.mark.parametrize(
    ("symbol", "start_ms", "words"),
    [("BTCUSDT", 0, "no bars of BTCUSDT cover --start 0; have"), ("XUSDT", START_MS, "no file of that symbol")],
)
def test_a_start_the_tape_does_not_cover_says_what_there_is(tape: Path, symbol: str, start_ms: int, words: str) -> None:
    with pytest.raises(SandboxError, match="tape ") as caught:
        load(tape, symbol, start_ms)
    assert words in str(caught.value)


def test_a_broken_bar_is_named(tmp_path: Path) -> None:
    bars = walk(DAY_ONE_MS, HOUR_MS, 48, seed=1, price=100.0, tick=0.01)
    bars[2, 17] = bars[3, 17] - 1.0
    save_bars(tmp_path / "spot_BTCUSDT_1h.parquet", bars)
    with pytest.raises(SandboxError, match=r"spot_BTCUSDT_1h\.parquet: bar 17 at .*: not a bar") as caught:
        load(tmp_path, "BTCUSDT", DAY_ONE_MS)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_tape_is_named(tmp_path: Path) -> None:
    (tmp_path / "spot_BTCUSDT_1h.parquet").write_text("nothing")
    with pytest.raises(SandboxError, match=r"spot_BTCUSDT_1h\.parquet: .*is it a Parquet file of bars"):
        load(tmp_path, "BTCUSDT", DAY_ONE_MS)


def test_hours_sum_up_minutes() -> None:
    assert np.allclose(resample_hours(MINUTES), hourly(MINUTES), rtol=1e-12)


@needs_data
def test_recorded_minutes_and_hours_agree_and_the_perpetual_moves_with_spot() -> None:
    found = load(DATA, "BTCUSDT", 1_719_792_000_000)
    assert isinstance(found.spot, Recorded)
    assert isinstance(found.perp, Recorded)
    spot = Feed(found.spot.base, found.spot.hours, step_ms=60_000, tick=0.01, key=[0, 1])
    perp = Feed(found.perp.base, found.perp.hours, step_ms=300_000, tick=0.1, key=[0, 2], guide=spot)
    times = 1_719_792_000_000 + np.arange(0, 6 * HOUR_MS, 20_000)
    basis = np.array([perp.price(t) / spot.price(t) - 1.0 for t in times])
    assert np.abs(basis).max() < 0.002
    assert found.funding.shape[1] > 5000
