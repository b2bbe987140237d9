"""What both venues ask of an order in the same way: reading it, finding it, listing it."""

from __future__ import annotations

from typing import TypeVar

from sandbox.exchange.errors import missing, refusal
from sandbox.exchange.exchange import Exchange
from sandbox.exchange.instruments import Market
from sandbox.exchange.orders import ZERO, Fill, Order
from sandbox.exchange.wire import Call

_Row = TypeVar("_Row")
_KINDS = {Market.SPOT: ("LIMIT", "LIMIT_MAKER", "MARKET"), Market.PERP: ("LIMIT", "MARKET")}
_TIFS = {Market.SPOT: ("GTC", "IOC", "FOK"), Market.PERP: ("GTC", "IOC", "FOK", "GTX")}


def place(market: Market, exchange: Exchange, call: Call) -> Order:
    """Read a new order and submit it.

    Raises:
        BinanceError: a parameter, a filter, the symbol's status or the engine refuses it.
    """
    order = read_order(market, exchange, call)
    for listener in exchange.attempt_listeners:
        listener(market, order.client_id)
    if exchange.notices.status.get(market.value, "TRADING") != "TRADING":
        raise refusal(-1013, "Market is closed.") if market is Market.SPOT else refusal(-4108)
    return exchange.engine.submit(order, half=call.half)


def read_order(market: Market, exchange: Exchange, call: Call) -> Order:
    """A new order from its parameters.

    Raises:
        BinanceError: -1102, -1116, -1117, -1121.
    """
    symbol, kind = call.need("symbol"), call.need("type").upper()
    exchange.listing(market, symbol)
    if kind not in _KINDS[market]:
        raise refusal(-1116, "Invalid orderType.")
    if (side := call.need("side").upper()) not in ("BUY", "SELL"):
        raise refusal(-1117, "Invalid side.")
    if call.text("positionSide", "BOTH") != "BOTH":
        raise refusal(-4061)
    tif = call.need("timeInForce").upper() if kind == "LIMIT" else "GTC"
    if tif not in _TIFS[market]:
        raise refusal(-1115, "Invalid timeInForce.")
    quantity, quote = call.amount("quantity"), call.amount("quoteOrderQty")
    by_cost = market is Market.SPOT and kind == "MARKET" and quote > 0
    if "quantity" not in call.parameters and not by_cost:
        raise missing("quantity")
    if kind != "MARKET" and "price" not in call.parameters:
        raise missing("price")
    number = exchange.engine.number()
    return Order(
        number, call.text("newClientOrderId") or f"sandbox{number}", market, symbol, 1 if side == "BUY" else -1, kind,
        tif, ZERO if by_cost else quantity, call.amount("price") if kind != "MARKET" else ZERO,
        call.flag("reduceOnly"), call.now_ms, quote_quantity=quote if by_cost else ZERO,
    )  # fmt: skip


def wanted(market: Market, exchange: Exchange, call: Call, *, code: int) -> Order:
    """The order that orderId or origClientOrderId names.

    Raises:
        BinanceError: `code` when there is none.
    """
    symbol, order_id = call.need("symbol"), call.whole("orderId")
    exchange.listing(market, symbol)
    if order_id is not None:
        order = exchange.engine.orders.get(order_id)
    else:
        order = exchange.engine.by_client.get((market, symbol, call.need("origClientOrderId")))
    if order is None or order.market is not market or order.symbol != symbol:
        raise refusal(code)
    return order


def cancel(market: Market, exchange: Exchange, call: Call) -> Order:
    """Cancel one resting order.

    Raises:
        BinanceError: -2011, it does not rest (any more).
    """
    order = wanted(market, exchange, call, code=-2011)
    if order.is_open and call.race == "fill_first":
        exchange.engine.fill_whole(order)
    if not order.is_open:
        raise refusal(-2011)
    exchange.engine.cancel(order)
    if call.race == "late_fill":
        exchange.engine.late.append(order)
    return order


def resting(market: Market, exchange: Exchange, call: Call) -> list[Order]:
    """Resting orders of a symbol, or of all."""
    if symbol := call.text("symbol"):
        exchange.listing(market, symbol)
    return [o for o in exchange.engine.open_orders() if o.market is market and (not symbol or o.symbol == symbol)]


def history(market: Market, exchange: Exchange, call: Call) -> list[Order]:
    """Orders of a symbol by orderId, startTime, endTime and limit, oldest first."""
    symbol, least = call.need("symbol"), call.whole("orderId") or 0
    exchange.listing(market, symbol)
    found = [
        o
        for o in exchange.engine.orders.values()
        if o.market is market and o.symbol == symbol and o.order_id >= least and call.since(o.created_ms)
    ]
    return page(found, call, oldest=least > 0)


def executions(market: Market, exchange: Exchange, call: Call) -> list[Fill]:
    """Our fills of a symbol by orderId, fromId, startTime, endTime and limit, oldest first."""
    symbol, order_id, least = call.need("symbol"), call.whole("orderId"), call.whole("fromId") or 0
    exchange.listing(market, symbol)
    found = [
        f
        for f in exchange.engine.ledger.fills
        if f.market is market
        and f.symbol == symbol
        and order_id in (None, f.order_id)
        and f.trade_id >= least
        and call.since(f.ms)
    ]
    return page(found, call, oldest=least > 0)


def page(rows: list[_Row], call: Call, *, oldest: bool = False) -> list[_Row]:
    """The first `limit` rows from a start on; the last ones without a start."""
    limit = call.limit(500, 1000)
    return rows[:limit] if oldest or call.whole("startTime") is not None else rows[-limit:]
