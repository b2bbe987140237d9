"""What happened, newest first, from the lab's log: each with the word of its kind and the sign of its outcome."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

from ops.dashboard.outcomes import tone_of
from ops.dashboard.view import Banner, Block, Cell, Choice, Column, Filter, Leads, Table, Tone, View
from ops.figures import size
from ops.logs import OLD_FILES, clean
from trading.storage.home import Home
from trading.storage.long_files import backwards

SHOWN = 60
SEARCH_BYTES = 24 << 20
"""Of the log that one search reads; then it says where to go on."""
FACTS_LETTERS = 400
"""Of an event's facts that are shown."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """What an event is about, in one word."""

    word: str
    beginnings: tuple[str, ...]
    """Of event names."""


KINDS = (
    EventKind("problem", ("job.bug", "job.failed", "job.ended_service", "job.parked", "cycle.failed", "state.")),
    EventKind("stop", ("stop.", "risk.halted", "risk.not_flat", "risk.flat", "risk.breaker_opened")),
    EventKind("data", ("data.", "stream.", "tape.")),
    EventKind("money", ("carry.", "order.", "hedge.", "margin.")),
    EventKind("risk", ("risk.", "tuner.")),
    EventKind("paper", ("paper.", "parity.")),
    EventKind("strategy", ("strategy.", "idea.", "ideas.", "llm.", "evaluation.")),
    EventKind("message", ("notify.", "outbox.")),
    EventKind("senses", ("news.", "onchain.", "fear_greed.", "sentiment.", "universe.")),
    EventKind("service", ("lab.", "job.", "live.")),
)
OTHER = EventKind("other", ())
_HEAD = re.compile(rb'at=\S+ level=(\w*) event="?([\w.]*)')
_PAIR = re.compile(r'([A-Za-z_][\w.]*)=("(?:[^"\\]|\\.)*"|\S*)')


@dataclass(frozen=True, slots=True)
class Happened:
    """One line of the log."""

    at: str
    level: str
    name: str
    facts: str

    @property
    def kind(self) -> EventKind:
        """What it is about."""
        return kind_of(self.name, self.level)

    @property
    def tone(self) -> Tone:
        """By what came of it."""
        return tone_of(self.name, self.level, self.facts)


@dataclass(frozen=True, slots=True)
class Sought:
    """What of the log is wanted; empty: anything."""

    kind: str = ""
    text: str = ""
    before: str = ""
    """`INODE:OFFSET` of the line before which to go on; a file keeps its inode when it is rotated."""


@dataclass(frozen=True, slots=True)
class Told:
    """A page of the log, newest first."""

    sought: Sought
    events: tuple[Happened, ...]
    older: str
    """From where on it goes on; empty: the beginning was reached."""
    looked_bytes: int


def read_events(
    home: Home, sought: Sought, *, secrets: tuple[str, ...] = (), limit: int = SHOWN, most_bytes: int = SEARCH_BYTES
) -> Told:
    """The newest lines that fit, over rotated files too; secrets are taken out once more."""
    found, looked = list[Happened](), 0
    for place, raw in _lines(home.log_file, sought.before):
        looked += len(raw) + 1
        if _fits(raw, sought):
            event = parse_event(clean(raw.decode("utf-8", "replace"), secrets))
            if event is not None:
                found.append(event)
        if len(found) >= limit or looked >= most_bytes:
            return Told(sought, tuple(found), place, looked)
    return Told(sought, tuple(found), "", looked)


@cache
def kind_of(name: str, level: str) -> EventKind:
    """What an event is about; what is worse than the ordinary is a problem, whatever it is about."""
    if level in ("error", "critical"):
        return KINDS[0]
    return next((kind for kind in KINDS if name.startswith(kind.beginnings)), OTHER)


def _fits(raw: bytes, sought: Sought) -> bool:
    """Whether a line is wanted, told without taking it apart."""
    if sought.kind:
        head = _HEAD.match(raw)
        if head is None or kind_of(head[2].decode(), head[1].decode()).word != sought.kind:
            return False
    return not sought.text or sought.text.lower() in raw.decode("utf-8", "replace").lower()


def _lines(log_file: Path, before: str) -> Iterator[tuple[str, bytes]]:
    """Every line with its place, newest first, from the log and then from its older files."""
    inode, _, offset = before.partition(":")
    begins = not (inode.isdecimal() and offset.isdecimal())
    for path in (log_file, *(log_file.with_name(f"{log_file.name}.{n}") for n in range(1, OLD_FILES + 1))):
        try:
            here = str(path.stat().st_ino)
        except OSError:
            continue
        start = int(offset) if not begins and here == inode else None
        begins = begins or here == inode
        if begins:
            yield from ((f"{here}:{line.offset}", line.raw) for line in backwards(path, before=start))


def parse_event(line: str) -> Happened | None:
    """A line of the log; None: it is none, such as a part of a traceback."""
    pairs: Mapping[str, str] = dict(_PAIR.findall(line))
    if not line.startswith("at=") or "event" not in pairs:
        return None
    left_out = ("at", "level", "event", "event_ms")
    facts = "  ".join(f"{name.removeprefix('fact_')}={value}" for name, value in pairs.items() if name not in left_out)
    name = pairs["event"].strip('"')
    return Happened(pairs["at"], pairs.get("level", ""), name, facts[:FACTS_LETTERS])


def events(told: Told) -> View:
    """The list."""
    words = tuple(dict.fromkeys(kind.word for kind in (*KINDS, OTHER)))
    sought = told.sought
    chosen = Filter("Only", (Choice("kind", "Kind", sought.kind, words), Choice("text", "Words", sought.text)))
    rows = tuple(
        (
            Cell(event.at.replace("T", " ").rstrip("Z")),
            Cell(event.kind.word),
            Cell(event.name, event.tone, signed=True),
            Cell(event.facts, Tone.PLAIN),
        )
        for event in told.events
    )
    columns = (
        Column("Time, UTC", is_whole=True),
        Column("Kind", is_whole=True),
        Column("Event", is_whole=True),
        Column("Facts"),
    )
    note = f"{size(told.looked_bytes)} of the log looked through"
    blocks: list[Block] = [chosen, Table("Events", columns, rows, empty="nothing like that in the log", note=note)]
    kept = {name: value for name, value in (("kind", sought.kind), ("text", sought.text)) if value}
    links = []
    if told.older:
        links.append(Cell("Older", link=f"/events?{urlencode({**kept, 'before': told.older})}"))
    if sought.before:
        links.append(Cell("Newest", link=f"/events?{urlencode(kept)}" if kept else "/events"))
    if links:
        blocks.append(Leads(tuple(links)))
    short = told.older and len(told.events) < SHOWN
    banners = (Banner("not all of the log was looked through; Older goes on", Tone.CAUTION),) if short else ()
    return View("events", "Events", tuple(blocks), banners)
