"""The numbers in a rule, each changed by itself: thresholds, factors, and the periods of indicators.

Lags and intervals are left alone: they say what is read, not how much of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from trading.domain.errors import SpecError
from trading.strategy.indicator_catalogue import complete_arguments
from trading.strategy.rules import Arithmetic, AtInterval, Condition, Indicator, Lag, Negation, Number, Value

Scaled = Callable[[float], Iterable[float]]
"""What a number could be instead; an int is a count of bars and must stay whole."""


def with_one_number_changed(condition: Condition, scaled: Scaled) -> Iterator[Condition]:
    """The condition once for each of its numbers and each of that number's other values, left to right.

    An indicator's argument outside of its limits is left out; a condition that the language refuses is not.
    """
    for left in _values(condition.left, scaled):
        yield replace(condition, left=left)
    for right in _values(condition.right, scaled):
        yield replace(condition, right=right)


def _values(value: Value, scaled: Scaled) -> Iterator[Value]:
    match value:
        case Number(value=number):
            yield from (Number(float(other)) for other in scaled(number))
        case Indicator(name=name, arguments=arguments):
            for at, argument in enumerate(arguments):
                for other in scaled(argument):
                    given = (*arguments[:at], other, *arguments[at + 1 :])
                    if _is_allowed(name, given):
                        yield Indicator(name, given)
        case Lag(of=inner) | AtInterval(of=inner) | Negation(of=inner):
            yield from (replace(value, of=varied) for varied in _values(inner, scaled))
        case Arithmetic(left=left, right=right):
            yield from (replace(value, left=varied) for varied in _values(left, scaled))
            yield from (replace(value, right=varied) for varied in _values(right, scaled))
        case _:
            return


def _is_allowed(name: str, arguments: tuple[float, ...]) -> bool:
    try:
        complete_arguments(name, arguments)
    except SpecError:
        return False
    return True
