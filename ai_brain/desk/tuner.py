"""The tuner: from the recent record to safer-only adjustments. A pure function; who runs it obeys and tells.

It can do two things: have a kind of work that only thinks rest while a cause lasts, or advise a human with two numbers.
It knows no way to enlarge, speed up or loosen anything, and touches neither orders nor limits. Every rule reads the
record alone, so that an adjustment ends by itself with its cause.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

WINDOW_CYCLES = 10
"""Trading cycles looked back on."""
ENOUGH_CYCLES = 5
"""Under so many nothing is said of them."""
BAD_SHARE_LIMIT = 0.5
"""Share of cycles on refused data beyond which no model is paid to look at it."""
CYCLE_SHARE_LIMIT = 0.5
"""Share of the time between two cycles that the median cycle may take before thinking makes room for it."""
BUDGET_SHARE_LIMIT = 0.8
"""Share of the model's day beyond which only the usual question is asked."""
FAILURES_LIMIT = 2
"""Failures of a job in a row beyond which a human is advised."""
ENOUGH_RESULTS = 30
"""Trades or settlements under which a paper account says nothing."""
LOSING_SHARE_LIMIT = 0.5
"""Share of such paper accounts that may be losing before a human is advised."""


class Work(StrEnum):
    """What can rest: it thinks, it holds nothing, and waits without harm."""

    IDEAS = "ideas"
    """The model's usual question."""
    CRAZY_IDEAS = "crazy_ideas"
    EVALUATION = "evaluation"


class Rule(StrEnum):
    """Why; never reworded."""

    DATA_QUALITY = "DATA_QUALITY"
    CYCLE_LATENCY = "CYCLE_LATENCY"
    MODEL_BUDGET = "MODEL_BUDGET"
    JOB_FAILURES = "JOB_FAILURES"
    PAPER_LOSING = "PAPER_LOSING"


RESTS: Mapping[Rule, frozenset[Work]] = {
    Rule.DATA_QUALITY: frozenset({Work.IDEAS, Work.CRAZY_IDEAS}),
    Rule.CYCLE_LATENCY: frozenset(Work),
    Rule.MODEL_BUDGET: frozenset({Work.CRAZY_IDEAS}),
    Rule.JOB_FAILURES: frozenset(),
    Rule.PAPER_LOSING: frozenset(),
}
"""What rests under each rule; nothing: it is advice."""


@dataclass(frozen=True, slots=True)
class CycleMark:
    """One trading cycle."""

    quality: float
    """0 to 100, of the worst market; 0: its candles were old."""
    busy_s: float
    """Real seconds of work, without the wait for candles."""


@dataclass(frozen=True, slots=True)
class PaperMark:
    """One paper account."""

    net_return: float
    """Fraction, since its start."""
    results: int
    """Trades, or settlements of a carry."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the tuner looks at."""

    cycles: Collection[CycleMark] = ()
    """Oldest first."""
    loop_s: float = 60.0
    """Between two cycles."""
    quality_min: float = 50.0
    """Below it the validator refuses bars."""
    budget_share: float | None = None
    """Of the model's day, dollars or calls, whichever is nearer its end; None: no model."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Jobs that failed the last time, with how often in a row."""
    paper: Collection[PaperMark] = ()


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One rule that holds now, with its number and its limit."""

    rule: Rule
    value: float
    limit: float
    note: str

    @property
    def rests(self) -> frozenset[Work]:
        """What rests while it holds; empty: it only advises."""
        return RESTS[self.rule]


def tune(record: Record) -> tuple[Adjustment, ...]:
    """Every rule that holds now; empty: all is well, or too little is known to say otherwise."""
    found = (*_cycles(record), _budget(record), _failures(record), _paper(record))
    return tuple(adjustment for adjustment in found if adjustment is not None)


def resting(adjustments: Collection[Adjustment], work: Work) -> Adjustment | None:
    """The first adjustment under which a kind of work rests; None: it goes on."""
    return next((adjustment for adjustment in adjustments if work in adjustment.rests), None)


def _cycles(record: Record) -> Iterator[Adjustment]:
    last = list(record.cycles)[-WINDOW_CYCLES:]
    if len(last) < ENOUGH_CYCLES:
        return
    bad = sum(mark.quality < record.quality_min for mark in last)
    if bad / len(last) > BAD_SHARE_LIMIT:
        note = f"{bad} of the last {len(last)} cycles saw data below {record.quality_min:g} of 100"
        yield Adjustment(Rule.DATA_QUALITY, bad / len(last), BAD_SHARE_LIMIT, note)
    median_s = sorted(mark.busy_s for mark in last)[len(last) // 2]
    if median_s / record.loop_s > CYCLE_SHARE_LIMIT:
        note = f"the median of the last {len(last)} cycles took {median_s:.1f} s of {record.loop_s:g} s"
        yield Adjustment(Rule.CYCLE_LATENCY, median_s / record.loop_s, CYCLE_SHARE_LIMIT, note)


def _budget(record: Record) -> Adjustment | None:
    share = record.budget_share
    if share is None or share <= BUDGET_SHARE_LIMIT:
        return None
    return Adjustment(Rule.MODEL_BUDGET, share, BUDGET_SHARE_LIMIT, f"{share:.0%} of the model's day is spent")


def _failures(record: Record) -> Adjustment | None:
    lasting = {job: count for job, count in sorted(record.failures.items()) if count > FAILURES_LIMIT}
    if not lasting:
        return None
    note = ", ".join(f"{job} failed {count} times in a row" for job, count in lasting.items())
    return Adjustment(Rule.JOB_FAILURES, float(max(lasting.values())), float(FAILURES_LIMIT), note)


def _paper(record: Record) -> Adjustment | None:
    telling = [mark for mark in record.paper if mark.results >= ENOUGH_RESULTS]
    losing = sum(mark.net_return < 0.0 for mark in telling)
    if not telling or losing / len(telling) <= LOSING_SHARE_LIMIT:
        return None
    note = f"{losing} of {len(telling)} paper accounts with {ENOUGH_RESULTS} results or more are losing"
    return Adjustment(Rule.PAPER_LOSING, losing / len(telling), LOSING_SHARE_LIMIT, note)
