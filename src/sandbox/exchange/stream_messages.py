"""Market and user events as Binance streams them."""

from __future__ import annotations

from sandbox.exchange.engine import Engine, Happening
from sandbox.exchange.exchange import Diff, Exchange
from sandbox.exchange.feed import Trade
from sandbox.exchange.instruments import Instrument, Market
from sandbox.exchange.orders import ZERO, Fill, Order
from sandbox.exchange.rest_market import agg_trade, funding_now
from sandbox.exchange.rest_spot import balance_rows
from sandbox.exchange.views import Json, number, price_text, size_text


def kline(symbol: str, interval: str, row: list[object], *, event_ms: int, is_closed: bool) -> Json:
    """A candle event from a REST row."""
    opened, open_, high, low, close, volume, closed, quote, count, taker, taker_quote, _ = row
    return {
        "e": "kline", "E": event_ms, "s": symbol,
        "k": {"t": opened, "T": closed, "s": symbol, "i": interval, "f": 1, "L": 1, "o": open_, "c": close, "h": high,
              "l": low, "v": volume, "n": count, "x": is_closed, "q": quote, "V": taker, "Q": taker_quote, "B": "0"},
    }  # fmt: skip


def book_ticker(spec: Instrument, exchange: Exchange, ms: int) -> Json:
    """Best bid and ask, with the book's update id; spot's has neither name nor time."""
    book = exchange.publish(spec.market, spec.symbol, ms)
    (bid, bid_size), (ask, ask_size) = book.ladder.bids[0], book.ladder.asks[0]
    body: Json = {"u": book.update_id, "s": spec.symbol, "b": price_text(spec, bid), "B": size_text(spec, bid_size),
                  "a": price_text(spec, ask), "A": size_text(spec, ask_size)}  # fmt: skip
    return body if spec.market is Market.SPOT else {"e": "bookTicker", **body, "T": ms, "E": ms}


def ticker(spec: Instrument, exchange: Exchange, ms: int, *, mini: bool) -> Json:
    """The last 24 hours."""
    listing = exchange.listing(spec.market, spec.symbol)
    day = listing.feed.day(ms)
    body: Json = {
        "e": "24hrMiniTicker" if mini else "24hrTicker", "E": ms, "s": spec.symbol, "c": price_text(spec, day.last),
        "o": price_text(spec, day.open), "h": price_text(spec, day.high), "l": price_text(spec, day.low),
        "v": number(day.volume), "q": number(day.quote_volume),
    }  # fmt: skip
    if mini:
        return body
    bid, ask = listing.book.best(ms)
    change = day.last - day.open
    mean = day.quote_volume / day.volume if day.volume else day.last
    body |= {"p": price_text(spec, change), "P": number(change / day.open * 100.0, 3), "w": price_text(spec, mean),
             "Q": "1", "O": day.opened_ms, "C": ms, "F": 1, "L": day.trades, "n": day.trades}  # fmt: skip
    if spec.market is Market.SPOT:
        body |= {"x": body["o"], "b": price_text(spec, bid), "B": "1", "a": price_text(spec, ask), "A": "1"}
    return body


def depth(spec: Instrument, diff: Diff, ms: int) -> Json:
    """Changes of the order book; futures say which update they follow."""
    body: Json = {
        "e": "depthUpdate", "E": ms, "s": spec.symbol, "U": diff.first_id, "u": diff.last_id,
        "b": [[price_text(spec, p), size_text(spec, q)] for p, q in diff.bids],
        "a": [[price_text(spec, p), size_text(spec, q)] for p, q in diff.asks],
    }  # fmt: skip
    return body if spec.market is Market.SPOT else {**body, "T": ms, "pu": diff.previous_id}


def trade(spec: Instrument, print_: Trade, *, aggregate: bool) -> Json:
    """A print."""
    if aggregate:
        return {"e": "aggTrade", "E": print_.ms, "s": spec.symbol, **agg_trade(spec, print_)}
    return {"e": "trade", "E": print_.ms, "s": spec.symbol, "t": print_.number, "p": price_text(spec, print_.price),
            "q": number(print_.quantity), "T": print_.ms, "m": print_.sold, "M": True, "X": "MARKET"}  # fmt: skip


def mark_price(exchange: Exchange, symbol: str, ms: int) -> Json:
    """Mark, index and the running funding estimate."""
    listing = exchange.listing(Market.PERP, symbol)
    spot = exchange.engine.listings.get((Market.SPOT, symbol))
    mark = listing.mark.price(ms)
    index = number(spot.feed.price(ms) if spot else mark)
    rate, next_ms = funding_now(exchange, symbol, ms)
    return {"e": "markPriceUpdate", "E": ms, "s": symbol, "p": number(mark), "i": index, "P": index, "r": number(rate),
            "T": next_ms}  # fmt: skip


def force_order(spec: Instrument, order: Order, ms: int) -> Json:
    """A position closed by force, for everybody to see."""
    done = size_text(spec, order.executed)
    return {
        "e": "forceOrder", "E": ms,
        "o": {"s": order.symbol, "S": order.side, "o": "LIMIT", "f": "IOC", "q": size_text(spec, order.quantity),
              "p": price_text(spec, order.price or order.average), "ap": number(order.average, 5), "X": order.status,
              "l": done, "z": done, "T": ms},
    }  # fmt: skip


def spot_events(exchange: Exchange, happening: Happening) -> list[Json]:
    """executionReport and outboundAccountPosition."""
    events: list[Json] = []
    if happening.order is not None:
        events.append(_execution_report(happening.order, happening.fill, happening.kind, happening.ms))
    balances = [{"a": asset, "f": free, "l": locked} for asset, free, locked in balance_rows(exchange)]
    events.append({"e": "outboundAccountPosition", "E": happening.ms, "u": happening.ms, "B": balances})
    return events


def futures_events(exchange: Exchange, happening: Happening) -> list[Json]:
    """ORDER_TRADE_UPDATE and, where money moved, ACCOUNT_UPDATE before it."""
    engine, events = exchange.engine, []
    reason = {"TRADE": "ORDER", "CALCULATED": "ORDER", "FUNDING_FEE": "FUNDING_FEE", "TRANSFER": "DEPOSIT"}
    if happening.kind in reason:
        events.append(_account_update(engine, reason[happening.kind], happening))
    if (order := happening.order) is not None:
        spec = exchange.listing(Market.PERP, order.symbol).instrument
        events.append(_order_update(order, happening.fill, happening.kind, spec))
    return events


def _execution_report(order: Order, fill: Fill | None, kind: str, ms: int) -> Json:
    return {
        "e": "executionReport", "E": ms, "s": order.symbol,
        "c": f"cancel{ms}" if kind == "CANCELED" else order.client_id, "S": order.side, "o": order.kind,
        "f": order.tif, "q": number(order.quantity), "p": number(order.price), "P": "0.00000000", "F": "0.00000000",
        "g": -1, "C": order.client_id if kind == "CANCELED" else "", "x": kind, "X": order.status, "r": "NONE",
        "i": order.order_id, "l": number(fill.quantity if fill else ZERO), "z": number(order.executed),
        "L": number(fill.price if fill else ZERO), "n": number(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else None, "T": ms, "t": fill.trade_id if fill else -1, "I": order.order_id,
        "w": order.is_open, "m": bool(fill and fill.is_maker), "M": False, "O": order.created_ms,
        "Z": number(order.spent), "Y": number(fill.price * fill.quantity if fill else ZERO),
        "Q": number(order.quote_quantity), "W": order.created_ms, "V": "EXPIRE_MAKER",
    }  # fmt: skip


def _order_update(order: Order, fill: Fill | None, kind: str, spec: Instrument) -> Json:
    ms = order.updated_ms or order.created_ms
    return {
        "e": "ORDER_TRADE_UPDATE", "E": ms, "T": ms,
        "o": {"s": order.symbol, "c": order.client_id, "S": order.side, "o": order.kind, "f": order.tif,
              "q": size_text(spec, order.quantity), "p": price_text(spec, order.price), "ap": number(order.average, 5),
              "sp": "0", "x": kind, "X": order.status, "i": order.order_id,
              "l": size_text(spec, fill.quantity if fill else ZERO), "z": size_text(spec, order.executed),
              "L": price_text(spec, fill.price if fill else ZERO), "n": number(fill.fee if fill else ZERO), "N": "USDT",
              "T": ms, "t": fill.trade_id if fill else 0, "b": "0", "a": "0", "m": bool(fill and fill.is_maker),
              "R": order.reduce_only, "wt": "CONTRACT_PRICE", "ot": order.kind, "ps": "BOTH", "cp": False,
              "rp": number(fill.realized if fill else ZERO), "pP": False, "si": 0, "ss": 0, "V": "EXPIRE_MAKER",
              "pm": "NONE", "gtd": 0},
    }  # fmt: skip


def _account_update(engine: Engine, reason: str, happening: Happening) -> Json:
    ledger, marks = engine.ledger, engine.marks(happening.ms)
    symbol = happening.order.symbol if happening.order is not None else happening.symbol
    positions = [
        {"s": p.symbol, "pa": f"{p.quantity}", "ep": number(p.entry), "bep": number(p.entry), "cr": "0",
         "up": number(p.unrealized(marks[p.symbol])), "mt": "isolated" if p.isolated else "cross",
         "iw": number(p.margin), "ps": "BOTH", "ma": "USDT"}
        for p in ledger.positions.values()
        if p.symbol == symbol
    ]  # fmt: skip
    balance = {"a": "USDT", "wb": number(ledger.futures_usdt), "bc": "0",
               "cw": number(ledger.futures_usdt - ledger.isolated_margin())}  # fmt: skip
    return {"e": "ACCOUNT_UPDATE", "E": happening.ms, "T": happening.ms,
            "a": {"m": reason, "B": [balance], "P": positions}}  # fmt: skip
