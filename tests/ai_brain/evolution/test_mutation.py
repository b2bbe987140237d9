"""Children of rule strategies: what may change, what never does, and that each says whose child it is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_brain.evolution.mutation import MOST_CONDITIONS, MUTATIONS, mutants
from ai_brain.research_library import library_specs
from tests.ai_brain.markets import START_MS, carry_spec, rule_spec
from trading.domain.errors import SpecError
from trading.strategy.spec import RuleParameters, StrategySpec, dump_spec, load_spec, spec_sha256

LIBRARY = library_specs("BTCUSDT", START_MS)
RULES = [spec for spec in LIBRARY if isinstance(spec.parameters, RuleParameters)]
KINDS = {"scaled", "dropped", "taken over", "crossed", "mirrored", "one-sided"}


def kind(child: StrategySpec) -> str:
    return child.origin.thesis.partition(":")[0]


def rules(spec: StrategySpec) -> RuleParameters:
    assert isinstance(spec.parameters, RuleParameters)
    return spec.parameters


def parents_of(child: StrategySpec) -> list[StrategySpec]:
    return [next(spec for spec in LIBRARY if spec.id == one) for one in child.origin.model.split(" and ")]


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_children_are_new_distinct_strategies_that_can_be_filed_and_say_whose_they_are(seed: int, count: int) -> None:
    children = mutants(LIBRARY, count, seed=seed, at_ms=START_MS)
    hashes = {spec_sha256(child) for child in children}
    assert len(hashes) == len({child.id for child in children}) == len(children) == count
    assert not hashes & {spec_sha256(parent) for parent in LIBRARY}
    for child in children:
        assert load_spec(dump_spec(child), where=child.id) == child
        assert len(rules(child).conditions) <= MOST_CONDITIONS
        assert child.origin.author == "evolution"
        assert kind(child) in KINDS
        assert parents_of(child)


def test_the_same_seed_breeds_the_same_children_and_another_seed_others() -> None:
    first = mutants(LIBRARY, 30, seed=5, at_ms=START_MS)
    assert first == mutants(LIBRARY, 30, seed=5, at_ms=START_MS)
    assert first != mutants(LIBRARY, 30, seed=6, at_ms=START_MS)


def test_every_kind_of_change_is_bred_and_the_size_is_never_changed() -> None:
    children = mutants(LIBRARY, 200, seed=1, at_ms=START_MS)
    assert {kind(child) for child in children} == KINDS
    assert len(KINDS) == len(MUTATIONS)
    assert {(rules(child).risk.position_pct, rules(child).risk.leverage) for child in children} == {(5.0, 1)}


def test_each_child_differs_from_its_parent_in_what_it_says_and_in_nothing_else() -> None:
    for child in mutants(LIBRARY, 200, seed=2, at_ms=START_MS):
        own, old, new = parents_of(child)[0], rules(parents_of(child)[0]), rules(child)
        changed = {name for name in RuleParameters.model_fields if getattr(old, name) != getattr(new, name)}
        match kind(child):
            case "scaled" | "dropped" | "taken over":
                assert len(changed) == 1
            case "crossed":
                other = rules(parents_of(child)[1])
                assert (new.entry_long, new.entry_short, new.filters) == (
                    other.entry_long,
                    other.entry_short,
                    other.filters,
                )
                assert (new.exit_long, new.exit_short, new.risk) == (old.exit_long, old.exit_short, old.risk)
                assert child.type is parents_of(child)[1].type
                continue
            case "mirrored":
                assert (new.entry_long, new.exit_long) == (old.entry_short, old.exit_short)
                assert (new.entry_short, new.exit_short) == (old.entry_long, old.exit_long)
                assert child.type is not own.type
                continue
            case "one-sided":
                assert bool(new.entry_long) is not bool(new.entry_short)
                assert changed <= {"entry_long", "exit_long"} or changed <= {"entry_short", "exit_short"}
        assert child.type is own.type


def test_numbers_are_scaled_between_a_half_and_twice_and_periods_stay_whole_and_in_their_limits() -> None:
    parent = rule_spec("close > sma(1500) + 3 * atr(14)", max_hold_bars=100, stop_loss_atr=4.0)
    children = [c for c in mutants([parent], 60, seed=3, at_ms=START_MS) if kind(c) == "scaled"]
    assert len(children) > 40
    seen = set()
    for child in children:
        told = re.match(r"scaled: (.+?)\. Bred", child.origin.thesis)
        assert told
        before, after = (re.findall(r"\d+(?:\.\d+)?", part) for part in told[1].split(" to "))
        pairs = [(float(a), float(b)) for a, b in zip(before, after, strict=True) if a != b]
        ((was, now),) = pairs
        assert was * 0.499 <= now <= was * 2.001
        if was in (1500.0, 14.0, 100.0):
            assert now == int(now) <= 2000
        seen.add(was)
    assert seen == {1500.0, 3.0, 14.0, 100.0, 4.0}


def test_carries_are_passed_over_and_without_a_rule_strategy_there_are_no_children() -> None:
    assert mutants([carry_spec(), *RULES], 20, seed=4, at_ms=START_MS) == mutants(RULES, 20, seed=4, at_ms=START_MS)
    assert mutants([], 0, seed=4, at_ms=START_MS) == []
    with pytest.raises(SpecError, match="none of 1 parents is a rule strategy"):
        mutants([carry_spec()], 1, seed=4, at_ms=START_MS)


def test_what_cannot_be_bred_so_often_is_refused_with_the_count_that_was_found() -> None:
    with pytest.raises(SpecError, match="found 2 of 3"):  # held for two bars, or sold short
        mutants([rule_spec("close > open", max_hold_bars=1)], 3, seed=4, at_ms=START_MS)
