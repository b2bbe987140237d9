"""The real ccxt.pro client on the sandbox's sockets: candles at speed, books, tickers, the account's own events."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.sandbox.exchange.conftest import GAP_MS, HOUR_MS, Town

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"


async def closed_candles(client: Any, symbol: str, interval: str, until_ms: int) -> list[list[float]]:
    """Candles as a listener sees them, until one opens at `until_ms`; the last state of each."""
    client.options["OHLCVLimit"] = 5000
    states: dict[int, list[float]] = {}
    while not states or max(states) < until_ms:
        for row in await asyncio.wait_for(client.watch_ohlcv(symbol, interval, limit=5000), 10):
            states[int(row[0])] = row
    return [states[opened] for opened in sorted(states)]


async def test_every_closed_candle_comes_once_and_in_order_at_speed(town: Town) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{town.url}/spot/ws/0") as socket:
        names = ["btcusdt@kline_1m", "btcusdt@kline_1h"]
        await socket.send_json({"method": "SUBSCRIBE", "params": names, "id": 1})
        assert await socket.receive_json() == {"result": None, "id": 1}
        first = await socket.receive_json()
        started_ms, until_ms = int(first["k"]["t"]), town.now_ms() + 6 * HOUR_MS
        await town.turn(scale=20_000.0, until_ms=until_ms, scale_after=20.0)
        closed: dict[str, list[int]] = {"1m": [], "1h": []}
        rows: dict[int, dict[str, Any]] = {}
        while not closed["1h"] or closed["1h"][-1] + HOUR_MS < until_ms // HOUR_MS * HOUR_MS:
            event = (await asyncio.wait_for(socket.receive_json(), 10))["k"]
            if event["x"]:
                closed[event["i"]].append(event["t"])
                rows[event["t"]] = event if event["i"] == "1m" else rows.get(event["t"], event)
        await town.turn(scale=1.0)
    minutes = closed["1m"]
    assert minutes == list(range(started_ms, minutes[-1] + 1, 60_000))
    assert len(closed["1h"]) >= 5
    assert minutes[-1] + 60_000 >= closed["1h"][-1] + HOUR_MS
    known = await town.call("GET", f"/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={started_ms}&limit=100")
    for row in known[:100]:
        event = rows[row[0]]
        assert [event[k] for k in ("t", "o", "h", "l", "c", "v", "T", "q")] == row[:8]


async def test_a_gap_sends_no_candle(town: Town) -> None:
    await town.jump(GAP_MS - 90_000)
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{town.url}/spot/ws/btcusdt@kline_1m") as socket:
        await socket.receive_json()
        await town.turn(scale=20_000.0, until_ms=GAP_MS + 2 * HOUR_MS, scale_after=1.0)
        closed = []
        while not closed or closed[-1] < GAP_MS + HOUR_MS:
            event = (await asyncio.wait_for(socket.receive_json(), 10))["k"]
            closed += [event["t"]] if event["x"] else []
        await town.turn(scale=1.0)
    assert closed[:4] == [GAP_MS - 120_000, GAP_MS - 60_000, GAP_MS + 1_800_000, GAP_MS + 1_860_000]


async def test_ccxt_sees_every_candle_of_both_markets(spot: Any, perp: Any, town: Town) -> None:
    watching = [
        asyncio.ensure_future(closed_candles(client, symbol, interval, town.now_ms() + HOUR_MS))
        for client, symbol, interval in ((spot, SPOT, "1m"), (perp, PERP, "5m"))
    ]
    await asyncio.sleep(0.3)
    await town.turn(scale=5_000.0, until_ms=town.now_ms() + 2 * HOUR_MS, scale_after=1.0)
    for rows, step_ms in zip(await asyncio.gather(*watching), (60_000, 300_000), strict=True):
        times = [int(row[0]) for row in rows]
        assert times == list(range(times[0], times[-1] + 1, step_ms))
    await town.turn(scale=1.0)


async def test_the_streamed_book_stays_the_book(spot: Any, perp: Any, town: Town) -> None:
    await town.turn(scale=50.0)
    for client, symbol in ((spot, SPOT), (perp, PERP)):
        for _ in range(8):
            book = await asyncio.wait_for(client.watch_order_book(symbol), 5)
            assert book["bids"][0][0] < book["asks"][0][0]
        await town.turn(scale=1.0)
        await asyncio.sleep(0.3)
        snapshot = await client.fetch_order_book(symbol, 50)
        assert snapshot["nonce"] >= book["nonce"]
        assert snapshot["bids"][0][0] == pytest.approx(book["bids"][0][0], rel=0.01)
        await town.turn(scale=50.0)
    await town.turn(scale=1.0)


async def test_depth_events_follow_one_another_from_the_snapshot_on(town: Town) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{town.url}/fut/public/ws/btcusdt@depth@100ms") as socket:
            snapshot = await town.call("GET", "/fapi/v1/depth?symbol=BTCUSDT&limit=1000")
            book = {side: dict(snapshot[side]) for side in ("bids", "asks")}
            await town.turn(scale=100.0)
            last = snapshot["lastUpdateId"]
            for _ in range(5):
                event = await asyncio.wait_for(socket.receive_json(), 5)
                if event["u"] <= last:
                    continue
                assert event["pu"] == last
                assert event["U"] == last + 1
                last = event["u"]
                for side, changes in (("bids", event["b"]), ("asks", event["a"])):
                    for price, size in changes:
                        if float(size):
                            book[side][price] = size
                        else:
                            book[side].pop(price)
            await town.turn(scale=1.0)
        best = await town.call("GET", "/fapi/v1/depth?symbol=BTCUSDT&limit=1000")
        if best["lastUpdateId"] == last:
            assert dict(best["bids"]) == book["bids"]
        assert len(book["bids"]) == len(best["bids"])


async def test_tickers_marks_and_prints_stream(spot: Any, perp: Any, town: Town) -> None:
    await town.turn(scale=20.0)
    ticker = await asyncio.wait_for(spot.watch_ticker(SPOT), 5)
    assert ticker["last"] > 0
    best = await asyncio.wait_for(perp.watch_bids_asks([PERP]), 5)
    assert best[PERP]["bid"] < best[PERP]["ask"]
    mark = await asyncio.wait_for(perp.watch_mark_price(PERP), 5)
    assert mark["markPrice"] > 0
    trades = await asyncio.wait_for(spot.watch_trades(SPOT), 5)
    assert trades[0]["price"] > 0
    await town.turn(scale=1.0)


async def test_unsubscribed_streams_fall_silent_and_are_no_longer_listed(town: Town) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{town.url}/spot/ws") as socket:
        await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@kline_1m"], "id": 1})
        await socket.receive_json()
        await socket.send_json({"method": "UNSUBSCRIBE", "params": ["btcusdt@kline_1m"], "id": 2})
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 3})
        await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@nonsense"], "id": 4})
        answers = []
        while len(answers) < 3:
            message = await asyncio.wait_for(socket.receive_json(), 5)
            answers += [message] if "id" in message else []
    assert answers[1] == {"result": [], "id": 3}
    assert answers[2]["error"]["msg"] == "Invalid request: unknown stream btcusdt@nonsense"


@pytest.mark.parametrize(("name", "symbol"), [("spot", SPOT), ("perp", PERP)])
async def test_the_user_stream_tells_what_becomes_of_an_order(
    request: pytest.FixtureRequest, spot: Any, perp: Any, town: Town, name: str, symbol: str
) -> None:
    client = {"spot": spot, "perp": perp}[name]
    told: dict[str, Any] = {}

    async def listen() -> None:
        while True:  # what comes between two awaits is only in the cache
            await client.watch_orders(symbol)
            told.update(client.orders.hashmap[symbol])

    async def until(order_id: str, status: str) -> Any:
        for _ in range(200):
            if order_id in told and client.orders.hashmap[symbol][order_id]["status"] == status:
                return client.orders.hashmap[symbol][order_id]
            await asyncio.sleep(0.02)
        raise TimeoutError(f"{order_id} is not {status}: {told}")

    listener = asyncio.ensure_future(listen())
    await asyncio.sleep(0.4)
    placed = await client.create_order(symbol, "market", "buy", 0.01, None, {"newClientOrderId": f"ws-{name}"})
    filled = await until(placed["id"], "closed")
    assert filled["clientOrderId"] == f"ws-{name}"
    assert filled["filled"] == 0.01
    bid = (await client.fetch_order_book(symbol, 5))["bids"][0][0]
    price = float(client.price_to_precision(symbol, bid * 0.97))
    resting = await client.create_order(symbol, "limit", "buy", 0.01, price, {"newClientOrderId": f"rest-{name}"})
    await client.cancel_order(resting["id"], symbol)
    assert (await until(resting["id"], "canceled"))["clientOrderId"] == f"rest-{name}"
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)


async def test_the_futures_stream_tells_balances_and_funding(perp: Any, town: Town) -> None:
    settlement_ms = (town.now_ms() // (8 * HOUR_MS) + 1) * 8 * HOUR_MS
    await town.jump(settlement_ms - HOUR_MS / 4)  # a listen key lives an hour: it must outlive the wait
    key = (await town_listen_key(town))["listenKey"]
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{town.url}/fut/private/ws?listenKey={key}") as socket:
        await perp.create_order(PERP, "market", "sell", 0.05, None, {"newClientOrderId": "ws-short"})
        events = [await asyncio.wait_for(socket.receive_json(), 5) for _ in range(3)]
        assert [e["e"] for e in events] == ["ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE"]
        assert [e["o"]["x"] for e in events if "o" in e] == ["NEW", "TRADE"]
        await town.jump(settlement_ms + HOUR_MS / 4)
        while (event := json.loads(await asyncio.wait_for(socket.receive_str(), 5)))["e"] != "ACCOUNT_UPDATE":
            pass
        assert event["a"]["m"] == "FUNDING_FEE"


async def town_listen_key(town: Town) -> dict[str, str]:
    async with (
        aiohttp.ClientSession(headers={"X-MBX-APIKEY": "sandbox-key"}) as http,
        http.post(f"{town.url}/fapi/v1/listenKey") as response,
    ):
        body: dict[str, str] = await response.json()
        return body
