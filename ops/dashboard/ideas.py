"""The funnel of ideas, from tried to live, and the graveyard with the reason on every stone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ai_brain.evidence.memory_glance import Glance, glance
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
    when,
)
from ops.object_file import living_files, read_object, retired_count
from trading.domain.errors import StateFileError
from trading.storage.home import Home
from trading.strategy.lifecycle import ALIVE

SHOWN = 100


@dataclass(frozen=True, slots=True)
class Ideas:
    """What the memory says, and where ideas have come to."""

    memory: Glance | None
    """None: nothing was tried yet, it cannot be read, or it lies elsewhere."""
    stages: Mapping[str, int]
    reason: str
    text: str
    """What the graveyard was narrowed by; empty: nothing."""
    elsewhere: bool
    """The memory is a PostgreSQL database, which this does not ask: it would need a network."""
    problems: tuple[str, ...]


def read_ideas(home: Home, *, elsewhere: bool = False, reason: str = "", text: str = "") -> Ideas:
    """Read it; what cannot be read is among the problems."""
    problems, memory = list[str](), None
    try:
        memory = None if elsewhere else glance(home.learning_db, reason=reason, text=text, limit=SHOWN)
    except StateFileError as error:
        problems.append(str(error))
    files = (read_object(path, problems) for path in living_files(home))
    stages = Counter(str(file.get("stage", "?")) for file in files if file) + Counter(retired=retired_count(home))
    return Ideas(memory, stages, reason, text, elsewhere, tuple(problems))


def ideas(read: Ideas) -> View:
    """The screen."""
    banners = [Banner(f"Cannot be read: {problem}", Tone.BAD) for problem in read.problems]
    if read.elsewhere:
        words = (
            "The memory is in the database that LEARNING_DB_URL names; the page asks no network and does not show it"
        )
        banners.append(Banner(words, Tone.CAUTION))
    blocks: list[Block] = [_funnel(read)]
    if read.memory is not None:
        blocks += [_refused(read.memory), _families(read.memory), _filter(read, read.memory), _graveyard(read.memory)]
    return View("ideas", "Ideas", tuple(blocks), tuple(banners))


def _funnel(read: Ideas) -> Meters:
    found, stages = read.memory, read.stages
    steps = (
        []
        if found is None
        else [
            ("Ideas tried on data", found.ideas),
            ("Reached the confirming look", found.candidates),
            ("Confirmed", found.confirmed),
        ]
    )
    steps += [
        ("On paper or beyond, now", sum(stages.get(stage, 0) for stage in ALIVE)),
        ("Waiting for you, in review", stages.get("review", 0)),
        ("Live", stages.get("live_testing", 0) + stages.get("scaling", 0)),
        ("Retired", stages.get("retired", 0)),
    ]
    most = max([*(count for _, count in steps), 1])
    meters = tuple(Meter(name, count / most, f"{count:,}") for name, count in steps)
    note = (
        ""
        if found is None
        else f"{found.looks:,} looks at performances in all, {found.vaults_opened:,} openings of the vault."
    )
    is_empty = found is None and not stages
    return Meters("From idea to live", () if is_empty else meters, empty="no idea has been tried yet", note=note)


def _refused(found: Glance) -> Meters:
    most = max([*(count for _, count in found.refused_by_reason), 1])
    meters = tuple(Meter(reason, count / most, f"{count:,}×") for reason, count in found.refused_by_reason)
    note = "What lies in the graveyard. Messages count the model's answers too that became no strategy."
    return Meters("Refused, by reason", meters, empty="nothing refused yet", note=note)


def _families(found: Glance) -> Facts:
    rows = tuple((family.replace("_", " "), Cell(f"{count:,}")) for family, count in found.ideas_by_family)
    note = "Each idea counts once, however often it was looked at; the more were tried, the more a find must show."
    return Facts("Ideas tried, by kind", rows or (("None", Cell("nothing was tried yet", Tone.QUIET)),), note=note)


def _filter(read: Ideas, found: Glance) -> Filter:
    reasons = tuple(sorted(reason for reason, _ in found.refused_by_reason))
    chosen = (Choice("reason", "Reason", read.reason, reasons), Choice("text", "Id, name or words", read.text))
    return Filter("Graveyard, only", chosen)


def _graveyard(found: Glance) -> Table:
    columns = (
        Column("Name"),
        Column("Reason", is_whole=True),
        Column("In words"),
        Column("Id", is_whole=True),
        Column("When, UTC", is_number=True),
    )
    rows = tuple(
        (
            Cell(r.name or "without a name"),
            Cell(r.reason),
            Cell(r.detail),
            Cell(r.spec_id, link=f"/strategies/{r.spec_id}"),
            Cell(when(r.at_ms)),
        )
        for r in found.refusals
    )
    note = f"The newest {SHOWN}; the filter finds older ones." if len(rows) == SHOWN else ""
    return Table("Graveyard, newest first", columns, rows, empty="nobody lies here", note=note)
