"""The arithmetic of a limit: never more in any span than the venue allows, and no token lost."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from trading.exchange.rate_file import LONGEST_BAN_MS, Shared, packed, unpacked
from trading.exchange.rate_window import KEPT_BACK, Priority, Window

LIMIT, SPAN_S = 100, 60
START_MS = 1_700_000_000_000 // 60_000 * 60_000
calls = st.lists(
    st.tuples(st.integers(0, 20_000), st.integers(1, 30), st.sampled_from(Priority)), min_size=1, max_size=80
)


@given(calls)
@settings(max_examples=50)
def test_no_span_wherever_it_begins_holds_more_than_the_limit(made: list[tuple[int, int, Priority]]):
    window, now_ms = Window.empty(LIMIT, SPAN_S, now_ms=START_MS), START_MS
    granted: list[tuple[int, int]] = []
    for gap_ms, units, priority in made:
        now_ms += gap_ms
        window = window.at(now_ms)
        before = sum(amount for at_ms, amount in granted if at_ms // 1000 >= now_ms // 1000 - SPAN_S - 1)
        assert window.used(now_ms) == before, "what was taken counts until it is back, and not longer"
        if window.wait_ms(units, priority, now_ms) == 0:
            window = window.with_taken(units)
            granted.append((now_ms, units))
            assert window.used(now_ms) <= LIMIT * (1 - KEPT_BACK[priority])
    for from_ms, _ in granted:
        inside = sum(amount for at_ms, amount in granted if from_ms <= at_ms < from_ms + (SPAN_S + 1) * 1000)
        assert inside <= LIMIT


@given(calls)
@settings(max_examples=50)
def test_after_the_wait_it_names_a_request_is_granted_and_not_a_second_before(made: list[tuple[int, int, Priority]]):
    window, now_ms = Window.empty(LIMIT, SPAN_S, now_ms=START_MS), START_MS
    for gap_ms, units, priority in made:
        now_ms += gap_ms
        window = window.at(now_ms)
        wait_ms = window.wait_ms(units, priority, now_ms)
        later_ms = now_ms + wait_ms
        assert window.at(later_ms).wait_ms(units, priority, later_ms) == 0
        if wait_ms > 1000:
            sooner_ms = later_ms - 1000
            assert window.at(sooner_ms).wait_ms(units, priority, sooner_ms) > 0
        if wait_ms == 0:
            window = window.with_taken(units)


def test_what_others_used_of_the_minute_counts_until_the_minute_is_over():
    now_ms = START_MS + 10_000
    window = Window.empty(LIMIT, SPAN_S, now_ms=now_ms).with_taken(30)
    assert window.corrected(30, now_ms).used(now_ms) == 30, "all of it was ours"
    told = window.corrected(90, now_ms)
    assert told.used(now_ms) == 90
    assert told.with_taken(5).used(now_ms) == 95
    assert told.wait_ms(20, Priority.URGENT, now_ms) == 51_000, "until the venue's minute is over, and a second"
    later_ms = START_MS + 61_000
    assert told.at(later_ms).used(later_ms) == 30
    assert told.corrected(40, now_ms).foreign == 60, "an answer that overtook another takes nothing back"
    stale = told.corrected(7, START_MS + 61_000).corrected(99, now_ms)
    assert (stale.told_span, stale.foreign) == (START_MS // 60_000 + 1, 7), "nor does one of the minute before"


def test_a_clock_that_was_set_back_leaves_all_as_just_taken():
    window = Window.empty(LIMIT, SPAN_S, now_ms=START_MS).with_taken(70)
    back_ms = START_MS - 86_400_000
    assert window.at(back_ms).used(back_ms) == 70
    assert window.at(back_ms).at(back_ms + 62_000).used(back_ms + 62_000) == 0


def test_what_is_larger_than_the_whole_budget_waits_for_all_of_it():
    window = Window.empty(LIMIT, SPAN_S, now_ms=START_MS)
    assert window.wait_ms(1000, Priority.BULK, START_MS) == 0
    assert window.with_taken(1).wait_ms(1000, Priority.BULK, START_MS) == 62_000


@given(
    st.integers(0, 2**62),
    st.lists(st.integers(0, 2**32 - 1), min_size=62, max_size=62),
    st.integers(0, 11),
    st.integers(0, 300),
)
@settings(max_examples=25)
def test_the_file_says_what_was_written_or_nothing(quiet_ms: int, taken: list[int], second: int, spoilt: int):
    weight = Window(6000, 60, tuple(taken), START_MS // 1000, START_MS // 60_000, 17)
    orders = Window.empty(100, 10, now_ms=START_MS).with_taken(second)
    shared = Shared(quiet_ms, weight, orders)
    raw = packed(shared)
    assert unpacked(raw) == shared
    spoilt %= len(raw)
    assert unpacked(raw[:spoilt]) is None, "half of it"
    assert unpacked(raw[:spoilt] + bytes([raw[spoilt] ^ 1]) + raw[spoilt + 1 :]) is None, "a flipped bit"


def test_a_ban_longer_than_any_is_a_clock_that_was_set_back():
    empty = Window.empty(LIMIT, SPAN_S, now_ms=START_MS)
    assert Shared(START_MS + 5000, empty, empty).quiet_ms(START_MS) == 5000
    assert Shared(START_MS + LONGEST_BAN_MS + 1, empty, empty).quiet_ms(START_MS) == 0
