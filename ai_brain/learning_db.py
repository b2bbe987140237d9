"""The lab's memory of what it tried: one SQLite file, written by many, in which nothing is ever changed.

Tables are append-only: a trigger refuses every update and delete. SQL and its library stay in this file and in the
files that define their own tables on `METADATA`: `evidence/trial_ledger.py` (`trials`, `ideas`),
`evidence/graveyard.py` (`graveyard`), `evidence/vault.py` (`vault_openings`), `evidence/candidate_stream.py`
(`candidates`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Engine, MetaData, Table, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from trading.domain.errors import StateFileError

METADATA = MetaData()
"""Every table of the file; a room that keeps something declares its table on it."""

BUSY_TIMEOUT_S = 20.0
"""How long a writer waits for another one, real seconds."""


def append_only(table: Table) -> Table:
    """Have the database itself refuse to change or remove a row of the table; the same table, for chaining."""
    event.listen(table, "after_create", _refuse_changes)
    return table


class LearningDb:
    """The open file.

    Args:
        path: `Home.learning_db`; made with its tables when it is not there. A file of an older version gets the
            columns it lacks, empty in its old rows.

    Raises:
        StateFileError: the file cannot be opened, or is no database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # A statement that failed is told without its values: what could not be recorded must not stand in a traceback.
        self._engine: Engine = create_engine(
            f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_S}, hide_parameters=True
        )
        event.listen(self._engine, "connect", _prepare)
        try:
            with self._translated():
                self._bring_up_to_date()
        except StateFileError:
            self._engine.dispose()
            raise

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: all of the block is on disk when it ends, or nothing.

        Raises:
            StateFileError: the file could not be written to; nothing of the block was kept.
        """
        with self._translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Read one consistent state.

        Raises:
            StateFileError: the file could not be read.
        """
        with self._translated(), self._engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _bring_up_to_date(self) -> None:
        """Make the tables and columns that the file lacks; a file that lacks none is only read."""
        with self._engine.connect() as connection:
            if not _missing_columns(connection):
                return
        with self._engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # another process may be at the same
            METADATA.create_all(connection)
            for column in _missing_columns(connection):
                kind = column.type.compile(connection.dialect)
                connection.exec_driver_sql(f'ALTER TABLE {column.table.name} ADD COLUMN "{column.name}" {kind}')

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise StateFileError(
                f"{self._path}: {cause}; check that it is the lab's own file, its permissions and the free space"
            ) from error


def _missing_columns(connection: Connection) -> list[Column[Any]]:
    """Columns that the file lacks: of tables it has not, or added later and nullable, NULL for "not known"."""
    missing = list[Column[Any]]()
    for table in METADATA.sorted_tables:
        there = {row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table.name})")}
        missing += [column for column in table.columns if column.name not in there and (column.nullable or not there)]
    return missing


def _refuse_changes(table: Table, connection: Connection, **_: object) -> None:
    for verb in ("UPDATE", "DELETE"):
        connection.execute(
            text(
                f"CREATE TRIGGER IF NOT EXISTS {table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} "
                f"BEGIN SELECT RAISE(ABORT, '{table.name} is append-only'); END"
            )
        )


def _prepare(connection: object, _record: object) -> None:
    # Readers do not wait for the writer; a committed trial survives the loss of power.
    cursor = connection.cursor()  # type: ignore[attr-defined]  # a DBAPI connection, which has no common type
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
