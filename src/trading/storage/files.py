"""Atomic files: a reader sees the old content or the new, never half; what cannot be read is set aside, never lost."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path

from trading.domain.errors import StateFileError


def write_atomic(path: Path, content: bytes) -> None:
    """Replace a file's content: temporary file beside it, fsync, rename, fsync of the folder.

    Raises:
        StateFileError: the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # where nothing can be written, nothing can be removed either
            temporary.unlink(missing_ok=True)
        raise StateFileError(f"{path}: cannot be written: {error.strerror}; check space and permissions") from error


def remove(path: Path) -> bool:
    """Remove a file; False: there was none.

    Raises:
        StateFileError: it cannot be removed.
    """
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StateFileError(f"{path}: cannot be removed: {error.strerror}; check space and permissions") from error
    return True


def append_line(path: Path, line: bytes) -> None:
    """Append one line and fsync it: when this returns, the line is on disk.

    Raises:
        StateFileError: the file cannot be written to; it is as it was before.
    """
    try:
        with path.open("ab", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            try:
                _write_all(file, line + b"\n")
                os.fsync(file.fileno())
            except OSError:
                # A full disk takes half of a line, and the next one would be written right behind it.
                file.truncate(before)
                raise
    except OSError as error:
        raise StateFileError(f"{path}: cannot be appended to: {error.strerror}; check space and permissions") from error


def _write_all(file: FileIO, content: bytes) -> None:
    """Every byte: without a buffer a write may take only some of them."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def set_torn_aside(path: Path, torn: bytes, *, keep_bytes: int) -> Path:
    """Take a last line that a crash tore out of a file of lines, into a file of its own beside it; that file.

    Args:
        path: The file of lines.
        torn: The part of a line at its end.
        keep_bytes: Where the last whole line ends.
    """
    number = 1
    while (target := path.with_name(f"{path.name}.torn-{number}")).exists():
        number += 1
    write_atomic(target, torn)
    with path.open("r+b") as file:
        file.truncate(keep_bytes)
    return target


def write_json(path: Path, data: Mapping[str, object], *, schema: int) -> None:
    """Write a JSON object atomically, with its schema version as `schema`, two spaces indented."""
    text = json.dumps({"schema": schema, **data}, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomic(path, text.encode() + b"\n")


def read_json(
    path: Path, *, schema: int, oldest: int | None = None, needs: Collection[str] = ()
) -> dict[str, object] | None:
    """Read a JSON object written by `write_json`.

    Args:
        path: The file.
        schema: The version that is written now.
        oldest: The oldest version that can still be read; None: only `schema`.
        needs: Keys that every file of its kind has: one without is none of ours, and must not count as all defaults.

    Returns:
        The object without its `schema` key; None: there is no such file.

    Raises:
        StateFileError: not JSON, no object, of another schema, or without what it needs; it has been set aside as
            `NAME.bad-N`.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateFileError(f"{path}: cannot be read: {error.strerror}; check its permissions") from error
    try:
        data = json.loads(raw)
    except ValueError as error:
        kept = set_aside(path)
        raise StateFileError(
            f"{path}: not JSON ({error}); set aside as {kept.name}, restore it from a backup"
        ) from error
    readable = range(schema if oldest is None else oldest, schema + 1)
    if not isinstance(data, dict) or data.get("schema") not in readable:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        kept = set_aside(path)
        raise StateFileError(f"{path}: schema={found!r}, expected {schema}; set aside as {kept.name}")
    data.pop("schema")
    if missing := [name for name in needs if name not in data]:
        kept = set_aside(path)
        raise StateFileError(f"{path}: lacks {missing[0]!r}; set aside as {kept.name}, restore it from a backup")
    return data


def set_aside(path: Path) -> Path:
    """Rename an unreadable file to the first free `NAME.bad-N`, so that nothing overwrites it."""
    number = 1
    while (target := path.with_name(f"{path.name}.bad-{number}")).exists():
        number += 1
    path.rename(target)
    sync_folder(path.parent)
    return target


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
