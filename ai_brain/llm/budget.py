"""What the language models may cost in a day, kept on disk: a restart does not refill it.

The worst a call can cost is booked before it is made and corrected when its answer is there, so that a crash in between
leaves the day dearer than it was, never cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field

from ai_brain.llm.provider import Prompt
from trading.domain.clock import Clock, iso
from trading.storage.files import read_json, write_json

log = structlog.get_logger(__name__)

SCHEMA = 1
LETTERS_PER_TOKEN = 3
"""Of a prompt, pessimistic: English has about four."""


class BudgetSettings(BaseModel):
    """Limits of a UTC day, and what tokens cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    usd_per_day: Annotated[float, Field(ge=0, le=1000)] = 0.50
    """Beyond it nothing is asked until the next UTC day. 0: the model is never asked."""
    calls_per_day: Annotated[int, Field(ge=0, le=100_000)] = 60
    """Likewise, questions."""
    usd_per_million_tokens_in: Annotated[float, Field(ge=0)] = 0.50
    """What the question costs."""
    usd_per_million_tokens_out: Annotated[float, Field(ge=0)] = 3.00
    """Thoughts are paid like output."""

    def cost_usd(self, tokens_in: int, tokens_out: int) -> float:
        """What a call costs."""
        return (tokens_in * self.usd_per_million_tokens_in + tokens_out * self.usd_per_million_tokens_out) / 1_000_000


@dataclass(frozen=True, slots=True)
class Spent:
    """A day so far."""

    day: str
    usd: float
    calls: int


class Budget:
    """The day's purse of one lab.

    Args:
        path: Its file in `state/`.
        settings: The limits.
        clock: Says which day it is.
    """

    def __init__(self, path: Path, settings: BudgetSettings, clock: Clock) -> None:
        self._path = path
        self._settings = settings
        self._clock = clock

    def spent(self) -> Spent:
        """Today so far.

        Raises:
            StateFileError: the file was unreadable; it has been set aside, the next call begins a new one.
        """
        today = iso(self._clock.now_ms())[:10]
        record = read_json(self._path, schema=SCHEMA)
        if record is None or record.get("day") != today:
            return Spent(today, 0.0, 0)
        usd, calls = record.get("usd"), record.get("calls")
        if not isinstance(usd, int | float) or not isinstance(calls, int):
            # Readable, but not ours: take the day as spent rather than as free.
            return Spent(today, self._settings.usd_per_day, self._settings.calls_per_day)
        return Spent(today, float(usd), calls)

    def share(self) -> float:
        """How much of the day is spent, dollars or calls, whichever is nearer its end; 1.0 where nothing is allowed.

        Raises:
            StateFileError: see `spent`.
        """
        spent, limits = self.spent(), self._settings
        if limits.usd_per_day <= 0 or limits.calls_per_day <= 0:
            return 1.0
        return max(spent.usd / limits.usd_per_day, spent.calls / limits.calls_per_day)

    def refusal(self, prompt: Prompt) -> str:
        """Why this call may not be made today, in words; empty: it may."""
        spent, limits = self.spent(), self._settings
        if spent.calls >= limits.calls_per_day:
            return f"language model: {spent.calls} calls today, limit {limits.calls_per_day}; waits for 00:00 UTC"
        worst_usd = self.worst_usd(prompt)
        if spent.usd + worst_usd > limits.usd_per_day:
            return (
                f"language model: {spent.usd:.4f} USD spent today and up to {worst_usd:.4f} for this call, "
                f"limit {limits.usd_per_day:.2f}; waits for 00:00 UTC"
            )
        return ""

    def worst_usd(self, prompt: Prompt) -> float:
        """The most this call can cost, dollars."""
        letters = len(prompt.system) + len(prompt.user) + len(str(prompt.schema.model_json_schema()))
        return self._settings.cost_usd(letters // LETTERS_PER_TOKEN + 1, prompt.max_output_tokens)

    def book(self, prompt: Prompt) -> float:
        """Book a call that is about to be made at its worst; gives what was booked, dollars."""
        worst_usd = self.worst_usd(prompt)
        spent = self.spent()
        self._write(spent.usd + worst_usd, spent.calls + 1)
        return worst_usd

    def settle(self, booked_usd: float, *, tokens_in: int, tokens_out: int) -> float:
        """Put the real cost in the place of what was booked; gives the real cost, dollars."""
        cost_usd = self._settings.cost_usd(tokens_in, tokens_out)
        spent = self.spent()
        # At midnight the booking fell with its day: what remains to be booked today is the cost itself.
        self._write(max(0.0, spent.usd - booked_usd) + cost_usd, spent.calls)
        log.info("llm.settled", cost_usd=round(cost_usd, 6), tokens_in=tokens_in, tokens_out=tokens_out)
        return cost_usd

    def _write(self, usd: float, calls: int) -> None:
        day = iso(self._clock.now_ms())[:10]
        write_json(self._path, {"day": day, "usd": round(usd, 8), "calls": calls}, schema=SCHEMA)
