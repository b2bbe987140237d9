"""Which streams there are, by Binance's names, and how many of them share a connection. Pure.

Spot has one endpoint, with at most 1024 streams a connection. Futures have two, `/public` for books and quotes and
`/market` for the rest, with at most 200. Both take ten connections' worth of streams with ease: what counts against us
are control messages (spot 5 a second, futures 10) and connections opened in five minutes (300).

Source:
    Binance, "WebSocket Streams" (spot), "Websocket Market Streams" (USD-M futures).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from typing import Protocol

from trading.domain.clock import Clock
from trading.domain.instrument import Market

STREAMS_OF_SOCKET = {Market.SPOT: 1000, Market.PERP: 200}
"""Streams on one connection, within the venue's limits."""

OnMessage = Callable[[Mapping[str, object], int], None]
"""Told of a combined message (`stream`, `data`) and of the lab time at which it came, UTC milliseconds."""


class StreamKind(StrEnum):
    """What a stream tells; the value is the venue's name of it."""

    CANDLE = "kline"
    QUOTE = "bookTicker"
    DEPTH = "depth"
    MARK = "markPrice"
    """Futures only, once a second: mark, index, funding estimate, next settlement."""
    LIQUIDATION = "forceOrder"
    """Futures only."""


_FUTURES_ONLY = frozenset({StreamKind.MARK, StreamKind.LIQUIDATION})
_PUBLIC = frozenset({StreamKind.QUOTE, StreamKind.DEPTH})
_SUFFIX = {StreamKind.DEPTH: "@100ms", StreamKind.MARK: "@1s"}


@dataclass(frozen=True, slots=True)
class Want:
    """One stream that somebody wants.

    Raises:
        ValueError: spot has no such stream, or a candle has no interval.
    """

    market: Market
    symbol: str
    kind: StreamKind
    interval: str = ""
    """Of candles only."""

    def __post_init__(self) -> None:
        if self.market is Market.SPOT and self.kind in _FUTURES_ONLY:
            raise ValueError(f"{self.market} {self.symbol}: kind={self.kind}: only perpetuals have it")
        if (self.kind is StreamKind.CANDLE) != bool(self.interval):
            raise ValueError(f"{self.market} {self.symbol}: kind={self.kind} interval={self.interval!r}: "
                             "candles need an interval, other streams have none")  # fmt: skip

    @property
    def name(self) -> str:
        """The venue's name of it: `btcusdt@kline_1m`."""
        interval = f"_{self.interval}" if self.interval else ""
        return f"{self.symbol.lower()}@{self.kind}{interval}{_SUFFIX.get(self.kind, '')}"

    @property
    def path(self) -> str:
        """The endpoint it is served at: `spot`, `market` or `public`."""
        if self.market is Market.SPOT:
            return "spot"
        return "public" if self.kind in _PUBLIC else "market"


@dataclass(frozen=True, slots=True)
class SocketPlan:
    """One connection and its streams."""

    market: Market
    path: str
    number: int
    """Tells connections to the same endpoint apart."""
    wants: tuple[Want, ...]

    @property
    def name(self) -> str:
        """For logs and recordings: `perp/market/0`."""
        return f"{self.market}/{self.path}/{self.number}"

    @property
    def names(self) -> list[str]:
        """The venue's names of its streams."""
        return [want.name for want in self.wants]

    @property
    def must_speak(self) -> bool:
        """Silence is a fault; a connection of liquidations alone may have nothing to say for hours."""
        return any(want.kind is not StreamKind.LIQUIDATION for want in self.wants)


def plan_sockets(wants: Iterable[Want], numbers: Iterator[int]) -> tuple[SocketPlan, ...]:
    """Share streams out over as few connections as the venue allows; each stream once.

    Args:
        wants: Streams, in any order.
        numbers: Of the connections; two to one venue at a time never have the same.
    """
    by_path: dict[tuple[Market, str], list[Want]] = {}
    for want in dict.fromkeys(wants):
        by_path.setdefault((want.market, want.path), []).append(want)
    plans: list[SocketPlan] = []
    for (market, path), of_path in by_path.items():
        size = STREAMS_OF_SOCKET[market]
        plans += [
            SocketPlan(market, path, next(numbers), tuple(of_path[start : start + size]))
            for start in range(0, len(of_path), size)
        ]
    return tuple(plans)


@dataclass(frozen=True, slots=True)
class Dial:
    """What streams need of the venue."""

    clock: Clock
    listen: Callable[[SocketPlan, OnMessage], Awaitable[None]]
    """Opens a connection, subscribes, and tells every message until the connection breaks, which raises."""
    drop: Callable[[SocketPlan], None]
    """Tears a connection down; its `listen` raises."""
    numbers: Iterator[int] = field(default_factory=count)
    """Of this venue's connections."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A public request."""

    market: Market
    endpoint: str
    """ccxt's name of the venue's method."""
    params: Mapping[str, object]
    sent_ms: int
    """Lab time when it left, UTC milliseconds."""
    sent_s: float
    """Real time when it left, seconds from an arbitrary start."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the venue."""

    document: object
    """Its JSON."""
    asked_ms: int
    """The venue's time when the request left, as we reckon it, UTC milliseconds."""
    received_ms: int
    """Lab time when the answer was there, UTC milliseconds."""


class VenueLine(Protocol):
    """One market's line to the venue: through ccxt, or played back from a recording."""

    async def ask(self, endpoint: str, params: Mapping[str, object], *, writes: bool = False, where: str) -> object:
        """Send one request and return the venue's JSON; see `ccxt_line.Line`."""

    async def ask_stamped(self, endpoint: str, params: Mapping[str, object], *, where: str) -> Reply:
        """Send one request that changes nothing; the answer with its times."""

    async def read_time(self) -> int:
        """The venue's clock, UTC milliseconds; from now on our stamps follow it."""

    async def listen(self, plan: SocketPlan, on_message: OnMessage) -> None:
        """Keep one connection until it breaks, which raises."""

    async def listen_account(
        self, plan: SocketPlan, listen_key: str | None, on_message: OnMessage, on_open: Callable[[], None]
    ) -> None:
        """Keep the account's own connection until it breaks; with a listen key on futures, signed on spot."""

    def drop(self, plan: SocketPlan) -> None:
        """Tear that connection down."""

    async def close(self) -> None:
        """Close every connection."""


class Record(Protocol):
    """Where everything public that was received is written down, as it came."""

    def message(self, connection: str, at_ms: int, text: str) -> None:
        """A message of a socket."""

    def answer(self, asked: Asked, reply: Reply, text: str) -> None:
        """An answer to a public request."""

    def failed(self, asked: Asked, at_ms: int, error: str) -> None:
        """A public request without a usable answer."""

    def opened(self, connection: str, at_ms: int, names: list[str]) -> None:
        """A socket is open and subscribed."""

    def broken(self, connection: str, at_ms: int, reason: str) -> None:
        """A socket broke."""
