"""Ideas that were refused, with the reason, so that the same idea is not paid for again."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ColumnElement, Integer, String, Table, func, insert, select

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


class Graveyard:
    """Bury, and look whether an idea lies there already."""

    def __init__(self, db: LearningDb, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def bury(
        self, *, spec_sha256: str, spec_id: str, name: str, reason: str, detail: str, fingerprint: str | None = None
    ) -> None:
        """Write a refusal down; `detail` is one line with both numbers, `fingerprint` says what the strategy does.

        Raises:
            StateFileError: it could not be written.
        """
        with self._db.writing() as connection:
            connection.execute(
                insert(REFUSED).values(
                    at_ms=self._clock.now_ms(),
                    spec_sha256=spec_sha256,
                    spec_id=spec_id,
                    name=name,
                    reason=reason,
                    detail=detail,
                    fingerprint=fingerprint,
                )
            )

    def was_refused(self, spec_sha256: str) -> str | None:
        """`REASON: detail (ID)` of the first refusal of this spec; None: it does not lie here."""
        return self._first(REFUSED.c.spec_sha256 == spec_sha256)

    def was_refused_doing(self, fingerprint: str) -> str | None:
        """`REASON: detail (ID)` of the first refusal of a strategy that does the same; None: none lies here."""
        return self._first(REFUSED.c.fingerprint == fingerprint)

    def _first(self, which: ColumnElement[bool]) -> str | None:
        wanted = select(REFUSED).where(which).order_by(REFUSED.c.id).limit(1)
        with self._db.reading() as connection:
            row = connection.execute(wanted).mappings().first()
        return None if row is None else f"{row['reason']}: {row['detail']} ({row['spec_id']})"

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
