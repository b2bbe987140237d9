"""Sockets and what they listen to: streams by name, subscriptions, and the queue behind each socket."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from aiohttp import web

from sandbox.exchange.errors import refusal
from sandbox.exchange.exchange import Exchange
from sandbox.exchange.feed import INTERVALS
from sandbox.exchange.instruments import Market

EVERY_S = {"kline": 0.25, "bookTicker": 0.1, "ticker": 0.5, "miniTicker": 0.5, "markPrice": 0.5, "aggTrade": 0.25,
            "trade": 0.25}  # fmt: skip
"""Kinds of streams that repeat themselves, and real seconds between two events of one."""
_KINDS = (*EVERY_S, "depth", "forceOrder")
_PUBLIC = ("bookTicker", "depth")
"""Kinds that futures serve at `/public` only; `/market` serves the others."""
_LONGEST_QUEUE = 50_000


@dataclass(frozen=True, slots=True, order=True)
class Stream:
    """One market stream."""

    market: Market
    symbol: str
    kind: str
    interval: str = ""


@dataclass(slots=True, eq=False)
class Connection:
    """One socket."""

    socket: web.WebSocketResponse
    path: str
    market: Market
    streams: dict[Stream, str] = field(default_factory=dict)
    """Stream -> its name as it was asked for."""
    queue: asyncio.Queue[str | None] = field(default_factory=lambda: asyncio.Queue(_LONGEST_QUEUE))
    is_wrapped: bool = False
    is_user: bool = False
    is_silent: bool = False
    """Says nothing any more: a fault."""
    is_deaf: bool = False
    """Does not answer pings either."""
    listen_key: str = ""
    """The futures key it was opened with; empty: none, or expired."""
    opened_s: float = 0.0
    """Real seconds."""

    def send(self, message: str) -> None:
        """Queue a message; a reader that is too slow is cut off."""
        if self.is_silent:
            return
        try:
            self.queue.put_nowait(message)
        except asyncio.QueueFull:
            self.queue = asyncio.Queue()
            self.queue.put_nowait(None)


def subscribe(exchange: Exchange, connection: Connection, method: str, parameters: object) -> object:
    """Answer SUBSCRIBE, UNSUBSCRIBE or LIST_SUBSCRIPTIONS.

    Raises:
        BinanceError: 2, an unknown method or stream; -1120, an interval below the tape's own.
    """
    if method == "LIST_SUBSCRIPTIONS":
        return list(connection.streams.values())
    if method not in ("SUBSCRIBE", "UNSUBSCRIBE") or not isinstance(parameters, list):
        raise refusal(2, f"Invalid request: unknown variant {method}")
    for name in parameters:
        stream = stream_of(connection.market, str(name))
        if method == "UNSUBSCRIBE":
            connection.streams.pop(stream, None)
        elif (stream.market, stream.symbol) in exchange.engine.listings:  # an unknown symbol stays silent
            if stream.kind == "kline":
                exchange.listing(stream.market, stream.symbol).feed.checked(stream.interval)
            if served_at(connection.path, stream.kind):
                connection.streams[stream] = str(name)
    return None


def served_at(path: str, kind: str) -> bool:
    """A futures endpoint serves its own kinds only; others are accepted there and stay silent."""
    if path.startswith("/fut/public/"):
        return kind in _PUBLIC
    return not (path.startswith("/fut/market/") and kind in _PUBLIC)


def stream_of(market: Market, name: str) -> Stream:
    """A stream by its name, such as `btcusdt@kline_1m`.

    Raises:
        BinanceError: no such kind.
    """
    symbol, _, rest = name.partition("@")
    kind, _, interval = rest.split("@")[0].partition("_")
    if kind not in _KINDS or (interval and interval not in INTERVALS):
        raise refusal(2, f"Invalid request: unknown stream {name}")
    return Stream(market, symbol.upper(), kind, interval)


async def write(connection: Connection) -> None:
    """Send what is queued; a socket that closes ends it."""
    while (text := await connection.queue.get()) is not None:
        try:
            await connection.socket.send_str(text)
        except ConnectionError:
            return
    await connection.socket.close(code=1008, message=b"too slow")
