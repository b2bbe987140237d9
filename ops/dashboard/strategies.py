"""Strategies through their stages, each with its evidence; and their files as the page reads them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from ai_brain.evidence.gate_reasons import FOR_GOOD, NOT_THE_IDEAS_FAULT
from ops.dashboard.reading import NUMBERS, as_told, read_as
from ops.dashboard.view import (
    Banner,
    Block,
    Cell,
    Choice,
    Column,
    Facts,
    Filter,
    Meter,
    Meters,
    Table,
    Tone,
    View,
    percent,
)
from ops.object_file import living_files, read_object
from ops.reports import ENOUGH
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage

ORDER = tuple(map(str, Stage))
SHOWN = 100
"""Of those that live, of those that wait, and of those that are retired."""
VERDICTS = {"APPROVED": Tone.GOOD, "CAUTION": Tone.CAUTION, "REJECTED": Tone.BAD}
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")
"""Of a strategy; anything else names no file of ours."""


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Move(_Read):
    """One move of a strategy's life."""

    before: Annotated[str, Field(alias="from")] = "–"
    to: str = "?"
    at: str = ""
    by: str = "–"
    why: str = ""


class Origin(_Read):
    """Who thought of it."""

    author: str = "?"
    model: str | None = None
    thesis: str = ""
    refutation: str | None = None


class StrategyFile(_Read):
    """What of a strategy's file is told."""

    id: str
    name: str = "?"
    type: str = "?"
    market: dict[str, JsonValue] = {}
    parameters: dict[str, JsonValue] = {}
    performance: dict[str, dict[str, JsonValue]] = {}
    stage: str = "?"
    created_at: str = ""
    approved_at: str | None = None
    origin: Origin = Origin()
    history: tuple[Move, ...] = ()


class FoundAnswer(_Read):
    """One question of the gate, answered."""

    reason: str
    passed: bool
    refuses: bool
    value: float | None = None
    limit: float | None = None
    note: str = ""


class Judged(_Read):
    """What of an evidence file is told."""

    verdict: str
    deciding: str | None = None
    findings: tuple[FoundAnswer, ...] = ()


FILE, _JUDGED = TypeAdapter(StrategyFile), TypeAdapter(Judged)


@dataclass(frozen=True, slots=True)
class Strategies:
    """All of them."""

    living: tuple[StrategyFile, ...]
    gone: tuple[StrategyFile, ...]
    """Retired, the last first, as many as are shown."""
    retired: int
    """How many are; of what was narrowed as many as are shown."""
    verdicts: dict[str, Judged]
    """By id, of those shown that were judged."""
    lives: tuple[str, ...]
    """Each life against its promise, in words, as the last cycle found it."""
    text: str
    """What they were narrowed by; empty: nothing."""
    problems: tuple[str, ...]


def read_strategies(home: Home, text: str = "") -> Strategies:
    """Read it; what cannot be read is among the problems. Of the retired, thousands in months, what is shown."""
    problems = list[str]()
    alive = tuple(_fitting(living_files(home), text, problems))
    newest = sorted((home.strategies / "retired").glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    gone = tuple(islice(_fitting(newest, text, problems), SHOWN))
    judged = ((file.id, judged_of(home, file.id, problems)) for file in (*alive, *gone))
    verdicts = {name: found for name, found in judged if found is not None}
    beat = as_told(read_object(home.heartbeat_file, problems), NUMBERS, str(home.heartbeat_file), problems)
    count = len(gone) if text else len(newest)
    return Strategies(alive, gone, count, verdicts, beat.living if beat else (), text, tuple(problems))


def _fitting(paths: Iterable[Path], text: str, problems: list[str]) -> Iterator[StrategyFile]:
    files = (read for path in paths if (read := read_as(path, FILE, problems)) is not None)
    return (file for file in files if text.lower() in f"{file.id} {file.name} {file.type} {file.stage}".lower())


def judged_of(home: Home, strategy_id: str, problems: list[str]) -> Judged | None:
    """What the gate said of one; None: it was never judged, or a line was added to the problems."""
    return read_as(home.state / "evidence" / f"{strategy_id}.json", _JUDGED, problems)


def strategies(read: Strategies) -> View:
    """The list."""
    waiting = [file for file in read.living if file.stage == "generated" and is_not_judged(read.verdicts.get(file.id))]
    apart = {file.id for file in waiting}
    alive = [file for file in read.living if file.id not in apart]
    blocks: list[Block] = [
        _stages(read),
        _lives(read.lives),
        Filter("Only", (Choice("text", "Id, name, type or stage", read.text),)),
        _alive_table(alive, read.verdicts),
        _waiting_table(waiting, read.verdicts),
        _gone_table(read),
    ]
    banners = tuple(Banner(f"Cannot be read: {problem}", Tone.BAD) for problem in read.problems)
    return View("strategies", "Strategies", tuple(blocks), banners)


def _stages(read: Strategies) -> Meters:
    stages = Counter({Stage.RETIRED.value: read.retired}) + Counter(file.stage for file in read.living)
    named = (*ORDER, *sorted(set(stages) - set(ORDER)))
    meters = tuple(
        Meter(stage.replace("_", " "), stages[stage] / stages.total(), f"{stages[stage]:,}")
        for stage in named
        if stages
    )
    return Meters("By stage, from idea to live", meters, empty="none yet")


def _lives(living: Iterable[str]) -> Facts:
    rows = tuple((line.partition(":")[0], Cell(line.partition(":")[2].strip())) for line in living)
    return Facts("Held to what their evidence promised", rows or (("Nobody", Cell("no life to test yet", Tone.QUIET)),))


def _alive_table(files: list[StrategyFile], verdicts: dict[str, Judged]) -> Table:
    columns = (
        Column("Strategy", is_whole=True),
        Column("Name"),
        Column("Stage", is_whole=True),
        Column("On paper, n", is_number=True),
        Column("Net", is_number=True),
        Column("95 % of each result", is_number=True),
        Column("Evidence", is_whole=True),
        Column("Approved", is_whole=True),
    )
    rows = []
    for file in sorted(files, key=lambda file: (_place(file.stage), file.id))[:SHOWN]:
        n, net, interval = on_paper(file)
        cells = (Cell(n), Cell(net), Cell(interval), verdict_cell(file.id, verdicts.get(file.id)))
        approved = Cell((file.approved_at or "no")[:10])
        rows.append((_id(file), Cell(file.name), Cell(file.stage.replace("_", " ")), *cells, approved))
    note = f"Under n = {ENOUGH} no rate is told. {_left_out('first', len(files))}".rstrip()
    return Table("Alive", columns, tuple(rows), empty="none", note=note)


def _left_out(which: str, count: int) -> str:
    return f"The {which} {SHOWN} of {count}; the filter finds the others." if count > SHOWN else ""


def _place(stage: str) -> int:
    return -ORDER.index(stage) if stage in ORDER else 1


def _id(file: StrategyFile) -> Cell:
    return Cell(file.id, link=f"/strategies/{file.id}")


def on_paper(file: StrategyFile) -> tuple[str, str, str]:
    """n, net return and the interval of one result; of too few no rate is told."""
    told = file.performance.get("dry_run", {})
    n, net, low, high = (told.get(name) for name in ("results", "net_return", "mean_low", "mean_high"))
    if not isinstance(n, int):
        return "–", "–", "–"
    numbers = [float(value) for value in (net, low, high) if isinstance(value, int | float)]
    if n < ENOUGH or len(numbers) < len(("net", "low", "high")):
        return str(n), "not enough data", "–"
    interval = f"{percent(numbers[1], digits=4, signed=True)} to {percent(numbers[2], digits=4, signed=True)}"
    return str(n), percent(numbers[0], digits=3, signed=True), interval


def verdict_cell(strategy_id: str, judged: Judged | None) -> Cell:
    """What the gate said, leading to its page."""
    if judged is None:
        return Cell("not judged", Tone.QUIET)
    if is_not_judged(judged):
        return Cell(f"not judged: {judged.deciding}", Tone.QUIET, link=f"/evidence/{strategy_id}", signed=True)
    tone = VERDICTS.get(judged.verdict, Tone.PLAIN)
    return Cell(judged.verdict, tone, link=f"/evidence/{strategy_id}", signed=True)


def is_not_judged(judged: Judged | None) -> bool:
    """Whether the gate could not judge an idea for what is not the idea's fault, and will look again."""
    return judged is not None and judged.deciding in NOT_THE_IDEAS_FAULT - FOR_GOOD


def _waiting_table(files: list[StrategyFile], verdicts: dict[str, Judged]) -> Table:
    columns = (
        Column("Strategy", is_whole=True),
        Column("Name"),
        Column("Market", is_whole=True),
        Column("Evidence"),
        Column("Since", is_whole=True),
    )
    rows = []
    for file in sorted(files, key=lambda file: file.created_at, reverse=True)[:SHOWN]:
        market = Cell(f"{file.market.get('symbol', '?')} {file.market.get('timeframe', '')}".rstrip())
        since = Cell(file.history[-1].at[:10] if file.history else "–")
        rows.append((_id(file), Cell(file.name), market, verdict_cell(file.id, verdicts.get(file.id)), since))
    note = f"Judged again at the next evaluation; most want more bars. {_left_out('newest', len(files))}".rstrip()
    return Table("Waiting, not provable yet", columns, tuple(rows), empty="none", note=note)


def _gone_table(read: Strategies) -> Table:
    columns = (
        Column("Strategy", is_whole=True),
        Column("Name"),
        Column("Evidence", is_whole=True),
        Column("Decided by"),
        Column("Retired because"),
    )
    rows = []
    for file in read.gone:
        judged = read.verdicts.get(file.id)
        why = file.history[-1].why if file.history else ""
        decided = Cell((judged.deciding if judged else None) or "–")
        rows.append((_id(file), Cell(file.name), verdict_cell(file.id, judged), decided, Cell(why)))
    return Table("Retired", columns, tuple(rows), empty="none", note=_left_out("newest", read.retired))
