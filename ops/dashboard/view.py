"""What a view is made of: frozen blocks of words and numbers, written by `html.py` and by `terminal.py`.

Words come from anywhere, a thesis from a language model, a note from an exchange: whoever writes them keeps them words.
A tone is always told by a sign or a word too, so that nothing hangs on hue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from ops.figures import figure
from trading.domain.clock import iso


class Tone(StrEnum):
    """How something is said."""

    PLAIN = "plain"
    GOOD = "good"
    CAUTION = "caution"
    BAD = "bad"
    QUIET = "quiet"
    """Beside the point, or of a kind that does no harm."""
    MONEY = "money"
    """Something was traded, paid or received."""


SIGNS: Mapping[Tone, str] = {
    Tone.PLAIN: "",
    Tone.GOOD: "✔",
    Tone.CAUTION: "▲",
    Tone.BAD: "✖",
    Tone.QUIET: "·",
    Tone.MONEY: "◆",
}
"""Said before what has the tone, wherever a tone stands by itself."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A few words in one tone."""

    text: str
    tone: Tone = Tone.PLAIN
    link: str = ""
    """Where the page leads from here; empty: nowhere."""
    is_command: bool = False
    """To be typed as it stands."""
    signed: bool = False
    """Its sign is shown: the tone is not said by the words."""


@dataclass(frozen=True, slots=True)
class Banner:
    """One sentence across the top."""

    text: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that is looked at first."""

    label: str
    value: str
    beside: str = ""
    """What it is made of, or what it means."""
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Figures:
    """Numbers side by side."""

    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what is known of each, a line each."""

    title: str
    rows: tuple[tuple[str, Cell], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """Head of a column; numbers stand right, aligned."""

    name: str
    is_number: bool = False
    is_whole: bool = False
    """Its cells are never broken over lines."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; the first cell names the row."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: str = "nothing yet"
    """Said where there is no row."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Meter:
    """How much of something is used, or how many of all."""

    name: str
    share: float | None
    """0..1 of the bar; None: not known, and no bar is drawn."""
    told: str
    """Both numbers in words."""
    tone: Tone = Tone.PLAIN
    note: str = ""


@dataclass(frozen=True, slots=True)
class Meters:
    """Bars under one title."""

    title: str
    meters: tuple[Meter, ...]
    empty: str = "nothing yet"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a chart; aligned with the chart's times."""

    name: str
    values: tuple[float | None, ...]
    """None: it did not exist then."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over time."""

    title: str
    unit: str
    times_ms: tuple[int, ...]
    lines: tuple[Line, ...]
    source: str = ""
    """Where the page asks for a part of it in finer steps; empty: this is all there is."""
    note: str = ""
    """What is drawn of what there is."""
    empty: str = "nothing to draw yet"


@dataclass(frozen=True, slots=True)
class Choice:
    """One field of a filter."""

    name: str
    label: str
    value: str
    options: tuple[str, ...] = ()
    """Empty: free words."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What a long list is narrowed by."""

    title: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Leads:
    """Where to go on from here."""

    links: tuple[Cell, ...]


Block = Figures | Facts | Table | Meters | Chart | Filter | Leads


@dataclass(frozen=True, slots=True)
class View:
    """One screen."""

    key: str
    title: str
    blocks: tuple[Block, ...]
    banners: tuple[Banner, ...] = ()


TENS = 10.0
SMALL, LARGE = 1e-3, 1e6
"""Below and above six digits would be told with an exponent."""


def _told(value: float, spec: str) -> str:
    """As messages tell it, with a minus that is a minus."""
    return figure(value, spec).replace("-", "−")


def money(value: float, *, signed: bool = False) -> str:
    """Two decimals, thousands apart."""
    return _told(value, "+,.2f" if signed else ",.2f")


def fine(value: Decimal | float, *, digits: int = 4) -> str:
    """Four decimals and a sign, for what is paid by the cent."""
    return _told(float(value), f"+,.{digits}f")


def percent(fraction: float, *, digits: int = 2, signed: bool = False) -> str:
    """A fraction as percent."""
    sign = "+" if signed else ""
    return f"{_told(fraction * 100, f'{sign}.{digits}f')} %"


def number(value: float) -> str:
    """Six digits that count, and no exponent where it can be helped."""
    if 0 < abs(value) < SMALL:
        return _told(value, ".10f").rstrip("0").rstrip(".")
    return _told(value, ",.0f" if abs(value) >= LARGE else ",.6g")


def in_one_step(values: Sequence[float]) -> tuple[str, ...]:
    """Numbers of one series to the cent; where all are small, to a hundredth of one."""
    spec = ",.2f" if max(map(abs, values)) >= TENS else ",.4f"
    return tuple(_told(value, spec) for value in values)


def by_sign(value: float) -> Tone:
    """Gains and losses; a zero is neither."""
    return Tone.GOOD if value > 0 else Tone.BAD if value < 0 else Tone.PLAIN


def says(allowed: object, *, is_size: bool) -> Cell:
    """What a rule said; of a size that is too large that it is made smaller."""
    if allowed:
        return Cell("allows", Tone.GOOD, signed=True)
    return Cell("trims", Tone.CAUTION, signed=True) if is_size else Cell("refuses", Tone.BAD, signed=True)


def when(at_ms: float) -> str:
    """A moment to the minute, UTC."""
    return iso(at_ms)[:16].replace("T", " ")


def ago(age_s: float) -> str:
    """How old something is, in the largest unit that says it."""
    for size_s, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if age_s >= 2 * size_s:
            return f"{age_s / size_s:.0f} {name}"
    return f"{age_s:.0f} s"
