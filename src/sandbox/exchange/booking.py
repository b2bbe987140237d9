"""What an execution does to the wallets, and what a liquidation may cost."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_DOWN, ROUND_UP, Decimal

from sandbox.exchange.instruments import Market
from sandbox.exchange.ledger import SATOSHI, Income, Ledger, Position
from sandbox.exchange.listing import Fees
from sandbox.exchange.orders import ZERO, Fill, Order


class Booking:
    """Writes executions and income into a ledger.

    Args:
        ledger: The account.
        fees: Its rates.
        number: Gives the ids of trades and records.
    """

    def __init__(self, ledger: Ledger, fees: Fees, number: Callable[[], int]) -> None:
        self._ledger, self._fees, self._number = ledger, fees, number

    def fill(self, order: Order, price: Decimal, quantity: Decimal, *, maker: bool) -> Fill:
        """Move what the execution moves; the order's own time stamps it."""
        book = self._spot if order.market is Market.SPOT else self._perp
        fill = book(order, price, quantity, maker)
        self._ledger.fills.append(fill)
        return fill

    def income(self, symbol: str, kind: str, amount: Decimal, ms: int, trade_id: str = "") -> int:
        """Write a line of the futures income history; its number."""
        line = Income(self._number(), symbol, kind, amount, ms, trade_id)
        self._ledger.income.append(line)
        return line.tran_id

    def _spot(self, order: Order, price: Decimal, quantity: Decimal, maker: bool) -> Fill:
        rate = self._fees.spot_maker if maker else self._fees.spot_taker
        base, wallet = order.symbol.removesuffix("USDT"), self._ledger.spot
        received, asset = (quantity, base) if order.sign > 0 else (quantity * price, "USDT")
        fee = (received * rate).quantize(SATOSHI)
        wallet[base] = wallet.get(base, ZERO) + order.sign * quantity
        wallet["USDT"] -= order.sign * quantity * price
        wallet[asset] -= fee
        return Fill(self._number(), order.order_id, order.market, order.symbol, order.sign, price, quantity, fee, asset,
                    ZERO, order.updated_ms, maker)  # fmt: skip

    def _perp(self, order: Order, price: Decimal, quantity: Decimal, maker: bool) -> Fill:
        position = self._ledger.position(order.symbol)
        rate = self._fees.perp_maker if maker else self._fees.perp_taker
        fee = (quantity * price * rate).quantize(SATOSHI)
        if order.forced:
            left = position.margin if position.isolated else self._ledger.futures_usdt
            left -= order.sign * quantity * price + position.cost
            fee = max(min(fee, left), ZERO).quantize(SATOSHI, ROUND_DOWN)
        realized = position.take(order.sign, quantity, price)
        position.updated_ms = order.updated_ms
        trade_id = self._number()
        self._ledger.futures_usdt += realized - fee
        self.income(order.symbol, "COMMISSION", -fee, order.updated_ms, str(trade_id))
        if realized:
            self.income(order.symbol, "REALIZED_PNL", realized, order.updated_ms, str(trade_id))
        return Fill(trade_id, order.order_id, order.market, order.symbol, order.sign, price, quantity, fee, "USDT",
                    realized, order.updated_ms, maker)  # fmt: skip


def bankrupt_or(position: Position, support: Decimal, mark: Decimal) -> Decimal:
    """The price a liquidation is done at: the mark, or where nothing is left when the mark lies beyond that."""
    if support + position.unrealized(mark) >= 0:
        return mark
    rounding = ROUND_UP if position.quantity > 0 else ROUND_DOWN
    return ((position.cost - support) / position.quantity).quantize(SATOSHI, rounding)
