"""A strategy's market as the lab was told it live, which is what paper stepped on.

A night compares on the shelf's candles with those of the recorded day in place. What an exchange told otherwise than
the shelf has it is remembered in `state/told_otherwise.json`: the recording does not last as long as an account.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ai_brain.paper.market_view import PaperTapes, paper_tapes
from trading.domain.clock import iso
from trading.domain.errors import StateFileError
from trading.domain.market import Bar
from trading.exchange.recorded_bars import RecordedBars
from trading.market.as_told import COLUMNS, AsTold, as_told
from trading.market.tape import Tape
from trading.storage.files import read_json, set_aside, write_json
from trading.storage.home import Home
from trading.strategy.spec import StrategySpec

TOLD_SCHEMA = 1
Cells = tuple[float, float, float, float, float]
"""Open, high, low, close and base volume."""


@dataclass(frozen=True, slots=True)
class Told:
    """The bars one strategy needs as they were told, and how each of its markets' day was."""

    tapes: PaperTapes
    day: tuple[AsTold, ...]
    otherwise_told: Mapping[str, Mapping[int, Cells]]
    """What the day told otherwise than the shelf has it: by market, and open time."""

    @property
    def told(self) -> int:
        """Candles of the day that were told live, of all markets."""
        return sum(one.told for one in self.day)

    @property
    def untold(self) -> int:
        """Candles of the day that the shelf alone has."""
        return sum(len(one.untold) for one in self.day)

    @property
    def otherwise(self) -> int:
        """Candles of the day that were told otherwise than the shelf has them, or that it lacks."""
        return sum(len(one.revised) + len(one.added) for one in self.day)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    candles: dict[str, dict[int, Cells]] = {}
    """By `market symbol interval` and open time."""


def tapes_as_told(home: Home, spec: StrategySpec, shelf: Sequence[Tape], recorded: RecordedBars) -> Told:
    """Put what was told live in place of the shelf's candles.

    Args:
        home: Remembers what was told otherwise.
        spec: The strategy.
        shelf: Tapes of `markets_of(spec)`.
        recorded: The candles of one day.

    Raises:
        StateFileError: what is remembered is broken, and has been set aside.
        DataProviderError: what was told makes no tape.
    """
    remembered, found, day = _read(_file(home)), list[Tape](), list[AsTold]()
    news: dict[str, dict[int, Cells]] = {}
    for tape in shelf:
        name = f"{tape.market} {tape.symbol} {tape.interval}"
        known = {ms: _bar(tape, ms, cells) for ms, cells in remembered.get(name, {}).items()}
        tape_then = as_told(tape, known, start_ms=tape.start_ms, end_ms=tape.end_ms).tape
        bars = recorded.of(tape.market, tape.symbol, tape.interval)
        of_shelf = as_told(tape, bars, start_ms=recorded.start_ms, end_ms=recorded.end_ms)
        for ms in (*of_shelf.revised, *of_shelf.added):
            news.setdefault(name, {})[ms] = _cells(bars[ms])
        day.append(of_shelf)
        found.append(as_told(tape_then, bars, start_ms=recorded.start_ms, end_ms=recorded.end_ms).tape)
    return Told(paper_tapes(spec, found), tuple(day), news)


def remember(home: Home, told: Told) -> None:
    """Keep what a day told otherwise, for the nights after its recording is gone.

    Raises:
        StateFileError: what is remembered is broken, and has been set aside; or cannot be written.
    """
    if not told.otherwise_told:
        return
    kept = _read(_file(home))
    for name, candles in told.otherwise_told.items():
        kept[name] = {**kept.get(name, {}), **candles}
    write_json(_file(home), _File(candles=kept).model_dump(mode="json"), schema=TOLD_SCHEMA)


def _file(home: Home) -> Path:
    return home.state / "told_otherwise.json"


def _read(path: Path) -> dict[str, dict[int, Cells]]:
    raw = read_json(path, schema=TOLD_SCHEMA)
    if raw is None:
        return {}
    try:
        return _File.model_validate(raw).candles
    except ValidationError as error:
        aside = set_aside(path)
        first = error.errors(include_url=False)[0]
        raise StateFileError(
            f"{path}: {first['msg']}; set aside as {aside.name}, what was told otherwise is forgotten"
        ) from error


def _cells(bar: Bar) -> Cells:
    return bar.open, bar.high, bar.low, bar.close, bar.volume_base


def _bar(tape: Tape, open_ms: int, cells: Cells) -> Bar:
    named = dict(zip(COLUMNS, cells, strict=True))
    return Bar(tape.market, tape.symbol, tape.interval, open_ms, **named, is_closed=True, received_ms=open_ms)


def day_words(told: Told) -> list[str]:
    """How each market's day was told, a line each."""
    lines = []
    for one in told.day:
        name = f"{one.tape.market} {one.tape.symbol} {one.tape.interval}"
        line = f"{name}: {one.told} candles told live, {len(one.untold)} on the shelf only"
        if one.revised:
            line += f", {len(one.revised)} told otherwise than the shelf has them, the first {iso(one.revised[0])}"
        if one.added:
            line += f", {len(one.added)} that the shelf lacks, the first {iso(one.added[0])}"
        lines.append(line)
    return lines
