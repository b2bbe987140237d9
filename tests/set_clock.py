"""A clock of real life whose system's time somebody sets: by NTP, by hand, or by a server that slept."""

from __future__ import annotations

from trading.domain.clock import Clock


class SetClock(Clock):
    """The system's clock, `ahead_s` seconds ahead of what it is; CLOCK_MONOTONIC has gone on by `slept_s`."""

    ahead_s = 0.0
    slept_s = 0.0

    def real_s(self) -> float:
        """Real seconds from an arbitrary start."""
        return super().real_s() + self.slept_s

    def system_ms(self) -> int:
        """The system's time, UTC milliseconds."""
        return super().system_ms() + int(self.ahead_s * 1000)

    def real_delay_s(self, lab_ms: float) -> float:
        """Real seconds until the system's time reaches `lab_ms`."""
        return super().real_delay_s(lab_ms - self.ahead_s * 1000)

    def _now_ms(self) -> float:
        return super()._now_ms() + self.ahead_s * 1000
