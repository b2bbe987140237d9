"""The matching engine: orders in, fills out, along the price path.

A taking order walks the ladder of the moment. A resting order fills whole, at its limit, once the path is strictly
beyond it; the path since the last look is swept, so nothing is missed at any speed. Funding is settled at its own
times, countdowns run out at theirs, and a position whose margin is used up is closed by a forced order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

import numpy as np

from sandbox.exchange.book import Level
from sandbox.exchange.booking import Booking, bankrupt_or
from sandbox.exchange.errors import refusal
from sandbox.exchange.instruments import Market
from sandbox.exchange.ledger import SATOSHI, Ledger, MarginChange, Position
from sandbox.exchange.listing import Fees, Listing, money
from sandbox.exchange.orders import ZERO, Fill, Order, check_filters
from sandbox.exchange.placing import check_margin, check_spot_balance, halved, walk

_What = TypeVar("_What")
FORCED_IDS = {"LIQUIDATION": "autoclose-{ms}", "ADL": "adl_autoclose", "SETTLEMENT": "settlement_autoclose-{ms}"}
"""Client ids of the exchange's own closings, by why."""
_INSURANCE_RATE = Decimal("0.0125")  # of the notional, taken by a liquidation where there is enough left


@dataclass(frozen=True, slots=True)
class Happening:
    """Something of the account that its user stream tells."""

    kind: str
    """NEW, TRADE, CANCELED, EXPIRED, CALCULATED (a liquidation) or FUNDING_FEE, TRANSFER."""
    market: Market
    ms: int
    order: Order | None = None
    fill: Fill | None = None
    symbol: str = ""


@dataclass(slots=True)
class Engine:
    """Orders, fills and settlements of one account.

    Args:
        listings: What trades, by (market, symbol).
        ledger: The account.
        at_ms: How far the path has been swept, UTC milliseconds.
    """

    listings: dict[tuple[Market, str], Listing]
    ledger: Ledger
    at_ms: float
    fees: Fees = field(default_factory=Fees)
    orders: dict[int, Order] = field(default_factory=dict)
    resting: dict[int, Order] = field(default_factory=dict)
    by_client: dict[tuple[Market, str, str], Order] = field(default_factory=dict)
    """The latest order of each (market, symbol, client id)."""
    countdowns: dict[str, float] = field(default_factory=dict)
    """Perpetual symbol -> when its orders are cancelled, UTC milliseconds."""
    listeners: list[Callable[[Happening], None]] = field(default_factory=list)
    late: list[Order] = field(default_factory=list)
    """Cancelled orders of which a half is yet to turn out filled: a scripted fault."""
    _numbers: int = 0
    _booking: Booking = field(init=False)

    def __post_init__(self) -> None:
        self._booking = Booking(self.ledger, self.fees, self.number)

    def number(self) -> int:
        """The next id, of orders, trades and records alike."""
        self._numbers += 1
        return 1_000_000_000 + self._numbers

    def open_orders(self) -> list[Order]:
        """All resting orders, oldest first."""
        return list(self.resting.values())

    def marks(self, ms: float) -> dict[str, Decimal]:
        """Mark price by perpetual."""
        return {s: money(x.mark.price(ms)) for (m, s), x in self.listings.items() if m is Market.PERP}

    def lasts(self, ms: float) -> dict[str, Decimal]:
        """Last price by spot symbol."""
        return {s: money(x.feed.price(ms)) for (m, s), x in self.listings.items() if m is Market.SPOT}

    def advance(self, now_ms: float) -> None:
        """Let everything happen that happens up to a moment, in order."""
        while self.late:
            self._fill_late(self.late.pop())
        while self.at_ms < now_ms:
            stop_ms = min(now_ms, self._next_stop())
            self._sweep(self.at_ms, stop_ms)
            self.at_ms = stop_ms
            self._settle_funding(stop_ms)
            self._run_out(stop_ms)

    def submit(self, order: Order, *, half: bool = False) -> Order:
        """Accept a new order at the present moment, or refuse it.

        Args:
            order: Complete but for what the engine writes.
            half: A scripted fault: only half of it is ever filled.

        Raises:
            BinanceError: why not.
        """
        listing, now_ms = self.listings[order.market, order.symbol], self.at_ms
        is_spot = order.market is Market.SPOT
        if (known := self.by_client.get((order.market, order.symbol, order.client_id))) and known.is_open:
            raise refusal(-2010, "Duplicate order sent.") if is_spot else refusal(-4116)
        if not listing.feed.is_open(now_ms):
            raise refusal(-1013, "Market is closed.") if is_spot else refusal(-4108, "Symbol is on closed.")
        bid, ask = listing.book.best(now_ms)
        check_filters(order, listing.instrument, ask if order.sign > 0 else bid)
        crosses = order.kind == "MARKET" or (order.price >= ask if order.sign > 0 else order.price <= bid)
        if order.post_only and crosses:
            raise refusal(-2010, "Order would immediately match and take.") if is_spot else refusal(-5022)
        takes = walk(order, listing, now_ms) if crosses else []
        if order.quote_quantity:
            order.quantity = sum((q for _, q in takes), ZERO)  # what the money buys is what is asked for
        if is_spot:
            check_spot_balance(order, takes, self.ledger, self.open_orders())
        else:
            available = self.ledger.available_usdt(self.open_orders(), self.marks(now_ms))
            check_margin(order, takes, self.ledger, available=available, fee_rate=self.fees.perp_taker)
        if order.tif == "FOK" and not is_spot and sum((q for _, q in takes), ZERO) < order.quantity:
            raise refusal(-5021)
        self._accept(order, listing)
        self._execute(order, halved(takes, listing.instrument) if half else takes, half=half)
        return order

    def cancel(self, order: Order, *, status: str = "CANCELED") -> None:
        """Take a resting order out of the book."""
        order.status, order.updated_ms = status, int(self.at_ms)
        self.resting.pop(order.order_id, None)
        self._tell(Happening(status, order.market, int(self.at_ms), order))

    def fill_whole(self, order: Order) -> None:
        """Fill what rests of an order at its own price: it was quicker than its cancel."""
        self._fill(order, order.price, order.remaining, maker=True, ms=int(self.at_ms))

    def close_by_force(self, kind: str = "LIQUIDATION", symbol: str = "") -> None:
        """Close every perpetual position, or one symbol's: `LIQUIDATION`, `ADL` against a bankrupt other side, or
        `SETTLEMENT`.
        """
        held = [p for p in self.ledger.positions.values() if p.quantity]
        for position in [p for p in held if symbol in ("", p.symbol)]:
            self._liquidate(position, int(self.at_ms), kind)

    def transfer(self, amount: Decimal, *, to_futures: bool) -> int:
        """Move USDT between the wallets; the record's number.

        Raises:
            BinanceError: -5013, not that much is free.
        """
        resting = self.open_orders()
        if to_futures:
            free = self.ledger.free("USDT", resting)
        else:
            free = self.ledger.available_usdt(resting, self.marks(self.at_ms))
        if amount <= 0 or amount > free:
            raise refusal(-5013, "Asset transfer failed: insufficient balance")
        signed = amount if to_futures else -amount
        self.ledger.spot["USDT"] -= signed
        self.ledger.futures_usdt += signed
        number = self._booking.income("", "TRANSFER", signed, int(self.at_ms))
        self._tell(Happening("TRANSFER", Market.PERP, int(self.at_ms)))
        self._tell(Happening("TRANSFER", Market.SPOT, int(self.at_ms)))
        return number

    def add_margin(self, symbol: str, amount: Decimal) -> None:
        """Put free USDT of the futures wallet into an isolated position.

        Raises:
            BinanceError: -4054 there is no such position, -4051 not that much is free.
        """
        position = self.ledger.position(symbol)
        if not position.quantity or not position.isolated:
            raise refusal(-4054, "Cannot add position margin: position is 0.")
        if amount <= 0 or amount > self.ledger.available_usdt(self.open_orders(), self.marks(self.at_ms)):
            raise refusal(-4051, "Isolated balance insufficient.")
        position.margin += amount
        position.updated_ms = int(self.at_ms)
        self.ledger.margin_changes.append(MarginChange(symbol, amount, int(self.at_ms)))

    def _next_stop(self) -> float:
        """The next funding time or countdown after the present moment."""
        stops = list(self.countdowns.values())
        for listing in self.listings.values():
            times = listing.funding[0]
            i = int(np.searchsorted(times, self.at_ms, side="right"))
            if i < times.size:
                stops.append(float(times[i]))
        return min(stops, default=np.inf)

    def _sweep(self, from_ms: float, to_ms: float) -> None:
        while self.resting or any(p.quantity for p in self.ledger.positions.values()):
            first: tuple[float, Callable[[int], None]] | None = None
            for when, act in self._crossings(from_ms, to_ms):
                if first is None or when < first[0]:
                    first = when, act
            if first is None:
                return
            from_ms = first[0]
            self.at_ms = from_ms
            first[1](int(from_ms))

    def _crossings(self, from_ms: float, to_ms: float) -> list[tuple[float, Callable[[int], None]]]:
        found: list[tuple[float, Callable[[int], None]]] = []
        for order in self.resting.values():
            feed = self.listings[order.market, order.symbol].feed
            when = feed.first_beyond(from_ms, to_ms, order.through, below=order.sign > 0)
            if when is not None:
                found.append((when, _later(self._fill_resting, order)))
        held = [p for p in self.ledger.positions.values() if p.quantity]
        marks = self.marks(from_ms) if held else {}
        for position in held:
            limit = float(position.liquidation_price(self.ledger.support(position, marks)))
            mark = self.listings[Market.PERP, position.symbol].mark
            when = mark.first_beyond(from_ms, to_ms, limit, below=position.quantity > 0) if limit > 0 else None
            if when is not None:
                found.append((when, _later(self._liquidate, position)))
        return found

    def _fill_resting(self, order: Order, ms: int) -> None:
        quantity = order.remaining
        if order.half:
            lot = self.listings[order.market, order.symbol].instrument.lot
            quantity = (quantity / 2) // lot * lot
            order.through = 0.0 if order.sign > 0 else float("inf")  # never again
        if order.reduce_only:
            held = self.ledger.position(order.symbol).quantity
            quantity = min(quantity, abs(held)) if held * order.sign < 0 else ZERO
        if quantity > 0:
            self._fill(order, order.price, quantity, maker=True, ms=ms)
        if order.reduce_only and order.is_open and not order.half:
            self.cancel(order, status="EXPIRED")

    def _fill_late(self, order: Order) -> None:
        lot, status = self.listings[order.market, order.symbol].instrument.lot, order.status
        if quantity := (order.remaining / 2) // lot * lot:
            self._fill(order, order.price, quantity, maker=True, ms=int(self.at_ms))
            order.status = status

    def _accept(self, order: Order, listing: Listing) -> None:
        order.created_ms = order.updated_ms = int(self.at_ms)
        price = listing.feed.price(self.at_ms)
        # A limit between the path and the far side is not through yet: the path has to move on from where it is.
        order.through = min(float(order.price), price) if order.sign > 0 else max(float(order.price), price)
        self.orders[order.order_id] = order
        self.by_client[order.market, order.symbol, order.client_id] = order
        self.resting[order.order_id] = order
        self._tell(Happening("NEW", order.market, order.created_ms, order))

    def _execute(self, order: Order, takes: list[Level], *, half: bool) -> None:
        order.half = half and not takes
        if order.tif == "FOK" and sum((q for _, q in takes), ZERO) < order.quantity:
            takes = []
        for price, quantity in takes:
            part = quantity
            if order.reduce_only:
                part = min(quantity, abs(self.ledger.position(order.symbol).quantity))
            if part > 0:
                self._fill(order, price, part, maker=False, ms=int(self.at_ms))
        if order.is_open and (order.kind == "MARKET" or order.tif in ("IOC", "FOK")):
            self.cancel(order, status="EXPIRED")
        elif order.is_open and half and takes:
            order.through = 0.0 if order.sign > 0 else float("inf")

    def _fill(self, order: Order, price: Decimal, quantity: Decimal, *, maker: bool, ms: int) -> None:
        order.executed += quantity
        order.spent += price * quantity
        order.updated_ms = ms
        order.status = "PARTIALLY_FILLED" if order.remaining else "FILLED"
        if order.status == "FILLED":
            self.resting.pop(order.order_id, None)
        fill = self._booking.fill(order, price, quantity, maker=maker)
        order.fills.append(fill)
        self._tell(Happening("CALCULATED" if order.forced else "TRADE", order.market, ms, order, fill))

    def _liquidate(self, position: Position, ms: int, kind: str = "LIQUIDATION") -> None:
        """Close a position whose margin is used up, or that has to go for another reason, under the exchange's own id.

        The account never loses more than was behind it.
        """
        for order in [o for o in self.open_orders() if o.market is Market.PERP and o.symbol == position.symbol]:
            self.cancel(order)
        marks = self.marks(ms)
        support, price = self.ledger.support(position, marks), marks[position.symbol]
        price = bankrupt_or(position, support, price)
        sign, quantity = (-1 if position.quantity > 0 else 1), abs(position.quantity)
        client_id = FORCED_IDS[kind].format(ms=ms)
        order = Order(self.number(), client_id, Market.PERP, position.symbol, sign, "LIQUIDATION", "IOC",
                      quantity, price, reduce_only=True, created_ms=ms, forced=True)  # fmt: skip
        self.orders[order.order_id] = order
        self._tell(Happening("NEW", Market.PERP, ms, order))
        before = self.ledger.futures_usdt
        self._fill(order, price, quantity, maker=False, ms=ms)
        left = support - (before - self.ledger.futures_usdt)
        rate = _INSURANCE_RATE if kind == "LIQUIDATION" else ZERO
        charge = max(min((quantity * price * rate).quantize(SATOSHI), left), ZERO)
        if charge:
            self.ledger.futures_usdt -= charge
            self._booking.income(position.symbol, "INSURANCE_CLEAR", -charge, ms)

    def _settle_funding(self, ms: float) -> None:
        for (_, symbol), listing in self.listings.items():
            i = int(np.searchsorted(listing.funding[0], ms))
            position = self.ledger.positions.get(symbol)
            if i >= listing.funding.shape[1] or listing.funding[0, i] != ms or not position or not position.quantity:
                continue
            rate, mark = money(float(listing.funding[1, i])), money(listing.mark.price(ms))
            amount = -(position.quantity * mark * rate).quantize(SATOSHI)
            self.ledger.futures_usdt += amount
            if position.isolated:
                position.margin += amount
            self._booking.income(symbol, "FUNDING_FEE", amount, int(ms))
            self._tell(Happening("FUNDING_FEE", Market.PERP, int(ms), symbol=symbol))

    def _run_out(self, ms: float) -> None:
        for symbol in [s for s, deadline in self.countdowns.items() if deadline <= ms]:
            del self.countdowns[symbol]
            for order in [o for o in self.open_orders() if o.market is Market.PERP and o.symbol == symbol]:
                self.cancel(order)

    def _tell(self, happening: Happening) -> None:
        for listener in self.listeners:
            listener(happening)


def _later(act: Callable[[_What, int], None], what: _What) -> Callable[[int], None]:
    return lambda ms: act(what, ms)
