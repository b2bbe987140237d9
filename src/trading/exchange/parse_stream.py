"""Binance's streamed events as the lab's nouns; pure, and quick: thousands come in a second.

Numbers are read by `float` and checked to be finite; REST answers, which are few, are read by way of `Decimal`.
What is missing or makes no sense is a `DataProviderError` that names it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.market import Bar, BookDiff, BookSnapshot, Level, Liquidation, MarketEvent, MarkNow, Quote
from trading.exchange.answer import LARGEST_EXPONENT, SHOWN, Answer

_LARGEST = 10.0**LARGEST_EXPONENT

Fields = Mapping[str, object]


def stream_event(market: Market, data: Fields, *, received_ms: int) -> MarketEvent | None:
    """A quote, a change of a book, a mark price or a liquidation; None: another kind of event.

    Raises:
        DataProviderError: a field is missing or no number of this world.
    """
    kind = data.get("e")
    if kind == "depthUpdate":
        return book_diff(market, data)
    if kind == "bookTicker" or (kind is None and "B" in data and "A" in data):  # spot's has no name
        return streamed_quote(market, data, received_ms=received_ms)
    if kind == "markPriceUpdate":
        return mark_now(data)
    if kind == "forceOrder":
        return liquidation(data)
    return None


def streamed_bar(market: Market, data: object, *, received_ms: int) -> Bar:
    """A candle (`kline`); the venue's own `x` says whether it is closed."""
    where = f"{market} candle stream"
    kline = data.get("k") if isinstance(data, Mapping) else None
    if not isinstance(kline, Mapping):
        raise DataProviderError(f"{where}: {str(data)[:SHOWN]!r}: expected a candle in k")
    is_closed = kline.get("x")
    if not isinstance(is_closed, bool):
        raise DataProviderError(f"{where}: x={is_closed!r}: not true or false")
    return Bar(
        market,
        _text(kline, "s", where),
        _text(kline, "i", where),
        _whole(kline, "t", where),
        _number(kline, "o", where),
        _number(kline, "h", where),
        _number(kline, "l", where),
        _number(kline, "c", where),
        _number(kline, "v", where),
        is_closed=is_closed,
        received_ms=received_ms,
    )


def streamed_quote(market: Market, data: Fields, *, received_ms: int) -> Quote:
    """`bookTicker`; spot carries no time of its own."""
    where = "bookTicker"
    stamp = data.get("T")
    return Quote(
        market,
        _text(data, "s", where),
        _number(data, "b", where),
        _number(data, "a", where),
        _number(data, "B", where),
        _number(data, "A", where),
        received_ms if stamp is None else _whole(data, "T", where),
        _whole(data, "u", where),
    )


def book_diff(market: Market, data: Fields) -> BookDiff:
    """`depthUpdate`."""
    where = "depthUpdate"
    return BookDiff(
        market,
        _text(data, "s", where),
        _whole(data, "U", where),
        _whole(data, "u", where),
        _whole(data, "pu", where) if "pu" in data else None,
        _levels(data, "b", where),
        _levels(data, "a", where),
        _whole(data, "E", where),
    )


def book_snapshot(market: Market, symbol: str, answer: Answer, *, received_ms: int) -> BookSnapshot:
    """`depth`, the whole answer; spot carries no time of its own."""
    at_ms = answer.whole("T") if answer.has("T") else received_ms
    where = answer.where
    bids, asks = _levels(answer.fields, "bids", where), _levels(answer.fields, "asks", where)
    return BookSnapshot(market, symbol, answer.whole("lastUpdateId"), bids, asks, at_ms)


def mark_now(data: Fields) -> MarkNow:
    """`markPriceUpdate`."""
    where = "markPriceUpdate"
    return MarkNow(
        _text(data, "s", where),
        _number(data, "p", where),
        _number(data, "i", where),
        _number(data, "r", where),
        _whole(data, "T", where),
        _whole(data, "E", where),
    )


def liquidation(data: Fields) -> Liquidation:
    """`forceOrder`; its order's side is the venue's, opposite to the position that ends."""
    where = "forceOrder"
    order = data.get("o")
    if not isinstance(order, Mapping):
        raise DataProviderError(f"{where}: o={str(order)[:SHOWN]!r}: expected an order")
    side = _text(order, "S", where)
    if side not in ("BUY", "SELL"):
        raise DataProviderError(f"{where}: S={side[:SHOWN]!r}: expected BUY or SELL")
    return Liquidation(
        _text(order, "s", where),
        side == "BUY",
        _number(order, "p", where),
        _number(order, "ap", where),
        _number(order, "q", where),
        _number(order, "z", where),
        _whole(order, "T", where),
    )


def _text(data: Fields, name: str, where: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        raise DataProviderError(f"{where}: {name}={value!r}: missing from the venue's event")
    return value


def _number(data: Fields, name: str, where: str) -> float:
    value = data.get(name)
    if isinstance(value, (str, float, int)) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if -_LARGEST < number < _LARGEST:
            return number
    raise DataProviderError(f"{where}: {name}={str(value)[:SHOWN]!r}: not a number of this world")


def _whole(data: Fields, name: str, where: str) -> int:
    value = data.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    raise DataProviderError(f"{where}: {name}={str(value)[:SHOWN]!r}: not a whole number")


def _levels(data: Fields, name: str, where: str) -> tuple[Level, ...]:
    found = data.get(name)
    if not isinstance(found, list):
        raise DataProviderError(f"{where}: {name}={str(found)[:SHOWN]!r}: expected a list of levels")
    try:
        levels = tuple([(float(price), float(size)) for price, size, *_ in found])
    except (TypeError, ValueError) as error:
        raise DataProviderError(f"{where}: {name}: a level that is no price and quantity") from error
    for price, size in levels:
        if not (0.0 < price < _LARGEST and 0.0 <= size < _LARGEST):
            raise DataProviderError(f"{where}: {name}: level {price} {size}: not a price and quantity of this world")
    return levels
