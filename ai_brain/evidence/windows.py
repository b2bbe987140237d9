"""Which bars may be looked at when: search first, then, past a purge, the stretch that judges."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from trading.market.tape import Tape

MAX_PURGE_FRACTION = 0.10
"""Of the bars after the search stretch; a holding time longer than that cannot be purged away on this tape."""


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


def validation_window(bars: int, search: Window, *, holding_bars: int) -> Window:
    """The rest of a tape, after a purge of the longest holding time, so that no trade straddles both.

    **Look-ahead**: a purge shorter than a trade lets the search stretch know how a validation trade ends.
    """
    rest = bars - search.stop
    purge = min(max(holding_bars, 0), int(rest * MAX_PURGE_FRACTION))
    return Window(search.stop + purge, bars)


def parts(window: Window, count: int) -> list[Window]:
    """A window cut into `count` parts of equal length; the last takes what is left over."""
    size = window.bars // count
    edges = [window.first + i * size for i in range(count)] + [window.stop]
    return [Window(a, b) for a, b in pairwise(edges)]


def cut(tape: Tape, window: Window) -> Tape:
    """The bars of a window and nothing before it: indicators start cold, so nothing older reaches into it.

    Raises:
        DataProviderError: the window holds no bar.
    """
    start_ms = int(tape.open_time_ms[window.first])
    end_ms = int(tape.open_time_ms[window.stop - 1]) + tape.interval_ms if window.bars > 0 else start_ms
    return tape.window(start_ms, end_ms)
