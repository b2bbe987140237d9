"""The distinct values and conditions of any number of rules, each computed once, fed with a tape or bar by bar.

Comparisons with no value are false; so are those with an infinite one, which only an overflow gives. What a value
remembers between feeds lies in `memory`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trading.simulator.bits import BARS_A_WORD, packed_comparison, packed_threshold
from trading.simulator.chunk import Chunk, Column, Memory, frozen, lagged
from trading.simulator.recipes import RECIPES
from trading.strategy.rule_tree import (
    Arithmetic,
    Comparison,
    Condition,
    Indicator,
    Lag,
    Negation,
    Number,
    Operator,
    Value,
)
from trading.strategy.rule_tree import Column as Named

Node = Callable[[Chunk, list[Column]], Column]
"""A sub-expression: from the bars and the values of the sub-expressions before it."""

Bits = NDArray[np.bool_]
Words = NDArray[np.uint64]
"""64 bars a word, the oldest bar in the lowest bit."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a constant, or the place of a column."""

    place: int
    """Of the column; -1 for a constant."""
    constant: float = 0.0

    def of(self, values: list[Column]) -> Column | float:
        """What it is at the bars just fed."""
        return self.constant if self.place < 0 else values[self.place]


@dataclass(frozen=True, slots=True)
class Test:
    """One condition as a comparison of two sides; a crossing also compares them one bar ago."""

    comparison: Comparison
    left: Side
    right: Side
    before: tuple[Side, Side] | None = None


class RuleGraph:
    """Values and conditions by place; asked for twice, it is the same place."""

    def __init__(self) -> None:
        self.memory = Memory()
        self._nodes: list[Node] = []
        self._places: dict[Value, int] = {}
        self._tests: list[Test] = []
        self._test_places: dict[Condition, int] = {}

    @property
    def values(self) -> int:
        """How many distinct columns are computed."""
        return len(self._nodes)

    @property
    def conditions(self) -> int:
        """How many distinct conditions are known."""
        return len(self._tests)

    def value(self, value: Value) -> int:
        """Where a sub-expression's column is; built on first sight, after what it is made of."""
        if value not in self._places:
            node = self._node(value)
            self._nodes.append(node)
            self._places[value] = len(self._nodes) - 1
        return self._places[value]

    def condition(self, condition: Condition) -> int:
        """Where a condition is; built on first sight."""
        if condition not in self._test_places:
            self._test_places[condition] = len(self._tests)
            self._tests.append(self._test(condition))
        return self._test_places[condition]

    def feed(self, bars: Chunk) -> list[Column]:
        """The columns of the next bars; sub-expressions go on where the last feed left them."""
        with np.errstate(all="ignore"):
            values: list[Column] = []
            for node in self._nodes:
                values.append(node(bars, values))
        return values

    def holds(self, place: int, values: list[Column], count: int) -> Bits:
        """(count,) whether a condition holds at each bar just fed."""
        return unpacked(self.words(place, values, count), count)

    def words(self, place: int, values: list[Column], count: int) -> Words:
        """(ceil(count / 64),) the same, packed; bits past the end are 0."""
        test = self._tests[place]
        if test.before is None:
            return _packed(test.comparison, test.left.of(values), test.right.of(values), count)
        first, then = _CROSSINGS[test.comparison]
        was = _packed(first, test.before[0].of(values), test.before[1].of(values), count)
        return was & _packed(then, test.left.of(values), test.right.of(values), count)

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
            case Negation(of=inner):
                at = self.value(inner)
                return lambda _, values: frozen(-values[at])
            case Arithmetic(operator=operator, left=left, right=right):
                a, b = self.value(left), self.value(right)
                compute = _OPERATORS[operator]
                return lambda _, values: frozen(compute(values[a], values[b]))

    def _test(self, condition: Condition) -> Test:
        left, right = self._side(condition.left), self._side(condition.right)
        if condition.comparison not in _CROSSINGS:
            return Test(condition.comparison, left, right)
        before = (self._side(_one_bar_ago(condition.left)), self._side(_one_bar_ago(condition.right)))
        return Test(condition.comparison, left, right, before)

    def _side(self, value: Value) -> Side:
        if isinstance(value, Number):
            return Side(-1, float(value.value))
        return Side(self.value(value))


def unpacked(words: Words, count: int) -> Bits:
    """Words as (count,) truth values."""
    return np.unpackbits(words.view(np.uint8), count=count, bitorder="little").view(np.bool_)


def _one_bar_ago(value: Value) -> Value:
    return value if isinstance(value, Number) else Lag(value, 1)


def _packed(comparison: Comparison, a: Column | float, b: Column | float, count: int) -> Words:
    if isinstance(a, float):
        a, b, comparison = b, a, _MIRRORED[comparison]
    if isinstance(a, float):  # two constants: the parser refuses them, a tree made by hand may not
        a = frozen(np.full(count, a))
    words = np.empty((count + BARS_A_WORD - 1) // BARS_A_WORD, dtype=np.uint64)
    if isinstance(b, float):
        packed_threshold(a, b, _CODES[comparison], words)
    elif comparison in (Comparison.ABOVE, Comparison.AT_LEAST):
        packed_comparison(b, a, comparison is Comparison.AT_LEAST, words)
    else:
        packed_comparison(a, b, comparison is Comparison.AT_MOST, words)
    return words


def _quotient(a: Column, b: Column) -> Column:
    """A division by zero has no value."""
    return np.divide(a, np.where(b == 0.0, np.nan, b))


_OPERATORS: dict[Operator, Callable[[Column, Column], Column]] = {
    Operator.ADD: np.add,
    Operator.SUBTRACT: np.subtract,
    Operator.MULTIPLY: np.multiply,
    Operator.DIVIDE: _quotient,
}

_CODES = {Comparison.BELOW: 0, Comparison.AT_MOST: 1, Comparison.ABOVE: 2, Comparison.AT_LEAST: 3}

_MIRRORED = {
    Comparison.BELOW: Comparison.ABOVE,
    Comparison.AT_MOST: Comparison.AT_LEAST,
    Comparison.ABOVE: Comparison.BELOW,
    Comparison.AT_LEAST: Comparison.AT_MOST,
}

_CROSSINGS = {
    Comparison.CROSSES_ABOVE: (Comparison.AT_MOST, Comparison.ABOVE),
    Comparison.CROSSES_BELOW: (Comparison.AT_LEAST, Comparison.BELOW),
}
