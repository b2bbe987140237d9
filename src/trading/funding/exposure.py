"""What is pending, and how it moves with what is wanted: the guards' view of the book beyond this position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.execution.intent_records import OrderRecord
from trading.funding.ledger import Pair
from trading.funding.room import Room
from trading.risk.guards import Exposure, RiskBook
from trading.risk.value_at_risk import correlation, hedge_losses, worse

HISTORY_HOURS = 500
"""Hourly candles that the recent tail is drawn from: what one request brings, three weeks."""


def pending_quote(records: Iterable[OrderRecord], *, prices: Mapping[str, float], unknown_quote: float) -> float:
    """Value of orders that may still fill, quote; each counts in full, whichever leg it is.

    Args:
        records: Orders not final yet.
        prices: By symbol, for an order that names none.
        unknown_quote: What an order counts as when nobody knows its price.
    """
    total = 0.0
    for record in records:
        order = record.order
        price = float(order.price) if order.price is not None else prices.get(order.symbol)
        total += unknown_quote if price is None else float(order.quantity_base) * price
    return total


async def with_history(book: RiskBook, room: Room, pair: Pair, *, held_quote: Mapping[str, float]) -> RiskBook:
    """The book with its recent tail, and with what is held or pending in other symbols by how they move with this one.

    Args:
        book: Of the account.
        room: For the exchange, the clock and the journal.
        pair: What is wanted.
        held_quote: By symbol, notional of one leg that is held.

    Raises:
        DataProviderError: the exchange does not give candles: no size can be judged.
    """
    perp = await _closes(room, Market.PERP, pair.symbol)
    spot = await _closes(room, Market.SPOT, pair.symbol)
    others: dict[str, list[OrderRecord]] = {}
    for record in room.tools.intents.unresolved():
        if record.order.symbol != pair.symbol:
            others.setdefault(record.order.symbol, []).append(record)
    exposures = [
        Exposure(
            symbol,
            held_quote.get(symbol, 0.0)
            + pending_quote(others.get(symbol, ()), prices={}, unknown_quote=book.equity_quote),
            correlation(perp, await _closes(room, Market.PERP, symbol)),
        )
        for symbol in dict.fromkeys([*held_quote, *others])
    ]
    return replace(book, tail=worse(hedge_losses(spot, perp)), exposures=tuple(exposures))


async def _closes(room: Room, market: Market, symbol: str) -> dict[int, float]:
    start_ms = room.tools.clock.now_ms() - HISTORY_HOURS * INTERVAL_MS["1h"]
    bars = await room.tools.venue.klines(market, symbol, "1h", start_ms=start_ms, limit=HISTORY_HOURS)
    return {bar.open_time_ms: bar.close for bar in bars if bar.is_closed}
