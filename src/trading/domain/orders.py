"""From order to fill, and what an account holds. Money and quantities are `Decimal` here.

A *proposal* becomes an *intent*, the intent an *order*, the order *fills*. An order's client id derives from its
intent, so that after a crash it can be looked up instead of sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from trading.domain.instrument import Market


class Side(StrEnum):
    """Direction of an order."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The side that undoes this one."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """How an order may fill."""

    POST_ONLY = "post_only"
    """Rests or is refused: spot LIMIT_MAKER, futures GTX."""
    LIMIT_IOC = "limit_ioc"
    """Takes what it can within its price now; the rest is cancelled."""
    MARKET = "market"


class OrderStatus(StrEnum):
    """What the venue says of an order."""

    OPEN = "open"
    PARTIAL = "partial"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Nothing of it can fill any more."""
        return self not in (OrderStatus.OPEN, OrderStatus.PARTIAL)


@dataclass(frozen=True, slots=True)
class Order:
    """What is sent to the venue."""

    client_id: str
    """Ours, ≤ 36 characters of [A-Za-z0-9_-]; derives from the intent."""
    market: Market
    symbol: str
    side: Side
    type: OrderType
    quantity_base: Decimal
    price: Decimal | None = None
    """Limit, quote per base; None for a market order."""
    reduce_only: bool = False


@dataclass(frozen=True, slots=True)
class OrderState:
    """What the venue says became of an order."""

    order: Order
    venue_id: str
    status: OrderStatus
    filled_base: Decimal
    average_price: Decimal | None
    """Of what filled; None while nothing has."""
    updated_ms: int


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution."""

    market: Market
    symbol: str
    venue_trade_id: str
    venue_order_id: str
    side: Side
    quantity_base: Decimal
    price: Decimal
    fee: Decimal
    """In `fee_asset`, ≥ 0 is paid."""
    fee_asset: str
    is_maker: bool
    at_ms: int


@dataclass(frozen=True, slots=True)
class Balance:
    """One asset of a wallet."""

    free: Decimal
    locked: Decimal

    @property
    def total(self) -> Decimal:
        """Free and locked."""
        return self.free + self.locked


@dataclass(frozen=True, slots=True)
class PerpPosition:
    """A futures position as the venue reports it."""

    symbol: str
    quantity_base: Decimal
    """Signed: short is negative. 0: flat."""
    entry_price: Decimal
    mark_price: Decimal
    unrealised_quote: Decimal
    isolated_margin_quote: Decimal
    liquidation_price: Decimal | None
    leverage: int

    @property
    def liquidation_distance(self) -> float | None:
        """How far the mark may rise before a short is liquidated, fraction; None: the venue names no price."""
        price, mark = self.liquidation_price, self.mark_price
        return float(price / mark - 1) if price and mark else None


class IncomeKind(StrEnum):
    """Kinds of the venue's income records the lab books."""

    FUNDING_FEE = "FUNDING_FEE"
    REALIZED_PNL = "REALIZED_PNL"
    COMMISSION = "COMMISSION"
    TRANSFER = "TRANSFER"
    INSURANCE_CLEAR = "INSURANCE_CLEAR"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Income:
    """One line of the futures wallet's income history."""

    symbol: str
    kind: IncomeKind
    amount_quote: Decimal
    """Positive is received."""
    at_ms: int
    venue_id: str
    """Unique per kind and user (`tranId`)."""


@dataclass(frozen=True, slots=True)
class FeeTier:
    """An account's own fees, fractions of notional."""

    maker_rate: float
    taker_rate: float


class Purse(StrEnum):
    """Where collateral can be moved to."""

    SPOT = "spot"
    """The spot wallet, from the futures wallet."""
    FUTURES = "futures"
    """The futures wallet, from the spot wallet."""
    POSITION = "position"
    """The isolated margin of a position, from the futures wallet."""


@dataclass(frozen=True, slots=True)
class CollateralMove:
    """A move of collateral that the venue has done."""

    to: Purse
    asset: str
    amount: Decimal
    at_ms: int
    venue_id: str


@dataclass(frozen=True, slots=True)
class KeyPermissions:
    """What an API key may do, as the venue says."""

    can_trade_spot: bool
    can_trade_futures: bool
    can_withdraw: bool
    is_ip_restricted: bool
    expires_ms: int | None = None
    """When its right to trade ends, UTC milliseconds; None: it does not."""
