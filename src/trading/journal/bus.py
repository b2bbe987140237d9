"""The bus: rooms publish what happened, the journal, the metrics and the notifier listen.

Publishing is synchronous and never fails: a subscriber that raises is reported and the others still hear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from trading.domain.errors import TradingEngineError
from trading.domain.events import Event

log = structlog.get_logger(__name__)

Subscriber = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class _Subscription:
    name: str
    subscriber: Subscriber


class Bus:
    """Hands every event to everyone who listens, in the order in which they asked to."""

    def __init__(self) -> None:
        self._subscriptions: list[_Subscription] = []

    def subscribe(self, subscriber: Subscriber, *, name: str = "") -> None:
        """Listen.

        Args:
            subscriber: Called with each event; must return at once and must not await.
            name: Told when the subscriber fails; the function's own name when empty.
        """
        name = name or getattr(subscriber, "__qualname__", "subscriber")
        self._subscriptions.append(_Subscription(name, subscriber))

    def publish(self, event: Event) -> None:
        """Tell everyone. A failing subscriber never reaches the publisher: it is logged with its traceback."""
        for entry in tuple(self._subscriptions):
            try:
                entry.subscriber(event)
            except TradingEngineError as error:
                log.warning("bus.not_heard", subscriber=entry.name, event_name=event.name, error=str(error))
            except Exception:  # a listener's bug must not end what it listens to; it is reported here
                log.exception("bus.subscriber_failed", subscriber=entry.name, event_name=event.name)
