"""What a page is made of, and the page as Markdown; another form of the same parts is `page_html.py`.

Words come from anywhere, the thesis from a language model: whoever writes a form must keep them words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Tone(StrEnum):
    """How something is said."""

    PLAIN = "plain"
    STRONG = "strong"
    GOOD = "good"
    CAUTION = "caution"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Said:
    """A few words in one tone."""

    text: str
    tone: Tone = Tone.PLAIN


Words = tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class Title:
    """Of the whole page."""

    text: str


@dataclass(frozen=True, slots=True)
class Heading:
    """Of what follows."""

    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Sentences."""

    words: Words


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list, an item a line."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head, all of the same length."""

    head: tuple[str, ...]
    rows: tuple[tuple[Said, ...], ...]


Part = Title | Heading | Paragraph | Bullets | Table


def paragraph(*words: str | Said) -> Paragraph:
    """Sentences, plain where no tone is given."""
    return Paragraph(tuple(word if isinstance(word, Said) else Said(word) for word in words))


def bullets(*items: str) -> Bullets:
    """A list."""
    return Bullets(items)


def table(head: Sequence[str], rows: Sequence[Sequence[str | Said]]) -> Table:
    """Rows under a head, plain where no tone is given."""
    return Table(tuple(head), tuple(tuple(c if isinstance(c, Said) else Said(c) for c in row) for row in rows))


def markdown(parts: Sequence[Part]) -> str:
    """The page, Markdown, parts apart by an empty line."""
    return "\n\n".join(_markdown(part) for part in parts) + "\n"


def words_markdown(words: Words) -> str:
    """One line of Markdown: strong and bad words are bold."""
    return " ".join(_said(said) for said in words)


def _markdown(part: Part) -> str:
    match part:
        case Title(text):
            return f"# {_one_line(text)}"
        case Heading(text):
            return f"## {_one_line(text)}"
        case Paragraph(words):
            return words_markdown(words)
        case Bullets(items):
            return "\n".join(f"- {_one_line(item)}" for item in items)
        case Table(head, rows):
            lines = [_row(head), "|" + "---|" * len(head), *(_row([_cell(said) for said in row]) for row in rows)]
            return "\n".join(lines)


def _said(said: Said) -> str:
    text = _one_line(said.text)
    return f"**{text}**" if said.tone in (Tone.STRONG, Tone.BAD) else text


def _row(cells: Sequence[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def _cell(said: Said) -> str:
    return _said(said).replace("|", "\\|")


def _one_line(text: str) -> str:
    """A line break inside would begin another part: a heading, a row, a verdict of the writer's own."""
    return " ".join(text.split())
