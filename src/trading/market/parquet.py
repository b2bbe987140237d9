"""Columns to and from Parquet files; the only file here that knows DuckDB.

It is loaded with the first file: the service, which has files read by processes of their own, goes without its 50 MB.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trading.domain.errors import DamagedFileError, DataProviderError, StateFileError
from trading.market.columns import Columns
from trading.storage.files import sync_folder

if TYPE_CHECKING:
    import duckdb


def write_parquet(path: Path, columns: Mapping[str, NDArray[np.float64] | NDArray[np.int64]]) -> None:
    """Write columns of one length, zstd-compressed, atomically; nan becomes null.

    Raises:
        StateFileError: the file cannot be written.
    """
    import duckdb

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _copy("SELECT * FROM columns", path, columns)
    except (OSError, duckdb.Error) as error:
        raise StateFileError(f"{path}: cannot be written: {_line(error)}; check space and permissions") from error


def read_parquet(
    paths: Sequence[Path], names: Sequence[str], *, start: int | None = None, end: int | None = None
) -> Columns:
    """Read columns of several files that share a schema, ordered by the first column.

    Args:
        paths: The files; at least one.
        names: Columns to read; the first orders the rows.
        start: Least value of the first column; None: from the beginning.
        end: First value of the first column that is left out; None: to the end.

    Raises:
        DamagedFileError: a file is no Parquet, or lacks a column.
        DataProviderError: a file is missing, or the machine cannot open it now.
    """
    import duckdb

    files = "[" + ", ".join(_quoted(path) for path in paths) + "]"
    key = names[0]
    limits = [f"{key} >= {start}"] if start is not None else []
    limits += [f"{key} < {end}"] if end is not None else []
    where = f" WHERE {' AND '.join(limits)}" if limits else ""
    # names and numbers are ours, never a stranger's
    query = f"SELECT {', '.join(names)} FROM read_parquet({files}){where} ORDER BY {key}"  # noqa: S608
    try:
        with _connect() as connection:
            found = connection.execute(query).fetchnumpy()
    except duckdb.Error as error:
        raise _unreadable(paths[0], error) from error
    return {name: _plain(found[name]) for name in names}


def columns_of(path: Path) -> set[str]:
    """Names of a file's columns.

    Raises:
        DataProviderError: the file cannot be read.
    """
    import duckdb

    try:
        with _connect() as connection:
            found = connection.execute(f"SELECT name FROM parquet_schema({_quoted(path)})").fetchall()  # noqa: S608
    except duckdb.Error as error:
        raise _unreadable(path, error) from error
    return {str(row[0]) for row in found}


def span_of(path: Path, key: str) -> tuple[int, int, int] | None:
    """First value, last value and count of a column; None: the file is empty.

    Raises:
        DataProviderError: the file cannot be read.
    """
    import duckdb

    query = f"SELECT min({key}), max({key}), count(*) FROM read_parquet({_quoted(path)})"  # noqa: S608
    try:
        with _connect() as connection:
            row = connection.execute(query).fetchone()
    except duckdb.Error as error:
        raise _unreadable(path, error) from error
    return None if row is None or not row[2] else (int(row[0]), int(row[1]), int(row[2]))


def csv_to_parquet(
    csv: Path,
    target: Path,
    types: Mapping[str, str],
    *,
    keep: Sequence[str],
    values: Mapping[str, str],
    has_header: bool,
) -> None:
    """Turn a CSV into a Parquet file, zstd-compressed, atomically, without holding it in memory.

    Args:
        csv: The file.
        target: Where the Parquet file goes; its folder is there.
        types: Every column of the CSV in its order, with DuckDB's type.
        keep: Which of them are kept, in this order.
        values: Expressions for columns that are not kept as they are.
        has_header: The first row is names.

    Raises:
        DataProviderError: a row does not fit the types.
        StateFileError: the target cannot be written.
    """
    import duckdb

    columns = ", ".join(f"{values.get(name, name)} AS {name}" for name in keep)
    shape = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in types.items()) + "}"
    read = f"read_csv({_quoted(csv)}, columns={shape}, header={str(has_header).lower()}, delim=',', auto_detect=false)"
    try:
        _copy(f"SELECT {columns} FROM {read}", target)  # noqa: S608  # our own names
    except (OSError, duckdb.IOException) as error:
        raise StateFileError(f"{target}: cannot be written: {_line(error)}; check space and permissions") from error
    except duckdb.Error as error:
        raise DataProviderError(f"{csv.name}: not rows of {', '.join(keep)}: {_line(error)}") from error


def _copy(query: str, path: Path, columns: Mapping[str, NDArray[np.float64] | NDArray[np.int64]] | None = None) -> None:
    """What a query gives as a file, whole or not at all; `columns` is a table that it may name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _connect() as connection:
            if columns is not None:
                connection.register("columns", dict(columns))
            connection.execute(f"COPY ({query}) TO {_quoted(temporary)} (FORMAT parquet, COMPRESSION zstd)")
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _connect() -> duckdb.DuckDBPyConnection:
    """A connection of its own for one call: to this process's database, which is dear to open."""
    return _database(os.getpid()).cursor()


@cache
def _database(_pid: int) -> duckdb.DuckDBPyConnection:
    """In memory, and empty; a forked process opens another."""
    import duckdb

    return duckdb.connect(config={"threads": 1})


def _plain(values: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64] | NDArray[np.int64]:
    """Nulls come as a masked array; floats get nan for them."""
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(np.float64), np.nan)
    return values


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _unreadable(path: Path, error: duckdb.Error) -> DataProviderError:
    """Damage, or a machine that could not open or hold the file just now: that says nothing of what is in it."""
    import duckdb

    words = f"{path}: cannot be read: {_line(error)}"
    if isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException):
        return DataProviderError(f"{words}; see whether it is there, and what the machine lacks")
    return DamagedFileError(f"{words}; fetch or copy it again")


def _line(error: Exception) -> str:
    """What went wrong, without the query that asked for it."""
    return " ".join(str(error).partition("LINE 1:")[0].split())[:160]
