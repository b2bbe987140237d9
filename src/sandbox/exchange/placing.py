"""Before an order is accepted: what it would take from the book, and whether the account can carry it."""

from __future__ import annotations

from decimal import Decimal

from sandbox.exchange.book import Level
from sandbox.exchange.errors import refusal
from sandbox.exchange.instruments import Instrument
from sandbox.exchange.ledger import Ledger
from sandbox.exchange.listing import Listing
from sandbox.exchange.orders import ZERO, Order


def walk(order: Order, listing: Listing, ms: float) -> list[Level]:
    """What the order takes from the ladder of the moment, price by price."""
    ladder = listing.book.ladder(ms)
    takes: list[Level] = []
    wanted, budget = order.quantity, order.quote_quantity
    for price, size in ladder.asks if order.sign > 0 else ladder.bids:
        if order.kind != "MARKET" and (price > order.price if order.sign > 0 else price < order.price):
            break
        part = min(size, wanted)
        if order.quote_quantity:
            part = min(size, budget / price // listing.instrument.lot * listing.instrument.lot)
            budget -= part * price
        if part <= 0:
            break
        takes.append((price, part))
        wanted -= part
    return takes


def halved(takes: list[Level], instrument: Instrument) -> list[Level]:
    """The first half of what would be taken, on the lot."""
    left = (sum((q for _, q in takes), ZERO) / 2) // instrument.lot * instrument.lot
    found: list[Level] = []
    for price, quantity in takes:
        part = min(quantity, left)
        if part > 0:
            found.append((price, part))
        left -= part
    return found


def check_spot_balance(order: Order, takes: list[Level], ledger: Ledger, resting: list[Order]) -> None:
    """Refuse an order the spot wallet cannot pay.

    Raises:
        BinanceError: -2010.
    """
    cost = sum((p * q for p, q in takes), ZERO) if order.kind == "MARKET" else order.quantity * order.price
    asset, wanted = ("USDT", cost) if order.sign > 0 else (order.symbol.removesuffix("USDT"), order.quantity)
    if ledger.free(asset, resting) < wanted:
        raise refusal(-2010)


def check_margin(order: Order, takes: list[Level], ledger: Ledger, *, available: Decimal, fee_rate: Decimal) -> None:
    """Refuse an order the futures wallet has no margin for, and a reducing one that would not reduce.

    Raises:
        BinanceError: -2019, -2022.
    """
    held = ledger.position(order.symbol)
    reduces = held.quantity * order.sign < 0
    if order.reduce_only and not reduces:
        raise refusal(-2022)
    opening = max(order.quantity - (abs(held.quantity) if reduces else ZERO), ZERO)
    if order.reduce_only or not opening:
        return
    price = max((p for p, _ in takes), default=order.price)
    if opening * price * (1 / Decimal(held.leverage) + fee_rate) > available:
        raise refusal(-2019)
