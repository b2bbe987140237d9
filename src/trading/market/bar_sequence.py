"""Which candle of a live stream may be passed on: each closed one once, in order, none skipped unseen. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from trading.domain.instrument import Market
from trading.domain.market import Bar

Subscription = tuple[Market, str, str]
"""Market, symbol (`BTCUSDT`), interval."""


class Place(Enum):
    """Where an offered candle stands."""

    NEXT = auto()
    """The running candle, or the close of it: pass it on."""
    OLD = auto()
    """Already told: drop it."""
    AFTER_GAP = auto()
    """Candles before it were missed: repair first."""


class BarSequence:
    """The candles of one (market, symbol, interval) as passed on so far.

    Args:
        interval_ms: Length of a candle, milliseconds.
        last_closed_ms: Open time of the last closed candle the listener has; None: it takes the stream as it comes.
    """

    def __init__(self, interval_ms: int, last_closed_ms: int | None = None) -> None:
        self._interval_ms = interval_ms
        self.last_closed_ms = last_closed_ms

    @property
    def wanted_ms(self) -> int | None:
        """Open time of the candle that should close next; None before the first."""
        return None if self.last_closed_ms is None else self.last_closed_ms + self._interval_ms

    def place(self, bar: Bar) -> Place:
        """Where a candle stands; changes nothing but to start at the first one offered."""
        if self.last_closed_ms is None:
            self.last_closed_ms = bar.open_time_ms - self._interval_ms
        step_ms = bar.open_time_ms - self.last_closed_ms
        if step_ms <= 0:
            return Place.OLD
        return Place.NEXT if step_ms <= self._interval_ms else Place.AFTER_GAP

    def passed(self, bar: Bar) -> None:
        """A candle was passed on."""
        if bar.is_closed:
            self.last_closed_ms = bar.open_time_ms

    def missing(self, found: Iterable[Bar], *, before_ms: int | None = None) -> list[Bar]:
        """The closed candles among those fetched that the listener lacks, oldest first.

        Args:
            found: Candles as the venue lists them.
            before_ms: Only those that open before this time, UTC milliseconds; None: all.
        """
        last_ms = self.last_closed_ms
        return [
            bar
            for bar in sorted(found, key=lambda bar: bar.open_time_ms)
            if bar.is_closed
            and (last_ms is None or bar.open_time_ms > last_ms)
            and (before_ms is None or bar.open_time_ms < before_ms)
        ]

    def has_unfinished(self, found: Iterable[Bar], *, before_ms: int) -> bool:
        """A candle that ended by a time is listed, and not as closed: REST is a moment behind the stream, ask again."""
        last_ms = self.last_closed_ms or 0
        return any(not bar.is_closed and last_ms < bar.open_time_ms < before_ms for bar in found)

    def skip_to(self, open_time_ms: int) -> None:
        """The venue itself has no candle between the last one and this time: the gap stays a gap."""
        self.last_closed_ms = max(self.last_closed_ms or 0, open_time_ms - self._interval_ms)
