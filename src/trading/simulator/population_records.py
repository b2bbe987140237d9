"""What crosses into the kernel of many strategies: their scores, a stretch of bars, their plans, closed trades."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading.simulator.chunk import frozen
from trading.simulator.records import Columns, record

LISTS = 4
"""Of terms a strategy, in the order of the flags' bits: entry long, entry short, exit long, exit short."""


OPEN, HIGH, LOW, CLOSE, ATR, SIGMA_BEFORE, QUOTE_VOLUME_BEFORE, ATR_BEFORE = range(8)
"""Places in a row of bars; the last three of the bar before, by which a fill at this open is priced."""
ROW = 8
"""Numbers a row: 64 bytes."""


class ScoreRow:
    """What a strategy's metrics are made of, up to the last bar marked."""

    equity: float
    """At the last close."""
    sum_1: float
    """Of returns per bar."""
    sum_2: float
    """Of their squares, and so on."""
    sum_3: float
    sum_4: float
    sum_2_down: float
    """Of the squares of the negative ones."""
    drawdown: float
    """Largest fall on closes, fraction."""
    day_equity: float
    """At the end of the day before."""
    days: int
    """Closed ones."""
    day_sum_1: float
    day_sum_2: float
    day_lowest: float
    day_highest: float
    won: float
    """Sum of net results above 0, quote."""
    lost: float
    """Of those below 0, as a positive number."""
    wins: int
    bars_held: int
    """Bars with a position at their close."""


SCORE = record(ScoreRow)


class Stretch(NamedTuple):
    """What all strategies of a population see of the bars."""

    rows: NDArray[np.float64]
    """(n + 1, ROW) one bar a row; of the row after the last bar only what is of the bar before it is read."""
    open_ms: NDArray[np.int64]
    funding_open: NDArray[np.float64]
    """This and the next two as in `records.Columns`; read on special bars only."""
    funding_long_pays: NDArray[np.float64]
    funding_short_pays: NDArray[np.float64]
    special: NDArray[np.uint64]
    """Bars with a settlement, or after a hole: they concern whoever holds."""
    day_starts: NDArray[np.uint64]
    """Bars of another UTC day than the bar before."""
    words: NDArray[np.uint64]
    """(c, w) one row a comparison."""
    bars: int


class Plans(NamedTuple):
    """What each strategy is, by its place in the population."""

    terms: NDArray[np.int64]
    """Rows of `words`, list after list."""
    starts: NDArray[np.int64]
    """(LISTS * n + 1,) where each list of terms begins."""
    numbers: NDArray[np.void]
    """(n,) of RULES."""


class Closed(NamedTuple):
    """Where closed trades go."""

    trades: NDArray[np.void]
    """(m,) of FILL; m = 0: they are counted, not kept."""
    owners: NDArray[np.int64]
    """(m,) place of the strategy."""


def rows_of(columns: Columns, atr: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n + 1, ROW) bars by the places above, read-only; each row lies on one line of the processor's cache."""
    count = len(atr)
    room = np.zeros((count + 2) * ROW)
    first = -(room.ctypes.data // room.itemsize) % ROW
    rows = room[first : first + (count + 1) * ROW].reshape(-1, ROW)
    for place, column in enumerate((columns.open, columns.high, columns.low, columns.close, atr)):
        rows[:-1, place] = column
    before = {SIGMA_BEFORE: columns.sigma, QUOTE_VOLUME_BEFORE: columns.quote_volume, ATR_BEFORE: atr}
    for place, column in before.items():
        rows[1:, place] = column
    return frozen(rows)
