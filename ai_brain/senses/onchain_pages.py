"""What the chain's public pages say: mempool.space and blockchain.info, read strictly. Pure.

An answer that is missing or makes no sense is an error that names it, never a zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ai_brain.senses.onchain_settings import ChartName
from trading.domain.clock import DAY_MS, iso
from trading.domain.errors import DataProviderError
from trading.domain.first_fault import first_fault

LAG_MS = DAY_MS
"""Daily values come late and are revised: one is used only so long after its day has ended."""
UNITS: Mapping[ChartName, str] = {
    "hash-rate": "TH/s",
    "n-transactions": "transactions",
    "n-unique-addresses": "addresses",
    "transaction-fees": "BTC",
    "miners-revenue": "USD",
    "estimated-transaction-volume-usd": "USD",
}
"""Of the daily series. The page's own words are not taken: readings stand in a prompt."""

MEMPOOL = "transactions that wait for a block"

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
    """**Look-ahead**: before that the lab did not know it."""
    source: str = ""
    """The site it comes from."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Fees(_Answer):
    fastestFee: Fee  # noqa: N815  # the wire's name
    economyFee: Fee  # noqa: N815  # the wire's name
    hourFee: Fee  # noqa: N815  # the wire's name


class _Mempool(_Answer):
    count: Annotated[int, Field(ge=0, le=10**8, strict=True)]
    vsize: Annotated[int, Field(ge=0, le=10**11, strict=True)]


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


def read_fees(body: bytes, now_ms: int) -> tuple[Reading, ...]:
    """Recommended fees.

    Raises:
        DataProviderError: not that.
    """
    found = _checked(_Fees, body)
    return (
        Reading("fee for the next block", found.fastestFee, "sat/vB", now_ms, now_ms),
        Reading("fee within an hour", found.hourFee, "sat/vB", now_ms, now_ms),
        Reading("fee pressure: next block over no hurry", found.fastestFee / found.economyFee, "times", now_ms, now_ms),
    )


def read_mempool(body: bytes, now_ms: int) -> tuple[Reading, ...]:
    """How much waits for a block.

    Raises:
        DataProviderError: not that.
    """
    found = _checked(_Mempool, body)
    return (Reading(MEMPOOL, found.vsize / 1e6, "MvB", now_ms, now_ms),)


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


def _checked(model: type[Found], body: bytes) -> Found:
    """An answer as its model; what we do not know is ignored.

    Raises:
        DataProviderError: not JSON, or something we need is missing or makes no sense; names it.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise DataProviderError(first_fault(error, whole="answer")) from error
