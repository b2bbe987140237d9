"""Events of several kept sockets in one line, as they came; used by market and account streams."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from trading.exchange.kept_socket import KeptSocket

T = TypeVar("T")


class SocketEvents(Generic[T]):
    """What the sockets' handlers put in, for one reader.

    Args:
        name: Of the sockets' tasks.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: deque[T] = deque()
        self._arrived = asyncio.Event()
        self.stopped = asyncio.Event()
        """Nobody reads any more."""
        self._loops: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        """Events that wait for the reader."""
        return len(self._waiting)

    def put(self, event: T) -> None:
        """Behind all that wait."""
        self._waiting.append(event)
        self._arrived.set()

    def clear(self) -> None:
        """Drop all that wait."""
        self._waiting.clear()

    async def stop(self) -> None:
        """End the iteration and the connections."""
        self.stopped.set()
        self._arrived.set()
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def read(self, sockets: Sequence[KeptSocket]) -> AsyncIterator[T]:
        """Run the sockets and give their events until `stop`; a bug in a connection's loop is raised here."""
        self._loops = [
            asyncio.create_task(socket.run(self.stopped), name=f"{self._name}-{socket.plan.name}") for socket in sockets
        ]
        for loop in self._loops:
            loop.add_done_callback(lambda _: self._arrived.set())
        try:
            while not self.stopped.is_set():
                while self._waiting and not self.stopped.is_set():
                    yield self._waiting.popleft()
                for loop in self._loops:
                    if loop.done() and not self.stopped.is_set():
                        loop.result()
                if all(loop.done() for loop in self._loops):
                    return
                if not self._waiting:
                    await self._arrived.wait()
                self._arrived.clear()
        finally:
            with suppress(asyncio.CancelledError):
                await self.stop()
