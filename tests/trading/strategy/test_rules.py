"""The rule language: what parses, what it means, and the one line that everything else gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trading.strategy.strategies_of_rules import conditions
from trading.domain.errors import SpecError
from trading.strategy import rules
from trading.strategy.rule_intervals import interval_misfit, longer_intervals
from trading.strategy.rules import (
    COLUMNS,
    INDICATORS,
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
    max_lookback_bars,
    parse_rule,
    reads_column,
    render,
    walk,
)

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "rule-language.md").read_text(encoding="utf-8")
EXAMPLES = [line for block in re.findall(r"```rule\n(.*?)```", DOCUMENT, re.DOTALL) for line in block.splitlines()]
REFUSED = re.findall(r"^\| `(.*?)` \| (rule \".*) \|$", DOCUMENT, re.MULTILINE)


def refusal(text: str) -> str:
    with pytest.raises(SpecError) as refused:
        parse_rule(text)
    return str(refused.value)


def outcome(text: str) -> tuple[Condition | None, str]:
    try:
        return parse_rule(text), ""
    except SpecError as error:
        return None, str(error)


def test_a_rule_becomes_the_tree_it_reads_like() -> None:
    assert parse_rule("close crosses_above (sma(50)[1] + 2) * -1.5 - open") == Condition(
        Comparison.CROSSES_ABOVE,
        Column("close"),
        Arithmetic(
            Operator.SUBTRACT,
            Arithmetic(
                Operator.MULTIPLY,
                Arithmetic(Operator.ADD, Lag(Indicator("sma", (50,)), 1), Number(2.0)),
                Number(-1.5),
            ),
            Column("open"),
        ),
    )


def test_equal_operators_bind_from_the_left() -> None:
    assert parse_rule("close - open - low > 8 / 4 / 2") == parse_rule("(close - open) - low > (8 / 4) / 2")
    assert parse_rule("close - open - low > 0") != parse_rule("close - (open - low) > 0")


def test_a_minus_binds_stronger_than_a_product_and_weaker_than_a_lag() -> None:
    assert parse_rule("-close * 2 < open").left == Arithmetic(Operator.MULTIPLY, Negation(Column("close")), Number(2.0))
    assert parse_rule("-close[1] < open").left == Negation(Lag(Column("close"), 1))
    assert parse_rule("(-close)[1] < open").left == Lag(Negation(Column("close")), 1)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("rsi(14)<28", "rsi(14) < 28"),
        ("rsi( ) < 28.0", "rsi(14) < 28"),
        ("close < bb_lower(20)", "close < bb_lower(20, 2)"),
        ("obv > obv[20]", "obv() > obv()[20]"),
        ("((close)) > .5e3", "close > 500"),
        ("close[0] >= (open)", "close >= open"),
        ("--close > - -3", "close > 3"),
        ("close\t>  -0", "close > 0"),
        ("zscore(24) < -2.5", "zscore(24) < -2.5"),
        ("close - (open - low) > (close - open) - low", "close - (open - low) > close - open - low"),
        ("(close * 2)[3] > funding", "(close * 2)[3] > funding"),
        ("close > open * 1e22", "close > open * 1e+22"),
        ("close@4h>ema( 50 )[1]@1d", "close @ 4h > ema(50)[1] @ 1d"),
        ("((ema(50)) @ 4h)[3] < open", "(ema(50) @ 4h)[3] < open"),
        ("-(close @ 4h) * 2 < -3", "-close @ 4h * 2 < -3"),
        ("(-close) @ 4h < 3", "(-close) @ 4h < 3"),
        ("(close - open) @ 1d > (close @ 1d) - open @ 1d", "(close - open) @ 1d > close @ 1d - open @ 1d"),
        ("(close[1])[2] > open", "close[3] > open"),
        ("((close[1]) @ 2h)[2] > open", "(close[1] @ 2h)[2] > open"),
    ],
)
def test_spelling_does_not_matter(written: str, canonical: str) -> None:
    assert render(parse_rule(written)) == canonical
    assert parse_rule(canonical) == parse_rule(written)


@given(conditions)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_the_canonical_text_of_any_rule_parses_to_the_same_rule(condition: Condition) -> None:
    assert parse_rule(render(condition)) == condition


WORDS = [
    *COLUMNS,
    *INDICATORS,
    *Comparison,
    *Operator,
    "(",
    ")",
    "[",
    "]",
    ",",
    "14",
    "2.5",
    "0",
    "-",
    "@",
    "4h",
    "and",
    " ",
]


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)))
@settings(max_examples=600, deadline=None)
def test_any_text_is_a_rule_or_one_line_with_a_column(text: str) -> None:
    condition, line = outcome(text)
    if condition is None:
        assert re.fullmatch(r'rule ".*": column \d+: .+', line)
        assert line.isprintable()
    else:
        assert parse_rule(render(condition)) == condition
        assert max_lookback_bars(condition, "1m") >= 0


@pytest.mark.parametrize(("rule", "answer"), REFUSED, ids=[rule or "empty" for rule, _ in REFUSED])
def test_a_wrong_rule_gets_the_documented_line(rule: str, answer: str) -> None:
    assert refusal(rule) == answer


@pytest.mark.parametrize("rule", EXAMPLES)
def test_the_documented_examples_are_rules(rule: str) -> None:
    assert render(parse_rule(rule)) == rule


def test_the_document_has_the_grammar_of_the_parser() -> None:
    grammar = re.findall(r"```ebnf\n(.*?)```", DOCUMENT, re.DOTALL)[0]
    assert grammar in (rules.__doc__ or "")


def test_the_document_shows_what_is_refused() -> None:
    assert len(EXAMPLES) >= 6
    assert len(REFUSED) >= 20


@pytest.mark.parametrize(
    ("rule", "column", "says"),
    [
        ("close >", 8, "found the end"),
        ("> close", 1, 'found ">"'),
        ("close close", 7, "expected a comparison"),
        ("close > open)", 13, 'found ")"'),
        ("close > (open", 14, 'to close the "(" at column 9'),
        ("close > sma(20 30)", 16, 'expected ")", found "30"'),
        ("close > sma(20,", 16, "expected a number in sma(...), found the end"),
        ("close(1) > open", 6, "takes no parameters; a value of the past is close[1]"),
        ("close[1][2] > open", 9, "one lag is enough"),
        ("(close[300])[300] > open", 14, "lag=600: must be 0..500 bars"),
        ("close @ 4h @ 1d > open", 12, "one interval is enough"),
        ("close @ > open", 9, 'unknown interval ">": write one of 1m, 3m'),
        ("close @", 8, "expected an interval such as 4h, found the end"),
        ("@ 4h > open", 1, 'found "@"'),
        ("3 @ 4h > open", 3, "a constant is the same at every interval"),
        ("close @ 4 h > open", 9, 'unknown interval "4": did you mean "4h"?'),
        ("close @ 240m > open", 9, 'did you mean "4h"?'),
        ("close @ 1D > open", 9, 'did you mean "1d"?'),
        ("close @ 24hours > open", 9, 'did you mean "1d"?'),
        ("close @ 2w > open", 9, 'did you mean "1d"?'),
        ("close @ 0h > open", 9, 'did you mean "'),
        ("close @ daily > open", 9, 'unknown interval "daily": write one of 1m, 3m'),
        ("rsi(14) @ 4h > 100", 14, "rsi lies in 0..100"),
        ("donchian_low(9) @ 4h > low @ 4h", 22, "low @ 4h < donchian_low(9)[1] @ 4h"),
        ("close @ 4h > close @ 4h", 12, "never changes"),
        ("close[1.5] > open", 7, "whole number of bars"),
        ("close[9999999999] > open", 7, "whole number of bars"),
        ("3[1] > close", 2, "a constant has no past"),
        ("close > 1e999", 9, "too large a number"),
        ("close > atr(-3)", 9, "n=-3: must be 1..2000"),
        ("close | open > 3", 7, 'there is no "or"'),
        ("close ≥ open", 7, "write >="),
        ("close > $5", 9, "'$' is not part of the language"),
        ("not close > open", 1, "a rule is one comparison"),
        ("close or open > 3", 7, 'there is no "or"'),
        ("close > open or low > 3", 14, "make it a strategy of its own"),
        ("qqqqqq > 3", 1, 'unknown name "qqqqqq"; see docs'),
        ("volatility(20) < 0", 16, "volatility lies in 0..inf"),
        ("0 > stoch_k(14)", 3, "stoch_k lies in 0..100"),
        ("100 < rsi(14)", 5, "never changes"),
        ("rsi(14) crosses_above 100", 9, "never changes"),
        ("close crosses_below lowest(5)", 7, "close crosses_below lowest(5)[1]"),
        ("donchian_low(20) > low", 18, "low < donchian_low(20)[1]"),
        ("high <= donchian_high(20)", 6, "never changes"),
        ("2 * 3 > 1 - 5", 7, "both sides are constants"),
    ],
)
def test_errors_point_at_the_column_and_say_what_to_do(rule: str, column: int, says: str) -> None:
    line = refusal(rule)
    assert f"column {column}: " in line
    assert says in line


@pytest.mark.parametrize(
    "rule",
    [
        "close > donchian_high(20) @ 4h",
        "close @ 2h > donchian_high(20) @ 4h",
        "close >= donchian_high(20)",
        "rsi(14) <= 100e-1",
        "rsi(14) >= 100",
        "adx(14) > 0",
    ],
)
def test_what_can_change_is_not_refused(rule: str) -> None:
    parse_rule(rule)


def test_limits_hold_at_their_edge() -> None:
    parse_rule("(" * 16 + "close" + ")" * 16 + " > 1")
    assert "deeper than 16" in refusal("(" * 17 + "close" + ")" * 17 + " > 1")
    assert "deeper than 16" in refusal("-" * 17 + "close > 1")
    parse_rule("close" + " + close" * 38 + " > 1")
    assert "more than 40 terms" in refusal("close" + " + close" * 39 + " > 1")
    parse_rule("close[500] > 1")
    assert "longer than 2000" in refusal("close > " + "0" * 2000 + "1")


def test_a_long_rule_is_shown_short_and_a_line_break_is_not_printed() -> None:
    line = refusal("close + " * 30 + "\n")
    assert len(line) < 250
    assert "\n" not in refusal("close > \n3")


@pytest.mark.parametrize(
    ("rule", "bars"),
    [
        ("close > open", 0),
        ("close > close[3]", 3),
        ("rsi(14) < 28", 14),
        ("close crosses_above sma(50)[1]", 51),
        ("(close - sma(20)[5])[10] > atr(14)", 34),
        ("adx(14) > macd_signal(12, 26, 9)", 33),
        ("-funding > 0.001", 0),
        ("close @ 4h > open", 3),
        ("ema(50) @ 4h > close", 199),
        ("ema(50)[2] @ 4h > (close @ 1d)[100]", 207),
        ("close crosses_above sma(3) @ 1d", 72),
    ],
)
def test_the_lookback_is_the_longest_reach_into_the_past(rule: str, bars: int) -> None:
    assert max_lookback_bars(parse_rule(rule), "1h") == bars


def test_a_lag_inside_an_interval_counts_its_bars_and_one_outside_the_strategys_own() -> None:
    ema = Indicator("ema", (50,))
    assert parse_rule("ema(50)[1] @ 4h > close").left == AtInterval(Lag(ema, 1), "4h")
    assert parse_rule("(ema(50) @ 4h)[1] > close").left == Lag(AtInterval(ema, "4h"), 1)
    assert "x[1] @ 4h is one bar of 4h ago" in refusal("ema(50) @ 4h[1] > close")
    assert parse_rule("-ema(50) @ 4h < close").left == Negation(AtInterval(ema, "4h"))


def test_a_strategy_reads_the_intervals_that_its_bars_can_make() -> None:
    assert longer_intervals("1h") == ("2h", "4h", "6h", "8h", "12h", "1d")
    assert longer_intervals("3m") == ("15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
    assert longer_intervals("8h") == ("1d",)
    assert longer_intervals("1d") == ()
    for rule, timeframe, says in (
        ("close > 2 * ema(5) @ 15m", "1h", 'column 22: "@ 15m": must be longer than timeframe=1h and a whole multiple'),
        ("close @ 12h > open", "8h", "of it: write one of 1d"),
        ("close @ 1h > open", "1h", "it is the strategy's own timeframe: leave it out"),
        ("close @ 4h > open", "1d", "of it: leave it out"),
    ):
        assert says in (interval_misfit(rule, timeframe) or "")
    assert interval_misfit("close @ 4h > open[3] @ 1d", "1h") is None


def test_columns_are_found_inside_indicators() -> None:
    condition = parse_rule("mfi(14)[2] * 2 > -open")
    assert [reads_column(condition, name) for name in ("volume", "open", "funding")] == [True, True, False]
    assert reads_column(parse_rule("close > 1 + funding[3]"), "funding")
    assert reads_column(parse_rule("close > mfi(9) @ 1d"), "volume")
    assert Number(2.0) in list(walk(condition.left))
