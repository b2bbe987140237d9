"""The strategies next to one: each of its numbers by itself a tenth lower and a tenth higher."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from ai_brain.rule_numbers import with_one_number_changed
from trading.strategy.rules import parse_rule, render
from trading.strategy.spec import CarryParameters, RuleParameters, StrategySpec

FACTORS = (0.9, 1.1)
LISTS = ("entry_long", "entry_short", "exit_long", "exit_short", "filters")
DISTANCES = ("stop_loss_atr", "take_profit_atr", "trailing_atr", "max_hold_bars")
OF_CARRY = ("entry_apr_pct", "exit_apr_pct", "max_basis_bps", "rebalance_delta_pct", "min_hold_fundings")


def neighbours(spec: StrategySpec) -> dict[str, StrategySpec]:
    """Every strategy that differs in one number: a threshold, a period, a factor, a distance, a time.

    A whole number is rounded; one that a tenth does not change, as a period of 3, has no neighbour, nor has one whose
    neighbour would be no strategy. How much is put on is not varied: it scales a result and decides nothing.

    Returns:
        By what was changed: `entry_long 1: rsi(15) < 28`.
    """
    found: dict[str, StrategySpec] = {}
    for name, changes in _changes(spec.parameters):
        try:
            parameters = type(spec.parameters).model_validate({**dict(spec.parameters), **changes})
        except ValidationError:
            continue  # over a limit of the language or of the file
        found[name] = spec.model_copy(update={"parameters": parameters})
    return found


def _changes(parameters: RuleParameters | CarryParameters) -> Iterator[tuple[str, dict[str, object]]]:
    """What to say otherwise, and its name."""
    if isinstance(parameters, CarryParameters):
        for field in OF_CARRY:
            for value in _scaled(getattr(parameters, field)):
                yield f"{field} {value:g}", {field: value}
        return
    for field in LISTS:
        rules = getattr(parameters, field)
        for place, text in enumerate(rules):
            for condition in with_one_number_changed(parse_rule(text), _scaled):
                varied = render(condition)
                yield f"{field} {place + 1}: {varied}", {field: (*rules[:place], varied, *rules[place + 1 :])}
    for field in DISTANCES:
        for value in _scaled(getattr(parameters.risk, field)):
            yield f"{field} {value:g}", {"risk": {**dict(parameters.risk), field: value}}


def _scaled(number: float | None) -> Iterator[float]:
    """A tenth less and a tenth more, as people write numbers; whole ones stay whole."""
    if number is None:
        return
    for factor in FACTORS:
        scaled = round(number * factor) if isinstance(number, int) else float(f"{number * factor:.10g}")
        if scaled != number:
            yield scaled
