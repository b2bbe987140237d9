"""The venue as a rehearsal needs it: a market that pays, and where it is asked for, a second leg that fails.

Everything else passes through to the real connection: orders, fills, balances are the venue's own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import cast

from trading.domain.errors import OrderRejectedError, OutcomeUnknownError
from trading.domain.instrument import Market
from trading.domain.market import FundingNow, FundingRate
from trading.domain.orders import Order, OrderState
from trading.domain.venue import Venue

PAYS_RATE = 0.0005
"""Of every settlement, as the rehearsal's desk is told: it must open whatever the market pays today."""
NO_MARGIN = -2019

OnFirstLeg = Callable[[Market], Awaitable[bool]]
"""Told the market whose orders shall fail; True: the venue itself refuses them from now on."""


def rehearsed(venue: Venue, *, on_first_leg: OnFirstLeg | None = None) -> Venue:
    """The same venue in a rehearsal.

    Args:
        venue: The connection.
        on_first_leg: Called when the first order leaves; from then on the other leg's orders fail. None: none fails.
    """
    return cast(Venue, _Rehearsed(venue, on_first_leg))


class _Rehearsed:
    def __init__(self, venue: Venue, on_first_leg: OnFirstLeg | None) -> None:
        self._venue, self._on_first_leg = venue, on_first_leg
        self._lame: Market | None = None
        self._refuses_here, self._refused = False, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._venue, name)

    async def funding_now(self, symbol: str) -> FundingNow:
        """The contract's own terms, at a rate that pays."""
        told = await self._venue.funding_now(symbol)
        return replace(told, rate=min(PAYS_RATE, told.cap_rate / 2))

    async def funding_history(self, symbol: str, *, start_ms: int, limit: int) -> list[FundingRate]:
        """The contract's own settlements, each at a rate that paid."""
        settled = await self._venue.funding_history(symbol, start_ms=start_ms, limit=limit)
        return [replace(rate, rate=PAYS_RATE) for rate in settled]

    async def place(self, order: Order) -> OrderState:
        """Send it; an order of the failing leg is refused in the venue's place where the venue cannot be made to."""
        if self._on_first_leg is not None and self._lame is None:
            self._lame = next(market for market in Market if market is not order.market)
            self._refuses_here = not await self._on_first_leg(self._lame)
        if not (self._refuses_here and order.market is self._lame):
            return await self._venue.place(order)
        self._refused += 1
        where = f"{order.market} {order.symbol} {order.side} {order.client_id}: rehearsed"
        if self._refused == 1:
            raise OutcomeUnknownError(f"{where}: no answer (503); look it up by its client id, do not send it again")
        raise OrderRejectedError(f"{where}: margin is insufficient", code=NO_MARGIN)
