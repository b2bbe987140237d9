"""Every kind of fault, on the wire, as a client meets it; and schedules that cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import ccxt
import pytest
import pytest_asyncio

from sandbox.exchange.errors import SandboxError
from sandbox.faults import read_faults
from tests.sandbox.exchange.conftest import HOUR_MS, Town

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERP = "BTC/USDT:USDT"
ORDER = "POST /fapi/v1/order"


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def no_faults_left(town: Town) -> AsyncIterator[None]:
    yield
    await town.call("DELETE", "/sandbox/faults")


async def script(town: Town, match: str, kind: str, **more: int) -> None:
    await town.call("POST", "/sandbox/faults", {"match": match, "kind": kind, **more})


async def short(perp: Any, client_id: str) -> Any:
    return await perp.create_order(PERP, "market", "sell", 0.01, None, {"newClientOrderId": client_id})


async def find(perp: Any, client_id: str) -> Any:
    return await perp.fetch_order(None, PERP, {"origClientOrderId": client_id})


async def test_an_accepted_order_whose_answer_was_lost_can_be_looked_up(perp: Any, town: Town) -> None:
    await script(town, ORDER, "lost_answer")
    with pytest.raises(ccxt.NetworkError):
        await short(perp, "lost-1")
    assert (await find(perp, "lost-1"))["status"] == "closed"


@pytest.mark.parametrize(("kind", "arrives"), [("timeout_before", False), ("timeout_after", True)])
async def test_a_time_out_says_nothing_of_the_order(perp: Any, town: Town, kind: str, arrives: bool) -> None:
    await script(town, ORDER, kind)
    perp.timeout = 300
    try:
        with pytest.raises(ccxt.RequestTimeout):
            await short(perp, kind)
    finally:
        perp.timeout = 3000
    if arrives:
        assert (await find(perp, kind))["status"] == "closed"
    else:
        with pytest.raises(ccxt.OrderNotFound):
            await find(perp, kind)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("429", ccxt.DDoSProtection),
        ("418", ccxt.DDoSProtection),
        ("5xx", ccxt.RequestTimeout),
        ("502", ccxt.NetworkError),
        ("drop_socket", ccxt.NetworkError),
        ("reject:-2019", ccxt.InsufficientFunds),
        ("html", ccxt.ExchangeError),
    ],
)
async def test_a_refused_order_does_not_rest(perp: Any, town: Town, kind: str, error: type[Exception]) -> None:
    await script(town, ORDER, kind)
    name = f"refused-{kind.replace(':', '')}"
    if kind == "html":
        body = await short(perp, name)
        assert body["id"] is None
    else:
        with pytest.raises(error):
            await short(perp, name)
    with pytest.raises(ccxt.OrderNotFound):
        await find(perp, name)
    await short(perp, name)


async def test_being_told_to_stay_away_says_for_how_long(town: Town) -> None:
    await script(town, "GET /api/v3/time", "429")
    async with aiohttp.ClientSession() as http, http.get(f"{town.url}/api/v3/time") as response:
        assert response.status == 429
        assert int(response.headers["Retry-After"]) > 0


async def test_half_a_fill_is_half_a_fill(perp: Any, town: Town) -> None:
    await script(town, ORDER, "half_fill", times=2)
    market = await short(perp, "half-market")
    assert (market["filled"], market["status"]) == (0.005, "expired")
    bid = (await perp.fetch_order_book(PERP, 5))["bids"][0][0]
    resting = await perp.create_order(PERP, "limit", "buy", 0.01, bid, {"timeInForce": "GTX"})
    await town.jump(town.now_ms() + 3 * HOUR_MS)
    half = await perp.fetch_order(resting["id"], PERP)
    assert (half["filled"], half["remaining"], half["status"]) == (0.005, 0.005, "open")
    await perp.cancel_order(resting["id"], PERP)


async def test_a_lie_shows_the_market_as_it_was(town: Town) -> None:
    await script(town, "GET /fapi/v1/premiumIndex", "lie_stale")
    lied = await town.call("GET", "/fapi/v1/premiumIndex?symbol=BTCUSDT")
    true = await town.call("GET", "/fapi/v1/premiumIndex?symbol=BTCUSDT")
    assert 890_000 < true["time"] - lied["time"] < 910_000


async def test_a_delay_comes_before_the_answer(town: Town) -> None:
    await script(town, "GET /api/v3/ping", "delay:300")
    started_s = asyncio.get_running_loop().time()
    await town.call("GET", "/api/v3/ping")
    assert asyncio.get_running_loop().time() - started_s >= 0.3


async def test_faults_wait_their_turn_and_end(town: Town) -> None:
    await script(town, "GET /api/v3/time", "reject:-1003", after=1, times=2)
    answers = [await town.call("GET", "/api/v3/time") for _ in range(4)]
    assert ["code" in answer for answer in answers] == [False, True, True, False]


async def test_a_dropped_market_socket_closes_with_1001(town: Town) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{town.url}/spot/ws/btcusdt@kline_1m") as socket:
        await socket.receive_json()
        await script(town, "WS /spot/ws*", "drop_socket")
        while (message := await asyncio.wait_for(socket.receive(), 5)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == 1001


async def test_the_other_desks_can_fail_too(town: Town) -> None:
    await script(town, "POST /bot*/sendMessage", "5xx")
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{town.url}/bot1:x/sendMessage", json={"chat_id": 1, "text": "x"}) as response,
    ):
        assert response.status == 503


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[1]", "fault 0: 1: must be an object"),
        ('{"match": "POST /x", "kind": "explode"}', "kind='explode'"),
        ('{"match": "everything", "kind": "429"}', "match='everything'"),
        ('{"match": "GET /x", "kind": "delay:soon"}', "kind='delay:soon'"),
        ('{"match": "GET /x", "kind": "429", "times": -1}', "times=-1"),
        ('{"match": "GET /x", "kind": "429", "when": 1}', "unknown field 'when'"),
    ],
)
async def test_a_schedule_that_cannot_be_read_names_the_place(text: str, words: str) -> None:
    with pytest.raises(SandboxError, match=r"plan\.json") as caught:
        read_faults(text, "plan.json")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
