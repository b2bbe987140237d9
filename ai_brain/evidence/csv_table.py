"""A table as the bytes of a CSV file, and back; the same rows are the same bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from trading.domain.errors import StateFileError


def csv_bytes(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> bytes:
    """The names of the columns, then a line a row."""
    out = io.StringIO(newline="")
    table = csv.writer(out, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    return out.getvalue().encode()


def csv_rows(content: bytes, columns: Sequence[str], *, table: str) -> Iterator[tuple[int, Sequence[str]]]:
    """Every row with the number of its line, counted from 1 as an editor does.

    Raises:
        StateFileError: it is not that table; names the line and what is wrong there.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise StateFileError(f"{table}: byte {error.start} is no UTF-8; let the strategy be judged anew") from error
    head, *rows = list(csv.reader(io.StringIO(text, newline=""))) or [[]]
    if tuple(head) != tuple(columns):
        raise StateFileError(f"{table}: line 1: {','.join(head)[:80]!r}: expected {','.join(columns)}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            raise StateFileError(f"{table}: line {number}: {len(row)} fields, expected {len(columns)}")
        yield number, row
