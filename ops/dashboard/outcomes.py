"""How an event is signed in the list: by what came of it, and never by what it is about.

What is not in the table went its ordinary way. A warning of the log is at least said to be one, and an error is bad,
whatever the table says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ops.dashboard.view import Tone

OUTCOMES: Mapping[Tone, frozenset[str]] = {
    Tone.BAD: frozenset({
        "carry.books_disagree", "carry.close_incomplete", "carry.difference", "carry.funding_differs",
        "carry.funding_missing", "carry.in_doubt", "carry.key_refused", "carry.unattended", "carry.unguarded",
        "carry.unwound",
        "cycle.failed",
        "hedge.forced", "job.bug", "job.ended_service", "job.failed", "job.failing", "job.parked", "keys.unfit",
        "order.in_doubt", "paper.parked", "paper.performance_not_saved", "parity.differs",
        "parity.live_differs", "report.parts_differ", "risk.halted", "risk.not_flat",
        "state.lies_aside", "state.set_aside", "stop.not_flat", "stop.seen", "strategy.stopped_for_good",
    }),
    Tone.CAUTION: frozenset({
        "carry.funding_late", "carry.funding_unchecked", "carry.margin_low", "carry.mark_not_read",
        "carry.not_opened",
        "carry.resurrection_refused", "cycle.degraded", "data.blocked", "data.failing", "data.revised", "data.stale",
        "hedge.found", "hedge.not_read", "hedge.woken", "live.not_armed", "market.left_out", "messages.refused",
        "paper.blocked", "stop.stands",
        "parity.no_recording", "parity.not_comparable", "risk.book_too_large", "risk.breaker_opened",
        "risk.infeasible", "risk.strategy_watch", "strategy.expired", "strategy.refuted", "stream.broken",
        "stream.overrun", "stream.silent", "stream.unreadable", "tuner.advice", "tuner.rests",
    }),
    Tone.GOOD: frozenset({
        "carry.books_agree", "carry.key_taken", "carry.resumed", "data.repaired", "hedge.over", "job.recovered",
        "paper.resumed", "parity.same", "risk.book_fits", "risk.breaker_closed", "risk.feasible", "risk.released",
        "stop.flat", "stop.released", "strategy.review", "tuner.ended",
    }),
    Tone.MONEY: frozenset({
        "carry.closed", "carry.funding_booked", "carry.margin_added", "carry.money_moved", "carry.opened",
        "carry.rebalanced", "carry.reduced", "risk.flat",
    }),
}  # fmt: skip
_TONES = {name: tone for tone, names in OUTCOMES.items() for name in names}
_VERDICTS = {"APPROVED": Tone.GOOD, "CAUTION": Tone.CAUTION}
_VERDICT, _OUTCOME = re.compile(r"\bverdict=(\w+)"), re.compile(r"\boutcome=(\S+)")


def tone_of(name: str, level: str, facts: str) -> Tone:
    """Of one line of the log; `facts` as the list shows them."""
    if level in ("error", "critical"):
        return Tone.BAD
    tone = _TONES.get(name, Tone.QUIET)
    if name == "strategy.judged" and (verdict := _VERDICT.search(facts)):
        tone = _VERDICTS.get(verdict[1], Tone.QUIET)  # most ideas are refused: that is the gate's ordinary work
    if name == "job.cycle" and (outcome := _OUTCOME.search(facts)) and outcome[1] != "done":
        tone = Tone.CAUTION
    return Tone.CAUTION if level == "warning" and tone is not Tone.BAD else tone
