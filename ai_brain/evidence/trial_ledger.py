"""The count of everything ever tried. A performance is written here before anything that chooses may see it.

An *idea* is a distinct spec (by the hash of what it trades on); a *look* is one performance of an idea on one stretch
of one tape. N of the deflated Sharpe is the number of ideas, so a second look at the same spec costs nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt

import numpy as np
from sqlalchemy import BigInteger, Column, Float, Integer, String, Table, exists, func, insert, literal, select

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
    )
)


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


class TrialLedger:
    """Append, count, compare. Safe with many writers, in many processes."""

    def __init__(self, db: LearningDb, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def record(self, trials: Sequence[Trial]) -> None:
        """Write performances down; when this returns they are on disk and may be shown.

        Raises:
            StateFileError: they could not be written; then they must not be shown.
        """
        if not trials:
            return
        at_ms = self._clock.now_ms()
        with self._db.writing() as connection:
            connection.execute(insert(TRIALS), [{"at_ms": at_ms, **asdict(trial)} for trial in trials])
            for trial in {trial.spec_sha256: trial for trial in reversed(trials)}.values():
                # The insert above holds the write lock, so nobody else can slip the same idea in here.
                new = select(
                    literal(trial.spec_sha256),
                    literal(trial.family),
                    literal(trial.sharpe_bar * sqrt(trial.bars_per_year)),
                ).where(~exists().where(IDEAS.c.spec_sha256 == trial.spec_sha256))
                connection.execute(insert(IDEAS).from_select(list(IDEAS.c.keys()), new))

    def count(self) -> int:
        """Ideas ever tried, of every family: the N of the deflated Sharpe ratio."""
        with self._db.reading() as connection:
            return connection.execute(select(func.count()).select_from(IDEAS)).scalar_one()

    def looks(self) -> int:
        """Performances ever shown: every look of every idea."""
        with self._db.reading() as connection:
            return connection.execute(select(func.count()).select_from(TRIALS)).scalar_one()

    def sharpe_variance(self, *, bars_per_year: float, family: str | None = None) -> float | None:
        """Variance (ddof 1) of the ideas' Sharpe ratios, each taken at its first look.

        Args:
            bars_per_year: Of the bars the result is wanted for; ideas on other bars are brought to the same unit.
            family: Only ideas of this type; None: all.

        Returns:
            Per bar. None: fewer than two ideas, nothing can be said.
        """
        wanted = select(IDEAS.c.sharpe_annual)
        if family is not None:
            wanted = wanted.where(IDEAS.c.family == family)
        with self._db.reading() as connection:
            annual = np.fromiter(connection.execute(wanted).scalars(), dtype=np.float64)
        return float(annual.var(ddof=1)) / bars_per_year if len(annual) >= 2 else None

    def trials_of(self, spec_sha256: str) -> list[dict[str, object]]:
        """Every look of one spec, oldest first, as plain values."""
        wanted = select(TRIALS).where(TRIALS.c.spec_sha256 == spec_sha256).order_by(TRIALS.c.id)
        with self._db.reading() as connection:
            return [dict(row) for row in connection.execute(wanted).mappings()]
