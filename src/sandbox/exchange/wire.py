"""How requests are read and checked: parameters, keys, signatures, time stamps; and how a refusal is answered."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from urllib.parse import parse_qsl

from aiohttp import web

from sandbox.exchange.errors import BinanceError, missing, refusal
from sandbox.exchange.exchange import Exchange

HALF_FILL = web.RequestKey("half_fill", bool)
"""Set on a request by a fault: whatever order it brings is filled by half."""
RACE = web.RequestKey("race", str)
"""Set on a request by a fault: what an order that is being cancelled does meanwhile, `fill_first` or `late_fill`."""
FORCED = web.RequestKey("forced", bool)
"""Set on a request by a fault: every perpetual position is closed by the exchange before it is answered."""
STALE_MS = web.RequestKey("stale_ms", int)
"""Set on a request by a fault: market data are answered as they were so long ago, sandbox milliseconds."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request as the handlers see it."""

    parameters: dict[str, str]
    now_ms: int
    """The moment that is answered for, UTC milliseconds."""
    half: bool = False
    race: str = ""
    """A scripted fault of a cancel: `fill_first` or `late_fill`."""

    def text(self, name: str, default: str = "") -> str:
        """A parameter, or the default."""
        return self.parameters.get(name, default)

    def need(self, name: str) -> str:
        """A parameter that has to be there.

        Raises:
            BinanceError: -1102.
        """
        if not (value := self.parameters.get(name, "")):
            raise missing(name)
        return value

    def whole(self, name: str) -> int | None:
        """A whole number; None when it was not sent.

        Raises:
            BinanceError: -1100, not a whole number.
        """
        if not (value := self.parameters.get(name, "")):
            return None
        if not value.lstrip("-").isdigit():
            raise refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
        return int(value)

    def limit(self, default: int, largest: int) -> int:
        """The `limit` parameter within its bounds."""
        return max(1, min(self.whole("limit") or default, largest))

    def amount(self, name: str) -> Decimal:
        """A decimal number; 0 when it was not sent.

        Raises:
            BinanceError: -1100, not a number.
        """
        value = self.parameters.get(name, "0")
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite():
            raise refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is a number.")
        return number

    def flag(self, name: str) -> bool:
        """A true or false."""
        return self.parameters.get(name, "false").lower() == "true"

    def since(self, ms: int) -> bool:
        """True when a record of that time lies within startTime and endTime."""
        start_ms, end_ms = self.whole("startTime"), self.whole("endTime")
        return (start_ms is None or ms >= start_ms) and (end_ms is None or ms <= end_ms)


Handler = Callable[[Exchange, Call], object]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint."""

    method: str
    path: str
    handler: Handler
    signed: bool = False
    keyed: bool = False
    """True: the API key is needed, a signature is not."""


def hang(app: web.Application, exchange: Exchange, routes: list[Route]) -> None:
    """Hang endpoints into a server."""
    for route in routes:
        app.router.add_route(route.method, route.path, _answerer(exchange, route))


def answer(body: object, status: int = 200) -> web.Response:
    """A JSON answer without spaces."""
    return web.Response(text=json.dumps(body, separators=(",", ":")), status=status, content_type="application/json")


def check_signature(exchange: Exchange, payload: str, signature: str) -> None:
    """Refuse a wrong HMAC.

    Raises:
        BinanceError: -1022.
    """
    right = hmac.new(exchange.key.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(right, signature):
        raise refusal(-1022)


def check_time(exchange: Exchange, stamp_ms: int, window_ms: int) -> None:
    """Refuse a time stamp outside of the window.

    The window is granted in real milliseconds: at 40,000x a request is hours old when it arrives.

    Raises:
        BinanceError: -1021.
    """
    speed = max(1.0, exchange.clock.fastest(window_ms / 1000.0))
    age_ms = exchange.clock.now_ms() - stamp_ms
    if age_ms < -1000 * speed:
        raise refusal(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if age_ms > window_ms * speed:
        raise refusal(-1021)


def _answerer(exchange: Exchange, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def respond(request: web.Request) -> web.Response:
        body = await request.text()
        try:
            if route.signed or route.keyed:
                _check_key(exchange, request)
            parameters = dict(parse_qsl(request.query_string, keep_blank_values=True))
            parameters.update(parse_qsl(body, keep_blank_values=True))
            if route.signed:
                _check_signed(exchange, request.query_string, body, parameters)
            now_ms = exchange.now() - request.get(STALE_MS, 0)
            if request.get(FORCED):
                exchange.engine.close_by_force()
            call = Call(parameters, now_ms, request.get(HALF_FILL, False), request.get(RACE, ""))
            return answer(route.handler(exchange, call))
        except BinanceError as error:
            return answer(error.body(), error.status)

    return respond


def _check_key(exchange: Exchange, request: web.Request) -> None:
    name = request.headers.get("X-MBX-APIKEY", "")
    if not name or not name.replace("-", "").replace("_", "").isalnum():
        raise refusal(-2014, status=401)
    if name != exchange.key.name or exchange.key.revoked:
        raise refusal(-2015, status=401)


def _check_signed(exchange: Exchange, query: str, body: str, parameters: dict[str, str]) -> None:
    if not (signature := parameters.pop("signature", "")):
        raise missing("signature")
    if not (stamp := parameters.get("timestamp", "")).isdigit():
        raise missing("timestamp")
    check_signature(exchange, _without_signature(query) + _without_signature(body), signature)
    window = parameters.get("recvWindow", "5000")
    check_time(exchange, int(stamp), int(float(window)) if window.replace(".", "", 1).isdigit() else 5000)


def _without_signature(text: str) -> str:
    return "&".join(part for part in text.split("&") if not part.startswith("signature="))
