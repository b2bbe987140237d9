"""One budget of requests for all processes of the lab: wait for a place, hear the venue's count, stay away when told.

Waits are in real seconds, and bounded: what cannot be sent in time is a `RateLimitError`, a definite no that names the
wait. While the venue has asked this address to stay away (429, or a ban, 418) nobody sends, a stop neither: every
request during a ban makes it longer.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from email.utils import parsedate_to_datetime

import structlog

from trading.domain.clock import Clock
from trading.domain.errors import RateLimitError
from trading.exchange.errors import DEFAULT_RETRY_AFTER_S
from trading.exchange.rate_file import LONGEST_BAN_MS, RateFile, Shared
from trading.exchange.rate_window import Priority
from trading.exchange.request_weights import Request

log = structlog.get_logger(__name__)

PATIENCE_S: Mapping[Priority, float] = {
    Priority.BULK: 120.0,
    Priority.NORMAL: 10.0,
    Priority.URGENT: 5.0,
    Priority.GUARDIAN: 5.0,
}
"""How long a request waits for its place, real seconds."""
_LOCK_POLL_S = 0.0005
_LOCK_PATIENCE_S = 1.0
"""The lock is held for microseconds; one that is held so long belongs to a process that was stopped in the middle."""
_INSIST_S = 0.05
"""How long the loop is held up to write a ban down."""
_TOLD_AFTER_MS = 1_000
_SPREAD_MS = 50


class RateBudget:
    """The door of this process to a shared budget.

    Args:
        file: What is shared.
        clock: For the system's time and for waits in real seconds.
    """

    def __init__(self, file: RateFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._rows = {(priority, is_order): asyncio.Lock() for priority in Priority for is_order in (False, True)}
        self._unheard_ms = 0
        """Until when to stay away, where that could not be written yet; 0: it could."""

    async def take(self, request: Request, *, where: str) -> None:
        """Wait until a request may be sent, and count it. First come, first served, within a process and a priority;
        orders, which have a limit of their own, stand in a line of their own.

        Raises:
            RateLimitError: the venue has asked us to stay away, or there was no place in time; nothing was counted.
        """
        until_ms = self._clock.system_ms() + PATIENCE_S[request.priority] * 1000.0
        row = self._rows[request.priority, request.orders > 0]
        try:
            async with asyncio.timeout(PATIENCE_S[request.priority]), row:
                while (wait_ms := await self._try(request, where)) > 0:
                    if self._clock.system_ms() + wait_ms > until_ms:
                        raise _no_place(request, where, wait_ms / 1000.0)
                    if wait_ms > _TOLD_AFTER_MS:
                        log.info("rate.waiting", where=where, priority=request.priority.name, wait_ms=wait_ms)
                    # Processes that wait for the same moment come one after another.
                    await self._clock.real_sleep_s((wait_ms + os.getpid() % _SPREAD_MS) / 1000.0)
        except TimeoutError as error:
            raise _no_place(request, where, PATIENCE_S[request.priority]) from error

    def heard(self, status: int, headers: Mapping[str, str], *, was_order: bool) -> None:
        """Take what an answer says of the limits: the venue's own count, and whether to stay away."""
        said = {name.lower(): value for name, value in headers.items()}
        now_ms = self._clock.system_ms()
        venue_ms = _date_ms(said.get("date", ""), now_ms)
        used, ordered = _count(said, "x-mbx-used-weight-1m"), _count(said, "x-mbx-order-count-10s")
        if status == 429 and was_order and "retry-after" not in said:
            ordered = _MUCH  # too many orders: Binance says that without a time; cancels may go on
        elif status in (418, 429):
            asked = said.get("retry-after", "")
            seconds = float(asked) if asked.replace(".", "", 1).isdecimal() else DEFAULT_RETRY_AFTER_S
            self._unheard_ms = max(self._unheard_ms, self._away_until_ms(seconds, now_ms))
        if used is None and ordered is None and not self._unheard_ms:
            return

        def update(shared: Shared) -> Shared:
            weight, orders = shared.weight, shared.orders
            if used is not None:
                weight = weight.corrected(used, venue_ms)
            if ordered is not None and orders.span_s == 10:
                orders = orders.corrected(min(ordered, orders.limit), venue_ms)
            return Shared(max(shared.quiet_until_ms, self._unheard_ms), weight, orders)

        if self._changed(now_ms, update, insist=self._unheard_ms > 0):
            self._unheard_ms = 0

    def stay_away(self, seconds: float) -> None:
        """The venue has asked for it in words that are no status; all processes are told."""
        now_ms = self._clock.system_ms()
        until_ms = self._unheard_ms = max(self._unheard_ms, self._away_until_ms(seconds, now_ms))

        def update(shared: Shared) -> Shared:
            return replace(shared, quiet_until_ms=max(shared.quiet_until_ms, until_ms))

        if self._changed(now_ms, update, insist=True):
            self._unheard_ms = 0

    def learn(self, exchange_info: object) -> None:
        """Take the limits from `rateLimits` of the venue's `exchangeInfo`; what is not understood is left."""
        limits = exchange_info.get("rateLimits") if isinstance(exchange_info, dict) else None
        found: dict[tuple[object, ...], int] = {}
        for entry in limits if isinstance(limits, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("limit"), int) and 0 < entry["limit"] <= _MUCH:
                key = (entry.get("rateLimitType"), entry.get("interval"), entry.get("intervalNum"))
                found[key] = entry["limit"]
        weight = found.get(("REQUEST_WEIGHT", "MINUTE", 1))
        orders = found.get(("ORDERS", "SECOND", 10))

        def update(shared: Shared) -> Shared:
            return replace(
                shared,
                weight=replace(shared.weight, limit=weight or shared.weight.limit),
                orders=replace(shared.orders, limit=orders or shared.orders.limit),
            )

        if weight or orders:
            self._changed(self._clock.system_ms(), update, insist=True)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    async def _try(self, request: Request, where: str) -> int:
        """Count the request and return 0, or how long to wait, milliseconds."""
        now_ms = wait_ms = 0

        def update(shared: Shared) -> Shared:
            nonlocal wait_ms
            shared = replace(shared, quiet_until_ms=max(shared.quiet_until_ms, self._unheard_ms))
            wait_ms = shared.weight.wait_ms(request.weight, request.priority, now_ms)
            if request.orders:
                wait_ms = max(wait_ms, shared.orders.wait_ms(request.orders, request.priority, now_ms))
            if wait_ms or shared.quiet_ms(now_ms):
                return shared
            return Shared(
                shared.quiet_until_ms,
                shared.weight.with_taken(request.weight),
                shared.orders.with_taken(request.orders) if request.orders else shared.orders,
            )

        began_s = self._clock.real_s()
        try:
            while True:
                now_ms = self._clock.system_ms()
                if (shared := self._file.change(now_ms, update)) is not None:
                    self._unheard_ms = 0
                    _refuse_while_quiet(shared.quiet_ms(now_ms), where)
                    return wait_ms
                if self._clock.real_s() - began_s > _LOCK_PATIENCE_S:
                    return self._uncounted(request, where, "another process holds it and does not let go")
                await self._clock.real_sleep_s(_LOCK_POLL_S)
        except OSError as error:
            return self._uncounted(request, where, str(error))

    def _uncounted(self, request: Request, where: str, why: str) -> int:
        """A budget that cannot be used: what a stop needs is sent without it, anything else is not."""
        now_ms, until_ms = self._clock.system_ms(), self._unheard_ms
        with suppress(OSError):
            until_ms = max(until_ms, self._file.look(now_ms).quiet_until_ms)
        _refuse_while_quiet(until_ms - now_ms, where)
        log.warning("rate.not_counted", where=where, error=why, sent=request.priority >= Priority.URGENT)
        if request.priority >= Priority.URGENT:
            return 0
        raise RateLimitError(
            f"{where}: not sent, the shared budget of requests cannot be used: {why}; check state/rate",
            retry_after_s=_LOCK_PATIENCE_S,
        )

    def _away_until_ms(self, seconds: float, now_ms: int) -> int:
        log.warning("rate.stay_away", seconds=seconds, note="no process of the lab sends")
        return now_ms + int(min(seconds * 1000.0, LONGEST_BAN_MS))

    def _changed(self, now_ms: int, update: Callable[[Shared], Shared], *, insist: bool) -> bool:
        """Whether the file was changed.

        A count is let go when another process has the lock: the next answer brings a newer one. A ban is insisted on,
        for this process may never ask again.
        """
        until_s = self._clock.real_s() + (_INSIST_S if insist else 0.0)
        try:
            while self._file.change(now_ms, update) is None:
                if self._clock.real_s() >= until_s:
                    return False
        except OSError as error:
            log.warning("rate.file_unusable", error=str(error), note="check space and permissions of state/rate")
            return False
        return True


_MUCH = 1_000_000
"""No limit, and no count, is larger."""
_NEAR_MS = 60_000
"""A time of the venue's that is further off than this is not used."""


def _refuse_while_quiet(left_ms: int, where: str) -> None:
    if left_ms > 0:
        raise RateLimitError(
            f"{where}: the venue asked us to stay away; {left_ms / 1000:.0f} s left, and no process of the lab sends "
            "before that, a stop neither",
            retry_after_s=left_ms / 1000.0,
        )


def _no_place(request: Request, where: str, wait_s: float) -> RateLimitError:
    return RateLimitError(
        f"{where}: not sent, the budget of requests is used up for {request.priority.name.lower()} calls; "
        f"there is a place in {wait_s:.1f} s",
        retry_after_s=wait_s,
    )


def _date_ms(text: str, otherwise_ms: int) -> int:
    """The venue's time in its answer, UTC milliseconds."""
    try:
        told_ms = int(parsedate_to_datetime(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        return otherwise_ms
    return told_ms if abs(told_ms - otherwise_ms) <= _NEAR_MS else otherwise_ms


def _count(said: Mapping[str, str], name: str) -> int | None:
    """A count in a header; None: there is none."""
    text = said.get(name, "")
    return min(int(text), _MUCH) if text.isdecimal() and len(text) <= 12 else None
