"""How often a public site is asked: a gap between two requests, and away as long as it asks for."""

from __future__ import annotations

from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError

LONGEST_AWAY_S = 3600.0
USUAL_AWAY_S = 60.0
"""Where a site that refuses does not say how long."""


class SitePace:
    """The pace of every site, in real seconds: their limits are of the real world.

    Args:
        clock: Measures and waits.
        gap_s: Between two requests to one site.
    """

    def __init__(self, clock: Clock, *, gap_s: float) -> None:
        self._clock, self._gap_s = clock, gap_s
        self._next_s: dict[str, float] = {}
        self._away_s: dict[str, float] = {}

    async def wait(self, host: str) -> None:
        """Wait for a site's turn.

        Raises:
            DataProviderError: it asked us to stay away, and the time is not over.
        """
        now_s = self._clock.real_s()
        if (left_s := self._away_s.get(host, now_s) - now_s) > 0:
            raise DataProviderError(f"{host} asked us to stay away for {left_s:.0f} s more")
        due_s = max(self._next_s.get(host, now_s), now_s)
        self._next_s[host] = due_s + self._gap_s
        if due_s > now_s:
            await self._clock.real_sleep_s(due_s - now_s)

    def stay_away(self, host: str, retry_after: str) -> None:
        """Note that a site refused, and its `Retry-After` in seconds; a date or nothing there means a minute."""
        asked_s = float(retry_after) if retry_after.strip().isdecimal() else USUAL_AWAY_S
        self._away_s[host] = self._clock.real_s() + min(asked_s, LONGEST_AWAY_S)
