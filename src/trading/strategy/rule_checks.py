"""Rules that parse but say nothing: conditions that can never change, seen from the tree alone."""

from __future__ import annotations

from trading.strategy.indicator_catalogue import INDICATORS
from trading.strategy.rule_tree import (
    AtInterval,
    Column,
    Comparison,
    Condition,
    Indicator,
    Lag,
    Number,
    Value,
    render,
    walk,
)

_NEVER_OVER_THE_TOP = (Comparison.ABOVE, Comparison.CROSSES_ABOVE, Comparison.AT_MOST)
_NEVER_UNDER_THE_BOTTOM = (Comparison.BELOW, Comparison.CROSSES_BELOW, Comparison.AT_LEAST)
_BELOW_THE_TOP = {"donchian_high": ("open", "high", "low", "close"), "highest": ("close", "low")}
_ABOVE_THE_BOTTOM = {"donchian_low": ("open", "high", "low", "close"), "lowest": ("close", "high")}


def never_sensible(condition: Condition) -> str | None:
    """Why a condition can never change from bar to bar, with the remedy; None: nothing of the kind is seen.

    Three kinds: constants on both sides or the same value twice; an indicator held against a number outside its range;
    a price held against an extreme that contains it, which is how a breakout is usually got wrong.
    """
    if not any(_moves(side) for side in (condition.left, condition.right)):
        return "both sides are constants, so it never changes: compare a price or an indicator"
    if condition.left == condition.right:
        return "both sides are the same value, so it never changes: compare two different ones"
    turned = Condition(condition.comparison.turned, condition.right, condition.left)
    for way in (condition, turned):
        if (why := _out_of_range(way) or _contains_itself(way)) is not None:
            return why
    return None


def _moves(value: Value) -> bool:
    return any(isinstance(part, Column | Indicator) for part in walk(value))


def _out_of_range(condition: Condition) -> str | None:
    left = condition.left.of if isinstance(condition.left, AtInterval) else condition.left
    match left, condition.right:
        case Indicator(name=name), Number(value=limit) if (bounds := INDICATORS[name].range) is not None:
            low, high = bounds
        case _:
            return None
    if condition.comparison in (Comparison.ABOVE, Comparison.AT_MOST, Comparison.CROSSES_ABOVE):
        fixed = limit >= high or limit < low
    else:
        fixed = limit <= low or limit > high
    if not fixed:
        return None
    return f"{name} lies in {low:g}..{high:g}, so against {limit:g} it never changes: choose a number inside"


def _contains_itself(condition: Condition) -> str | None:
    match condition.left, condition.right:
        case Column(name=price), Indicator(name=extreme) as found:
            before: Value = Lag(found, 1)
        case AtInterval(of=Column(name=price), interval=a), AtInterval(of=Indicator(name=extreme) as found, interval=b):
            if a != b:
                return None
            before = AtInterval(Lag(found, 1), a)
        case _:
            return None
    tops, bottoms = _BELOW_THE_TOP.get(extreme, ()), _ABOVE_THE_BOTTOM.get(extreme, ())
    over = price in tops and condition.comparison in _NEVER_OVER_THE_TOP
    under = price in bottoms and condition.comparison in _NEVER_UNDER_THE_BOTTOM
    if not (over or under):
        return None
    text = render(Condition(condition.comparison, condition.left, before))
    return f"it never changes: {extreme} contains the bar itself; compare with the bars before, {text}"
