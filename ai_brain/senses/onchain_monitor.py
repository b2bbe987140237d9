"""Bitcoin's own chain, from public pages: fees, difficulty, height, daily series. It is context and decides nothing.

An answer that is missing or makes no sense is a reason beside the readings of the others, never a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Literal, TypeVar

import httpx
import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ai_brain.senses.onchain_settings import ChartName, OnChainSettings
from trading.domain.clock import Clock, iso
from trading.domain.errors import DataProviderError

log = structlog.get_logger(__name__)

__all__ = ["OnChain", "OnChainMonitor", "OnChainSettings", "Reading"]

MAX_BYTES = 1_000_000
"""Of one answer; more is not read."""
DAY_MS = 86_400_000
LAG_MS = DAY_MS
"""Daily values come late and are revised: one is used only so long after its day has ended."""
DAYS_ASKED = 30
UNITS: Mapping[ChartName, str] = {
    "hash-rate": "TH/s",
    "n-transactions": "transactions",
    "n-unique-addresses": "addresses",
    "transaction-fees": "BTC",
    "miners-revenue": "USD",
    "estimated-transaction-volume-usd": "USD",
}
"""Of the daily series. The page's own words are not taken: readings stand in a prompt."""

Finite = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Fee = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False, strict=True)]


@dataclass(frozen=True, slots=True)
class Reading:
    """One number of the chain."""

    name: str
    value: float
    unit: str
    at_ms: int
    """What moment it tells of, UTC ms: when it was fetched, or for a daily series when its day ended."""
    fetched_at_ms: int


@dataclass(frozen=True, slots=True)
class OnChain:
    """One round over all sources."""

    readings: tuple[Reading, ...] = ()
    """Those fetched no longer than `max_age_h` ago, in the order of the sources."""
    failures: dict[str, str] = field(default_factory=dict)
    """Address -> why it gave nothing this time."""


Parse = Callable[[bytes, int], tuple[Reading, ...]]
"""An answer and the lab time it came, UTC ms -> its readings."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Fees(_Answer):
    fastestFee: Fee  # noqa: N815  # the wire's name
    hourFee: Fee  # noqa: N815  # the wire's name


class _Difficulty(_Answer):
    difficultyChange: Annotated[float, Field(ge=-100, le=1000, allow_inf_nan=False, strict=True)]  # noqa: N815
    remainingBlocks: Annotated[int, Field(ge=0, le=2016, strict=True)]  # noqa: N815


class _Point(_Answer):
    x: Annotated[int, Field(gt=0, lt=10**11, strict=True)]
    y: Finite


class _Chart(_Answer):
    status: Literal["ok"]
    values: tuple[_Point, ...]


Found = TypeVar("Found", bound=_Answer)


class OnChainMonitor:
    """Asks the chain's public pages. Open it with `async with`.

    Args:
        settings: Who is asked.
        clock: Stamps readings, and decides what is too old and what cannot be known yet.
    """

    def __init__(self, settings: OnChainSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._http = httpx.AsyncClient(
            timeout=settings.timeout_s, follow_redirects=True, headers={"User-Agent": "ai-trading-lab"}
        )
        self._kept: dict[str, tuple[Reading, ...]] = {}
        self._sources = _sources(settings)

    async def __aenter__(self) -> OnChainMonitor:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    @property
    def sources(self) -> int:
        """How many pages are asked."""
        return len(self._sources)

    async def fetch(self) -> OnChain:
        """One round. Never raises for a source that fails: it is listed, and what it said before stays until stale."""
        failures: dict[str, str] = {}
        for address, parse in self._sources.items():
            try:
                body = await self._body(address)
                self._kept[address] = parse(body, self._clock.now_ms())
            except DataProviderError as error:
                failures[address] = str(error)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                failures[address] = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        readings = self.fresh()
        log.info("onchain.fetched", readings=len(readings), sources=len(self._sources), failures=failures)
        return OnChain(readings, failures)

    def fresh(self) -> tuple[Reading, ...]:
        """What may still be told now."""
        oldest_ms = self._clock.now_ms() - int(self._settings.max_age_h * 3_600_000)
        kept = (reading for address in self._sources for reading in self._kept.get(address, ()))
        return tuple(reading for reading in kept if reading.fetched_at_ms >= oldest_ms)

    async def _body(self, address: str) -> bytes:
        async with self._http.stream("GET", address) as answer:
            if answer.status_code != httpx.codes.OK:
                raise DataProviderError(f"status {answer.status_code}")
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise DataProviderError(f"larger than {MAX_BYTES} bytes")
        return bytes(body)


def read_fees(body: bytes, now_ms: int) -> tuple[Reading, ...]:
    """Recommended fees.

    Raises:
        DataProviderError: not that.
    """
    found = _checked(_Fees, body)
    return (
        Reading("fee for the next block", found.fastestFee, "sat/vB", now_ms, now_ms),
        Reading("fee within an hour", found.hourFee, "sat/vB", now_ms, now_ms),
    )


def read_difficulty(body: bytes, now_ms: int) -> tuple[Reading, ...]:
    """The difficulty's next change, as estimated from the blocks so far.

    Raises:
        DataProviderError: not that.
    """
    found = _checked(_Difficulty, body)
    name = f"estimated change of difficulty in {found.remainingBlocks} blocks"
    return (Reading(name, found.difficultyChange, "%", now_ms, now_ms),)


def read_height(body: bytes, now_ms: int) -> tuple[Reading, ...]:
    """The newest block's height: a whole number as text.

    Raises:
        DataProviderError: not that.
    """
    text = body.strip()
    if not (text.isdigit() and len(text) <= 9 and int(text) > 0):
        raise DataProviderError(f"not a height: {body[:60]!r}")
    return (Reading("height of the newest block", float(int(text)), "blocks", now_ms, now_ms),)


def read_chart(body: bytes, now_ms: int, *, name: ChartName, max_lag_d: float) -> tuple[Reading, ...]:
    """The newest usable day of a daily series.

    Args:
        body: The answer.
        now_ms: **Look-ahead**: a day's value is used only a whole day after that day has ended; before that it could
            not be known, or may still be revised.
        name: Of the series.
        max_lag_d: Days since the newest usable day ended, above which the series has stopped.

    Raises:
        DataProviderError: not a series, without a usable day, or one that has stopped.
    """
    found = _checked(_Chart, body)
    usable = [point for point in found.values if point.x * 1000 + DAY_MS + LAG_MS <= now_ms]
    if not usable:
        raise DataProviderError(f"{name}: no day that ended by {iso(now_ms - LAG_MS)} among {len(found.values)}")
    newest = max(usable, key=lambda point: point.x)
    ended_ms = newest.x * 1000 + DAY_MS
    if (now_ms - ended_ms) / DAY_MS > max_lag_d:
        raise DataProviderError(
            f"{name}: its newest usable day ended {iso(ended_ms)}, more than {max_lag_d:g} days ago"
        )
    return (Reading(f"{name} of a day", newest.y, UNITS[name], ended_ms, now_ms),)


def _sources(settings: OnChainSettings) -> dict[str, Parse]:
    mempool, charts = settings.mempool_url, settings.charts_url
    sources: dict[str, Parse] = {
        f"{mempool}/api/v1/fees/recommended": read_fees,
        f"{mempool}/api/v1/difficulty-adjustment": read_difficulty,
        f"{mempool}/api/blocks/tip/height": read_height,
    }
    for name in settings.charts:
        address = f"{charts}/charts/{name}?timespan={DAYS_ASKED}days&format=json&sampled=false"
        sources[address] = partial(read_chart, name=name, max_lag_d=settings.max_lag_d)
    return sources


def _checked(model: type[Found], body: bytes) -> Found:
    """An answer as its model; what we do not know is ignored.

    Raises:
        DataProviderError: not JSON, or something we need is missing or makes no sense; names it.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in detail["loc"])
        shown = repr(detail["input"])[:80]
        raise DataProviderError(f"{where or 'answer'}={shown}: {detail['msg']}") from error
