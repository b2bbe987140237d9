"""A venue in memory: exact money, scripted faults, and a list of what it was asked.

`faults[n]` says what goes wrong at the n-th call (1 is the first), for calls of any kind:

    crash_before, crash_after   the lab dies before or after the venue acted
    lost_before, lost_after     the answer is lost, the order was not or was taken
    late                        the answer is lost and the order is taken only three calls later
    reject, rate_limit, down    a definite no, a no for now, no answer at all
    half                        an order that takes fills half
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from tests.trading.execution.fake_hedge import FakeHedge
from trading.domain.clock import Clock
from trading.domain.errors import (
    KeyRefusedError,
    NetworkDownError,
    OrderRejectedError,
    OutcomeUnknownError,
    RateLimitError,
)
from trading.domain.hedge import ForcedKind, ForcedOrder
from trading.domain.instrument import Instrument, Market
from trading.domain.market import Bar, Book, FundingNow, FundingRate, Quote
from trading.domain.orders import (
    Balance,
    CollateralMove,
    FeeTier,
    Fill,
    Income,
    IncomeKind,
    Order,
    OrderState,
    OrderStatus,
    OrderType,
    PerpPosition,
    Purse,
    Side,
)

HOUR_MS = 3_600_000
D = Decimal


class Crash(BaseException):
    """The process dies here."""


def spot_btc(base: str = "BTC") -> Instrument:
    """BTCUSDT spot with Binance's filters."""
    lot = D("0.00001")
    return Instrument(Market.SPOT, f"{base}USDT", base, "USDT", D("0.01"), lot, lot, D(9000), D(5))


def perp_btc(min_notional: str = "100", base: str = "BTC") -> Instrument:
    """BTCUSDT perpetual with Binance's filters."""
    lot = D("0.001")
    return Instrument(Market.PERP, f"{base}USDT", base, "USDT", D("0.1"), lot, lot, D(120), D(min_notional))


@dataclass
class _Resting:
    order: Order
    venue_id: str
    status: OrderStatus
    filled: Decimal = field(default=D(0))
    quote: Decimal = field(default=D(0))
    looks: int = 0

    def state(self, at_ms: int) -> OrderState:
        price = self.quote / self.filled if self.filled else None
        return OrderState(self.order, self.venue_id, self.status, self.filled, price, at_ms)


@dataclass
class FakeVenue(FakeHedge):
    """Implements `trading.domain.venue.Venue` for one symbol."""

    clock: Clock
    price: Decimal = field(default=D(50_000))
    basis: Decimal = field(default=D(10))
    """The perpetual stands this much above spot."""
    spot_usdt: Decimal = field(default=D(10_000))
    spot_base: Decimal = field(default=D(0))
    futures_usdt: Decimal = field(default=D(10_000))
    quantity: Decimal = field(default=D(0))
    entry: Decimal = field(default=D(0))
    maker_fills: tuple[str, ...] = ("0", "1")
    """Share of the remainder that fills at each look at a resting order; the last one repeats."""
    liquidity: Decimal = field(default=D(1000))
    """Base that one taker order can take."""
    refuse_post_only: bool = False
    refuse_market: frozenset[Market] = frozenset()
    rate: float = 0.0003
    history: list[FundingRate] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    """Hourly candles of both markets."""
    faults: dict[int, str] = field(default_factory=dict)
    book_fault: str = ""
    """`old`, `upside down` or `empty`: what is wrong with every book."""
    fault_on: dict[str, list[str]] = field(default_factory=dict)
    """Faults by call name, used up in order."""
    calls: int = 0
    seen: list[str] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    orders: dict[str, _Resting] = field(default_factory=dict)
    late: dict[str, tuple[int, Order]] = field(default_factory=dict)
    trades: list[Fill] = field(default_factory=list)
    records: list[Income] = field(default_factory=list)
    quote_age_ms: int = 0
    next_funding_ms: int = 0
    perp: Instrument = field(default_factory=perp_btc)
    margin: Decimal = field(default=D(0))
    """Of the isolated position, beyond which it is liquidated; 0: the venue names no liquidation price."""
    locked: dict[Market, Decimal] = field(default_factory=dict)
    """USDT that orders of somebody else hold."""
    moved: list[CollateralMove] = field(default_factory=list)
    base: str = "BTC"

    @property
    def symbol(self) -> str:
        return f"{self.base}USDT"

    # public

    async def time_ms(self) -> int:
        with self._call("time_ms"):
            return self.clock.now_ms()

    async def instrument(self, market: Market, symbol: str) -> Instrument:
        with self._call("instrument"):
            return spot_btc(self.base) if market is Market.SPOT else self.perp

    def _top(self, market: Market) -> tuple[Decimal, Decimal]:
        mid = self.price + (self.basis if market is Market.PERP else 0)
        return mid - D("0.5"), mid + D("0.5")

    async def quote(self, market: Market, symbol: str) -> Quote:
        with self._call("usdc_quote" if symbol == "USDCUSDT" else "quote"):
            if symbol == "USDCUSDT":
                return self.usdc(self.clock.now_ms())
            bid, ask = self._top(market)
            at_ms = self.clock.now_ms() - self.quote_age_ms
            return Quote(market, symbol, float(bid), float(ask), 5.0, 5.0, at_ms)

    async def book(self, market: Market, symbol: str, *, depth: int) -> Book:
        with self._call("book"):
            bid, ask = self._top(market)
            size = 3.0 if market is Market.SPOT else 9.0
            bids = tuple((float(bid) - i, size) for i in range(depth))
            asks = tuple((float(ask) + i, size) for i in range(depth))
            if self.book_fault == "upside down":
                bids, asks = asks, bids
            elif self.book_fault == "empty":
                bids = ()
            old_ms = 60_000 if self.book_fault == "old" else 0
            return Book(market, symbol, bids, asks, self.clock.now_ms() - old_ms)

    async def funding_now(self, symbol: str) -> FundingNow:
        with self._call("funding_now"):
            mark = float(self.price + self.basis)
            now = self.clock.now_ms()
            next_ms = self.next_funding_ms or (now // (8 * HOUR_MS) + 1) * 8 * HOUR_MS
            return FundingNow(symbol, self.rate, next_ms, 8 * HOUR_MS, 0.003, mark, float(self.price), now)

    async def funding_history(self, symbol: str, *, start_ms: int, limit: int) -> list[FundingRate]:
        with self._call("funding_history"):
            return [rate for rate in self.history if rate.time_ms >= start_ms][:limit]

    async def klines(self, market: Market, symbol: str, interval: str, *, start_ms: int, limit: int) -> list[Bar]:
        with self._call("klines"):
            return [bar for bar in self.bars if bar.market is market and bar.open_time_ms >= start_ms][:limit]

    # private

    async def fees(self, market: Market, symbol: str) -> FeeTier:
        with self._call("fees"):
            return FeeTier(0.001, 0.001) if market is Market.SPOT else FeeTier(0.0002, 0.0005)

    async def balances(self, market: Market) -> dict[str, Balance]:
        with self._call("balances"):
            if market is Market.SPOT:
                locked = self.locked.get(market, D(0))
                return {"USDT": Balance(self.spot_usdt - locked, locked), self.base: Balance(self.spot_base, D(0))}
            locked = self.locked.get(market, D(0)) + self.margin
            return {"USDT": Balance(self.futures_usdt - locked, locked)}

    async def position(self, symbol: str) -> PerpPosition:
        with self._call("position"):
            mark = self.price + self.basis
            gain = self.quantity * (mark - self.entry)
            held, liquidation = abs(self.quantity) * mark, None
            if self.margin and self.quantity:
                held = self.margin + gain
                liquidation = (self.margin - self.quantity * self.entry) / (-self.quantity * D("1.004"))
            return PerpPosition(symbol, self.quantity, self.entry, mark, gain, held, liquidation, 1)

    async def prepare_perp(self, symbol: str, *, leverage: int) -> None:
        with self._call("prepare_perp"):
            return

    async def place(self, order: Order) -> OrderState:
        self.sent[order.client_id] += 1
        with self._call("place", order=order) as kind:
            if kind == "reject" or order.market in self.refuse_market:
                raise OrderRejectedError(f"order {order.client_id}: insufficient balance", code=-2010)
            if order.market is Market.SPOT and order.side is Side.SELL and order.quantity_base > self.spot_base:
                raise OrderRejectedError(f"order {order.client_id}: insufficient balance", code=-2010)
            return self._accept(order, half=kind == "half").state(self.clock.now_ms())

    async def find(self, market: Market, symbol: str, client_id: str) -> OrderState | None:
        with self._call("find"):
            resting = self.orders.get(client_id)
            if resting is None:
                return None
            self._work(resting)
            return resting.state(self.clock.now_ms())

    async def cancel(self, market: Market, symbol: str, client_id: str) -> OrderState | None:
        with self._call("cancel"):
            resting = self.orders.get(client_id)
            if resting is None:
                return None
            if not resting.status.is_final:
                resting.status = OrderStatus.CANCELLED
            return resting.state(self.clock.now_ms())

    async def open_orders(self, market: Market, symbol: str) -> list[OrderState]:
        with self._call("open_orders"):
            now = self.clock.now_ms()
            return [r.state(now) for r in self.orders.values() if r.order.market is market and not r.status.is_final]

    async def cancel_all(self, market: Market, symbol: str) -> None:
        with self._call("cancel_all"):
            for resting in self.orders.values():
                if resting.order.market is market and not resting.status.is_final:
                    resting.status = OrderStatus.CANCELLED

    async def fills(self, market: Market, symbol: str, *, start_ms: int) -> list[Fill]:
        with self._call("fills"):
            return [fill for fill in self.trades if fill.market is market and fill.at_ms >= start_ms]

    async def income(self, symbol: str, *, start_ms: int) -> list[Income]:
        with self._call("income"):
            return [record for record in self.records if record.at_ms >= start_ms]

    async def move_collateral(self, asset: str, amount: Decimal, *, to: Purse, symbol: str) -> str:
        with self._call("move_collateral") as kind:
            source = self.spot_usdt if to is Purse.FUTURES else self.futures_usdt - self.margin
            if kind == "reject" or amount > source:
                raise OrderRejectedError(f"transfer {amount} to {to}: insufficient balance", code=-5013)
            if to is Purse.POSITION:
                self.margin += amount
            else:
                signed = amount if to is Purse.FUTURES else -amount
                self.spot_usdt -= signed
                self.futures_usdt += signed
            number = f"m{len(self.moved) + 1}"
            self.moved.append(CollateralMove(to, asset, amount, self.clock.now_ms(), number))
            return number

    async def collateral_moves(self, to: Purse, symbol: str, *, start_ms: int) -> list[CollateralMove]:
        with self._call("collateral_moves"):
            return [move for move in self.moved if move.to is to and move.at_ms >= start_ms]

    # the world

    def settle_funding(self, rate: float, at_ms: int) -> None:
        """A funding settlement: paid on the mark, recorded as income, published as history."""
        mark = self.price + self.basis
        self.history.append(FundingRate(self.symbol, at_ms, rate, float(mark)))
        if self.quantity:
            amount = (-self.quantity * mark * D(str(rate))).quantize(D("0.00000001"))
            self.futures_usdt += amount
            number = f"f{len(self.records)}"
            self.records.append(Income(self.symbol, IncomeKind.FUNDING_FEE, amount, at_ms, number))

    def force_close(self) -> None:
        """The venue closes the perpetual (auto-deleveraging) at the mark, with an order that is not ours."""
        resting = _Resting(
            Order("adl_autoclose", Market.PERP, self.symbol, Side.BUY, OrderType.MARKET, -self.quantity),
            "v-adl",
            OrderStatus.FILLED,
        )
        at = self.price + self.basis
        forced = ("adl_autoclose", Side.BUY, -self.quantity, at, self.clock.now_ms())
        self.forced.append(ForcedOrder(self.symbol, ForcedKind.ADL, *forced))
        self._fill(resting, -self.quantity, at, maker=False)

    def equity(self) -> Decimal:
        """All wallets at the present price."""
        gain = self.quantity * (self.price + self.basis - self.entry)
        return self.spot_usdt + self.spot_base * self.price + self.futures_usdt + gain

    @property
    def net_delta(self) -> Decimal:
        """Spot and perpetual together, base."""
        return self.spot_base + self.quantity

    def _accept(self, order: Order, *, half: bool = False) -> _Resting:
        resting = _Resting(order, f"v{len(self.orders) + 1}", OrderStatus.OPEN)
        self.orders[order.client_id] = resting
        if order.type is OrderType.POST_ONLY:
            if self.refuse_post_only:
                del self.orders[order.client_id]
                raise OrderRejectedError("would immediately match and take", code=-5022)
            return resting
        bid, ask = self._top(order.market)
        best = ask if order.side is Side.BUY else bid
        lot = spot_btc(self.base).lot if order.market is Market.SPOT else self.perp.lot
        quantity = min(order.quantity_base, self.liquidity)
        if half:
            quantity = (quantity / 2 / lot).quantize(D(1), rounding="ROUND_DOWN") * lot
        if order.reduce_only:
            quantity = min(quantity, abs(self.quantity))
        if quantity:
            self._fill(resting, quantity, best, maker=False)
        if resting.filled < order.quantity_base:
            resting.status = OrderStatus.EXPIRED
        return resting

    def _work(self, resting: _Resting) -> None:
        if resting.status.is_final:
            return
        share = D(self.maker_fills[min(resting.looks, len(self.maker_fills) - 1)])
        resting.looks += 1
        lot = spot_btc(self.base).lot if resting.order.market is Market.SPOT else self.perp.lot
        left = resting.order.quantity_base - resting.filled
        quantity = (left * share / lot).quantize(D(1), rounding="ROUND_DOWN") * lot
        if quantity:
            assert resting.order.price is not None
            self._fill(resting, quantity, resting.order.price, maker=True)

    def _fill(self, resting: _Resting, quantity: Decimal, price: Decimal, *, maker: bool) -> None:
        order, value = resting.order, quantity * price
        if order.market is Market.SPOT:
            fee, asset = self._fill_spot(order, quantity, value)
        else:
            fee, asset = value * (D("0.0002") if maker else D("0.0005")), "USDT"
            before = abs(self.quantity)
            self.futures_usdt += self._realise(quantity * order.side.sign, price) - fee
            if abs(self.quantity) < before:
                self.margin *= abs(self.quantity) / before
        resting.filled += quantity
        resting.quote += value
        done = resting.filled == order.quantity_base
        resting.status = OrderStatus.FILLED if done else OrderStatus.PARTIAL
        self.trades.append(
            Fill(
                order.market,
                self.symbol,
                f"t{len(self.trades) + 1}",
                resting.venue_id,
                order.side,
                quantity,
                price,
                fee,
                asset,
                maker,
                self.clock.now_ms(),
            )
        )

    def _fill_spot(self, order: Order, quantity: Decimal, value: Decimal) -> tuple[Decimal, str]:
        if order.side is Side.BUY:
            fee = quantity * D("0.001")
            self.spot_usdt -= value
            self.spot_base += quantity - fee
            return fee, self.base
        fee = value * D("0.001")
        self.spot_usdt += value - fee
        self.spot_base -= quantity
        return fee, "USDT"

    def _realise(self, signed: Decimal, price: Decimal) -> Decimal:
        if self.quantity == 0 or (self.quantity > 0) == (signed > 0):
            total = self.quantity + signed
            self.entry = (self.quantity * self.entry + signed * price) / total
            self.quantity = total
            return D(0)
        closed = min(abs(signed), abs(self.quantity)) * (1 if self.quantity > 0 else -1)
        gain = closed * (price - self.entry)
        self.quantity += signed
        if closed * self.quantity < 0:
            self.entry = price
        return gain

    @contextmanager
    def _call(self, name: str, order: Order | None = None) -> Iterator[str]:
        self.calls += 1
        spend = getattr(self.clock, "spend", None)  # a clock that a call can move
        if spend is not None:
            spend(0.02)
        self.seen.append(name)
        for client_id, (due, waiting) in list(self.late.items()):
            if self.calls >= due:
                del self.late[client_id]
                self._accept(waiting)
        scripted = self.fault_on.get(name)
        kind = self.faults.get(self.calls) or (scripted.pop(0) if scripted else "")
        if kind == "crash_before":
            raise Crash
        if kind in ("lost_before", "late"):
            if kind == "late" and order is not None:
                self.late[order.client_id] = (self.calls + 3, order)
            raise OutcomeUnknownError(f"{name}: the answer was lost")
        if kind == "rate_limit":
            raise RateLimitError(f"{name}: too many requests", retry_after_s=1.0)
        if kind == "no_key":
            raise KeyRefusedError(f"{name}: invalid API-key, IP, or permissions for action")
        if kind == "down":
            raise NetworkDownError(f"{name}: nothing answers")
        yield kind
        # Reached only when the call did its work; the answer is thrown away by raising here.
        if kind == "crash_after":
            raise Crash
        if kind == "lost_after":
            raise OutcomeUnknownError(f"{name}: the answer was lost")
