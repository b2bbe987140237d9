"""The market as the lab sees it: quality over time, what the validator refused, what lies on the shelf, the senses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import isfinite

import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter

from ops.dashboard.cycles import Cycle, last_cycle
from ops.dashboard.equity import PLACES, thinned
from ops.dashboard.events import Happened, Sought, read_events
from ops.dashboard.reading import NUMBERS, as_told, read_as
from ops.dashboard.view import Banner, Cell, Chart, Column, Facts, Line, Table, Tone, View, ago, number, when
from ops.figures import size
from ops.numbers import MarketData
from ops.object_file import read_object
from ops.status import ALIVE_S
from trading.domain.clock import LAST_MS, iso, parse_iso
from trading.domain.market import INTERVAL_MS
from trading.storage.home import Home
from trading.storage.long_files import backwards, sample, size_of

DATA_EVENTS = 15
LOG_BYTES = 4 << 20
"""Of the log that is looked through for them."""
SENSES_LOOKED = 400
"""Newest lines of the senses' record that are looked through for the last word of each."""
GOOD_QUALITY, POOR_QUALITY = 80.0, 50.0


_DIGITS = re.compile(r"\d+")


class _Month(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    bars: int
    start_ms: int
    end_ms: int
    origin: str


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    months: dict[str, _Month] = {}


_MANIFEST = TypeAdapter(_Manifest)


@dataclass(frozen=True, slots=True)
class Shelf:
    """One series on the lab's shelf."""

    market: str
    symbol: str
    interval: str
    bars: int
    due: int | None
    """Candles between its first and its last; None: the length of one is not known."""
    start_ms: int
    end_ms: int
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sense:
    """The last word of one sense."""

    name: str
    known: str
    words: str


@dataclass(frozen=True, slots=True)
class Data:
    """What the files say of the market's data."""

    last: Cycle | None
    markets: tuple[MarketData, ...]
    """Of the last heartbeat, by symbol."""
    times_ms: tuple[int, ...]
    quality: tuple[float, ...]
    is_all: bool
    events: tuple[Happened, ...]
    events_are_all: bool
    """The log has no older ones; False: not looked for further back."""
    shelf: tuple[Shelf, ...]
    senses: tuple[Sense, ...]
    recorded_bytes: int
    """Of the raw record."""
    problems: tuple[str, ...]


def read_data(home: Home, *, secrets: tuple[str, ...] = ()) -> Data:
    """Read it; what cannot be read is among the problems."""
    problems = list[str]()
    told = read_events(home, Sought(kind="data"), secrets=secrets, limit=DATA_EVENTS, most_bytes=LOG_BYTES)
    found = sample(home.audit_file, 0, size_of(home.audit_file), places=PLACES)
    looked = thinned(found)
    marks = [mark for line in looked if (mark := _quality(line.raw)) is not None]
    return Data(
        last=last_cycle(home.audit_file),
        markets=_markets(home, problems),
        times_ms=tuple(at_ms for at_ms, _ in marks),
        quality=tuple(quality for _, quality in marks),
        is_all=found.is_all and len(looked) == len(found.lines),
        events=told.events,
        events_are_all=not told.older,
        shelf=tuple(_shelf(home, problems)),
        senses=tuple(_senses(home)),
        recorded_bytes=sum(size_of(path) for path in home.recordings.glob("*")),
        problems=tuple(problems),
    )


def _markets(home: Home, problems: list[str]) -> tuple[MarketData, ...]:
    beat = as_told(read_object(home.heartbeat_file, problems), NUMBERS, str(home.heartbeat_file), problems)
    return () if beat is None else beat.markets


def _quality(raw: bytes) -> tuple[int, float] | None:
    try:
        told = orjson.loads(raw)
        at_ms, quality = int(told["at_ms"]), float(told["data_quality"])
    except (ValueError, OverflowError, KeyError, TypeError):
        return None
    return (at_ms, quality) if 0 <= at_ms <= LAST_MS and isfinite(quality) else None


def _shelf(home: Home, problems: list[str]) -> Iterator[Shelf]:
    for path in sorted(home.tapes.glob("*/*/*/manifest.json")):
        market, symbol, interval = path.parts[-4:-1]
        read = read_as(path, _MANIFEST, problems)
        if read is None or not read.months:
            continue
        months = read.months.values()
        start_ms, end_ms = min(month.start_ms for month in months), max(month.end_ms for month in months)
        step_ms = INTERVAL_MS.get(interval)
        due = None if step_ms is None else (end_ms - start_ms) // step_ms
        origins = tuple(sorted({month.origin for month in months}))
        bars = sum(month.bars for month in months)
        yield Shelf(market, symbol, interval, bars, due, start_ms, end_ms, origins)


def _senses(home: Home) -> Iterator[Sense]:
    seen = set[tuple[str, str]]()
    for line in islice(backwards(home.state / "senses.jsonl"), SENSES_LOOKED):
        try:
            told = orjson.loads(line.raw)
            sense, name = str(told["sense"]), str(told.get("name", ""))
            key = sense, _DIGITS.sub("#", name)  # some names have a count in them that changes with every word
            if key not in seen:
                seen.add(key)
                yield Sense(": ".join(filter(None, (sense, name))), str(told["known"]), _words(told))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue


def _words(told: dict[str, object]) -> str:
    if "title" in told:
        return str(told["title"])
    value = told.get("value", told.get("mean"))
    value = number(value) if isinstance(value, int | float) else value
    beside = told.get("unit") or told.get("words") or (f"n = {told['n']}" if "n" in told else "")
    return f"{'not told' if value is None else value} {beside}".strip()


def data(read: Data, *, age_s: float | None = None) -> View:
    """The screen; `age_s`: how old the last cycle is, real seconds; None: not known."""
    banners = [Banner(f"Cannot be read: {problem}", Tone.BAD) for problem in read.problems]
    last = read.last
    now = Cell("no cycle yet", Tone.QUIET) if last is None else _quality_cell(last.data_quality, age_s)
    rows = [("Quality now", now)]
    if last is not None:
        rows.append(("As of", Cell(f"{when(last.at_ms)} UTC")))
        rows.append(("Regime", Cell(last.regime or "nobody has looked")))
    rows.append(("Raw record of the stream", Cell(size(read.recorded_bytes))))
    note = "every cycle" if read.is_all else f"{len(read.times_ms)} cycles, evenly"
    quality = Chart("Data quality, 0 to 100", "of 100", read.times_ms, (Line("quality", read.quality),), note=note)
    lower = (_senses_table(read), quality, _events(read), _shelf_table(read))
    return View(
        "data",
        "Market data",
        (Facts("Now", tuple(rows)), _markets_table(read, age_s), *lower),
        tuple(banners),
    )


def _markets_table(read: Data, age_s: float | None) -> Table:
    """The worst first."""
    columns = (
        Column("Symbol", is_whole=True),
        Column("Quality", is_number=True),
        Column("Newest candle", is_number=True),
    )
    rows = tuple(
        (
            Cell(one.symbol),
            _market_cell(one.quality, age_s),
            _closed_cell(one.age_s, age_s, read.last),
        )
        for one in sorted(read.markets, key=lambda one: (one.quality, one.symbol))
    )
    note = "As of the last heartbeat; of the newest candle, when it closed. Each symbol is judged by itself."
    return Table("Markets, the worst first", columns, rows, empty="no cycle yet", note=note)


def _quality_cell(quality: float, age_s: float | None) -> Cell:
    if age_s is not None and age_s > ALIVE_S:
        return Cell(f"not known: {quality:.0f} of 100 when last looked at, {ago(age_s)} ago", Tone.BAD, signed=True)
    tone = Tone.GOOD if quality >= GOOD_QUALITY else Tone.CAUTION if quality >= POOR_QUALITY else Tone.BAD
    return Cell(f"{quality:.0f} of 100", tone, signed=True)


def _market_cell(quality: float, age_s: float | None) -> Cell:
    told = _quality_cell(quality, age_s)
    return told if age_s is None or age_s <= ALIVE_S else replace(told, text=f"was {quality:.0f} of 100")


def _closed_cell(candle_s: float | None, age_s: float | None, last: Cycle | None) -> Cell:
    """When the newest candle closed: so long ago, or, where nobody has looked lately, at what time."""
    if candle_s is None:
        return Cell("never")
    if age_s is not None and age_s > ALIVE_S and last is not None:
        return Cell(when(last.at_ms - candle_s * 1000))
    return Cell(f"{ago(candle_s)} ago")


def _events(read: Data) -> Table:
    columns = (Column("Time, UTC", is_whole=True), Column("Event", is_whole=True), Column("Facts"))
    rows = tuple(
        (Cell(e.at.replace("T", " ").rstrip("Z")), Cell(e.name, e.tone, signed=True), Cell(e.facts))
        for e in read.events
    )
    empty = "nothing in the log" if read.events_are_all else f"nothing in the last {LOG_BYTES / 1e6:.0f} MB of the log"
    return Table(
        "What was wrong with the data, newest first",
        columns,
        rows,
        empty=empty,
        note="" if read.events_are_all else "Events has older ones.",
    )


def _shelf_table(read: Data) -> Table:
    columns = (
        Column("Series", is_whole=True),
        Column("From", is_whole=True),
        Column("To", is_whole=True),
        Column("Candles", is_number=True),
        Column("Missing", is_number=True),
        Column("Origin"),
    )
    rows = []
    for shelf in read.shelf:
        missing = None if shelf.due is None else shelf.due - shelf.bars
        told = (
            Cell("–") if missing is None else Cell(f"{missing:,}", Tone.CAUTION if missing else Tone.PLAIN, signed=True)
        )
        span = (Cell(iso(shelf.start_ms)[:10]), Cell(iso(shelf.end_ms)[:10]))
        name = Cell(f"{shelf.market} {shelf.symbol} {shelf.interval}")
        rows.append((name, *span, Cell(f"{shelf.bars:,}"), told, Cell(", ".join(shelf.origins))))
    note = "./lab history show says why candles are missing."
    return Table("On the shelf", columns, tuple(rows), empty="no history fetched yet: ./lab history fetch", note=note)


def _senses_table(read: Data) -> Table:
    columns = (Column("Sense"), Column("Last word"), Column("Known, UTC", is_whole=True))
    rows = tuple((Cell(s.name), Cell(s.words), Cell(_minute(s.known))) for s in read.senses)
    return Table("What the senses said last", columns, rows, empty="nothing yet")


def _minute(known: str) -> str:
    try:
        return when(parse_iso(known))
    except ValueError:
        return known
