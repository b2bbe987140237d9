"""The library: a dozen published effects, each a whole strategy with its source."""

from __future__ import annotations

import re

import pytest

from ai_brain.research_library import EFFECTS, library_specs, perpetual
from trading.domain.errors import SpecError
from trading.strategy.spec import CarryParameters, RuleParameters, StrategyType, dump_spec, load_spec, spec_sha256

SPECS = library_specs("ETHUSDT", 1_700_000_000_000)


def test_it_holds_a_dozen_rule_effects_and_the_carry_first():
    assert [spec.type for spec in SPECS].count(StrategyType.FUNDING_CARRY) == 1
    assert SPECS[0].type is StrategyType.FUNDING_CARRY
    assert sum(isinstance(spec.parameters, RuleParameters) for spec in SPECS) >= 12
    assert {spec.market.native_symbol for spec in SPECS} == {"ETHUSDT"}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_each_is_a_whole_strategy_file(spec):
    assert load_spec(dump_spec(spec), where="library") == spec
    assert spec.origin.author == "library"
    assert len(spec.origin.thesis) > 40
    assert len(spec.origin.refutation) > 20


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.name)
def test_each_names_who_published_it_and_when(effect):
    assert re.search(r"\((19|20)\d\d\), \S", effect.source)


def test_no_two_are_the_same_strategy():
    assert len({spec_sha256(spec) for spec in SPECS}) == len({spec.id for spec in SPECS}) == len(SPECS)


def test_nothing_in_it_uses_leverage_or_more_than_the_position_limit():
    for spec in SPECS:
        if isinstance(spec.parameters, CarryParameters):
            assert spec.parameters.leverage == 1
            assert spec.parameters.min_hold_fundings == 21
        else:
            assert spec.parameters.risk.leverage == 1
            assert spec.parameters.risk.position_pct <= 7


def test_every_breakout_looks_at_the_bars_before_its_own():
    """A channel that includes the present bar can never be left by its close."""
    for effect in EFFECTS:
        for rule in (*effect.entry_long, *effect.entry_short, *effect.exit_long, *effect.exit_short):
            for call in re.findall(r"donchian_\w+\(\d+\)(\[1\])?", rule):
                assert call == "[1]", rule


@pytest.mark.parametrize(
    ("symbol", "unified"), [("BTCUSDT", "BTC/USDT:USDT"), ("1000PEPEUSDC", "1000PEPE/USDC:USDC"), ("USDT", None)]
)
def test_a_symbol_is_read_by_its_quote_coin(symbol, unified):
    if unified is None:
        with pytest.raises(SpecError, match="ends in none of"):
            perpetual(symbol)
    else:
        assert perpetual(symbol) == unified
