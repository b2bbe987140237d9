"""Exchange info: symbols, filters, limits; empty for the venues there are not."""

from __future__ import annotations

from functools import partial

from sandbox.exchange.exchange import Exchange
from sandbox.exchange.instruments import Instrument, Market
from sandbox.exchange.limits import Limits
from sandbox.exchange.views import Json, number
from sandbox.exchange.wire import Call, Route


def routes(limits: Limits) -> list[Route]:
    """One endpoint a venue."""
    spot, perp = partial(limits.rules, "spot"), partial(limits.rules, "perp")
    return [
        Route("GET", "/api/v3/exchangeInfo", lambda exchange, call: _spot_info(exchange, call, spot())),
        Route("GET", "/fapi/v1/exchangeInfo", lambda exchange, call: _perp_info(exchange, call, perp())),
        Route("GET", "/dapi/v1/exchangeInfo", lambda _exchange, call: _info(call.now_ms, perp(), [])),
        Route("GET", "/eapi/v1/exchangeInfo", lambda _e, call: {**_info(call.now_ms, perp(), []), "optionSymbols": []}),
    ]


def _spot_info(exchange: Exchange, call: Call, limits: list[Json]) -> object:
    wanted = call.text("symbol")
    symbols = [exchange.listing(Market.SPOT, wanted)] if wanted else [
        exchange.listing(Market.SPOT, s) for s in exchange.symbols(Market.SPOT)
    ]  # fmt: skip
    return _info(call.now_ms, limits, [_spot_symbol(x.instrument, _status(exchange, Market.SPOT)) for x in symbols])


def _perp_info(exchange: Exchange, call: Call, limits: list[Json]) -> object:
    status, delivery_ms = _status(exchange, Market.PERP), exchange.notices.delivery_ms
    listed = [exchange.listing(Market.PERP, s).instrument for s in exchange.symbols(Market.PERP)]
    symbols = [{**_perp_symbol(spec), "status": status, "deliveryDate": delivery_ms} for spec in listed]
    assets = [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}]
    return {**_info(call.now_ms, limits, symbols), "futuresType": "U_MARGINED", "assets": assets}


def _info(ms: int, limits: list[Json], symbols: list[Json]) -> Json:
    return {"timezone": "UTC", "serverTime": ms, "rateLimits": limits, "exchangeFilters": [], "symbols": symbols}


def _status(exchange: Exchange, market: Market) -> str:
    return exchange.notices.status.get(market.value, "TRADING")


def _spot_symbol(spec: Instrument, status: str) -> Json:
    filters: list[Json] = [
        {"filterType": "PRICE_FILTER", "minPrice": number(spec.tick), "maxPrice": "1000000.00000000",
         "tickSize": number(spec.tick)},
        {"filterType": "LOT_SIZE", "minQty": number(spec.lot), "maxQty": number(spec.max_qty),
         "stepSize": number(spec.lot)},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": number(spec.max_qty / 10),
         "stepSize": "0.00000000"},
        {"filterType": "PERCENT_PRICE_BY_SIDE", "bidMultiplierUp": "5", "bidMultiplierDown": "0.2",
         "askMultiplierUp": "5", "askMultiplierDown": "0.2", "avgPriceMins": 5},
        {"filterType": "NOTIONAL", "minNotional": number(spec.min_notional), "applyMinToMarket": True,
         "maxNotional": "9000000.00000000", "applyMaxToMarket": False, "avgPriceMins": 5},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
    ]  # fmt: skip
    return {
        "symbol": spec.symbol, "status": status, "baseAsset": spec.base, "baseAssetPrecision": 8,
        "quoteAsset": "USDT", "quotePrecision": 8, "quoteAssetPrecision": 8, "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8, "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"], "icebergAllowed": False,
        "ocoAllowed": False, "quoteOrderQtyMarketAllowed": True, "allowTrailingStop": False,
        "cancelReplaceAllowed": False, "isSpotTradingAllowed": True, "isMarginTradingAllowed": False,
        "filters": filters, "permissions": [], "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER", "allowedSelfTradePreventionModes": ["EXPIRE_MAKER"],
    }  # fmt: skip


def _perp_symbol(spec: Instrument) -> Json:
    tick, lot = f"{spec.tick:f}", f"{spec.lot:f}"
    filters: list[Json] = [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "4529764", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": f"{spec.max_qty:f}", "stepSize": lot},
        {"filterType": "MARKET_LOT_SIZE", "minQty": lot, "maxQty": f"{spec.max_qty / 10:f}", "stepSize": lot},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": f"{spec.min_notional:f}"},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500", "multiplierDecimal": "4"},
    ]
    return {
        "symbol": spec.symbol, "pair": spec.symbol, "contractType": "PERPETUAL",
        "onboardDate": 1569398400000, "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000", "baseAsset": spec.base, "quoteAsset": "USDT", "marginAsset": "USDT",
        "pricePrecision": spec.price_places, "quantityPrecision": spec.lot_places, "baseAssetPrecision": 8,
        "quotePrecision": 8, "underlyingType": "COIN", "underlyingSubType": [], "triggerProtect": "0.0500",
        "liquidationFee": "0.012500", "marketTakeBound": "0.05", "maxMoveOrderLimit": 10000, "filters": filters,
        "orderTypes": ["LIMIT", "MARKET"], "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }  # fmt: skip
