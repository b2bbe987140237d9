"""Bars as recipes are fed with them, and what recipes remember between feeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]
Feed = Callable[[Column], Column]


class Settled(NamedTuple):
    """Funding settled since the bars before, read-only, oldest first."""

    time_ms: NDArray[np.int64]
    """(k,) settlements on the minute."""
    rate: Column
    """(k,) fraction of notional."""
    known: NDArray[np.int64]
    """(m,) how many of them are settled strictly before each bar's close."""


def nothing_settled() -> Settled:
    """For bars of which no settlement is known: funding indicators have no value there."""
    nothing, no_rate = np.empty(0, dtype=np.int64), np.empty(0)
    nothing.flags.writeable = no_rate.flags.writeable = False
    return Settled(nothing, no_rate, nothing)


NOTHING_SETTLED = nothing_settled()


class Chunk(NamedTuple):
    """Bars in order, (m,) each, read-only."""

    open_ms: NDArray[np.int64]
    open: Column
    high: Column
    low: Column
    close: Column
    volume: Column
    funding: Column
    """The last settled rate at each close, fraction of notional; nan before the first."""
    basis: Column
    """close / close of the spot bar beside it - 1, fraction; nan where that is not known."""
    settled: Settled = NOTHING_SETTLED
    """The settlements themselves."""


def cut_chunk(bars: Chunk, first: int, stop: int) -> Chunk:
    """Bars `first` to `stop` (exclusive) as views, with the settlements that they are the first to know."""
    told, known = (bars.settled.known[first - 1] if first else 0), bars.settled.known[first:stop]
    until = known[-1] if len(known) else told
    counts = known - told
    counts.flags.writeable = False
    settled = Settled(bars.settled.time_ms[told:until], bars.settled.rate[told:until], counts)
    columns = {name: getattr(bars, name)[first:stop] for name in bars._fields if name != "settled"}
    return Chunk(**columns, settled=settled)


Recipe = Callable[[Chunk], Column]


class Memory:
    """What recipes remember between chunks, in the order they were built."""

    def __init__(self) -> None:
        self.arrays: list[NDArray[np.float64]] = []

    def new(self, size: int, fill: float) -> NDArray[np.float64]:
        """An array that survives from chunk to chunk."""
        self.arrays.append(np.full(size, fill))
        return self.arrays[-1]


def frozen(array: Column) -> Column:
    """The same array, read-only: kernels see one kind of array, tape columns and computed ones alike."""
    array.flags.writeable = False
    return array


def lagged(memory: Memory, bars: int) -> Feed:
    """The value `bars` bars ago; nan before there is one."""
    tail = memory.new(bars, np.nan)

    def feed(x: Column) -> Column:
        whole = np.concatenate((tail, x))
        tail[:] = whole[len(whole) - bars :]
        return frozen(whole[: len(x)])

    return feed
