"""The two-leg saga: both legs or neither, each fill hedged as it comes, every state with a timed way out.

The saga's memory is the journal of intents: progress is summed from the orders written there, so a saga rebuilt from
disk after a crash knows what it did. A fresh run starts at PREFLIGHT, a resumed one at RETREATING: first every order
that may still fill is made final, then the legs are made even. An interrupted opening is not continued, an interrupted
closing is. A rebalance goes straight to UNWINDING: the leg that has more gives the difference back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from trading.domain.decisions import Reason
from trading.domain.errors import (
    DataProviderError,
    ExecutionError,
    KeyRefusedError,
    OrderValidationError,
    OutcomeUnknownError,
)
from trading.domain.instrument import Instrument, Market
from trading.execution.intent_records import Intent, IntentStatus, Purpose
from trading.execution.legs import Leg
from trading.execution.preflight import Preflight, TooLittleCashError
from trading.execution.saga_steps import SagaReport, Tools
from trading.execution.saga_table import ENDS, TABLE, SagaState

log = structlog.get_logger(__name__)


class TwoLegs(Preflight):
    """One saga over one intent."""

    def __init__(
        self, intent: Intent, spot: Instrument, perp: Instrument, tools: Tools, *, resumed: bool = False
    ) -> None:
        super().__init__(intent, spot, perp, tools, resumed=resumed)
        self._handlers: dict[SagaState, Callable[[], Awaitable[SagaState]]] = {
            SagaState.PREFLIGHT: self._preflight,
            SagaState.PAYING: self._pay,
            SagaState.MAKING: self._make,
            SagaState.HEDGING: self._hedge,
            SagaState.TAKING: self._take,
            SagaState.PAUSING: self._pause,
            SagaState.RETREATING: self._retreat,
            SagaState.UNWINDING: self._unwind,
        }

    async def run(self) -> SagaReport:
        """Work until an end state. Never raises what the venue may answer; a journal that cannot be written ends it.

        Raises:
            StateFileError: the journal could not be written; what rests is found again by `resumed`.
        """
        while self._state not in ENDS:
            state = self._state
            try:
                following = await self._handlers[state]()
            except asyncio.CancelledError:
                await self._let_go()
                raise
            except OutcomeUnknownError as error:
                following = await self._after_doubt(state, str(error))
            except (ExecutionError, DataProviderError, OrderValidationError) as error:
                following = await self._after_error(state, error)
            self._go(following)
        return self._report()

    async def _make(self) -> SagaState:
        refusals = 0
        while not self._maker_over:
            best = await self._best(self._pair.first, taking=False)
            strayed = abs(best / self._start_price - 1) > self._settings.maker_distance_rate
            waited_s = self._clock.monotonic_s() - self._making_since_s
            if strayed or self._hurried() or waited_s > self._settings.maker_budget_s:
                break
            if self._resting is not None and self._is_off(self._resting, best):
                self._resting = self._seen(await self._tools.broker.cancel(self._resting))
            if self._resting is None and not self._hedge_ready():
                placed = await self._quote(best)
                if placed is None:
                    break
                refusals += placed.status is IntentStatus.REJECTED
                if refusals > self._settings.attempts:
                    break
                self._resting = self._seen(placed)
            if self._hedge_ready():
                return SagaState.HEDGING
            await self._clock.sleep_s(self._settings.poll_s)
            if self._resting is not None:
                self._resting = self._seen(await self._tools.broker.refresh(self._resting))
            if self._hedge_ready():
                return SagaState.HEDGING
            if self._unhedged_s() > self._settings.max_unhedged_s:
                break
        self._maker_over = True
        return SagaState.RETREATING

    async def _hedge(self) -> SagaState:
        for attempt in range(self._settings.attempts):
            due = self._hedge_due()
            if due == 0 or self._unhedged_s() > self._settings.max_unhedged_s:
                break
            if not await self._send(self._pair.second, due, boldness=attempt):
                break
        if self._hedge_due() == 0:
            if self._resting is not None or (not self._maker_over and self._left_to_send(in_slice=True)):
                return SagaState.MAKING
            return self._next_after_even()
        if not self._maker_over and self._too_small_to_hedge() and self._unhedged_s() <= self._settings.max_unhedged_s:
            return SagaState.MAKING
        if self._too_small_to_hedge() and not self._giving_up and self._resting is None and self._left_to_send():
            if not self._left_to_send(in_slice=True):
                self._begin_slice()
            return SagaState.TAKING
        self._give_up(Reason.SECOND_LEG_FAILED, "the second leg could not be filled")
        return SagaState.RETREATING

    async def _take(self) -> SagaState:
        closing = self._intent.purpose is Purpose.CLOSE
        for attempt in range(self._settings.attempts):
            if not self._left_to_send(in_slice=True) or self._may_not_open():
                break
            before = self._slice_left()
            bold = attempt if closing else 0
            if not await self._send(self._pair.first, self._pair.first.instrument.quantity(before), boldness=bold):
                break
            if self._hedge_ready():
                return SagaState.HEDGING
            if self._slice_left() == before:
                await self._clock.sleep_s(self._settings.poll_s)
        self._giving_up = True
        return SagaState.RETREATING

    async def _pause(self) -> SagaState:
        until_s = self._clock.monotonic_s() + self._settings.slice_pause_s
        while (left_s := until_s - self._clock.monotonic_s()) > 0 and not self._hurried():
            await self._clock.sleep_s(min(left_s, self._settings.poll_s))
        if self._may_not_open():
            return SagaState.BALANCED
        if self._intent.purpose is Purpose.OPEN:
            self._check_books(await self._books())
        self._maker_over = False
        return await self._set_out()

    async def _retreat(self) -> SagaState:
        self._resting = None
        for record in self._records():
            if not record.status.is_final:
                self._seen(await self._tools.broker.cancel(record))
        self._maker_over = True
        if not self._start_price:
            self._start_price = await self._best(self._pair.first, taking=False)
            self._begin_slice()
        if self._intent.purpose is Purpose.OPEN and self._tools.read_stop().blocks_entries:
            self._give_up(self._why_stopped(), "stopped while opening")
        if self._giving_up:
            return SagaState.UNWINDING
        return SagaState.HEDGING if self._hedge_due() > 0 else SagaState.TAKING

    async def _unwind(self) -> SagaState:
        attempt = 0
        while not self._pair.is_even(self._records()):
            if self._clock.monotonic_s() - self._since_s > self._settings.unwind_budget_s:
                return await self._after_doubt(SagaState.UNWINDING, f"unwinding took too long: {self._note}")
            if not await self._even_out(boldness=attempt):
                excess = self._pair.excess(self._records())
                self._note = f"{self._note}; dust of {excess} base below the venue's minimum".lstrip("; ")
                break
            attempt += 1
            if attempt > 2 and not self._pair.is_even(self._records()):
                await self._clock.sleep_s(self._settings.poll_s)
        return SagaState.BALANCED

    async def _even_out(self, *, boldness: int) -> bool:
        """Give back the excess of the leg that is ahead; else bring the other up. False: too small for either.

        When giving back has failed twice, every other try is the other leg's: one market may be shut.
        """
        ahead, behind, excess = self._pair.first, self._pair.second, self._pair.excess(self._records())
        if excess < 0:
            ahead, behind = behind, ahead
            excess = -excess * self._pair.second.target_base / self._pair.first.target_base
        back = ahead.instrument.quantity(await self._sellable(ahead, excess))
        reverse = Leg(
            ahead.instrument,
            ahead.side.opposite,
            back,
            reduce_only=ahead.market is Market.PERP and self._intent.purpose is not Purpose.CLOSE,
        )
        tries = [(reverse, back), (behind, behind.instrument.quantity(excess))]
        if boldness > 1 and boldness % 2 == 0:
            tries.reverse()
        for leg, quantity in tries:
            if await self._send(leg, quantity, boldness=boldness + (not self._rebalancing)):
                return True
        return False

    async def _after_error(self, state: SagaState, error: Exception) -> SagaState:
        log.warning("saga.error", intent=self._intent.id, state=state, error=str(error))
        if state in (SagaState.PREFLIGHT, SagaState.PAYING):
            return self._refuse(_reason_of(error), str(error))
        if state in (SagaState.MAKING, SagaState.TAKING, SagaState.PAUSING):
            self._give_up(Reason.DATA_UNAVAILABLE, str(error))
            return SagaState.RETREATING
        if state is SagaState.HEDGING and self._unhedged_s() > self._settings.max_unhedged_s:
            self._give_up(Reason.SECOND_LEG_FAILED, str(error))
            return SagaState.RETREATING
        if self._clock.monotonic_s() - self._since_s > self._settings.unwind_budget_s:
            return await self._after_doubt(state, str(error))
        await self._clock.sleep_s(self._settings.poll_s)
        return state

    async def _after_doubt(self, state: SagaState, note: str) -> SagaState:
        """An order that cannot be made certain now: retreat once more, else leave it to the next cycle and a human."""
        if state in (SagaState.PREFLIGHT, SagaState.PAYING):
            return self._refuse(Reason.OUTCOME_UNKNOWN, note)
        self._outcome, self._note = Reason.OUTCOME_UNKNOWN, note
        self._giving_up = self._giving_up or self._intent.purpose is Purpose.OPEN
        return SagaState.IN_DOUBT if state in (SagaState.RETREATING, SagaState.UNWINDING) else SagaState.RETREATING

    def _give_up(self, reason: Reason, note: str) -> None:
        self._giving_up = self._maker_over = True
        self._outcome, self._note = reason, note

    def _go(self, following: SagaState) -> None:
        if following is self._state:
            return
        if following not in TABLE[self._state].to:
            raise RuntimeError(f"saga: {self._state} -> {following} is not in the table")
        self._state, self._since_s = following, self._clock.monotonic_s()
        self._tools.intents.moved(self._intent.id, following, at_ms=self._clock.now_ms())

    def _report(self) -> SagaReport:
        records = self._records()
        legs = {leg.market: leg.progress(records) for leg in (self._pair.first, self._pair.second)}
        if self._state is SagaState.BALANCED and self._outcome is Reason.OK and not any(legs.values()):
            self._outcome = Reason.NOT_FILLED
        if self._state is not SagaState.IN_DOUBT:
            self._tools.intents.finish(self._intent.id, self._outcome, at_ms=self._clock.now_ms())
        return SagaReport(
            self._intent.id,
            self._intent.purpose,
            self._state,
            self._outcome,
            legs[Market.SPOT],
            legs[Market.PERP],
            self._max_unhedged_s,
            self._clock.monotonic_s() - self._started_s,
            records,
            self._note,
        )

    def _next_after_even(self) -> SagaState:
        if self._giving_up or self._may_not_open() or not self._left_to_send():
            return SagaState.BALANCED
        return SagaState.TAKING if self._left_to_send(in_slice=True) else SagaState.PAUSING


def _reason_of(error: Exception) -> Reason:
    if isinstance(error, KeyRefusedError):
        return Reason.KEY_UNFIT
    if isinstance(error, TooLittleCashError):
        return Reason.INSUFFICIENT_BALANCE
    return Reason.MIN_NOTIONAL if isinstance(error, OrderValidationError) else Reason.DATA_UNAVAILABLE
