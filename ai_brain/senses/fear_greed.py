"""The Fear & Greed index of alternative.me: one number a day, 0 to 100, made by strangers in a way they describe only
in words. Context; it decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ai_brain.senses.bounded_page import read_page, shown
from ai_brain.senses.sentiment_settings import SentimentSettings
from trading.domain.clock import Clock, iso
from trading.domain.errors import DataProviderError
from trading.domain.first_fault import first_fault

MAX_BYTES = 200_000
SOURCE = "alternative.me"


@dataclass(frozen=True, slots=True)
class FearGreed:
    """One day's value."""

    value: int
    """0: extreme fear, 100: extreme greed."""
    words: str
    """As the index calls it."""
    at_ms: int
    """The beginning of the day it is of, UTC milliseconds; it is published then, from what came before."""
    known_ms: int
    """When the lab first read it. **Look-ahead**: before that it could not be known."""
    source: str = SOURCE


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True)

    value: Annotated[str, Field(pattern=r"^\d{1,3}$")]
    value_classification: Literal["Extreme Fear", "Fear", "Neutral", "Greed", "Extreme Greed"]
    timestamp: Annotated[str, Field(pattern=r"^\d{9,11}$")]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)

    data: Annotated[tuple[_Row, ...], Field(max_length=10)]


class FearGreedIndex:
    """Asks for today's value. Open it with `async with`.

    Args:
        settings: Whom to ask.
        clock: Stamps what was read, and decides what is too old.
    """

    def __init__(self, settings: SentimentSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._http = httpx.AsyncClient(
            timeout=settings.timeout_s, follow_redirects=False, headers={"User-Agent": "ai-trading-lab"}
        )
        self._kept: dict[int, FearGreed] = {}

    async def __aenter__(self) -> FearGreedIndex:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def fetch(self) -> FearGreed | None:
        """Ask; what was read stays for `as_of`. None: it is switched off.

        Raises:
            DataProviderError: no answer, or one that makes no sense.
        """
        address = self._settings.fear_greed_url
        if not self._settings.enabled or address is None:
            return None
        try:
            page = await read_page(
                self._http, f"{address}?limit=2", max_bytes=MAX_BYTES, within_s=self._settings.timeout_s
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DataProviderError(f"{shown(address)}: {type(error).__name__}: {error}") from error
        if page.status != httpx.codes.OK:
            raise DataProviderError(f"{shown(address)}: status {page.status}")
        for found in read_fear_greed(page.body, now_ms=self._clock.now_ms()):
            self._kept.setdefault(found.at_ms, found)
        oldest_ms = self._clock.now_ms() - int(self._settings.max_age_h * 3_600_000)
        self._kept = {ms: one for ms, one in self._kept.items() if ms >= oldest_ms}
        newest = self.as_of(self._clock.now_ms())
        if newest is None:
            raise DataProviderError(
                f"{shown(address)}: no value of the last {self._settings.max_age_h:g} h in the answer"
            )
        return newest

    def as_of(self, now_ms: int) -> FearGreed | None:
        """The newest value that was known at a time and is not too old; None: there is none."""
        oldest_ms = now_ms - int(self._settings.max_age_h * 3_600_000)
        known = [one for one in self._kept.values() if one.known_ms <= now_ms and oldest_ms <= one.at_ms <= now_ms]
        return max(known, key=lambda one: one.at_ms, default=None)


def read_fear_greed(body: bytes, *, now_ms: int) -> tuple[FearGreed, ...]:
    """The values of an answer.

    Args:
        body: Of the page; its numbers are texts.
        now_ms: When it was read; a value of a day that has not begun is refused.

    Raises:
        DataProviderError: not that, or a value beyond 0 to 100.
    """
    try:
        rows = _Answer.model_validate_json(body).data
    except ValidationError as error:
        raise DataProviderError(first_fault(error, whole="answer")) from error
    found = []
    for row in rows:
        value, at_ms = int(row.value), int(row.timestamp) * 1000
        if value > 100:
            raise DataProviderError(f"value={value}: the index goes from 0 to 100")
        if at_ms > now_ms:
            raise DataProviderError(f"timestamp={iso(at_ms)}: of a day that has not begun")
        found.append(FearGreed(value, row.value_classification, at_ms, now_ms))
    return tuple(found)
