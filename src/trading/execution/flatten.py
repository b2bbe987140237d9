"""The way to flat: cancel everything, close both legs at once, ask the venue until it says flat, report the seconds.

Works from the journal of intents and the venue alone, so that it can run when the lab is dead. What the lab did not
open is not sold: each leg closes at most what our own orders left, and at most what the venue still holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass
from decimal import Decimal

import structlog

from trading.domain.errors import DataProviderError, ExecutionError
from trading.domain.instrument import Instrument, Market
from trading.domain.orders import Balance, Order, OrderType, Side
from trading.execution.intent_records import OrderRecord, Purpose
from trading.execution.legs import Leg
from trading.execution.saga_steps import Tools

log = structlog.get_logger(__name__)

TOLD_ERRORS = 6
"""More than so many are told by the first and the last."""
LOOK_BACK_MS = 60_000
"""Fills are read from a little before the first order: two clocks never agree."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a position still holds."""

    spot_base: Decimal
    """To sell, base, as much as the wallet has."""
    perp_base: Decimal
    """To buy back, base, as much as the venue has open."""


@dataclass(frozen=True, slots=True)
class FlattenReport:
    """How the way to flat went, for one position."""

    position_id: str
    symbol: str
    is_flat: bool
    """The venue says nothing of ours is open, but for dust."""
    elapsed_s: float
    """Lab seconds from the first call until the venue said flat."""
    left: Left
    dust_base: Decimal
    """Spot below the venue's minimum order, left in the wallet."""
    orders: tuple[OrderRecord, ...]
    errors: tuple[str, ...]


async def flatten_all(tools: Tools, *, why: str, but: Collection[str] = ()) -> tuple[FlattenReport, ...]:
    """Close every position the journal knows and has not closed, all at once, but for some."""
    positions = [position_id for position_id in tools.intents.positions() if position_id not in but]
    return tuple(await asyncio.gather(*(flatten(tools, position_id, why=why) for position_id in positions)))


async def flatten(tools: Tools, position_id: str, *, why: str) -> FlattenReport:
    """Close one position; keeps asking for `flat_budget_s`, whatever the venue answers meanwhile.

    The position stays in the journal until the desk has booked its last fills; flattening it again finds nothing to do.

    Args:
        tools: The desk's, or those a stop script has built for itself.
        position_id: As in the journal of intents.
        why: Written as the outcome of sagas that this cuts short.

    Raises:
        StateFileError: the journal cannot be written.
    """
    run = _Flattening(tools, position_id, why)
    while not run.is_over:
        try:
            await run.once()
        except (ExecutionError, DataProviderError) as error:
            run.note(error)
            await tools.clock.sleep_s(tools.settings.poll_s)
    return run.report()


async def own_spot_net(tools: Tools, position_id: str) -> Decimal:
    """Spot base that a position's own fills left, after fees that were taken in base."""
    records = [r for r in tools.intents.orders(position_id=position_id) if r.order.market is Market.SPOT]
    if not records:
        return Decimal(0)
    base_asset = (await tools.venue.instrument(Market.SPOT, records[0].order.symbol)).base
    ours = {record.venue_id for record in records if record.venue_id}
    start_ms = min(record.at_ms for record in records) - LOOK_BACK_MS
    fills = await tools.venue.fills(Market.SPOT, records[0].order.symbol, start_ms=start_ms)
    fees = sum((f.fee for f in fills if f.venue_order_id in ours and f.fee_asset == base_asset), Decimal(0))
    return tools.intents.held(position_id)[0] - fees


async def _both(*calls: Coroutine[object, object, None]) -> None:
    """Run calls side by side and let each end: one leg's failure must not abandon the other half way."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


class _Flattening:
    def __init__(self, tools: Tools, position_id: str, why: str) -> None:
        self._tools, self._position_id, self._why = tools, position_id, why
        self._symbol = tools.intents.symbol_of(position_id)
        self._started_s = tools.clock.monotonic_s()
        self._intent_id = ""
        self._left = Left(Decimal(0), Decimal(0))
        self._foreign: dict[Market, Decimal] = {}
        """What is there beside ours, base, as of the last look at which every order of the leg was known."""
        self._dust, self._slice, self._errors = Decimal(0), 0, list[str]()
        self._is_flat = False

    @property
    def is_over(self) -> bool:
        spent_s = self._tools.clock.monotonic_s() - self._started_s
        return self._is_flat or spent_s > self._tools.settings.flat_budget_s

    def note(self, error: Exception) -> None:
        log.warning("flatten.error", position=self._position_id, error=str(error))
        self._errors.append(str(error))

    async def once(self) -> None:
        """Cancel, look, close what is left, look again. What cannot be cancelled or looked up holds nothing up: what is
        surely ours is closed meanwhile, and flat is only said when every order is known.
        """
        tools = self._tools
        cancels = (self._tried(tools.venue.cancel_all(market, self._symbol)) for market in Market)
        cancelled = await asyncio.gather(*cancels)
        known = await self._make_final()
        spot = await tools.venue.instrument(Market.SPOT, self._symbol)
        perp = await tools.venue.instrument(Market.PERP, self._symbol)
        self._left = await self._look(spot, perp)
        if await self._close(spot, perp):
            return
        if known and all(cancelled):
            self._is_flat, self._dust = True, self._left.spot_base
            self._finish()
        else:
            await tools.clock.sleep_s(tools.settings.poll_s)

    async def _tried(self, call: Coroutine[object, object, object]) -> bool:
        try:
            await call
        except (ExecutionError, DataProviderError) as error:
            self.note(error)
            return False
        return True

    async def _make_final(self) -> bool:
        """Ask once for every order that may still fill; True: all are known now."""
        intents, broker = self._tools.intents, self._tools.broker
        for record in intents.orders(position_id=self._position_id):
            if not record.status.is_final:
                await self._tried(broker.look(record))
        return all(record.status.is_final for record in intents.orders(position_id=self._position_id))

    async def _look(self, spot: Instrument, perp: Instrument) -> Left:
        """What is ours and still there, as far as that is sure."""
        venue, intents = self._tools.venue, self._tools.intents
        balances = await venue.balances(Market.SPOT)
        wallet = balances.get(spot.base, Balance(Decimal(0), Decimal(0)))
        open_short = -(await venue.position(self._symbol)).quantity_base
        # A short that may have been opened is bought back where it is there: it can be liquidated, coins cannot.
        ours_spot = await own_spot_net(self._tools, self._position_id)
        ours_perp = self._in_doubt(Market.PERP, Side.SELL) - intents.held(self._position_id)[1]
        sell = min(self._sure(Market.SPOT, ours_spot, wallet.total, closing=Side.SELL), wallet.free)
        buy = self._sure(Market.PERP, ours_perp, open_short, closing=Side.BUY)
        return Left(spot.quantity(max(Decimal(0), sell)), perp.quantity(max(Decimal(0), buy)))

    def _sure(self, market: Market, ours: Decimal, there: Decimal, *, closing: Side) -> Decimal:
        """How much of one leg may be closed without touching what is foreign, base.

        With every order known, what is there beyond ours is foreign. While one is in doubt what was foreign before
        still is; and where that is not known, an order that may have closed some of ours is taken to have done so.
        """
        orders_known = not any(self._in_doubt(market, side) for side in Side)
        if orders_known or market not in self._foreign:
            may_be_closed = self._in_doubt(market, closing)
            self._foreign[market] = max(Decimal(0), there - ours + may_be_closed)
        return min(ours, there - self._foreign[market])

    def _in_doubt(self, market: Market, side: Side) -> Decimal:
        """What orders that are not known may still turn out to have filled, base."""
        orders = self._tools.intents.orders(position_id=self._position_id)
        unknown = (r for r in orders if not r.status.is_final and (r.order.market, r.order.side) == (market, side))
        return sum((r.order.quantity_base - r.filled_base for r in unknown), Decimal(0))

    async def _close(self, spot: Instrument, perp: Instrument) -> bool:
        """Close both legs at once; False: nothing that could be sent is left."""
        quote = await self._tools.venue.quote(Market.SPOT, self._symbol)
        price = spot.price(quote.bid, round_up=False)
        sell, buy = self._left.spot_base, self._left.perp_base
        legs = [
            (Leg(spot, Side.SELL, sell, reduce_only=False), sell),
            (Leg(perp, Side.BUY, buy, reduce_only=True), buy),
        ]
        due = [(leg, amount) for leg, amount in legs if leg.can_send(amount, price, reduce_only=leg.reduce_only)]
        due = [(leg, amount) for leg, amount in due if self._may_send(leg, amount)]
        if not due:
            return False
        if not self._intent_id:
            self._intent_id = self._begin(sell, buy)
        self._slice += 1
        await _both(*(self._market_order(leg, amount) for leg, amount in due))
        return True

    def _may_send(self, leg: Leg, amount: Decimal) -> bool:
        """An order in doubt may still arrive. Where it would find nothing left to take, the next one need not wait for
        it; where it could take what is foreign, it must be known first.
        """
        return not (self._could_take_foreign(leg, amount) and self._in_doubt(leg.market, leg.side))

    def _could_take_foreign(self, leg: Leg, amount: Decimal) -> bool:
        """Of spot a sale is filled or refused by what the wallet has for all of it; a contract is reduced by what there
        is.
        """
        foreign = self._foreign.get(leg.market, Decimal(0))
        return foreign >= (amount if leg.market is Market.SPOT else leg.instrument.lot)

    def _begin(self, sell: Decimal, buy: Decimal) -> str:
        intents, now_ms = self._tools.intents, self._tools.clock.now_ms()
        bases = (sell, buy)
        intent = intents.begin(self._position_id, Purpose.FLATTEN, self._symbol, bases, leverage=1, at_ms=now_ms)
        return intent.id

    async def _market_order(self, leg: Leg, amount: Decimal) -> None:
        amount = min(amount, leg.instrument.max_quantity)
        draft = Order("", leg.market, self._symbol, leg.side, OrderType.MARKET, amount, None, leg.reduce_only)
        record = await self._tools.broker.place(
            self._intent_id, draft, slice_number=self._slice, waits=self._could_take_foreign(leg, amount)
        )
        if record.filled_base == 0:
            self._errors.append(f"{leg.market} {leg.side} {amount}: {record.status} {record.note}")
            await self._tools.clock.sleep_s(self._tools.settings.poll_s)

    def _finish(self) -> None:
        intents, now_ms = self._tools.intents, self._tools.clock.now_ms()
        for intent in intents.unfinished():
            if intent.position_id == self._position_id:
                intents.finish(intent.id, self._why, at_ms=now_ms)

    def report(self) -> FlattenReport:
        orders = self._tools.intents.orders(intent_id=self._intent_id) if self._intent_id else ()
        return FlattenReport(
            self._position_id,
            self._symbol,
            self._is_flat,
            self._tools.clock.monotonic_s() - self._started_s,
            Left(Decimal(0), Decimal(0)) if self._is_flat else self._left,
            self._dust,
            orders,
            _folded(self._errors),
        )


def _folded(errors: Sequence[str]) -> tuple[str, ...]:
    """The first and the last: a market that is closed refuses every second the same."""
    if len(errors) <= TOLD_ERRORS:
        return tuple(errors)
    return (errors[0], f"... and {len(errors) - 2} more ...", errors[-1])
