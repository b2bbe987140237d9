"""Why candles are missing: told apart by who else was there."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import DATA, needs_data
from trading.domain.clock import iso, parse_iso
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.market.columns import Columns
from trading.market.gap_ledger import Cause, Listing, Witness, holes_in, in_words, missing
from trading.market.importers import CANDLE, tape_of
from trading.market.interval_check import compare
from trading.market.parquet import read_parquet

MINUTE_MS = 60_000
START_MS = 1_704_067_200_000


def grid(bars: int, *, without: set[int] = frozenset()) -> np.ndarray:
    return np.array([START_MS + i * MINUTE_MS for i in range(bars) if i not in without], dtype=np.int64)


def candles(times: np.ndarray, *, flat: range = range(0)) -> Columns:
    """A market that moves each minute but in the flat stretch."""
    price = 100.0 + np.arange(len(times)) % 7
    volume = np.full(len(times), 3.0)
    if len(flat):
        price[flat.start : flat.stop] = price[flat.start]
        volume[flat.start : flat.stop] = 0.0
    spread = np.where(volume == 0.0, 0.0, 1.0)
    return {"open_time": times, "high": price + spread, "low": price - spread, "volume": volume}


def pages(first: int, bars: int, *, has: int = 0) -> Witness:
    """The exchange's own pages, asked about a stretch."""
    start = START_MS + first * MINUTE_MS
    times = np.arange(start, start + has * MINUTE_MS, MINUTE_MS, dtype=np.int64)
    return Witness("the pages", times, MINUTE_MS, start, start + bars * MINUTE_MS, is_same_market=True)


def other(times: np.ndarray, *, span_ms: int = MINUTE_MS, same: bool = False) -> Witness:
    return Witness("spot ETHUSDT", times, span_ms, START_MS, START_MS + 10_000 * MINUTE_MS, is_same_market=same)


@given(st.sets(st.integers(0, 59)), st.integers(0, 20), st.integers(40, 60))
def test_every_missing_minute_of_a_stretch_is_in_exactly_one_hole(gone: set[int], first: int, stop: int) -> None:
    found = missing(grid(60, without=gone), MINUTE_MS, START_MS + first * MINUTE_MS, START_MS + stop * MINUTE_MS)
    told = [(ms - START_MS) // MINUTE_MS + i for ms, bars in found for i in range(bars)]
    assert told == sorted(gone & set(range(first, stop)))
    assert all(bars > 0 for _, bars in found)
    assert all(a + bars * MINUTE_MS < b for (a, bars), (b, _) in pairwise(found))


@pytest.mark.parametrize(
    ("witnesses", "cause"),
    [
        ([], Cause.UNKNOWN),
        ([pages(10, 5)], Cause.EXCHANGE_HALT),
        ([pages(10, 5, has=5)], Cause.SOURCE_HOLE),
        ([pages(11, 3)], Cause.UNKNOWN),  # asked about a part only
        ([other(grid(60, without=set(range(10, 15))))], Cause.EXCHANGE_HALT),
        ([other(grid(60))], Cause.SOURCE_HOLE),
        ([other(grid(60)), pages(10, 5)], Cause.EXCHANGE_HALT),  # this symbol alone stood still
    ],
)
def test_a_hole_is_told_by_who_else_was_there(witnesses: list[Witness], cause: Cause) -> None:
    held = candles(grid(60, without=set(range(10, 15))))
    (hole,) = holes_in(held, MINUTE_MS, [(START_MS, START_MS + 60 * MINUTE_MS)], witnesses=witnesses)
    assert (hole.first_ms, hole.bars, hole.cause) == (START_MS + 10 * MINUTE_MS, 5, cause)
    assert in_words(hole, MINUTE_MS).startswith(f"{iso(hole.first_ms)}: 5 candles, 5 min: {cause}")


def test_a_longer_candle_speaks_only_where_it_lies_inside_the_hole_whole() -> None:
    hours = other(np.array([START_MS, START_MS + 60 * MINUTE_MS]), span_ms=60 * MINUTE_MS, same=True)
    assert hours.count(START_MS + 10 * MINUTE_MS, START_MS + 50 * MINUTE_MS, MINUTE_MS) is None
    assert hours.count(START_MS + 10 * MINUTE_MS, START_MS + 130 * MINUTE_MS, MINUTE_MS) == 60
    minutes = other(grid(90))
    assert minutes.count(START_MS, START_MS + 120 * MINUTE_MS, 60 * MINUTE_MS) == 2


def test_what_lies_before_the_listing_or_after_the_end_is_no_fault_of_the_source() -> None:
    held = candles(grid(60, without={*range(10), *range(50, 60)}))
    stretch = (START_MS, START_MS + 60 * MINUTE_MS)
    listing = Listing(START_MS + 10 * MINUTE_MS, START_MS + 50 * MINUTE_MS)
    before, after = holes_in(held, MINUTE_MS, [stretch], listing=listing)
    assert (before.cause, after.cause) == (Cause.NOT_LISTED, Cause.DELISTED)
    before, after = holes_in(held, MINUTE_MS, [stretch], witnesses=[pages(0, 10), pages(50, 10)])
    assert (before.cause, after.cause) == (Cause.NOT_LISTED, Cause.EXCHANGE_HALT)
    assert [hole.cause for hole in holes_in(held, MINUTE_MS, [stretch])] == [Cause.UNKNOWN, Cause.UNKNOWN]


def test_a_standstill_is_an_outage_where_the_market_never_rests_and_none_where_it_often_does() -> None:
    busy = candles(grid(2000), flat=range(500, 505))
    (hole,) = holes_in(busy, MINUTE_MS, [(START_MS, START_MS + 1)])
    assert (hole.cause, hole.bars, hole.first_ms) == (Cause.FLAT_OUTAGE, 5, START_MS + 500 * MINUTE_MS)
    quiet = candles(grid(2000))
    rests = np.arange(2000) % 3 != 0
    rests[500:505] = True
    quiet["volume"], quiet["high"] = np.where(rests, 0.0, 3.0), np.where(rests, quiet["low"], quiet["high"])
    assert holes_in(quiet, MINUTE_MS, [(START_MS, START_MS + 1)]) == []


def test_a_flat_tail_of_a_day_is_a_contract_that_is_no_longer_traded_and_one_of_an_hour_is_not() -> None:
    (hole,) = holes_in(candles(grid(6000), flat=range(4500, 6000)), MINUTE_MS, [(START_MS, START_MS + 1)])
    assert (hole.cause, hole.bars) == (Cause.DELISTED, 1500)
    (hole,) = holes_in(candles(grid(6000), flat=range(5935, 6000)), MINUTE_MS, [(START_MS, START_MS + 1)])
    assert (hole.cause, hole.bars) == (Cause.FLAT_OUTAGE, 65)


def test_candles_that_end_for_good_are_a_delisting_only_where_the_exchange_has_none_since() -> None:
    day = 24 * 60
    held, stretch = candles(grid(day)), (START_MS, START_MS + 3 * day * MINUTE_MS)
    (hole,) = holes_in(held, MINUTE_MS, [stretch], witnesses=[replace(pages(day, 2 * day), has_none_since=True)])
    assert (hole.cause, hole.evidence) == (Cause.DELISTED, ("the pages: none of 2880, and none since",))
    (hole,) = holes_in(held, MINUTE_MS, [stretch], witnesses=[replace(pages(day, 2 * day), refusal="no such symbol")])
    assert (hole.cause, hole.evidence) == (Cause.UNKNOWN, ("the pages refuse: no such symbol",))


def recorded(name: str) -> Columns:
    return read_parquet([DATA / f"{name}.parquet"], CANDLE)


def beside(name: str, *others: str) -> list[Witness]:
    found = []
    for one in others:
        _, symbol, interval = one.split("_")[:3]
        times = np.asarray(recorded(one)["open_time"], dtype=np.int64)
        span_ms = INTERVAL_MS[interval]
        same = symbol == name.split("_")[1]
        found.append(Witness(one, times, span_ms, int(times[0]), int(times[-1]) + span_ms, is_same_market=same))
    return found


@needs_data
@pytest.mark.parametrize(
    ("name", "others", "causes", "bars", "longest"),
    [
        ("spot_BTCUSDT_1h", ["spot_ETHUSDT_1h"], {Cause.EXCHANGE_HALT: 27}, 122, ("2018-02-08T01:00:00Z", 33)),
        ("spot_XRPUSDT_1h", ["spot_BTCUSDT_1h"], {Cause.EXCHANGE_HALT: 25}, 88, ("2018-06-26T02:00:00Z", 10)),
        ("spot_BTCUSDT_1m_2020-03", ["spot_BTCUSDT_1h"], {Cause.EXCHANGE_HALT: 1}, 128, ("2020-03-04T09:22:00Z", 128)),
        ("spot_SOLUSDT_5m", ["spot_SOLUSDT_1h"], {Cause.SOURCE_HOLE: 1}, 43, ("2024-11-19T20:25:00Z", 43)),
        ("perp_BTCUSDT_5m", [], {Cause.FLAT_OUTAGE: 2}, 16, ("2024-10-28T20:00:00Z", 14)),
        ("perp_BTCUSDT_1h", [], {Cause.FLAT_OUTAGE: 1}, 2, ("2019-09-09T00:00:00Z", 2)),
    ],
)
def test_the_recorded_outages_are_told_for_what_they_were(
    name: str, others: list[str], causes: dict[Cause, int], bars: int, longest: tuple[str, int]
) -> None:
    held, interval_ms = recorded(name), INTERVAL_MS[name.split("_")[2]]
    stretch = (int(held["open_time"][0]), int(held["open_time"][-1]) + interval_ms)
    holes = holes_in(held, interval_ms, [stretch], witnesses=beside(name, *others))
    assert Counter(hole.cause for hole in holes) == causes
    assert sum(hole.bars for hole in holes) == bars
    worst = max(holes, key=lambda hole: hole.bars)
    assert (iso(worst.first_ms), worst.bars) == longest


@needs_data
@pytest.mark.parametrize(
    ("finest", "own", "compared", "hours"),
    [
        ("perp_BTCUSDT_5m", "perp_BTCUSDT_1h", 10_248,
         ["2023-11-14T11", "2024-03-27T12", "2024-03-28T10", "2024-03-28T11", "2024-03-28T12", "2024-10-28T20",
          "2024-10-28T21"]),
        ("spot_BTCUSDT_1m_2024", "spot_BTCUSDT_1h", 8_784, []),
        ("spot_SOLUSDT_5m", "spot_SOLUSDT_1h", 10_248,
         ["2024-11-19T20", "2024-11-19T21", "2024-11-19T22", "2024-11-19T23"]),
    ],
)  # fmt: skip
def test_recorded_hours_that_are_not_what_their_parts_make_are_listed(
    finest: str, own: str, compared: int, hours: list[str]
) -> None:
    market, symbol, interval = finest.split("_")[:3]
    parts = tape_of(recorded(finest), Market(market), symbol, interval, origin="recorded")
    whole = tape_of(recorded(own), Market(market), symbol, "1h", origin="recorded")
    found = compare(parts, whole)
    assert found.compared == compared
    assert [iso(one.open_time_ms)[:13] for one in found.disagreements] == hours
    assert all(one.open_time_ms >= parse_iso("2023-11-01") for one in found.disagreements)
