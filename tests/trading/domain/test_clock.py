from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.set_clock import SetClock
from trading.domain.clock import Clock, Timeline, iso, parse_iso

START_MS = 1_704_067_200_000


@given(
    scale=st.floats(0.01, 1e5), after=st.floats(0.01, 1e5), bend=st.floats(0.0, 1e7) | st.none(), t=st.floats(0.0, 1e4)
)
def test_lab_time_and_real_time_are_each_others_inverse(scale: float, after: float, bend: float | None, t: float):
    until = None if bend is None else START_MS + bend
    line = Timeline(100.0, START_MS, scale, until, after)
    assert line.real_s(line.lab_ms(100.0 + t)) == pytest.approx(100.0 + t, abs=1e-3)
    assert line.lab_ms(100.0 + t) <= line.lab_ms(100.0 + t + 1.0), "time never goes back"


def test_a_segment_bends_where_it_says():
    line = Timeline(0.0, START_MS, 1000.0, START_MS + 10_000, 2.0)
    assert line.lab_ms(0.005) == START_MS + 5_000
    assert line.lab_ms(0.010) == START_MS + 10_000
    assert line.lab_ms(1.010) == START_MS + 10_000 + 2_000


def test_in_real_life_the_lab_reads_the_systems_clock():
    clock = Clock()
    assert clock.is_real
    assert abs(clock.now_ms() - time.time() * 1000) < 1000
    assert clock.now().tzinfo is not None


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_no_speed_is_refused(scale: float):
    with pytest.raises(ValueError, match="must be a positive number"):
        Clock(scale=scale)


async def test_sleepers_follow_a_change_of_speed_at_once():
    clock = Clock(scale=1.0, origin_ms=START_MS)
    told: list[int] = []
    clock.on_change(lambda: told.append(1))
    sleeper = asyncio.ensure_future(clock.sleep_until_ms(START_MS + 3_600_000))
    await asyncio.sleep(0.01)
    assert not sleeper.done()
    clock.follow(Timeline(time.monotonic(), clock.now_ms(), 1e6))
    await asyncio.wait_for(sleeper, timeout=2)
    assert clock.now_ms() >= START_MS + 3_600_000
    assert told == [1]


async def test_a_wait_of_seconds_is_as_long_when_the_system_s_clock_is_set_back_meanwhile():
    clock = SetClock()
    sleeper = asyncio.ensure_future(clock.sleep_s(0.1))
    await asyncio.sleep(0)
    clock.ahead_s = -7200.0
    await asyncio.wait_for(sleeper, timeout=2)


async def test_waiting_for_an_event_ends_with_the_event_or_with_the_time():
    clock, event = Clock(scale=1000.0, origin_ms=START_MS), asyncio.Event()
    assert not await clock.wait_s(event, 10.0)
    asyncio.get_running_loop().call_later(0.01, event.set)
    assert await clock.wait_s(event, 1e6)
    assert await clock.wait_s(event, 0.0)


def test_times_are_written_and_read_in_utc():
    assert iso(START_MS) == "2024-01-01T00:00:00Z"
    assert parse_iso("2024-01-01T00:00:00Z") == parse_iso("2024-01-01") == START_MS
    assert parse_iso("2024-01-01T02:00:00+02:00") == START_MS
    with pytest.raises(ValueError, match="Invalid isoformat"):
        parse_iso("yesterday")
