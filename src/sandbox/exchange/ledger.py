"""Who owns what: the spot wallet, the futures wallet with its positions, and the income records.

Every amount is `Decimal`; what is rounded (fees, realised profit) is rounded once, to 1e-8, and the rounded number is
what moves, so balances, fills and income add up to the last digit. `accounts` checks that from the fills alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from sandbox.exchange.errors import refusal
from sandbox.exchange.instruments import BRACKETS, Bracket, Market, bracket_of
from sandbox.exchange.orders import ZERO, Fill, Order

SATOSHI = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class Income:
    """One line of the futures wallet's income history."""

    tran_id: int
    symbol: str
    kind: str
    """FUNDING_FEE, REALIZED_PNL, COMMISSION, INSURANCE_CLEAR, TRANSFER."""
    amount: Decimal
    """USDT, signed."""
    ms: int
    trade_id: str = ""


@dataclass(frozen=True, slots=True)
class MarginChange:
    """Margin put into an isolated position by hand or by API."""

    symbol: str
    amount: Decimal
    """USDT."""
    ms: int


@dataclass(slots=True)
class Position:
    """A perpetual position in one-way mode."""

    symbol: str
    quantity: Decimal = ZERO
    """Base, signed."""
    cost: Decimal = ZERO
    """Signed quantity times entry price, quote."""
    isolated: bool = False
    margin: Decimal = ZERO
    """The isolated wallet, quote; 0 when crossed."""
    leverage: int = 20
    updated_ms: int = 0

    @property
    def entry(self) -> Decimal:
        """Entry price; 0 when flat."""
        return self.cost / self.quantity if self.quantity else ZERO

    def unrealized(self, mark: Decimal) -> Decimal:
        """Profit at a mark price, quote."""
        return self.quantity * mark - self.cost

    def maintenance(self, mark: Decimal) -> Decimal:
        """Maintenance margin at a mark price, quote."""
        notional = abs(self.quantity) * mark
        step = bracket_of(notional)
        return notional * step.rate - step.cum

    def liquidation_price(self, support: Decimal) -> Decimal:
        """Mark price at which `support` plus profit equals the maintenance margin; 0: none.

        Args:
            support: Margin behind the position without its profit, quote.
        """
        if not self.quantity:
            return ZERO
        for step in BRACKETS:
            price = self._liquidation(support, step)
            if abs(self.quantity) * price <= step.cap:
                return max(price, ZERO)
        return max(self._liquidation(support, BRACKETS[-1]), ZERO)

    def _liquidation(self, support: Decimal, step: Bracket) -> Decimal:
        return (self.cost - support - step.cum) / (self.quantity - abs(self.quantity) * step.rate)

    def take(self, sign: int, quantity: Decimal, price: Decimal) -> Decimal:
        """Change the position by an execution; moves isolated margin, returns the realised profit, quote."""
        realized = ZERO
        closing = min(quantity, abs(self.quantity)) if self.quantity * sign < 0 else ZERO
        if closing:
            share = closing / abs(self.quantity)
            cost, margin = self.cost, self.margin
            last = closing == abs(self.quantity)
            leaving = cost if last else (cost * share).quantize(SATOSHI)
            self.margin = ZERO if last else (margin * (1 - share)).quantize(SATOSHI)
            self.cost = cost - leaving
            self.quantity += sign * closing
            realized = -sign * closing * price - leaving
        if opening := quantity - closing:
            self.quantity += sign * opening
            self.cost += sign * opening * price
            if self.isolated:
                self.margin += (opening * price / self.leverage).quantize(SATOSHI)
        return realized


@dataclass(slots=True)
class Ledger:
    """The account."""

    start_spot_usdt: Decimal
    start_futures_usdt: Decimal
    deposited_usdt: Decimal = field(default=ZERO, kw_only=True)
    """Put into the spot wallet from outside (positive) or withdrawn since the start."""
    spot: dict[str, Decimal] = field(default_factory=dict)
    """Spot wallet by asset, free and locked together."""
    futures_usdt: Decimal = ZERO
    """Futures wallet balance without unrealised profit, USDT."""
    positions: dict[str, Position] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    income: list[Income] = field(default_factory=list)
    margin_changes: list[MarginChange] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spot["USDT"] = self.start_spot_usdt
        self.futures_usdt = self.start_futures_usdt

    def position(self, symbol: str) -> Position:
        """The position of a symbol, flat when there never was one."""
        return self.positions.setdefault(symbol, Position(symbol))

    def locked(self, asset: str, resting: list[Order]) -> Decimal:
        """Spot balance that resting orders hold."""
        total = ZERO
        for order in resting:
            if order.market is Market.SPOT:
                if order.sign > 0 and asset == "USDT":
                    total += order.remaining * order.price
                elif order.sign < 0 and order.symbol == f"{asset}USDT":
                    total += order.remaining
        return total

    def free(self, asset: str, resting: list[Order]) -> Decimal:
        """Spot balance that can be spent."""
        return self.spot.get(asset, ZERO) - self.locked(asset, resting)

    def order_margin(self, resting: list[Order], symbol: str | None = None) -> Decimal:
        """Initial margin that resting futures orders hold, USDT."""
        total = ZERO
        for order in resting:
            if order.market is Market.PERP and not order.reduce_only and symbol in (None, order.symbol):
                held = self.position(order.symbol)
                closing = min(order.remaining, abs(held.quantity)) if held.quantity * order.sign < 0 else ZERO
                total += (order.remaining - closing) * order.price / held.leverage
        return total

    def isolated_margin(self) -> Decimal:
        """Margin set aside in isolated positions, USDT."""
        return sum((p.margin for p in self.positions.values()), ZERO)

    def deposit(self, amount: Decimal, resting: list[Order]) -> None:
        """USDT comes into the spot wallet from outside, or is withdrawn (negative); futures keep no record of it.

        Raises:
            BinanceError: -5013, not that much is free.
        """
        if self.free("USDT", resting) + amount < 0:
            raise refusal(-5013, "Asset transfer failed: insufficient balance")
        self.spot["USDT"] += amount
        self.deposited_usdt += amount

    def available_usdt(self, resting: list[Order], marks: dict[str, Decimal]) -> Decimal:
        """Futures USDT that new orders may use as margin, or that may be transferred away."""
        crossed = [p for p in self.positions.values() if p.quantity and not p.isolated]
        profit = sum((p.unrealized(marks[p.symbol]) for p in crossed), ZERO)
        used = sum((abs(p.quantity) * marks[p.symbol] / p.leverage for p in crossed), ZERO)
        balance = self.futures_usdt - self.isolated_margin() + min(profit, ZERO)
        return max(balance - used - self.order_margin(resting), ZERO)

    def support(self, position: Position, marks: dict[str, Decimal]) -> Decimal:
        """Margin behind a position without its own profit, USDT."""
        if position.isolated:
            return position.margin
        others = [p for p in self.positions.values() if p is not position and p.quantity and not p.isolated]
        taken = sum((p.maintenance(marks[p.symbol]) - p.unrealized(marks[p.symbol]) for p in others), ZERO)
        return self.futures_usdt - self.isolated_margin() - taken


@dataclass(frozen=True, slots=True)
class Accounts:
    """The sum of everything, twice: from balances, and from the records."""

    equity: Decimal
    """Spot at last prices, futures wallet and unrealised profit, USDT."""
    start: Decimal
    """With what was put in or withdrawn since, USDT."""
    spot_pnl: Decimal
    perp_pnl: Decimal
    funding: Decimal
    fees: Decimal
    insurance: Decimal

    @property
    def error(self) -> Decimal:
        """Start, profit, funding and fees against the balances; 0 when they add up, USDT."""
        return self.start + self.spot_pnl + self.perp_pnl + self.funding + self.insurance - self.fees - self.equity


def accounts(ledger: Ledger, last: dict[str, Decimal], marks: dict[str, Decimal]) -> Accounts:
    """Check the ledger against its own fills and income.

    Args:
        last: Spot price by symbol.
        marks: Mark price of the perpetual by symbol.
    """

    def value(asset: str) -> Decimal:
        return Decimal(1) if asset == "USDT" else last[f"{asset}USDT"]

    equity = sum((amount * value(asset) for asset, amount in ledger.spot.items()), ledger.futures_usdt)
    equity += sum((p.unrealized(marks[p.symbol]) for p in ledger.positions.values() if p.quantity), ZERO)
    profit = {Market.SPOT: ZERO, Market.PERP: ZERO}
    fees = ZERO
    for fill in ledger.fills:
        now = last[fill.symbol] if fill.market is Market.SPOT else marks[fill.symbol]
        profit[fill.market] += fill.sign * fill.quantity * (now - fill.price)
        fees += fill.fee * value(fill.fee_asset)

    def booked(kind: str) -> Decimal:
        return sum((line.amount for line in ledger.income if line.kind == kind), ZERO)

    start = ledger.start_spot_usdt + ledger.start_futures_usdt + ledger.deposited_usdt
    return Accounts(equity, start, profit[Market.SPOT], profit[Market.PERP], booked("FUNDING_FEE"), fees,
                    booked("INSURANCE_CLEAR"))  # fmt: skip
