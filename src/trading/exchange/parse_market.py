"""Binance's public documents as the lab's nouns; pure. Market data becomes float, an instrument's filters `Decimal`.

What is missing or makes no sense is a `DataProviderError` that names it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from trading.domain.clock import HOUR_MS
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Bracket, Instrument, Market
from trading.domain.market import INTERVAL_MS, Bar, Book, FundingNow, FundingRate, Quote
from trading.exchange.answer import SHOWN, Answer, answers, rows
from trading.market.columns import Columns


def instrument(market: Market, symbol: Answer, brackets: tuple[Bracket, ...] = ()) -> Instrument:
    """An entry of `exchangeInfo.symbols`.

    Raises:
        DataProviderError: a filter is missing.
    """
    filters = {
        a.text("filterType"): a for a in answers(symbol.fields.get("filters"), f"{symbol.where} filters") if a.fields
    }

    def wanted(*names: str) -> Answer:
        for name in names:
            if name in filters:
                return filters[name]
        raise DataProviderError(f"{symbol.where}: no filter {' or '.join(names)} in the venue's answer")

    lots, market_lots = wanted("LOT_SIZE"), filters.get("MARKET_LOT_SIZE")
    notional = wanted("NOTIONAL", "MIN_NOTIONAL")
    largest = [lots.decimal("maxQty")]
    if market_lots is not None and market_lots.decimal("maxQty") > 0:
        largest.append(market_lots.decimal("maxQty"))
    return Instrument(
        market=market,
        symbol=symbol.text("symbol"),
        base=symbol.text("baseAsset"),
        quote=symbol.text("quoteAsset"),
        tick=wanted("PRICE_FILTER").decimal("tickSize").normalize(),
        lot=lots.decimal("stepSize").normalize(),
        min_quantity=lots.decimal("minQty"),
        max_quantity=min(largest),
        min_notional=notional.decimal("minNotional" if notional.has("minNotional") else "notional"),
        brackets=brackets,
        is_trading=symbol.text("status") == "TRADING",
        highest_share=_share(filters, ("bidMultiplierUp", "multiplierUp")),
        lowest_share=_share(filters, ("askMultiplierDown", "multiplierDown")),
    )


def _share(filters: Mapping[str, Answer], names: tuple[str, str]) -> Decimal | None:
    """A bound of the percent-price filter, by side where the venue has it so; None: there is no such filter."""
    for kind, name in zip(("PERCENT_PRICE_BY_SIDE", "PERCENT_PRICE"), names, strict=True):
        if kind in filters and filters[kind].has(name):
            return filters[kind].decimal(name)
    return None


def brackets(document: object, symbol: str, where: str) -> tuple[Bracket, ...]:
    """The margin table of one symbol (`leverageBracket`), ascending."""
    found = answers(document, where) if isinstance(document, list) else [Answer.of(document, where)]
    kept = [entry for entry in found if entry.fields.get("symbol") == symbol]
    steps = [step for entry in kept for step in answers(entry.fields.get("brackets"), where)]
    table = (
        Bracket(
            step.number("notionalFloor"),
            step.number("notionalCap"),
            step.number("maintMarginRatio"),
            step.number("cum"),
            step.number("initialLeverage"),
        )
        for step in steps
    )
    return tuple(sorted(table, key=lambda bracket: bracket.notional_from_quote))


OLDEST_ANSWER_MS = HOUR_MS
"""The venue serves answers that are a moment old; one this old, milliseconds, it does not serve."""


@dataclass(frozen=True, slots=True)
class Candles:
    """Of which market candles are, and when they were asked for."""

    market: Market
    symbol: str
    interval: str
    asked_ms: int
    """The venue's time before the request left: what had ended by then was final when it was read."""
    received_ms: int


def klines(document: object, of: Candles) -> list[Bar]:
    """REST candles, oldest first.

    A candle is closed when it had ended before the request left, and the venue lists a later one. The moment of the
    answer will not do: at a rehearsal's speed minutes pass between the venue's reading and ours, and half a candle
    would look whole. Nor will the end alone: the last candle of an answer that is old is a half one too. A later one is
    not needed where the end is longer ago than any answer is old.
    """
    where = f"{of.market} {of.symbol} {of.interval} klines"
    found = [_kline_row(row, of, where) for row in rows(document, where)]
    if found and found[-1].close_time_ms > of.asked_ms - OLDEST_ANSWER_MS:
        found[-1] = replace(found[-1], is_closed=False)
    return found


def _kline_row(row: object, of: Candles, where: str) -> Bar:
    if not isinstance(row, list) or len(row) < 6:
        raise DataProviderError(f"{where}: row {str(row)[:SHOWN]}: expected time, four prices and a volume")
    cells = Answer(dict(zip(("time", "open", "high", "low", "close", "volume"), row, strict=False)), where)
    opened_ms = cells.whole("time")
    return Bar(
        of.market,
        of.symbol,
        of.interval,
        opened_ms,
        cells.number("open"),
        cells.number("high"),
        cells.number("low"),
        cells.number("close"),
        cells.number("volume"),
        is_closed=opened_ms + INTERVAL_MS[of.interval] <= of.asked_ms,
        received_ms=of.received_ms,
    )


CANDLE_CELLS = {
    "open_time": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5,
    "quote_volume": 7, "trades": 8, "taker_buy_volume": 9, "taker_buy_quote_volume": 10,
}  # fmt: skip
"""Where a REST candle has what the store keeps."""


def closed_candles(document: object, interval: str, *, asked_ms: int, with_volume: bool, where: str) -> Columns:
    """A page of REST candles as columns, without those that had not ended when they were asked for.

    Args:
        document: The venue's answer.
        interval: Of the candles.
        asked_ms: The venue's time before the request left.
        with_volume: False for mark prices and premium, whose other cells mean nothing.
        where: Names the call in errors.

    Raises:
        DataProviderError: not rows of finite numbers.
    """
    names = list(CANDLE_CELLS) if with_volume else list(CANDLE_CELLS)[:5]
    places = [CANDLE_CELLS[name] for name in names]
    found = [row for row in rows(document, where) if isinstance(row, list) and len(row) > max(places)]
    if len(found) != len(rows(document, where)):
        raise DataProviderError(f"{where}: rows of another shape: {str(document)[:SHOWN]}; expected candles")
    try:
        cells = np.array([[float(row[place]) for place in places] for row in found], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataProviderError(f"{where}: {error}: not a candle of numbers") from error
    cells = cells.reshape(len(found), len(names))
    if not np.isfinite(cells).all():
        bad = int(np.argmax(~np.isfinite(cells).all(axis=1)))
        raise DataProviderError(f"{where}: row {str(found[bad])[:SHOWN]}: not a candle of numbers")
    cells = cells[cells[:, 0] + INTERVAL_MS[interval] <= asked_ms]
    columns: Columns = {name: np.ascontiguousarray(cells[:, i]) for i, name in enumerate(names)}
    columns["open_time"] = cells[:, 0].astype(np.int64)
    return columns


def quote(market: Market, answer: Answer, *, received_ms: int) -> Quote:
    """`ticker/bookTicker`; spot carries no time of its own."""
    return Quote(
        market,
        answer.text("symbol"),
        answer.number("bidPrice"),
        answer.number("askPrice"),
        answer.number("bidQty"),
        answer.number("askQty"),
        answer.whole("time") if answer.has("time") else received_ms,
    )


def book(market: Market, symbol: str, answer: Answer, *, received_ms: int) -> Book:
    """`depth`."""

    def side(name: str) -> tuple[tuple[float, float], ...]:
        levels = []
        for row in rows(answer.fields.get(name), f"{answer.where} {name}"):
            if not isinstance(row, list) or len(row) < 2:
                raise DataProviderError(f"{answer.where}: {name} level {str(row)[:SHOWN]}: expected price and quantity")
            level = Answer({"price": row[0], "quantity": row[1]}, answer.where)
            levels.append((level.number("price"), level.number("quantity")))
        return tuple(levels)

    return Book(market, symbol, side("bids"), side("asks"), answer.whole("T") if answer.has("T") else received_ms)


@dataclass(frozen=True, slots=True)
class FundingTerms:
    """A contract's own terms (`fundingInfo`)."""

    interval_ms: int = 8 * HOUR_MS
    """Contracts the venue does not list there settle every 8 h."""
    cap_rate: float = 0.02
    """And are capped at 2 %, the venue's general cap."""


def funding_terms(document: object, symbol: str, where: str) -> FundingTerms:
    """The terms of one symbol; the venue lists only contracts that were adjusted."""
    for entry in answers(document, where):
        if entry.fields.get("symbol") == symbol:
            cap = max(abs(entry.number("adjustedFundingRateCap")), abs(entry.number("adjustedFundingRateFloor")))
            return FundingTerms(entry.whole("fundingIntervalHours") * HOUR_MS, cap)
    return FundingTerms()


def funding_now(answer: Answer, terms: FundingTerms) -> FundingNow:
    """`premiumIndex` of one symbol; its `lastFundingRate` is the running estimate of the next settlement."""
    return FundingNow(
        answer.text("symbol"),
        answer.number("lastFundingRate"),
        answer.whole("nextFundingTime"),
        terms.interval_ms,
        terms.cap_rate,
        answer.number("markPrice"),
        answer.number("indexPrice"),
        answer.whole("time"),
    )


def funding_rate(answer: Answer) -> FundingRate:
    """A row of `fundingRate`."""
    mark = answer.number("markPrice") if answer.has("markPrice") else math.nan
    return FundingRate(
        answer.text("symbol"),
        answer.whole("fundingTime"),
        answer.number("fundingRate"),
        mark if mark > 0 else None,
    )
