from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.trading.market.samples import HOUR_MS, START_MS, bar
from trading.market.bar_sequence import BarSequence, Place


def test_the_first_candle_starts_the_sequence_and_its_close_is_wanted():
    sequence = BarSequence(HOUR_MS)
    assert sequence.wanted_ms is None
    assert sequence.place(bar(3, closed=False)) is Place.NEXT
    assert sequence.wanted_ms == START_MS + 3 * HOUR_MS


def test_a_closed_candle_that_comes_again_is_old_and_so_is_a_late_update_of_it():
    sequence = BarSequence(HOUR_MS)
    sequence.place(bar(0))
    sequence.passed(bar(0))
    assert sequence.place(bar(0)) is Place.OLD
    assert sequence.place(bar(0, closed=False)) is Place.OLD
    assert sequence.place(bar(1)) is Place.NEXT


def test_a_running_candle_two_ahead_reveals_a_missed_close():
    sequence = BarSequence(HOUR_MS, START_MS)
    assert sequence.place(bar(2, closed=False)) is Place.AFTER_GAP


def test_a_gap_of_the_venue_itself_can_be_skipped():
    sequence = BarSequence(HOUR_MS, START_MS)
    sequence.skip_to(START_MS + 5 * HOUR_MS)
    assert sequence.place(bar(5)) is Place.NEXT
    sequence.skip_to(START_MS)
    assert sequence.wanted_ms == START_MS + 5 * HOUR_MS, "skipping never goes back"


def test_missing_lists_only_closed_candles_after_the_last_and_before_the_limit_in_order():
    sequence = BarSequence(HOUR_MS, START_MS + HOUR_MS)
    found = [bar(4), bar(2), bar(1), replace(bar(3), is_closed=False), bar(3)]
    assert [b.open_time_ms for b in sequence.missing(found)] == [START_MS + h * HOUR_MS for h in (2, 3, 4)]
    assert [b.open_time_ms for b in sequence.missing(found, before_ms=START_MS + 3 * HOUR_MS)] == [
        START_MS + 2 * HOUR_MS
    ]


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=60))
def test_whatever_order_candles_come_in_each_close_passes_once_and_in_order(offers: list[tuple[int, bool]]):
    sequence, told = BarSequence(HOUR_MS), []
    for hour, closed in offers:
        offered = bar(hour, closed=closed)
        place = sequence.place(offered)
        if place is Place.AFTER_GAP:
            repaired = sequence.missing([bar(h) for h in range(hour)], before_ms=offered.open_time_ms)
            told += [b.open_time_ms for b in repaired]
            for missed in repaired:
                sequence.passed(missed)
        if place is not Place.OLD and closed:
            told.append(offered.open_time_ms)
            sequence.passed(offered)
    assert told == list(range(told[0], told[0] + len(told) * HOUR_MS, HOUR_MS)) if told else True
