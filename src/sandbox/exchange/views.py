"""Orders, fills and candles as Binance writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from sandbox.exchange.feed import INTERVALS
from sandbox.exchange.instruments import Instrument, Market
from sandbox.exchange.orders import Fill, Order
from sandbox.exchange.path import POINTS
from sandbox.exchange.tape import CLOSE, HIGH, LOW, OPEN, TIME, VOLUME, Block

Json = dict[str, object]


def number(value: Decimal | float, places: int = 8) -> str:
    """A number as text with fixed places."""
    return f"{value:.{places}f}"


def price_text(instrument: Instrument, price: Decimal | float) -> str:
    """A price: eight places on spot, the tick's on futures."""
    return number(price, 8 if instrument.market is Market.SPOT else instrument.price_places)


def size_text(instrument: Instrument, quantity: Decimal | float) -> str:
    """A quantity: eight places on spot, the lot's on futures."""
    return number(quantity, 8 if instrument.market is Market.SPOT else instrument.lot_places)


def kline_rows(candles: Block, interval: str, *, step_ms: int) -> list[list[object]]:
    """Candles as REST rows: times as numbers, everything else as text but the trade count."""
    length = INTERVALS[interval]
    rows: list[list[object]] = []
    for column in candles.T:
        opened, volume = int(column[TIME]), float(column[VOLUME])
        quote = volume * float(column[OPEN : CLOSE + 1].mean())
        prices = [number(float(column[i])) for i in (OPEN, HIGH, LOW, CLOSE)]
        count = POINTS * (length // step_ms) if volume else 0
        rows.append([opened, *prices, number(volume), close_ms(opened, interval), number(quote), count,
                     number(volume / 2), number(quote / 2), "0"])  # fmt: skip
    return rows


def close_ms(opened_ms: int, interval: str) -> int:
    """The last millisecond of a candle."""
    if interval == "1M":
        at = datetime.fromtimestamp(opened_ms / 1000, tz=UTC)
        following = at.replace(year=at.year + at.month // 12, month=at.month % 12 + 1)
        return int(following.timestamp() * 1000) - 1
    return opened_ms + INTERVALS[interval] - 1


def spot_order(order: Order) -> Json:
    """A spot order, as a query answers."""
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "price": number(order.price),
        "origQty": number(order.quantity),
        "executedQty": number(order.executed),
        "origQuoteOrderQty": number(order.quote_quantity),
        "cummulativeQuoteQty": number(order.spent),
        "status": order.status,
        "timeInForce": order.tif,
        "type": order.kind,
        "side": order.side,
        "stopPrice": "0.00000000",
        "icebergQty": "0.00000000",
        "time": order.created_ms,
        "updateTime": order.updated_ms,
        "isWorking": True,
        "workingTime": order.created_ms,
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }


def spot_accepted(order: Order) -> Json:
    """A spot order, as its placing answers (FULL)."""
    body = {k: v for k, v in spot_order(order).items() if k not in ("time", "updateTime", "isWorking")}
    fills = [
        {
            "price": number(fill.price),
            "qty": number(fill.quantity),
            "commission": number(fill.fee),
            "commissionAsset": fill.fee_asset,
            "tradeId": fill.trade_id,
        }
        for fill in order.fills
    ]
    return {**body, "transactTime": order.updated_ms, "fills": fills}


def perp_order(order: Order, instrument: Instrument) -> Json:
    """A futures order."""
    return {
        "orderId": order.order_id,
        "symbol": order.symbol,
        "status": order.status,
        "clientOrderId": order.client_id,
        "price": price_text(instrument, order.price),
        "avgPrice": number(order.average, 5),
        "origQty": size_text(instrument, order.quantity),
        "executedQty": size_text(instrument, order.executed),
        "cumQty": size_text(instrument, order.executed),
        "cumQuote": number(order.spent, 5),
        "timeInForce": order.tif,
        "type": order.kind,
        "reduceOnly": order.reduce_only,
        "closePosition": False,
        "side": order.side,
        "positionSide": "BOTH",
        "stopPrice": "0.00",
        "workingType": "CONTRACT_PRICE",
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "priceProtect": False,
        "origType": order.kind,
        "time": order.created_ms,
        "updateTime": order.updated_ms,
    }


def spot_trade(fill: Fill) -> Json:
    """A spot execution of ours."""
    return {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": -1,
        "price": number(fill.price),
        "qty": number(fill.quantity),
        "quoteQty": number(fill.price * fill.quantity),
        "commission": number(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.ms,
        "isBuyer": fill.sign > 0,
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def perp_trade(fill: Fill, instrument: Instrument) -> Json:
    """A futures execution of ours."""
    return {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "side": "BUY" if fill.sign > 0 else "SELL",
        "price": price_text(instrument, fill.price),
        "qty": size_text(instrument, fill.quantity),
        "realizedPnl": number(fill.realized),
        "quoteQty": number(fill.price * fill.quantity),
        "commission": number(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.ms,
        "positionSide": "BOTH",
        "buyer": fill.sign > 0,
        "maker": fill.is_maker,
        "marginAsset": "USDT",
    }
