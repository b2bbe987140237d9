"""The rule language: text in, tree out. The whole grammar, and the only parser; `docs/rule-language.md` explains it.

condition  = sum comparison sum
comparison = "<" | "<=" | ">" | ">=" | "crosses_above" | "crosses_below"
sum        = product { ("+" | "-") product }
product    = unary { ("*" | "/") unary }
unary      = [ "-" ] unary | timed
timed      = lagged [ "@" interval ]
lagged     = primary [ "[" whole "]" ]
interval   = "1m" | "3m" | "5m" | "15m" | "30m" | "1h" | "2h" | "4h" | "6h" | "8h" | "12h" | "1d"
primary    = number | column | indicator [ "(" [ argument { "," argument } ] ")" ] | "(" sum ")"
argument   = [ "-" ] number

A rule is data: it is never executed as code. Errors are one line with the rule, the column and what to do.
"""

from __future__ import annotations

import difflib
import math
from functools import lru_cache

from trading.domain.errors import SpecError
from trading.domain.market import INTERVAL_MS
from trading.strategy.indicator_catalogue import COLUMNS, INDICATORS, complete_arguments
from trading.strategy.rule_checks import never_sensible
from trading.strategy.rule_intervals import unknown_interval
from trading.strategy.rule_lexer import END, Kind, Token, refusal, tokens_of
from trading.strategy.rule_tree import (
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
    max_lookback_bars,
    reads_column,
    render,
    walk,
)

__all__ = [
    "COLUMNS",
    "INDICATORS",
    "Arithmetic",
    "AtInterval",
    "Column",
    "Comparison",
    "Condition",
    "Indicator",
    "Lag",
    "Negation",
    "Number",
    "Operator",
    "Value",
    "max_lookback_bars",
    "parse_rule",
    "reads_column",
    "render",
    "walk",
]

MAX_DEPTH = 16
"""Deepest nesting of parentheses and signs."""
MAX_TERMS = 40
"""Most numbers, columns and indicators in one rule."""
MAX_LAG_BARS = 500


@lru_cache(maxsize=4096)
def parse_rule(text: str) -> Condition:
    """Read one rule.

    Args:
        text: Such as `close crosses_above sma(50)[1] * 1.01`.

    Returns:
        The condition, arguments complete; equal texts give equal trees.

    Raises:
        SpecError: not a rule, not a condition, over a limit, or one that can never change; names column and remedy.
    """
    parser = _Parser(text)
    condition = parser.condition()
    if (why := never_sensible(condition)) is not None:
        raise refusal(text, parser.comparison_column, why)
    return condition


class _Parser:
    """Recursive descent over the tokens of one rule."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens_of(text)
        self._at = 0
        self._depth = 0
        self._terms = 0
        self.comparison_column = 1

    def condition(self) -> Condition:
        if self._next.text == END:
            raise self._refused("empty rule: write a condition such as rsi(14) < 28")
        left = self._sum()
        if (comparison := _comparison(self._next)) is None:
            found = f"{_shown(self._next)}{self._word_advice()}"
            raise self._refused(f"expected a comparison such as <, > or crosses_above, found {found}")
        self.comparison_column = self._take().column
        right = self._sum()
        if _comparison(self._next) is not None:
            raise self._refused("one comparison a condition: write the second one as an entry of its own")
        if self._next.text != END:
            raise self._refused(f"expected the end of the rule, found {_shown(self._next)}{self._word_advice()}")
        return Condition(comparison, left, right)

    def _sum(self) -> Value:
        value = self._product()
        while self._next.text in ("+", "-"):
            operator = Operator(self._take().text)
            value = Arithmetic(operator, value, self._product())
        return value

    def _product(self) -> Value:
        value = self._unary()
        while self._next.text in ("*", "/"):
            sign = self._take()
            right = self._unary()
            if sign.text == "/" and right == Number(0.0):
                raise refusal(self._text, sign.column, "a division by zero never has a value")
            value = Arithmetic(Operator(sign.text), value, right)
        return value

    def _unary(self) -> Value:
        if self._next.text != "-":
            return self._timed()
        sign = self._take()
        self._deeper(sign)
        inner = self._unary()
        self._depth -= 1
        # 0.0 - x, not -x: a constant zero has one spelling only.
        if isinstance(inner, Number):
            return Number(0.0 - inner.value)
        return inner.of if isinstance(inner, Negation) else Negation(inner)

    def _timed(self) -> Value:
        value = self._lagged()
        if self._next.text != "@":
            return value
        sign = self._take()
        interval = self._interval()
        if isinstance(value, Number):
            raise refusal(self._text, sign.column, "a constant is the same at every interval: write it without @")
        if (inner := next((v for v in walk(value) if isinstance(v, AtInterval)), None)) is not None:
            why = f'"@ {interval}" around "@ {inner.interval}": a value has one interval: write it at each part'
            raise refusal(self._text, sign.column, why)
        if self._next.text == "[":
            inside, outside = f"x[1] @ {interval}", f"(x @ {interval})[1]"
            why = f"say which bars are meant: {inside} is one bar of {interval} ago, {outside} one bar of the strategy"
            raise self._refused(why)
        if self._next.text == "@":
            raise self._refused("one interval is enough")
        return AtInterval(value, interval)

    def _interval(self) -> str:
        token = self._take()
        if token.text == END:
            raise refusal(self._text, token.column, "expected an interval such as 4h, found the end")
        text = token.text
        if self._next.kind is Kind.NAME and self._next.column == token.column + len(text):
            text += self._take().text
        if text not in INTERVAL_MS:
            raise refusal(self._text, token.column, unknown_interval(text))
        return text

    def _lagged(self) -> Value:
        value = self._primary()
        if self._next.text != "[":
            return value
        bracket = self._take()
        if isinstance(value, Number):
            raise refusal(self._text, bracket.column, "a constant has no past: write the lag behind a price")
        token = self._take()
        if token.kind is not Kind.NUMBER or not token.text.isdecimal() or len(token.text) > 9:
            raise refusal(self._text, token.column, "a lag is a whole number of bars ago, such as close[1]")
        bars = int(token.text)
        if isinstance(value, Lag):  # (close[1])[2] is close[3]
            bars += value.bars
            value = value.of
        if bars > MAX_LAG_BARS:
            raise refusal(self._text, token.column, f"lag={bars}: must be 0..{MAX_LAG_BARS} bars")
        self._expect("]", "to close the lag")
        if self._next.text == "[":
            raise self._refused("one lag is enough: add the two numbers")
        return Lag(value, bars) if bars else value

    def _primary(self) -> Value:
        token = self._take()
        if token.text == "(":
            self._deeper(token)
            value = self._sum()
            if _comparison(self._next) is not None:
                raise self._refused("a comparison cannot stand in parentheses: write it as an entry of its own")
            self._expect(")", f'to close the "(" at column {token.column}')
            self._depth -= 1
            return value
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise refusal(self._text, token.column, f"more than {MAX_TERMS} terms; split it into several conditions")
        if token.kind is Kind.NUMBER:
            return Number(self._number(token))
        if token.kind is Kind.NAME:
            return self._named(token)
        raise refusal(self._text, token.column, f"expected a price, an indicator or a number, found {_shown(token)}")

    def _named(self, token: Token) -> Value:
        if token.text in COLUMNS:
            if self._next.text == "(":
                raise self._refused(f'"{token.text}" takes no parameters; a value of the past is {token.text}[1]')
            return Column(token.text)
        if token.text not in INDICATORS:
            raise refusal(self._text, token.column, _unknown(token.text))
        if self._next.text != "(":
            if INDICATORS[token.text].parameters:
                hint = f"write {INDICATORS[token.text].signature()}"
                raise refusal(self._text, token.column, f'"{token.text}" needs its parameters: {hint}')
            return Indicator(token.text, ())
        arguments = self._arguments(token)
        try:
            return Indicator(token.text, complete_arguments(token.text, arguments))
        except SpecError as error:
            raise refusal(self._text, token.column, str(error)) from error

    def _arguments(self, name: Token) -> tuple[float, ...]:
        self._take()
        found: list[float] = []
        while self._next.text != ")":
            if found:
                self._expect(",", f'or ")" in {name.text}(...)', shown='")"')
            sign = -1.0 if self._next.text == "-" else 1.0
            if sign < 0:
                self._take()
            token = self._take()
            if token.kind is not Kind.NUMBER:
                why = (
                    f"expected a number in {name.text}(...), found {_shown(token)}: indicators read the bars themselves"
                )
                raise refusal(self._text, token.column, why)
            found.append(sign * self._number(token))
        self._take()
        return tuple(found)

    def _number(self, token: Token) -> float:
        value = float(token.text)
        if not math.isfinite(value):
            raise refusal(self._text, token.column, f"{token.text}: too large a number")
        if self._next.kind is Kind.NAME and self._next.column == token.column + len(token.text):
            raise self._refused(f'"{token.text}{self._next.text}": a number carries no unit')
        return value

    def _deeper(self, token: Token) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise refusal(self._text, token.column, f"nested deeper than {MAX_DEPTH} levels; write it simpler")

    def _expect(self, sign: str, why: str, *, shown: str = "") -> None:
        if self._next.text != sign or self._next.kind is not Kind.SIGN:
            expected = shown or f'"{sign}"'
            ending = "" if shown else f" {why}"
            raise self._refused(f"expected {expected}{ending}, found {_shown(self._next)}")
        self._take()

    def _word_advice(self) -> str:
        words = {
            "and": ": conditions of a list all hold at once, write the second one as an entry of its own",
            "or": ': there is no "or", make it a strategy of its own',
        }
        return words.get(self._next.text.lower(), "")

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        if token.text != END:
            self._at += 1
        return token

    def _refused(self, why: str) -> SpecError:
        return refusal(self._text, self._next.column, why)


def _comparison(token: Token) -> Comparison | None:
    return Comparison(token.text) if token.text in _COMPARISONS else None


_COMPARISONS = frozenset(Comparison)


def _shown(token: Token) -> str:
    return token.text if token.text == END else f'"{token.text}"'


def _unknown(name: str) -> str:
    if name.lower() in ("and", "or", "not", "true", "false"):
        return f'"{name}" is not part of the language: a rule is one comparison'
    known = [*COLUMNS, *INDICATORS, "crosses_above", "crosses_below"]
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f'unknown name "{name}"' + (f': did you mean "{near[0]}"?' if near else "; see docs/rule-language.md")
