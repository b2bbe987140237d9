"""Longer intervals: made of the tape's own bars, seen only once closed, the same bits over any cuts."""

from __future__ import annotations

import inspect
import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.registry import CPUDispatcher

from tests import naive
from tests.conftest import DATA, needs_data
from tests.trading.simulator.markets import HOUR_MS, START_MS, random_tape, rule_spec, tape_of
from trading.domain.errors import SpecError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.market.importers import import_recorded
from trading.market.tape import Tape, make_tape
from trading.simulator import intervals
from trading.simulator.chunk import Chunk, Memory
from trading.simulator.intervals import LongerBars, longer_bars
from trading.simulator.rule_graph import RuleGraph
from trading.simulator.simulate import signals
from trading.strategy.rules import Value, parse_rule

BARS = 90
TEXTS = [
    "close @ 4h",
    "open @ 2h",
    "high[1] @ 4h",
    "(low @ 4h)[3]",
    "volume @ 1d",
    "funding @ 6h",
    "basis @ 4h",
    "basis_mean(3)[1] @ 2h",
    "basis_zscore(2) @ 4h",
    "ema(3) @ 4h",
    "rsi(2) @ 2h - rsi(2)",
    "(close - sma(2)[1]) @ 8h",
    "-obv @ 2h",
    "vwap(2) @ 4h * (high - low) @ 4h",
]


def value_of(text: str) -> Value:
    return parse_rule(f"{text} > volume * 3.21").left


def chunk(tape: Tape, first: int = 0, stop: int | None = None) -> Chunk:
    """Bars of a tape; the funding is a number that tells them apart."""
    funding = np.sin(np.arange(len(tape)))
    basis = tape.close / tape.spot_close - 1.0 if len(tape.spot_close) else np.full(len(tape), np.nan)
    prices = (tape.open, tape.high, tape.low, tape.close)
    columns = [column[first:stop] for column in (tape.open_time_ms, *prices, tape.volume_base, funding, basis)]
    for column in columns:
        column.flags.writeable = False
    return Chunk(*columns)


def fed(text: str, tape: Tape, *, edges: list[int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The values of an expression over a tape cut at edges, each part by a graph with only the memory of the last."""
    value, parts, memory = value_of(text), [], None
    for first, stop in itertools.pairwise([0, *edges, len(tape)]):
        graph = RuleGraph(HOUR_MS)
        place = graph.value(value)
        for array, kept in zip(graph.memory.arrays, memory or [], strict=memory is not None):
            array[:] = kept
        parts.append(graph.feed(chunk(tape, first, stop))[place])
        memory = graph.memory.arrays
    return np.concatenate(parts), memory or []


def values(text: str, tape: Tape) -> np.ndarray:
    return fed(text, tape, edges=[])[0]


def begun_late(tape: Tape, hours: int) -> Tape:
    return make_tape(replace(tape, open_time_ms=tape.open_time_ms + hours * HOUR_MS))


TAPES = st.builds(
    lambda seed, hours: begun_late(random_tape(seed, BARS), hours), st.integers(0, 2**31), st.integers(0, 25)
)


def listed(tape: Tape) -> SimpleNamespace:
    bars = chunk(tape)
    columns = {n: getattr(bars, n).tolist() for n in Chunk._fields[1:-1]}
    columns["basis"] = [None if np.isnan(value) else value for value in columns["basis"]]
    return SimpleNamespace(time=bars.open_ms.tolist(), **columns)


def assert_equal(found: np.ndarray, expected: naive.Values) -> None:
    np.testing.assert_allclose(found, [np.nan if v is None else v for v in expected], rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(tape=TAPES, interval=st.sampled_from(["2h", "4h", "6h", "8h", "12h", "1d"]))
def test_columns_and_indicators_of_a_longer_interval_equal_their_definition(tape: Tape, interval: str) -> None:
    bars, length = listed(tape), INTERVAL_MS[interval]
    for column in ("open", "high", "low", "close", "volume", "funding", "basis"):
        expected = naive.at_interval(bars, HOUR_MS, length, lambda b, name=column: getattr(b, name))
        assert_equal(values(f"{column} @ {interval}", tape), expected)
    for name, arguments in (("ema", (3,)), ("atr", (2,)), ("mfi", (2,)), ("zscore", (3,))):
        text = f"{name}({', '.join(map(str, arguments))}) @ {interval}"
        twin, n = naive.INDICATORS[name], arguments
        assert_equal(
            values(text, tape), naive.at_interval(bars, HOUR_MS, length, lambda b, twin=twin, n=n: twin(b, *n))
        )


@settings(deadline=None, max_examples=30)
@given(tape=TAPES)
def test_a_lag_inside_counts_longer_bars_and_one_outside_the_tapes_own(tape: Tape) -> None:
    bars, length = listed(tape), INTERVAL_MS["4h"]
    inside = naive.at_interval(bars, HOUR_MS, length, lambda b: naive.before(b.close, 2))
    outside = naive.before(naive.at_interval(bars, HOUR_MS, length, lambda b: b.close), 2)
    assert_equal(values("close[2] @ 4h", tape), inside)
    assert_equal(values("(close @ 4h)[2]", tape), outside)


@pytest.mark.parametrize("text", TEXTS)
@settings(deadline=None, max_examples=12)
@given(tape=TAPES, edges=st.lists(st.integers(0, BARS), max_size=8).map(sorted))
def test_any_cuts_and_restarts_give_the_same_bits(text: str, tape: Tape, edges: list[int]) -> None:
    whole, memory = fed(text, tape, edges=[])
    for cuts in (edges, list(range(1, BARS))):
        found, kept = fed(text, tape, edges=cuts)
        assert found.tobytes() == whole.tobytes()
        assert [a.tobytes() for a in kept] == [a.tobytes() for a in memory]


@pytest.mark.parametrize("text", TEXTS)
@settings(deadline=None, max_examples=12)
@given(tape=TAPES, kept=st.integers(1, BARS - 1), seed=st.integers(0, 2**31))
def test_no_future_changes_what_was_seen(text: str, tape: Tape, kept: int, seed: int) -> None:
    whole = values(text, tape)[:kept]
    end_ms = int(tape.open_time_ms[kept - 1]) + HOUR_MS
    other = begun_late(random_tape(seed, BARS), (end_ms - START_MS) // HOUR_MS + seed % 30)
    columns = {
        name: np.concatenate((getattr(tape, name)[:kept], getattr(other, name)))
        for name in ("open_time_ms", "open", "high", "low", "close", "volume_base", "spot_close")
    }
    for told in (tape.window(tape.start_ms, end_ms), make_tape(replace(tape, **columns))):
        assert values(text, told)[:kept].tobytes() == whole.tobytes()


def four_hours(hours: list[int]) -> list[float | None]:
    """`close @ 4h` on bars that open at these hours and close at 100 and their hour."""
    rows = [(100.0 + h, 100.0 + h, 100.0 + h, 100.0 + h) for h in hours]
    found = values("close @ 4h", tape_of(rows, times=[START_MS + h * HOUR_MS for h in hours]))
    return [None if np.isnan(v) else v - 100.0 for v in found]


def test_a_longer_bar_is_seen_at_the_close_of_its_last_bar_and_not_before() -> None:
    assert four_hours([0, 1, 2, 3, 4, 5, 6, 7, 8]) == [None, None, None, 3, 3, 3, 3, 7, 7]


def test_where_its_last_bar_is_missing_it_is_seen_at_the_next_bar_there_is() -> None:
    assert four_hours([0, 1, 2, 4, 5, 7, 8]) == [None, None, None, 2, 2, 7, 7]
    assert four_hours([0, 1, 6, 13]) == [None, None, 1, 6]


def test_two_may_close_at_one_bar_and_the_newer_one_is_seen() -> None:
    assert four_hours([0, 1, 7, 8]) == [None, None, 7, 7]
    lagged = tape_of([(100.0 + h,) * 4 for h in (0, 1, 7, 8)], times=[START_MS + h * HOUR_MS for h in (0, 1, 7, 8)])
    assert values("close[1] @ 4h", lagged)[2:].tolist() == [101.0, 101.0]


def test_the_bar_that_a_tape_begins_inside_of_is_dropped() -> None:
    assert four_hours([1, 2, 3, 4, 5, 6, 7]) == [None] * 6 + [7]
    assert four_hours([3, 4, 9]) == [None, None, 4]


def test_a_longer_bar_without_any_bar_does_not_exist() -> None:
    hours = [0, 3, 20, 23, 24]
    tape = tape_of([(100.0 + h,) * 4 for h in hours], times=[START_MS + h * HOUR_MS for h in hours])
    assert values("close[1] @ 4h", tape)[3:].tolist() == [103.0, 103.0]


def test_every_kernel_is_here_and_cutting_the_future_changes_nothing_it_said() -> None:
    kernels = {name for name, f in inspect.getmembers(intervals) if isinstance(f, CPUDispatcher)}
    assert kernels == {"longer_bars"}
    tape = random_tape(3, 200)
    state = Memory().new(intervals.STATE_SIZE, intervals.NOTHING_BEGUN)
    made, closed = longer_bars(chunk(tape), HOUR_MS, 4 * HOUR_MS, state, np.full(1, np.nan))
    for kept in range(1, 200, 7):
        state = Memory().new(intervals.STATE_SIZE, intervals.NOTHING_BEGUN)
        early, told = longer_bars(chunk(tape, 0, kept), HOUR_MS, 4 * HOUR_MS, state, np.full(1, np.nan))
        assert told.tobytes() == closed[:kept].tobytes()
        assert early.tobytes() == made[:, : early.shape[1]].tobytes()


def test_values_of_one_interval_share_its_bars() -> None:
    graph, other = RuleGraph(HOUR_MS), RuleGraph(HOUR_MS)
    for text in ("close @ 4h", "ema(3) @ 4h", "ema(3)[1] @ 4h"):
        graph.value(value_of(text))
    for text in ("close @ 4h", "ema(3) @ 2h"):
        other.value(value_of(text))
    sizes = [[len(a) for a in g.memory.arrays].count(intervals.STATE_SIZE) for g in (graph, other)]
    assert sizes == [1, 2]


def test_only_rules_of_the_basis_have_a_place_for_it_in_their_memory() -> None:
    def sizes(*texts: str) -> list[int]:
        graph = RuleGraph(HOUR_MS)
        for text in texts:
            graph.value(value_of(text))
        return [len(array) for array in graph.memory.arrays]

    assert sizes("close @ 4h", "funding[2] @ 4h") == [8, 1, 2, 1]
    assert sizes("close @ 4h", "basis @ 4h", "(basis - 1) @ 4h") == [8, 1, 1, 1, 1]


def test_bars_of_a_tape_that_cannot_make_the_interval_are_refused() -> None:
    lists = {"entry_long": ("close > ema(3) @ 2h",), "exit_long": ("close < open",)}
    minutes = replace(
        random_tape(1, 10), interval="4h", open_time_ms=START_MS // 14_400_000 * 14_400_000 + np.arange(10) * 14_400_000
    )
    with pytest.raises(SpecError, match=r'"@ 2h": must be longer than timeframe=4h'):
        signals(make_tape(minutes), rule_spec(lists=lists).parameters)


@needs_data
def test_on_recorded_minutes_the_hour_is_the_exchanges_own_once_it_has_closed() -> None:
    start, end = 1_704_067_200_000, 1_735_689_600_000
    minutes = import_recorded(DATA, Market.SPOT, "BTCUSDT", "1m", start, end)
    hours = import_recorded(DATA, Market.SPOT, "BTCUSDT", "1h", start, end)
    graph = RuleGraph(60_000)
    places = {name: graph.value(value_of(f"{name} @ 1h")) for name in ("open", "high", "low", "close", "volume")}
    found = graph.feed(chunk(minutes))
    newest = np.searchsorted(hours.open_time_ms + HOUR_MS, minutes.open_time_ms + 60_000, side="right") - 1
    seen = newest >= 0
    assert seen.sum() > 500_000
    assert np.isnan(found[places["close"]][~seen]).all()
    for name in ("open", "high", "low", "close"):
        assert (found[places[name]][seen] == getattr(hours, name)[newest[seen]]).all()
    np.testing.assert_allclose(found[places["volume"]][seen], hours.volume_base[newest[seen]], rtol=1e-9)


def test_bars_of_one_interval_come_with_their_own_times() -> None:
    made, closed = LongerBars(Memory(), HOUR_MS, 4 * HOUR_MS).closed_by(chunk(random_tape(1, 9, wild=False)))
    assert made is not None
    assert made.open_ms.tolist() == [START_MS, START_MS + 4 * HOUR_MS]
    assert closed.tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2]
