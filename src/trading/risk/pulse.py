"""How well the exchange answers: every call of the desk is watched for errors, latency, rate limits and the two clocks.

`watched` stands between the desk and the venue and changes nothing: answers and errors pass through as they are.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import cast

from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, KeyRefusedError, OutcomeUnknownError, RateLimitError
from trading.domain.venue import Venue

CALLS = 50
"""The latest calls that are looked at."""
KEPT = ("instrument",)
"""Calls that a venue answers from memory: they say nothing of the exchange."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the latest calls say."""

    calls: int = 0
    failed: int = 0
    """Without a usable answer; a definite no is an answer."""
    failed_in_row: int = 0
    """The longest run among them: good calls after an outage do not hide it at once."""
    latency_s: float = 0.0
    """Median, real seconds."""
    limited_for_s: float = 0.0
    """Seconds for which the exchange, or our share of its limits, still asks us to stay away."""
    clock_drift_s: float = 0.0
    """The exchange's clock less ours, beyond the time of the answer."""


@dataclass(frozen=True, slots=True)
class _ClockLook:
    now_ms: int
    monotonic_s: float
    drift_ms: int


class Pulse:
    """Remembers the latest calls.

    Args:
        clock: The lab's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed: deque[bool] = deque(maxlen=CALLS)
        self._latency_s: deque[float] = deque(maxlen=CALLS)
        self._limited_until_ms = 0
        self._look: _ClockLook | None = None

    def answered(self, latency_s: float, *, failed: bool) -> None:
        """Take note of a call."""
        self._failed.append(failed)
        self._latency_s.append(latency_s)

    def limited(self, retry_after_s: float) -> None:
        """Told to stay away, by the exchange or by the shared budget."""
        until_ms = self._clock.now_ms() + int(retry_after_s * 1000)
        self._limited_until_ms = max(self._limited_until_ms, until_ms)

    def saw_clock(self, before_ms: int, venue_ms: int) -> None:
        """The exchange's time, asked for at `before_ms` and heard now."""
        now_ms = self._clock.now_ms()
        drift_ms = venue_ms - now_ms if venue_ms > now_ms else min(0, venue_ms - before_ms)
        self._look = _ClockLook(now_ms, self._clock.monotonic_s(), drift_ms)

    def knows_clock(self, tolerance_s: float) -> bool:
        """The clocks were compared, and ours has not been set since."""
        if self._look is None:
            return False
        passed_s = (self._clock.now_ms() - self._look.now_ms) / 1000
        return abs(passed_s - (self._clock.monotonic_s() - self._look.monotonic_s)) <= tolerance_s

    def venue_now_ms(self) -> int:
        """The exchange's time now, by the last comparison."""
        return self._clock.now_ms() + (self._look.drift_ms if self._look is not None else 0)

    @property
    def vitals(self) -> Vitals:
        """Now."""
        return Vitals(
            calls=len(self._failed),
            failed=sum(self._failed),
            failed_in_row=_longest_run(self._failed),
            latency_s=median(self._latency_s) if self._latency_s else 0.0,
            limited_for_s=max(0.0, (self._limited_until_ms - self._clock.now_ms()) / 1000),
            clock_drift_s=self._look.drift_ms / 1000 if self._look is not None else 0.0,
        )


def watched(venue: Venue, pulse: Pulse, clock: Clock) -> Venue:
    """The same venue, with every call told to the pulse."""
    return cast(Venue, _Watched(venue, pulse, clock))


class _Watched:
    def __init__(self, venue: Venue, pulse: Pulse, clock: Clock) -> None:
        self._venue, self._pulse, self._clock = venue, pulse, clock

    def __getattr__(self, name: str) -> object:
        call = getattr(self._venue, name)
        is_asked = inspect.iscoroutinefunction(call) and name not in KEPT
        return self._timed(name, call) if is_asked else call

    def _timed(self, name: str, call: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        @functools.wraps(call)
        async def timed(*args: object, **options: object) -> object:
            started_s, before_ms, failed = self._clock.real_s(), self._clock.now_ms(), False
            try:
                answer = await call(*args, **options)
            except RateLimitError as error:
                self._pulse.limited(error.retry_after_s)
                raise
            except KeyRefusedError:  # an answer: the exchange is well, our key is not
                raise
            except (DataProviderError, OutcomeUnknownError):
                failed = True
                raise
            finally:
                self._pulse.answered(self._clock.real_s() - started_s, failed=failed)
            if name == "time_ms":
                self._pulse.saw_clock(before_ms, cast(int, answer))
            return answer

        return timed


def _longest_run(failed: Iterable[bool]) -> int:
    return max((len(list(run)) for bad, run in itertools.groupby(failed) if bad), default=0)
