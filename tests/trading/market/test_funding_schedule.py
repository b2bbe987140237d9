"""The funding schedule read from its stamps: changes told from holes, jitter borne, nothing recorded is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import DATA, needs_data
from trading.domain.clock import HOUR_MS
from trading.market.funding_schedule import (
    INTERVALS_H,
    JITTER_MS,
    Lack,
    Schedule,
    Told,
    missing_settlements,
    read_schedule,
)
from trading.market.parquet import read_parquet
from trading.market.tape import Funding

START_H = 473_352
"""2024-01-01."""


def stamps(*hours: int, jitter_ms: int = 7) -> np.ndarray:
    return (np.array(hours, dtype=np.int64) + START_H) * HOUR_MS + jitter_ms


def funding(*hours: int) -> Funding:
    times = stamps(*hours)
    return Funding(times, np.full(len(times), 0.0001), np.full(len(times), np.nan))


def at(hour: int) -> int:
    return (START_H + hour) * HOUR_MS


def told(schedule: Schedule) -> tuple[list[tuple[int, int, int]], list[tuple[int, bool]]]:
    """Stretches and holes in hours since the start."""
    return (
        [
            (s.from_ms // HOUR_MS - START_H, s.to_ms // HOUR_MS - START_H, s.interval_ms // HOUR_MS)
            for s in schedule.stretches
        ],
        [(hole.time_ms // HOUR_MS - START_H, hole.is_certain) for hole in schedule.holes],
    )


def test_a_missing_settlement_is_a_hole_and_an_interval_that_stays_wide_is_a_change() -> None:
    assert told(read_schedule(stamps(0, 4, 8, 16, 20, 24, 28))) == ([(0, 28, 4)], [(12, True)])
    widened = (0, 4, 8, 12, 16, 24, 32, 40)
    assert told(read_schedule(stamps(*widened))) == ([(0, 16, 4), (16, 40, 8)], [])
    narrowed = (0, 8, 16, 24, 28, 32, 36)
    assert told(read_schedule(stamps(*narrowed))) == ([(0, 24, 8), (24, 36, 4)], [])
    assert told(read_schedule(stamps(0, 8, 16, 40, 48))) == ([(0, 48, 8)], [(24, True), (32, True)])


def test_a_few_quiet_hours_of_an_hourly_contract_are_a_change_and_back_and_one_wide_step_is_three_lost() -> None:
    quiet = (*range(0, 25), 28, 32, 36, *range(37, 60))
    assert told(read_schedule(stamps(*quiet))) == ([(0, 24, 1), (24, 36, 4), (36, 59, 1)], [])
    lost = (*range(0, 25), *range(28, 60))
    assert told(read_schedule(stamps(*lost))) == ([(0, 59, 1)], [(25, True), (26, True), (27, True)])
    week = (*range(0, 41, 4), *range(212, 260, 4))
    assert told(read_schedule(stamps(*week)))[0] == [(0, 256, 4)], "a hole of a week changes no interval"


def test_where_the_data_end_before_they_tell_a_hole_is_in_doubt_and_the_venues_own_word_settles_it() -> None:
    short = (0, 4, 8, 12, 16, 24)
    assert told(read_schedule(stamps(*short))) == ([(0, 24, 4)], [(20, False)])
    word = [Told(at(25), 8 * HOUR_MS)]
    assert told(read_schedule(stamps(*short), word)) == ([(0, 16, 4), (16, 24, 8)], [])
    word = [Told(at(25), 4 * HOUR_MS)]
    assert told(read_schedule(stamps(*short), word))[0] == [(0, 24, 4)]


def test_stamps_off_the_hour_and_doubled_ones_are_named_and_move_nothing() -> None:
    clean = stamps(0, 8, 16, 24)
    dirty = np.sort(np.concatenate((clean, clean[1:2] + 5, [at(11) + 25 * 60_000, at(17) + JITTER_MS + 1])))
    found = read_schedule(dirty)
    assert found.off_hour_ms == (at(11) + 25 * 60_000, at(17) + JITTER_MS + 1)
    assert found.doubled_ms == (int(clean[1]) + 5,)
    assert (found.stretches, found.holes) == (read_schedule(clean).stretches, ())


def test_missing_settlements_say_how_they_are_missing_and_the_ends_of_the_stretch_are_left_out() -> None:
    found = missing_settlements(funding(16, 24, 40, 48), at(0), at(64))
    assert [(m.time_ms, m.lack) for m in found] == [
        (at(8), Lack.BEFORE),
        (at(32), Lack.HOLE),
        (at(56), Lack.AFTER),
    ]
    assert str(found[1]) == "2024-01-02T08:00:00Z (between two recorded ones)"
    assert missing_settlements(funding(8, 16, 24), at(0), at(32)) == []
    assert [m.lack for m in missing_settlements(Funding.none(), at(0), at(25))] == [Lack.ALL] * 3
    only = missing_settlements(funding(8), at(0), at(25))
    assert [m.time_ms for m in only] == [at(16), at(24)], "the one that is there is not missing"
    outside = missing_settlements(funding(16, 24, 40, 48), at(33), at(48))
    assert outside == [], "a hole outside of the stretch is nobody's"


@st.composite
def schedules(draw: st.DrawFn) -> tuple[list[tuple[int, int, int]], list[int], np.ndarray]:
    """A schedule that its stamps decide: stretches, holes, stamps with jitter.

    Stretches are long, change at an hour that both intervals settle at, and holes keep clear of each other and of
    every change; the module says what nearer ones are taken for.
    """
    stretches, hours, hour, interval = list[tuple[int, int, int]](), [0], 0, 0
    removable = list[int]()
    for _ in range(draw(st.integers(1, 4))):
        interval = draw(st.sampled_from([i for i in INTERVALS_H if i != interval]))
        count = draw(st.integers(3, 12)) * 8
        own = [hour + interval * (i + 1) for i in range(count)]
        stretches.append((hour, own[-1], interval))
        removable += own[4:-5:4]
        hours += own
        hour = own[-1]
    holes = list[int]()
    for first in draw(st.lists(st.sampled_from(removable), unique=True, max_size=5)):
        inside = next(i for a, b, i in stretches if a < first < b)
        holes += [first + inside * k for k in range(draw(st.integers(1, 2)))]
    kept = np.array(sorted(set(hours) - set(holes)), dtype=np.int64)
    jitter = draw(st.lists(st.integers(-JITTER_MS, JITTER_MS), min_size=5, max_size=5))
    return stretches, sorted(holes), (kept + START_H) * HOUR_MS + np.resize(jitter, len(kept))


@settings(max_examples=100, deadline=None)
@given(made=schedules())
def test_a_random_schedule_with_changes_jitter_and_holes_is_read_exactly(
    made: tuple[list[tuple[int, int, int]], list[int], np.ndarray],
) -> None:
    stretches, holes, times = made
    assert told(read_schedule(times)) == (stretches, [(hour, True) for hour in holes])


@settings(max_examples=100, deadline=None)
@given(hours=st.lists(st.integers(0, 400), unique=True, max_size=60))
def test_of_any_stamps_at_all_what_is_recorded_and_what_is_missing_make_up_the_schedule(hours: list[int]) -> None:
    found = read_schedule(stamps(*sorted(hours)))
    expected = {
        ms for s in found.stretches for ms in range(s.from_ms, s.to_ms + 1, HOUR_MS)
        if ms in (s.from_ms, s.to_ms) or ms % s.interval_ms == 0
    }  # fmt: skip
    recorded = {at(hour) for hour in hours} if len(hours) > 1 else set()
    assert recorded | {hole.time_ms for hole in found.holes} == expected
    assert not recorded & {hole.time_ms for hole in found.holes}


@needs_data
@pytest.mark.parametrize("path", sorted(DATA.glob("funding_*.parquet")), ids=lambda path: path.stem)
def test_no_settlement_is_missing_in_any_recorded_file_and_every_contract_settled_every_8_hours(path: Path) -> None:
    columns = read_parquet([path], ("funding_time", "funding_time_raw"))
    kept = np.isfinite(columns["funding_time_raw"])  # where a source kept the venue's own stamp
    raw = np.where(kept, columns["funding_time_raw"], columns["funding_time"]).astype(np.int64)
    found = read_schedule(raw)
    assert [s.interval_ms for s in found.stretches] == [8 * HOUR_MS]
    assert (found.holes, found.off_hour_ms, found.doubled_ms) == ((), (), ())
    lost = read_schedule(np.delete(raw, [100, 200, 201]))
    assert [hole.time_ms for hole in lost.holes] == [int(raw[i]) // HOUR_MS * HOUR_MS for i in (100, 200, 201)]
    assert all(hole.is_certain for hole in lost.holes)
