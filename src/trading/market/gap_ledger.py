"""What is missing in a history, and why: each hole with its cause and the evidence for it. Pure.

Told apart: the exchange stood still, the source lost candles, the market was printed flat while it stood still, the
symbol was not listed yet or no longer. What no witness can settle is `UNKNOWN`, which is no excuse for a hole.

A witness is anything else that can say whether there was trading: the exchange's own pages asked a second time, the
same symbol at another interval, another symbol of the same market.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from trading.domain.clock import iso
from trading.market.columns import Columns
from trading.market.delisting import FLAT_TAIL_MS

CHANCE_MAX = 0.01
"""Runs of tradeless candles of which fewer than this many are expected by chance are told as an outage."""
SHORTEST_FLAT_BARS = 2


class Cause(StrEnum):
    """Why candles are missing, or are there without meaning anything."""

    EXCHANGE_HALT = "exchange halt"
    SOURCE_HOLE = "source hole"
    FLAT_OUTAGE = "flat outage"
    NOT_LISTED = "not listed yet"
    DELISTED = "delisted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Hole:
    """Candles that are missing, or flat without a trade, in one row."""

    first_ms: int
    """Open time of the first of them, UTC milliseconds."""
    bars: int
    cause: Cause
    evidence: tuple[str, ...]
    """What each witness says, a sentence each."""


@dataclass(frozen=True, slots=True)
class Witness:
    """Somebody else's candles over the same time."""

    name: str
    """As evidence names it: `the exchange's pages`, `spot ETHUSDT 1h`."""
    times: NDArray[np.int64]
    """(m,) open times it has, ascending."""
    span_ms: int
    """Length of its candles; any of the lab's intervals."""
    first_ms: int
    """It can speak of what opens from here on..."""
    end_ms: int
    """...and before this."""
    is_same_market: bool = False
    """It is another record of the very symbol: what it has was lost by the source."""
    has_none_since: bool = False
    """Nor has it anything later: the symbol's own record ends there."""
    refusal: str = ""
    """It would not speak of that stretch, and why."""

    def count(self, first_ms: int, end_ms: int, interval_ms: int) -> int | None:
        """Candles of an interval it has in [first, end); None: it cannot speak of that stretch.

        A longer candle speaks only where it lies inside the stretch whole: at an edge it may be made of what came
        before.
        """
        if self.span_ms > interval_ms:
            first_ms, end_ms = -(-first_ms // self.span_ms) * self.span_ms, end_ms // self.span_ms * self.span_ms
        if self.refusal or first_ms >= end_ms or first_ms < self.first_ms or end_ms > self.end_ms:
            return None
        low, high = np.searchsorted(self.times, [first_ms, end_ms])
        if self.span_ms >= interval_ms:
            return int(high - low) * (self.span_ms // interval_ms)
        return len(np.unique(self.times[low:high] // interval_ms))


@dataclass(frozen=True, slots=True)
class Listing:
    """Since when and until when a symbol is traded, as far as it is known."""

    from_ms: int | None = None
    until_ms: int | None = None
    source: str = "the exchange's own listing"


NOT_KNOWN = Listing()


def missing(times: NDArray[np.int64], interval_ms: int, start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """Stretches without a candle among those that open in [start, end): (open time of the first, how many).

    Args:
        times: (n,) open times held, ascending, on the grid; n may be 0.
        interval_ms: Length of a candle.
        start_ms: Rounded up to the grid.
        end_ms: Rounded up to the grid.
    """
    start_ms, end_ms = (-(-ms // interval_ms) * interval_ms for ms in (start_ms, end_ms))
    inside = times[(times >= start_ms) & (times < end_ms)]
    edges = np.concatenate(([start_ms - interval_ms], inside, [max(end_ms, start_ms)])).astype(np.int64)
    steps = np.diff(edges)
    return [
        (int(edges[i]) + interval_ms, int(steps[i] // interval_ms) - 1) for i in np.flatnonzero(steps > interval_ms)
    ]


def holes_in(
    candles: Columns,
    interval_ms: int,
    stretches: Sequence[tuple[int, int]],
    *,
    witnesses: Sequence[Witness] = (),
    listing: Listing = NOT_KNOWN,
) -> list[Hole]:
    """Every hole of some stretches, and every flat run without a trade that is no accident, oldest first.

    Args:
        candles: open_time and, where the series has trades, volume, high and low; ascending.
        interval_ms: Length of a candle.
        stretches: Open times from the first to before the second of each are asked about.
        witnesses: Who else was there.
        listing: When the symbol was traded.
    """
    times = np.asarray(candles["open_time"], dtype=np.int64)
    found = [
        _judged(first_ms, bars, times, interval_ms, witnesses, listing)
        for stretch in stretches
        for first_ms, bars in missing(times, interval_ms, *stretch)
    ]
    if "volume" in candles and len(times):
        found += _flat_runs(candles, times, interval_ms, listing)
    return sorted(found, key=lambda hole: hole.first_ms)


def _judged(
    first_ms: int,
    bars: int,
    times: NDArray[np.int64],
    interval_ms: int,
    witnesses: Sequence[Witness],
    listing: Listing,
) -> Hole:
    end_ms = first_ms + bars * interval_ms
    hole = Hole(first_ms, bars, Cause.UNKNOWN, ())
    if listing.from_ms is not None and end_ms <= listing.from_ms + interval_ms:
        return replace(hole, cause=Cause.NOT_LISTED, evidence=(f"listed {iso(listing.from_ms)} by {listing.source}",))
    if listing.until_ms is not None and first_ms >= listing.until_ms - interval_ms:
        return replace(
            hole, cause=Cause.DELISTED, evidence=(f"traded until {iso(listing.until_ms)}, {listing.source}",)
        )
    own, others, evidence, is_over = None, list[int](), list[str](), False
    for witness in witnesses:
        if witness.refusal and witness.first_ms <= first_ms and witness.end_ms >= end_ms:
            evidence.append(f"{witness.name} refuse: {witness.refusal}")
        count = witness.count(first_ms, end_ms, interval_ms)
        if count is None:
            continue
        since = ", and none since" if witness.has_none_since else ""
        evidence.append(f"{witness.name}: {count or 'none'} of {bars}{since}")
        if witness.is_same_market:
            own, is_over = count, witness.has_none_since
        else:
            others.append(count)
    is_before_all = len(times) == 0 or first_ms < int(times[0])
    is_after_all = is_over and end_ms - first_ms >= FLAT_TAIL_MS and not is_before_all and first_ms > int(times[-1])
    cause = Cause.DELISTED if is_after_all and own == 0 else _cause(own, others, is_before_all=is_before_all)
    return replace(hole, cause=cause, evidence=tuple(evidence))


def _cause(own: int | None, others: Sequence[int], *, is_before_all: bool) -> Cause:
    if is_before_all:
        # Nothing is held before it: the symbol's own record says whether trading had begun.
        return Cause.UNKNOWN if own is None else Cause.NOT_LISTED if own == 0 else Cause.SOURCE_HOLE
    if own is not None:
        return Cause.SOURCE_HOLE if own else Cause.EXCHANGE_HALT
    if not others:
        return Cause.UNKNOWN
    return Cause.SOURCE_HOLE if any(others) else Cause.EXCHANGE_HALT


def _flat_runs(candles: Columns, times: NDArray[np.int64], interval_ms: int, listing: Listing) -> list[Hole]:
    """Runs of candles without a trade and without a move that chance does not explain."""
    high, low = np.asarray(candles["high"]), np.asarray(candles["low"])
    flat = (np.asarray(candles["volume"]) == 0.0) & (high == low)
    found = []
    for first, stop in _runs(flat, times, interval_ms):
        bars = stop - first
        if bars < SHORTEST_FLAT_BARS:
            continue
        share = (int(flat.sum()) - bars + 1) / (len(flat) - bars + 1)
        expected = len(flat) * share**bars
        if expected >= CHANCE_MAX:
            continue
        first_ms, price = int(times[first]), float(high[first])
        evidence = (
            f"no trade, price {price:g} all along",
            f"{share:.2g} of the other candles are so: {expected:.1g} such runs are expected by chance",
        )
        is_tail = stop == len(times) and bars * interval_ms >= FLAT_TAIL_MS
        is_over = listing.until_ms is not None and first_ms >= listing.until_ms - interval_ms
        cause = Cause.DELISTED if is_tail or is_over else Cause.FLAT_OUTAGE
        found.append(Hole(first_ms, bars, cause, evidence))
    return found


def _runs(flags: NDArray[np.bool_], times: NDArray[np.int64], interval_ms: int) -> list[tuple[int, int]]:
    """[first, stop) of each unbroken run of true on neighbouring candles."""
    joined = np.zeros(len(flags) + 1, dtype=np.bool_)
    joined[1:-1] = np.diff(times) == interval_ms
    starts = np.flatnonzero(flags & ~(np.concatenate(([False], flags[:-1])) & joined[:-1]))
    stops = np.flatnonzero(flags & ~(np.concatenate((flags[1:], [False])) & joined[1:])) + 1
    return [(int(a), int(b)) for a, b in zip(starts, stops, strict=True)]


def in_words(hole: Hole, interval_ms: int) -> str:
    """One line for a person: time, length, cause, evidence."""
    minutes = hole.bars * interval_ms / 60_000
    length = f"{minutes:g} min" if minutes < 180 else f"{math.floor(minutes / 6) / 10:g} h"
    evidence = f" ({'; '.join(hole.evidence)})" if hole.evidence else " (no witness)"
    return f"{iso(hole.first_ms)}: {hole.bars} candle{'' if hole.bars == 1 else 's'}, {length}: {hole.cause}{evidence}"
