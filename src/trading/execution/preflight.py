"""Before anything is sent: both legs checked together, and collateral moved to the wallet that cannot pay its leg."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_UP, Decimal

from trading.domain.decisions import Reason
from trading.domain.errors import DataProviderError, OrderValidationError
from trading.domain.instrument import Instrument, Market
from trading.domain.market import Book
from trading.domain.orders import Purse
from trading.execution.intent_records import IntentStatus, Purpose
from trading.execution.legs import Leg, depth_within, pair
from trading.execution.saga_steps import SagaSteps
from trading.execution.saga_table import SagaState
from trading.market.data_integrity_validator import validate_book

BOOK_DEPTH = 20
CENT = Decimal("0.01")
"""Money is moved in whole ones, quote."""
PURSE_OF = {Market.SPOT: Purse.SPOT, Market.PERP: Purse.FUTURES}


class TooLittleCashError(OrderValidationError):
    """The wallets cannot pay for the legs."""


class Preflight(SagaSteps):
    """The first states of a saga."""

    async def _preflight(self) -> SagaState:
        tools, symbol = self._tools, self._intent.symbol
        spot, perp = self._instruments
        opening = self._intent.purpose is Purpose.OPEN
        if self._rebalancing:
            return self._preflight_even()
        if self._may_not_open():
            return self._refuse(self._why_stopped(), "stopped before anything was sent")
        books = await self._books()
        if opening:
            self._check_books(books)
        reach = {
            m: depth_within(books[m], buy=(m is Market.SPOT) is opening, reach_rate=self._settings.slippage_cap_rate)
            for m in books
        }
        first = Market.SPOT if reach[Market.SPOT] < reach[Market.PERP] else Market.PERP
        bases = (self._intent.spot_base, self._intent.perp_base)
        self._pair = pair(self._intent.purpose, spot, perp, bases, first=first)
        cost: dict[Market, Decimal] = {}
        for leg in (self._pair.first, self._pair.second):
            price = leg.instrument.price(await self._best(leg, taking=True))
            _check_trading(leg.instrument)
            if not (leg.reduce_only and leg.market is Market.PERP):
                leg.instrument.check(leg.target_base, price)
            if opening:
                boldest = price * (1 + leg.side.sign * Decimal(str(self._settings.repair_cap_rate)))
                leg.instrument.check_distance(boldest, price)
                leg.instrument.check_leverage(leg.target_base * price, self._intent.leverage)
                cost[leg.market] = self._cost_of(leg, price)
        if opening:
            self._payment = await self._payment_due(cost)
            await tools.venue.prepare_perp(symbol, leverage=self._intent.leverage)
        return SagaState.PAYING if self._payment else await self._set_out()

    def _preflight_even(self) -> SagaState:
        """A rebalance has one order to send, against what is there: only that the venue takes orders is checked."""
        for instrument in self._instruments:
            _check_trading(instrument)
        return SagaState.UNWINDING

    async def _pay(self) -> SagaState:
        """Move what the preflight found missing; nothing of the legs has been sent yet, so a refusal costs nothing."""
        if self._payment is None or self._may_not_open():
            return self._refuse(self._why_stopped(), "stopped before anything was sent")
        to, amount = self._payment
        asset = self._instruments[0].quote
        moved = await self._tools.collateral.move(self._intent.id, asset, amount, to=to)
        if moved.status is not IntentStatus.FILLED:
            return self._refuse(Reason.INSUFFICIENT_BALANCE, f"{amount} {asset} to {to}: {moved.status} {moved.note}")
        if self._may_not_open():
            return self._refuse(self._why_stopped(), "stopped before anything was sent")
        return await self._set_out()

    async def _set_out(self) -> SagaState:
        self._start_price = await self._best(self._pair.first, taking=False)
        self._even_s = self._making_since_s = self._clock.monotonic_s()
        self._begin_slice()
        return SagaState.TAKING if self._hurried() else SagaState.MAKING

    def _cost_of(self, leg: Leg, price: Decimal) -> Decimal:
        """What a leg takes of its wallet, quote, with the buffer."""
        share = Decimal(1) if leg.market is Market.SPOT else Decimal(1) / self._intent.leverage
        return leg.target_base * price * share * (1 + Decimal(str(self._settings.cash_buffer_fraction)))

    async def _payment_due(self, cost: Mapping[Market, Decimal]) -> tuple[Purse, Decimal] | None:
        """What one wallet has to give the other before both legs can be paid, quote; None: each can pay its own.

        Raises:
            TooLittleCashError: both together have too little, or nothing may be moved between them.
        """
        asset, spare = self._instruments[0].quote, {}
        for market in Market:
            balances = await self._tools.venue.balances(market)
            spare[market] = (balances[asset].free if asset in balances else Decimal(0)) - cost[market]
        poor, rich = sorted(Market, key=lambda market: spare[market])
        if spare[poor] >= 0:
            return None
        missing = (-spare[poor]).quantize(CENT, rounding=ROUND_UP)
        if spare[rich] < missing or not self._tools.collateral.between_wallets:
            free = spare[poor] + cost[poor]
            raise TooLittleCashError(
                f"{poor} wallet: {free} {asset} free, the leg needs {cost[poor]:.2f}; add {missing:.2f} {asset}"
            )
        return PURSE_OF[poor], missing

    async def _books(self) -> dict[Market, Book]:
        venue, symbol = self._tools.venue, self._intent.symbol
        return {m: await venue.book(m, symbol, depth=BOOK_DEPTH) for m in (Market.SPOT, Market.PERP)}

    def _check_books(self, books: Mapping[Market, Book]) -> None:
        """Nothing is opened by a book that is old, crossed, empty or wide; what is held is closed by any.

        Raises:
            DataProviderError: the data validator forbids orders by one of them.
        """
        now_ms = self._clock.now_ms()
        for instrument in self._instruments:
            book = books[instrument.market]
            verdict = validate_book(book, self._tools.validator, now_ms=now_ms, is_whole=True, instrument=instrument)
            if not verdict.ok_for_orders:
                raise DataProviderError(verdict.reasons[0])

    def _refuse(self, reason: Reason, note: str) -> SagaState:
        self._outcome, self._note = reason, note
        return SagaState.REFUSED


def _check_trading(instrument: Instrument) -> None:
    """Refuse where the venue takes no orders.

    Raises:
        OrderValidationError: the symbol's status says so.
    """
    if not instrument.is_trading:
        name = f"{instrument.market} {instrument.symbol}"
        raise OrderValidationError(f"{name}: the venue takes no orders in it now; wait")
