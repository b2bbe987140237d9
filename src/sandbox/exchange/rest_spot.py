"""The spot account: balances, orders, executions; and the wallet endpoints (`sapi`) around it."""

from __future__ import annotations

from sandbox.exchange.errors import refusal
from sandbox.exchange.exchange import Exchange
from sandbox.exchange.instruments import Market
from sandbox.exchange.orders import ZERO
from sandbox.exchange.rest_orders import cancel, executions, history, place, read_order, resting, wanted
from sandbox.exchange.views import Json, number, spot_accepted, spot_order, spot_trade
from sandbox.exchange.wire import Call, Route

SPOT = Market.SPOT


def routes() -> list[Route]:
    """All private spot and wallet endpoints."""
    return [
        Route("GET", "/api/v3/account", _account, signed=True),
        Route("POST", "/api/v3/order", lambda e, c: spot_accepted(place(SPOT, e, c)), signed=True),
        Route("POST", "/api/v3/order/test", _test, signed=True),
        Route("GET", "/api/v3/order", lambda e, c: spot_order(wanted(SPOT, e, c, code=-2013)), signed=True),
        Route("DELETE", "/api/v3/order", _cancel, signed=True),
        Route("GET", "/api/v3/openOrders", lambda e, c: [spot_order(o) for o in resting(SPOT, e, c)], signed=True),
        Route("DELETE", "/api/v3/openOrders", _cancel_all, signed=True),
        Route("GET", "/api/v3/allOrders", lambda e, c: [spot_order(o) for o in history(SPOT, e, c)], signed=True),
        Route("GET", "/api/v3/myTrades", lambda e, c: [spot_trade(f) for f in executions(SPOT, e, c)], signed=True),
        Route("GET", "/sapi/v1/asset/tradeFee", _trade_fee, signed=True),
        Route("POST", "/sapi/v1/asset/transfer", _transfer, signed=True),
        Route("GET", "/sapi/v1/asset/transfer", _transfers, signed=True),
        Route("GET", "/sapi/v1/account/apiRestrictions", _restrictions, signed=True),
        Route("GET", "/sapi/v1/capital/config/getall", _coins, signed=True),
        Route("GET", "/sapi/v1/margin/allPairs", lambda _e, _c: [], keyed=True),
        Route("GET", "/sapi/v1/margin/isolated/allPairs", lambda _e, _c: [], keyed=True),
    ]


def balance_rows(exchange: Exchange) -> list[tuple[str, str, str]]:
    """(asset, free, locked) of the spot wallet."""
    ledger, open_orders = exchange.engine.ledger, exchange.engine.open_orders()
    rows = []
    for asset, total in sorted(ledger.spot.items()):
        locked = ledger.locked(asset, open_orders)
        rows.append((asset, number(total - locked), number(locked)))
    return rows


def _account(exchange: Exchange, call: Call) -> object:
    fees = exchange.engine.fees
    rates = {"maker": number(fees.spot_maker), "taker": number(fees.spot_taker), "buyer": "0.00000000",
             "seller": "0.00000000"}  # fmt: skip
    return {
        "makerCommission": int(fees.spot_maker * 10_000),
        "takerCommission": int(fees.spot_taker * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": rates,
        "canTrade": True,
        "canWithdraw": exchange.key.withdrawals,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": call.now_ms,
        "accountType": "SPOT",
        "balances": [{"asset": a, "free": free, "locked": locked} for a, free, locked in balance_rows(exchange)],
        "permissions": ["SPOT"],
        "uid": 1,
    }


def _test(exchange: Exchange, call: Call) -> object:
    read_order(SPOT, exchange, call)
    return {}


def _cancelled(order_body: Json, call: Call) -> Json:
    body = {**order_body, "origClientOrderId": order_body["clientOrderId"], "transactTime": call.now_ms}
    body["clientOrderId"] = call.text("newClientOrderId") or f"cancel{call.now_ms}"
    return body


def _cancel(exchange: Exchange, call: Call) -> object:
    return _cancelled(spot_order(cancel(SPOT, exchange, call)), call)


def _cancel_all(exchange: Exchange, call: Call) -> object:
    call.need("symbol")
    if not (found := resting(SPOT, exchange, call)):
        raise refusal(-2011)
    for order in found:
        exchange.engine.cancel(order)
    return [_cancelled(spot_order(order), call) for order in found]


def _trade_fee(exchange: Exchange, call: Call) -> object:
    fees, wanted_symbol = exchange.engine.fees, call.text("symbol")
    if wanted_symbol:
        exchange.listing(SPOT, wanted_symbol)
    return [
        {"symbol": s, "makerCommission": f"{fees.spot_maker}", "takerCommission": f"{fees.spot_taker}"}
        for s in exchange.symbols(SPOT)
        if wanted_symbol in ("", s)
    ]


def _transfer(exchange: Exchange, call: Call) -> object:
    direction = call.need("type")
    if direction not in ("MAIN_UMFUTURE", "UMFUTURE_MAIN"):
        raise refusal(-9000, f"Transfer type {direction} is not supported.")
    if (asset := call.need("asset")) != "USDT":
        raise refusal(-5002, f"This asset {asset} cannot be transferred.")
    amount = call.amount("amount")
    return {"tranId": exchange.engine.transfer(amount, to_futures=direction == "MAIN_UMFUTURE")}


def _transfers(exchange: Exchange, call: Call) -> object:
    direction = call.need("type")
    sign = 1 if direction == "MAIN_UMFUTURE" else -1
    lines = exchange.engine.ledger.income
    moved = [i for i in lines if i.kind == "TRANSFER" and i.amount * sign > 0 and call.since(i.ms)]
    rows = [
        {"asset": "USDT", "amount": number(abs(line.amount)), "type": direction, "status": "CONFIRMED",
         "tranId": line.tran_id, "timestamp": line.ms}
        for line in reversed(moved)
    ]  # fmt: skip
    return {"total": len(rows), "rows": rows[: min(call.whole("size") or 10, 100)]}


def _restrictions(exchange: Exchange, call: Call) -> object:
    return {
        "ipRestrict": exchange.key.ip_restricted,
        "createTime": call.now_ms - 86_400_000,
        "enableReading": True,
        "enableSpotAndMarginTrading": True,
        "enableFutures": True,
        "enableWithdrawals": exchange.key.withdrawals,
        "enableInternalTransfer": False,
        "permitsUniversalTransfer": True,
        "enableMargin": False,
        "enableVanillaOptions": False,
        "enablePortfolioMarginTrading": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        **({"tradingAuthorityExpirationTime": exchange.key.expires_ms} if exchange.key.expires_ms else {}),
    }


def _coins(exchange: Exchange, _: Call) -> object:
    bases = sorted({exchange.listing(SPOT, s).instrument.base for s in exchange.symbols(SPOT)})
    wallet = exchange.engine.ledger.spot
    return [
        {"coin": coin, "name": coin, "free": number(wallet.get(coin, ZERO)), "locked": "0", "freeze": "0",
         "depositAllEnable": True, "withdrawAllEnable": True, "isLegalMoney": False, "trading": True,
         "networkList": []}
        for coin in (*bases, "USDT")
    ]  # fmt: skip
