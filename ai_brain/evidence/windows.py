"""Which bars may be looked at when: search first, then judged stretches, then the vault; each past a purge."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from trading.market.tape import Tape

MAX_PURGE_FRACTION = 0.25
"""Of a judged stretch's share of the tape; a holding time longer than that cannot be purged away, and is told."""


@dataclass(frozen=True, slots=True)
class Window:
    """Bars [first, stop) of a tape."""

    first: int
    stop: int

    @property
    def bars(self) -> int:
        """Its length."""
        return self.stop - self.first


def search_window(bars: int, *, search_fraction: float) -> Window:
    """The oldest part of a tape of `bars` bars."""
    return Window(0, int(bars * search_fraction))


def vault_window(bars: int, *, vault_fraction: float) -> Window:
    """The newest part of a tape of `bars` bars, which is opened last, if at all."""
    return Window(bars - int(bars * vault_fraction), bars)


def between(search: Window, vault: Window) -> Window:
    """What search and vault leave: the walk-forward."""
    return Window(search.stop, vault.first)


def shares(rest: Window, count: int) -> list[Window]:
    """The rest cut into `count` shares of equal length, one for each judged stretch; the last takes what is left over.

    Fixed before the first run: where a share begins and ends depends on no result.
    """
    size = rest.bars // count
    edges = [rest.first + i * size for i in range(count)] + [rest.stop]
    return [Window(a, b) for a, b in pairwise(edges)]


def purged(share: Window, *, holding_bars: int) -> Window:
    """The judged stretch of a share: what is left after a purge of the longest holding time at its beginning.

    **Look-ahead**: a purge shorter than a trade lets what came before know how a judged trade ends. At most
    `MAX_PURGE_FRACTION` of the share is purged.
    """
    purge = min(max(holding_bars, 0), int(share.bars * MAX_PURGE_FRACTION))
    return Window(share.first + purge, share.stop)


class Beginnings:
    """Beginnings of tapes: every spec of a search is shown the same few, and cutting one hashes it anew."""

    def __init__(self) -> None:
        self._cut = dict[tuple[str, int], Tape]()

    def until(self, tape: Tape, window: Window) -> Tape:
        """As `until`."""
        key = tape.content_hash, window.stop if window.bars > 0 else 0
        if key not in self._cut:
            self._cut[key] = until(tape, window)
        return self._cut[key]


def until(tape: Tape, window: Window) -> Tape:
    """The bars of a window and all before it, which warm the indicators up; nothing after it.

    Raises:
        DataProviderError: the window holds no bar.
    """
    stop = window.stop if window.bars > 0 else 0
    end_ms = int(tape.open_time_ms[stop - 1]) + tape.interval_ms if stop else tape.start_ms
    return tape.window(tape.start_ms, end_ms)
