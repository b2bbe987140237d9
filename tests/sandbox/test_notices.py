"""What the exchange says beside the tape, as its documentation writes it, and its own closings of a position."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from sandbox.exchange.errors import BinanceError
from sandbox.exchange.exchange import Exchange, Key, Start
from sandbox.exchange.instruments import Market
from sandbox.exchange.orders import ZERO, Order
from sandbox.exchange.rest_forced import routes
from sandbox.exchange.rest_orders import place
from sandbox.exchange.wire import Call
from sandbox.server import Town, build
from trading.market.synthetic import Plan, synthetic_market, write_layout

pytestmark = pytest.mark.asyncio(loop_scope="module")
PLAN = Plan(bars=24 * 4)
START_MS = PLAN.start_ms + 2 * 86_400_000 + 600_000
Town_ = tuple[TestClient[Any, Any], Exchange]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town_]:
    folder: Path = tmp_path_factory.mktemp("tape")
    made = synthetic_market(PLAN)
    write_layout(folder, [made.spot, made.perp])
    built = build(Town(Start(folder, ("BTCUSDT",), START_MS), Key("k", "s")))
    built.exchange.clock.begin(START_MS)
    async with TestClient(TestServer(built.app)) as client:
        yield client, built.exchange


async def get(town: Town_, path: str) -> Any:
    return await (await town[0].get(path)).json()


async def notice(town: Town_, **words: object) -> Any:
    answer = await town[0].post("/sandbox/notices", json=words)
    return answer.status, await answer.json()


def short(exchange: Exchange) -> None:
    """Sell a little of the contract."""
    exchange.now()
    order = Order(exchange.engine.number(), "lab-1", Market.PERP, "BTCUSDT", -1, "MARKET", "GTC", Decimal("0.02"), ZERO,
                  reduce_only=False, created_ms=0)  # fmt: skip
    exchange.engine.submit(order)


def told(exchange: Exchange, path: str, **parameters: str) -> Any:
    """A signed endpoint's answer, without the signature."""
    route = next(route for route in routes() if route.path == path)
    return route.handler(exchange, Call(parameters, exchange.now()))


async def test_status_delivery_terms_and_the_dollar_are_as_they_were_told(town: Town_) -> None:
    (plain,) = (await get(town, "/fapi/v1/exchangeInfo"))["symbols"]
    assert (plain["status"], plain["deliveryDate"]) == ("TRADING", 4_133_404_800_000)
    status, said = await notice(
        town, status={"perp": "SETTLING"}, delivery_ms=5, interval_hours=4, cap=0.01, usdt_usd=0.97, usdt_usdc=0.98
    )
    assert (status, said["cap"]) == (200, 0.01)
    (listed,) = (await get(town, "/fapi/v1/exchangeInfo"))["symbols"]
    assert (listed["status"], listed["deliveryDate"]) == ("SETTLING", 5)
    (spot,) = (await get(town, "/api/v3/exchangeInfo?symbol=BTCUSDT"))["symbols"]
    assert spot["status"] == "TRADING"
    (terms,) = await get(town, "/fapi/v1/fundingInfo")
    assert (terms["fundingIntervalHours"], float(terms["adjustedFundingRateFloor"])) == (4, -0.01)
    usdc = await get(town, "/api/v3/ticker/bookTicker?symbol=USDCUSDT")
    assert (float(usdc["bidPrice"]) + float(usdc["askPrice"])) / 2 == pytest.approx(1 / 0.98)
    assert float((await get(town, "/0/public/Ticker?pair=USDTZUSD"))["result"]["USDTZUSD"]["c"][0]) == 0.97
    assert (await notice(town, status={}, interval_hours=None, cap=None))[0] == 200
    (terms,) = await get(town, "/fapi/v1/fundingInfo")
    assert (terms["fundingIntervalHours"], float(terms["adjustedFundingRateCap"])) == (8, 0.003)


async def test_a_word_nobody_knows_is_refused(town: Town_) -> None:
    assert (await notice(town, adl="4"))[0] == 400
    assert (await notice(town, rank=4))[0] == 400
    assert (await town[0].post("/sandbox/force-close", json={"kind": "WHIM"})).status == 400


@pytest.mark.parametrize(
    ("kind", "begins", "is_listed"),
    [
        ("LIQUIDATION", "autoclose-", True),
        ("ADL", "adl_autoclose", True),
        ("SETTLEMENT", "settlement_autoclose-", False),
    ],
)
async def test_the_exchanges_own_closings_carry_its_ids(town: Town_, kind: str, begins: str, is_listed: bool) -> None:
    exchange = town[1]
    short(exchange)
    ((row),) = told(exchange, "/fapi/v1/adlQuantile", symbol="BTCUSDT")
    assert row["adlQuantile"] == {"LONG": 0, "SHORT": 1, "BOTH": 1}
    events: list[str] = []
    exchange.engine.listeners.append(lambda happening: events.append(happening.kind))
    asked_ms = exchange.now()
    answer = await town[0].post("/sandbox/force-close", json={"kind": kind})
    assert (await answer.json())["at_ms"] >= asked_ms
    exchange.engine.listeners.pop()
    assert "CALCULATED" in events
    assert exchange.engine.ledger.position("BTCUSDT").quantity == 0
    (last,) = [order for order in exchange.engine.orders.values() if order.forced and order.created_ms >= asked_ms]
    assert last.client_id.startswith(begins)
    rows = told(exchange, "/fapi/v1/forceOrders", symbol="BTCUSDT", startTime=str(asked_ms))
    assert [row["clientOrderId"] for row in rows] == ([last.client_id] if is_listed else [])
    assert exchange.accounts(exchange.now()).error == 0


async def test_an_order_in_a_market_that_does_not_trade_is_refused(town: Town_) -> None:
    exchange = town[1]
    await notice(town, status={"spot": "HALT", "perp": "SETTLING"})
    words = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    for market, code in ((Market.SPOT, -1013), (Market.PERP, -4108)):
        with pytest.raises(BinanceError) as refused:
            place(market, exchange, Call(words, exchange.now()))
        assert refused.value.code == code
    await notice(town, status={})
