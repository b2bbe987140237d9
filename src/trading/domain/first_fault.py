"""What a model refused, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

SHOWN = 80
"""Signs of a value that are shown; it may be a whole file."""


def first_fault(error: ValidationError, *, whole: str = "") -> str:
    """The first thing that a model did not take: where, the beginning of the value, what was expected.

    Args:
        error: Pydantic's.
        whole: What all of it is called, where it is no part that was refused; empty: it is not named.
    """
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or whole
    if not where:
        return first["msg"]
    value = "" if first["type"] == "missing" else f"={first['input']!r:.{SHOWN}}"  # what lacks a part is no value of it
    return f"{where}{value}: {first['msg']}"
