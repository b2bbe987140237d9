"""A rule's text cut into tokens, each with its column; the first character nobody knows is refused with advice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from trading.domain.errors import SpecError

END = "the end"
"""Text of the last token; no other token has a space in it."""
MAX_LENGTH = 2000
"""Longest text of one rule, characters."""


class Kind(Enum):
    """What a token is."""

    NUMBER = auto()
    NAME = auto()
    SIGN = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text."""

    kind: Kind
    text: str
    column: int
    """1 is the first character."""


def tokens_of(text: str) -> list[Token]:
    """Cut a rule into tokens; the last one is of kind END.

    Raises:
        SpecError: too long, or a character that is not of the language; names column and character.
    """
    if len(text) > MAX_LENGTH:
        raise refusal(text, MAX_LENGTH + 1, f"longer than {MAX_LENGTH} characters; split it into several conditions")
    found: list[Token] = []
    position = 0
    while (position := _skip_spaces(text, position)) < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise refusal(text, position + 1, _advice(text, position))
        found.append(Token(_KINDS[match.lastgroup], match.group(), position + 1))
        position = match.end()
    return [*found, Token(Kind.END, END, len(text) + 1)]


def refusal(rule: str, column: int, why: str) -> SpecError:
    """The error every refused rule gets: one line with the rule, the column and what to do."""
    shown = rule if len(rule) <= _SHOWN else rule[: _SHOWN - 1] + "…"
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
    return SpecError(f'rule "{safe}": column {column}: {why}')


_SHOWN = 80
_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign><=|>=|<(?![>=])|>(?!=)|[-+*/(),\[\]@])"
)
_KINDS = {"number": Kind.NUMBER, "name": Kind.NAME, "sign": Kind.SIGN}
_ADVICE = {
    "==": "two prices are almost never equal: compare with <, <=, > or >=",
    "!=": "two prices are almost never equal: compare with <, <=, > or >=",
    "<>": "two prices are almost never equal: compare with <, <=, > or >=",
    "&": "conditions of a list all hold at once: write the second one as an entry of its own",
    "|": 'there is no "or": make it a strategy of its own',
    "=": "compare with <, <=, > or >=",
    "!": 'there is no "not": turn the comparison around',
    "≤": "write <=",
    "≥": "write >=",
    "×": "write *",
    "÷": "write /",
    "−": "write - (minus)",
    "^": "there are no powers: multiply",
    "%": "there is no percent sign: roc(12) and rsi(14) are in percent already, fractions are written 0.02",
    "{": "use ( and )",
    "}": "use ( and )",
    '"': "a rule has no quotation marks of its own",
    "'": "a rule has no quotation marks of its own",
    "#": "a rule has no comments: say it in the strategy's name or thesis",
    ";": "one condition an entry: write the second one as an entry of its own",
}


def _skip_spaces(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t":
        position += 1
    return position


def _advice(text: str, position: int) -> str:
    for length in (2, 1):
        piece = text[position : position + length]
        if piece in _ADVICE:
            return f'"{piece}": {_ADVICE[piece]}'
    return f"{text[position]!r} is not part of the language; see docs/rule-language.md"
