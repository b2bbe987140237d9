"""Time in the demo: it races between the full hours and waits, at each of them, until the lab has digested the hour.

That is why data is never older than it would be in real life, however slow the machine: time waits for the lab.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ops.sandbox_process import SandboxProcess
from trading.domain.clock import HOUR_MS, Clock, iso
from trading.domain.errors import DataProviderError

POLL_S = 0.004
"""Real seconds between two looks at whether the hour is digested."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast lab time runs, lab seconds per real second."""

    racing: float
    """Between the hours."""
    walking: float
    """At the full hour, while the lab works."""
    trading: float
    """While orders may be out."""


class Conductor:
    """Drives one sandbox and one lab clock together.

    Args:
        sandbox: The world; its clock leads.
        clock: The lab's clock; it follows.
        pace: The speeds.
        digested: Whether everything due at or before a lab time (UTC ms) is done.
        patience_s: Real seconds to wait for one hour's digestion.
    """

    def __init__(
        self,
        sandbox: SandboxProcess,
        clock: Clock,
        *,
        pace: Pace,
        digested: Callable[[int], bool],
        patience_s: float = 180.0,
    ) -> None:
        self._sandbox = sandbox
        self._clock = clock
        self._pace = pace
        self._digested = digested
        self._patience_s = patience_s

    async def walk(self) -> None:
        """Slow down now: the lab is about to do something that takes real time."""
        await self._sandbox.set_pace(self._clock, self._pace.walking)

    async def trade_pace(self) -> None:
        """Slow down to where orders rest and fill as in life."""
        await self._sandbox.set_pace(self._clock, self._pace.trading)

    async def next_hour(self) -> int:
        """Race to the next full hour, then walk until it is digested. Returns that hour, UTC ms.

        Raises:
            DataProviderError: the lab did not digest the hour in time.
        """
        hour_ms = (self._clock.now_ms() // HOUR_MS + 1) * HOUR_MS
        await self._sandbox.set_pace(self._clock, self._pace.racing, until_ms=hour_ms, scale_after=self._pace.walking)
        await self._clock.sleep_until_ms(hour_ms)
        started_s = self._clock.real_s()
        while not self._digested(hour_ms):
            if self._clock.real_s() - started_s > self._patience_s:
                raise DataProviderError(
                    f"demo: the hour {iso(hour_ms)} was not digested in {self._patience_s:.0f} s: this machine is too "
                    "busy with other things, see top; run ./lab demo again when it is not"
                )
            await self._clock.real_sleep_s(POLL_S)  # the lab's time is what waits
        return hour_ms
