"""Streams shared out over connections, and connections over a wire of our own."""

from __future__ import annotations

import asyncio
import json
from itertools import count

import pytest
from aiohttp import ClientConnectionResetError, ClientWebSocketResponse, ServerDisconnectedError, web

from tests.loopback import serving
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.market import Quote, StreamBroken
from trading.exchange import ccxt_sockets, event_stream, kept_socket
from trading.exchange.access import Access
from trading.exchange.binance import Binance
from trading.exchange.event_stream import EventStream
from trading.exchange.sockets import Dial, OnMessage, StreamKind, Want, plan_sockets

SYMBOL = "BTCUSDT"


def test_silence_is_noticed_within_ten_seconds() -> None:
    assert kept_socket.SILENT_S <= 10.0
    assert ccxt_sockets.PING_MS * 3 <= 10_000  # ccxt looks at every ping, and breaks after two misses
    assert ccxt_sockets._ANSWER_WITHIN_S <= 10.0


def test_two_hundred_symbols_fit_the_venues_connections() -> None:
    symbols = [f"S{i}USDT" for i in range(200)]
    kinds = (StreamKind.QUOTE, StreamKind.DEPTH, StreamKind.MARK, StreamKind.LIQUIDATION)
    wants = [Want(Market.PERP, symbol, kind) for symbol in symbols for kind in kinds]
    wants += [Want(Market.SPOT, symbol, StreamKind.CANDLE, "1m") for symbol in symbols]
    wants += [Want(Market.SPOT, symbol, kind) for symbol in symbols for kind in kinds[:2]]
    plans = plan_sockets([*wants, *wants], count())
    assert sorted(plan.name for plan in plans) == [
        "perp/market/2", "perp/market/3", "perp/public/0", "perp/public/1", "spot/spot/4",
    ]  # fmt: skip
    assert [len(plan.wants) for plan in plans] == [200, 200, 200, 200, 600]
    assert {want for plan in plans for want in plan.wants} == set(wants)


@pytest.mark.parametrize(
    ("market", "kind", "interval"),
    [
        (Market.SPOT, StreamKind.MARK, ""),
        (Market.SPOT, StreamKind.LIQUIDATION, ""),
        (Market.SPOT, StreamKind.CANDLE, ""),
        (Market.PERP, StreamKind.QUOTE, "1m"),
    ],
)
def test_a_stream_that_does_not_exist_cannot_be_wanted(market: Market, kind: StreamKind, interval: str) -> None:
    with pytest.raises(ValueError, match=SYMBOL):
        Want(market, SYMBOL, kind, interval)


async def test_events_nobody_takes_are_dropped_all_at_once_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MOST_QUEUED", 3)
    ended = asyncio.Event()

    async def listen(_plan: object, on_message: OnMessage) -> None:
        for i in range(5):
            on_message({"data": {"u": i, "s": SYMBOL, "b": "1", "B": "1", "a": "2", "A": "1"}}, 0)
        on_message({"data": {"e": "depthUpdate", "s": SYMBOL}}, 0)
        ended.set()
        await asyncio.Event().wait()

    dial = Dial(Clock(), listen, lambda _plan: None)
    stream = EventStream(dial, [Want(Market.SPOT, SYMBOL, StreamKind.QUOTE)])
    events = stream.events()
    first = asyncio.ensure_future(anext(events))
    await ended.wait()
    found = [await first, await anext(events)]
    assert isinstance(found[0], StreamBroken)
    assert isinstance(found[1], Quote)
    assert (found[1].update_id, stream.overrun, stream.unreadable) == (3, 3, 1)
    await events.aclose()


async def test_a_bug_in_a_reader_is_raised_to_the_listener() -> None:
    async def buggy(*_: object) -> None:
        raise ZeroDivisionError

    dial = Dial(Clock(), buggy, lambda _plan: None)
    with pytest.raises(ZeroDivisionError):
        await anext(EventStream(dial, [Want(Market.SPOT, SYMBOL, StreamKind.QUOTE)]).events())


async def test_a_text_that_is_no_json_breaks_the_connection_by_name() -> None:
    class Socket:
        error: Exception | None = None

        def reject(self, error: Exception, _name: str) -> None:
            self.error = error

    plan = plan_sockets([Want(Market.SPOT, SYMBOL, StreamKind.QUOTE)], count())[0]
    reader = ccxt_sockets._Reader(plan, lambda *_: None, Clock(), None)
    socket = reader.socket = Socket()
    reader.take("<html>")
    assert isinstance(socket.error, DataProviderError)
    assert "spot/spot/0" in str(socket.error)


class Venue:
    """Takes subscriptions; confirms the first so many."""

    def __init__(self, confirms: int) -> None:
        self.confirms, self.asked = confirms, list[list[str]]()

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/spot/stream", self.serve)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            asked = json.loads(message.data)
            self.asked.append(asked["params"])
            if len(self.asked) <= self.confirms:
                await socket.send_json({"result": None, "id": asked["id"]})
        return socket


async def test_subscriptions_go_out_by_the_hundred_and_one_that_is_not_confirmed_breaks_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ccxt_sockets, "_ANSWER_WITHIN_S", 0.15)
    monkeypatch.setattr(ccxt_sockets, "_BETWEEN_REQUESTS_S", 0.01)
    wants = [Want(Market.SPOT, f"S{i}USDT", StreamKind.QUOTE) for i in range(230)]
    desk = Venue(confirms=2)
    async with serving(desk) as url, asyncio.timeout(10):
        venue = Binance(Access(Clock(), base_url=url))
        events = venue.stream_events(wants)
        broken = await anext(events)
        await events.aclose()  # type: ignore[attr-defined]
        await venue.close()
    assert isinstance(broken, StreamBroken)
    assert "SUBSCRIBE was not confirmed" in broken.reason
    assert [len(names) for names in desk.asked[:3]] == [100, 100, 30]
    assert [name for names in desk.asked[:3] for name in names] == [want.name for want in wants]


@pytest.mark.parametrize(
    "error", [ClientConnectionResetError("closing"), ServerDisconnectedError(), ConnectionResetError(9)]
)
async def test_a_ping_into_a_pipe_that_is_just_closing_is_a_broken_connection(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def ping(*_: object) -> None:
        raise error

    monkeypatch.setattr(ccxt_sockets, "PING_MS", 50)
    monkeypatch.setattr(ClientWebSocketResponse, "ping", ping)
    async with serving(Venue(confirms=9)) as url, asyncio.timeout(10):
        venue = Binance(Access(Clock(), base_url=url))
        events = venue.stream_events([Want(Market.SPOT, SYMBOL, StreamKind.QUOTE)])
        broken = await anext(events)
        await events.aclose()  # type: ignore[attr-defined]
        await venue.close()
    assert isinstance(broken, StreamBroken)
    assert type(error).__name__ in broken.reason


async def test_a_handshake_that_is_refused_is_tried_again_after_the_time_the_venue_asked_for() -> None:
    knocked_s: list[float] = []

    class Closed:
        def add_routes(self, app: web.Application) -> None:
            app.router.add_get("/spot/stream", self.refuse)

        async def refuse(self, _: web.Request) -> web.Response:
            knocked_s.append(asyncio.get_running_loop().time())
            return web.Response(status=429, headers={"Retry-After": "0.7"})

    async with serving(Closed()) as url, asyncio.timeout(10):
        venue = Binance(Access(Clock(), base_url=url))
        events = venue.stream_events([Want(Market.SPOT, SYMBOL, StreamKind.QUOTE)])
        told = [await anext(events), await anext(events)]
        await events.aclose()  # type: ignore[attr-defined]
        await venue.close()
    assert all(isinstance(event, StreamBroken) and "stay away for 0.7 s" in event.reason for event in told)
    assert knocked_s[1] - knocked_s[0] >= 0.69
