"""`ID.curve.csv`: the equity of everything a strategy was looked at on, bar by bar, search to vault.

One line a bar: its open time, marked equity at its close, and the stretch it lies in. Each stretch was run from a flat
book; here it goes on with what the one before it ended with. Bars that were purged before a stretch are absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.chain import chained
from ai_brain.evidence.csv_table import csv_bytes, csv_rows
from ai_brain.evidence.run import Run
from trading.domain.clock import iso, parse_iso
from trading.domain.errors import StateFileError

CURVE_COLUMNS = ("bar", "equity_quote", "stretch")
STRETCH = re.compile(r"search|vault|walk-forward [1-9][0-9]*/[1-9][0-9]*")
"""What a stretch of the file may be called."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bars of one stretch: rows [first, stop) of the curve."""

    name: str
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class Curve:
    """Equity of a record; at least one bar."""

    open_time_ms: NDArray[np.int64]
    """(n,) ascending; holes where bars were purged."""
    equity: NDArray[np.float64]
    """(n,) quote, marked at each close, compounded over the stretches."""
    stretch: tuple[str, ...]
    """(n,) `search`, `walk-forward 1/4`, ..., `vault`."""

    def __len__(self) -> int:
        return len(self.open_time_ms)

    @property
    def spans(self) -> tuple[Span, ...]:
        """Its stretches, oldest first."""
        found, first = list[Span](), 0
        for name, rows in groupby(self.stretch):
            stop = first + sum(1 for _ in rows)
            found.append(Span(name, first, stop))
            first = stop
        return tuple(found)

    def returns(self, starting_quote: float) -> NDArray[np.float64]:
        """(n,) per bar, fractions; the first against the starting equity, that of a stretch against the one before."""
        return self.equity / np.concatenate(([starting_quote], self.equity[:-1])) - 1.0


def curve_csv(runs: Mapping[str, Run]) -> bytes:
    """Runs as the table, chained; numbers to the last bit.

    Args:
        runs: By the names of their stretches, oldest first, no bar in two of them. None: no bytes.

    Raises:
        ValueError: a name is none of a stretch.
    """
    if not runs:
        return b""
    for name in runs:
        if not STRETCH.fullmatch(name):
            raise ValueError(f"curve: stretch={name!r}: give `search`, `walk-forward 1/4` ... or `vault`")
    whole = chained(list(runs.values()))
    names = [name for name, run in runs.items() for _ in range(run.bars)]
    bars = np.datetime_as_string(whole.open_time_ms.astype("datetime64[ms]"), unit="s", timezone="UTC").tolist()
    return csv_bytes(CURVE_COLUMNS, zip(bars, map(repr, whole.equity.tolist()), names, strict=True))


def read_curve(content: bytes) -> Curve:
    """The table back.

    Raises:
        StateFileError: it is none; names the line and what is wrong there.
    """
    times, equity, names = list[int](), list[float](), list[str]()
    for number, row in csv_rows(content, CURVE_COLUMNS, table="curve"):
        ms, value, name = _row(number, row)
        if times and ms <= times[-1]:
            raise _unfit(number, "bar", row[0], f"not after {iso(times[-1])}, the bar before it")
        if names and name != names[-1] and name in names:
            raise _unfit(number, "stretch", name, "comes a second time, after another")
        times.append(ms)
        equity.append(value)
        names.append(name)
    if not times:
        raise StateFileError("curve: it has no bar; let the strategy be judged anew")
    return Curve(np.array(times, dtype=np.int64), np.array(equity), tuple(names))


def _row(number: int, row: Sequence[str]) -> tuple[int, float, str]:
    bar, amount, name = row
    try:
        ms = parse_iso(bar)
    except ValueError as error:
        raise _unfit(number, "bar", bar, "not a time such as 2024-01-01T00:00:00Z") from error
    try:
        value = float(amount)
    except ValueError as error:
        raise _unfit(number, "equity_quote", amount, "not a number") from error
    if not (isfinite(value) and value > 0.0):
        raise _unfit(number, "equity_quote", amount, "not an equity above 0")
    if not STRETCH.fullmatch(name):
        raise _unfit(number, "stretch", name, "none of search, walk-forward 1/4 ..., vault")
    return ms, value, name


def _unfit(number: int, column: str, value: str, why: str) -> StateFileError:
    return StateFileError(f"curve: line {number}: {column}={value[:80]!r}: {why}; let the strategy be judged anew")
