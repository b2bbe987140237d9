"""Binance's documents about what can break a hedge, as the lab's nouns; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from trading.domain.hedge import ContractTerms, ForcedOrder, Listed, forced_kind
from trading.domain.instrument import Market
from trading.exchange.answer import Answer, answers, rows
from trading.exchange.parse_account import order_state
from trading.exchange.parse_market import FundingTerms

_SIDES = ("BOTH", "SHORT", "HEDGE")
"""Where the rank of a short stands: one-way mode tells it as `BOTH`."""


def adl_quantile(document: object, symbol: str, where: str) -> int:
    """A short's place in the queue of auto-deleveraging, 0 to 4 (`adlQuantile`); 0 where nothing is held."""
    for row in answers(document, where) if isinstance(document, list) else [Answer.of(document, where)]:
        if row.fields.get("symbol") == symbol:
            ranks = Answer.of(row.fields.get("adlQuantile"), where)
            return max((ranks.whole(side) for side in _SIDES if ranks.has(side)), default=0)
    return 0


def forced_orders(document: object, where: str) -> list[ForcedOrder]:
    """Rows of `forceOrders`, oldest first; of a kind the lab does not know: left out."""
    found = []
    for row in answers(document, where):
        state = order_state(Market.PERP, row)
        kind = forced_kind(state.order.client_id)
        if kind is not None:
            order = state.order
            found.append(
                ForcedOrder(
                    order.symbol,
                    kind,
                    order.client_id,
                    order.side,
                    state.filled_base,
                    state.average_price,
                    state.updated_ms,
                )
            )
    return sorted(found, key=lambda forced: forced.at_ms)


def listed(document: Mapping[str, object], symbol: str, where: str) -> Listed:
    """A symbol's entry of `exchangeInfo`; a quarterly contract has another symbol."""
    for entry in _entries(document, where):
        if entry.fields.get("symbol") == symbol:
            delivery_ms = entry.whole("deliveryDate") if entry.has("deliveryDate") else None
            return Listed(entry.text("status"), delivery_ms)
    return Listed("")


def spot_end_ms(document: object, symbol: str, where: str) -> int | None:
    """When spot stops trading a symbol, from `delist-schedule`; None: it is not on it."""
    ends = [
        row.whole("delistTime")
        for row in answers(document, where)
        if symbol in rows(row.fields.get("symbols"), f"{where} symbols")
    ]
    return min(ends, default=None)


def _entries(document: Mapping[str, object], where: str) -> Iterable[Answer]:
    return answers(document.get("symbols"), where)


def contract_terms(document: object, symbol: str, where: str) -> ContractTerms:
    """The terms of one symbol (`fundingInfo`); the venue lists only contracts that were adjusted."""
    for entry in answers(document, where):
        if entry.fields.get("symbol") == symbol:
            return ContractTerms(
                entry.whole("fundingIntervalHours") * 3_600_000,
                entry.number("adjustedFundingRateCap"),
                entry.number("adjustedFundingRateFloor"),
            )
    usual = FundingTerms()
    return ContractTerms(usual.interval_ms, usual.cap_rate, -usual.cap_rate)


def mark_opening(document: object, at_ms: int, where: str) -> Decimal | None:
    """The mark at a moment, from candles of it (`markPriceKlines`); None: none opens then."""
    for row in rows(document, where):
        if isinstance(row, list) and len(row) > 1:
            cells = Answer({"time": row[0], "open": row[1]}, where)
            if cells.whole("time") == at_ms:
                return cells.decimal("open")
    return None
