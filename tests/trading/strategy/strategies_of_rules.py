"""Hypothesis strategies that draw rule trees as the parser makes them, and strategy parameters made of them."""

from __future__ import annotations

from hypothesis import assume
from hypothesis import strategies as st

from trading.domain.market import INTERVAL_MS
from trading.strategy.indicator_catalogue import COLUMNS, INDICATORS, IndicatorDef
from trading.strategy.rule_checks import never_sensible
from trading.strategy.rules import (
    Arithmetic,
    AtInterval,
    Column,
    Comparison,
    Condition,
    Indicator,
    Lag,
    Negation,
    Number,
    Operator,
    Value,
    walk,
)

numbers = st.one_of(
    st.integers(-1000, 100_000).map(float),
    st.floats(-1e9, 1e9, allow_nan=False).map(lambda x: x + 0.0),
    st.sampled_from([1e-7, 5e-4, 1e22, 1e300]),
).map(Number)


@st.composite
def _indicator(draw: st.DrawFn) -> Indicator:
    definition: IndicatorDef = draw(st.sampled_from(list(INDICATORS.values())))
    arguments = [
        draw(st.integers(int(p.low), int(p.high)) if p.is_whole else st.floats(p.low, p.high))
        for p in definition.parameters
    ]
    if definition.name.startswith("macd"):
        arguments[:2] = sorted(arguments[:2])
        assume(arguments[0] < arguments[1])
    return Indicator(definition.name, tuple(arguments))


terms = st.one_of(numbers, st.sampled_from(list(COLUMNS)).map(Column), _indicator())


def _compound(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    return st.one_of(
        st.builds(Arithmetic, st.sampled_from(Operator), inner, inner),
        st.builds(Lag, inner, st.integers(1, 500)),
        st.builds(AtInterval, inner, st.sampled_from(list(INTERVAL_MS))),
        inner.filter(lambda v: not isinstance(v, Number | Negation)).map(Negation),
    )


def _as_parsed(value: Value) -> bool:
    """Whether the parser can make this tree: no lag of a lag or of a constant, no interval of a constant or
    around another, no division by a constant zero."""
    match value:
        case Lag(of=inner):
            return not isinstance(inner, Lag | Number) and _as_parsed(inner)
        case AtInterval(of=inner):
            has_another = any(isinstance(part, AtInterval) for part in walk(inner))
            return not isinstance(inner, Number) and not has_another and _as_parsed(inner)
        case Negation(of=inner):
            return _as_parsed(inner)
        case Arithmetic(operator=operator, left=left, right=right):
            by_zero = operator is Operator.DIVIDE and right == Number(0.0)
            return not by_zero and _as_parsed(left) and _as_parsed(right)
        case _:
            return True


values = st.recursive(terms, _compound, max_leaves=8).filter(_as_parsed)
conditions = st.builds(Condition, st.sampled_from(Comparison), values, values).filter(
    lambda condition: never_sensible(condition) is None
)
