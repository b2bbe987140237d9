"""A connection of ccxt.pro's, read before ccxt reads it: the text is recorded, parsed once, and handed over.

ccxt dials, pings and notices a broken pipe; what a message means is read in `parse_stream`. A ping goes out every three
seconds, and a connection that leaves two of them unanswered is broken (a half-open socket is noticed in 6 to 9 s).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import orjson

from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, NetworkDownError, RateLimitError, TradingEngineError
from trading.domain.instrument import Market
from trading.exchange.ccxt_alone import BaseError, ClientError, ExchangeClosedByUser, NetworkError
from trading.exchange.errors import translate
from trading.exchange.sockets import OnMessage, Record, SocketPlan

PING_MS = 3_000
_NAMES_OF_REQUEST = 100
"""Streams in one control message; spot disconnects who sends more than five of them a second."""
_BETWEEN_REQUESTS_S = 0.25
_ANSWER_WITHIN_S = 6.0
"""A connection on which a subscription is not confirmed for so long is dead, real seconds."""
_GONE = "lab"


class Sockets:
    """The connections of one market's ccxt client.

    Args:
        client: ccxt's.
        market: Whose streams.
        clock: Lab time, stamped on every message.
        record: Where messages are written down; None: nowhere.
    """

    def __init__(self, client: Any, market: Market, clock: Clock, record: Record | None) -> None:  # ccxt ships no types
        self._client, self._market, self._clock, self._record = client, market, clock, record
        client.streaming["keepAlive"] = PING_MS
        self._open: dict[str, Any] = {}

    async def listen(self, plan: SocketPlan, on_message: OnMessage) -> None:
        """Open, subscribe, and tell every message until the connection breaks or is dropped.

        Raises:
            TradingEngineError: it broke, could not be made, or the venue refused a stream.
        """
        reader = _Reader(plan, on_message, self._clock, self._record)

        async def begin(gone: asyncio.Future[None]) -> None:
            await reader.subscribe(gone)
            if self._record is not None:
                self._record.opened(plan.name, self._clock.now_ms(), plan.names)

        why = "closed by us"
        try:
            await self._keep(self._url(plan), reader, begin)
        except TradingEngineError as error:
            why = str(error)
            raise
        finally:
            if self._record is not None:
                self._record.broken(plan.name, self._clock.now_ms(), why)

    async def listen_account(
        self, plan: SocketPlan, listen_key: str | None, on_message: OnMessage, on_open: Callable[[], None]
    ) -> None:
        """Open the account's own stream, and tell every message until the connection breaks. Nothing is recorded.

        Args:
            plan: Names the connection.
            listen_key: Of futures; None: spot, subscribed to by a signed request.
            on_message: Told of every event.
            on_open: Told when events come from here on.

        Raises:
            TradingEngineError: it broke, could not be made, or the venue refused.
        """
        reader = _AccountReader(plan, on_message, self._clock, None)

        async def begin(gone: asyncio.Future[None]) -> None:
            if listen_key is None:
                method, params = "userDataStream.subscribe.signature", self._client.sign_params({})
                await reader.request({"method": method, "params": params}, gone)
            on_open()

        if listen_key is None:
            url = f"{self._client.urls['api']['ws']['ws-api']['spot']}#{plan.number}"
        else:
            url = f"{self._client.get_private_ws_url('linear', listen_key)}#{plan.number}"
        await self._keep(url, reader, begin)

    async def _keep(self, url: str, reader: _Reader, begin: Callable[[asyncio.Future[None]], Awaitable[None]]) -> None:
        """Open a connection, begin what it is for, and wait until it breaks."""
        name = reader.plan.name
        self._client.open()
        socket = reader.socket = self._client.client(url)
        socket.handle_text_or_binary_message = reader.take
        gone = socket.future(_GONE)
        gone.add_done_callback(_seen)
        self._open[name] = socket
        try:
            await _first(socket.connect(self._client.session), gone)
            await begin(gone)
            await gone
        except ExchangeClosedByUser:
            return
        except BaseError as error:
            told = translate(error, writes=False, where=f"stream {name}")
            if (wait_s := socket.last_retry_after) is not None:  # the handshake was refused, with a time to stay away
                raise RateLimitError(f"{told}; told to stay away for {wait_s:g} s", retry_after_s=wait_s) from error
            raise told from error
        except (ConnectionError, ClientError) as error:  # a ping into a pipe that is just closing: ccxt hands it on raw
            raise NetworkDownError(f"stream {name}: {error!r}") from error
        finally:
            reader.is_open = False
            del self._open[name]
            _abandon(socket)
            if self._client.clients.get(url) is socket:
                del self._client.clients[url]

    def drop(self, plan: SocketPlan) -> None:
        """Tear one connection down; its `listen` raises. (ccxt's own closing would cancel the task that waits.)"""
        if (socket := self._open.get(plan.name)) is not None:
            _abandon(socket)

    def _url(self, plan: SocketPlan) -> str:
        """The combined endpoint. The fragment is never sent: it tells ccxt one connection from another."""
        api = "spot" if plan.market is Market.SPOT else "linear"
        base = cast(str, self._client.get_ws_url(api, plan.path)).removesuffix("/ws")
        return f"{base}/stream#{plan.number}"


class _Reader:
    """What comes in over one connection."""

    socket: Any  # ccxt ships no types

    def __init__(self, plan: SocketPlan, on_message: OnMessage, clock: Clock, record: Record | None) -> None:
        self.plan, self._on_message = plan, on_message
        self._clock, self._record = clock, record
        self._confirmed: dict[int, asyncio.Future[None]] = {}
        self.is_open = True

    def take(self, data: str | bytes) -> None:
        """A text came in. ccxt calls this where a raised error would only stop its reading: it is handed on instead."""
        if not self.is_open:
            return
        try:
            self._read(data)
        except Exception as error:  # noqa: BLE001  # raised again by `listen`, which waits for this future
            self.socket.reject(error, _GONE)

    def _read(self, data: str | bytes) -> None:
        received_ms = self._clock.now_ms()
        if self._record is not None:
            self._record.message(self.plan.name, received_ms, data if isinstance(data, str) else data.decode())
        try:
            message: object = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise DataProviderError(f"stream {self.plan.name}: {str(data)[:80]!r}: not JSON") from error
        if not isinstance(message, dict):
            raise DataProviderError(f"stream {self.plan.name}: {str(data)[:80]!r}: expected a JSON object")
        if (number := message.get("id")) in self._confirmed and "stream" not in message:
            self._answered(cast(int, number), message)
        else:
            self._tell(message, received_ms)

    def _tell(self, message: Mapping[str, object], received_ms: int) -> None:
        if "stream" in message and isinstance(message.get("data"), dict):
            self._on_message(message, received_ms)

    def _answered(self, number: int, message: Mapping[str, object]) -> None:
        waiting = self._confirmed[number]
        if waiting.done():
            return
        if message.get("error") is not None or message.get("code") is not None:
            waiting.set_exception(
                DataProviderError(f"stream {self.plan.name}: refused: {str(message)[:200]}; check the symbols")
            )
        else:
            waiting.set_result(None)

    async def subscribe(self, gone: asyncio.Future[None]) -> None:
        """Ask for the plan's streams in batches; each must be confirmed.

        Raises:
            DataProviderError: the venue refused one.
            NetworkDownError: it did not answer.
        """
        names = self.plan.names
        for start in range(0, len(names), _NAMES_OF_REQUEST):
            await self.request({"method": "SUBSCRIBE", "params": names[start : start + _NAMES_OF_REQUEST]}, gone)
            if start + _NAMES_OF_REQUEST < len(names):
                await self._clock.real_sleep_s(_BETWEEN_REQUESTS_S)

    async def request(self, asked: Mapping[str, object], gone: asyncio.Future[None]) -> None:
        """Send one request over the socket and wait until it is confirmed.

        Raises:
            DataProviderError: the venue refused it.
            NetworkDownError: it did not answer.
        """
        number = len(self._confirmed) + 1
        confirmed = self._confirmed[number] = asyncio.get_running_loop().create_future()
        try:
            await self.socket.send({**asked, "id": number})
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                await _first(confirmed, gone)
        except (ConnectionError, TimeoutError) as error:
            raise NetworkDownError(
                f"stream {self.plan.name}: {asked['method']} was not confirmed: {error!r}"
            ) from error


class _AccountReader(_Reader):
    """What comes in over an account's connection: events without a stream's name."""

    def _tell(self, message: Mapping[str, object], received_ms: int) -> None:
        self._on_message(message, received_ms)


async def _first(wanted: asyncio.Future[Any], gone: asyncio.Future[Any]) -> None:
    """Wait for `wanted`; when the connection is gone first, raise why."""
    await asyncio.wait({wanted, gone}, return_when=asyncio.FIRST_COMPLETED)
    if gone.done():
        gone.result()
    wanted.result()


def _abandon(socket: Any) -> None:
    """Break a connection without waiting for the other side's good-bye, which a dead one never says."""
    if not socket.closed():
        socket.on_error(NetworkError("dropped by us: it fell silent or is no longer wanted"))


def _seen(gone: asyncio.Future[Any]) -> None:
    """Whoever was cancelled while it waited no longer asks; asyncio would report the break as unheard."""
    if not gone.cancelled():
        gone.exception()
