"""The count of everything ever tried. A performance is written here before anything that chooses may see it.

An *idea* is a distinct spec (by the hash of what it trades on); a *look* is one performance of an idea on one stretch
of one tape. N of the deflated Sharpe is the number of ideas, so a second look at the same spec costs nothing more.
Ideas whose returns go together are counted once in the effective number, from the sketches of their first looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from operator import attrgetter
from threading import Lock

from sqlalchemy import (
    BigInteger,
    Column,
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
    select,
)

from ai_brain.evidence.correlated_maximum import CorrelatedMaximum
from ai_brain.evidence.effective_trials import Leaders
from ai_brain.evidence.return_sketch import SKETCH_BYTES
from ai_brain.learning_db import METADATA, LearningDb, append_only, numbered
from trading.domain.clock import Clock
from trading.domain.errors import StateFileError

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
    numbered(
        Table(
            "ideas",
            METADATA,
            Column("spec_sha256", String, primary_key=True),
            Column("family", String, nullable=False, index=True),
            Column("sharpe_annual", Float, nullable=False),
            Column("sketch", LargeBinary, nullable=True),  # of the returns at the first look; NULL: none was given
        )
    )
)
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
_NUMBERS = ("sharpe_bar", "skew", "kurtosis", "turnover", "net_return")


class TrialLedger:
    """Append, count, compare. Safe with many writers, in many processes.

    What it read it keeps: each question reads the ideas that came since the last one. The answers are those of
    reading everything anew, to the last bit, since no row ever changes.
    """

    def __init__(self, db: LearningDb, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._number = db.number_of(IDEAS)
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
        for trial in trials:
            for name in _NUMBERS:
                if not isfinite(value := getattr(trial, name)):
                    raise StateFileError(f"ledger: {trial.spec_id}, {trial.stretch}: {name}={value}: not a number")
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
            self._db.insert_missing(connection, IDEAS, list(ideas.values()), key=IDEAS.c.spec_sha256)

    def count(self) -> int:
        """Ideas ever tried, of every family: the N of the deflated Sharpe ratio."""
        with self._reading, self._db.reading() as connection:
            n, newest = connection.execute(self._counting()).one()
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
            for numbers, sketches in self._sketches_since(connection, self._leaders_to):
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
            for numbers, sketches in self._sketches_since(connection, self._best_to):
                self._best.add(sketches)
                self._best_to = numbers[-1]
            return self._best.expected(more=more)

    def trials_of(self, spec_sha256: str) -> list[dict[str, object]]:
        """Every look of one spec, oldest first, as plain values."""
        wanted = select(TRIALS).where(TRIALS.c.spec_sha256 == spec_sha256).order_by(TRIALS.c.id)
        with self._db.reading() as connection:
            return [dict(row) for row in connection.execute(wanted).mappings()]

    def _counting(self) -> Select[int, int | None]:
        """How many ideas came since, and the newest one's number: one statement, so one state of the database."""
        n, newest = func.count(), func.max(self._number)
        if self._counted_to:
            return select(n, newest).select_from(IDEAS).where(self._number > self._counted_to)
        # All of them: in statements of their own SQLite counts in its smallest index and finds the newest in one step.
        return select(*(select(each).select_from(IDEAS).scalar_subquery() for each in (n, newest)))

    def _sketches_since(
        self, connection: Connection, number: int
    ) -> Iterator[tuple[Sequence[int], Sequence[bytes | None]]]:
        """Numbers and sketches of the ideas that came after one, oldest first, some at once."""
        wanted = select(self._number, IDEAS.c.sketch).where(self._number > number).order_by(self._number)
        told = connection.execution_options(yield_per=_READ_AT_ONCE).execute(wanted)
        for part in told.partitions():
            numbers, sketches = zip(*part, strict=True)
            yield numbers, sketches
