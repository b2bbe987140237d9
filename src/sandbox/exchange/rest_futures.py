"""The futures account: balances, positions, margin settings, orders, income, listen keys, the dead man's switch."""

from __future__ import annotations

from decimal import Decimal

from sandbox.exchange.errors import refusal
from sandbox.exchange.exchange import Exchange
from sandbox.exchange.instruments import BRACKETS, Market
from sandbox.exchange.ledger import Position
from sandbox.exchange.orders import ZERO, Order
from sandbox.exchange.rest_orders import cancel, executions, history, page, place, resting, wanted
from sandbox.exchange.views import Json, number, perp_order, perp_trade, price_text, size_text
from sandbox.exchange.wire import Call, Route

PERP = Market.PERP


def routes() -> list[Route]:
    """All private futures endpoints."""
    both: list[Route] = []
    for version in ("v2", "v3"):
        both += [
            Route("GET", f"/fapi/{version}/account", _account, signed=True),
            Route("GET", f"/fapi/{version}/balance", _balance, signed=True),
        ]
    return [
        *both,
        Route("GET", "/fapi/v2/positionRisk", _risk_v2, signed=True),
        Route("GET", "/fapi/v3/positionRisk", _risk_v3, signed=True),
        Route("POST", "/fapi/v1/order", lambda e, c: _order(e, place(PERP, e, c)), signed=True),
        Route("GET", "/fapi/v1/order", lambda e, c: _order(e, wanted(PERP, e, c, code=-2013)), signed=True),
        Route("DELETE", "/fapi/v1/order", lambda e, c: _order(e, cancel(PERP, e, c)), signed=True),
        Route("GET", "/fapi/v1/openOrders", lambda e, c: [_order(e, o) for o in resting(PERP, e, c)], signed=True),
        Route("DELETE", "/fapi/v1/allOpenOrders", _cancel_all, signed=True),
        Route("GET", "/fapi/v1/allOrders", lambda e, c: [_order(e, o) for o in history(PERP, e, c)], signed=True),
        Route("GET", "/fapi/v1/userTrades", _trades, signed=True),
        Route("GET", "/fapi/v1/income", _income, signed=True),
        Route("POST", "/fapi/v1/leverage", _leverage, signed=True),
        Route("POST", "/fapi/v1/marginType", _margin_type, signed=True),
        Route("POST", "/fapi/v1/positionMargin", _add_margin, signed=True),
        Route("GET", "/fapi/v1/positionMargin/history", _margin_history, signed=True),
        Route("GET", "/fapi/v1/positionSide/dual", lambda _e, _c: {"dualSidePosition": False}, signed=True),
        Route("POST", "/fapi/v1/positionSide/dual", _dual, signed=True),
        Route("GET", "/fapi/v1/leverageBracket", _brackets, signed=True),
        Route("GET", "/fapi/v1/symbolConfig", _symbol_config, signed=True),
        Route("GET", "/fapi/v1/commissionRate", _commission, signed=True),
        Route("POST", "/fapi/v1/countdownCancelAll", _countdown, signed=True),
        Route("POST", "/fapi/v1/listenKey", _listen_key, keyed=True),
        Route("PUT", "/fapi/v1/listenKey", _keep_listen_key, keyed=True),
        Route("DELETE", "/fapi/v1/listenKey", _close_listen_key, keyed=True),
    ]


def _listen_key(exchange: Exchange, _call: Call) -> object:
    return {"listenKey": exchange.listen_key.give(exchange.clock.now_ms())}


def _keep_listen_key(exchange: Exchange, _call: Call) -> object:
    if not exchange.listen_key.keep(exchange.clock.now_ms()):
        raise refusal(-1125)
    return {"listenKey": exchange.listen_key.name}


def _close_listen_key(exchange: Exchange, _call: Call) -> object:
    exchange.listen_key.name = ""
    return {}


def _order(exchange: Exchange, order: Order) -> Json:
    return perp_order(order, exchange.listing(PERP, order.symbol).instrument)


def _cancel_all(exchange: Exchange, call: Call) -> object:
    call.need("symbol")
    for order in resting(PERP, exchange, call):
        exchange.engine.cancel(order)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def _trades(exchange: Exchange, call: Call) -> object:
    return [
        perp_trade(fill, exchange.listing(PERP, fill.symbol).instrument) for fill in executions(PERP, exchange, call)
    ]


def _income(exchange: Exchange, call: Call) -> object:
    symbol, kind = call.text("symbol"), call.text("incomeType")
    lines = [
        line
        for line in exchange.engine.ledger.income
        if symbol in ("", line.symbol) and kind in ("", line.kind) and call.since(line.ms)
    ]
    return [
        {"symbol": line.symbol, "incomeType": line.kind, "income": number(line.amount), "asset": "USDT",
         "info": line.kind, "time": line.ms, "tranId": line.tran_id, "tradeId": line.trade_id}
        for line in page(lines, call)
    ]  # fmt: skip


def _asset(exchange: Exchange, ms: int) -> dict[str, Decimal]:
    """The numbers of the futures wallet, USDT."""
    engine = exchange.engine
    ledger, marks, orders = engine.ledger, engine.marks(ms), engine.open_orders()
    held = [p for p in ledger.positions.values() if p.quantity]
    initial = sum((abs(p.quantity) * marks[p.symbol] / p.leverage for p in held), ZERO)
    unrealized = sum((p.unrealized(marks[p.symbol]) for p in held), ZERO)
    crossed = [p for p in held if not p.isolated]
    available = ledger.available_usdt(orders, marks)
    return {
        "walletBalance": ledger.futures_usdt,
        "unrealizedProfit": unrealized,
        "marginBalance": ledger.futures_usdt + unrealized,
        "maintMargin": sum((p.maintenance(marks[p.symbol]) for p in held), ZERO),
        "initialMargin": initial + ledger.order_margin(orders),
        "positionInitialMargin": initial,
        "openOrderInitialMargin": ledger.order_margin(orders),
        "crossWalletBalance": ledger.futures_usdt - ledger.isolated_margin(),
        "crossUnPnl": sum((p.unrealized(marks[p.symbol]) for p in crossed), ZERO),
        "availableBalance": available,
        "maxWithdrawAmount": available,
    }


def _account(exchange: Exchange, call: Call) -> object:
    asset = {name: number(value) for name, value in _asset(exchange, call.now_ms).items()}
    total = {
        f"total{name[0].upper()}{name[1:]}": value
        for name, value in asset.items()
        if name not in ("availableBalance", "maxWithdrawAmount")
    }
    return {
        **total,
        "totalUnrealizedProfit": asset["unrealizedProfit"],
        "availableBalance": asset["availableBalance"],
        "maxWithdrawAmount": asset["maxWithdrawAmount"],
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": exchange.key.withdrawals,
        "multiAssetsMargin": False,
        "updateTime": call.now_ms,
        "assets": [{"asset": "USDT", **asset, "marginAvailable": True, "updateTime": call.now_ms}],
        "positions": [_account_position(exchange, p, call.now_ms) for p in _held(exchange)],
    }


def _balance(exchange: Exchange, call: Call) -> object:
    numbers = _asset(exchange, call.now_ms)
    names = ("crossWalletBalance", "crossUnPnl", "availableBalance", "maxWithdrawAmount")
    body: Json = {name: number(numbers[name]) for name in names}
    body |= {"accountAlias": "sandbox", "asset": "USDT", "balance": number(numbers["walletBalance"])}
    return [{**body, "marginAvailable": True, "updateTime": call.now_ms}]


def _held(exchange: Exchange) -> list[Position]:
    return [p for p in exchange.engine.ledger.positions.values() if p.quantity]


def _position_body(exchange: Exchange, position: Position, ms: int) -> Json:
    """What every view of a position has in common."""
    engine, spec = exchange.engine, exchange.listing(PERP, position.symbol).instrument
    marks, orders = engine.marks(ms), engine.open_orders()
    mark = marks[position.symbol]
    initial = abs(position.quantity) * mark / position.leverage
    waiting = engine.ledger.order_margin(orders, position.symbol)
    return {
        "symbol": position.symbol,
        "positionSide": "BOTH",
        "positionAmt": size_text(spec, position.quantity),
        "unRealizedProfit": number(position.unrealized(mark)),
        "isolatedMargin": number(position.margin + position.unrealized(mark) if position.isolated else ZERO),
        "isolatedWallet": number(position.margin),
        "notional": number(position.quantity * mark),
        "initialMargin": number(initial + waiting),
        "maintMargin": number(position.maintenance(mark)),
        "positionInitialMargin": number(initial),
        "openOrderInitialMargin": number(waiting),
        "updateTime": position.updated_ms,
    }


def _account_position(exchange: Exchange, position: Position, ms: int) -> Json:
    body = _position_body(exchange, position, ms)
    entry = price_text(exchange.listing(PERP, position.symbol).instrument, position.entry)
    return {
        **body,
        "unrealizedProfit": body["unRealizedProfit"],
        "leverage": str(position.leverage),
        "isolated": position.isolated,
        "entryPrice": entry,
        "breakEvenPrice": entry,
        "maxNotional": "480000000",
    }


def _risk(exchange: Exchange, position: Position, ms: int) -> Json:
    engine = exchange.engine
    marks = engine.marks(ms)
    support = engine.ledger.support(position, marks)
    return {
        **_position_body(exchange, position, ms),
        "entryPrice": number(position.entry),
        "breakEvenPrice": number(position.entry),
        "markPrice": number(marks[position.symbol]),
        "liquidationPrice": number(position.liquidation_price(support)),
        "marginAsset": "USDT",
        "adl": 1 if position.quantity else 0,
        "bidNotional": "0",
        "askNotional": "0",
    }


def _asked(exchange: Exchange, call: Call) -> list[str]:
    if symbol := call.text("symbol"):
        exchange.listing(PERP, symbol)
        return [symbol]
    return exchange.symbols(PERP)


def _risk_v3(exchange: Exchange, call: Call) -> object:
    """Only what is held or has orders, as v3 does."""
    waiting = {o.symbol for o in exchange.engine.open_orders() if o.market is PERP}
    ledger = exchange.engine.ledger
    return [
        _risk(exchange, ledger.position(s), call.now_ms)
        for s in _asked(exchange, call)
        if s in waiting or ledger.position(s).quantity
    ]


def _risk_v2(exchange: Exchange, call: Call) -> object:
    rows: list[Json] = []
    for symbol in _asked(exchange, call):
        position = exchange.engine.ledger.position(symbol)
        rows.append(
            {
                **_risk(exchange, position, call.now_ms),
                "leverage": str(position.leverage),
                "maxNotionalValue": "480000000",
                "marginType": "isolated" if position.isolated else "cross",
                "isAutoAddMargin": "false",
            }
        )
    return rows


def _leverage(exchange: Exchange, call: Call) -> object:
    symbol, leverage = call.need("symbol"), call.whole("leverage") or 0
    exchange.listing(PERP, symbol)
    if not 1 <= leverage <= BRACKETS[0].max_leverage:
        raise refusal(-4028, f"Leverage {leverage} is not valid")
    position = exchange.engine.ledger.position(symbol)
    if position.quantity and position.isolated and leverage < position.leverage:
        raise refusal(-4161, "Leverage reduction is not supported in Isolated Margin Mode with open positions.")
    position.leverage = leverage
    return {"symbol": symbol, "leverage": leverage, "maxNotionalValue": "480000000"}


def _margin_type(exchange: Exchange, call: Call) -> object:
    symbol, kind = call.need("symbol"), call.need("marginType").upper()
    exchange.listing(PERP, symbol)
    if kind not in ("ISOLATED", "CROSSED"):
        raise refusal(-4021, "Invalid margin type.")
    position = exchange.engine.ledger.position(symbol)
    if position.isolated == (kind == "ISOLATED"):
        raise refusal(-4046)
    if position.quantity:
        raise refusal(-4048)
    if any(o.symbol == symbol and o.market is PERP for o in exchange.engine.open_orders()):
        raise refusal(-4047)
    position.isolated = kind == "ISOLATED"
    return {"code": 200, "msg": "success"}


def _add_margin(exchange: Exchange, call: Call) -> object:
    symbol, amount = call.need("symbol"), call.amount("amount")
    exchange.listing(PERP, symbol)
    if call.need("type") != "1":
        raise refusal(-4048, "Only margin that is added is understood here.")
    exchange.engine.add_margin(symbol, amount)
    return {"amount": float(amount), "code": 200, "msg": "Successfully modify position margin.", "type": 1}


def _margin_history(exchange: Exchange, call: Call) -> object:
    symbol = call.need("symbol")
    changes = [c for c in exchange.engine.ledger.margin_changes if c.symbol == symbol and call.since(c.ms)]
    return [
        {"symbol": symbol, "type": 1, "deltaType": "USER_ADJUST", "amount": number(change.amount), "asset": "USDT",
         "time": change.ms, "positionSide": "BOTH", "clientTranId": ""}
        for change in changes
    ]  # fmt: skip


def _dual(_: Exchange, call: Call) -> object:
    if call.flag("dualSidePosition"):
        raise refusal(-4068, "Hedge mode is not offered by this sandbox.")
    raise refusal(-4059)


def _brackets(exchange: Exchange, call: Call) -> object:
    rows = [
        {"bracket": b.number, "initialLeverage": b.max_leverage, "notionalCap": float(b.cap),
         "notionalFloor": float(b.floor), "maintMarginRatio": float(b.rate), "cum": float(b.cum)}
        for b in BRACKETS
    ]  # fmt: skip
    found = [{"symbol": symbol, "notionalCoef": 1.0, "brackets": rows} for symbol in _asked(exchange, call)]
    return found


def _symbol_config(exchange: Exchange, call: Call) -> object:
    rows: list[Json] = []
    for symbol in _asked(exchange, call):
        position = exchange.engine.ledger.position(symbol)
        kind = "ISOLATED" if position.isolated else "CROSSED"
        rows.append({"symbol": symbol, "marginType": kind, "isAutoAddMargin": False, "leverage": position.leverage,
                     "maxNotionalValue": "480000000"})  # fmt: skip
    return rows


def _commission(exchange: Exchange, call: Call) -> object:
    symbol, fees = call.need("symbol"), exchange.engine.fees
    exchange.listing(PERP, symbol)
    return {"symbol": symbol, "makerCommissionRate": f"{fees.perp_maker}", "takerCommissionRate": f"{fees.perp_taker}"}


def _countdown(exchange: Exchange, call: Call) -> object:
    symbol, wait_ms = call.need("symbol"), call.whole("countdownTime") or 0
    exchange.listing(PERP, symbol)
    if wait_ms > 0:
        exchange.engine.countdowns[symbol] = float(call.now_ms + wait_ms)
    else:
        exchange.engine.countdowns.pop(symbol, None)
    return {"symbol": symbol, "countdownTime": str(wait_ms)}
