"""Settlements of a perpetual on the shelf, and the list of what came again with other numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trading.domain.errors import DamagedFileError, DataProviderError
from trading.market.importers import SETTLEMENT, read_funding
from trading.market.parquet import write_parquet
from trading.market.store_months import Revision
from trading.market.tape import Funding
from trading.storage.files import append_line, set_aside
from trading.storage.lock import waiting_lock

_FETCH = "run `./lab history fetch` with `--market funding`"


def merge_settlements(path: Path, offered: Funding, *, offered_counts: bool) -> int:
    """Add settlements to a file; returns how many are new.

    A mark that was not known is taken over. Of two rates for one time the held one stays, or with `offered_counts` the
    offered one; the other is put aside as a revision.

    Raises:
        DataProviderError: the file is damaged; set aside.
        StateFileError: the file cannot be written.
    """
    if len(offered.time_ms) == 0:
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with waiting_lock(path.with_name(".lock")):
        held = _read(path, -1, 2**62) if path.exists() else Funding.none()
        first, second = (offered, held) if offered_counts else (held, offered)
        both, i, j = np.intersect1d(first.time_ms, second.time_ms, return_indices=True)
        other = first.rate[i] != second.rate[j]
        marks = np.array(first.mark_price)
        filled = np.isnan(marks[i]) & ~np.isnan(second.mark_price[j]) & ~other
        marks[i[filled]] = second.mark_price[j[filled]]
        fresh = ~np.isin(second.time_ms, first.time_ms)
        times = np.concatenate([first.time_ms, second.time_ms[fresh]])
        order = np.argsort(times)
        rates = np.concatenate([first.rate, second.rate[fresh]])[order]
        merged = Funding(times[order], rates, np.concatenate([marks, second.mark_price[fresh]])[order])
        revised = (
            Revision(int(both[k]), (float(first.rate[i[k]]),), (float(second.rate[j[k]]),))
            for k in np.flatnonzero(other)
        )
        # Before the file: what is replaced is found nowhere else afterwards.
        note_revisions(path.with_name("funding.revisions.jsonl"), revised)
        if not is_same(merged, held):
            columns = (merged.time_ms, merged.rate, merged.mark_price)
            write_parquet(path, dict(zip(SETTLEMENT, columns, strict=True)))
    return len(merged.time_ms) - len(held.time_ms)


def read_settlements(path: Path, start_ms: int, end_ms: int) -> Funding:
    """Settlements in (start, end] of a file; none when nothing was ever held.

    Raises:
        DataProviderError: the file is damaged, and set aside; or it was, and what was in it is not back yet: a
            perpetual without settlements would look as if it cost nothing to hold.
    """
    if path.exists():
        return _read(path, start_ms, end_ms)
    if any(path.parent.glob(f"{path.name}.bad-*")):
        raise DataProviderError(f"{path}: was damaged and set aside, and has not been fetched since; {_FETCH}")
    return Funding.none()


def _read(path: Path, start_ms: int, end_ms: int) -> Funding:
    try:
        return read_funding(path, start_ms=start_ms, end_ms=end_ms)
    except DamagedFileError as error:
        kept = set_aside(path)
        raise DataProviderError(f"{error}; set aside as {kept.name}; {_FETCH}") from error


def is_same(a: Funding, b: Funding) -> bool:
    """Both have the same settlements, an unknown mark being equal to another."""
    return (
        np.array_equal(a.time_ms, b.time_ms)
        and np.array_equal(a.rate, b.rate)
        and np.array_equal(a.mark_price, b.mark_price, equal_nan=True)
    )


def note_revisions(path: Path, revised: Iterable[Revision]) -> None:
    """Append revisions to a list, each once, all in one write.

    Raises:
        StateFileError: the list cannot be appended to.
    """
    lines = [
        json.dumps({"open_time_ms": one.open_time_ms, "held": one.held, "offered": one.offered}) for one in revised
    ]
    before = path.read_text(encoding="utf-8") if lines and path.exists() else ""
    known = set(before.splitlines())
    new = [line for line in lines if line not in known]
    if new:
        torn = "\n" if before and not before.endswith("\n") else ""
        append_line(path, (torn + "\n".join(new)).encode())
