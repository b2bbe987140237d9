"""A glance at the lab's memory of ideas, for a person: counts and the newest refusals; the file is only read.

`LearningDb` makes what is missing and brings an old file up to date. Whoever only looks must not write, whoever else
writes meanwhile: so this opens the file read-only, by the standard library alone.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from trading.domain.errors import StateFileError

BUSY_S = 2.0
"""How long a reader waits for a moment in which the file can be read, real seconds."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Who lies in the graveyard, and why."""

    at_ms: int
    spec_id: str
    name: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Glance:
    """The memory at one moment."""

    looks: int
    """Performances ever shown."""
    ideas: int
    """Distinct ideas tried: the N of the deflated Sharpe ratio."""
    ideas_by_family: tuple[tuple[str, int], ...]
    refused_by_reason: tuple[tuple[str, int], ...]
    """Most first."""
    vaults_opened: int
    candidates: int
    """That reached their confirming look."""
    confirmed: int
    refusals: tuple[Refusal, ...]
    """Newest first, of those that were asked for."""


def glance(path: Path, *, reason: str = "", text: str = "", limit: int = 100) -> Glance | None:
    """Look at it once; None: there is no file.

    Args:
        path: `Home.learning_db`.
        reason: Only refusals for it; empty: all.
        text: Only refusals with it in id, name or detail; empty: all.
        limit: Of refusals.

    Raises:
        StateFileError: it cannot be read, or is no memory of ideas.
    """
    if not path.exists():
        return None
    # Nobody has it open where there is no file of changes beside it: then not even that one is made by reading.
    is_quiet = not path.with_name(f"{path.name}-wal").exists()
    address = f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if is_quiet else ''}"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=BUSY_S)) as connection:
            connection.execute("PRAGMA query_only = 1")
            return _look(connection, reason, text, limit)
    except sqlite3.Error as error:
        raise StateFileError(f"{path}: {error}; check its permissions, or restore it from a backup") from error


def _look(connection: sqlite3.Connection, reason: str, text: str, limit: int) -> Glance:
    def count(query: str) -> int:
        return int(connection.execute(query).fetchone()[0])

    def pairs(query: str) -> tuple[tuple[str, int], ...]:
        return tuple((str(name), int(n)) for name, n in connection.execute(query))

    wanted = (
        "SELECT at_ms, spec_id, name, reason, detail FROM graveyard WHERE (:reason = '' OR reason = :reason) AND "
        "(:text = '' OR instr(lower(spec_id || ' ' || name || ' ' || detail), lower(:text))) "
        "ORDER BY id DESC LIMIT :limit"
    )
    asked = {"reason": reason, "text": text, "limit": limit}
    return Glance(
        looks=count("SELECT count(*) FROM trials"),
        ideas=count("SELECT count(*) FROM ideas"),
        ideas_by_family=pairs("SELECT family, count(*) AS n FROM ideas GROUP BY family ORDER BY n DESC, family"),
        refused_by_reason=pairs("SELECT reason, count(*) AS n FROM graveyard GROUP BY reason ORDER BY n DESC, reason"),
        vaults_opened=count("SELECT count(*) FROM vault_openings"),
        candidates=count("SELECT count(*) FROM candidates"),
        confirmed=count("SELECT count(*) FROM candidates WHERE rejected"),
        refusals=tuple(Refusal(*row) for row in connection.execute(wanted, asked)),
    )
