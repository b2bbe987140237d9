"""A history ends when its market did. The venue goes on giving candles of a delisted contract, flat and without volume.

Two witnesses: the venue's snapshots, and the candles themselves. What the snapshots say is cut away and told. A flat
end that no snapshot speaks of is a suspicion: told, never cut, for an illiquid market can stand still as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading.domain.clock import DAY_MS, iso
from trading.domain.errors import DataProviderError
from trading.market.tape import Tape
from trading.market.universe import Span

FLAT_TAIL_MS = DAY_MS
"""A tail this long is a suspicion; the longest standstill of a living contract in the recorded data is 65 minutes
(2024-10-28)."""
FLAT_TAIL_BARS = 3
"""And at least so many bars."""


@dataclass(frozen=True, slots=True)
class FlatTail:
    """Bars up to the end of a tape without a trade and at one price."""

    start_ms: int
    """Open of the first of them."""
    bars: int
    price: float

    def __str__(self) -> str:
        return f"the last {self.bars} bars, from {iso(self.start_ms)} on, have no trade and stand at {self.price:g}"


def flat_tail(tape: Tape) -> FlatTail | None:
    """The standstill a tape ends in, if it is longer than `FLAT_TAIL_MS`."""
    price = float(tape.close[-1])
    is_flat = (tape.volume_base == 0.0) & (tape.high == price) & (tape.low == price)
    moved = np.flatnonzero(~is_flat)
    first = int(moved[-1]) + 1 if len(moved) else 0
    bars = len(tape) - first
    if bars < FLAT_TAIL_BARS or tape.end_ms - int(tape.open_time_ms[first]) < FLAT_TAIL_MS:
        return None
    return FlatTail(int(tape.open_time_ms[first]), bars, price)


def ended(tape: Tape, end: Span | None) -> tuple[Tape, tuple[str, ...]]:
    """A tape without the bars after the end of its market, and what to tell of it.

    Where the end lies between two snapshots, and the candles stand still from a moment between them on, they agree on
    that moment; else the later snapshot is the first that is sure. Bars after the end that have trades contradict it:
    then nothing is cut, and that is told.

    Args:
        tape: As it is stored.
        end: When trading ended, as the snapshots say (`Universe.end_of`); None: they do not.

    Raises:
        DataProviderError: the market had ended before the first bar.
    """
    name, tail = f"{tape.market} {tape.symbol}", flat_tail(tape)
    if end is None:
        suspicion = f"{name}: {tail}: delisted? No snapshot tells, so nothing was cut"
        return tape, (suspicion,) if tail is not None else ()
    cut_ms, why = end.to_ms, str(end)
    if tail is not None and not end.is_exact and (end.from_ms or 0) <= tail.start_ms <= end.to_ms:
        cut_ms, why = tail.start_ms, f"{iso(tail.start_ms)}, when its candles begin to stand still; {end}"
    kept = int(np.searchsorted(tape.open_time_ms, cut_ms))
    later = len(tape) - kept
    if later == 0:
        return tape, ()
    traded = int(np.count_nonzero(tape.volume_base[kept:]))
    if traded:
        return tape, (f"{name}: delisted {why}, yet {traded} of {later} later bars have trades: nothing was cut",)
    if kept == 0:
        raise DataProviderError(f"{name}: delisted {why}, before the first bar; choose an earlier stretch")
    cut = tape.window(tape.start_ms, int(tape.open_time_ms[kept - 1]) + tape.interval_ms)
    return cut, (f"{name}: delisted {why}, {later:,} later bars left out",)
