"""Children of rule strategies: each is a parent with one thing changed, drawn at random and told in its origin.

scaled      one number (threshold, factor, period, distance, time limit) times a factor from 0.5 to 2, log-uniform
dropped     one rule or filter left out
taken over  one filter or entry rule of another parent added
crossed     entries, filters and type of another parent, exits and risk its own
mirrored    long where it was short and short where it was long; momentum becomes mean reversion and the reverse
one-sided   one of its two sides left out

How much is put on (`position_pct`, `leverage`) is never changed: it scales a result and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from pydantic import ValidationError

from ai_brain.rule_numbers import with_one_number_changed
from trading.domain.errors import SpecError
from trading.strategy.rules import parse_rule, render
from trading.strategy.spec import Origin, RuleParameters, StrategySpec, StrategyType, new_spec, spec_sha256

T = TypeVar("T")

AUTHOR = "evolution"
LARGEST_FACTOR = 2.0
"""Numbers are scaled by at most this, and by at least its inverse."""
SIGNIFICANT_DIGITS = 4
"""Of a scaled number that need not be whole."""
MOST_CONDITIONS = 8
"""Of all lists of a child together."""
TRIES_A_CHILD = 50
"""Draws, on average, before it is taken that no more children can be had."""
ENTRIES = ("entry_long", "entry_short")
LISTS = (*ENTRIES, "exit_long", "exit_short", "filters")
DISTANCES = ("stop_loss_atr", "take_profit_atr", "trailing_atr", "max_hold_bars")
TURNED_TYPE = {
    StrategyType.MOMENTUM: StrategyType.MEAN_REVERSION,
    StrategyType.MEAN_REVERSION: StrategyType.MOMENTUM,
}


@dataclass(frozen=True, slots=True)
class Parent:
    """A rule strategy and its rules."""

    spec: StrategySpec
    rules: RuleParameters


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a parent."""

    kind: str
    what: str
    """For people, with what was there before."""
    fields: Mapping[str, object] = field(default_factory=dict)
    """Of its parameters, the new values."""
    type: StrategyType | None = None
    """None: its own."""
    donor: StrategySpec | None = None
    """The other parent, where there is one."""


Mutation = Callable[[Parent, Parent, np.random.Generator], Change | None]
"""None: this parent cannot be changed so."""


def mutants(parents: Sequence[StrategySpec], count: int, *, seed: int, at_ms: int) -> list[StrategySpec]:
    """New rule strategies bred from others, on the market of the parent that was changed.

    Args:
        parents: Carries among them are passed over.
        count: How many, 0 or more.
        seed: Same parents, count and seed: same children, in the same order.
        at_ms: When they are written down, UTC milliseconds.

    Returns:
        `count` strategies, no two of which trade on the same rules, and none as a parent does.

    Raises:
        SpecError: no parent has rules, or so many different children were not found.
    """
    able = [Parent(spec, spec.parameters) for spec in parents if isinstance(spec.parameters, RuleParameters)]
    if count > 0 and not able:
        raise SpecError(f"mutants: none of {len(parents)} parents is a rule strategy; give at least one")
    random = np.random.default_rng(seed)
    known, ids = {spec_sha256(parent.spec) for parent in able}, {parent.spec.id for parent in able}
    found: list[StrategySpec] = []
    for _ in range(count * TRIES_A_CHILD):
        if len(found) == count:
            break
        child = _child(able, random, at_ms)
        # The id has six digits of the hash: two children may share them, and then one file would overwrite the other.
        if child is None or child.id in ids or spec_sha256(child) in known:
            continue
        known.add(spec_sha256(child))
        ids.add(child.id)
        found.append(child)
    if len(found) < count:
        raise SpecError(f"mutants: found {len(found)} of {count} in {count * TRIES_A_CHILD} draws; give more parents")
    return found


def _child(able: Sequence[Parent], random: np.random.Generator, at_ms: int) -> StrategySpec | None:
    """A random parent with a random change; None: no change of that kind, or no strategy after it."""
    own, other = _drawn_from(able, random), _drawn_from(able, random)
    change = _drawn_from(MUTATIONS, random)(own, other, random)
    if change is None:
        return None
    try:
        rules = RuleParameters.model_validate({**dict(own.rules), **change.fields})
        if sum(len(getattr(rules, name)) for name in LISTS) > MOST_CONDITIONS:
            return None
        return new_spec(
            name=f"{change.kind.capitalize()}, from {own.spec.id}",
            type=change.type or own.spec.type,
            market=own.spec.market,
            parameters=rules,
            origin=_origin(own.spec, change),
            at_ms=at_ms,
        )
    except (ValidationError, SpecError):
        return None  # over a limit of the language, no entry, no way out, or rules that this market cannot answer


def _origin(parent: StrategySpec, change: Change) -> Origin:
    of = parent.id if change.donor is None else f"{parent.id} and {change.donor.id}"
    thesis = f"{change.kind}: {change.what}. Bred from {of}. {parent.origin.thesis}"
    return Origin(
        author=AUTHOR, model=of, thesis=thesis[:4000], refutation="Its net result is no better than its parents'."
    )


def _scaled(own: Parent, _other: Parent, random: np.random.Generator) -> Change | None:
    changes = [
        Change("scaled", f"{name} {text} to {varied}", {name: (*rules[:place], varied, *rules[place + 1 :])})
        for name in LISTS
        for rules in (getattr(own.rules, name),)
        for place, text in enumerate(rules)
        for condition in with_one_number_changed(parse_rule(text), lambda number: _times_a_factor(number, random))
        for varied in (render(condition),)
    ]
    for name in DISTANCES:
        number = getattr(own.rules.risk, name)
        for value in () if number is None else _times_a_factor(number, random):
            risk = {**dict(own.rules.risk), name: value}
            changes.append(Change("scaled", f"{name} {number:g} to {value:g}", {"risk": risk}))
    return _one_of(changes, random)


def _times_a_factor(number: float, random: np.random.Generator) -> tuple[float, ...]:
    """The number times a random factor, as people write numbers; nothing where rounding gives it back."""
    factor = LARGEST_FACTOR ** random.uniform(-1.0, 1.0)
    whole = isinstance(number, int)
    scaled = max(1, round(number * factor)) if whole else float(f"{number * factor:.{SIGNIFICANT_DIGITS}g}")
    return () if scaled == number else (scaled,)


def _dropped(own: Parent, _other: Parent, random: np.random.Generator) -> Change | None:
    return _one_of(
        [
            Change("dropped", f"{name} {text}", {name: (*rules[:place], *rules[place + 1 :])})
            for name in LISTS
            for rules in (getattr(own.rules, name),)
            for place, text in enumerate(rules)
        ],
        random,
    )


def _taken_over(own: Parent, other: Parent, random: np.random.Generator) -> Change | None:
    return _one_of(
        [
            Change("taken over", f"{name} {text}", {name: (*getattr(own.rules, name), text)}, donor=other.spec)
            for name in (*ENTRIES, "filters")
            for text in getattr(other.rules, name)
        ],
        random,
    )


def _crossed(own: Parent, other: Parent, _random: np.random.Generator) -> Change:
    lists = {name: getattr(other.rules, name) for name in (*ENTRIES, "filters")}
    return Change("crossed", "entries of the other, own exits and risk", lists, other.spec.type, other.spec)


def _mirrored(own: Parent, _other: Parent, _random: np.random.Generator) -> Change:
    rules = own.rules
    turned = {
        "entry_long": rules.entry_short,
        "entry_short": rules.entry_long,
        "exit_long": rules.exit_short,
        "exit_short": rules.exit_long,
    }
    return Change("mirrored", "long where it was short, and the reverse", turned, TURNED_TYPE[own.spec.type])


def _one_sided(own: Parent, _other: Parent, random: np.random.Generator) -> Change | None:
    if not (own.rules.entry_long and own.rules.entry_short):
        return None
    side = _drawn_from(("long", "short"), random)
    return Change("one-sided", f"without its {side}s", {f"entry_{side}": (), f"exit_{side}": ()})


def _one_of(changes: Sequence[Change], random: np.random.Generator) -> Change | None:
    return _drawn_from(changes, random) if changes else None


def _drawn_from(values: Sequence[T], random: np.random.Generator) -> T:
    return values[int(random.integers(len(values)))]


MUTATIONS: tuple[Mutation, ...] = (_scaled, _dropped, _taken_over, _crossed, _mirrored, _one_sided)
"""Each as likely as any other to be tried."""
