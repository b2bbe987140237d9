"""The sandbox's time: straight segments over CLOCK_MONOTONIC, turned while it runs.

`ms(t) = origin_ms + (t - anchor_s) * 1000 * scale` up to `until_ms`, after it at `scale_after`. CLOCK_MONOTONIC is
shared by all processes of a host, so whoever is told the five numbers of a segment reads the same time.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time with at most one bend."""

    anchor_s: float
    """CLOCK_MONOTONIC at its start, seconds."""
    origin_ms: float
    """Sandbox time at its start, UTC milliseconds."""
    scale: float
    """Sandbox seconds per real second, > 0."""
    until_ms: float | None = None
    """Sandbox time at which the speed changes; None: never."""
    scale_after: float = 1.0
    """Sandbox seconds per real second from `until_ms` on, > 0."""

    def at(self, real_s: float) -> float:
        """Sandbox time at a real moment, UTC milliseconds."""
        straight = self.origin_ms + (real_s - self.anchor_s) * 1000.0 * self.scale
        if self.until_ms is None or straight <= self.until_ms:
            return straight
        return self.until_ms + (straight - self.until_ms) / self.scale * self.scale_after

    def when(self, ms: float) -> float:
        """The real moment, CLOCK_MONOTONIC seconds, at which sandbox time reaches `ms`."""
        if self.until_ms is None or ms <= self.until_ms:
            return self.anchor_s + (ms - self.origin_ms) / (1000.0 * self.scale)
        return self.when(self.until_ms) + (ms - self.until_ms) / (1000.0 * self.scale_after)


class SandboxClock:
    """Sandbox time and real waits.

    Args:
        start_ms: Sandbox time now, UTC milliseconds.
        scale: Sandbox seconds per real second, > 0.

    Raises:
        ValueError: a scale is not a positive finite number.
    """

    def __init__(self, start_ms: float, *, scale: float = 1.0) -> None:
        self._segment = Segment(time.monotonic(), float(start_ms), _speed("scale", scale))
        self._turned = asyncio.Event()

    def begin(self, ms: float) -> None:
        """Set sandbox time to `ms` at this instant; for the moment the doors open."""
        self._segment = Segment(time.monotonic(), float(ms), self._segment.scale)

    @property
    def segment(self) -> Segment:
        """The numbers time runs by now."""
        return self._segment

    def now_ms(self) -> int:
        """Sandbox time, UTC milliseconds."""
        return int(self._segment.at(time.monotonic()))

    def real_s(self) -> float:
        """CLOCK_MONOTONIC, seconds."""
        return time.monotonic()

    def system_s(self) -> float:
        """The system's time, seconds since 1970: what is counted by real minutes."""
        return time.time()

    def fastest(self, within_s: float) -> float:
        """The greatest speed of the last real seconds; what a millisecond of the wire may have cost.

        A segment that began within them says nothing of the one before it.
        """
        segment, real_s = self._segment, time.monotonic()
        if segment.until_ms is None or real_s <= segment.when(segment.until_ms):
            return segment.scale
        if real_s - segment.when(segment.until_ms) > within_s:
            return segment.scale_after
        return max(segment.scale, segment.scale_after)

    def turn(self, *, scale: float, until_ms: float | None = None, scale_after: float = 1.0) -> Segment:
        """Run on from now at another speed; every sleeper is told at once.

        Raises:
            ValueError: a speed is not a positive finite number.
        """
        speeds = _speed("scale", scale), _speed("scale_after", scale_after)
        anchor_s = time.monotonic()
        self._segment = Segment(anchor_s, self._segment.at(anchor_s), speeds[0], until_ms, speeds[1])
        self._turned.set()
        self._turned = asyncio.Event()
        return self._segment

    def jump(self, ms: float) -> None:
        """Be later by so much at once, as a clock that is set; the speed stays."""
        now_s, segment = time.monotonic(), self._segment
        scale = (
            segment.scale if segment.until_ms is None or segment.at(now_s) <= segment.until_ms else segment.scale_after
        )
        self._segment = Segment(now_s, segment.at(now_s) + ms, scale)
        self._turned.set()
        self._turned = asyncio.Event()

    async def rest_s(self, real_s: float) -> None:
        """Sleep real seconds; shorter when the speed changes, by order or by the segment's own bend."""
        delay_s = real_s
        until_ms = self._segment.until_ms
        if until_ms is not None and 0.0 < (bend_s := self._segment.when(until_ms) - time.monotonic()) < delay_s:
            delay_s = bend_s + 0.001
        await self._sleep(delay_s)

    async def sleep_real_s(self, real_s: float) -> None:
        """Sleep real seconds, whatever sandbox time does."""
        await asyncio.sleep(real_s)

    async def sleep_until_ms(self, ms: float) -> None:
        """Sleep until sandbox time reaches `ms`, following every change of speed."""
        while (delay_s := self._segment.when(ms) - time.monotonic()) > 0.0:
            await self._sleep(delay_s)

    async def sleep_s(self, sandbox_s: float) -> None:
        """Sleep sandbox seconds, following every change of speed."""
        await self.sleep_until_ms(self._segment.at(time.monotonic()) + sandbox_s * 1000.0)

    async def _sleep(self, real_s: float) -> None:
        try:
            await asyncio.wait_for(self._turned.wait(), timeout=real_s)
        except TimeoutError:
            return


def _speed(name: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"clock: {name}={value}: must be a positive number of sandbox seconds per real second")
    return float(value)
