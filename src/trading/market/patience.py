"""How soon a venue that did not answer is asked again. Pure."""

from __future__ import annotations

FIRST_WAIT_MS, LONGEST_WAIT_MS = 1_000, 60_000


class Patience:
    """Once more at once, then after a wait that doubles up to a minute; an answer ends it.

    What asks is the next candle of the stream, and those come several a second: without this, a venue that is down
    would be asked as often.
    """

    def __init__(self) -> None:
        self._failures, self._not_before_ms = 0, 0

    def may_ask(self, now_ms: int) -> bool:
        """Is the wait over."""
        return now_ms >= self._not_before_ms

    def failed(self, now_ms: int, *, told_ms: int = 0) -> None:
        """No answer came, or one that asks for so many milliseconds of quiet."""
        self._failures += 1
        wait_ms = min(FIRST_WAIT_MS * 2 ** min(self._failures - 2, 10), LONGEST_WAIT_MS) if self._failures > 1 else 0
        self._not_before_ms = now_ms + max(wait_ms, told_ms)

    def answered(self) -> None:
        """An answer came."""
        self._failures, self._not_before_ms = 0, 0
