"""The life of a strategy as a table: which stage may follow which, and what an approval is worth.

generated -> backtesting -> dry_run -> review -> live_testing -> scaling, and retired from anywhere, for good.
Back-steps: backtesting -> generated and dry_run -> backtesting (test anew), review -> dry_run, live_testing -> dry_run
and scaling -> dry_run (paper again, the approval is void), scaling -> live_testing (smaller, the approval stands).
An approval is a record in the history too, from review to review, signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trading.domain.clock import DAY_MS, iso, parse_iso
from trading.domain.errors import SpecError
from trading.strategy.spec_parts import UtcTime
from trading.strategy.spec_reading import one_line

if TYPE_CHECKING:
    from trading.strategy.spec import StrategySpec


class Stage(StrEnum):
    """Where a strategy stands."""

    GENERATED = "generated"
    BACKTESTING = "backtesting"
    DRY_RUN = "dry_run"
    REVIEW = "review"
    LIVE_TESTING = "live_testing"
    SCALING = "scaling"
    RETIRED = "retired"


class Status(StrEnum):
    """The short form of the stage; the file's folder follows it."""

    TESTING = "testing"
    APPROVED = "approved"
    LIVE = "live"
    RETIRED = "retired"


LEGAL_MOVES: dict[Stage, frozenset[Stage]] = {
    Stage.GENERATED: frozenset({Stage.BACKTESTING, Stage.RETIRED}),
    Stage.BACKTESTING: frozenset({Stage.GENERATED, Stage.DRY_RUN, Stage.RETIRED}),
    Stage.DRY_RUN: frozenset({Stage.BACKTESTING, Stage.REVIEW, Stage.RETIRED}),
    Stage.REVIEW: frozenset({Stage.DRY_RUN, Stage.LIVE_TESTING, Stage.RETIRED}),
    Stage.LIVE_TESTING: frozenset({Stage.DRY_RUN, Stage.SCALING, Stage.RETIRED}),
    Stage.SCALING: frozenset({Stage.DRY_RUN, Stage.LIVE_TESTING, Stage.RETIRED}),
    Stage.RETIRED: frozenset(),
}
"""Stage -> stages that may follow."""

APPROVAL_LIFE_DAYS = 30
"""A strategy that was approved and did not go live for so long is read and signed anew first."""

UNSIGNED = (Stage.GENERATED, Stage.BACKTESTING, Stage.DRY_RUN)
"""Stages a file may begin in: nobody has vouched for anything yet."""
TRADING = (Stage.LIVE_TESTING, Stage.SCALING)
"""Stages in which money is at stake; they need a standing approval."""
KEEPS_APPROVAL = (Stage.REVIEW, *TRADING)
"""Stages in which an approval, once given, stands."""
ALIVE = (Stage.DRY_RUN, *KEEPS_APPROVAL)
"""Stages in which a strategy has capital, on paper or live, and can lose it."""


class Move(BaseModel):
    """One line of a strategy's history; a move from review to review is an approval."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    from_: Annotated[Stage, Field(alias="from")]
    to: Stage
    at: UtcTime
    """UTC, `2026-01-21T09:14:03Z`."""
    by: Annotated[str, Field(min_length=1, max_length=120)]
    """Who: a job's name, or the operator."""
    why: Annotated[str, Field(max_length=500)]
    evidence_sha256: str = ""
    """Of the evidence the move rests on; empty: none was needed."""
    signature: str = ""
    """Of an approval, see `approval.py`; empty on every other move."""

    @property
    def is_approval(self) -> bool:
        """A human's signature, not a change of stage."""
        return self.from_ is Stage.REVIEW and self.to is Stage.REVIEW


def move(
    spec: StrategySpec,
    to: Stage,
    *,
    by: str,
    why: str,
    at_ms: int,
    evidence_sha256: str = "",
) -> StrategySpec:
    """The strategy one stage further, or back, with the move in its history.

    Args:
        spec: As it stands; it is not changed.
        to: The next stage.
        by: Who moves it: a job's name, or the operator.
        why: One sentence a person can read.
        at_ms: When, UTC milliseconds.
        evidence_sha256: Of the evidence the move rests on.

    Raises:
        SpecError: the move is not in `LEGAL_MOVES`, or trading without a standing approval.
    """
    if to not in LEGAL_MOVES[spec.stage]:
        legal = (
            ", ".join(stage for stage in Stage if stage in LEGAL_MOVES[spec.stage]) or "nothing: it is retired for good"
        )
        raise SpecError(f"{spec.id}: stage={spec.stage}: cannot move to {to}; possible from here: {legal}")
    if to in TRADING and spec.approved_at is None:
        raise SpecError(f"{spec.id}: stage={spec.stage}: not approved; python approve_strategy.py {spec.id}")
    return _with_record(spec, to=to, at_ms=at_ms, by=by, why=why, evidence_sha256=evidence_sha256)


def approve(spec: StrategySpec, *, by: str, at_ms: int, evidence_sha256: str, signature: str) -> StrategySpec:
    """The strategy with a human's signature; it stays in review until it goes live.

    Args:
        spec: In review, not approved, or so long ago that it has lapsed.
        by: The operator who signed.
        at_ms: When, UTC milliseconds, as it was signed.
        evidence_sha256: Of the evidence that was shown.
        signature: From `approval.sign`.

    Raises:
        SpecError: not in review, approved already (unless that has lapsed), or evidence or signature is missing.
    """
    if spec.stage is not Stage.REVIEW:
        raise SpecError(f"{spec.id}: stage={spec.stage}: only a strategy in review can be approved")
    if spec.approved_at is not None and not has_lapsed(spec, at_ms):
        raise SpecError(f"{spec.id}: approved_at={spec.approved_at}: already approved")
    if not (evidence_sha256 and signature):
        raise SpecError(f"{spec.id}: an approval needs the hash of its evidence and a signature; see approval.sign")
    return _with_record(
        spec,
        to=Stage.REVIEW,
        at_ms=at_ms,
        by=by,
        why="approved",
        evidence_sha256=evidence_sha256,
        signature=signature,
    )


def has_lapsed(spec: StrategySpec, now_ms: int) -> bool:
    """An approval that was not followed by going live within `APPROVAL_LIFE_DAYS`: the evidence it signed is old."""
    if spec.stage is not Stage.REVIEW or spec.approved_at is None:
        return False
    return _is_over(spec.approved_at, now_ms)


def _is_over(approved_at: str, now_ms: int) -> bool:
    return now_ms - parse_iso(approved_at) > APPROVAL_LIFE_DAYS * DAY_MS


def standing_approval(history: Sequence[Move]) -> Move | None:
    """The approval that stands at the end of a history; None: never given, or voided by a step back."""
    found: Move | None = None
    for record in history:
        if record.is_approval:
            found = record
        elif record.to not in KEEPS_APPROVAL:
            found = None
    return found


def status_of(stage: Stage, *, is_approved: bool) -> Status:
    """The short form of a stage."""
    if stage is Stage.RETIRED:
        return Status.RETIRED
    if stage in TRADING:
        return Status.LIVE
    return Status.APPROVED if is_approved else Status.TESTING


def folder_of(status: Status) -> str:
    """The folder below `strategies/` in which a file of this status lies."""
    return {
        Status.TESTING: "testing",
        Status.APPROVED: "active",
        Status.LIVE: "active",
        Status.RETIRED: "retired",
    }[status]


def history_problem(history: Sequence[Move], *, stage: Stage) -> str | None:
    """What is wrong with a history that should end in `stage`; None: it is a legal life."""
    if not history:
        known = ", ".join(UNSIGNED)
        return None if stage in UNSIGNED else f"stage={stage} with an empty history: a file begins in {known}"
    at = history[0].from_
    if at not in UNSIGNED:
        return f"history[0].from={at}: a life begins in {', '.join(UNSIGNED)}"
    for index, record in enumerate(history):
        if record.from_ is not at:
            return f"history[{index}].from={record.from_}: the record before ends in {at}"
        if record.is_approval:
            if not (record.signature and record.evidence_sha256):
                return f"history[{index}]: an approval without signature or evidence"
            standing = standing_approval(history[:index])
            if standing is not None and not _is_over(standing.at, parse_iso(record.at)):
                return f"history[{index}]: approved twice"
        elif record.to not in LEGAL_MOVES[at]:
            return f"history[{index}]: {at} -> {record.to} is not a legal move"
        elif record.to in TRADING and standing_approval(history[:index]) is None:
            return f"history[{index}]: {record.to} without a standing approval"
        at = record.to
    return None if at is stage else f"stage={stage}, but the history ends in {at}"


def _with_record(spec: StrategySpec, *, to: Stage, at_ms: int, **facts: str) -> StrategySpec:
    try:
        record = Move.model_validate({"from": spec.stage, "to": to, "at": iso(at_ms), **facts})
        history = (*spec.history, record)
        standing = standing_approval(history)
        changes: dict[str, object] = {
            "history": history,
            "stage": to,
            "approved_at": standing.at if standing else None,
            "status": status_of(to, is_approved=standing is not None),
        }
        return type(spec).model_validate({**dict(spec), **changes})
    except ValidationError as error:
        raise SpecError(one_line(error, Move, where=f"{spec.id}: move to {to}")) from error
