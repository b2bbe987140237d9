"""Every candidate that reached its confirming look, in order, each tested at the level LORD++ gives its place.

What has been answered stays answered: the table is append-only, a spec that comes again gets its first answer, and the
level of a place follows from the answers on record. Specs of every family share one stream, so that the share of
worthless ones is bounded over all that a human is ever asked about.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Boolean, Column, Connection, Float, Integer, String, Table, insert, select

from ai_brain.evidence.false_discovery import early_spending, lord_level
from ai_brain.learning_db import METADATA, LearningDb, append_only
from trading.domain.clock import Clock
from trading.domain.errors import SettingsError

CANDIDATES = append_only(
    Table(
        "candidates",
        METADATA,
        Column("place", Integer, primary_key=True, autoincrement=False),
        Column("at_ms", BigInteger, nullable=False),
        Column("spec_sha256", String, nullable=False, unique=True),
        Column("family", String, nullable=False),
        Column("p_value", Float, nullable=False),
        Column("q", Float, nullable=False),
        Column("level", Float, nullable=False),
        Column("rejected", Boolean, nullable=False),
    )
)

STARTING_SHARE = 0.9
"""w0 as a share of q. All levels before the first discovery sum to at most w0, and the lab has no discovery yet."""

SPENDING = early_spending
"""Few candidates ever reach the stream, since a vault is opened for few: what is spent must be spent on the first."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the stream answered to one candidate."""

    level: float
    """Its p-value was held against this."""
    rejected: bool
    """True: the null that it is worthless was rejected, the candidate is confirmed."""
    place: int
    """1 for the first candidate ever."""
    p_value: float
    """As it was when it was decided."""


class CandidateStream:
    """Decide on candidates one after the other. Safe with many writers, in many processes.

    Args:
        db: The lab's memory.
        clock: For the time on record.
        q: The share of worthless candidates among the confirmed not to exceed, between 0 and 1. One stream has one q.

    Raises:
        ValueError: q is no rate between 0 and 1.
    """

    def __init__(self, db: LearningDb, clock: Clock, q: float) -> None:
        if not 0.0 < q < 1.0:
            raise ValueError(f"candidates: q={q}: a rate between 0 and 1")
        self._db = db
        self._clock = clock
        self._q = q

    def decide(self, *, spec_sha256: str, family: str, p_value: float) -> Decision:
        """Test one candidate at the level of the next place; when this returns, the answer is on disk.

        Args:
            spec_sha256: Hash of what the spec trades on. A spec on record gets its first answer, whatever the p-value.
            family: The spec's type, for whoever reads the table; it changes nothing.
            p_value: Of the null that the candidate is worthless, from data that no choice has looked at before.

        Raises:
            ValueError: p_value is no number from 0 to 1; nothing is written.
            SettingsError: the stream was begun with another q; nothing is written.
            StateFileError: the file could not be read or written; then there is no answer.
        """
        if not 0.0 <= p_value <= 1.0:
            raise ValueError(f"candidate {spec_sha256[:12]}: p_value={p_value}: a p-value lies between 0 and 1")
        with self._db.writing() as connection:
            # No other writer is in it: none can compute the level of the same place.
            given = _answer_on_record(connection, spec_sha256)
            if given is not None:
                return given
            decision = self._next(connection, p_value)
            connection.execute(
                insert(CANDIDATES).values(
                    place=decision.place,
                    at_ms=self._clock.now_ms(),
                    spec_sha256=spec_sha256,
                    family=family,
                    p_value=p_value,
                    q=self._q,
                    level=decision.level,
                    rejected=decision.rejected,
                )
            )
        return decision

    def next_level(self) -> float:
        """What the next candidate would be tested at."""
        wanted = select(CANDIDATES.c.place, CANDIDATES.c.rejected).order_by(CANDIDATES.c.place)
        with self._db.reading() as connection:
            stream = connection.execute(wanted).all()
        return self._level(len(stream) + 1, [row.place for row in stream if row.rejected])

    def candidates(self) -> list[dict[str, object]]:
        """Everything on record in the order it was decided, as plain values."""
        with self._db.reading() as connection:
            return [dict(row) for row in connection.execute(select(CANDIDATES).order_by(CANDIDATES.c.place)).mappings()]

    def _next(self, connection: Connection, p_value: float) -> Decision:
        wanted = select(CANDIDATES.c.place, CANDIDATES.c.rejected, CANDIDATES.c.q).order_by(CANDIDATES.c.place)
        stream = connection.execute(wanted).all()
        if stream and stream[0].q != self._q:
            raise SettingsError(
                f"candidates: q={self._q}, but this stream was begun with q={stream[0].q} and its {len(stream)} "
                "answers hold for that one only; set q back, a stream keeps the q it began with"
            )
        place = len(stream) + 1
        level = self._level(place, [row.place for row in stream if row.rejected])
        return Decision(level=level, rejected=p_value <= level, place=place, p_value=p_value)

    def _level(self, place: int, rejections: list[int]) -> float:
        return lord_level(place, rejections, q=self._q, w0=self._q * STARTING_SHARE, spending=SPENDING)


def _answer_on_record(connection: Connection, spec_sha256: str) -> Decision | None:
    wanted = select(CANDIDATES).where(CANDIDATES.c.spec_sha256 == spec_sha256)
    row = connection.execute(wanted).one_or_none()
    if row is None:
        return None
    return Decision(level=row.level, rejected=row.rejected, place=row.place, p_value=row.p_value)
