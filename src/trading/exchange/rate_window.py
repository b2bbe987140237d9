"""The arithmetic of a request limit; pure. A token that is taken comes back one span later, to the second.

The venue counts in spans of its own (the minute that began at :00). Here every span is looked at, wherever it begins:
what is granted in any `span_s` seconds stays within the limit, so it does in the venue's. One second more is kept for
requests that travel unequally long. Beside our own count stands what the venue has told: its count of the present span,
ours in it taken off, is what other programs on the same address have used.

Times are UTC milliseconds of the system's clock: limits are of the real world.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

TRAVEL_S = 1
"""Requests may arrive closer together than they left, by so much."""
_FOREIGN_STAYS_MS = 1_000
"""The venue's span may end later than ours, milliseconds."""


class Priority(IntEnum):
    """Who may drain a budget how far."""

    BULK = 0
    """Pages of history."""
    NORMAL = 1
    """What the running lab looks at."""
    URGENT = 2
    """What a stop needs: cancels, orders, looking an order up, the account, the price and the filters to close with."""
    GUARDIAN = 3
    """Everything the guardian asks and sends: a lab that runs wild must not leave it without a place."""


KEPT_BACK: Mapping[Priority, float] = {
    Priority.BULK: 0.4,
    Priority.NORMAL: 0.2,
    Priority.URGENT: 0.05,
    Priority.GUARDIAN: 0.0,
}
"""The share of the limit that a priority must leave to those above it."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was taken from one limit lately."""

    limit: int
    """Units that the venue allows in a span: weight, or orders."""
    span_s: int
    """The venue's span, seconds."""
    taken: tuple[int, ...]
    """Units taken, by second: `span_s + 2` of them, the newest last."""
    newest_s: int
    """The second of the last entry, since 1970."""
    told_span: int = 0
    """Number of the venue's span that `foreign` is of."""
    foreign: int = 0
    """Units in it that were not ours, as the venue's count shows."""

    @staticmethod
    def empty(limit: int, span_s: int, *, now_ms: int) -> Window:
        """Nothing taken."""
        return Window(limit, span_s, (0,) * (span_s + 1 + TRAVEL_S), now_ms // 1000)

    @staticmethod
    def drained(limit: int, span_s: int, *, now_ms: int) -> Window:
        """Nobody knows what was taken: all but the reserve, just now."""
        window = Window.empty(limit, span_s, now_ms=now_ms)
        return window.with_taken(int(limit * (1 - KEPT_BACK[Priority.NORMAL])))

    def at(self, now_ms: int) -> Window:
        """The same a while later. A clock that was set back leaves everything as just taken: the safe side."""
        passed = now_ms // 1000 - self.newest_s
        if passed == 0:
            return self
        length = len(self.taken)
        if passed < 0:
            total = min(sum(self.taken), self.limit)
            taken = (*(0,) * (length - 1), total)
            return replace(self, taken=taken, newest_s=now_ms // 1000, told_span=0, foreign=0)
        kept = self.taken[passed:] if passed < length else ()
        return replace(self, taken=kept + (0,) * (length - len(kept)), newest_s=now_ms // 1000)

    def with_taken(self, units: int) -> Window:
        """So many more taken in the newest second."""
        return replace(self, taken=(*self.taken[:-1], self.taken[-1] + units))

    def used(self, now_ms: int) -> int:
        """Units that count against the limit now; the window must be of now."""
        own = sum(self.taken)
        if not self._foreign_counts(now_ms):
            return own
        return max(own, self.foreign + self._own_since(self.told_span * self.span_s))

    def wait_ms(self, units: int, priority: Priority, now_ms: int) -> int:
        """How long until so many may be taken, milliseconds, if nobody else takes any; 0: now.

        More than the priority may ever have counts as all it may have.
        """
        room = int(self.limit * (1 - KEPT_BACK[priority]))
        surplus = self.used(now_ms) + min(units, room) - room
        if surplus <= 0:
            return 0
        waits = []
        if (own_surplus := sum(self.taken) + min(units, room) - room) > 0:
            waits.append(self._returned_ms(own_surplus) - now_ms)
        if self._foreign_counts(now_ms):
            waits.append((self.told_span + 1) * self.span_s * 1000 + _FOREIGN_STAYS_MS - now_ms)
        return max(1, *waits)

    def corrected(self, told: int, told_ms: int) -> Window:
        """With the venue's own count of its present span.

        Args:
            told: The count, ours and others'.
            told_ms: The venue's time of it.
        """
        span = told_ms // 1000 // self.span_s
        if span < self.told_span:
            return self
        others = max(0, told - self._own_since(span * self.span_s))
        known = self.foreign if span == self.told_span else 0
        return replace(self, told_span=span, foreign=max(known, others))

    def _foreign_counts(self, now_ms: int) -> bool:
        end_ms = (self.told_span + 1) * self.span_s * 1000
        return self.foreign > 0 and now_ms < end_ms + _FOREIGN_STAYS_MS

    def _own_since(self, second: int) -> int:
        """Units taken from a second on."""
        count = self.newest_s - second + 1
        return sum(self.taken[-count:]) if count > 0 else 0

    def _returned_ms(self, units: int) -> int:
        """When so many of those taken have come back, UTC milliseconds."""
        back = 0
        for place, taken in enumerate(self.taken):
            back += taken
            if back >= units:
                return (self.newest_s + place + 1) * 1000
        return (self.newest_s + len(self.taken)) * 1000
