"""The parts of a strategy's file, apart from its parameters and its history."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from trading.domain.clock import parse_iso
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.domain.venue import ExchangeName


class StrategyType(StrEnum):
    """What a strategy lives on."""

    FUNDING_CARRY = "funding_carry"
    MOMENTUM = "momentum"
    MEAN_REVERSION = "mean_reversion"

    @property
    def prefix(self) -> str:
        """First letters of an id: `fc`, `mo`, `mr`."""
        return {"funding_carry": "fc", "momentum": "mo", "mean_reversion": "mr"}[self.value]


def one_line_of_text(text: str) -> str:
    """A text that fits a message.

    Raises:
        ValueError: a line break or another character that cannot be printed.
    """
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text


def utc_time(text: str) -> str:
    """A moment as files write it.

    Raises:
        ValueError: anything else, or a date that is not in the calendar.
    """
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", text):
        raise ValueError("must be a UTC time such as 2026-01-21T09:14:03Z")
    parse_iso(text)
    return text


def strategy_id(text: str) -> str:
    """Letters of the type, date, six hex digits: safe as a file's name.

    Raises:
        ValueError: anything else.
    """
    if not is_strategy_id(text):
        raise ValueError("must be like mr-20260121-7f3a9c: fc, mo or mr, the date, six hex digits")
    return text


def is_strategy_id(text: str) -> bool:
    """Whether it is a whole id."""
    return re.fullmatch(r"(fc|mo|mr)-[0-9]{8}-[0-9a-f]{6}", text) is not None


def unified_symbol(text: str) -> str:
    """A pair, or a contract settled in its quote.

    Raises:
        ValueError: anything else.
    """
    match = re.fullmatch(r"[A-Z0-9]{1,20}/([A-Z0-9]{2,10})(?::([A-Z0-9]{2,10}))?", text)
    if match is None or match.group(2) not in (None, match.group(1)):
        raise ValueError("write BTC/USDT for spot, BTC/USDT:USDT for the perpetual settled in its quote")
    return text


def scalar(value: object) -> object:
    """A number, text, truth value or null: what a performance block may hold.

    Raises:
        ValueError: anything else, or not finite.
    """
    if not isinstance(value, str | bool | int | float | None):
        raise ValueError("must be a number, a text, true, false or null; a block is flat")  # noqa: TRY004
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be finite; write null where there is no number")
    return value


def known_interval(text: str) -> str:
    """A bar length.

    Raises:
        ValueError: not one the lab knows.
    """
    if text not in INTERVAL_MS:
        raise ValueError(f"must be one of {', '.join(INTERVAL_MS)}")
    return text


UtcTime = Annotated[str, AfterValidator(utc_time)]
Scalar = str | bool | int | float | None
Block = dict[str, Annotated[Scalar, BeforeValidator(scalar)]]


class SpecMarket(BaseModel):
    """Where it trades, and by which bars it decides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exchange: ExchangeName
    symbol: Annotated[str, AfterValidator(unified_symbol)]
    """Unified: `BTC/USDT` is spot, `BTC/USDT:USDT` the perpetual settled in USDT."""
    timeframe: Annotated[str, AfterValidator(known_interval)]

    @property
    def market(self) -> Market:
        """Spot or perpetual."""
        return Market.PERP if ":" in self.symbol else Market.SPOT

    @property
    def native_symbol(self) -> str:
        """The venue's own name: `BTCUSDT`."""
        return self.symbol.partition(":")[0].replace("/", "")


class Performance(BaseModel):
    """What was measured so far; each block a flat JSON object, units in the names, empty until there is something."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    backtest: Block = {}
    dry_run: Block = {}
    live: Block = {}


class Origin(BaseModel):
    """Who thought of it, and why it should work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    author: Annotated[str, Field(min_length=1, max_length=120)]
    model: Annotated[str, Field(max_length=500)] = ""
    """Of a language model's idea: which one; of a library idea: its source."""
    prompt_sha256: Annotated[str, Field(max_length=64)] = ""
    thesis: Annotated[str, Field(max_length=4000)] = ""
    refutation: Annotated[str, Field(max_length=4000)] = ""
    """What result would show that the thesis is wrong; left out of the file while empty."""
