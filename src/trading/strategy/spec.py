"""A strategy is data: one JSON file, parsed once at the door into this model. No code of a strategy is executed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from trading.domain.clock import iso
from trading.domain.errors import SpecError
from trading.domain.instrument import Market
from trading.strategy.lifecycle import Move, Stage, Status, history_problem, standing_approval, status_of
from trading.strategy.parameters import CarryParameters, RiskParameters, RuleParameters
from trading.strategy.spec_parts import (
    Origin,
    Performance,
    Scalar,
    SpecMarket,
    StrategyType,
    UtcTime,
    one_line_of_text,
    strategy_id,
)
from trading.strategy.spec_reading import ModelClass, one_line, read_object, shown, with_new_names

__all__ = [
    "CarryParameters",
    "Origin",
    "Performance",
    "RiskParameters",
    "RuleParameters",
    "SpecMarket",
    "StrategySpec",
    "StrategyType",
    "dump_spec",
    "load_spec",
    "new_spec",
    "parse_parameters",
    "spec_sha256",
    "with_performance",
]


class StrategySpec(BaseModel):
    """One strategy: its file, field by field and in the file's order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, AfterValidator(strategy_id)]
    """Also the file's name."""
    name: Annotated[str, Field(min_length=1, max_length=120), AfterValidator(one_line_of_text)]
    type: StrategyType
    market: SpecMarket
    parameters: RuleParameters | CarryParameters
    performance: Performance = Performance()
    status: Status
    stage: Stage
    created_at: UtcTime
    approved_at: UtcTime | None = None
    """When the standing approval was given; None: none stands."""
    origin: Origin
    history: tuple[Move, ...] = ()

    @property
    def reads_basis(self) -> bool:
        """Whether its rules name `basis`, so that its perpetual's bars need the spot market's beside them."""
        return isinstance(self.parameters, RuleParameters) and self.parameters.reads_basis

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for why in (self._id_problem(), self._market_problem(), self._life_problem()):
            if why is not None:
                raise ValueError(why)
        return self

    def _id_problem(self) -> str | None:
        if not self.id.startswith(f"{self.type.prefix}-"):
            return f"id={self.id}: a {self.type} begins with {self.type.prefix}-"
        if isinstance(self.parameters, CarryParameters) != (self.type is StrategyType.FUNDING_CARRY):
            return f"type={self.type}: these are not its parameters; see docs/strategy-file.md"
        return None

    def _market_problem(self) -> str | None:
        if isinstance(self.parameters, RuleParameters):
            why = self.parameters.interval_problem(self.market.timeframe)
            if why is not None:
                return why
        if self.market.market is Market.PERP:
            return None
        symbol = self.market.symbol
        perpetual = f"{symbol}:{symbol.partition('/')[2]}"
        if isinstance(self.parameters, CarryParameters):
            return f"market.symbol={symbol}: a funding carry names its perpetual; write {perpetual}"
        if self.parameters.entry_short:
            return f"market.symbol={symbol}: spot cannot be sold short; empty entry_short or trade {perpetual}"
        if self.parameters.risk.leverage > 1:
            return f"market.symbol={symbol}: spot has no leverage; write 1 or trade {perpetual}"
        if self.parameters.reads_funding:
            return f"market.symbol={symbol}: spot has no funding; drop that rule or trade {perpetual}"
        if self.parameters.reads_basis:
            return f"market.symbol={symbol}: spot has no basis; drop that rule or trade {perpetual}"
        return None

    def _life_problem(self) -> str | None:
        if (why := history_problem(self.history, stage=self.stage)) is not None:
            return why
        standing = standing_approval(self.history)
        given = standing.at if standing else None
        if self.approved_at != given:
            return f"approved_at={self.approved_at}: the approval that stands in the history is {given or 'none'}"
        expected = status_of(self.stage, is_approved=standing is not None)
        if self.status is not expected:
            return f"status={self.status} does not go with stage={self.stage}: write {expected}"
        return None


def load_spec(raw: bytes, *, where: str) -> StrategySpec:
    """Read a strategy file.

    Args:
        raw: The file's content, UTF-8 JSON, at most 1 MB.
        where: Named in every error; the path.

    Raises:
        SpecError: one line with where, the field, the value and what to do.
    """
    found = with_new_names(read_object(raw, where=where), StrategySpec, where=where)
    try:
        strategy_type = StrategyType(str(found["type"]))
    except KeyError as error:
        raise SpecError(f'{where}: "type" is missing; add it') from error
    except ValueError as error:
        kinds = ", ".join(StrategyType)
        raise SpecError(f"{where}: type={shown(found['type'])}: must be one of {kinds}") from error
    parameters = parse_parameters(strategy_type, found.get("parameters"), where=where)
    try:
        return StrategySpec.model_validate({**found, "parameters": parameters})
    except ValidationError as error:
        raise SpecError(one_line(error, StrategySpec, where=where)) from error


def parse_parameters(strategy_type: StrategyType, found: object, *, where: str) -> RuleParameters | CarryParameters:
    """Read the parameters of a strategy of a type, as its file has them.

    Raises:
        SpecError: one line with where, the field, the value and what to do.
    """
    model: ModelClass = CarryParameters if strategy_type is StrategyType.FUNDING_CARRY else RuleParameters
    if not isinstance(found, Mapping):
        raise SpecError(f"{where}: parameters: must be an object; see docs/strategy-file.md")
    try:
        parsed = model.model_validate(with_new_names(found, model, where=f"{where}: parameters"))
    except ValidationError as error:
        raise SpecError(one_line(error, model, where=where, inside=("parameters",))) from error
    if not isinstance(parsed, RuleParameters | CarryParameters):
        raise SpecError(f"{where}: no parameters of a {strategy_type}")
    return parsed


def dump_spec(spec: StrategySpec) -> bytes:
    """The file of a strategy; loading it and dumping it again gives the same bytes."""
    plain = spec.model_dump(mode="json", by_alias=True, warnings=False)
    if not spec.origin.refutation:
        plain["origin"].pop("refutation")
    return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def spec_sha256(spec: StrategySpec) -> str:
    """SHA-256, hex, of what the strategy does: type, market and parameters.

    Order of keys, spelling of numbers, and spaces and order of rules in a list make no difference; name, stage,
    performance and origin are not in it. An approval signs this, so it is void when a parameter changes.
    """
    return _content_sha256(spec.type, spec.market, spec.parameters)


def new_spec(
    name: str,
    type: StrategyType,  # noqa: A002  # the file's own word
    market: SpecMarket,
    parameters: RuleParameters | CarryParameters,
    origin: Origin,
    at_ms: int,
) -> StrategySpec:
    """A newly generated strategy.

    Args:
        name: For people.
        type: What it lives on.
        market: Where it trades.
        parameters: Of that type.
        origin: Who thought of it, and why.
        at_ms: When, UTC milliseconds; its date is in the id, with six digits of the hash.

    Raises:
        SpecError: the parts do not fit together.
    """
    created_at = iso(at_ms)
    digest = _content_sha256(type, market, parameters)
    try:
        return StrategySpec(
            id=f"{type.prefix}-{created_at[:10].replace('-', '')}-{digest[:6]}",
            name=name,
            type=type,
            market=market,
            parameters=parameters,
            status=Status.TESTING,
            stage=Stage.GENERATED,
            created_at=created_at,
            origin=origin,
        )
    except ValidationError as error:
        raise SpecError(one_line(error, StrategySpec, where="new strategy")) from error


def with_performance(
    spec: StrategySpec, block: Literal["backtest", "dry_run", "live"], values: Mapping[str, Scalar]
) -> StrategySpec:
    """The strategy with one block of its performance replaced.

    Raises:
        SpecError: a value is not a finite number, text, truth value or null.
    """
    try:
        performance = Performance.model_validate({**dict(spec.performance), block: dict(values)})
    except ValidationError as error:
        raise SpecError(one_line(error, Performance, where=spec.id, inside=("performance",))) from error
    return spec.model_copy(update={"performance": performance})


@lru_cache(maxsize=4096)
def _content_sha256(
    strategy_type: StrategyType, market: SpecMarket, parameters: RuleParameters | CarryParameters
) -> str:
    content = {"type": strategy_type, "market": market.model_dump(mode="json"), "parameters": parameters.canonical()}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
