"""Live quotes, changes of books, mark prices and liquidations: every event that a socket received, once and in order.

Nothing is left out and nothing is filled in. Where a connection broke, each of its symbols gets a `StreamBroken`
between the last event before and the first after it, so that whoever keeps a book begins anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

import structlog

from trading.domain.errors import DataProviderError
from trading.domain.market import MarketEvent, StreamBroken
from trading.exchange.kept_socket import KeptSocket
from trading.exchange.parse_stream import stream_event
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
        self._queue: deque[MarketEvent] = deque()
        self._arrived, self._stopped = asyncio.Event(), asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self.unreadable = 0
        """Messages that made no sense."""
        self.overrun = 0
        """Events dropped because nobody took them."""

    async def stop(self) -> None:
        """End the iteration and the connections."""
        self._stopped.set()
        self._arrived.set()
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def events(self) -> AsyncIterator[MarketEvent]:
        """Events until `stop`; a bug in a connection's loop is raised here."""
        self._loops = [
            asyncio.create_task(socket.run(self._stopped), name=f"events-{socket.plan.name}") for socket in self.sockets
        ]
        for loop in self._loops:
            loop.add_done_callback(lambda _: self._arrived.set())
        try:
            while not self._stopped.is_set():
                while self._queue and not self._stopped.is_set():
                    yield self._queue.popleft()
                for loop in self._loops:
                    if loop.done() and not self._stopped.is_set():
                        loop.result()
                if all(loop.done() for loop in self._loops):
                    return
                if not self._queue:
                    await self._arrived.wait()
                self._arrived.clear()
        finally:
            with suppress(asyncio.CancelledError):
                await self.stop()

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
        if len(self._queue) >= MOST_QUEUED:
            self._give_up()
        self._queue.append(event)
        self._arrived.set()

    def _broken(self, plan: SocketPlan, reason: str) -> None:
        for symbol in dict.fromkeys(want.symbol for want in plan.wants):
            self._queue.append(StreamBroken(plan.market, symbol, reason))
        self._arrived.set()

    def _give_up(self) -> None:
        self.overrun += len(self._queue)
        log.error("stream.overrun", dropped=len(self._queue), so_far=self.overrun)
        self._queue.clear()
        for plan in self._plans:
            self._broken(plan, f"more than {MOST_QUEUED} events waited for their reader")
