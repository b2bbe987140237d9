"""A recording in place of the venue: the same code reads it, in the same order, by the clock that stood on its lines.

Requests are answered by what the venue answered then, in the order it did; a request that was never made then is a
`NetworkDownError`, counted. Between two lines everybody who can go on does, so that a repair that followed a message
follows it again.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from trading.domain.clock import StandingClock
from trading.domain.errors import DataProviderError, NetworkDownError
from trading.domain.instrument import Market
from trading.exchange.recording import Recorded
from trading.exchange.sockets import OnMessage, Reply, SocketPlan

_TURNS = 8
"""After an ordinary message."""
_MANY_TURNS = 60
"""After one that sets something going: a closed candle, an answer, a break."""
_MOST_TURNS = 5_000

Key = tuple[str, str, str]
"""Market, endpoint, parameters."""


@dataclass(slots=True)
class Met:
    """What a replay met."""

    messages: int = 0
    answers: int = 0
    failures: int = 0
    """Requests that had no usable answer then."""
    breaks: int = 0
    """Connections that broke."""
    unanswered: set[Key] = field(default_factory=set)
    """Requests of the replay that the recording has no answer to, each once; none in an exact one."""


class Player:
    """Feeds a recording to whoever listens on its lines.

    Args:
        clock: Put to the time of each line.
        answers: Every request of the recording, in order; see `requests_of`.
    """

    def __init__(self, clock: StandingClock, answers: Mapping[Key, int]) -> None:
        self.clock, self.met = clock, Met()
        self._left = dict(answers)
        self._shelf: dict[Key, deque[Recorded]] = defaultdict(deque)
        self._waiting: dict[Key, deque[asyncio.Future[Recorded]]] = defaultdict(deque)
        self._listeners: list[_Listener] = []
        self._streams: dict[str, frozenset[str]] = {}

    def line(self, market: Market) -> PlayedLine:
        """One market's line."""
        return PlayedLine(self, market)

    async def play(self, records: Iterable[Recorded]) -> None:
        """Feed every line; then whoever still waits for something is told that it will not come."""
        for record in records:
            if record.kind == "ws":
                await self._tell(record)
            elif record.kind in ("rest", "failed"):
                await self._answer(record)
            elif record.kind == "open":
                self.clock.put(record.at_ms, record.real_s)
                await self._until_heard(record)
            elif record.kind == "broken":
                self.clock.put(record.at_ms, record.real_s)
                self._break(record)
                await self._turns(_MANY_TURNS)
        await self._turns(_MANY_TURNS)
        for waiting in self._waiting.values():
            for future in waiting:
                if not future.done():
                    future.set_exception(NetworkDownError("the recording ends here"))

    async def reply(self, market: Market, endpoint: str, params: Mapping[str, object], where: str) -> Reply:
        """What the venue answered."""
        key = _key(str(market), endpoint, params)
        if self._shelf[key]:
            record = self._shelf[key].popleft()
        elif self._left.get(key, 0) > 0:
            future: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
            self._waiting[key].append(future)
            record = await future
        else:
            self.met.unanswered.add(key)
            raise NetworkDownError(f"{where}: the recording has no answer to {endpoint} {dict(params)}")
        if record.kind == "failed":
            raise NetworkDownError(f"{where}: as recorded: {record.text}")
        head = json.loads(record.head)
        return Reply(orjson.loads(record.text), head["asked_ms"], record.at_ms)

    async def listen(self, plan: SocketPlan, on_message: OnMessage) -> None:
        """Hear what was streamed, until the recorded connection breaks."""
        names = _of_market(str(plan.market), plan.names)  # both markets have a btcusdt@kline_1m
        listener = _Listener(names, on_message, asyncio.get_running_loop().create_future())
        self._listeners.append(listener)
        try:
            await listener.gone
        finally:
            self._listeners.remove(listener)

    async def _tell(self, record: Recorded) -> None:
        self.clock.put(record.at_ms, record.real_s)
        message = orjson.loads(record.text)
        self.met.messages += 1
        name = f"{record.connection.partition('/')[0]}/{message.get('stream')}"
        for listener in list(self._listeners):
            if name in listener.names:
                listener.on_message(message, record.at_ms)
        candle = data.get("k") if isinstance(data := message.get("data"), dict) else None
        is_closed = isinstance(candle, dict) and candle.get("x") is True
        await self._turns(_MANY_TURNS if is_closed else _TURNS)

    async def _answer(self, record: Recorded) -> None:
        head = json.loads(record.head)
        key = _key(record.connection, head["endpoint"], head["params"])
        self.clock.put(int(head["sent_ms"]), float(head["sent_s"]))
        self.met.answers += record.kind == "rest"
        self.met.failures += record.kind == "failed"
        for _ in range(_MANY_TURNS):
            if self._waiting[key]:
                break
            await self.clock.turn()
        self.clock.put(record.at_ms, record.real_s)
        self._left[key] -= 1
        if self._waiting[key]:
            self._waiting[key].popleft().set_result(record)
        else:
            self._shelf[key].clear()  # nobody wanted the one before: who asks now is told the newest
            self._shelf[key].append(record)
        await self._turns(_MANY_TURNS)

    async def _until_heard(self, record: Recorded) -> None:
        """Wait for a listener of what is now streamed; somebody else's connection may have none."""
        names = self._streams[record.connection] = _of_market(
            record.connection.partition("/")[0], json.loads(record.head)["streams"]
        )
        for _ in range(_MOST_TURNS):
            if any(listener.names & names for listener in self._listeners):
                return
            await self.clock.turn()

    def _break(self, record: Recorded) -> None:
        self.met.breaks += 1
        names = self._streams.get(record.connection, frozenset())
        for listener in self._listeners:
            if listener.names & names and not listener.gone.done():
                listener.gone.set_exception(NetworkDownError(f"as recorded: {record.text}"))

    async def _turns(self, count: int) -> None:
        for _ in range(count):
            await self.clock.turn()


@dataclass(slots=True, eq=False)
class _Listener:
    names: frozenset[str]
    on_message: OnMessage
    gone: asyncio.Future[None]


class PlayedLine:
    """One market of a recording; implements `sockets.VenueLine`."""

    def __init__(self, player: Player, market: Market) -> None:
        self._player, self._market = player, market

    async def ask(self, endpoint: str, params: Mapping[str, object], *, writes: bool = False, where: str) -> object:
        """What the venue answered; nothing can be changed at a recording."""
        if writes:
            raise DataProviderError(f"{where}: a recording takes no orders")
        return (await self._player.reply(self._market, endpoint, params, where)).document

    async def ask_stamped(self, endpoint: str, params: Mapping[str, object], *, where: str) -> Reply:
        """What the venue answered, with its times."""
        return await self._player.reply(self._market, endpoint, params, where)

    async def read_time(self) -> int:
        """The clock that stands on the recording, UTC milliseconds."""
        return self._player.clock.now_ms()

    async def listen(self, plan: SocketPlan, on_message: OnMessage) -> None:
        """Hear what was streamed."""
        await self._player.listen(plan, on_message)

    async def listen_account(
        self, plan: SocketPlan, listen_key: str | None, on_message: OnMessage, on_open: Callable[[], None]
    ) -> None:
        """Nobody's account is recorded."""
        raise DataProviderError(f"{plan.name}: a recording has no account")

    def drop(self, plan: SocketPlan) -> None:
        """A recording is never silent: what it says next comes at once."""

    async def close(self) -> None:
        """Nothing is open."""


def requests_of(records: Iterable[Recorded]) -> dict[Key, int]:
    """How often each request was answered or failed."""
    found: dict[Key, int] = defaultdict(int)
    for record in records:
        if record.kind in ("rest", "failed"):
            head = json.loads(record.head)
            found[_key(record.connection, head["endpoint"], head["params"])] += 1
    return dict(found)


def _of_market(market: str, names: Iterable[str]) -> frozenset[str]:
    return frozenset(f"{market}/{name}" for name in names)


def _key(market: str, endpoint: str, params: Mapping[str, object]) -> Key:
    return market, endpoint, json.dumps(params, sort_keys=True)
