"""A strategy's rules as a program: each distinct sub-expression once, fed with a whole tape or bar by bar.

Comparisons with no value are false; so are those with an infinite one, which only an overflow gives. A list of
conditions holds when all of them hold; an empty list of entries or exits never holds, empty filters always do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trading.simulator.recipes import RECIPES, Chunk, Column, Memory, frozen, lagged
from trading.simulator.records import ENTRY_LONG, ENTRY_SHORT, EXIT_LONG, EXIT_SHORT
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
from trading.strategy.rules import parse_rule
from trading.strategy.spec import RuleParameters

Node = Callable[[Chunk, list[Column]], Column]
"""A sub-expression: from the bars and the values of the sub-expressions before it."""

ATR = Indicator("atr", (14,))
"""The distance unit of stops and targets."""

Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Signals:
    """What the rules say at each close, (n,) each; filters are in the entries already."""

    entry_long: Bits
    entry_short: Bits
    exit_long: Bits
    exit_short: Bits
    atr: Column
    """ATR(14), quote per base; nan in its warm-up."""

    def flags(self) -> NDArray[np.int64]:
        """The four answers as bits of one column, read-only."""
        packed = (
            self.entry_long * np.int64(ENTRY_LONG)
            + self.entry_short * np.int64(ENTRY_SHORT)
            + self.exit_long * np.int64(EXIT_LONG)
            + self.exit_short * np.int64(EXIT_SHORT)
        )
        packed.flags.writeable = False
        return packed


class Program:
    """Rules, compiled: `feed` it bars in order; what it remembers lies in `memory`."""

    def __init__(self, parameters: RuleParameters) -> None:
        """Parse and compile.

        Raises:
            SpecError: a rule is no rule.
        """
        self.memory = Memory()
        self._nodes: list[Node] = []
        self._places: dict[Value, int] = {}
        self._tests: dict[Condition, Callable[[list[Column]], Bits]] = {}
        self._atr = self._place(ATR)
        self._lists = {
            name: tuple(self._test(parse_rule(text)) for text in getattr(parameters, name))
            for name in ("entry_long", "entry_short", "exit_long", "exit_short", "filters")
        }

    @property
    def sub_expressions(self) -> int:
        """How many distinct values are computed a bar."""
        return len(self._nodes)

    def feed(self, bars: Chunk) -> Signals:
        """The signals of the next bars; sub-expressions go on where the last feed left them."""
        with np.errstate(all="ignore"):
            values: list[Column] = []
            for node in self._nodes:
                values.append(node(bars, values))
            answers = {condition: test(values) for condition, test in self._tests.items()}
        count = len(bars.close)

        def all_of(name: str, *, when_empty: bool) -> Bits:
            held = np.full(count, when_empty or bool(self._lists[name]))
            for condition in self._lists[name]:
                held &= answers[condition]
            return held

        filters = all_of("filters", when_empty=True)
        return Signals(
            all_of("entry_long", when_empty=False) & filters,
            all_of("entry_short", when_empty=False) & filters,
            all_of("exit_long", when_empty=False),
            all_of("exit_short", when_empty=False),
            values[self._atr],
        )

    def _place(self, value: Value) -> int:
        """Where a sub-expression's column is; built on first sight, after what it is made of."""
        if value not in self._places:
            node = self._node(value)
            self._nodes.append(node)
            self._places[value] = len(self._nodes) - 1
        return self._places[value]

    def _node(self, value: Value) -> Node:
        match value:
            case Number(value=number):
                return lambda bars, _: np.full(len(bars.close), number)
            case Named(name=name):
                return lambda bars, _: getattr(bars, name)
            case Indicator(name=name, arguments=arguments):
                recipe = RECIPES[name](self.memory, *arguments)
                return lambda bars, _: recipe(bars)
            case Lag(of=inner, bars=count):
                at, lag = self._place(inner), lagged(self.memory, count)
                return lambda _, values: lag(values[at])
            case Negation(of=inner):
                at = self._place(inner)
                return lambda _, values: frozen(-values[at])
            case Arithmetic(operator=operator, left=left, right=right):
                a, b = self._place(left), self._place(right)
                compute = _OPERATORS[operator]
                return lambda _, values: frozen(compute(values[a], values[b]))

    def _test(self, condition: Condition) -> Condition:
        if condition not in self._tests:
            a, b = self._place(condition.left), self._place(condition.right)
            match condition.comparison:
                case Comparison.CROSSES_ABOVE | Comparison.CROSSES_BELOW as crossing:
                    before_a, before_b = lagged(self.memory, 1), lagged(self.memory, 1)
                    first = np.less_equal if crossing is Comparison.CROSSES_ABOVE else np.greater_equal
                    then = np.greater if crossing is Comparison.CROSSES_ABOVE else np.less

                    def test(values: list[Column]) -> Bits:
                        was = _compared(first, before_a(values[a]), before_b(values[b]))
                        return was & _compared(then, values[a], values[b])
                case comparison:
                    compare = _COMPARISONS[comparison]

                    def test(values: list[Column]) -> Bits:
                        return _compared(compare, values[a], values[b])

            self._tests[condition] = test
        return condition


def _compared(compare: Callable[[Column, Column], Bits], a: Column, b: Column) -> Bits:
    return compare(a, b) & np.isfinite(a) & np.isfinite(b)


def _quotient(a: Column, b: Column) -> Column:
    """A division by zero has no value."""
    return np.divide(a, np.where(b == 0.0, np.nan, b))


_OPERATORS: dict[Operator, Callable[[Column, Column], Column]] = {
    Operator.ADD: np.add,
    Operator.SUBTRACT: np.subtract,
    Operator.MULTIPLY: np.multiply,
    Operator.DIVIDE: _quotient,
}

_COMPARISONS: dict[Comparison, Callable[[Column, Column], Bits]] = {
    Comparison.BELOW: np.less,
    Comparison.AT_MOST: np.less_equal,
    Comparison.ABOVE: np.greater,
    Comparison.AT_LEAST: np.greater_equal,
}
