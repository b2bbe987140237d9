"""A second exchange on the same tape: Kraken's public spot REST, version 0.

From Kraken's documentation of market data: Time, SystemStatus, Assets, AssetPairs, Ticker, OHLC and Depth; every answer
is `{"error": [...], "result": ...}` with status 200. OHLC gives at most the 720 newest candles; its last row is the
running one and always there, whatever `since` says. Times are seconds, prices texts, and bitcoin is called XBT.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from aiohttp import web

from sandbox.exchange.errors import BinanceError
from sandbox.exchange.exchange import Exchange
from sandbox.exchange.feed import DAY_MS
from sandbox.exchange.instruments import Instrument, Market
from sandbox.exchange.listing import Listing
from sandbox.exchange.tape import CLOSE, HIGH, LOW, OPEN, TIME, VOLUME
from sandbox.exchange.views import Json, number
from sandbox.exchange.wire import STALE_MS, answer

DOLLAR = "USDTZUSD"
"""Kraken's name of a tether in dollars."""
ROWS = 720
"""Most candles of an answer."""
INTERVALS: Mapping[int, str] = {1: "1m", 5: "5m", 15: "15m", 30: "30m", 60: "1h", 240: "4h", 1440: "1d"}
"""Minutes of a candle. (Weeks and fifteen days, which Kraken also has, are not kept here.)"""
LEVELS = 100
VOLUME_PLACES = 8
_NAMES = {"BTC": ("XXBT", "XBT"), "ETH": ("XETH", "ETH"), "XRP": ("XXRP", "XRP"), "USD": ("ZUSD", "USD")}
"""Assets with a name of Kraken's own: internal, and as people say."""


View = Callable[[Mapping[str, str], int], object]
"""A question's answer, by its query and the moment answered for, UTC milliseconds."""
Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


class KrakenError(Exception):
    """A refusal in Kraken's words."""


class KrakenDesk:
    """Kraken's public side over the exchange's spot markets.

    Args:
        exchange: Whose tape is shown.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def add_routes(self, app: web.Application) -> None:
        """`/0/public/...`."""
        views: Mapping[str, View] = {
            "Time": self._time,
            "SystemStatus": self._status,
            "Assets": self._assets,
            "AssetPairs": self._pairs,
            "Ticker": self._ticker,
            "OHLC": self._ohlc,
            "Depth": self._depth,
        }
        for name, view in views.items():
            app.router.add_get(f"/0/public/{name}", self._answering(view))

    def _answering(self, view: View) -> Respond:
        async def respond(request: web.Request) -> web.Response:
            now_ms = self._exchange.now() - int(request.get(STALE_MS, 0))
            try:
                return answer({"error": [], "result": view(request.query, now_ms)})
            except KrakenError as error:
                return answer({"error": [str(error)]})
            except BinanceError as error:  # of the feed, which knows only one exchange's words
                return answer({"error": [f"EGeneral:Internal error:{error.message}"]})

        return respond

    def _time(self, _: Mapping[str, str], now_ms: int) -> object:
        at = datetime.fromtimestamp(now_ms // 1000, tz=UTC)
        return {"unixtime": now_ms // 1000, "rfc1123": at.strftime("%a, %d %b %y %H:%M:%S +0000")}

    def _status(self, _: Mapping[str, str], now_ms: int) -> object:
        at = datetime.fromtimestamp(now_ms // 1000, tz=UTC)
        return {"status": "online", "timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def _assets(self, _: Mapping[str, str], _now_ms: int) -> object:
        assets = ["USD", "USDT", *(listing.instrument.base for listing in self._listings().values())]
        return {
            _names(asset)[0]: {
                "aclass": "currency", "altname": _names(asset)[1], "decimals": 8 if asset == "USDT" else 10,
                "display_decimals": 4 if asset == "USDT" else 5, "status": "enabled",
            }
            for asset in assets
        }  # fmt: skip

    def _pairs(self, query: Mapping[str, str], _: int) -> object:
        found = self._chosen(query) if "pair" in query else self._listings()
        pairs = {name: _pair(listing.instrument) for name, listing in found.items()}
        return pairs if "pair" in query else {**pairs, DOLLAR: _dollar_pair()}

    def _ticker(self, query: Mapping[str, str], now_ms: int) -> object:
        if query.get("pair") in (DOLLAR, "USDTUSD"):
            return {DOLLAR: _dollar_day(self._exchange.notices.usdt_usd)}
        found = self._chosen(query) if "pair" in query else self._listings()
        return {name: _day(listing, now_ms) for name, listing in found.items()}

    def _ohlc(self, query: Mapping[str, str], now_ms: int) -> object:
        ((name, listing),) = self._chosen(query).items()
        interval = INTERVALS.get(_whole(query, "interval", 1))
        if interval is None:
            raise KrakenError("EGeneral:Invalid arguments:interval")
        since_s = _whole(query, "since", 0)
        candles = listing.feed.klines(interval, now_ms=now_ms, limit=ROWS).T
        places = listing.instrument.price_places
        rows: list[tuple[int, list[object]]] = []
        for candle in candles:
            prices = [number(float(candle[i]), places) for i in (OPEN, HIGH, LOW, CLOSE)]
            average = number(float(candle[OPEN : CLOSE + 1].mean()), places)
            volume = number(float(candle[VOLUME]), VOLUME_PLACES)
            opened_s = int(candle[TIME]) // 1000
            rows.append((opened_s, [opened_s, *prices, average, volume, 1]))
        kept = [row for opened_s, row in rows[:-1] if opened_s > since_s] + [row for _, row in rows[-1:]]
        return {name: kept, "last": rows[-2][0] if len(rows) > 1 else 0}

    def _depth(self, query: Mapping[str, str], now_ms: int) -> object:
        ((name, listing),) = self._chosen(query).items()
        count = max(1, min(_whole(query, "count", LEVELS), 500))
        ladder, places = listing.book.ladder(now_ms), listing.instrument.price_places
        sides = {
            side: [[number(price, places), number(size, 3), now_ms // 1000] for price, size in levels[:count]]
            for side, levels in (("asks", ladder.asks), ("bids", ladder.bids))
        }
        return {name: sides}

    def _listings(self) -> dict[str, Listing]:
        """Every spot market by Kraken's name of it."""
        symbols = self._exchange.symbols(Market.SPOT)
        found = [self._exchange.listing(Market.SPOT, symbol) for symbol in symbols]
        return {_names(listing.instrument.base)[1] + "USDT": listing for listing in found}

    def _chosen(self, query: Mapping[str, str]) -> dict[str, Listing]:
        """The pairs of a question; each may be named with or without the slash.

        Raises:
            KrakenError: one is not there, or none is named.
        """
        listings = self._listings()
        wanted = [name.replace("/", "") for name in query.get("pair", "").split(",") if name]
        if not wanted:
            raise KrakenError("EGeneral:Invalid arguments")
        if any(name not in listings for name in wanted):
            raise KrakenError("EQuery:Unknown asset pair")
        return {name: listings[name] for name in wanted}


def _names(asset: str) -> tuple[str, str]:
    return _NAMES.get(asset, (asset, asset))


def _pair(spec: Instrument) -> Json:
    internal, spoken = _names(spec.base)
    return {
        "altname": f"{spoken}USDT", "wsname": f"{spoken}/USDT", "aclass_base": "currency", "base": internal,
        "aclass_quote": "currency", "quote": "USDT", "lot": "unit", "cost_decimals": 8,
        "pair_decimals": spec.price_places, "lot_decimals": VOLUME_PLACES, "lot_multiplier": 1, "leverage_buy": [],
        "leverage_sell": [], "fees": [[0, 0.4], [10000, 0.35]], "fees_maker": [[0, 0.25], [10000, 0.2]],
        "fee_volume_currency": "ZUSD", "margin_call": 80, "margin_stop": 40, "ordermin": f"{spec.lot * 5:f}",
        "costmin": "0.5", "tick_size": f"{spec.tick:f}", "status": "online",
    }  # fmt: skip


def _dollar_pair() -> Json:
    """A tether in dollars: not of the tape, and quoted only."""
    return {
        **_pair(Instrument(Market.SPOT, "USDTUSD", Decimal("0.00001"), Decimal(1), Decimal(5), Decimal(1_000_000))),
        "altname": "USDTUSD", "wsname": "USDT/USD", "base": "USDT", "quote": "ZUSD",
    }  # fmt: skip


def _dollar_day(price: float) -> Json:
    last, half = number(price, 5), 0.00001
    ask, bid = ([number(price + side, 5), "1000", "1000.000"] for side in (half, -half))
    both = [last, last]
    volume = ["50000000.00000000"] * 2
    return {"a": ask, "b": bid, "c": [last, "1.00000000"], "v": volume, "p": both, "t": [1, 1], "l": both, "h": both,
            "o": last}  # fmt: skip


def _day(listing: Listing, now_ms: int) -> Json:
    spec, ladder, day = listing.instrument, listing.book.ladder(now_ms), listing.feed.day(now_ms)
    midnight_ms = now_ms // DAY_MS * DAY_MS
    places = spec.price_places

    def both(value: float, digits: int = places) -> list[str]:
        """Today's and the last 24 hours' number; here the same."""
        return [number(value, digits)] * 2

    def best(level: tuple[object, object]) -> list[str]:
        price, size = float(str(level[0])), float(str(level[1]))
        return [number(price, places), str(max(1, int(size))), number(size, 3)]

    average = day.quote_volume / day.volume if day.volume else day.last
    return {
        "a": best(ladder.asks[0]), "b": best(ladder.bids[0]), "c": [number(day.last, places), number(0.001, 8)],
        "v": both(day.volume, VOLUME_PLACES), "p": both(average), "t": [day.trades] * 2, "l": both(day.low),
        "h": both(day.high), "o": number(listing.feed.opening(midnight_ms), places),
    }  # fmt: skip


def _whole(query: Mapping[str, str], name: str, otherwise: int) -> int:
    text = query.get(name, "")
    if not text:
        return otherwise
    if not text.isdigit():
        raise KrakenError(f"EGeneral:Invalid arguments:{name}")
    return int(text)
