"""What rehearsals left in `state/drills.jsonl`: one line each, fsynced; and when they last passed, in words.

A line: when, on which venue, which code, which rehearsal, the seconds of its steps, whether it passed, and if not, why.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trading.domain.clock import DAY_MS, iso, parse_iso
from trading.storage.files import append_line
from trading.storage.home import Home

SCHEMA = 1
REHEARSALS = ("stop", "crash", "leg", "key")
FRESH_DAYS = 30
"""A rehearsal that passed longer ago says little about today's lab."""


@dataclass(frozen=True, slots=True)
class Drill:
    """One rehearsal that was played."""

    at_ms: int
    """The machine's own time at its end, UTC."""
    venue: str
    version: str
    """Hash over the code that trades, its beginning."""
    rehearsal: str
    passed: bool
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By step, in order."""
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the rehearsals stand."""

    is_fresh: bool
    """The newest of each kind passed, within `FRESH_DAYS`."""
    words: str
    """One line for a screen."""


def drills_file(home: Home) -> Path:
    """Where they are filed."""
    return home.state / "drills.jsonl"


def file_drill(home: Home, drill: Drill) -> None:
    """Append one line; it is on disk when this returns.

    Raises:
        StateFileError: it cannot be written.
    """
    facts = {
        "schema": SCHEMA,
        "at": iso(drill.at_ms),
        "venue": drill.venue,
        "version": drill.version,
        "rehearsal": drill.rehearsal,
        "passed": drill.passed,
        "seconds": {step: round(took_s, 3) for step, took_s in drill.seconds.items()},
        "why_not": drill.why_not,
    }
    append_line(drills_file(home), json.dumps(facts, ensure_ascii=False, allow_nan=False).encode())


def read_drills(home: Home) -> tuple[Drill, ...]:
    """Every rehearsal filed, oldest first; a line that is not one (torn by a crash, say) counts as not there."""
    try:
        lines = drills_file(home).read_bytes().splitlines()
    except OSError:
        return ()
    return tuple(drill for line in lines if (drill := _drill(line)) is not None)


def standing(drills: Sequence[Drill], *, now_ms: int) -> Standing:
    """When the rehearsals last passed; what never did, failed, or is old is named.

    Args:
        drills: As filed, oldest first.
        now_ms: The machine's own time, UTC.
    """
    last = {drill.rehearsal: drill for drill in drills}
    if not last:
        return Standing(False, "never rehearsed")
    wrong = []
    for name in REHEARSALS:
        drill = last.get(name)
        if drill is None:
            wrong.append(f"{name} never rehearsed")
        elif not drill.passed:
            wrong.append(f"{name} FAILED {_ago(drill, now_ms)}: {drill.why_not}")
        elif now_ms - drill.at_ms > FRESH_DAYS * DAY_MS:
            wrong.append(f"{name} passed {_ago(drill, now_ms)}")
    if wrong:
        return Standing(False, "; ".join(wrong))
    oldest = min((last[name] for name in REHEARSALS), key=lambda drill: drill.at_ms)
    venues = ", ".join(sorted({last[name].venue for name in REHEARSALS}))
    return Standing(True, f"{', '.join(REHEARSALS)} passed, the first of them {_ago(oldest, now_ms)} ({venues})")


def _ago(drill: Drill, now_ms: int) -> str:
    days = max(0, now_ms - drill.at_ms) // DAY_MS
    return "today" if days == 0 else f"{days} day{'s' if days != 1 else ''} ago"


def _drill(line: bytes) -> Drill | None:
    try:
        facts = json.loads(line)
        if facts["schema"] != SCHEMA or not isinstance(facts["passed"], bool):
            return None
        return Drill(
            parse_iso(str(facts["at"])),
            str(facts["venue"]),
            str(facts["version"]),
            str(facts["rehearsal"]),
            facts["passed"],
            {str(step): float(took_s) for step, took_s in facts["seconds"].items()},
            str(facts["why_not"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
