"""A rule as a tree of values: what the parser returns, the simulator compiles and `render` writes back.

One rule is one `Condition`: two numbers at a bar, compared. Trees are hashable and compare by content, so a column is
computed once however often it is named. A tree made by the parser has every argument filled in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from trading.domain.market import INTERVAL_MS
from trading.strategy.indicator_catalogue import INDICATORS


class Comparison(StrEnum):
    """How two values are compared; a comparison with no value is false."""

    BELOW = "<"
    AT_MOST = "<="
    ABOVE = ">"
    AT_LEAST = ">="
    CROSSES_ABOVE = "crosses_above"
    """left[1] <= right[1] and left > right."""
    CROSSES_BELOW = "crosses_below"
    """left[1] >= right[1] and left < right."""

    @property
    def turned(self) -> Comparison:
        """What it is called with its sides changed over: `a < b` says what `b > a` does."""
        return _TURNED[self]


_TURNED = {
    Comparison.BELOW: Comparison.ABOVE,
    Comparison.AT_MOST: Comparison.AT_LEAST,
    Comparison.ABOVE: Comparison.BELOW,
    Comparison.AT_LEAST: Comparison.AT_MOST,
    Comparison.CROSSES_ABOVE: Comparison.CROSSES_BELOW,
    Comparison.CROSSES_BELOW: Comparison.CROSSES_ABOVE,
}


class Operator(StrEnum):
    """Arithmetic on two values; a division by zero has no value."""

    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the tape, `funding` or `basis`; a key of `COLUMNS`."""

    name: str


@dataclass(frozen=True, slots=True)
class Indicator:
    """An indicator with all its arguments, in the order of its definition."""

    name: str
    """A key of `INDICATORS`."""
    arguments: tuple[float, ...]
    """int where the parameter counts bars, float otherwise."""


@dataclass(frozen=True, slots=True)
class Lag:
    """A value as it was some bars ago."""

    of: Value
    bars: int
    """1..500."""


@dataclass(frozen=True, slots=True)
class AtInterval:
    """A value computed on bars of a longer interval: at each bar, what it was at the last of them that has closed."""

    of: Value
    interval: str
    """A key of `INTERVAL_MS`; lags inside `of` count its bars."""


@dataclass(frozen=True, slots=True)
class Negation:
    """Minus a value that is neither a constant nor negated itself."""

    of: Value


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two values, one operator."""

    operator: Operator
    left: Value
    right: Value


Value = Number | Column | Indicator | Lag | AtInterval | Negation | Arithmetic
"""What has a number at a bar."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One rule: true or false at a bar."""

    comparison: Comparison
    left: Value
    right: Value


def render(condition: Condition) -> str:
    """The one canonical text of a condition: parsing it gives the same tree, so equal texts are equal rules."""
    return f"{_text(condition.left)} {condition.comparison} {_text(condition.right)}"


def max_lookback_bars(condition: Condition, timeframe: str) -> int:
    """Bars of the strategy's own timeframe that must exist before the condition has a value: on a tape without gaps it
    is decided at bar index `max_lookback_bars` at the earliest. Lags add up; a crossing reads one bar more.

    A value at a longer interval needs its bars whole: a tape that begins inside one takes up to one of them more.
    """
    reach = max(_lookback_bars(side, INTERVAL_MS[timeframe]) for side in (condition.left, condition.right))
    return reach + (condition.comparison in (Comparison.CROSSES_ABOVE, Comparison.CROSSES_BELOW))


def walk(value: Value) -> Iterator[Value]:
    """A value and everything it is made of, outermost first."""
    yield value
    match value:
        case Lag(of=inner) | AtInterval(of=inner) | Negation(of=inner):
            yield from walk(inner)
        case Arithmetic(left=left, right=right):
            yield from walk(left)
            yield from walk(right)
        case _:
            pass


def reads_column(condition: Condition, name: str) -> bool:
    """Whether a column of the tape is read, directly or by an indicator."""
    return any(value_reads_column(side, name) for side in (condition.left, condition.right))


def value_reads_column(value: Value, name: str) -> bool:
    """The same of one side."""

    def reads(part: Value) -> bool:
        match part:
            case Column(name=column):
                return column == name
            case Indicator(name=indicator):
                return name in INDICATORS[indicator].reads
            case _:
                return False

    return any(reads(part) for part in walk(value))


def number_text(value: float) -> str:
    """A number as rules write it: `28`, `0.0001`, `1e+22`; reading it back gives the same float."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


_BINDING = {Operator.ADD: 1, Operator.SUBTRACT: 1, Operator.MULTIPLY: 2, Operator.DIVIDE: 2}
_UNARY, _AT, _LAG, _PRIMARY = 3, 4, 5, 6


def _text(value: Value, binding: int = 0) -> str:
    """`binding`: how strongly the surroundings bind; weaker text gets parentheses."""
    match value:
        case Number(value=number):
            return _wrapped(number_text(number), needed=number < 0 and binding >= _AT)
        case Column(name=name):
            return name
        case Indicator(name=name, arguments=arguments):
            return f"{name}({', '.join(number_text(a) for a in arguments)})"
        case Lag(of=inner, bars=bars):
            return _wrapped(f"{_text(inner, _PRIMARY)}[{bars}]", needed=binding > _LAG)
        case AtInterval(of=inner, interval=interval):
            return _wrapped(f"{_text(inner, _LAG)} @ {interval}", needed=binding > _AT)
        case Negation(of=inner):
            return _wrapped(f"-{_text(inner, _UNARY)}", needed=binding > _UNARY)
        case Arithmetic(operator=operator, left=left, right=right):
            own = _BINDING[operator]
            text = f"{_text(left, own)} {operator} {_text(right, own + 1)}"
            return _wrapped(text, needed=binding > own)


def _wrapped(text: str, *, needed: bool) -> str:
    return f"({text})" if needed else text


def _lookback_bars(value: Value, interval_ms: int) -> int:
    """In bars of `interval_ms`."""
    match value:
        case Indicator(name=name, arguments=arguments):
            return INDICATORS[name].lookback_bars(arguments)
        case Lag(of=inner, bars=bars):
            return bars + _lookback_bars(inner, interval_ms)
        case AtInterval(of=inner, interval=interval):
            longer_ms = INTERVAL_MS[interval]
            return (_lookback_bars(inner, longer_ms) + 1) * (longer_ms // interval_ms) - 1
        case Negation(of=inner):
            return _lookback_bars(inner, interval_ms)
        case Arithmetic(left=left, right=right):
            return max(_lookback_bars(left, interval_ms), _lookback_bars(right, interval_ms))
        case _:
            return 0
