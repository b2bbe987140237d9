"""What a saga can do and know: send, quote, look, and tell how far the legs are apart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

import structlog

from trading.domain.clock import Clock
from trading.domain.decisions import Reason
from trading.domain.instrument import Instrument, Market
from trading.domain.orders import Order, OrderType, Purse, Side
from trading.domain.venue import Venue
from trading.execution.broker import Broker
from trading.execution.collateral import Collateral
from trading.execution.intent_records import Intent, OrderRecord, Purpose
from trading.execution.intents import Intents
from trading.execution.legs import Leg, pair
from trading.execution.saga_table import SagaState
from trading.execution.settings import ExecutionSettings
from trading.market.validator_rules import ValidatorSettings
from trading.risk.kill_switch import Stop

log = structlog.get_logger(__name__)

LET_GO_S = 3.0
"""Real seconds that a cancelled saga may take to cancel its orders."""


@dataclass(frozen=True, slots=True)
class SagaReport:
    """What a saga did."""

    intent_id: str
    purpose: Purpose
    state: SagaState
    outcome: Reason
    """OK: something was opened or closed as meant, possibly less than wanted."""
    spot_base: Decimal
    """Net progress of the spot leg in its direction, gross of fees; of a rebalance: what is held after it."""
    perp_base: Decimal
    max_unhedged_s: float
    """Longest time from the last moment known even to the first known even again; an upper bound."""
    elapsed_s: float
    orders: tuple[OrderRecord, ...]
    note: str

    @property
    def is_over(self) -> bool:
        """Nothing of it can fill any more."""
        return self.state is not SagaState.IN_DOUBT


@dataclass(frozen=True, slots=True)
class Tools:
    """What every saga of a desk works with."""

    venue: Venue
    broker: Broker
    collateral: Collateral
    intents: Intents
    clock: Clock
    settings: ExecutionSettings
    read_stop: Callable[[], Stop]
    is_ending: Callable[[], bool] = lambda: False
    """The process is about to end: nothing new is begun, nothing is waited for."""
    validator: ValidatorSettings = field(default_factory=ValidatorSettings)
    """What a book is held to before anything is opened by it."""


class SagaSteps:
    """The hands and eyes of one saga over one intent; its states are in `two_legs`."""

    def __init__(
        self, intent: Intent, spot: Instrument, perp: Instrument, tools: Tools, *, resumed: bool = False
    ) -> None:
        self._intent = intent
        self._instruments = (spot, perp)
        self._tools = tools
        self._clock, self._settings = tools.clock, tools.settings
        self._pair = pair(intent.purpose, spot, perp, (intent.spot_base, intent.perp_base), first=Market.PERP)
        self._state = SagaState.RETREATING if resumed else SagaState.PREFLIGHT
        self._resting: OrderRecord | None = None
        self._maker_over = resumed
        self._rebalancing = intent.purpose is Purpose.REBALANCE
        self._giving_up = self._rebalancing or (resumed and intent.purpose is Purpose.OPEN)
        self._outcome, self._note = Reason.OK, "resumed after an interruption" if resumed else ""
        self._slice = 0
        self._start_price = 0.0
        self._slice_end = self._pair.first.progress(self._records())
        self._payment: tuple[Purse, Decimal] | None = None
        self._max_unhedged_s, self._is_apart = 0.0, self._rebalancing
        self._started_s = self._even_s = self._since_s = self._making_since_s = self._clock.monotonic_s()

    async def _sellable(self, ahead: Leg, excess: Decimal) -> Decimal:
        """What can be given back of bought spot: a fee may have been taken in base, so less is there."""
        if ahead.market is not Market.SPOT or ahead.side is not Side.BUY:
            return excess
        balances = await self._tools.venue.balances(Market.SPOT)
        base = ahead.instrument.base
        free = balances[base].free if base in balances else Decimal(0)
        share = Decimal(1) if self._rebalancing else self._intent.perp_base / self._intent.spot_base
        return min(excess * min(Decimal(1), share), free)

    async def _send(self, leg: Leg, quantity: Decimal, *, boldness: int) -> bool:
        """One taker order: 0 within the cap, 1 within the repair cap, from 2 on at market. False: too small to send."""
        quantity = min(quantity, leg.instrument.max_quantity)
        if not self._is_apart:
            self._even_s = self._clock.monotonic_s()
        quote = await self._tools.venue.quote(leg.market, self._intent.symbol)
        best = quote.ask if leg.side is Side.BUY else quote.bid
        reach = self._settings.slippage_cap_rate if boldness == 0 else self._settings.repair_cap_rate
        price = leg.instrument.price(best * (1 + leg.side.sign * reach), round_up=leg.side is Side.BUY)
        if not leg.can_send(quantity, leg.instrument.price(best), reduce_only=leg.reduce_only):
            return False
        kind = OrderType.LIMIT_IOC if boldness < 2 else OrderType.MARKET
        limit = price if kind is OrderType.LIMIT_IOC else None
        draft = Order("", leg.market, self._intent.symbol, leg.side, kind, quantity, limit, leg.reduce_only)
        self._slice += 1
        placed = await self._tools.broker.place(self._intent.id, draft, slice_number=self._slice, seen=quote)
        record = self._seen(placed)
        if record is not None:
            # An immediate order that the venue still calls open: ask until it is not.
            self._seen(await self._tools.broker.cancel(record))
        return True

    async def _quote(self, best: float) -> OrderRecord | None:
        """Rest the first leg's remainder at the best price; None: too little is left to send."""
        leg = self._pair.first
        left = min(leg.instrument.quantity(self._slice_left()), leg.instrument.max_quantity)
        price = leg.instrument.price(best)
        if not leg.can_send(left, price, reduce_only=leg.reduce_only):
            return None
        draft = Order("", leg.market, self._intent.symbol, leg.side, OrderType.POST_ONLY, left, price, leg.reduce_only)
        return await self._tools.broker.place(self._intent.id, draft, slice_number=self._slice)

    async def _best(self, leg: Leg, *, taking: bool) -> float:
        quote = await self._tools.venue.quote(leg.market, self._intent.symbol)
        return quote.ask if (leg.side is Side.BUY) is taking else quote.bid

    def _records(self) -> tuple[OrderRecord, ...]:
        return self._tools.intents.orders(intent_id=self._intent.id)

    def _hedge_due(self) -> Decimal:
        return self._pair.hedge_due(self._records())

    def _hedge_ready(self) -> bool:
        """Something is to be hedged, and it is large enough to be sent."""
        return self._hedge_due() > 0 and not self._too_small_to_hedge()

    def _seen(self, record: OrderRecord) -> OrderRecord | None:
        """Take note of an answer: measure how long the legs were apart; the order itself while it may still fill."""
        now_s, was_apart = self._clock.monotonic_s(), self._is_apart
        self._is_apart = not self._pair.is_even(self._records())
        if was_apart or self._is_apart:
            self._max_unhedged_s = max(self._max_unhedged_s, now_s - self._even_s)
        if not self._is_apart:
            self._even_s = now_s
        return None if record.status.is_final else record

    def _unhedged_s(self) -> float:
        return 0.0 if self._pair.is_even(self._records()) else self._clock.monotonic_s() - self._even_s

    def _left_to_send(self, *, in_slice: bool = False) -> bool:
        leg = self._pair.first
        left = leg.instrument.quantity(self._slice_left() if in_slice else self._pair.left(self._records()))
        price = leg.instrument.price(self._start_price)
        return leg.can_send(left, price, reduce_only=leg.reduce_only)

    def _begin_slice(self) -> None:
        """The next slice ends where the first leg will have come by `slice_usdt`; what is left after it is never less
        than half of one, so that the last is not too small to send.
        """
        leg, records = self._pair.first, self._records()
        left, size = self._pair.left(records), Decimal(str(self._settings.slice_usdt / self._start_price))
        self._slice_end = leg.progress(records) + (left if left < size * 3 / 2 else size)

    def _slice_left(self) -> Decimal:
        """What the first leg has still to fill of this slice, base; who is in a hurry knows no slices."""
        records = self._records()
        left = self._pair.left(records)
        if self._hurried():
            return left
        return min(left, max(Decimal(0), self._slice_end - self._pair.first.progress(records)))

    def _too_small_to_hedge(self) -> bool:
        leg = self._pair.second
        price = leg.instrument.price(self._start_price)
        return not leg.can_send(self._hedge_due(), price, reduce_only=leg.reduce_only)

    def _is_off(self, record: OrderRecord, best: float) -> bool:
        price = float(record.order.price or 0)
        return (best - price) * record.order.side.sign > best * self._settings.requote_rate

    def _hurried(self) -> bool:
        return self._tools.is_ending() or self._tools.read_stop().demands_flat or self._may_not_open()

    def _may_not_open(self) -> bool:
        """An opening that must not go on; never true of a closing."""
        stopped = self._tools.is_ending() or self._tools.read_stop().blocks_entries
        return stopped and self._intent.purpose is Purpose.OPEN

    def _why_stopped(self) -> Reason:
        stop = self._tools.read_stop()
        return stop.decision.reason if stop.blocks_entries else Reason.STOPPED_BY_HUMAN

    async def _let_go(self) -> None:
        """The task is being cancelled: cancel what may still fill, whatever comes, for at most `LET_GO_S` real seconds.

        What is not certain by then stays open in the journal, and the next start makes it final.
        """
        resting = [record for record in self._records() if not record.status.is_final]
        if not resting:
            return
        log.warning("saga.let_go", intent=self._intent.id, state=self._state, orders=len(resting))
        cancels = (self._tools.broker.cancel(record) for record in resting)
        work = asyncio.gather(*cancels, return_exceptions=True)
        until_s = self._clock.real_s() + LET_GO_S
        while not work.done() and (left_s := until_s - self._clock.real_s()) > 0:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({work}, timeout=left_s)
        work.cancel()
