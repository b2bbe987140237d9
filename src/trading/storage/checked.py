"""State files as the objects they hold: what does not fit is set aside, never lost, and named in one line."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from trading.domain.errors import StateFileError
from trading.domain.first_fault import first_fault
from trading.storage.files import read_json, set_aside

Kept = TypeVar("Kept")


def read_checked(
    path: Path,
    kind: TypeAdapter[Kept],
    *,
    schema: int,
    needs: Collection[str] = (),
    mend: str = "",
) -> Kept | None:
    """What a file holds; None: there is no such file. Arguments as of `read_json` and `checked`.

    Raises:
        StateFileError: the file cannot be read, or does not fit; it has been set aside as `NAME.bad-N`.
    """
    data = read_json(path, schema=schema, needs=needs)
    return None if data is None else checked(path, data, kind, mend=mend)


def checked(path: Path, data: Mapping[str, object], kind: TypeAdapter[Kept], *, mend: str = "") -> Kept:
    """What was read of a file, as what it is.

    Args:
        path: The file, to be set aside where it does not fit.
        data: Read of it.
        kind: What it is.
        mend: What to do then, the end of the message; empty: whoever calls says it.

    Raises:
        StateFileError: it does not fit; the file has been set aside.
    """
    try:
        return kind.validate_python(data)
    except ValidationError as error:
        kept = set_aside(path).name
        raise StateFileError(
            f"{path}: {first_fault(error)}; set aside as {kept}{', ' if mend else ''}{mend}"
        ) from error
