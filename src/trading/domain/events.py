"""What happened, as rooms tell it. The journal, the metrics and the notifier listen; a room never calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How loudly an event is told."""

    INFO = "info"
    """Journal and log only."""
    NOTICE = "notice"
    """Also a message to the human."""
    ALERT = "alert"
    """A message that is repeated until the state changes."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    at_ms: int
    name: str
    """`carry.opened`, `data.blocked`, `order.filled`: room, dot, what; grepped, so never reworded."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """JSON values; units in the names."""
    severity: Severity = Severity.INFO


Publish = Callable[[Event], None]
"""How rooms tell: hand in an event, return at once."""
