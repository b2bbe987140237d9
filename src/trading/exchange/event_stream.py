"""Live quotes, changes of books, mark prices and liquidations: every event that a socket received, once and in order.

Nothing is left out and nothing is filled in. Where a connection broke, each of its symbols gets a `StreamBroken`
between the last event before and the first after it, so that whoever keeps a book begins anew.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

import structlog

from trading.domain.errors import DataProviderError
from trading.domain.market import MarketEvent, StreamBroken
from trading.exchange.kept_socket import KeptSocket
from trading.exchange.parse_stream import stream_event
from trading.exchange.socket_events import SocketEvents
from trading.exchange.sockets import Dial, SocketPlan, StreamKind, Want, plan_sockets

log = structlog.get_logger()

MOST_QUEUED = 200_000
"""Events that wait for a slow reader, a minute or two of 200 symbols. Beyond it all are dropped, and it is said."""
_TOLD_EVERY = 1000


class EventStream:
    """One listener's events.

    Args:
        dial: The venue.
        wants: What to listen to.

    Raises:
        ValueError: a candle is wanted; `BarStream` has those.
    """

    def __init__(self, dial: Dial, wants: Sequence[Want]) -> None:
        if candles := [want.name for want in wants if want.kind is StreamKind.CANDLE]:
            raise ValueError(f"{candles[0]}: candles come by BarStream, which fills their holes")
        self._plans = plan_sockets(wants, dial.numbers)
        self.sockets = [
            KeptSocket(dial, plan, on_message=partial(self._hear, plan), on_break=partial(self._broken, plan))
            for plan in self._plans
        ]
        self._events = SocketEvents[MarketEvent]("events")
        self.unreadable = 0
        """Messages that made no sense."""
        self.overrun = 0
        """Events dropped because nobody took them."""

    async def stop(self) -> None:
        """End the iteration and the connections."""
        await self._events.stop()

    def events(self) -> AsyncIterator[MarketEvent]:
        """Events until `stop`; a bug in a connection's loop is raised here."""
        return self._events.read(self.sockets)

    def _hear(self, plan: SocketPlan, message: Mapping[str, object], received_ms: int) -> None:
        try:
            event = stream_event(plan.market, message["data"], received_ms=received_ms)  # type: ignore[arg-type]  # checked by the reader
        except DataProviderError as error:
            self.unreadable += 1
            if self.unreadable % _TOLD_EVERY == 1:
                log.warning("stream.unreadable", connection=plan.name, error=str(error), so_far=self.unreadable)
            return
        if event is None:
            return
        if len(self._events) >= MOST_QUEUED:
            self._give_up()
        self._events.put(event)

    def _broken(self, plan: SocketPlan, reason: str) -> None:
        for symbol in dict.fromkeys(want.symbol for want in plan.wants):
            self._events.put(StreamBroken(plan.market, symbol, reason))

    def _give_up(self) -> None:
        self.overrun += len(self._events)
        log.error("stream.overrun", dropped=len(self._events), so_far=self.overrun)
        self._events.clear()
        for plan in self._plans:
            self._broken(plan, f"more than {MOST_QUEUED} events waited for their reader")
