"""What the guardian decides from what it sees; pure. Looking and acting are in `ops`.

It acts only where nobody else does: a stop is everybody's, but a hedge that is open or a saga that stands still is the
lab's own to repair while its loop turns. Times with `_s` are real seconds but where a field says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from trading.domain.decisions import Decision, Reason
from trading.domain.orders import PerpPosition
from trading.risk.kill_switch import Stop, StopKind

Seconds = Annotated[float, Field(gt=0)]

SILENT_S = 2.0
"""A pulse that is older: the lab's loop does not turn."""
UNHEDGED_FRACTION = 0.02
"""Legs may differ by so much of the larger one: fees taken in coin, and lots."""


class GuardianSettings(BaseModel):
    """When the guardian acts by itself, see docs/guardian.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    look_s: Seconds = 5.0
    """Between two looks at the account while something is held, real seconds; switches are looked at all the time."""
    countdown_s: Annotated[int, Field(ge=10, le=600)] = 60
    """The venue cancels what rests in futures this long after the guardian's last renewal, lab seconds."""
    margin_ratio_pct: Annotated[float, Field(gt=0, lt=100)] = 60.0
    """Everything is closed when maintenance takes so much of the contract's margin; at 100 it is liquidated."""
    unhedged_s: Seconds = 180.0
    """One leg without the other for so long is closed, while the lab lives: longer than all its own ways out."""
    abandoned_s: Seconds = 30.0
    """The same, and for orders under way, while the lab's loop does not turn."""
    bare_s: Seconds = 10.0
    """The same with no order under way: the exchange has closed a leg, and nobody is about to mend it."""
    dead_lab_s: Seconds = 3600.0
    """Everything is closed when no lab has lived for so long."""
    dust_usdt: Annotated[float, Field(ge=0)] = 10.0
    """A difference of the legs below this is dust."""

    @property
    def margin_ratio(self) -> float:
        """`margin_ratio_pct` as a fraction."""
        return self.margin_ratio_pct / 100


class Act(StrEnum):
    """What there is to do."""

    WATCH = "watch"
    CANCEL = "cancel"
    """Take back what rests: nobody is there to mind it."""
    FLATTEN = "flatten"
    """Stop, cancel, close both legs, ask until flat."""


@dataclass(frozen=True, slots=True)
class AccountSight:
    """The account as the venue told it, for all that the journal holds open."""

    at_s: float
    margin_ratio: float
    """Maintenance over margin of the worst contract, fraction; 0: no contract is open."""
    unhedged_quote: Decimal
    """Notional of what one leg has more than the other, of the position whose legs are furthest apart."""
    larger_quote: Decimal
    """Notional of its larger leg."""
    is_open: bool
    """A contract of ours is open, or a leg worth more than dust."""
    resting: int
    """Orders that rest at the venue, both markets."""


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything known at one moment."""

    now_s: float
    stop: Stop
    holds: bool
    """The journal has a position that is not closed."""
    under_way: bool
    """It has a saga or an order that has not ended."""
    lab_age_s: float
    """Since the lab's loop last turned; without any sign of it, since the guardian began."""
    unhedged_since_s: float | None = None
    """When the legs were first seen apart, and not even since; None: they are even."""
    account: AccountSight | None = None
    """The last look; None: none yet, or the venue does not answer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, and by which rule."""

    act: Act
    decision: Decision


def decide(sight: Sight, settings: GuardianSettings) -> Verdict:
    """The strongest rule that holds now."""
    if sight.stop.demands_flat:
        return Verdict(Act.FLATTEN, sight.stop.decision)
    if not sight.holds:
        return _watch(sight.stop)
    silent = sight.lab_age_s > SILENT_S
    account = sight.account
    if account is not None and account.margin_ratio >= settings.margin_ratio:
        note = "maintenance takes too much of the contract's margin"
        return _flatten(Reason.MARGIN_RATIO, account.margin_ratio, settings.margin_ratio, note)
    if sight.unhedged_since_s is not None:
        apart_s = sight.now_s - sight.unhedged_since_s
        unminded_s = settings.abandoned_s if sight.under_way else min(settings.bare_s, settings.abandoned_s)
        limit_s = unminded_s if silent else settings.unhedged_s
        if apart_s > limit_s:
            return _flatten(Reason.UNHEDGED, apart_s, limit_s, "one leg is open without the other")
    if sight.under_way and sight.lab_age_s > settings.abandoned_s:
        note = "orders were under way and the lab's loop does not turn"
        return _flatten(Reason.SAGA_ABANDONED, sight.lab_age_s, settings.abandoned_s, note)
    if sight.lab_age_s > settings.dead_lab_s:
        return _flatten(Reason.LAB_SILENT, sight.lab_age_s, settings.dead_lab_s, "no lab lives")
    if account is not None and account.resting and sight.lab_age_s > settings.abandoned_s:
        decision = Decision(False, Reason.LAB_SILENT, sight.lab_age_s, settings.abandoned_s, "orders rest unminded")
        return Verdict(Act.CANCEL, decision)
    return _watch(sight.stop)


def may_renew(sight: Sight, settings: GuardianSettings) -> bool:
    """The venue's countdown over resting orders is renewed: the lab lives to mind them, and nobody wants them gone."""
    return sight.holds and sight.lab_age_s <= settings.abandoned_s and not sight.stop.demands_flat


def margin_ratio(position: PerpPosition) -> float:
    """Maintenance margin over margin of an isolated position, fraction; 1: liquidation.

    The venue liquidates where the margin has shrunk to its maintenance, so maintenance is the margin less what is lost
    from the mark to there. 0 without a position, or where the venue names no liquidation price; 1 without margin.
    """
    if position.quantity_base == 0 or position.liquidation_price is None:
        return 0.0
    if position.isolated_margin_quote <= 0:
        return 1.0
    away = (position.mark_price - position.liquidation_price) * position.quantity_base
    return float(max(Decimal(0), 1 - away / position.isolated_margin_quote))


def is_apart(account: AccountSight, settings: GuardianSettings) -> bool:
    """The legs differ by more than dust, fees and lots."""
    allowed = max(Decimal(str(settings.dust_usdt)), account.larger_quote * Decimal(str(UNHEDGED_FRACTION)))
    return account.unhedged_quote > allowed


def together(sights: Sequence[AccountSight], settings: GuardianSettings) -> AccountSight:
    """Several positions as one: the worst of each number, so that an even one hides no other; at least one."""
    worst = max(sights, key=lambda sight: (is_apart(sight, settings), sight.unhedged_quote))
    return AccountSight(
        at_s=min(sight.at_s for sight in sights),
        margin_ratio=max(sight.margin_ratio for sight in sights),
        unhedged_quote=worst.unhedged_quote,
        larger_quote=worst.larger_quote,
        is_open=any(sight.is_open for sight in sights),
        resting=sum(sight.resting for sight in sights),
    )


def _flatten(reason: Reason, value: float, limit: float, note: str) -> Verdict:
    return Verdict(Act.FLATTEN, Decision(False, reason, value, limit, note))


def _watch(stop: Stop) -> Verdict:
    decision = stop.decision if stop.kind is not StopKind.NONE else Decision(True, Reason.OK, 0.0, 0.0)
    return Verdict(Act.WATCH, decision)
