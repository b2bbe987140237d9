"""When a contract settles its funding, read from the settlements themselves: the schedule is data.

A contract settles every 8, 4, 2 or 1 h, on hours that are multiples of that, and the venue changes the interval of a
contract while it trades. A settlement that should be there and is not is a gap, with its time; it is never a payment
of zero.

The reading is the cheapest account of the stamps: a hole costs 1 and half of that for each further settlement missing
in it, four at most being counted; a change of the interval costs `CHANGE_COST`. So what follows decides: one wide step
between narrow ones is a hole, three that do not narrow again are a change, and so are three steps of 4 h in the middle
of hourly ones. A settlement off the grid of 8 h proves a narrower interval at once. Where the data end before they
tell, the hole is reported as not certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading.domain.clock import HOUR_MS, iso
from trading.market.tape import Funding

INTERVALS_H = (8, 4, 2, 1)
"""Every interval the venue has; each divides the one before it."""
DEFAULT_INTERVAL_MS = 8 * HOUR_MS
"""What a contract settles by where nothing was told."""
JITTER_MS = 1_000
"""Stamps lie this close to their hour; the largest in the recorded files is 47 ms after it."""
CHANGE_COST = 2.5
"""Of a change of the interval. The venue goes back from hourly to 4 h after 16 quiet hours at the earliest (its rule
since 2026-01-02), so a stretch lasts for many settlements."""
_COUNTED = 4
"""Most missing settlements of one hole that make it dearer: a hole of a week is no more likely to be a change."""
_CONTRADICTS = 10.0
"""Cost of a step that disagrees with what the venue itself said of that time."""


class Told(NamedTuple):
    """What the venue said of a contract's interval (`fundingInfo`)."""

    at_ms: int
    interval_ms: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Settlements with one interval between them, missing ones included."""

    from_ms: int
    """The settlement after which the interval holds; of the first stretch its first settlement."""
    to_ms: int
    """Its last settlement, and `from_ms` of the next stretch."""
    interval_ms: int


@dataclass(frozen=True, slots=True)
class Hole:
    """A settlement between two recorded ones that is not there."""

    time_ms: int
    is_certain: bool
    """False: it lies at the end or the beginning of the data, where a wider interval accounts for it as well."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the stamps of one contract say."""

    stretches: tuple[Stretch, ...]
    """Oldest first; empty with fewer than two settlements."""
    holes: tuple[Hole, ...]
    off_hour_ms: tuple[int, ...]
    """Stamps further than `JITTER_MS` from a full hour; they are no settlements of any schedule."""
    doubled_ms: tuple[int, ...]
    """Stamps of an hour that had one already."""


class Lack(StrEnum):
    """How a settlement is missing."""

    HOLE = "between two recorded ones"
    DOUBTFUL = "between two recorded ones, or the interval was wider there"
    BEFORE = "before the first recorded one"
    AFTER = "after the last recorded one"
    ALL = "none is recorded"


@dataclass(frozen=True, slots=True)
class MissingSettlement:
    """A time at which a contract settled and of which nothing is recorded."""

    time_ms: int
    lack: Lack

    def __str__(self) -> str:
        return f"{iso(self.time_ms)} ({self.lack})"


def read_schedule(time_ms: NDArray[np.int64], told: Sequence[Told] = ()) -> Schedule:
    """Stretches of one interval, and what is missing in them.

    Not decidable from stamps, and resolved the same way each time: an interval that widens at a time both intervals
    settle at is taken to widen as late as possible; a settlement missing right where the interval narrows is taken for
    one more of the wide interval.

    Args:
        time_ms: (m,) the venue's stamps with their jitter, increasing.
        told: What the venue said of some times, in any order; it outweighs the stamps around it.
    """
    hours = (time_ms + HOUR_MS // 2) // HOUR_MS
    is_on = np.abs(time_ms - hours * HOUR_MS) <= JITTER_MS
    off = tuple(int(ms) for ms in time_ms[~is_on])
    on, first = np.unique(hours[is_on], return_index=True)
    again = np.ones(int(is_on.sum()), dtype=np.bool_)
    again[first] = False
    doubled = tuple(int(ms) for ms in time_ms[is_on][again])
    if len(on) < 2:
        return Schedule((), (), off, doubled)
    states = _cheapest(on, told)
    return Schedule(_stretches(on, states), _holes(on, states), off, doubled)


def missing_settlements(
    funding: Funding, start_ms: int, end_ms: int, told: Sequence[Told] = ()
) -> list[MissingSettlement]:
    """Settlements of a contract inside (start, end) that are not recorded, oldest first.

    The ends themselves are left out: one at the start met nobody who entered later, one at the end meets the next bar.
    Before the first and after the last recorded settlement the interval beside them is taken to hold, unless the venue
    said another of the time after the last; with none at all the venue's default of 8 h.
    """
    schedule = read_schedule(funding.time_ms, told)
    if not schedule.stretches:
        known = {int(ms) for ms in (funding.time_ms + HOUR_MS // 2) // HOUR_MS * HOUR_MS}
        every = [ms for ms in _grid(start_ms, end_ms, DEFAULT_INTERVAL_MS) if ms not in known]
        return [MissingSettlement(ms, Lack.ALL) for ms in every]
    first, last = schedule.stretches[0], schedule.stretches[-1]
    before = _grid(start_ms, min(first.from_ms, end_ms), first.interval_ms)
    later = sorted(word for word in told if word.at_ms > last.to_ms)
    after = _grid(max(last.to_ms, start_ms), end_ms, later[0].interval_ms if later else last.interval_ms)
    holes = [hole for hole in schedule.holes if start_ms < hole.time_ms < end_ms]
    return [
        *(MissingSettlement(ms, Lack.BEFORE) for ms in before),
        *(MissingSettlement(hole.time_ms, Lack.HOLE if hole.is_certain else Lack.DOUBTFUL) for hole in holes),
        *(MissingSettlement(ms, Lack.AFTER) for ms in after),
    ]


def _grid(after_ms: int, before_ms: int, interval_ms: int) -> range:
    """Multiples of an interval strictly between two times."""
    return range((after_ms // interval_ms + 1) * interval_ms, before_ms, interval_ms)


def _missing_counts(hours: NDArray[np.int64]) -> NDArray[np.int64]:
    """(steps, intervals) settlements strictly inside each step, were that interval the schedule there."""
    grid = np.array(INTERVALS_H, dtype=np.int64)
    counts: NDArray[np.int64] = (hours[1:, None] - 1) // grid - hours[:-1, None] // grid
    return counts


def _cheapest(hours: NDArray[np.int64], told: Sequence[Told]) -> NDArray[np.intp]:
    """(steps,) which of `INTERVALS_H` holds over each step between two settlements."""
    grid = np.array(INTERVALS_H)
    missing = _missing_counts(hours)
    costs = np.where(missing > 0, 0.5 + np.minimum(missing, _COUNTED) / 2.0, 0.0)
    costs[hours[1:, None] % grid != 0] = np.inf
    marks = np.zeros(len(costs), dtype=np.int64)
    for number, word in enumerate(told, start=1):
        step = int(np.searchsorted(hours * HOUR_MS, word.at_ms, side="left")) - 1
        agrees = grid * HOUR_MS == word.interval_ms
        is_just_after = step == len(costs) and word.at_ms < int(hours[-1]) * HOUR_MS + DEFAULT_INTERVAL_MS
        if is_just_after and costs[-1, agrees].sum() == 0.0:
            step -= 1  # said after the last settlement, it accounts for the step up to it
        if 0 <= step < len(costs):
            costs[step, ~agrees] += _CONTRADICTS
            marks[step] = number
    # Equal steps in a row cost the same each, so a change among them is never cheaper than one at their ends.
    steps = np.diff(hours)
    starts = np.flatnonzero(np.concatenate(([True], (steps[1:] != steps[:-1]) | (marks[1:] != marks[:-1]))))
    chosen = _path(np.add.reduceat(costs, starts, axis=0))
    return np.asarray(np.repeat(chosen, np.diff(np.append(starts, len(steps)))), dtype=np.intp)


def _path(costs: NDArray[np.float64]) -> NDArray[np.intp]:
    """(n,) the cheapest state of each run; a tie keeps the state, so that a change comes as late as it can."""
    came_from = np.zeros(costs.shape, dtype=np.intp)
    total = costs[0]
    for run in range(1, len(costs)):
        best = int(np.argmin(total))
        is_kept = total <= total[best] + CHANGE_COST
        came_from[run] = np.where(is_kept, np.arange(len(total)), best)
        total = np.where(is_kept, total, total[best] + CHANGE_COST) + costs[run]
    states = np.zeros(len(costs), dtype=np.intp)
    states[-1] = np.argmin(total)
    for run in range(len(costs) - 1, 0, -1):
        states[run - 1] = came_from[run, states[run]]
    return states


def _stretches(hours: NDArray[np.int64], states: NDArray[np.intp]) -> tuple[Stretch, ...]:
    starts = np.flatnonzero(np.concatenate(([True], np.diff(states) != 0)))
    edges = [*starts.tolist(), len(states)]
    return tuple(
        Stretch(int(hours[a]) * HOUR_MS, int(hours[b]) * HOUR_MS, INTERVALS_H[states[a]] * HOUR_MS)
        for a, b in pairwise(edges)
    )


def _holes(hours: NDArray[np.int64], states: NDArray[np.intp]) -> tuple[Hole, ...]:
    """Every settlement missing inside a step, and whether a wider interval up to an end of the data does as well."""
    missing = _missing_counts(hours)[np.arange(len(states)), states]
    steps = np.diff(hours)
    is_wide = (missing > 0) & np.isin(steps, INTERVALS_H) & (hours[1:] % steps == 0)
    ends_differ = np.flatnonzero(steps != steps[0]), np.flatnonzero(steps != steps[-1])
    head = int(ends_differ[0][0]) if len(ends_differ[0]) else len(steps)
    tail = int(ends_differ[1][-1]) + 1 if len(ends_differ[1]) else 0
    found = list[Hole]()
    for step in np.flatnonzero(missing > 0).tolist():
        is_certain = not (is_wide[step] and (step < head or step >= tail))
        grid = _grid(int(hours[step]) * HOUR_MS, int(hours[step + 1]) * HOUR_MS, INTERVALS_H[states[step]] * HOUR_MS)
        found += [Hole(ms, is_certain) for ms in grid]
    return tuple(found)
