"""Ideas that were refused, with the reason, so that the same idea is not paid for again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import BigInteger, Column, Integer, String, Table, func, insert, select

from ai_brain.learning_db import METADATA, LearningDb, append_only
from trading.domain.clock import Clock

REFUSED = append_only(
    Table(
        "graveyard",
        METADATA,
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("at_ms", BigInteger, nullable=False),
        Column("spec_sha256", String, nullable=False, index=True),
        Column("spec_id", String, nullable=False),
        Column("name", String, nullable=False),
        Column("reason", String, nullable=False),
        Column("detail", String, nullable=False),
        Column("fingerprint", String, nullable=True),  # of what it does, if refused for that
    )
)


ASKED_AT_ONCE = 10_000
"""Values in one question; SQLite takes three times as many."""


@dataclass(frozen=True, slots=True)
class Burial:
    """A refusal as it is written down."""

    spec_sha256: str
    spec_id: str
    name: str
    reason: str
    detail: str
    """One line with both numbers."""
    fingerprint: str | None = None
    """What the strategy does; None: it was not refused for that."""


class Graveyard:
    """Bury, and look whether an idea lies there already."""

    def __init__(self, db: LearningDb, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def bury(self, refusals: Sequence[Burial]) -> None:
        """Write refusals down; who lies here already stays as it lies.

        Raises:
            StateFileError: they could not be written.
        """
        if not refusals:
            return
        at_ms = self._clock.now_ms()
        with self._db.writing() as connection:
            lying = select(REFUSED.c.spec_sha256).where(
                REFUSED.c.spec_sha256.in_([refusal.spec_sha256 for refusal in refusals])
            )
            known = set(connection.execute(lying).scalars())
            first = {each.spec_sha256: each for each in reversed(refusals) if each.spec_sha256 not in known}
            if first:
                connection.execute(
                    insert(REFUSED), [{"at_ms": at_ms, **asdict(each)} for each in reversed(first.values())]
                )

    def was_refused(self, spec_sha256: str) -> str | None:
        """`REASON: detail (ID)` of the first refusal of this spec; None: it does not lie here."""
        return self.refused([spec_sha256]).get(spec_sha256)

    def was_refused_doing(self, fingerprint: str) -> str | None:
        """`REASON: detail (ID)` of the first refusal of a strategy that does the same; None: none lies here."""
        return self.refused_doing([fingerprint]).get(fingerprint)

    def refused(self, specs_sha256: Sequence[str]) -> dict[str, str]:
        """Of these specs, those that lie here, each with `REASON: detail (ID)` of its first refusal."""
        return self._first_of(REFUSED.c.spec_sha256, specs_sha256)

    def refused_doing(self, fingerprints: Sequence[str]) -> dict[str, str]:
        """The same by what strategies do."""
        return self._first_of(REFUSED.c.fingerprint, fingerprints)

    def _first_of(self, column: Column[str], wanted: Sequence[str]) -> dict[str, str]:
        told = select(column, REFUSED.c.reason, REFUSED.c.detail, REFUSED.c.spec_id)
        found = dict[str, str]()
        with self._db.reading() as connection:
            for first in range(0, len(wanted), ASKED_AT_ONCE):
                some = wanted[first : first + ASKED_AT_ONCE]
                for name, reason, detail, spec_id in connection.execute(
                    told.where(column.in_(some)).order_by(REFUSED.c.id)
                ):
                    found.setdefault(name, f"{reason}: {detail} ({spec_id})")
        return found

    def recent(self, limit: int) -> list[tuple[str, str, str]]:
        """The last refusals, newest first: (name, reason, detail); what a language model is told."""
        wanted = select(REFUSED.c.name, REFUSED.c.reason, REFUSED.c.detail).order_by(REFUSED.c.id.desc()).limit(limit)
        with self._db.reading() as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(wanted)]

    def count_by_reason(self) -> dict[str, int]:
        """How many lie here by reason, most first."""
        n = func.count().label("n")
        wanted = select(REFUSED.c.reason, n).group_by(REFUSED.c.reason).order_by(n.desc(), REFUSED.c.reason)
        with self._db.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(wanted)}


class NoGraveyard(Graveyard):
    """Nothing lies in it, and nothing is buried: a person asks for a look, or a verdict is derived again."""

    def __init__(self) -> None:
        pass

    def bury(self, refusals: Sequence[Burial]) -> None:
        """Nothing is written."""

    def _first_of(self, column: Column[str], wanted: Sequence[str]) -> dict[str, str]:
        return {}
