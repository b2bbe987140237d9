"""A futures venue for `benchmarks/streams.py`: quotes numbered without a hole, candles of a fast clock, closed sockets.

It speaks the combined-stream protocol and the few REST calls that the lab's adapter makes, and says what it has sent.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

MINUTE_MS = 60_000
START_MS = 1_704_067_200_000
TICK_S = 0.05
"""Between two bursts of the server, real seconds."""


@dataclass(frozen=True)
class Load:
    """What is sent, and for how long."""

    symbols: int = 200
    messages_s: int = 2_150
    """Asked of the server; while a socket is down, what would have gone over it is not sent."""
    seconds: float = 600.0
    disconnects: int = 30
    minute_s: float = 15.0
    """Real seconds of one minute candle."""
    silent_after_share: float = 0.5
    """Of the time, after which one socket falls silent."""

    @property
    def names(self) -> list[str]:
        """The symbols."""
        return [f"S{number:03d}USDT" for number in range(self.symbols)]


@dataclass(eq=False)
class Socket:
    """One connection at the server."""

    ws: web.WebSocketResponse
    names: list[str] = field(default_factory=list)
    is_silent: bool = False


class Server:
    """The venue."""

    def __init__(self, load: Load) -> None:
        self.load, self.began_s = load, time.monotonic()
        self.sockets: list[Socket] = []
        self.number = dict.fromkeys(load.names, 0)
        self.sent: dict[str, int] = dict.fromkeys(load.names, 0)
        self.sent_all = 0
        self.closed = 0
        self.silent_at_s: float | None = None
        self.gone_at_s: float | None = None
        self.is_over = False
        self._minute: dict[str, int] = {}
        self._burst = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/fut/{path}/stream", self.serve)
        app.router.add_get("/fapi/v1/klines", self.klines)
        app.router.add_get("/fapi/v1/exchangeInfo", self.info)
        app.router.add_get("/fapi/v1/fundingRate", self.funding)
        app.router.add_get("/fapi/v1/fundingInfo", self.none)
        app.router.add_get("/fapi/v1/premiumIndex", self.premium)
        app.router.add_get("/told", self.told)
        return app

    def now_ms(self) -> int:
        """A minute of candles passes in `minute_s`."""
        return START_MS + int((time.monotonic() - self.began_s) / self.load.minute_s * MINUTE_MS)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(autoping=False)
        await ws.prepare(request)
        socket = Socket(ws)
        self.sockets.append(socket)
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                asked = json.loads(message.data)
                socket.names += asked["params"]
                await ws.send_str(json.dumps({"result": None, "id": asked["id"]}))
            elif message.type is WSMsgType.PING:
                await ws.pong(message.data)
        if socket.is_silent and self.gone_at_s is None:
            self.gone_at_s = time.monotonic()
        if socket in self.sockets:
            self.sockets.remove(socket)
        return ws

    async def run(self) -> None:
        """Bursts until the time is over; sockets closed evenly over it, one silenced once."""
        load, turn, began_s = self.load, 0, time.monotonic()
        cuts = [load.seconds * (i + 1) / (load.disconnects + 1) for i in range(load.disconnects)]
        while (at_s := time.monotonic() - began_s) < load.seconds:
            if len(self.sockets) >= 2:
                self._burst += 1
                due = int(at_s * load.messages_s) - int((at_s - TICK_S) * load.messages_s)
                turn = await self.burst(due, turn)
            if cuts and at_s >= cuts[0] and any(not socket.is_silent for socket in self.sockets):
                cuts.pop(0)
                await self.cut(len(cuts))
            if self.silent_at_s is None and at_s >= load.seconds * load.silent_after_share and self.sockets:
                self.silence()
            await asyncio.sleep(max(0.0, TICK_S - (time.monotonic() - began_s - at_s)))
        self.is_over = True

    async def burst(self, count: int, turn: int) -> int:
        """Quotes in turn; every 200 of them one symbol's running candle; closes when they fall due."""
        for socket in list(self.sockets):
            if socket.is_silent or socket.ws.closed:
                continue
            for name in socket.names:
                symbol, _, kind = name.partition("@")
                if kind.startswith("kline"):
                    await self.candles(socket, name, symbol.upper())
        quotes = [s for s in self.sockets if s.names and s.names[0].endswith("bookTicker")]
        by_symbol = {name.partition("@")[0].upper(): (s, name) for s in quotes for name in s.names}
        names = self.load.names
        for _ in range(count):
            symbol = names[turn % len(names)]
            turn += 1
            found = by_symbol.get(symbol)
            if found is None or found[0].is_silent or found[0].ws.closed:
                continue
            number = self.number[symbol] = self.number[symbol] + 1
            body = {"e": "bookTicker", "u": number, "s": symbol, "b": f"{100 + number % 7}.10", "B": "12.345",
                    "a": f"{100 + number % 7}.20", "A": "9.876", "T": self.now_ms(), "E": self.now_ms()}  # fmt: skip
            await self.send(found[0], found[1], body)
            self.sent[symbol] += 1
        return turn

    async def candles(self, socket: Socket, name: str, symbol: str) -> None:
        """The closes since the last look, then now and then the running one."""
        running = (self.now_ms() - START_MS) // MINUTE_MS
        told = self._minute.get(symbol, running)
        for minute in range(max(told, running - 1), running):
            await self.send(socket, name, self.kline(symbol, minute, is_closed=True))
        if running != told or symbol not in self._minute or (self._burst + int(symbol[1:4])) % 80 == 0:
            await self.send(socket, name, self.kline(symbol, running, is_closed=False))
        self._minute[symbol] = running

    def kline(self, symbol: str, minute: int, *, is_closed: bool) -> dict[str, Any]:
        opened = START_MS + minute * MINUTE_MS
        base = price(symbol, minute)
        prices = {"o": f"{base}", "c": f"{base + 1}", "h": f"{base + 2}", "l": f"{base - 1}", "v": "5.5"}
        k = {"t": opened, "T": opened + MINUTE_MS - 1, "s": symbol, "i": "1m", "f": 1, "L": 9, **prices, "n": 9,
             "x": is_closed, "q": "1", "V": "1", "Q": "1", "B": "0"}  # fmt: skip
        return {"e": "kline", "E": self.now_ms(), "s": symbol, "k": k}

    async def send(self, socket: Socket, name: str, body: dict[str, Any]) -> None:
        self.sent_all += 1
        await socket.ws.send_str(f'{{"stream":"{name}","data":{json.dumps(body, separators=(",", ":"))}}}')

    async def cut(self, which: int) -> None:
        """Close one socket as the venue does at the end of its day; what was sent before it is still delivered."""
        speaking = [socket for socket in self.sockets if not socket.is_silent]
        socket = speaking[which % len(speaking)]
        self.sockets.remove(socket)
        self.closed += 1
        await socket.ws.close(code=1001)

    def silence(self) -> None:
        """One socket says nothing more, though it answers pings."""
        quotes = [s for s in self.sockets if s.names and s.names[0].endswith("bookTicker")]
        if quotes:
            quotes[0].is_silent = True
            self.silent_at_s = time.monotonic()

    async def klines(self, request: web.Request) -> web.Response:
        start, limit = int(request.query["startTime"]), int(request.query["limit"])
        first, running = -(-(start - START_MS) // MINUTE_MS), (self.now_ms() - START_MS) // MINUTE_MS
        rows = []
        for minute in range(first, min(running + 1, first + limit)):
            base, opened = price(request.query["symbol"], minute), START_MS + minute * MINUTE_MS
            rows.append([opened, f"{base}", f"{base + 2}", f"{base - 1}", f"{base + 1}", "5.5", opened + MINUTE_MS - 1,
                         "1", 9, "1", "1", "0"])  # fmt: skip
        return web.json_response(rows)

    async def info(self, _: web.Request) -> web.Response:
        filters = [
            {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
            {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ]
        symbols = [
            {"symbol": n, "baseAsset": n[:-4], "quoteAsset": "USDT", "status": "TRADING", "contractType": "PERPETUAL",
             "filters": filters}
            for n in self.load.names
        ]  # fmt: skip
        return web.json_response({"symbols": symbols})

    async def none(self, _: web.Request) -> web.Response:
        return web.json_response([])

    async def funding(self, request: web.Request) -> web.Response:
        settled_ms = START_MS - 5 * MINUTE_MS
        row = {
            "symbol": request.query["symbol"],
            "fundingTime": settled_ms,
            "fundingRate": "0.0001",
            "markPrice": "100",
        }
        return web.json_response([row] if int(request.query["startTime"]) <= settled_ms else [])

    async def premium(self, request: web.Request) -> web.Response:
        now_ms = self.now_ms()
        found = {"symbol": request.query["symbol"], "markPrice": "100", "indexPrice": "100", "time": now_ms}
        return web.json_response(found | {"lastFundingRate": "0.0001", "nextFundingTime": now_ms + 28_800_000})

    async def told(self, _: web.Request) -> web.Response:
        noticed = None if self.silent_at_s is None or self.gone_at_s is None else self.gone_at_s - self.silent_at_s
        return web.json_response({"sent": self.sent, "sent_all": self.sent_all, "closed": self.closed,
                                  "silent_socket_s": noticed, "is_over": self.is_over})  # fmt: skip


def price(symbol: str, minute: int) -> int:
    """Of a candle; the same for REST and stream, another for every minute."""
    return 100 + (int(symbol[1:4]) * 7 + minute * 13) % 5


async def serve(load: Load) -> None:
    """Be the venue until the time is over and the reader has asked what was sent."""
    server = Server(load)
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"port": runner.addresses[0][1], "anchor_s": server.began_s}), flush=True)
    while len(server.sockets) < 2 or any(not socket.names for socket in server.sockets):  # noqa: ASYNC110  # a benchmark
        await asyncio.sleep(0.02)
    await server.run()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Load(**json.loads(sys.argv[1]))))
