"""Binance's private documents as the lab's nouns; pure. Money comes as decimal text and stays `Decimal`.

What is missing or makes no sense is a `DataProviderError` that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.orders import (
    Balance,
    Fill,
    Income,
    IncomeKind,
    KeyPermissions,
    Order,
    OrderState,
    OrderStatus,
    OrderType,
    PerpPosition,
    Side,
)
from trading.exchange.answer import Answer, answers

STATUSES: Mapping[str, OrderStatus] = {
    "NEW": OrderStatus.OPEN,
    "PENDING_NEW": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.PARTIAL,
    "PENDING_CANCEL": OrderStatus.OPEN,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELLED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
    "NEW_INSURANCE": OrderStatus.OPEN,
    "NEW_ADL": OrderStatus.OPEN,
}
"""The venue's words for what became of an order."""


def order_state(market: Market, answer: Answer) -> OrderState:
    """An order in any of the venue's answers: placed, asked for, cancelled, listed."""
    status = STATUSES.get(answer.text("status"))
    if status is None:
        raise DataProviderError(f"{answer.where}: status={answer.text('status')!r}: not a status the lab knows")
    filled = answer.decimal("executedQty")
    spent_name = "cummulativeQuoteQty" if market is Market.SPOT else "cumQuote"
    average = None
    if filled > 0:
        exact = answer.decimal("avgPrice") if answer.has("avgPrice") else Decimal(0)
        average = exact if exact > 0 else answer.decimal(spent_name) / filled
    price = answer.decimal("price")
    time_name = next((n for n in ("updateTime", "transactTime", "time") if answer.has(n)), "updateTime")
    order = Order(
        # a cancel's answer names the cancelled order in origClientOrderId, its own request in clientOrderId
        client_id=answer.text("origClientOrderId" if answer.has("origClientOrderId") else "clientOrderId"),
        market=market,
        symbol=answer.text("symbol"),
        side=_side(answer),
        type=_order_type(answer),
        quantity_base=answer.decimal("origQty"),
        price=price if price > 0 else None,
        reduce_only=answer.fields.get("reduceOnly") is True,
    )
    return OrderState(order, answer.text("orderId"), status, filled, average, answer.whole(time_name))


def _side(answer: Answer) -> Side:
    word = answer.text("side")
    if word not in ("BUY", "SELL"):
        raise DataProviderError(f"{answer.where}: side={word!r}: neither BUY nor SELL")
    return Side.BUY if word == "BUY" else Side.SELL


def _order_type(answer: Answer) -> OrderType:
    """Ours by type and time in force; a foreign order that rests is told as one that rests."""
    if answer.text("type") == "MARKET":
        return OrderType.MARKET
    return OrderType.LIMIT_IOC if answer.fields.get("timeInForce") in ("IOC", "FOK") else OrderType.POST_ONLY


def fill(market: Market, answer: Answer) -> Fill:
    """A row of `myTrades` or `userTrades`."""
    is_spot = market is Market.SPOT
    is_buy = answer.flag("isBuyer") if is_spot else _side(answer) is Side.BUY
    return Fill(
        market,
        answer.text("symbol"),
        answer.text("id"),
        answer.text("orderId"),
        Side.BUY if is_buy else Side.SELL,
        answer.decimal("qty"),
        answer.decimal("price"),
        answer.decimal("commission"),
        answer.text("commissionAsset"),
        answer.flag("isMaker" if is_spot else "maker"),
        answer.whole("time"),
    )


def income(answer: Answer) -> Income:
    """A row of `income`."""
    kind = answer.text("incomeType")
    return Income(
        str(answer.fields.get("symbol") or ""),
        IncomeKind(kind) if kind in IncomeKind.__members__ else IncomeKind.OTHER,
        answer.decimal("income"),
        answer.whole("time"),
        answer.text("tranId"),
    )


def spot_balances(answer: Answer) -> dict[str, Balance]:
    """Balances of `account`; assets with nothing are left out."""
    found = {
        entry.text("asset"): Balance(entry.decimal("free"), entry.decimal("locked"))
        for entry in answers(answer.fields.get("balances"), f"{answer.where} balances")
    }
    return {asset: balance for asset, balance in found.items() if balance.total}


def futures_balances(document: object, where: str) -> dict[str, Balance]:
    """`balance` of futures: the wallet without unrealised profit; what of it is free."""
    found = {}
    for entry in answers(document, where):
        wallet = entry.decimal("balance")
        free = max(Decimal(0), min(wallet, entry.decimal("availableBalance")))
        if wallet:
            found[entry.text("asset")] = Balance(free, wallet - free)
    return found


def perp_position(symbol: str, document: object, leverage: int, where: str) -> PerpPosition:
    """`positionRisk` in one-way mode; the venue leaves flat positions out.

    Raises:
        DataProviderError: the account is in hedge mode.
    """
    found = [a for a in answers(document, where) if a.text("symbol") == symbol and a.decimal("positionAmt")]
    if not found:
        zero = Decimal(0)
        return PerpPosition(symbol, zero, zero, zero, zero, zero, None, leverage)
    if len(found) > 1 or found[0].fields.get("positionSide", "BOTH") != "BOTH":
        raise DataProviderError(f"{where}: the account is in hedge mode; switch it to one-way mode")
    held = found[0]
    liquidation = held.decimal("liquidationPrice")
    return PerpPosition(
        symbol,
        held.decimal("positionAmt"),
        held.decimal("entryPrice"),
        held.decimal("markPrice"),
        held.decimal("unRealizedProfit"),
        held.decimal("isolatedMargin") if held.has("isolatedMargin") else Decimal(0),
        liquidation if liquidation > 0 else None,
        leverage,
    )


EXPIRY = "tradingAuthorityExpirationTime"
"""Only there for a key that is not bound to an address: its right to trade lapses after 90 days."""


def permissions(answer: Answer) -> KeyPermissions:
    """`apiRestrictions`."""
    return KeyPermissions(
        can_trade_spot=answer.flag("enableSpotAndMarginTrading"),
        can_trade_futures=answer.flag("enableFutures"),
        can_withdraw=answer.flag("enableWithdrawals"),
        is_ip_restricted=answer.flag("ipRestrict"),
        expires_ms=answer.whole(EXPIRY) or None if answer.has(EXPIRY) else None,
    )
