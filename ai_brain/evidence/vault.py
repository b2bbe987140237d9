"""The vault's book: which stretch of which market was opened for which line of ideas, written down before it is read.

The newest bars answer once. A family that has seen them is bred from what it saw, so they cannot judge it again: only
bars that came after them can. The book keeps that; it reads no bar itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    LargeBinary,
    RowMapping,
    String,
    Table,
    and_,
    exists,
    insert,
    literal,
    or_,
    select,
)

from ai_brain.evidence.effective_trials import ALIKE_CORRELATION
from ai_brain.evidence.return_sketch import likeness
from ai_brain.learning_db import METADATA, LearningDb, append_only
from trading.domain.clock import Clock, iso
from trading.domain.errors import VaultError

OPENINGS = append_only(
    Table(
        "vault_openings",
        METADATA,
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("at_ms", BigInteger, nullable=False),
        Column("family", String, nullable=False, index=True),
        Column("spec_sha256", String, nullable=False, index=True),
        Column("data_sha256", String, nullable=False),
        Column("symbol", String, nullable=False),
        Column("interval", String, nullable=False),
        Column("start_ms", BigInteger, nullable=False),
        Column("end_ms", BigInteger, nullable=False),
        Column("sketch", LargeBinary, nullable=True),  # of its returns before the stretch; NULL: not known
    )
)


SURE_ERROR = 0.15
"""Standard error up to which a likeness counts: two strategies that hardly share a day are not known to be alike."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What somebody asks to open: one stretch of one market, for one spec of one family.

    Raises:
        ValueError: a name is empty, or the stretch holds no time.
    """

    family: str
    """The line of descent or the idea behind it: all specs that were bred from one another share it."""
    spec_sha256: str
    data_sha256: str
    """Content hash of the tape, or of both tapes joined by `+`."""
    symbol: str
    interval: str
    start_ms: int
    """Open of the first bar."""
    end_ms: int
    """Close of the last bar; the stretch is [start_ms, end_ms)."""

    def __post_init__(self) -> None:
        for name in ("family", "spec_sha256", "data_sha256", "symbol", "interval"):
            if not getattr(self, name):
                raise ValueError(f"vault: {name} is empty: an opening is booked under it")
        if self.start_ms >= self.end_ms:
            raise ValueError(f"vault: [{self.start_ms}, {self.end_ms}) ms of {self.symbol} holds no time")


@dataclass(frozen=True, slots=True)
class Opening:
    """An entry of the book."""

    number: int
    """From 1, in the order of opening."""
    at_ms: int
    stretch: Sealed


class Vault:
    """Open, and look what was opened. Safe with many writers, in many processes."""

    def __init__(self, db: LearningDb, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def open(self, stretch: Sealed, *, sketch: bytes | None = None) -> Opening:
        """Write the opening down; when this returns it is on disk and the stretch may be read.

        Args:
            stretch: What is to be read, and for whom.
            sketch: `return_sketch` of what the spec did before the stretch, by which its likes are known later.

        Returns:
            The new entry; or the old one where this very spec was shown bars as new before: whoever reads again what
            it read chooses nothing by it, and its answer is on record (`CandidateStream` gives the first).

        Raises:
            VaultError: another of the family was shown bars of the symbol as new as these or newer, at any interval.
                **Look-ahead**: so bars older than an opened stretch stay shut too.
            StateFileError: it could not be written; then nothing may be read.
        """
        values = {"at_ms": self._clock.now_ms(), **asdict(stretch), "sketch": sketch}
        taken = exists().where(or_(_spends(stretch), _is_its_own(stretch)))
        unopened = select(*(literal(value, OPENINGS.c[name].type) for name, value in values.items())).where(~taken)
        with self._db.writing() as connection:
            # No other writer is in it: of two the second sees the first's entry.
            connection.execute(insert(OPENINGS).from_select(list(values), unopened))
            own = select(OPENINGS).where(_is_its_own(stretch)).order_by(OPENINGS.c.id).limit(1)
            if (found := connection.execute(own).mappings().first()) is not None:
                return _opening(found)
            newest = select(OPENINGS).where(_spends(stretch)).order_by(OPENINGS.c.end_ms.desc(), OPENINGS.c.id).limit(1)
            earlier = _opening(connection.execute(newest).mappings().one())
        raise VaultError(_refusal(stretch, earlier))

    def family_of(self, spec_sha256: str, *, symbol: str, sketch: bytes | None) -> str:
        """The family a spec belongs to by what it did: that of the first opening of the symbol whose returns went with
        its own, at a correlation of `ALIKE_CORRELATION` or more; its own hash when there is none.

        Names and pedigrees are not asked, so that a copy under another name is known for one.
        """
        wanted = select(OPENINGS.c.family, OPENINGS.c.spec_sha256, OPENINGS.c.sketch)
        with self._db.reading() as connection:
            opened = connection.execute(wanted.where(OPENINGS.c.symbol == symbol).order_by(OPENINGS.c.id)).all()
        for family, opened_sha256, its_sketch in opened:
            if opened_sha256 == spec_sha256:
                return str(family)
            if sketch is None or its_sketch is None:
                continue
            found = likeness(sketch, its_sketch)
            if found.correlation >= ALIKE_CORRELATION and found.standard_error <= SURE_ERROR:
                return str(family)
        return spec_sha256

    def openings(self, family: str) -> list[Opening]:
        """Every opening of a family, oldest first."""
        wanted = select(OPENINGS).where(OPENINGS.c.family == family).order_by(OPENINGS.c.id)
        with self._db.reading() as connection:
            return [_opening(row) for row in connection.execute(wanted).mappings()]


def _is_its_own(stretch: Sealed) -> ColumnElement[bool]:
    """This very spec was shown bars as new as these."""
    return and_(
        OPENINGS.c.symbol == stretch.symbol,
        OPENINGS.c.spec_sha256 == stretch.spec_sha256,
        OPENINGS.c.end_ms > stretch.start_ms,
    )


def _spends(stretch: Sealed) -> ColumnElement[bool]:
    """An opening for another one of the family after which this stretch may not be opened."""
    return and_(
        OPENINGS.c.symbol == stretch.symbol,
        OPENINGS.c.family == stretch.family,
        OPENINGS.c.spec_sha256 != stretch.spec_sha256,
        OPENINGS.c.end_ms > stretch.start_ms,
    )


def _opening(row: RowMapping) -> Opening:
    return Opening(row["id"], row["at_ms"], Sealed(**{field.name: row[field.name] for field in fields(Sealed)}))


def _refusal(wanted: Sealed, earlier: Opening) -> str:
    was = earlier.stretch
    return (
        f"vault: {wanted.symbol} {wanted.interval} {iso(wanted.start_ms)} to {iso(wanted.end_ms)} stays shut for "
        f"{wanted.family} (spec {wanted.spec_sha256[:12]}): opening {earlier.number} of {iso(earlier.at_ms)} showed "
        f"{was.family} (spec {was.spec_sha256[:12]}) {was.symbol} {was.interval} up to {iso(was.end_ms)}; only bars "
        f"from then on may be opened: wait until new data extends the vault"
    )
