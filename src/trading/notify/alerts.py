"""Which alerts are open and when each is told again: a pure ledger; `outbox` keeps it on disk.

An alert is told at once, then again after growing gaps, until the state it tells of has changed and it is resolved.
What comes in between is counted, not told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

GAPS_S = (300, 900, 3600, 14_400, 86_400)
"""Lab seconds from one telling to the next; the last one for ever."""


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """Something that is wrong since a while."""

    kind: str
    text: str
    """As raised last."""
    since_ms: int
    told_ms: int
    """When it was told last."""
    told: int
    """How often it was told; 1 is the first."""
    raised: int
    """How often it was raised, the tellings by time not counted."""
    id: str = ""
    """Of the message that told of it first; each repetition carries it."""

    @property
    def due_ms(self) -> int:
        """When it is told again."""
        return self.told_ms + GAPS_S[min(self.told, len(GAPS_S)) - 1] * 1000

    def raised_again(self, text: str) -> OpenAlert:
        """The same thing was found wrong once more."""
        return replace(self, text=text, raised=self.raised + 1)

    def told_again(self, now_ms: int) -> OpenAlert:
        """It has been told once more."""
        return replace(self, told_ms=now_ms, told=self.told + 1)


def first(kind: str, text: str, now_ms: int, *, message_id: str = "") -> OpenAlert:
    """An alert that was not open before."""
    return OpenAlert(kind, text, since_ms=now_ms, told_ms=now_ms, told=1, raised=1, id=message_id)
