"""The only source of time. Nothing else in the lab may ask the system what time it is.

Lab time is UTC milliseconds. It runs at `scale` lab seconds per real second along a `Timeline` segment; in normal life
the scale is 1 and lab time is the system's. A rehearsal (demo, tests) sets new segments while the lab runs, the same
numbers in the sandbox and here: both read CLOCK_MONOTONIC, which all processes of a host share.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
LAST_MS = 253_402_300_799_999
"""The last moment that `iso` can tell, at the end of the year 9999."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A straight stretch of lab time, with at most one bend.

    `lab_ms(t) = origin_ms + (t - anchor_s) * 1000 * scale` up to `until_ms`, from there on at `scale_after`.
    """

    anchor_s: float
    """CLOCK_MONOTONIC at the start of the segment, seconds."""
    origin_ms: float
    """Lab time at the anchor, UTC milliseconds."""
    scale: float
    """Lab seconds per real second, > 0."""
    until_ms: float | None = None
    """Lab time at which the speed changes; None: never."""
    scale_after: float = 1.0
    """Lab seconds per real second from `until_ms` on, > 0."""

    def lab_ms(self, monotonic_s: float) -> float:
        """Lab time at a real moment, UTC milliseconds."""
        straight = self.origin_ms + (monotonic_s - self.anchor_s) * 1000.0 * self.scale
        if self.until_ms is None or straight <= self.until_ms:
            return straight
        return self.until_ms + (straight - self.until_ms) / self.scale * self.scale_after

    def real_s(self, lab_ms: float) -> float:
        """The real moment (CLOCK_MONOTONIC seconds) at which lab time reaches `lab_ms`."""
        if self.until_ms is None or lab_ms <= self.until_ms:
            return self.anchor_s + (lab_ms - self.origin_ms) / (1000.0 * self.scale)
        bend_s = self.anchor_s + (self.until_ms - self.origin_ms) / (1000.0 * self.scale)
        return bend_s + (lab_ms - self.until_ms) / (1000.0 * self.scale_after)


class Clock:
    """Lab time, lab durations and lab sleeps.

    Args:
        scale: Lab seconds per real second, > 0. 1 with no origin: real life, lab time is the system's.
        origin_ms: Lab time now, UTC milliseconds; None: the system's time.

    Raises:
        ValueError: scale is not a positive finite number.
    """

    def __init__(self, *, scale: float = 1.0, origin_ms: int | None = None) -> None:
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"clock: scale={scale}: lab seconds per real second must be a positive number")
        self._timeline: Timeline | None = None
        if scale != 1.0 or origin_ms is not None:
            start_ms = time.time() * 1000.0 if origin_ms is None else float(origin_ms)
            self._timeline = Timeline(time.monotonic(), start_ms, scale)
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    @property
    def timeline(self) -> Timeline | None:
        """The segment lab time runs along now; None in real life."""
        return self._timeline

    @property
    def is_real(self) -> bool:
        """True when lab time is the system's time."""
        return self._timeline is None

    def follow(self, timeline: Timeline) -> None:
        """Run along another segment from now on; sleepers and listeners are told at once."""
        self._timeline = timeline
        self._changed.set()
        self._changed = asyncio.Event()
        for listener in self._listeners:
            listener()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the segment changes (a schedule maps lab time to real time anew)."""
        self._listeners.append(listener)

    def now_ms(self) -> int:
        """Lab time, UTC milliseconds since 1970."""
        return int(self._now_ms())

    def now(self) -> datetime:
        """Lab time as an aware UTC datetime."""
        return as_datetime(self._now_ms())

    def monotonic_s(self) -> float:
        """Lab seconds from an arbitrary start; for durations. In real life it never jumps."""
        if self._timeline is None:
            return time.monotonic()
        return self._timeline.lab_ms(time.monotonic()) / 1000.0

    def real_s(self) -> float:
        """Real seconds from an arbitrary start; for what the machine costs, such as latencies."""
        return time.monotonic()

    def system_ms(self) -> int:
        """The system's time, UTC milliseconds, whatever the lab's; to compare with stamps the system made."""
        return int(time.time() * 1000)

    def real_delay_s(self, lab_ms: float) -> float:
        """Real seconds from now until lab time reaches `lab_ms`; 0 when it has."""
        if self._timeline is None:
            return max(0.0, lab_ms / 1000.0 - time.time())
        return max(0.0, self._timeline.real_s(lab_ms) - time.monotonic())

    def _now_ms(self) -> float:
        return time.time() * 1000.0 if self._timeline is None else self._timeline.lab_ms(time.monotonic())

    async def real_sleep_s(self, real_s: float) -> None:
        """Sleep for real seconds, whatever the lab's time does; for what watches the machine, never for a decision."""
        await asyncio.sleep(real_s)

    async def real_wait_s(self, event: asyncio.Event, real_s: float) -> bool:
        """Wait for `event`, at most so many real seconds. True when it came."""
        try:
            await asyncio.wait_for(event.wait(), timeout=real_s)
        except TimeoutError:
            return event.is_set()
        return True

    async def sleep_s(self, lab_s: float) -> None:
        """Sleep for lab seconds, following every change of speed; a system's clock that is set changes nothing."""
        if self._timeline is None:
            await asyncio.sleep(lab_s)
        else:
            await self.sleep_until_ms(self._now_ms() + lab_s * 1000.0)

    async def sleep_until_ms(self, lab_ms: float) -> None:
        """Sleep until lab time reaches `lab_ms`, following every change of speed."""
        while (delay_s := self.real_delay_s(lab_ms)) > 0:
            changed = self._changed
            try:
                await asyncio.wait_for(changed.wait(), timeout=delay_s)
            except TimeoutError:
                continue
        await asyncio.sleep(0)

    async def wait_s(self, event: asyncio.Event, lab_s: float) -> bool:
        """Wait for `event`, at most `lab_s` lab seconds. True when it came."""
        if event.is_set():
            return True
        waiter = asyncio.ensure_future(event.wait())
        sleeper = asyncio.ensure_future(self.sleep_s(lab_s))
        try:
            await asyncio.wait({waiter, sleeper}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (waiter, sleeper):
                task.cancel()
        return event.is_set()


class StandingClock(Clock):
    """A clock that stands where it was last put; for playing back what was recorded.

    Lab time and real time stand together, as they stood when a line was written, so that what was late then is late
    again. A sleep by lab time lets everybody else run once and ends: what the sleeper waits for comes with the record.

    Args:
        at_ms: Where it stands, UTC milliseconds.
        real_s: Real seconds from an arbitrary start at that moment.
    """

    def __init__(self, at_ms: int, *, real_s: float) -> None:
        super().__init__(origin_ms=at_ms)
        self._at_ms, self._real_s = at_ms, real_s

    def put(self, at_ms: int, real_s: float) -> None:
        """Stand somewhere else from now on, never earlier; who waits by real time looks again."""
        self._at_ms, self._real_s = max(at_ms, self._at_ms), max(real_s, self._real_s)
        self._changed.set()
        self._changed = asyncio.Event()

    async def turn(self) -> None:
        """Let every task that can go on do so once."""
        await asyncio.sleep(0)

    def monotonic_s(self) -> float:
        """Lab seconds."""
        return self._at_ms / 1000.0

    def real_s(self) -> float:
        """Real seconds, as they passed while it was recorded."""
        return self._real_s

    def real_delay_s(self, lab_ms: float) -> float:
        """None: nobody sleeps by a clock that stands."""
        return 0.0

    async def real_wait_s(self, event: asyncio.Event, real_s: float) -> bool:
        """Wait for `event`, or until the clock was put so far."""
        due_s = self._real_s + real_s
        while not event.is_set() and self._real_s < due_s:
            waiters = [asyncio.ensure_future(awaited.wait()) for awaited in (event, self._changed)]
            try:
                await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for waiter in waiters:
                    waiter.cancel()
        return event.is_set()

    def _now_ms(self) -> float:
        return float(self._at_ms)


def as_datetime(ms: float) -> datetime:
    """UTC milliseconds as an aware datetime."""
    return datetime.fromtimestamp(ms / 1000.0, tz=UTC)


def iso(ms: float) -> str:
    """UTC milliseconds as people and files write them: `2026-01-21T09:14:03Z`."""
    return as_datetime(ms).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_iso(text: str) -> int:
    """UTC milliseconds of an ISO 8601 text; without an offset it is taken as UTC.

    Raises:
        ValueError: not an ISO 8601 date or time.
    """
    parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)
