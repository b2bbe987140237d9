"""Binance's public archive on loopback: monthly and daily zips of what the exchange's tape holds, each with a checksum.

As in the real archive: spot files have no header and stamps in µs from 2025 on, USD-M files have a header and stamps in
ms; a period that is not over is not out; what there is none of is an XML document with `NoSuchKey`. Prints, and the
best bid and ask, are the sandbox's own.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from aiohttp import web

from sandbox.exchange.errors import BinanceError
from sandbox.exchange.exchange import Exchange
from sandbox.exchange.feed import Feed
from sandbox.exchange.instruments import Market
from sandbox.exchange.rest_market import premium_candles
from sandbox.exchange.tape import HOUR_MS
from sandbox.exchange.views import kline_rows, price_text, size_text

SPOT_MICROSECONDS_FROM_MS = 1_735_689_600_000
"""2025-01-01: from then on spot files are stamped in microseconds."""
MINUTE_MS = 60_000
_KEPT_ZIPS = 64
_MOST_PRINTS = 2_000_000
_PATH = re.compile(
    r"/data/(?P<market>spot|futures/um)/(?P<period>monthly|daily)/(?P<kind>\w+)/(?P<symbol>[A-Z0-9]+)/"
    r"(?:(?P<interval>\w+)/)?(?P=symbol)-(?P<what>\w+)-(?P<date>\d{4}-\d{2}(?:-\d{2})?)\.zip(?P<sum>\.CHECKSUM)?$"
)
_CANDLE_KINDS = ("klines", "markPriceKlines", "premiumIndexKlines")
_CANDLE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
_NO_SUCH_KEY = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.'
    "</Message><Key>{}</Key><RequestId>0</RequestId><HostId>0</HostId></Error>"
)

Lines = Iterator[str]


class ArchiveDesk:
    """Zips at `/data/...`.

    Args:
        exchange: Whose tape is filed, and whose clock says what is over.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._zip: Callable[[str], bytes | None] = lru_cache(maxsize=_KEPT_ZIPS)(self._made)

    def add_routes(self, app: web.Application) -> None:
        """Hang the desk into a server."""
        app.router.add_get("/data/{path:.*}", self._serve)

    async def _serve(self, request: web.Request) -> web.Response:
        found = _PATH.match(request.path)
        content = None
        if found is not None and _end_ms(found["date"]) <= self._exchange.clock.now_ms():
            content = self._zip(request.path.removesuffix(".CHECKSUM"))
        if found is None or content is None:
            text = _NO_SUCH_KEY.format(request.path.lstrip("/"))
            return web.Response(status=404, text=text, content_type="application/xml")
        name = request.path.rsplit("/", 1)[-1].removesuffix(".CHECKSUM")
        if found["sum"]:
            return web.Response(text=f"{hashlib.sha256(content).hexdigest()}  {name}\n")
        return web.Response(body=content, content_type="application/zip")

    def _made(self, path: str) -> bytes | None:
        """A zip; None: the archive does not have it."""
        found = _PATH.match(path)
        if found is None or (len(found["date"]) == 7) is not (found["period"] == "monthly"):
            return None
        try:
            lines = list(self._lines(found, _start_ms(found["date"]), _end_ms(found["date"])))
        except BinanceError:
            return None
        if not [line for line in lines if line[:1].isdigit()]:
            return None
        name = path.rsplit("/", 1)[-1].removesuffix(".zip") + ".csv"
        box = io.BytesIO()
        with zipfile.ZipFile(box, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(name), "\n".join(lines) + "\n", zipfile.ZIP_DEFLATED)
        return box.getvalue()

    def _lines(self, found: re.Match[str], start_ms: int, end_ms: int) -> Lines:
        market = Market.SPOT if found["market"] == "spot" else Market.PERP
        kind, interval = found["kind"], found["interval"]
        is_futures = market is Market.PERP
        if kind in _CANDLE_KINDS and interval and found["what"] == interval and (is_futures or kind == "klines"):
            return self._candles(market, kind, found["symbol"], interval, start_ms, end_ms)
        if interval or kind != found["what"]:
            return iter(())
        if kind == "fundingRate" and is_futures and found["period"] == "monthly":
            return self._settlements(found["symbol"], start_ms, end_ms)
        if kind == "aggTrades":
            return self._prints(market, found["symbol"], start_ms, end_ms)
        if kind == "bookTicker" and is_futures:
            return self._best(found["symbol"], start_ms, end_ms)
        return iter(())

    def _candles(self, market: Market, kind: str, symbol: str, interval: str, start_ms: int, end_ms: int) -> Lines:
        listing = self._exchange.listing(market, symbol)
        feed: Feed = listing.feed if kind == "klines" else listing.mark
        feed.checked(interval)
        asked = {"now_ms": end_ms, "limit": _MOST_PRINTS, "start_ms": start_ms, "end_ms": end_ms - 1}
        if kind == "premiumIndexKlines":
            found = premium_candles(self._exchange, symbol, interval, **asked)
        else:
            found = feed.klines(interval, **asked)
        if market is Market.PERP:
            yield _CANDLE_HEADER
        unit = _unit(market, start_ms)
        for row in kline_rows(found, interval, step_ms=feed.step_ms):
            row[0], row[6] = int(str(row[0])) * unit, (int(str(row[6])) + 1) * unit - 1
            yield ",".join(str(cell) for cell in row)

    def _settlements(self, symbol: str, start_ms: int, end_ms: int) -> Lines:
        """The real stamps lie some milliseconds after the hour."""
        yield "calc_time,funding_interval_hours,last_funding_rate"
        times, rates = self._exchange.listing(Market.PERP, symbol).funding
        steps = np.diff(times, append=times[-1] + 8 * HOUR_MS)
        for i in np.flatnonzero((times >= start_ms) & (times < end_ms)):
            yield f"{int(times[i]) + int(i) * 7 % 11},{round(float(steps[i]) / HOUR_MS)},{rates[i]:.8f}"

    def _prints(self, market: Market, symbol: str, start_ms: int, end_ms: int) -> Lines:
        listing, unit = self._exchange.listing(market, symbol), _unit(market, start_ms)
        if market is Market.PERP:
            yield "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
        for p in listing.feed.trades(start_ms - 1, end_ms - 1, _MOST_PRINTS):
            price, size = price_text(listing.instrument, p.price), size_text(listing.instrument, p.quantity)
            best_match = ",True" if market is Market.SPOT else ""
            sold = str(p.sold) if market is Market.SPOT else str(p.sold).lower()
            yield f"{p.number},{price},{size},{p.number},{p.number},{p.ms * unit},{sold}{best_match}"

    def _best(self, symbol: str, start_ms: int, end_ms: int) -> Lines:
        """The top of the book once a minute."""
        yield "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"
        listing = self._exchange.listing(Market.PERP, symbol)
        spec = listing.instrument
        for ms in range(start_ms, end_ms, MINUTE_MS):
            if listing.feed.is_open(ms):
                ladder = listing.book.ladder(ms)
                bid, ask = ladder.bids[0], ladder.asks[0]
                sides = (price_text(spec, bid[0]), size_text(spec, bid[1]), price_text(spec, ask[0]),
                         size_text(spec, ask[1]))  # fmt: skip
                yield f"{ms // MINUTE_MS},{','.join(sides)},{ms},{ms + 2}"


def _unit(market: Market, start_ms: int) -> int:
    """Stamps of a file per millisecond."""
    return 1000 if market is Market.SPOT and start_ms >= SPOT_MICROSECONDS_FROM_MS else 1


def _start_ms(date: str) -> int:
    return int(np.datetime64(date).astype("datetime64[ms]").astype(np.int64))


def _end_ms(date: str) -> int:
    try:
        one = np.timedelta64(1, "M") if date.count("-") == 1 else np.timedelta64(1, "D")
        return int((np.datetime64(date) + one).astype("datetime64[ms]").astype(np.int64))
    except ValueError:  # such as month 13: the archive has no such file, ever
        return 2**62
