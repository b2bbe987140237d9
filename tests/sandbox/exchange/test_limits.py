"""The sandbox weighs and limits requests as Binance documents it."""

from __future__ import annotations

from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from sandbox.clock import SandboxClock
from sandbox.exchange.limits import FIRST_BAN_S, PATIENCE, Limits, weight_of

MINUTE_S = 1_700_000_040.0
"""Begins at :00."""


class Wall(SandboxClock):
    """A system clock that stands where it is put."""

    at_s = MINUTE_S

    def system_s(self) -> float:
        return self.at_s


class Door:
    """The limits with a door behind them that is always open."""

    def __init__(self, spot: int = 100, perp: int = 50) -> None:
        self.clock = Wall(0)
        self.limits = Limits(self.clock)
        self.limits.switch_on(spot, perp)

    async def ask(self, what: str) -> web.Response:
        method, path = what.split()

        async def respond(_: web.Request) -> web.StreamResponse:
            return web.Response()

        return cast(web.Response, await self.limits.middleware(make_mocked_request(method, path), respond))


async def test_every_answer_tells_the_weight_used_and_a_new_minute_begins_at_nothing():
    door = Door()
    assert (await door.ask("GET /api/v3/klines?symbol=BTCUSDT")).headers["X-MBX-USED-WEIGHT-1M"] == "2"
    assert (await door.ask("GET /api/v3/account")).headers["X-MBX-USED-WEIGHT"] == "22"
    assert (await door.ask("GET /fapi/v1/time")).headers["X-MBX-USED-WEIGHT-1M"] == "1", "futures are counted apart"
    door.clock.at_s += 60
    assert (await door.ask("GET /api/v3/time")).headers["X-MBX-USED-WEIGHT-1M"] == "1"
    assert "X-MBX-USED-WEIGHT" not in (await door.ask("GET /sapi/v1/asset/tradeFee")).headers


async def test_beyond_the_limit_is_429_with_the_rest_of_the_minute_to_wait():
    door = Door()
    door.clock.at_s += 13
    for _ in range(5):
        assert (await door.ask("GET /api/v3/account")).status == 200
    refused = await door.ask("GET /api/v3/time")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "47")
    assert '"code":-1003' in (refused.text or "")
    assert (await door.ask("GET /fapi/v1/time")).status == 200
    door.clock.at_s += 47
    assert (await door.ask("GET /api/v3/time")).status == 200


async def test_who_goes_on_after_429_is_banned_and_the_next_time_longer():
    door = Door(spot=10)
    for ban_s in (FIRST_BAN_S, 2 * FIRST_BAN_S):
        statuses = [(await door.ask("GET /api/v3/exchangeInfo")).status for _ in range(PATIENCE + 1)]
        assert statuses == [429] * PATIENCE + [418]
        door.clock.at_s += 60
        banned = await door.ask("GET /api/v3/time")
        assert (banned.status, banned.headers["Retry-After"]) == (418, str(ban_s - 60 + 1))
        door.clock.at_s += ban_s - 60
        assert (await door.ask("GET /api/v3/time")).status == 200


async def test_orders_are_counted_by_ten_seconds_and_too_many_come_without_a_time():
    door = Door(spot=6000)
    for count in range(1, 101):
        answer = await door.ask("POST /api/v3/order")
        assert answer.headers["X-MBX-ORDER-COUNT-10S"] == str(count)
    refused = await door.ask("POST /api/v3/order")
    assert (refused.status, "Retry-After" in refused.headers) == (429, False)
    assert '"code":-1015' in (refused.text or "")
    assert (await door.ask("DELETE /api/v3/order")).status == 200
    door.clock.at_s += 10
    assert (await door.ask("POST /api/v3/order")).status == 200


async def test_nothing_is_counted_until_it_is_switched_on():
    limits = Limits(Wall(0))

    async def respond(_: web.Request) -> web.StreamResponse:
        return web.Response()

    answer = await limits.middleware(make_mocked_request("GET", "/api/v3/account"), respond)
    assert "X-MBX-USED-WEIGHT" not in answer.headers
    assert limits.rules("spot")[0]["limit"] == 6000
    assert limits.rules("perp")[0]["limit"] == 2400


@pytest.mark.parametrize(
    ("what", "weight"),
    [
        ("GET /api/v3/depth", 5), ("GET /api/v3/depth?limit=500", 25), ("GET /api/v3/depth?limit=5000", 250),
        ("GET /api/v3/ticker/24hr", 80), ("GET /api/v3/ticker/24hr?symbol=BTCUSDT", 2),
        ("GET /api/v3/openOrders", 80), ("DELETE /api/v3/openOrders", 1), ("GET /fapi/v1/openOrders", 40),
        ("GET /fapi/v1/klines?limit=99", 1), ("GET /fapi/v1/klines?limit=1000", 5), ("GET /fapi/v1/klines", 5),
        ("GET /fapi/v1/markPriceKlines?limit=1500", 10), ("GET /fapi/v3/positionRisk", 5), ("POST /fapi/v1/order", 0),
        ("GET /fapi/v1/depth?limit=20", 2), ("GET /fapi/v1/depth?limit=100", 5), ("GET /fapi/v1/income", 30),
    ],
)  # fmt: skip
def test_weights_are_those_of_the_documentation(what: str, weight: int):
    method, path = what.split()
    assert weight_of("spot" if path.startswith("/api") else "perp", make_mocked_request(method, path)) == weight
