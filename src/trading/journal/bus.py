"""The bus: rooms publish what happened, the journal, the metrics and the notifier listen.

Publishing is synchronous and never fails: a subscriber that raises is reported and the others still hear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import structlog

from trading.domain.errors import TradingEngineError
from trading.domain.events import Event

log = structlog.get_logger(__name__)

Subscriber = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class _Subscription:
    pattern: str
    name: str
    subscriber: Subscriber


class Bus:
    """Hands every event to everyone who asked for its name, in the order in which they asked."""

    def __init__(self) -> None:
        self._subscriptions: list[_Subscription] = []
        self.failures = 0
        """Times a subscriber raised since the start; the watch job shows it."""

    def subscribe(self, subscriber: Subscriber, *, pattern: str = "*", name: str = "") -> Callable[[], None]:
        """Listen.

        Args:
            subscriber: Called with each event; must return at once and must not await.
            pattern: Event names to hear, with `*`: `carry.*`.
            name: Told when the subscriber fails; the function's own name when empty.

        Returns:
            A function that ends the subscription; calling it twice is harmless.
        """
        entry = _Subscription(pattern, name or getattr(subscriber, "__qualname__", "subscriber"), subscriber)
        self._subscriptions.append(entry)

        def unsubscribe() -> None:
            self._subscriptions = [kept for kept in self._subscriptions if kept is not entry]

        return unsubscribe

    def publish(self, event: Event) -> None:
        """Tell everyone. A failing subscriber never reaches the publisher: it is logged with its traceback."""
        for entry in tuple(self._subscriptions):
            if not fnmatchcase(event.name, entry.pattern):
                continue
            try:
                entry.subscriber(event)
            except TradingEngineError as error:
                self.failures += 1
                log.warning("bus.not_heard", subscriber=entry.name, event_name=event.name, error=str(error))
            except Exception:  # a listener's bug must not end what it listens to; it is reported here
                self.failures += 1
                log.exception("bus.subscriber_failed", subscriber=entry.name, event_name=event.name)
