"""What a language model may answer, and how its answer becomes strategies: strictly, or not at all.

Nothing is repaired, clipped or guessed. An answer that is not one JSON object gives no idea; an idea that is wrong in
one place is refused whole, with the reason; the others beside it live.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from trading.domain.errors import SpecError
from trading.domain.first_fault import first_fault
from trading.strategy.spec import (
    CarryParameters,
    Origin,
    RuleParameters,
    SpecMarket,
    StrategySpec,
    StrategyType,
    new_spec,
    parse_parameters,
    spec_sha256,
)

MAX_LETTERS = 200_000
"""Of an answer; a longer one is not read."""
MAX_IDEAS = 10
"""Of an answer; more is not what was asked."""
MAX_DETAIL = 300
"""Letters of a refusal's detail."""

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=80, pattern=r"^[^\n\r\t<>]+$")]
Sentences = Annotated[str, StringConstraints(strip_whitespace=True, min_length=10, max_length=600)]
Rules = list[Annotated[str, StringConstraints(max_length=400)]]


class IdeaReason(StrEnum):
    """Why an idea, or a whole answer, is none. Counted and kept; never reworded."""

    NOT_JSON = "NOT_JSON"
    WRONG_SHAPE = "WRONG_SHAPE"
    OTHER_TIMEFRAME = "OTHER_TIMEFRAME"
    BAD_SPEC = "BAD_SPEC"
    """A rule that does not parse, an unknown indicator, a number out of range."""
    DUPLICATE = "DUPLICATE"
    """Tried before, or twice in this answer; costs no trial."""
    RATE_LIMITED = "RATE_LIMITED"
    UNAVAILABLE = "UNAVAILABLE"
    TRUNCATED = "TRUNCATED"
    BLOCKED = "BLOCKED"
    INVALID = "INVALID"
    """The model failed; see `ai_brain.llm.provider.Failure`."""
    BUDGET_SPENT = "BUDGET_SPENT"
    NO_FACTS = "NO_FACTS"
    """The market could not be measured, or what was measured is too old: nothing was asked."""


@dataclass(frozen=True, slots=True)
class RejectedIdea:
    """Something that is no idea."""

    name: str
    """As the model named it; empty: the whole answer."""
    reason: IdeaReason
    detail: str
    """One line."""


@dataclass(frozen=True, slots=True)
class Ideas:
    """What one question brought."""

    specs: tuple[StrategySpec, ...] = ()
    rejected: tuple[RejectedIdea, ...] = ()
    cost_usd: float = 0.0
    retry_after_s: float | None = None
    """Real seconds the provider asked us to wait; None: it did not."""

    @property
    def counts(self) -> dict[str, int]:
        """How many were refused, by reason."""
        return dict(Counter(idea.reason.value for idea in self.rejected))


class RiskIdea(BaseModel):
    """How the model wants to hold it; ranges are checked by the strategy file's own model."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    position_pct: float
    leverage: int
    stop_loss_atr: float | None = None
    take_profit_atr: float | None = None
    trailing_atr: float | None = None
    max_hold_bars: int | None = None


class CarryIdea(BaseModel):
    """Parameters of a funding carry; ranges likewise."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    entry_apr_pct: float
    exit_apr_pct: float
    max_basis_bps: float
    leverage: int
    rebalance_delta_pct: float
    min_hold_fundings: int
    capital_pct: float


class Idea(BaseModel):
    """One idea as a model is asked to write it."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    name: Words
    type: Literal["momentum", "mean_reversion", "funding_carry"]
    timeframe: str
    entry_long: Rules = []
    entry_short: Rules = []
    exit_long: Rules = []
    exit_short: Rules = []
    filters: Rules = []
    risk: RiskIdea | None = None
    """Needed unless it is a funding carry."""
    carry: CarryIdea | None = None
    """Needed if it is one."""
    thesis: Sentences
    refutation: Sentences


@dataclass(frozen=True, slots=True)
class Asked:
    """What the answer answers, and who gave it."""

    market: SpecMarket
    model: str
    prompt_sha256: str
    at_ms: int


def read_ideas(text: str, asked: Asked, *, known: Container[object] = ()) -> Ideas:
    """Strategies out of a model's answer.

    Args:
        text: As it came.
        asked: Goes into market and origin of each strategy.
        known: `spec_sha256` of everything tried before.
    """
    try:
        entries = _entries(text)
    except ValueError as error:
        reason = IdeaReason.WRONG_SHAPE if isinstance(error, _ShapeError) else IdeaReason.NOT_JSON
        return Ideas(rejected=(RejectedIdea("", reason, _printable(str(error))),))
    specs: list[StrategySpec] = []
    rejected: list[RejectedIdea] = []
    seen = set[str]()
    for entry in entries:
        name = _printable(str(entry.get("name", ""))) if isinstance(entry, dict) else ""
        try:
            spec = _spec(Idea.model_validate(entry), asked)
        except ValidationError as error:
            rejected.append(RejectedIdea(name, IdeaReason.WRONG_SHAPE, _printable(first_fault(error, whole="idea"))))
        except _OtherTimeframeError as error:
            rejected.append(RejectedIdea(name, IdeaReason.OTHER_TIMEFRAME, _printable(str(error))))
        except SpecError as error:
            rejected.append(RejectedIdea(name, IdeaReason.BAD_SPEC, _printable(str(error))))
        else:
            sha256 = spec_sha256(spec)
            if sha256 in seen or sha256 in known:
                rejected.append(RejectedIdea(name, IdeaReason.DUPLICATE, f"spec {sha256[:12]} was tried before"))
            else:
                seen.add(sha256)
                specs.append(spec)
    return Ideas(tuple(specs), tuple(rejected))


class _ShapeError(ValueError):
    """JSON, but not what was asked for."""


class _OtherTimeframeError(SpecError):
    """An idea for a market that was not shown."""


def _entries(text: str) -> list[object]:
    if len(text) > MAX_LETTERS:
        raise _ShapeError(f"{len(text)} letters, at most {MAX_LETTERS} are read")
    try:
        answer = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise _ShapeError("nested too deep") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("ideas"), list):
        raise _ShapeError(f"{type(answer).__name__} without a list of ideas")
    entries: list[object] = answer["ideas"]
    if len(entries) > MAX_IDEAS:
        raise _ShapeError(f"{len(entries)} ideas, at most {MAX_IDEAS} were asked for")
    return entries


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _spec(idea: Idea, asked: Asked) -> StrategySpec:
    if idea.timeframe != asked.market.timeframe:
        raise _OtherTimeframeError(f"timeframe={idea.timeframe!r}: {asked.market.timeframe} was asked for")
    return new_spec(
        name=idea.name,
        type=StrategyType(idea.type),
        market=asked.market,
        parameters=_parameters(idea),
        origin=Origin(
            author="gemini",
            model=asked.model,
            prompt_sha256=asked.prompt_sha256,
            thesis=idea.thesis,
            refutation=idea.refutation,
        ),
        at_ms=asked.at_ms,
    )


def _parameters(idea: Idea) -> RuleParameters | CarryParameters:
    if idea.type == "funding_carry":
        if idea.carry is None:
            raise SpecError("a funding carry without its `carry` parameters")
        plain = idea.carry.model_dump()
    else:
        if idea.risk is None:
            raise SpecError("no `risk`: position, leverage and a way out are needed")
        plain = idea.model_dump(include={"entry_long", "entry_short", "exit_long", "exit_short", "filters", "risk"})
    return parse_parameters(StrategyType(idea.type), plain, where="parameters")


def _printable(text: str) -> str:
    """One line that every file and terminal takes: what a model wrote may hold half characters and control signs."""
    return "".join(sign if sign.isprintable() else " " for sign in text)[:MAX_DETAIL]
