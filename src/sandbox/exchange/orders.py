"""Orders and fills as the exchange keeps them, and the filters a new order has to pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from sandbox.exchange.errors import BinanceError, refusal
from sandbox.exchange.instruments import Instrument, Market

ZERO = Decimal(0)
OPEN_STATES = ("NEW", "PARTIALLY_FILLED")


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution."""

    trade_id: int
    order_id: int
    market: Market
    symbol: str
    sign: int
    """+1 bought, -1 sold."""
    price: Decimal
    quantity: Decimal
    """Base."""
    fee: Decimal
    fee_asset: str
    realized: Decimal
    """Realised profit of a perpetual position, quote, fees not in it."""
    ms: int
    is_maker: bool


@dataclass(slots=True)
class Order:
    """One order; the engine alone changes it."""

    order_id: int
    client_id: str
    market: Market
    symbol: str
    sign: int
    """+1 buy, -1 sell."""
    kind: str
    """LIMIT, LIMIT_MAKER, MARKET."""
    tif: str
    """GTC, IOC, FOK, GTX."""
    quantity: Decimal
    price: Decimal
    """0 for a market order."""
    reduce_only: bool
    created_ms: int
    quote_quantity: Decimal = ZERO
    """A spot market order by cost: quote to spend or to get; 0: by quantity."""
    status: str = "NEW"
    executed: Decimal = ZERO
    spent: Decimal = ZERO
    """Quote of the executed part."""
    updated_ms: int = 0
    through: float = 0.0
    """The price the path has to be strictly beyond for the rest to fill."""
    forced: bool = False
    """True: the exchange closed the position: a liquidation, auto-deleveraging or settlement."""
    half: bool = False
    """A scripted fault: when the path is through it, half is filled and the rest never."""
    fills: list[Fill] = field(default_factory=list)

    @property
    def remaining(self) -> Decimal:
        """Base still to be filled."""
        return self.quantity - self.executed

    @property
    def is_open(self) -> bool:
        """True while it rests."""
        return self.status in OPEN_STATES

    @property
    def side(self) -> str:
        """BUY or SELL."""
        return "BUY" if self.sign > 0 else "SELL"

    @property
    def post_only(self) -> bool:
        """True when it must not take."""
        return self.kind == "LIMIT_MAKER" or self.tif == "GTX"

    @property
    def average(self) -> Decimal:
        """Mean price of the executed part; 0 without one."""
        return self.spent / self.executed if self.executed else ZERO


def check_filters(order: Order, instrument: Instrument, reference: Decimal) -> None:
    """Refuse what the symbol's filters refuse.

    Args:
        order: A new order, not yet accepted.
        instrument: The symbol's grid.
        reference: The price a market order's notional is measured at.

    Raises:
        BinanceError: names the filter.
    """
    check = _check_spot if order.market is Market.SPOT else _check_perp
    check(order, instrument, reference)


def _check_spot(order: Order, instrument: Instrument, reference: Decimal) -> None:
    price = order.price if order.kind != "MARKET" else reference
    if order.kind != "MARKET":
        if order.price <= 0 or order.price % instrument.tick:
            raise _filter("PRICE_FILTER")
        if not reference / 5 <= order.price <= reference * 5:
            raise _filter("PERCENT_PRICE_BY_SIDE")
    if order.quote_quantity:
        notional = order.quote_quantity
    else:
        if order.quantity < instrument.lot or order.quantity > instrument.max_qty or order.quantity % instrument.lot:
            raise _filter("LOT_SIZE")
        notional = price * order.quantity
    if notional < instrument.min_notional:
        raise _filter("NOTIONAL")


def _check_perp(order: Order, instrument: Instrument, reference: Decimal) -> None:
    if order.quantity <= 0:
        raise refusal(-4003)
    if order.quantity % instrument.lot:
        raise refusal(-1111)
    if order.quantity > instrument.max_qty:
        raise refusal(-4005, "Quantity greater than max quantity.")
    price = reference
    if order.kind != "MARKET":
        price = order.price
        if price <= 0:
            raise refusal(-4013, f"Price less than min price. Min price is {instrument.tick}.")
        if price % instrument.tick:
            raise refusal(-4014, "Price not increased by tick size.")
        if order.sign > 0 and price > reference * Decimal("1.05"):
            raise refusal(-4016, f"Limit price can't be higher than {reference * Decimal('1.05'):.8f}.")
        if order.sign < 0 and price < reference * Decimal("0.95"):
            raise refusal(-4024, f"Limit price can't be lower than {reference * Decimal('0.95'):.8f}.")
    if price * order.quantity < instrument.min_notional and not order.reduce_only:
        smallest = f"{instrument.min_notional:f}"
        raise refusal(-4164, f"Order's notional must be no smaller than {smallest} (unless you choose reduce only).")


def _filter(name: str) -> BinanceError:
    return refusal(-1013, f"Filter failure: {name}")
