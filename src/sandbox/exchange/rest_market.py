"""Public market data of both venues: the same questions under two paths, plus what only futures have."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from sandbox.exchange.exchange import Exchange
from sandbox.exchange.feed import DAY_MS, Feed, Trade
from sandbox.exchange.instruments import Instrument, Market
from sandbox.exchange.notices import USDC
from sandbox.exchange.tape import HOUR_MS, Block
from sandbox.exchange.views import Json, kline_rows, number, price_text, size_text
from sandbox.exchange.wire import Call, Handler, Route

FUNDING_MS = 8 * HOUR_MS
_CAPS = {"BTCUSDT": 0.003, "ETHUSDT": 0.00375}  # of the funding rate, either way
_OTHER_CAP = 0.01
_View = Callable[[Exchange, Market, str, int], Json]


def routes() -> list[Route]:
    """All public endpoints."""
    found: list[Route] = []
    for market, root in ((Market.SPOT, "/api/v3"), (Market.PERP, "/fapi/v1")):
        found += [
            Route("GET", f"{root}/ping", lambda _exchange, _call: {}),
            Route("GET", f"{root}/time", lambda _exchange, call: {"serverTime": call.now_ms}),
            Route("GET", f"{root}/klines", partial(_klines, market)),
            Route("GET", f"{root}/depth", partial(_depth, market)),
            Route("GET", f"{root}/aggTrades", partial(_agg_trades, market)),
            Route("GET", f"{root}/trades", partial(_trades, market)),
            Route("GET", f"{root}/ticker/24hr", partial(_each, market, _day)),
            Route("GET", f"{root}/ticker/price", partial(_each, market, _price)),
            Route("GET", f"{root}/ticker/bookTicker", _usdc_or(partial(_each, market, _best), market)),
        ]
    return [
        *found,
        Route("GET", "/fapi/v2/ticker/price", partial(_each, Market.PERP, _price)),
        Route("GET", "/fapi/v1/markPriceKlines", _mark_klines),
        Route("GET", "/fapi/v1/premiumIndexKlines", _premium_klines),
        Route("GET", "/fapi/v1/premiumIndex", partial(_each, Market.PERP, _premium)),
        Route("GET", "/fapi/v1/fundingRate", _funding_history),
        Route("GET", "/fapi/v1/fundingInfo", _funding_info),
        Route("GET", "/fapi/v1/openInterest", _open_interest),
    ]


def funding_now(exchange: Exchange, symbol: str, ms: float) -> tuple[float, int]:
    """The running estimate of the next rate (fraction of notional) and the next settlement time.

    The estimate moves from the last settled rate to the next one with the share of the interval that has gone, as the
    average it is on the real exchange does; it equals the recorded rate only at its settlement.
    """
    funding = exchange.listing(Market.PERP, symbol).funding
    i = int(np.searchsorted(funding[0], ms, side="right"))
    if i == 0 or i >= funding.shape[1]:
        rate = float(funding[1, -1]) if funding.shape[1] and i else 0.0
        return rate, int(ms // FUNDING_MS + 1) * FUNDING_MS
    share = (ms - funding[0, i - 1]) / (funding[0, i] - funding[0, i - 1])
    return float(funding[1, i - 1] + share * (funding[1, i] - funding[1, i - 1])), int(funding[0, i])


def _klines(market: Market, exchange: Exchange, call: Call) -> object:
    feed = exchange.listing(market, call.need("symbol")).feed
    return _kline_answer(feed, call, 1000 if market is Market.SPOT else 1500)


def _kline_answer(feed: Feed, call: Call, largest: int) -> list[list[object]]:
    interval = call.need("interval")
    candles = feed.klines(
        interval,
        now_ms=call.now_ms,
        limit=call.limit(500, largest),
        start_ms=call.whole("startTime"),
        end_ms=call.whole("endTime"),
    )
    return kline_rows(candles, interval, step_ms=feed.step_ms)


def _mark_klines(exchange: Exchange, call: Call) -> object:
    return _kline_answer(exchange.listing(Market.PERP, call.need("symbol")).mark, call, 1500)


def _premium_klines(exchange: Exchange, call: Call) -> object:
    """Premium of the mark over spot."""
    symbol, interval = call.need("symbol"), call.need("interval")
    found = premium_candles(
        exchange,
        symbol,
        interval,
        now_ms=call.now_ms,
        limit=call.limit(500, 1500),
        start_ms=call.whole("startTime"),
        end_ms=call.whole("endTime"),
    )
    return kline_rows(found, interval, step_ms=exchange.listing(Market.PERP, symbol).mark.step_ms)


def premium_candles(
    exchange: Exchange, symbol: str, interval: str, *, now_ms: int, limit: int, start_ms: int | None, end_ms: int | None
) -> Block:
    """Premium of the mark over spot, by hours and longer, from the opens and closes of both."""
    mark, spot = exchange.listing(Market.PERP, symbol).mark, exchange.listing(Market.SPOT, symbol).feed
    above = mark.klines(interval, now_ms=now_ms, limit=limit, start_ms=start_ms, end_ms=end_ms)
    below = spot.klines(interval, now_ms=now_ms, limit=limit, start_ms=start_ms, end_ms=end_ms)
    _, i, j = np.intersect1d(above[0], below[0], return_indices=True)
    premium: Block = above[:, i].copy()
    opened, closed = above[1, i] / below[1, j] - 1.0, above[4, i] / below[4, j] - 1.0
    premium[1:6] = opened, np.maximum(opened, closed), np.minimum(opened, closed), closed, np.zeros(i.size)
    return premium


def _depth(market: Market, exchange: Exchange, call: Call) -> object:
    symbol = call.need("symbol")
    spec, limit = exchange.listing(market, symbol).instrument, call.limit(100, 5000)
    published = exchange.publish(market, symbol, call.now_ms)
    body: Json = {
        "lastUpdateId": published.update_id,
        "bids": [[price_text(spec, p), size_text(spec, q)] for p, q in published.ladder.bids[:limit]],
        "asks": [[price_text(spec, p), size_text(spec, q)] for p, q in published.ladder.asks[:limit]],
    }
    return body if market is Market.SPOT else {**body, "E": call.now_ms, "T": call.now_ms}


def _found_trades(market: Market, exchange: Exchange, call: Call) -> list[Trade]:
    feed = exchange.listing(market, call.need("symbol")).feed
    start_ms, end_ms = call.whole("startTime"), call.whole("endTime")
    upto_ms = min(call.now_ms, end_ms if end_ms is not None else call.now_ms)
    return feed.trades(start_ms - 1 if start_ms is not None else upto_ms - DAY_MS, upto_ms, call.limit(500, 1000))


def _agg_trades(market: Market, exchange: Exchange, call: Call) -> object:
    spec = exchange.listing(market, call.need("symbol")).instrument
    return [agg_trade(spec, trade) for trade in _found_trades(market, exchange, call)]


def agg_trade(spec: Instrument, trade: Trade) -> Json:
    """A print as REST and streams write it."""
    return {
        "a": trade.number, "p": price_text(spec, trade.price), "q": number(trade.quantity), "f": trade.number,
        "l": trade.number, "T": trade.ms, "m": trade.sold, "M": True,
    }  # fmt: skip


def _trades(market: Market, exchange: Exchange, call: Call) -> object:
    spec = exchange.listing(market, call.need("symbol")).instrument
    return [
        {"id": t.number, "price": price_text(spec, t.price), "qty": number(t.quantity),
         "quoteQty": number(t.price * t.quantity), "time": t.ms, "isBuyerMaker": t.sold, "isBestMatch": True}
        for t in _found_trades(market, exchange, call)
    ]  # fmt: skip


def _each(market: Market, view: _View, exchange: Exchange, call: Call) -> object:
    if symbol := call.text("symbol"):
        return view(exchange, market, symbol, call.now_ms)
    return [view(exchange, market, symbol, call.now_ms) for symbol in exchange.symbols(market)]


def _day(exchange: Exchange, market: Market, symbol: str, ms: int) -> Json:
    listing = exchange.listing(market, symbol)
    day, spec = listing.feed.day(ms), listing.instrument
    bid, ask = listing.book.best(ms)
    change = day.last - day.open
    body: Json = {
        "symbol": symbol,
        "priceChange": price_text(spec, change),
        "priceChangePercent": number(change / day.open * 100.0, 3),
        "weightedAvgPrice": price_text(spec, day.quote_volume / day.volume if day.volume else day.last),
        "lastPrice": price_text(spec, day.last),
        "openPrice": price_text(spec, day.open),
        "highPrice": price_text(spec, day.high),
        "lowPrice": price_text(spec, day.low),
        "volume": number(day.volume),
        "quoteVolume": number(day.quote_volume),
        "openTime": day.opened_ms,
        "closeTime": ms,
        "firstId": 1,
        "lastId": day.trades,
        "count": day.trades,
    }
    if market is Market.SPOT:
        body |= {"bidPrice": price_text(spec, bid), "askPrice": price_text(spec, ask), "bidQty": "1", "askQty": "1"}
    return body


def _price(exchange: Exchange, market: Market, symbol: str, ms: int) -> Json:
    listing = exchange.listing(market, symbol)
    body: Json = {"symbol": symbol, "price": price_text(listing.instrument, listing.feed.price(ms))}
    return body if market is Market.SPOT else {**body, "time": ms}


def _best(exchange: Exchange, market: Market, symbol: str, ms: int) -> Json:
    listing = exchange.listing(market, symbol)
    ladder, spec = listing.book.ladder(ms), listing.instrument
    body: Json = {
        "symbol": symbol,
        "bidPrice": price_text(spec, ladder.bids[0][0]),
        "bidQty": size_text(spec, ladder.bids[0][1]),
        "askPrice": price_text(spec, ladder.asks[0][0]),
        "askQty": size_text(spec, ladder.asks[0][1]),
    }
    return body if market is Market.SPOT else {**body, "time": ms}


def _premium(exchange: Exchange, _: Market, symbol: str, ms: int) -> Json:
    listing = exchange.listing(Market.PERP, symbol)
    spot = exchange.engine.listings.get((Market.SPOT, symbol))
    rate, next_ms = funding_now(exchange, symbol, ms)
    mark = listing.mark.price(ms)
    index = spot.feed.price(ms) if spot else mark
    return {
        "symbol": symbol,
        "markPrice": number(mark),
        "indexPrice": number(index),
        "estimatedSettlePrice": number(index),
        "lastFundingRate": number(rate),
        "interestRate": "0.00010000",
        "nextFundingTime": next_ms,
        "time": ms,
    }


def _funding_history(exchange: Exchange, call: Call) -> object:
    symbols = [call.text("symbol")] if call.text("symbol") else exchange.symbols(Market.PERP)
    start_ms, limit = call.whole("startTime"), call.limit(100, 1000)
    upto_ms = min(call.now_ms, call.whole("endTime") or call.now_ms)
    rows: list[Json] = []
    for symbol in symbols:
        listing = exchange.listing(Market.PERP, symbol)
        low, high = np.searchsorted(listing.funding[0], (start_ms or 0, upto_ms + 1))
        settled = listing.funding[:, low:high]
        for ms, rate in (settled[:, :limit] if start_ms is not None else settled[:, -limit:]).T:
            mark = number(listing.mark.opening(ms)) if ms >= listing.mark.oldest_ms else ""
            rows.append({"symbol": symbol, "fundingTime": int(ms), "fundingRate": number(rate), "markPrice": mark})
    return rows


def _funding_info(exchange: Exchange, call: Call) -> object:
    found: list[Json] = []
    for symbol in exchange.symbols(Market.PERP):
        times = exchange.listing(Market.PERP, symbol).funding[0]
        upcoming = int(np.searchsorted(times, call.now_ms, side="right"))
        around = times[max(0, upcoming - 1) : upcoming + 1]
        notices = exchange.notices
        cap = _CAPS.get(symbol, _OTHER_CAP) if notices.cap is None else notices.cap
        taped_hours = round(float(np.diff(around)[0]) / HOUR_MS) if around.size == 2 else 8
        found.append(
            {
                "symbol": symbol,
                "adjustedFundingRateCap": number(cap),
                "adjustedFundingRateFloor": number(-cap),
                "fundingIntervalHours": notices.interval_hours or taped_hours,
                "disclaimer": False,
            }
        )
    return found


def _usdc_or(best: Handler, market: Market) -> Handler:
    """A quote by symbol; spot has USDC's too."""

    def answered(exchange: Exchange, call: Call) -> object:
        is_usdc = market is Market.SPOT and call.text("symbol") == USDC
        return exchange.notices.usdc_ticker() if is_usdc else best(exchange, call)

    return answered


def _open_interest(exchange: Exchange, call: Call) -> object:
    """Not recorded on the tape: half a day's volume stands in."""
    symbol = call.need("symbol")
    day = exchange.listing(Market.PERP, symbol).feed.day(call.now_ms)
    return {"symbol": symbol, "openInterest": number(day.volume / 2, 3), "time": call.now_ms}
