"""A shelf's tape with some days' candles as the lab was told them live, and where the two differ.

The shelf is fetched after the day; what an exchange says of a candle then may not be what it streamed when it closed.
Funding stays the shelf's: it is what was settled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from trading.domain.market import Bar
from trading.market.tape import PRICES, Tape, make_tape

COLUMNS = (*PRICES, "volume_base")


@dataclass(frozen=True, slots=True, eq=False)
class AsTold:
    """The tape, and how its days were told; times are of bars' opening, UTC ms."""

    tape: Tape
    told: int = 0
    """Candles that were told live."""
    untold: tuple[int, ...] = ()
    """On the shelf only: the lab was away, or it was not written down. They stay as the shelf has them."""
    revised: tuple[int, ...] = ()
    """Told live with another price or volume than the shelf has now."""
    added: tuple[int, ...] = ()
    """Told live, and not on the shelf."""


def as_told(tape: Tape, bars: Mapping[int, Bar], *, start_ms: int, end_ms: int) -> AsTold:
    """Put candles that were told live in place of the shelf's.

    Args:
        tape: Of the shelf.
        bars: Of the same market and interval, by open time, in [start_ms, end_ms).
        start_ms: UTC ms.
        end_ms: UTC ms.

    Raises:
        DataProviderError: a told candle is none, such as one with a high below its low.
    """
    held = {int(ms): i for i, ms in enumerate(tape.open_time_ms) if start_ms <= ms < end_ms}
    revised = tuple(ms for ms in sorted(held.keys() & bars.keys()) if _differs(tape, held[ms], bars[ms]))
    added = tuple(ms for ms in sorted(bars.keys() - held.keys()) if tape.start_ms <= ms)
    untold = tuple(sorted(held.keys() - bars.keys()))
    if not revised and not added:
        return AsTold(tape, len(bars), untold)
    columns = {name: getattr(tape, name).copy() for name in COLUMNS}
    for ms in revised:
        for name in COLUMNS:
            columns[name][held[ms]] = getattr(bars[ms], name)
    times = np.concatenate([tape.open_time_ms, np.array(added, dtype=np.int64)])
    order = np.argsort(times, kind="stable")
    for name in COLUMNS:
        more = np.array([getattr(bars[ms], name) for ms in added], dtype=np.float64)
        columns[name] = np.concatenate([columns[name], more])[order]
    changed = replace(tape, open_time_ms=times[order], **columns)
    return AsTold(make_tape(changed), len(bars), untold, revised, added)


def _differs(tape: Tape, at: int, bar: Bar) -> bool:
    return any(float(getattr(tape, name)[at]) != getattr(bar, name) for name in COLUMNS)
