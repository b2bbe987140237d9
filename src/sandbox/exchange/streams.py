"""WebSockets of both venues: market streams, user streams and spot's request socket.

One pump looks at the market ten times a real second (and at the bend of the clock's segment), so the number of events
does not grow with the speed of time. Only closed candles are never left out: each comes once, in order.
"""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlencode

import numpy as np
from aiohttp import WSMsgType, web

from sandbox.exchange import stream_messages
from sandbox.exchange.engine import Happening
from sandbox.exchange.errors import BinanceError, refusal
from sandbox.exchange.exchange import Diff, Exchange
from sandbox.exchange.feed import INTERVALS, bucket
from sandbox.exchange.instruments import Market
from sandbox.exchange.subscriptions import EVERY_S, Connection, Stream, served_at, stream_of, subscribe, write
from sandbox.exchange.views import Json, close_ms, kline_rows
from sandbox.exchange.wire import check_signature, check_time
from sandbox.faults import Faults

PUMP_S = 0.1
"""Real seconds between two looks at the market."""
SOCKET_LIFE_S = 86_400.0
"""The venue closes every socket after a day; of real time, for that is what a wire is made of."""
_MOST_PRINTS = 50


class Hub:
    """All sockets of the exchange.

    Args:
        exchange: Whose markets and account.
        faults: May drop or silence sockets.
    """

    def __init__(self, exchange: Exchange, faults: Faults) -> None:
        self._exchange, self._faults = exchange, faults
        self.socket_life_s = SOCKET_LIFE_S
        """How long a socket may live, real seconds."""
        self._connections: list[Connection] = []
        self._sent_s: dict[Stream, float] = {}
        self._running_ms: dict[Stream, float] = {}
        """Open time of the candle that runs, by candle stream; where prints begin, by print stream."""
        self._best: dict[Stream, str] = {}
        exchange.engine.listeners.append(self._tell)
        exchange.diff_listeners.append(self._tell_depth)

    def add_routes(self, app: web.Application) -> None:
        """Hang the sockets into a server."""
        for path in ("/spot/ws", "/spot/ws/{name}", "/spot/stream"):
            app.router.add_get(path, self._spot)
        for path in ("/fut/ws", "/fut/ws/{name}", "/fut/stream", "/fut/{kind}/ws", "/fut/{kind}/ws/{name}",
                     "/fut/{kind}/stream"):  # fmt: skip
            app.router.add_get(path, self._futures)
        app.router.add_get("/wsapi-spot/ws-api/v3", self._spot_requests)

    async def close(self) -> None:
        """Close every socket."""
        for connection in list(self._connections):
            await connection.socket.close(code=1001, message=b"closing")

    async def run(self) -> None:
        """Pump until cancelled."""
        engine = self._exchange.engine
        while True:
            if self._connections or engine.resting or any(p.quantity for p in engine.ledger.positions.values()):
                self.pump(self._exchange.now())
                await self._strike()
            await self._exchange.clock.rest_s(PUMP_S)

    def pump(self, now_ms: int) -> None:
        """Send what is due on every stream somebody listens to."""
        wanted = self._forget()
        closed = [
            event for stream in wanted if stream.kind == "kline" for event in self._closed_candles(stream, now_ms)
        ]
        for _, stream, body in sorted(closed, key=lambda event: (event[0], INTERVALS[event[1].interval], event[1])):
            self._send(stream, body)
        real_s = self._exchange.clock.real_s()
        for stream in sorted(wanted):
            if stream.kind == "depth":
                self._exchange.publish(stream.market, stream.symbol, now_ms)
            elif stream.kind in EVERY_S and real_s - self._sent_s.get(stream, 0.0) >= EVERY_S[stream.kind]:
                self._sent_s[stream] = real_s
                for message in self._present(stream, now_ms):
                    self._send(stream, message)

    def _forget(self) -> set[Stream]:
        """Drop what nobody listens to: who comes back begins at the candle that runs then. The rest."""
        wanted = {stream for connection in self._connections for stream in connection.streams}
        for gone in [s for s in self._running_ms if s not in wanted]:
            del self._running_ms[gone]
        return wanted

    def _closed_candles(self, stream: Stream, now_ms: int) -> list[tuple[int, Stream, Json]]:
        """Candles that have closed since the last look, with the moment each closed at."""
        feed = self._exchange.listing(stream.market, stream.symbol).feed
        running = float(bucket(np.array([float(now_ms)]), stream.interval)[0])
        since = self._running_ms.setdefault(stream, running)
        if running <= since:
            return []
        self._running_ms[stream] = running
        count = int((running - since) // INTERVALS[stream.interval]) + 2
        candles = feed.klines(stream.interval, now_ms=now_ms, limit=count, start_ms=int(since), end_ms=int(running) - 1)
        events = []
        for row in kline_rows(candles, stream.interval, step_ms=feed.step_ms):
            ms = close_ms(int(str(row[0])), stream.interval) + 1
            body = stream_messages.kline(stream.symbol, stream.interval, row, event_ms=ms, is_closed=True)
            events.append((ms, stream, body))
        return events

    def _present(self, stream: Stream, now_ms: int) -> list[Json]:
        """What a stream has to say now."""
        exchange, spec = self._exchange, self._exchange.listing(stream.market, stream.symbol).instrument
        feed = exchange.listing(stream.market, stream.symbol).feed
        if stream.kind == "kline":
            running = int(self._running_ms[stream])
            candles = feed.klines(stream.interval, now_ms=now_ms, limit=1, start_ms=running)
            rows = kline_rows(candles, stream.interval, step_ms=feed.step_ms)
            return [stream_messages.kline(stream.symbol, stream.interval, row, event_ms=now_ms, is_closed=False)
                    for row in rows]  # fmt: skip
        if stream.kind in ("trade", "aggTrade"):
            prints = feed.trades(self._running_ms.get(stream, now_ms - 1), now_ms, _MOST_PRINTS)
            self._running_ms[stream] = now_ms
            return [stream_messages.trade(spec, p, aggregate=stream.kind == "aggTrade") for p in prints]
        if stream.kind == "markPrice":
            return [stream_messages.mark_price(exchange, stream.symbol, now_ms)]
        if stream.kind == "bookTicker":
            return self._changed_best(stream, stream_messages.book_ticker(spec, exchange, now_ms))
        return [stream_messages.ticker(spec, exchange, now_ms, mini=stream.kind == "miniTicker")]

    def _changed_best(self, stream: Stream, body: Json) -> list[Json]:
        best = f"{body['b']} {body['B']} {body['a']} {body['A']}"
        if self._best.get(stream) == best:
            return []
        self._best[stream] = best
        return [body]

    def _send(self, stream: Stream, body: Json) -> None:
        text = json.dumps(body, separators=(",", ":"))
        for connection in self._connections:
            if (name := connection.streams.get(stream)) is not None:
                connection.send(f'{{"stream":"{name}","data":{text}}}' if connection.is_wrapped else text)

    def _tell_depth(self, market: Market, symbol: str, diff: Diff, ms: int) -> None:
        spec = self._exchange.listing(market, symbol).instrument
        self._send(Stream(market, symbol, "depth"), stream_messages.depth(spec, diff, ms))

    def _tell(self, happening: Happening) -> None:
        """Tell the account's own streams, and everybody of a liquidation."""
        if happening.kind == "CALCULATED" and happening.order is not None:
            spec = self._exchange.listing(Market.PERP, happening.order.symbol).instrument
            self._send(Stream(Market.PERP, spec.symbol, "forceOrder"),
                       stream_messages.force_order(spec, happening.order, happening.ms))  # fmt: skip
        listeners = [c for c in self._connections if c.is_user and c.market is happening.market]
        if not listeners:
            return
        if happening.market is Market.SPOT:
            events = stream_messages.spot_events(self._exchange, happening)
            bodies: list[Json] = [{"subscriptionId": 0, "event": event} for event in events]
        else:
            bodies = stream_messages.futures_events(self._exchange, happening)
        for body in bodies:
            text = json.dumps(body, separators=(",", ":"))
            for connection in listeners:
                connection.send(text)

    async def _strike(self) -> None:
        real_s, now_ms = self._exchange.clock.real_s(), self._exchange.clock.now_ms()
        for connection in list(self._connections):
            self._expire(connection, now_ms)
            fault = self._faults.take(f"WS {connection.path}", sockets=True)
            if fault is not None and fault.kind != "drop_socket":
                connection.is_silent, connection.is_deaf = True, fault.kind == "half_open"
            elif fault is not None or real_s - connection.opened_s >= self.socket_life_s:
                self._connections.remove(connection)
                why = b"a day has passed" if fault is None else b"dropped by the script"
                await connection.socket.close(code=1001, message=why)

    def _expire(self, connection: Connection, now_ms: int) -> None:
        """A listen key that nobody kept: its socket is told, stays open, and hears no more of the account."""
        key = self._exchange.listen_key
        if not connection.listen_key or (connection.listen_key == key.name and now_ms < key.until_ms):
            return
        body = {"e": "listenKeyExpired", "E": now_ms, "listenKey": connection.listen_key}
        connection.send(json.dumps(body, separators=(",", ":")))
        connection.is_user, connection.listen_key = False, ""

    async def _spot(self, request: web.Request) -> web.WebSocketResponse:
        return await self._serve(request, Market.SPOT)

    async def _futures(self, request: web.Request) -> web.WebSocketResponse:
        return await self._serve(request, Market.PERP)

    async def _spot_requests(self, request: web.Request) -> web.WebSocketResponse:
        return await self._serve(request, Market.SPOT)

    async def _serve(self, request: web.Request, market: Market) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=180.0, autoping=False)
        await socket.prepare(request)
        connection = Connection(socket, request.path, market, is_wrapped=request.path.endswith("/stream"))
        connection.opened_s = self._exchange.clock.real_s()
        name = request.match_info.get("name", "")
        key = self._exchange.listen_key
        is_valid = bool(key.name) and self._exchange.clock.now_ms() < key.until_ms
        asked_with = request.query.get("listenKey", name)
        connection.is_user = market is Market.PERP and is_valid and asked_with == key.name
        connection.listen_key = key.name if connection.is_user else ""
        named = [name] if "@" in name else [s for s in request.query.get("streams", "").split("/") if s]
        asked = {stream_of(market, text): text for text in named}
        connection.streams.update({s: text for s, text in asked.items() if served_at(request.path, s.kind)})
        self._connections.append(connection)
        writer = asyncio.ensure_future(write(connection))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    connection.send(json.dumps(self._answer(connection, message.data)))
                elif message.type is WSMsgType.PING and not connection.is_deaf:
                    await socket.pong(message.data)
        finally:
            writer.cancel()
            if connection in self._connections:
                self._connections.remove(connection)
            self._forget()
        return socket

    def _answer(self, connection: Connection, text: str) -> Json:
        """Answer a request that came over the socket."""
        try:
            asked: object = json.loads(text)
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            return {"error": {"code": 3, "msg": "Invalid JSON"}}
        number, method = asked.get("id"), str(asked.get("method"))
        parameters = asked.get("params") or []
        try:
            if connection.path.startswith("/wsapi"):
                return {"id": number, "status": 200, "result": self._request(connection, method, parameters)}
            return {"result": subscribe(self._exchange, connection, method, parameters), "id": number}
        except BinanceError as error:
            return {"id": number, "status": error.status, "error": error.body()}

    def _request(self, connection: Connection, method: str, parameters: object) -> Json:
        if method == "ping":
            return {}
        if method == "time":
            return {"serverTime": self._exchange.clock.now_ms()}
        if method == "userDataStream.subscribe.signature" and isinstance(parameters, dict):
            sent = {str(k): str(v) for k, v in parameters.items()}
            signature = sent.pop("signature", "")
            if sent.get("apiKey") != self._exchange.key.name or self._exchange.key.revoked:
                raise refusal(-2015, status=401)
            check_signature(self._exchange, urlencode(sorted(sent.items())), signature)
            check_time(self._exchange, int(sent.get("timestamp", "0")), int(sent.get("recvWindow", "5000")))
            connection.is_user = True
            return {"subscriptionId": 0}
        raise refusal(-1100, f"Unknown method {method}.")
