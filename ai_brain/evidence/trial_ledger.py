"""The count of everything ever tried. A performance is written here before anything that chooses may see it.

An *idea* is a distinct spec (by the hash of what it trades on); a *look* is one performance of an idea on one stretch
of one tape. N of the deflated Sharpe is the number of ideas, so a second look at the same spec costs nothing more.
Ideas whose returns go together are counted once in the effective number, from the sketches of their first looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from operator import attrgetter
from threading import Lock
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Float,
    Integer,
    LargeBinary,
    Select,
    String,
    Table,
    exists,
    func,
    insert,
    literal_column,
    select,
)
from sqlalchemy.dialects import sqlite

from ai_brain.evidence.correlated_maximum import CorrelatedMaximum
from ai_brain.evidence.effective_trials import Leaders
from ai_brain.evidence.return_sketch import SKETCH_BYTES
from ai_brain.learning_db import METADATA, LearningDb, append_only
from trading.domain.clock import Clock

TRIALS = append_only(
    Table(
        "trials",
        METADATA,
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("at_ms", BigInteger, nullable=False),
        Column("origin", String, nullable=False),
        Column("family", String, nullable=False),
        Column("spec_id", String, nullable=False),
        Column("spec_sha256", String, nullable=False, index=True),
        Column("data_sha256", String, nullable=False),
        Column("stretch", String, nullable=False),
        Column("start_ms", BigInteger, nullable=False),
        Column("end_ms", BigInteger, nullable=False),
        Column("bars", Integer, nullable=False),
        Column("bars_per_year", Float, nullable=False),
        Column("sharpe_bar", Float, nullable=False),
        Column("skew", Float, nullable=False),
        Column("kurtosis", Float, nullable=False),
        Column("turnover", Float, nullable=False),
        Column("net_return", Float, nullable=False),
        Column("entries", Integer, nullable=False),
    )
)

IDEAS = append_only(
    Table(
        "ideas",
        METADATA,
        Column("spec_sha256", String, primary_key=True),
        Column("family", String, nullable=False, index=True),
        Column("sharpe_annual", Float, nullable=False),
        Column("sketch", LargeBinary, nullable=True),  # of the returns at the first look; NULL: none was given
    )
)
_ROW: ColumnElement[int] = literal_column("ideas.rowid", Integer)
"""SQLite's own number of a row: grows by one, and nothing is ever deleted. What is new has a larger one."""
_READ_AT_ONCE = 50_000
"""Ideas read into memory at once."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One performance of one spec on one stretch, as it was shown."""

    origin: str
    """Who chose to look: `evaluator`, `backtest`, `optimizer`, ..."""
    family: str
    """The spec's type; Sharpe ratios are only compared within one."""
    spec_id: str
    spec_sha256: str
    data_sha256: str
    """Content hash of the tape, or of both tapes of a carry joined by `+`."""
    stretch: str
    """`search`, `walk-forward 1/4`, `costs doubled`, ...: which look of the spec it was."""
    start_ms: int
    end_ms: int
    bars: int
    bars_per_year: float
    sharpe_bar: float
    skew: float
    kurtosis: float
    turnover: float
    """Quote traded, both sides, over starting equity."""
    net_return: float
    """Fraction of starting equity, all costs in it."""
    entries: int
    """Positions opened."""
    sketch: bytes | None = None
    """`return_sketch` of its returns; kept at an idea's first look, and only then. None: not known."""

    def __post_init__(self) -> None:
        if self.sketch is not None and len(self.sketch) != SKETCH_BYTES:
            raise ValueError(f"trial {self.spec_id}: a sketch of {len(self.sketch)} bytes, not {SKETCH_BYTES}")


_VALUES = tuple(column.name for column in TRIALS.c if column.name not in ("id", "at_ms"))
_values_of = attrgetter(*_VALUES)


class TrialLedger:
    """Append, count, compare. Safe with many writers, in many processes.

    What it read it keeps: each question reads the ideas that came since the last one. The answers are those of
    reading everything anew, to the last bit, since no row ever changes.
    """

    def __init__(self, db: LearningDb, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._reading = Lock()  # evaluations run in threads and share one ledger
        self._counted, self._counted_to = 0, 0
        self._best, self._best_to = CorrelatedMaximum(), 0
        self._leaders, self._leaders_to = Leaders(), 0

    def record(self, trials: Sequence[Trial]) -> None:
        """Write performances down; when this returns they are on disk and may be shown.

        Raises:
            StateFileError: they could not be written; then they must not be shown.
        """
        if not trials:
            return
        at_ms = self._clock.now_ms()
        ideas = dict[str, dict[str, object]]()
        for trial in trials:
            if trial.spec_sha256 not in ideas:
                ideas[trial.spec_sha256] = {
                    "spec_sha256": trial.spec_sha256,
                    "family": trial.family,
                    "sharpe_annual": trial.sharpe_bar * sqrt(trial.bars_per_year),
                    "sketch": trial.sketch,
                }
        rows = [{"at_ms": at_ms, **dict(zip(_VALUES, _values_of(trial), strict=True))} for trial in trials]
        with self._db.writing() as connection:
            connection.execute(insert(TRIALS), rows)
            known = sqlite.insert(IDEAS).on_conflict_do_nothing(index_elements=[IDEAS.c.spec_sha256])
            connection.execute(known, list(ideas.values()))

    def count(self) -> int:
        """Ideas ever tried, of every family: the N of the deflated Sharpe ratio."""
        with self._reading, self._db.reading() as connection:
            n, newest = connection.execute(_counting(self._counted_to)).one()
            self._counted, self._counted_to = self._counted + n, newest or self._counted_to
            return self._counted

    def knows(self, spec_sha256: str) -> bool:
        """Whether it is one of the ideas tried."""
        with self._db.reading() as connection:
            return bool(connection.execute(select(exists().where(IDEAS.c.spec_sha256 == spec_sha256))).scalar_one())

    def effective_count(self) -> int:
        """Ideas ever tried, those counted once whose returns go together; from 1 to `count()`, 0 of none.

        Clusters of `effective_trials.Leaders` in the order of the ledger, so it depends on the ledger alone and never
        falls. An idea without a sketch is one of its own.
        """
        with self._reading, self._db.reading() as connection:
            wanted = select(_ROW, IDEAS.c.sketch)
            for numbers, sketches in _columns_since(connection, wanted, self._leaders_to):
                self._leaders.add(sketches)
                self._leaders_to = numbers[-1]
            return self._leaders.count

    def looks(self) -> int:
        """Performances ever shown: every look of every idea."""
        with self._db.reading() as connection:
            return connection.execute(select(func.count()).select_from(TRIALS)).scalar_one()

    def expected_maximum(self, *, more: int = 0) -> float:
        """How good the best of as many worthless ideas looks, whose returns go together as those of the ledger do.

        Args:
            more: Ideas to come, taken for unlike any.

        Returns:
            Standard deviations of a Sharpe ratio that is zero in truth; 0 of one idea or none. See `CorrelatedMaximum`.
        """
        with self._reading, self._db.reading() as connection:
            wanted = select(_ROW, IDEAS.c.sketch)
            for numbers, sketches in _columns_since(connection, wanted, self._best_to):
                self._best.add(sketches)
                self._best_to = numbers[-1]
            return self._best.expected(more=more)

    def trials_of(self, spec_sha256: str) -> list[dict[str, object]]:
        """Every look of one spec, oldest first, as plain values."""
        wanted = select(TRIALS).where(TRIALS.c.spec_sha256 == spec_sha256).order_by(TRIALS.c.id)
        with self._db.reading() as connection:
            return [dict(row) for row in connection.execute(wanted).mappings()]


def _counting(row: int) -> Select[int, int | None]:
    """How many ideas came after a row, and the newest one's: one statement, so one state of the file."""
    n, newest = func.count(), func.max(_ROW)
    if row:
        return select(n, newest).select_from(IDEAS).where(row < _ROW)
    # All of them: in statements of their own SQLite counts in its smallest index and finds the newest in one step.
    return select(*(select(each).select_from(IDEAS).scalar_subquery() for each in (n, newest)))


def _columns_since(connection: Connection, wanted: Select[Any], row: int) -> Iterator[tuple[Any, ...]]:
    """Columns of the ideas that came after a row, oldest first, some at once."""
    ordered = wanted.select_from(IDEAS).where(row < _ROW).order_by(_ROW)
    for part in connection.execute(ordered).partitions(_READ_AT_ONCE):
        yield tuple(zip(*part, strict=True))
