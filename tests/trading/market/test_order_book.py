"""The book is the same however its changes are cut, and a change that is missing never goes unnoticed."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.domain.instrument import Market
from trading.domain.market import BookDiff, BookSnapshot
from trading.market.order_book import Applied, OrderBook

SYMBOL = "BTCUSDT"
SIZES = st.integers(0, 5)


@dataclass(frozen=True)
class Update:
    """One update of one level, as the venue numbers it."""

    number: int
    is_bid: bool
    price: float
    size: float


@st.composite
def histories(draw: st.DrawFn, market: Market) -> list[Update]:
    """Updates around 100; futures leave out numbers, for other symbols have them."""
    steps = draw(
        st.lists(st.tuples(st.booleans(), st.integers(1, 5), SIZES, st.integers(1, 4)), min_size=6, max_size=40)
    )
    number, made = 1_000, []
    for is_bid, offset, size, step in steps:
        number += 1 if market is Market.SPOT else step
        made.append(Update(number, is_bid, 100.0 - offset if is_bid else 100.0 + offset, float(size)))
    return made


def snapshot(market: Market, updates: list[Update]) -> BookSnapshot:
    """The book after some updates, worked out level by level."""
    sides: dict[bool, dict[float, float]] = {True: {90.0: 1.0}, False: {110.0: 1.0}}
    for update in updates:
        sides[update.is_bid][update.price] = update.size
    bids, asks = (tuple((p, s) for p, s in sides[bid].items() if s) for bid in (True, False))
    return BookSnapshot(market, SYMBOL, updates[-1].number if updates else 1_000, bids, asks, 0)


def diffs(market: Market, updates: list[Update], cuts: list[int]) -> list[BookDiff]:
    """The updates in chunks; of a level that changes twice in one, the last word."""
    edges = sorted({0, *[cut % len(updates) for cut in cuts], len(updates)})
    made, before = [], 1_000
    for start, end in itertools.pairwise(edges):
        chunk = updates[start:end]
        bids, asks = ({u.price: u.size for u in chunk if u.is_bid is bid} for bid in (True, False))
        previous = None if market is Market.SPOT else before
        first, last = chunk[0].number, chunk[-1].number
        made.append(BookDiff(market, SYMBOL, first, last, previous, tuple(bids.items()), tuple(asks.items()), last))
        before = last
    return made


def sorted_sides(found: BookSnapshot) -> tuple[object, object]:
    return tuple(sorted(found.bids, reverse=True)), tuple(sorted(found.asks))


@pytest.mark.parametrize("market", Market)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_snapshot_and_changes_in_any_chopping_give_the_same_book(market: Market, data: st.DataObject) -> None:
    updates = data.draw(histories(market))
    cut = st.lists(st.integers(0, 100), max_size=20)
    stream = diffs(market, updates, data.draw(cut))
    taken = data.draw(st.integers(0, len(updates)))
    joins = data.draw(st.integers(0, len(stream)))
    book = OrderBook(market, SYMBOL)
    waited = list(stream[:joins])
    # the snapshot may be older or newer than what was streamed when it came, but the stream began before it
    for diff in waited:
        assert book.apply(diff) is Applied.WAITING
    assert book.restart(snapshot(market, updates[:taken])) is Applied.DONE
    for diff in stream[joins:]:
        assert book.apply(diff) in (Applied.DONE, Applied.OLD)
    assert book.is_whole
    assert book.breaks == 0
    found = book.levels(100)
    assert found is not None
    assert (found.bids, found.asks) == sorted_sides(snapshot(market, updates))
    assert book.top() == (found.bids[0], found.asks[0])


@pytest.mark.parametrize("market", Market)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_change_that_is_missing_is_always_noticed(market: Market, data: st.DataObject) -> None:
    updates = data.draw(histories(market))
    stream = diffs(market, updates, data.draw(st.lists(st.integers(1, 100), min_size=4, max_size=20)))
    lost = data.draw(st.integers(0, max(0, len(stream) - 2)))
    book = OrderBook(market, SYMBOL)
    book.restart(snapshot(market, []))
    said = [book.apply(diff) for i, diff in enumerate(stream) if i != lost]
    if len(stream) > 1:
        assert said[lost] is Applied.BROKEN
        assert not book.is_whole
        assert book.top() is None
        assert book.levels(5) is None
        assert book.breaks == 1


@pytest.mark.parametrize("market", Market)
def test_after_a_break_a_snapshot_joins_what_came_meanwhile(market: Market) -> None:
    updates = [Update(1_001 + i, True, 99.0 - i % 3, float(1 + i)) for i in range(8)]
    stream = diffs(market, updates, [2, 4, 6])
    book = OrderBook(market, SYMBOL)
    book.restart(snapshot(market, []))
    assert [book.apply(stream[0]), book.apply(stream[2])] == [Applied.DONE, Applied.BROKEN]
    assert book.apply(stream[3]) is Applied.WAITING
    assert book.restart(snapshot(market, updates[:5])) is Applied.DONE
    assert book.last_id == 1_008
    assert sorted_sides(snapshot(market, updates)) == (book.levels(9).bids, book.levels(9).asks)  # type: ignore[union-attr]


def test_a_snapshot_older_than_the_first_change_is_refused_and_a_newer_one_taken() -> None:
    updates = [Update(1_001 + i, True, 99.0, float(1 + i)) for i in range(6)]
    stream = diffs(Market.SPOT, updates, [2, 4])
    book = OrderBook(Market.SPOT, SYMBOL)
    for diff in stream[1:]:
        book.apply(diff)
    assert book.restart(snapshot(Market.SPOT, updates[:1])) is Applied.BROKEN
    assert not book.is_whole
    assert book.restart(snapshot(Market.SPOT, updates[:3])) is Applied.DONE
    assert book.top() == ((99.0, 6.0), (110.0, 1.0))


def test_a_future_may_skip_numbers_but_not_the_change_before_it() -> None:
    book = OrderBook(Market.PERP, SYMBOL)
    book.restart(snapshot(Market.PERP, []))
    first = BookDiff(Market.PERP, SYMBOL, 990, 1_010, 980, ((99.0, 1.0),), (), 0)
    assert book.apply(first) is Applied.DONE
    assert book.apply(first) is Applied.OLD
    assert book.apply(replace(first, first_id=1_500, last_id=1_600, previous_id=1_010)) is Applied.DONE
    assert book.apply(replace(first, first_id=1_601, last_id=1_700, previous_id=1_599)) is Applied.BROKEN


def test_a_broken_stream_makes_the_book_not_whole() -> None:
    book = OrderBook(Market.SPOT, SYMBOL)
    book.restart(snapshot(Market.SPOT, []))
    assert book.is_whole
    book.lose()
    assert not book.is_whole
    assert book.breaks == 0


def test_an_empty_side_is_no_whole_book() -> None:
    book = OrderBook(Market.SPOT, SYMBOL)
    book.restart(snapshot(Market.SPOT, []))
    book.apply(BookDiff(Market.SPOT, SYMBOL, 1_001, 1_001, None, ((90.0, 0.0),), (), 0))
    assert not book.is_whole
    assert book.top() is None
