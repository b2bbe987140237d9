"""Binance's limits of requests, when switched on: counted by weight a minute, told in headers, 429 beyond, then 418.

From Binance's documentation: a minute begins at :00 of real time; every answer carries `X-MBX-USED-WEIGHT-1M`; what is
beyond the limit is answered 429 with `Retry-After`, and whoever goes on all the same is banned, 418, from two minutes
to three days, longer each time. Orders are counted by the account: too many are 429 without `Retry-After`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from sandbox.clock import SandboxClock
from sandbox.exchange.errors import BinanceError, refusal
from sandbox.exchange.wire import answer

SPOT_WEIGHT, PERP_WEIGHT = 6000, 2400
"""A minute and address."""
SPOT_ORDERS, PERP_ORDERS = 100, 300
"""In ten seconds and account."""
PATIENCE = 10
"""Requests answered 429 before the ban."""
FIRST_BAN_S, LONGEST_BAN_S = 120, 3 * 86_400

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Meter:
    """What one market has counted."""

    weight_limit: int
    orders_limit: int
    minute: int = 0
    used: int = 0
    most_used: int = 0
    """Of any minute since it was set up."""
    tens: int = 0
    """Number of the ten seconds that `orders` is of."""
    orders: int = 0
    refused: int = 0
    """Answered 429 since the last ban."""
    bans: int = 0
    banned_until_s: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    """How many were let pass, answered 429 and 418."""

    def view(self) -> dict[str, object]:
        """For tests."""
        return {"used": self.used, "most_used": self.most_used, "limit": self.weight_limit, **self.answers}


class Limits:
    """The door-keeper, as aiohttp middleware; off until it is switched on."""

    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock
        self._meters: dict[str, Meter] = {}

    def switch_on(self, spot_weight: int = SPOT_WEIGHT, perp_weight: int = PERP_WEIGHT) -> None:
        """Count from now on, from nothing."""
        self._meters = {"spot": Meter(spot_weight, SPOT_ORDERS), "perp": Meter(perp_weight, PERP_ORDERS)}

    def rules(self, market: str) -> list[dict[str, object]]:
        """`exchangeInfo.rateLimits` of a market."""
        spot = market == "spot"
        meter = self._meters.get(market)
        weight = meter.weight_limit if meter else SPOT_WEIGHT if spot else PERP_WEIGHT
        orders = SPOT_ORDERS if spot else PERP_ORDERS
        return [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": orders},
        ]

    async def middleware(self, request: web.Request, respond: Respond) -> web.StreamResponse:
        """Count, and let pass or not."""
        market = "spot" if request.path.startswith("/api/") else "perp" if request.path.startswith("/fapi/") else ""
        meter = self._meters.get(market)
        if meter is None:
            return await respond(request)
        places = request.method == "POST" and request.path.endswith("/order")
        now_s = self._clock.system_s()
        refused = self._admit(meter, weight_of(market, request), places, now_s)
        if refused is None:
            meter.answers["passed"] += 1
            response = await respond(request)
        else:
            meter.answers[str(refused.status)] += 1
            response = refused
        response.headers["X-MBX-USED-WEIGHT"] = response.headers["X-MBX-USED-WEIGHT-1M"] = str(meter.used)
        if places and response.status == 200:
            response.headers["X-MBX-ORDER-COUNT-10S"] = str(meter.orders)
        return response

    def add_routes(self, app: web.Application) -> None:
        """`/sandbox/limits`: look at the meters, set them up anew, or switch them off."""

        async def show(_: web.Request) -> web.Response:
            return answer({market: meter.view() for market, meter in self._meters.items()})

        async def switch_on(request: web.Request) -> web.Response:
            wanted: object = json.loads(await request.text() or "{}")
            chosen = wanted if isinstance(wanted, dict) else {}
            self.switch_on(int(chosen.get("spot", SPOT_WEIGHT)), int(chosen.get("perp", PERP_WEIGHT)))
            return answer({market: meter.view() for market, meter in self._meters.items()})

        async def switch_off(_: web.Request) -> web.Response:
            self._meters = {}
            return answer({})

        app.router.add_get("/sandbox/limits", show)
        app.router.add_post("/sandbox/limits", switch_on)
        app.router.add_delete("/sandbox/limits", switch_off)

    def _admit(self, meter: Meter, weight: int, places: bool, now_s: float) -> web.Response | None:
        """Count a request; the refusal, when it is too much."""
        if now_s < meter.banned_until_s:
            return _refusal(418, refusal(-1003, _BANNED), int(meter.banned_until_s - now_s) + 1)
        if int(now_s // 60) != meter.minute:
            meter.minute, meter.used = int(now_s // 60), 0
        if int(now_s // 10) != meter.tens:
            meter.tens, meter.orders = int(now_s // 10), 0
        meter.used += weight
        if meter.used > meter.weight_limit:
            meter.refused += 1
            if meter.refused > PATIENCE:
                ban_s = min(LONGEST_BAN_S, FIRST_BAN_S * 2**meter.bans)
                meter.bans, meter.refused, meter.banned_until_s = meter.bans + 1, 0, now_s + ban_s
                return _refusal(418, refusal(-1003, _BANNED), ban_s)
            return _refusal(429, refusal(-1003, _TOO_MUCH.format(meter.weight_limit)), 60 - int(now_s % 60))
        meter.most_used = max(meter.most_used, meter.used)
        meter.orders += places
        if places and meter.orders > meter.orders_limit:
            return _refusal(429, refusal(-1015), None)
        return None


_TOO_MUCH = "Too many requests; current limit is {} request weight per 1 MINUTE."
_BANNED = "Way too much request weight used; IP banned. Please use WebSocket Streams for live updates to avoid bans."

# Request weights as the documentation of each endpoint states them; what is not listed weighs 1.
_SPOT: Mapping[tuple[str, str], int] = {
    ("GET", "exchangeInfo"): 20, ("GET", "klines"): 2, ("GET", "aggTrades"): 4, ("GET", "trades"): 25,
    ("GET", "order"): 4, ("GET", "account"): 20, ("GET", "myTrades"): 20, ("GET", "allOrders"): 20,
}  # fmt: skip
_SPOT_BY_SYMBOL: Mapping[str, tuple[int, int]] = {
    "ticker/24hr": (2, 80), "ticker/price": (2, 4), "ticker/bookTicker": (2, 4), "openOrders": (6, 80),
}  # fmt: skip
_PERP: Mapping[tuple[str, str], int] = {
    ("GET", "aggTrades"): 20, ("GET", "trades"): 5, ("GET", "account"): 5, ("GET", "balance"): 5,
    ("GET", "positionRisk"): 5, ("GET", "userTrades"): 5, ("GET", "income"): 30, ("GET", "commissionRate"): 20,
    ("GET", "positionSide/dual"): 30, ("GET", "symbolConfig"): 5, ("GET", "adlQuantile"): 5,
    ("POST", "countdownCancelAll"): 10, ("POST", "order"): 0,
}  # fmt: skip
_PERP_BY_SYMBOL: Mapping[str, tuple[int, int]] = {
    "ticker/24hr": (1, 40), "ticker/price": (1, 2), "ticker/bookTicker": (2, 5), "openOrders": (1, 40),
    "premiumIndex": (1, 10), "forceOrders": (20, 50),
}  # fmt: skip


def weight_of(market: str, request: web.Request) -> int:
    """What a request weighs."""
    name = request.path.split("/", 3)[3]  # /api/v3/ticker/price -> ticker/price
    limit = int(text) if (text := request.query.get("limit", "")).isdigit() else None
    is_spot, is_get = market == "spot", request.method == "GET"
    if name == "depth":
        return _spot_depth(limit or 100) if is_spot else _perp_depth(limit or 500)
    if name.lower().endswith("klines") and not is_spot:
        return _perp_klines(limit or 500)
    pair = (_SPOT_BY_SYMBOL if is_spot else _PERP_BY_SYMBOL).get(name)
    if pair is not None and is_get:
        return pair[0] if "symbol" in request.query else pair[1]
    return (_SPOT if is_spot else _PERP).get((request.method, name), 1)


def _spot_depth(limit: int) -> int:
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250


def _perp_depth(limit: int) -> int:
    return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20


def _perp_klines(limit: int) -> int:
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


def _refusal(status: int, error: BinanceError, retry_after_s: int | None) -> web.Response:
    response = answer(error.body(), status)
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response
