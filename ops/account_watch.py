"""Listens to the account beside the schedule: what may have opened the hedge is looked at now, not a minute later."""

from __future__ import annotations

import asyncio

from ops.jobs import trading_loop
from ops.service.lab import Lab
from trading.domain.errors import TradingEngineError
from trading.domain.instrument import Market
from trading.domain.venue import Venue
from trading.funding.desk import CarryDesk
from trading.funding.forced_close import Wake, wake_of

AGAIN_S = (0.0, 1.0, 2.0, 4.0)
"""Lab seconds before each look after a forced close: an exchange's positions follow its stream, not at once."""
HOLE_REST_S = 30.0
"""Lab seconds from one look at a hole to the next: a stream that goes on breaking is looked after no oftener."""


class AccountWatch:
    """One lab's ear at its account.

    Args:
        lab: Whose desk is woken.
        stop: Ends it.
    """

    def __init__(self, lab: Lab, stop: asyncio.Event) -> None:
        self._lab, self._stop = lab, stop
        self._wake: Wake | None = None
        self._rings = asyncio.Event()
        self._quiet_until_ms = 0

    async def run(self) -> None:
        """Listen and act until stopped; without trading keys there is nothing to hear.

        Raises:
            BaseException: a bug of a cycle, which touches money, or of the stream.
        """
        lab = self._lab
        if lab.desk is None or lab.account is None:
            return
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen(lab.account, lab.desk), name="account-stream")
            acting = group.create_task(self._act(lab.desk), name="account-cycle")
            await self._stop.wait()
            listening.cancel()
            self._rings.set()
            await asyncio.wait({acting}, timeout=lab.settings.service.grace_s)
            acting.cancel()

    async def _listen(self, account: Venue, desk: CarryDesk) -> None:
        """Keep the most urgent thing heard since the last look; the stream opens itself anew when it breaks."""
        async for event in account.account_events(Market.PERP):
            held = {live.symbol for live in desk.store.lives}
            heard = wake_of(event, held) if held else None
            if heard is None or (self._wake is not None and self._wake.is_forced):
                continue
            if self._wake is None or self._wake.is_hole or not heard.is_hole:
                self._wake = heard
                self._rings.set()

    async def _act(self, desk: CarryDesk) -> None:
        while True:
            await self._rings.wait()
            self._rings.clear()
            if self._stop.is_set():
                return
            wake = self._wake
            if wake is None or (wake.is_hole and not await self._has_rested()):
                continue
            self._wake = None
            if desk.store.lives:
                await self._look(desk, wake)

    async def _has_rested(self) -> bool:
        """Wait until a hole may be looked at again; False: something was heard meanwhile, which may not wait."""
        rest_s = (self._quiet_until_ms - self._lab.clock.now_ms()) / 1000
        return rest_s <= 0 or not await self._lab.clock.wait_s(self._rings, rest_s)

    async def _look(self, desk: CarryDesk, wake: Wake) -> None:
        clock = self._lab.clock
        self._lab.tell("hedge.woken", {"note": wake.note})
        for wait_s in AGAIN_S:
            await clock.sleep_s(wait_s)
            try:
                await trading_loop.at_once(self._lab)
            except TradingEngineError as error:  # as in the loop: it ends this look, not the service
                self._lab.failed("account", error)
            if desk.store.live_of(wake.symbol) is None or not wake.is_forced or self._stop.is_set():
                break
        self._quiet_until_ms = clock.now_ms() + round(HOLE_REST_S * 1000)
