"""Binance's account events as the lab's nouns; pure. Money comes as decimal text and stays `Decimal`."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from trading.domain.account_events import AccountEvent, HeldPosition, OrderEvent, WalletEvent
from trading.domain.instrument import Market
from trading.domain.orders import Fill, Side
from trading.exchange.answer import Answer, answers
from trading.exchange.parse_account import order_state

_REST_NAMES = {
    "s": "symbol",
    "c": "clientOrderId",
    "S": "side",
    "o": "type",
    "f": "timeInForce",
    "q": "origQty",
    "p": "price",
    "X": "status",
    "i": "orderId",
    "z": "executedQty",
    "Z": "cummulativeQuoteQty",
    "ap": "avgPrice",
    "R": "reduceOnly",
    "T": "updateTime",
}
"""An order's fields in a stream, and in the answers that `order_state` reads."""


def account_event(market: Market, data: Mapping[str, object]) -> AccountEvent | None:
    """An event of the account; None: of a kind that changes neither orders nor money.

    Raises:
        DataProviderError: it makes no sense; what it told has to be looked up.
    """
    kind = data.get("e")
    if kind == "executionReport":
        return order_event(market, Answer(data, "executionReport"))
    if kind == "ORDER_TRADE_UPDATE":
        return order_event(market, Answer.of(data.get("o"), "ORDER_TRADE_UPDATE"))
    if kind == "outboundAccountPosition":
        return _spot_wallet(Answer(data, "outboundAccountPosition"))
    if kind == "ACCOUNT_UPDATE":
        return _futures_wallet(Answer(data, "ACCOUNT_UPDATE"))
    return None


def order_event(market: Market, told: Answer) -> OrderEvent:
    """An order and the execution that changed it; of a cancel on spot, `C` is the order's own client id."""
    fields = {name: told.fields[short] for short, name in _REST_NAMES.items() if short in told.fields}
    if told.has("C"):
        fields["clientOrderId"] = told.text("C")
    state = order_state(market, Answer(fields, told.where))
    return OrderEvent(state, _fill(market, told) if told.fields.get("x") in ("TRADE", "CALCULATED") else None)


def _fill(market: Market, told: Answer) -> Fill:
    return Fill(
        market,
        told.text("s"),
        told.text("t"),
        told.text("i"),
        Side.BUY if told.text("S") == "BUY" else Side.SELL,
        told.decimal("l"),
        told.decimal("L"),
        told.decimal("n") if told.has("n") else Decimal(0),  # left out where nothing is charged, as for forced orders
        told.text("N") if told.has("N") else "",
        told.flag("m"),
        told.whole("T"),
    )


def _spot_wallet(told: Answer) -> WalletEvent:
    rows = answers(told.fields.get("B"), f"{told.where} B")
    totals = {row.text("a"): row.decimal("f") + row.decimal("l") for row in rows}
    return WalletEvent(Market.SPOT, totals, (), "", told.whole("E"))


def _futures_wallet(told: Answer) -> WalletEvent:
    changed = Answer.of(told.fields.get("a"), f"{told.where} a")
    totals = {row.text("a"): row.decimal("wb") for row in answers(changed.fields.get("B", []), f"{told.where} B")}
    positions = tuple(
        HeldPosition(row.text("s"), row.decimal("pa"), row.decimal("ep"))
        for row in answers(changed.fields.get("P", []), f"{told.where} P")
    )
    return WalletEvent(Market.PERP, totals, positions, changed.text("m"), told.whole("E"))
