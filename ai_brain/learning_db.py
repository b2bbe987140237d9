"""The lab's memory of what it tried: tables written by many, in which nothing is ever changed.

One SQLite file in `state/`, or a PostgreSQL database where several machines share one memory. Tables are append-only: a
trigger refuses every update and delete. Writers come one after the other, so a row that came later has a larger number.
SQL and its library stay in this file and in the files that define their own tables on `METADATA`:
`evidence/trial_ledger.py` (`trials`, `ideas`), `evidence/graveyard.py` (`graveyard`), `evidence/vault.py`
(`vault_openings`), `evidence/candidate_stream.py` (`candidates`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    create_engine,
    event,
    inspect,
    literal_column,
    make_url,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from trading.domain.errors import SettingsError, StateFileError

METADATA = MetaData()
"""Every table of the database; a room that keeps something declares its table on it."""

BUSY_TIMEOUT_S = 20
"""How long a writer waits for another one, and a connection for its server, real seconds."""
WAL_TRIES = 2_000
"""In that time, to change a file's journal."""
WRITERS_LOCK = 0x6C6162  # "lab"
"""The advisory lock of PostgreSQL that a writer holds until its transaction ends."""


def append_only(table: Table) -> Table:
    """Have the database itself refuse to change or remove a row of the table; the same table, for chaining."""
    event.listen(table, "after_create", _refuse_changes)
    return table


def numbered(table: Table) -> Table:
    """Have its rows numbered in the order they came, see `LearningDb.number_of`; the same table, for chaining."""
    event.listen(table, "after_create", _number_rows)
    return table


class LearningDb:
    """The open database.

    Args:
        place: `Home.learning_db`, a file that is made with its tables when it is not there; or the URL of a PostgreSQL
            database, `postgresql://user:password@host/name`. One of an older version gets the columns it lacks, empty
            in its old rows.

    Raises:
        SettingsError: the URL is none, or its driver is not installed.
        StateFileError: it cannot be opened, or is no database.
    """

    def __init__(self, place: Path | str) -> None:
        self._engine, self._name = _engine(place)
        self._is_file = isinstance(place, Path)
        try:
            with self._translated():
                self._bring_up_to_date()
        except StateFileError:
            self._engine.dispose()
            raise

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, no other writer in it: all of the block is on disk when it ends, or nothing.

        Raises:
            StateFileError: it could not be written to; nothing of the block was kept.
        """
        with self._translated(), self._engine.begin() as connection:
            self._be_the_only_writer(connection)
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Read; each statement sees one consistent state.

        Raises:
            StateFileError: it could not be read.
        """
        with self._translated(), self._engine.connect() as connection:
            yield connection

    def number_of(self, table: Table) -> ColumnElement[int]:
        """The number of a row of a `numbered` table, from 1: nothing is deleted, so what is new has a larger one."""
        return literal_column(f"{table.name}.{'rowid' if self._is_file else 'arrival'}", Integer)

    def insert_missing(
        self, connection: Connection, table: Table, rows: Sequence[Mapping[str, object]], *, key: Column[Any]
    ) -> None:
        """Insert the rows whose key is not there yet; of two with the same key the first."""
        dialect = sqlite if self._is_file else postgresql
        connection.execute(dialect.insert(table).on_conflict_do_nothing(index_elements=[key]), list(rows))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _be_the_only_writer(self, connection: Connection) -> None:
        if self._is_file:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})")

    def _bring_up_to_date(self) -> None:
        """Make the tables and columns that it lacks; one that lacks none is only read."""
        with self._engine.connect() as connection:
            if not _missing_columns(connection):
                return
        with self._engine.begin() as connection:
            self._be_the_only_writer(connection)  # another process may be at the same
            METADATA.create_all(connection)
            for column in _missing_columns(connection):
                kind = column.type.compile(connection.dialect)
                connection.exec_driver_sql(f'ALTER TABLE {column.table.name} ADD COLUMN "{column.name}" {kind}')

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            cause = str(getattr(error, "orig", None) or error).partition("\n")[0]
            what = (
                "that it is the lab's own file, its permissions" if self._is_file else "its server, your rights there"
            )
            raise StateFileError(f"{self._name}: {cause}; check {what} and the free space") from error


def _engine(place: Path | str) -> tuple[Engine, str]:
    """An engine, and what the place is called in messages: a password is never in it."""
    # A statement that failed is told without its values: what could not be recorded must not stand in a traceback.
    if isinstance(place, Path):
        engine = create_engine(f"sqlite:///{place}", connect_args={"timeout": BUSY_TIMEOUT_S}, hide_parameters=True)
        event.listen(engine, "connect", _prepare)
        return engine, str(place)
    try:
        url = make_url(place)
        if url.get_backend_name() != "postgresql":
            raise SettingsError(f"LEARNING_DB_URL: {url.drivername!r} is no postgresql:// address of a database")
        url = url.set(drivername="postgresql+psycopg")
        # A writer that hangs must not hold the others for ever: they give up on it, and the server ends it.
        limits = {"lock_timeout": BUSY_TIMEOUT_S, "idle_in_transaction_session_timeout": 3 * BUSY_TIMEOUT_S}
        options = " ".join(f"-c {name}={limit_s}s" for name, limit_s in limits.items())
        waits = {"connect_timeout": BUSY_TIMEOUT_S, "options": options}
        engine = create_engine(url, connect_args=waits, hide_parameters=True, pool_pre_ping=True)
        return engine, url.render_as_string(hide_password=True)
    except (ArgumentError, NoSuchModuleError) as error:
        raise SettingsError("LEARNING_DB_URL: it reads as no address: postgresql://user:password@host/name") from error
    except ModuleNotFoundError as error:
        raise SettingsError(
            "LEARNING_DB_URL: PostgreSQL needs its driver: .venv/bin/python -m pip install 'psycopg[binary]'"
        ) from error


def _missing_columns(connection: Connection) -> list[Column[Any]]:
    """Columns that it lacks: of tables it has not, or added later and nullable, NULL for "not known"."""
    there, missing = inspect(connection), list[Column[Any]]()
    tables = set(there.get_table_names())
    for table in METADATA.sorted_tables:
        if table.name not in tables:
            missing += table.columns
            continue
        columns = {str(column["name"]) for column in there.get_columns(table.name)}
        missing += [column for column in table.columns if column.name not in columns and column.nullable]
    return missing


def _refuse_changes(table: Table, connection: Connection, **_: object) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            f"CREATE OR REPLACE FUNCTION {table.name}_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{table.name} is append-only'; END $$"
        )
        connection.exec_driver_sql(
            f"CREATE TRIGGER {table.name}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table.name} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table.name}_is_append_only()"
        )
        return
    for verb in ("UPDATE", "DELETE"):
        connection.exec_driver_sql(
            f"CREATE TRIGGER IF NOT EXISTS {table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} "
            f"BEGIN SELECT RAISE(ABORT, '{table.name} is append-only'); END"
        )


def _number_rows(table: Table, connection: Connection, **_: object) -> None:
    if connection.dialect.name == "postgresql":  # SQLite numbers every row by itself
        connection.exec_driver_sql(
            f"ALTER TABLE {table.name} ADD COLUMN arrival BIGINT GENERATED ALWAYS AS IDENTITY UNIQUE"
        )


def _prepare(connection: object, _record: object) -> None:
    # Readers do not wait for the writer; a committed trial survives the loss of power.
    cursor = connection.cursor()  # type: ignore[attr-defined]  # a DBAPI connection, which has no common type
    cursor.execute("PRAGMA busy_timeout=0")
    for left in reversed(range(WAL_TRIES)):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:  # two change it at once: SQLite does not wait there
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or left == 0:  # of all its kinds
                raise
            Event().wait(BUSY_TIMEOUT_S / WAL_TRIES)
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
