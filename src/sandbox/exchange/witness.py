"""What the sandbox saw and what it holds, for tests and the demo: counts, orders, duplicates, the ledger, the clock."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from decimal import Decimal

from aiohttp import web

from sandbox.exchange.engine import Happening
from sandbox.exchange.errors import BinanceError, SandboxError
from sandbox.exchange.exchange import Exchange
from sandbox.exchange.instruments import Market
from sandbox.exchange.notices import FORCED_KINDS
from sandbox.exchange.orders import Order
from sandbox.exchange.rest_spot import balance_rows
from sandbox.exchange.views import Json, perp_order, perp_trade, spot_order, spot_trade
from sandbox.exchange.wire import answer


@dataclass(slots=True)
class Seen:
    """Requests by endpoint, and what became of every client id."""

    requests: Counter[str] = field(default_factory=Counter)
    orders: list[Json] = field(default_factory=list)
    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(market, client id) -> how often an order with it arrived."""
    accepted: Counter[tuple[str, str]] = field(default_factory=Counter)

    def request(self, method: str, path: str) -> None:
        """Count a request; a bot's token is not kept."""
        self.requests[f"{method} {re.sub(r'/bot[^/]+/', '/bot***/', path)}"] += 1

    def attempt(self, market: Market, client_id: str) -> None:
        """Count an order that arrived, accepted or not."""
        self.attempts[market.value, client_id] += 1

    def happening(self, happening: Happening) -> None:
        """Note an accepted order."""
        order = happening.order
        if happening.kind == "NEW" and order is not None and not order.forced:
            self.accepted[order.market.value, order.client_id] += 1
            self.orders.append(_accepted(order))

    def duplicates(self) -> list[Json]:
        """Client ids that arrived again although an order with them had been accepted."""
        return [
            {"market": key[0], "client_id": key[1], "attempts": times, "accepted": self.accepted[key]}
            for key, times in self.attempts.items()
            if times > 1 and self.accepted[key] > 0
        ]

    def reset(self) -> None:
        """Forget everything."""
        self.requests.clear()
        self.orders.clear()
        self.attempts.clear()
        self.accepted.clear()


class Witness:
    """The `/sandbox/...` endpoints of the exchange.

    Args:
        exchange: Whose.
        seen: Filled by the server's middleware and the engine.
    """

    def __init__(self, exchange: Exchange, seen: Seen) -> None:
        self._exchange, self._seen = exchange, seen
        exchange.engine.listeners.append(seen.happening)
        exchange.attempt_listeners.append(seen.attempt)

    def add_routes(self, app: web.Application) -> None:
        """Hang the endpoints into a server."""
        app.router.add_get("/sandbox/seen", self._show_seen)
        app.router.add_post("/sandbox/reset-seen", self._reset)
        app.router.add_get("/sandbox/ledger", self._show_ledger)
        app.router.add_get("/sandbox/clock", self._show_clock)
        app.router.add_post("/sandbox/clock", self._turn_clock)
        app.router.add_post("/sandbox/key", self._set_key)
        app.router.add_post("/sandbox/deposit", self._deposit)
        app.router.add_post("/sandbox/notices", self._notice)
        app.router.add_post("/sandbox/force-close", self._force_close)

    async def _show_seen(self, _: web.Request) -> web.Response:
        seen = self._seen
        return answer({"requests": dict(seen.requests), "orders": seen.orders, "duplicate_orders": seen.duplicates()})

    async def _reset(self, _: web.Request) -> web.Response:
        self._seen.reset()
        return answer({})

    async def _show_ledger(self, _: web.Request) -> web.Response:
        return answer(ledger_view(self._exchange, self._exchange.now()))

    async def _show_clock(self, _: web.Request) -> web.Response:
        return answer(self._clock_view())

    async def _turn_clock(self, request: web.Request) -> web.Response:
        self._exchange.now()
        try:
            scale, until_ms, after = _clock_numbers(await request.json())
            self._exchange.clock.turn(scale=scale, until_ms=until_ms, scale_after=after)
        except (ValueError, SandboxError) as error:
            return answer({"error": str(error)}, 400)
        return answer(self._clock_view())

    def _clock_view(self) -> Json:
        return {**asdict(self._exchange.clock.segment), "now_ms": self._exchange.clock.now_ms()}

    async def _set_key(self, request: web.Request) -> web.Response:
        """`{"withdrawals": bool, "ip_restricted": bool, "expires_ms": int, "revoked": bool}`: the key's rights."""
        try:
            body: object = await request.json()
        except ValueError:
            body = None
        kinds = {"withdrawals": bool, "ip_restricted": bool, "expires_ms": int, "revoked": bool}
        if not isinstance(body, dict) or not all(type(value) is kinds.get(name) for name, value in body.items()):
            text = (
                f"key: {body!r}: send withdrawals, ip_restricted and revoked as true or false, expires_ms as a number"
            )
            return answer({"error": text}, 400)
        key = self._exchange.key
        key.expires_ms = int(body.get("expires_ms", key.expires_ms))
        key.withdrawals = bool(body.get("withdrawals", key.withdrawals))
        key.ip_restricted = bool(body.get("ip_restricted", key.ip_restricted))
        key.revoked = bool(body.get("revoked", key.revoked))
        return answer(asdict(key) | {"secret": "***"})

    async def _deposit(self, request: web.Request) -> web.Response:
        """`{"usdt": "1000"}`: a human puts money into the spot wallet, or takes it out (negative)."""
        self._exchange.now()
        engine = self._exchange.engine
        try:
            engine.ledger.deposit(Decimal(str((await request.json())["usdt"])), engine.open_orders())
        except (ValueError, KeyError, TypeError, ArithmeticError, BinanceError) as error:
            return answer({"error": f"deposit: {error}: send usdt as a number of dollars that are there"}, 400)
        return answer({"spot_usdt": f"{engine.ledger.spot['USDT']}"})

    async def _notice(self, request: web.Request) -> web.Response:
        """See `notices.py`."""
        try:
            self._exchange.notices = self._exchange.notices.changed(await request.json())
        except (ValueError, SandboxError) as error:
            return answer({"error": str(error)}, 400)
        return answer(self._exchange.notices.view())

    async def _force_close(self, request: web.Request) -> web.Response:
        """`{"kind": "ADL"}`: the exchange closes every perpetual position (of a `symbol`, where one is named); the
        moment it did.
        """
        try:
            asked = await request.json()
            kind, symbol = str(asked["kind"]), str(asked.get("symbol", ""))
        except (ValueError, KeyError, TypeError, AttributeError):
            kind = symbol = ""
        if kind not in FORCED_KINDS:
            return answer({"error": f"force-close: kind={kind!r}: send one of {', '.join(FORCED_KINDS)}"}, 400)
        now_ms = self._exchange.now()
        self._exchange.engine.close_by_force(kind, symbol)
        return answer({"at_ms": now_ms})


def ledger_view(exchange: Exchange, ms: int) -> Json:
    """Wallets, positions, orders, fills, income, and the sum of it all."""
    engine = exchange.engine
    marks, sums = engine.marks(ms), exchange.accounts(ms)
    held = [p for p in engine.ledger.positions.values() if p.quantity]
    return {
        "now_ms": ms,
        "spot": {asset: {"free": free, "locked": locked} for asset, free, locked in balance_rows(exchange)},
        "futures": {
            "wallet_usdt": f"{engine.ledger.futures_usdt}",
            "available_usdt": f"{engine.ledger.available_usdt(engine.open_orders(), marks)}",
        },
        "positions": [
            {"symbol": p.symbol, "quantity": f"{p.quantity}", "entry": f"{p.entry}", "mark": f"{marks[p.symbol]}",
             "unrealized": f"{p.unrealized(marks[p.symbol])}", "isolated": p.isolated, "leverage": p.leverage,
             "margin": f"{p.margin}"}
            for p in held
        ],
        "open_orders": [_order(exchange, o) for o in engine.open_orders()],
        "fills": [
            {"market": f.market.value, "client_id": engine.orders[f.order_id].client_id,
             **(spot_trade(f) if f.market is Market.SPOT else perp_trade(
                f, exchange.listing(Market.PERP, f.symbol).instrument))}
            for f in engine.ledger.fills
        ],
        "income": [
            {"symbol": i.symbol, "kind": i.kind, "amount": f"{i.amount}", "ms": i.ms, "tran_id": i.tran_id}
            for i in engine.ledger.income
        ],
        "equity": {
            **{name: f"{getattr(sums, name)}" for name in
               ("equity", "start", "spot_pnl", "perp_pnl", "funding", "fees", "insurance")},
            "error": f"{sums.error}",
            "adds_up": abs(sums.error) < 1e-8,
        },
    }  # fmt: skip


def _order(exchange: Exchange, order: Order) -> Json:
    if order.market is Market.SPOT:
        return {"market": "spot", **spot_order(order)}
    return {"market": "perp", **perp_order(order, exchange.listing(Market.PERP, order.symbol).instrument)}


def _accepted(order: Order) -> Json:
    return {
        "market": order.market.value, "symbol": order.symbol, "client_id": order.client_id, "side": order.side,
        "type": order.kind, "time_in_force": order.tif, "quantity": f"{order.quantity}", "price": f"{order.price}",
        "reduce_only": order.reduce_only, "ms": order.created_ms, "order_id": order.order_id,
    }  # fmt: skip


def _clock_numbers(body: object) -> tuple[float, float | None, float]:
    if not isinstance(body, dict):
        raise SandboxError(f"clock: {body!r}: send an object with scale, until_ms, scale_after")
    numbers: list[float | None] = []
    for name in ("scale", "until_ms", "scale_after"):
        value = body.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise SandboxError(f"clock: {name}={value!r}: must be a number or null")
        numbers.append(None if value is None else float(value))
    scale, until_ms, after = numbers
    if scale is None:
        raise SandboxError("clock: scale is missing: say how many sandbox seconds a real second lasts")
    return scale, until_ms, 1.0 if after is None else after
