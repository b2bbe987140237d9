"""What a request costs at Binance, and who may make it when the budget runs low.

Source: Binance's documentation, "Request Weight" of every endpoint: spot under Spot / REST API, futures under
Derivatives / USDⓈ-M Futures / REST API. An endpoint that is not in the table costs `UNKNOWN_WEIGHT`; the count in the
venue's answers sets right what the table has wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from trading.domain.instrument import Market
from trading.exchange.rate_window import Priority

UNKNOWN_WEIGHT = 50
"""Of an endpoint the table does not know; nearly all cost less."""
_MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """What one request takes of a budget."""

    weight: int
    priority: Priority
    orders: int = 0
    """Orders it places; they have a limit of their own."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The weight of an endpoint."""

    weight: int
    priority: Priority = Priority.NORMAL
    all_symbols: int | None = None
    """When it is asked without a symbol, or for a list of them; None: the same."""
    by_limit: tuple[tuple[int, int], ...] = ()
    """(largest `limit`, weight) steps, ascending; empty: it does not depend on it."""
    default_limit: int = 500
    """The `limit` that the venue takes when none is sent."""
    orders: int = 0


_BULK, _URGENT = Priority.BULK, Priority.URGENT
_FUTURES_PAGES = ((99, 1), (499, 2), (1000, 5), (_MOST, 10))

SPOT: Mapping[str, Cost] = {
    "GET ping": Cost(1),
    "GET time": Cost(1, _URGENT),
    "GET exchangeInfo": Cost(20, _URGENT),
    "GET depth": Cost(5, by_limit=((100, 5), (500, 25), (1000, 50), (_MOST, 250)), default_limit=100),
    "GET trades": Cost(25),
    "GET historicalTrades": Cost(25, _BULK),
    "GET aggTrades": Cost(4, _BULK),
    "GET klines": Cost(2),
    "GET uiKlines": Cost(2),
    "GET avgPrice": Cost(2),
    "GET ticker/24hr": Cost(2, all_symbols=80),
    "GET ticker/tradingDay": Cost(4, all_symbols=200),
    "GET ticker/price": Cost(2, all_symbols=4),
    "GET ticker/bookTicker": Cost(2, _URGENT, all_symbols=4),
    "POST order": Cost(1, _URGENT, orders=1),
    "POST order/test": Cost(20),
    "GET order": Cost(4, _URGENT),
    "DELETE order": Cost(1, _URGENT),
    "DELETE openOrders": Cost(1, _URGENT),
    "GET openOrders": Cost(6, _URGENT, all_symbols=80),
    "GET allOrders": Cost(20, _URGENT),
    "GET account": Cost(20, _URGENT),
    "GET account/commission": Cost(20),
    "GET myTrades": Cost(20, _URGENT),
    "GET rateLimit/order": Cost(40),
    "POST userDataStream": Cost(2),
    "PUT userDataStream": Cost(2),
    "DELETE userDataStream": Cost(2),
}
"""`/api/v3`, by method and path."""

WALLET: Mapping[str, Cost] = {
    "GET account/apiRestrictions": Cost(1),
    "GET asset/tradeFee": Cost(1),
    "GET spot/delist-schedule": Cost(1),
    "POST asset/transfer": Cost(1, _URGENT),
    "GET asset/transfer": Cost(1, _URGENT),
}
"""`/sapi`: it has limits of its own, far above what the lab asks; 1 is taken of spot's budget all the same."""

FUTURES: Mapping[str, Cost] = {
    "GET ping": Cost(1),
    "GET time": Cost(1, _URGENT),
    "GET exchangeInfo": Cost(1, _URGENT),
    "GET depth": Cost(2, by_limit=((50, 2), (100, 5), (500, 10), (_MOST, 20))),
    "GET trades": Cost(5),
    "GET historicalTrades": Cost(20, _BULK),
    "GET aggTrades": Cost(20, _BULK),
    "GET klines": Cost(1, by_limit=_FUTURES_PAGES),
    "GET continuousKlines": Cost(1, by_limit=_FUTURES_PAGES),
    "GET markPriceKlines": Cost(1, by_limit=_FUTURES_PAGES),
    "GET indexPriceKlines": Cost(1, by_limit=_FUTURES_PAGES),
    "GET premiumIndexKlines": Cost(1, by_limit=_FUTURES_PAGES),
    "GET premiumIndex": Cost(1, all_symbols=10),
    "GET fundingRate": Cost(1),
    "GET fundingInfo": Cost(1),
    "GET ticker/24hr": Cost(1, all_symbols=40),
    "GET ticker/price": Cost(1, all_symbols=2),
    "GET ticker/bookTicker": Cost(2, _URGENT, all_symbols=5),
    "GET openInterest": Cost(1),
    "POST order": Cost(1, _URGENT, orders=1),
    "GET order": Cost(1, _URGENT),
    "DELETE order": Cost(1, _URGENT),
    "DELETE allOpenOrders": Cost(1, _URGENT),
    "GET openOrders": Cost(1, _URGENT, all_symbols=40),
    "GET allOrders": Cost(5, _URGENT),
    "GET account": Cost(5, _URGENT),
    "GET balance": Cost(5, _URGENT),
    "GET positionRisk": Cost(5, _URGENT),
    "GET userTrades": Cost(5, _URGENT),
    "GET adlQuantile": Cost(5),
    "GET forceOrders": Cost(20, all_symbols=50),
    "GET income": Cost(30),
    "GET leverageBracket": Cost(1, _URGENT),
    "GET symbolConfig": Cost(5, _URGENT),
    "GET commissionRate": Cost(20),
    "GET positionSide/dual": Cost(30),
    "POST positionSide/dual": Cost(1),
    "POST marginType": Cost(1),
    "POST leverage": Cost(1),
    "POST positionMargin": Cost(1, _URGENT),
    "GET positionMargin/history": Cost(1, _URGENT),
    "POST countdownCancelAll": Cost(10, _URGENT),
    "POST listenKey": Cost(1),
    "PUT listenKey": Cost(1),
    "DELETE listenKey": Cost(1),
}
"""`/fapi`, by method and path, whatever the version."""


def request_of(market: Market, section: str, method: str, path: str, params: Mapping[str, object]) -> Request:
    """What a request takes.

    Args:
        market: Whose budget.
        section: ccxt's name of the part of the API: `public`, `fapiPrivateV3`, `sapi`.
        method: `GET`.
        path: Without root and version: `ticker/bookTicker`.
        params: The venue's parameters.
    """
    table = FUTURES if market is Market.PERP else WALLET if section.startswith("sapi") else SPOT
    cost = table.get(f"{method.upper()} {path}")
    if cost is None:
        return Request(UNKNOWN_WEIGHT, Priority.URGENT if method.upper() == "DELETE" else Priority.NORMAL)
    weight = cost.weight
    if cost.all_symbols is not None and not params.get("symbol"):
        weight = cost.all_symbols
    if cost.by_limit:
        asked = str(params.get("limit", ""))
        limit = int(asked) if asked.isdigit() else cost.default_limit
        weight = next(step for most, step in cost.by_limit if limit <= most)
    return Request(weight, cost.priority, cost.orders)


def guardian_request_of(market: Market, section: str, method: str, path: str, params: Mapping[str, object]) -> Request:
    """What a request of the guardian takes: the same, from the share that is kept for it."""
    return replace(request_of(market, section, method, path, params), priority=Priority.GUARDIAN)
