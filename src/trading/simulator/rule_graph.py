"""The distinct values and comparisons of any number of rules, each computed once, fed with a tape or bar by bar.

Values at a longer interval have a graph of their own, fed with the longer bars as they close; in between, the last
one stands.

Comparisons with no value are false; so are those with an infinite one, which only an overflow gives. What a value
remembers between feeds lies in `memory`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trading.domain.market import INTERVAL_MS
from trading.simulator.bits import TEST, packed_comparison, packed_threshold, words_for
from trading.simulator.chunk import Chunk, Column, Memory, frozen, lagged
from trading.simulator.intervals import LongerBars
from trading.simulator.recipes import RECIPES
from trading.simulator.workers import Each, one_by_one
from trading.strategy.rule_tree import (
    Arithmetic,
    AtInterval,
    Comparison,
    Condition,
    Indicator,
    Lag,
    Negation,
    Number,
    Operator,
    Value,
    value_reads_column,
)
from trading.strategy.rule_tree import Column as Named

Node = Callable[[Chunk, list[Column]], Column]
"""A sub-expression: from the bars and the values of the sub-expressions before it."""

Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Test:
    """A column against a level, or against another column; the form every condition is brought to."""

    code: int
    """A code of `bits.py`."""
    left: int
    """Place of a column."""
    right: int
    """Place of the other column; -1: `level`."""
    level: float


class RuleGraph:
    """Values and conditions by place; asked for twice, it is the same place."""

    def __init__(self, interval_ms: int, memory: Memory | None = None) -> None:
        """Nothing yet.

        Args:
            interval_ms: Length of the bars it will be fed with.
            memory: Where to remember; None: a new one.
        """
        self.memory = Memory() if memory is None else memory
        self._interval_ms = interval_ms
        self._longer: dict[str, _Longer] = {}
        self._nodes: list[Node] = []
        self._places: dict[Value, int] = {}
        self._tests: list[Test] = []
        self._test_places: dict[Test, int] = {}

    @property
    def values(self) -> int:
        """How many distinct columns are computed."""
        return len(self._nodes)

    @property
    def tests(self) -> NDArray[np.void]:
        """(c,) of `TEST`: every distinct comparison, by place."""
        return np.array([(t.code, t.left, t.right, t.level) for t in self._tests], dtype=TEST)

    def value(self, value: Value) -> int:
        """Where a sub-expression's column is; built on first sight, after what it is made of."""
        if value not in self._places:
            node = self._node(value)
            self._nodes.append(node)
            self._places[value] = len(self._nodes) - 1
        return self._places[value]

    def condition(self, condition: Condition) -> tuple[int, ...]:
        """Where the comparisons are that hold together when a condition does: one, or two for a crossing."""
        left, right = condition.left, condition.right
        if condition.comparison not in _CROSSINGS:
            return (self._test(condition.comparison, left, right),)
        first, then = _CROSSINGS[condition.comparison]
        return self._test(first, _one_bar_ago(left), _one_bar_ago(right)), self._test(then, left, right)

    def feed(self, bars: Chunk, each: Each = one_by_one) -> list[Column]:
        """The columns of the next bars; sub-expressions go on where the last feed left them.

        Args:
            bars: The next ones.
            each: Works off what is read from the bars alone; on threads or not, the result is the same.
        """
        for longer in self._longer.values():
            longer.feed(bars)
        values: list[Column] = [bars.close] * len(self._nodes)

        def compute(place: int) -> None:
            with np.errstate(all="ignore"):
                values[place] = self._nodes[place](bars, values)

        alone = [place for value, place in self._places.items() if isinstance(value, Indicator)]
        each(compute, alone)
        for place in sorted(set(range(len(values))).difference(alone)):
            compute(place)
        return values

    def holds(self, place: int, values: list[Column], count: int) -> Bits:
        """(count,) whether a comparison holds at each bar just fed."""
        test = self._tests[place]
        words = np.empty(words_for(count), dtype=np.uint64)
        if test.right < 0:
            packed_threshold(values[test.left], test.level, test.code, words)
        else:
            packed_comparison(values[test.left], values[test.right], test.code, words)
        return unpacked(words, count)

    def _node(self, value: Value) -> Node:
        match value:
            case Number(value=number):
                return lambda bars, _: frozen(np.full(len(bars.close), number))
            case Named(name=name):
                return lambda bars, _: getattr(bars, name)
            case Indicator(name=name, arguments=arguments):
                recipe = RECIPES[name](self.memory, *arguments)
                return lambda bars, _: recipe(bars)
            case Lag(of=inner, bars=count):
                at, lag = self.value(inner), lagged(self.memory, count)
                return lambda _, values: lag(values[at])
            case AtInterval(of=inner, interval=interval):
                return self._at(interval).node(inner)
            case Negation(of=inner):
                at = self.value(inner)
                return lambda _, values: frozen(-values[at])
            case Arithmetic(operator=operator, left=left, right=right):
                a, b = self.value(left), self.value(right)
                compute = _OPERATORS[operator]
                return lambda _, values: frozen(compute(values[a], values[b]))

    def _at(self, interval: str) -> _Longer:
        if interval not in self._longer:
            self._longer[interval] = _Longer(self.memory, self._interval_ms, INTERVAL_MS[interval])
        return self._longer[interval]

    def _test(self, comparison: Comparison, left: Value, right: Value) -> int:
        if isinstance(left, Number) or (comparison in _ABOVE and not isinstance(right, Number)):
            # A level stands on the right, and of two columns the smaller one on the left: one form for one comparison.
            comparison, left, right = comparison.turned, right, left
        if isinstance(right, Number):
            test = Test(_CODES[comparison], self.value(left), -1, float(right.value))
        else:
            test = Test(_CODES[comparison], self.value(left), self.value(right), 0.0)
        if test not in self._test_places:
            self._test_places[test] = len(self._tests)
            self._tests.append(test)
        return self._test_places[test]


class _Longer:
    """The values of one longer interval, and how far its bars had closed at each bar just fed."""

    def __init__(self, memory: Memory, interval_ms: int, longer_ms: int) -> None:
        self._bars = LongerBars(memory, interval_ms, longer_ms)
        self._graph = RuleGraph(longer_ms, memory)
        self._values: list[Column] = []
        self._closed = np.empty(0, dtype=np.int64)

    def feed(self, bars: Chunk) -> None:
        """Make longer bars of the next bars, and feed those that close."""
        made, self._closed = self._bars.closed_by(bars)
        self._values = [] if made is None else self._graph.feed(made)

    def node(self, value: Value) -> Node:
        """A value of these bars as a column of the shorter ones: that of the last longer bar that has closed."""
        if value_reads_column(value, "basis"):
            self._bars.keep_basis(self._graph.memory)
        at, last = self._graph.value(value), self._graph.memory.new(1, np.nan)

        def seen(_: Chunk, __: list[Column]) -> Column:
            known = np.concatenate((last, self._values[at])) if self._values else last.copy()
            last[0] = known[-1]
            return frozen(known[self._closed])

        return seen


def unpacked(words: NDArray[np.uint64], count: int) -> Bits:
    """Words as (count,) truth values."""
    return np.unpackbits(words.view(np.uint8), count=count, bitorder="little").view(np.bool_)


def _one_bar_ago(value: Value) -> Value:
    return value if isinstance(value, Number) else Lag(value, 1)


def _quotient(a: Column, b: Column) -> Column:
    """A division by zero has no value."""
    return np.divide(a, np.where(b == 0.0, np.nan, b))


_OPERATORS: dict[Operator, Callable[[Column, Column], Column]] = {
    Operator.ADD: np.add,
    Operator.SUBTRACT: np.subtract,
    Operator.MULTIPLY: np.multiply,
    Operator.DIVIDE: _quotient,
}

_ABOVE = (Comparison.ABOVE, Comparison.AT_LEAST)

_CODES = {Comparison.BELOW: 0, Comparison.AT_MOST: 1, Comparison.ABOVE: 2, Comparison.AT_LEAST: 3}

_CROSSINGS = {
    Comparison.CROSSES_ABOVE: (Comparison.AT_MOST, Comparison.ABOVE),
    Comparison.CROSSES_BELOW: (Comparison.AT_LEAST, Comparison.BELOW),
}
