"""What a model answers becomes strategies strictly, or not at all."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_brain.ideas import MAX_DETAIL, Asked, IdeaReason, read_ideas
from trading.strategy.spec import CarryParameters, SpecMarket, StrategyType, dump_spec, load_spec, spec_sha256

ASKED = Asked(
    SpecMarket(exchange="binance", symbol="BTC/USDT:USDT", timeframe="1h"), "gemini-x", "ab" * 32, 1_700_000_000_000
)
GOOD = {
    "name": "RSI washout",
    "type": "mean_reversion",
    "timeframe": "1h",
    "entry_long": ["rsi(14) < 28", "close < bb_lower(20, 2)"],
    "exit_long": ["rsi(14) > 55"],
    "filters": ["adx(14) < 25"],
    "risk": {"position_pct": 5.0, "leverage": 1, "stop_loss_atr": 2.0, "max_hold_bars": 48},
    "thesis": "Forced sellers push too far.",
    "refutation": "No return after costs.",
}
CARRY = {
    "name": "Collect funding",
    "type": "funding_carry",
    "timeframe": "1h",
    "carry": {
        "entry_apr_pct": 6.0,
        "exit_apr_pct": 0.0,
        "max_basis_bps": 50.0,
        "leverage": 1,
        "rebalance_delta_pct": 2.0,
        "min_hold_fundings": 21,
        "capital_pct": 90.0,
    },
    "thesis": "Longs pay for leverage.",
    "refutation": "Costs exceed funding.",
}


def read(*ideas: object, **more: object):
    return read_ideas(json.dumps({"ideas": list(ideas)}), ASKED, **more)


def test_a_good_idea_becomes_a_strategy_that_says_where_it_comes_from():
    (spec,) = read(GOOD).specs
    assert (spec.name, spec.type, spec.stage) == ("RSI washout", StrategyType.MEAN_REVERSION, "generated")
    assert spec.parameters.entry_long == ("rsi(14) < 28", "close < bb_lower(20, 2)")
    assert (spec.origin.author, spec.origin.model, spec.origin.prompt_sha256) == ("gemini", "gemini-x", "ab" * 32)
    assert spec.origin.thesis == "Forced sellers push too far."
    assert spec.origin.refutation == "No return after costs."
    assert spec.created_at == "2023-11-14T22:13:20Z"
    assert load_spec(dump_spec(spec), where="x") == spec


def test_a_carry_idea_becomes_a_carry():
    (spec,) = read(CARRY).specs
    assert isinstance(spec.parameters, CarryParameters)


def changed(idea: dict, path: str, value: object) -> dict:
    copy = deepcopy(idea)
    *above, last = path.split(".")
    target = copy
    for step in above:
        target = target[step]
    target[last] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value", "reason", "words"),
    [
        ("entry_long", ["rsi(14 < 28"], IdeaReason.BAD_SPEC, "column"),
        ("entry_long", ["supertrend(10) > close"], IdeaReason.BAD_SPEC, "supertrend"),
        ("entry_long", ["close[-1] > close"], IdeaReason.BAD_SPEC, "lag"),
        ("entry_long", ["__import__('os')"], IdeaReason.BAD_SPEC, "column"),
        ("entry_long", [], IdeaReason.BAD_SPEC, "never trades"),
        ("entry_long", ["close > open @ 15m"], IdeaReason.BAD_SPEC, '"@ 15m": must be longer than timeframe=1h'),
        ("entry_long", ["close > open"] * 9, IdeaReason.BAD_SPEC, "8"),
        ("entry_long", "close > open", IdeaReason.WRONG_SHAPE, "entry_long"),
        ("entry_long", [1], IdeaReason.WRONG_SHAPE, "entry_long.0=1"),
        ("risk.leverage", 50, IdeaReason.BAD_SPEC, "leverage"),
        ("risk.leverage", "1", IdeaReason.WRONG_SHAPE, "risk.leverage='1'"),
        ("risk.leverage", True, IdeaReason.WRONG_SHAPE, "risk.leverage=True"),
        ("risk.position_pct", 0, IdeaReason.BAD_SPEC, "position_pct"),
        ("risk.stop_loss_atr", 0.01, IdeaReason.BAD_SPEC, "stop_loss_atr"),
        ("risk", None, IdeaReason.BAD_SPEC, "no `risk`"),
        ("timeframe", "5m", IdeaReason.OTHER_TIMEFRAME, "1h was asked for"),
        ("type", "arbitrage", IdeaReason.WRONG_SHAPE, "type='arbitrage'"),
        ("type", "funding_carry", IdeaReason.BAD_SPEC, "without its `carry`"),
        ("name", "<b>x</b>", IdeaReason.WRONG_SHAPE, "name="),
        ("name", "two\nlines", IdeaReason.WRONG_SHAPE, "name="),
        ("thesis", "short", IdeaReason.WRONG_SHAPE, "thesis"),
        ("refutation", "", IdeaReason.WRONG_SHAPE, "refutation"),
    ],
)
def test_a_wrong_idea_is_refused_whole_and_the_good_one_beside_it_lives(path, value, reason, words):
    ideas = read(changed(GOOD, path, value), CARRY)
    assert [spec.name for spec in ideas.specs] == ["Collect funding"]
    (rejected,) = ideas.rejected
    assert rejected.reason is reason
    assert words in rejected.detail
    assert rejected.detail.isprintable()
    assert ideas.counts == {reason.value: 1}


@pytest.mark.parametrize("missing", ["name", "type", "timeframe", "thesis", "refutation"])
def test_what_is_missing_is_not_filled_in(missing):
    idea = {key: value for key, value in GOOD.items() if key != missing}
    (rejected,) = read(idea).rejected
    assert rejected.reason is IdeaReason.WRONG_SHAPE
    assert missing in rejected.detail


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", IdeaReason.NOT_JSON),
        ("Sure! Here are some ideas: buy low.", IdeaReason.NOT_JSON),
        ('```json\n{"ideas": []}\n```', IdeaReason.NOT_JSON),
        ('{"ideas": [{"name": "cut', IdeaReason.NOT_JSON),
        ('{"ideas": [NaN]}', IdeaReason.NOT_JSON),
        ("[" * 100_000, IdeaReason.WRONG_SHAPE),
        ("[]", IdeaReason.WRONG_SHAPE),
        ('{"ideas": {}}', IdeaReason.WRONG_SHAPE),
        ('{"ideas": [1,2,3,4,5,6,7,8,9,10,11]}', IdeaReason.WRONG_SHAPE),
        (" " * 200_001, IdeaReason.WRONG_SHAPE),
    ],
)
def test_an_answer_that_is_not_what_was_asked_for_gives_no_idea_and_a_reason(text, reason):
    ideas = read_ideas(text, ASKED)
    assert ideas.specs == ()
    assert [(r.name, r.reason) for r in ideas.rejected] == [("", reason)]


def test_an_entry_that_is_no_object_is_refused_alone():
    ideas = read(GOOD, 7, None)
    assert len(ideas.specs) == 1
    assert [r.reason for r in ideas.rejected] == [IdeaReason.WRONG_SHAPE] * 2


def test_what_was_tried_before_costs_no_trial_however_it_is_written():
    (spec,) = read(GOOD).specs
    again = changed(GOOD, "entry_long", ["close<bb_lower(20,2.0)", "rsi( 14 ) < 28.0"]) | {"name": "Another name"}
    assert [r.reason for r in read(again, known={spec_sha256(spec)}).rejected] == [IdeaReason.DUPLICATE]
    twice = read(GOOD, again)
    assert (len(twice.specs), twice.counts) == (1, {"DUPLICATE": 1})


def test_half_characters_and_control_signs_reach_no_file():
    ideas = read(changed(GOOD, "name", "bad \ud800 \x07 name"), changed(GOOD, "thesis", "half a sign \udfff here"))
    assert ideas.specs == ()
    for rejected in ideas.rejected:
        f"{rejected.name}{rejected.detail}".encode()
        assert rejected.name.isprintable()


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text):
    assert read_ideas(text, ASKED).specs == ()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*GOOD, "x"]), inner, max_size=6),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(list(GOOD)), json_values, max_size=4))
def test_an_idea_with_anything_in_any_place_is_read_or_refused_with_one_line(patch):
    ideas = read({**GOOD, **patch})
    assert len(ideas.specs) + len(ideas.rejected) == 1
    for rejected in ideas.rejected:
        assert rejected.detail.isprintable()
        assert len(rejected.detail) <= MAX_DETAIL
    for spec in ideas.specs:
        dump_spec(spec)
