"""What the exchange tells of its own closings: forced orders, the queue of auto-deleveraging, spot's delistings."""

from __future__ import annotations

from sandbox.exchange.exchange import Exchange
from sandbox.exchange.instruments import Market
from sandbox.exchange.views import Json, perp_order
from sandbox.exchange.wire import Call, Route

_IDS = {"LIQUIDATION": ("autoclose-",), "ADL": ("adl_autoclose",)}
"""What client ids begin with; settlements are not listed."""


def routes() -> list[Route]:
    """All of them."""
    return [
        Route("GET", "/fapi/v1/forceOrders", _force_orders, signed=True),
        Route("GET", "/fapi/v1/adlQuantile", _adl_quantile, signed=True),
        Route("GET", "/sapi/v1/spot/delist-schedule", _delist_schedule, keyed=True),
    ]


def _force_orders(exchange: Exchange, call: Call) -> object:
    symbol, begins = call.text("symbol"), _IDS.get(call.text("autoCloseType"), ("autoclose-", "adl_autoclose"))
    found = [
        order
        for order in exchange.engine.orders.values()
        if order.forced and order.client_id.startswith(begins)
        if symbol in ("", order.symbol) and call.since(order.created_ms)
    ]
    kept = found[-call.limit(50, 100) :]
    return [perp_order(order, exchange.listing(Market.PERP, order.symbol).instrument) for order in kept]


def _adl_quantile(exchange: Exchange, call: Call) -> object:
    rows: list[Json] = []
    for symbol in [call.text("symbol")] if call.text("symbol") else exchange.symbols(Market.PERP):
        exchange.listing(Market.PERP, symbol)
        quantity = exchange.engine.ledger.position(symbol).quantity
        rank = exchange.notices.adl if quantity else 0
        sides = {"LONG": rank if quantity > 0 else 0, "SHORT": rank if quantity < 0 else 0, "BOTH": rank}
        rows.append({"symbol": symbol, "adlQuantile": sides})
    return rows


def _delist_schedule(exchange: Exchange, _: Call) -> object:
    end_ms = exchange.notices.spot_end_ms
    return [] if end_ms is None else [{"delistTime": end_ms, "symbols": exchange.symbols(Market.SPOT)}]
