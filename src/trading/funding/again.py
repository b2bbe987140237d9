"""When an entry that failed is tried again: after growing gaps; each of its reasons is told once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from trading.domain.clock import as_datetime
from trading.domain.decisions import Decision, Reason

AGAIN_S = (60, 120, 240, 480, 960, 1920, 3600)
"""Lab seconds from one failed entry to the next try; the last one for ever."""


@dataclass(frozen=True, slots=True)
class _Failed:
    decision: Decision
    times: int
    """In a row."""
    not_before_ms: int
    told: frozenset[Reason]


class Again:
    """Which symbols rest after an entry that failed; a restart tries at once."""

    def __init__(self) -> None:
        self._failed: dict[str, _Failed] = {}

    def failed(self, symbol: str, decision: Decision, now_ms: int) -> bool:
        """An entry came to nothing. Whether a human is to hear of it: the first time of each reason in a row."""
        known = self._failed.get(symbol)
        times = 1 if known is None else known.times + 1
        told = frozenset[Reason]() if known is None else known.told
        not_before_ms = now_ms + AGAIN_S[min(times, len(AGAIN_S)) - 1] * 1000
        self._failed[symbol] = _Failed(decision, times, not_before_ms, told | {decision.reason})
        return decision.reason not in told

    def rest(self, symbol: str, now_ms: int) -> Decision | None:
        """Why nothing is opened there yet: what it failed for last; None: it may be tried."""
        known = self._failed.get(symbol)
        if known is None or now_ms >= known.not_before_ms:
            return None
        due = f"failed {known.times}× in a row, tried again at {as_datetime(known.not_before_ms):%H:%M} UTC"
        return replace(known.decision, note="; ".join(part for part in (known.decision.note, due) if part))

    def over(self, symbol: str) -> None:
        """It was opened."""
        self._failed.pop(symbol, None)
