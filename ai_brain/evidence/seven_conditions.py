"""The seven conditions under which a strategy is put before a human, each with what was measured and what is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ai_brain.evidence.effective_trials import ALIKE_CORRELATION
from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.prediction import band_over
from ai_brain.evidence.verdict import RECORD, WALK_FORWARD, Evidence, Finding
from ai_brain.paper.performance import PaperPerformance
from trading.domain.counted import counted

OF_CONDITIONS = frozenset(
    {
        GateReason.DEFLATED_SHARPE_LOW,
        GateReason.OVERFITTED_SEARCH,
        GateReason.NOT_CONFIRMED,
        GateReason.TRACK_RECORD_TOO_SHORT,
        GateReason.LOST_AT_DOUBLE_COST,
    }
)
"""Questions of the gate that are conditions; the two others are no question of it."""
NOT_ASKED = "not asked"
SMALLEST = 1e-6
"""A smaller p-value is told as below it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One of the seven."""

    asks: str
    holds: bool | None
    """None: it was not asked, or no answer is known."""
    measured: str
    needed: str

    @property
    def sign(self) -> str:
        """`✓` it holds, `✗` it does not, `–` it was not asked, `!` no answer is known."""
        if self.holds is None:
            return "–" if self.measured == NOT_ASKED else "!"
        return "✓" if self.holds else "✗"


def conditions(evidence: Evidence, shown: PaperPerformance | None) -> tuple[Condition, ...]:
    """All seven, in the order of `docs/evidence.md`.

    Args:
        evidence: Of the strategy.
        shown: On paper; None: there is no paper account.
    """
    return (
        _deflated(evidence),
        _overfitting(evidence),
        _vault(evidence),
        _record(evidence),
        _double_cost(evidence),
        _copy(evidence),
        _paper(evidence, shown),
    )


def how_many_hold(asked: Sequence[Condition]) -> str:
    """`6 of 7 hold, 1 not asked`."""
    others = [sum(one.measured == NOT_ASKED for one in asked), sum(one.holds is False for one in asked)]
    words = [f"{count} {word}" for count, word in zip(others, (NOT_ASKED, "not"), strict=True) if count]
    return ", ".join([f"{sum(one.holds is True for one in asked)} of {len(asked)} hold", *words])


def _of(evidence: Evidence, reason: GateReason) -> Finding | None:
    """The last answer to a question: of what is asked twice, that of the longer stretch."""
    return next((found for found in reversed(evidence.findings) if found.reason is reason), None)


def _deflated(evidence: Evidence) -> Condition:
    found, s = _of(evidence, GateReason.DEFLATED_SHARPE_LOW), evidence.statistics
    asks = "Deflated Sharpe" + ("" if s is None else f", N = {counted(s.trials, 'idea')} tried by then")
    if found is None or found.value is None:
        return Condition(asks, None, NOT_ASKED, "")
    return Condition(asks, found.passed, f"{found.value:.3f}", f"at least {found.limit:g}")


def _overfitting(evidence: Evidence) -> Condition:
    found, asks = _of(evidence, GateReason.OVERFITTED_SEARCH), "Overfitting of its search (PBO)"
    if found is None or found.value is None:
        return Condition(asks, None, NOT_ASKED, "")
    needed = "any: it is sure by itself" if found.limit >= 1.0 else f"at most {found.limit:g}"
    return Condition(asks, found.passed, f"{found.value:.2f}", needed)


def _vault(evidence: Evidence) -> Condition:
    found, asks = evidence.confirmation, "Vault, online test of all candidates"
    if found is None:
        return Condition(asks, None, NOT_ASKED, "")
    p = f"p {found.p_value:.4f}" if found.p_value >= 0.0001 else f"p {found.p_value:.6f}"
    told = f"p < {SMALLEST:.6f}" if found.p_value < SMALLEST else p
    return Condition(f"{asks}, place {found.place}", found.confirmed, told, f"at most {found.level:.4f}")


def _record(evidence: Evidence) -> Condition:
    found, whole = _of(evidence, GateReason.TRACK_RECORD_TOO_SHORT), evidence.stretch(RECORD)
    whole, n = whole or evidence.stretch(WALK_FORWARD), ""
    if whole is not None:
        n = f", n = {counted(whole.settlements or whole.trades, 'settlement' if whole.settlements else 'trade')}"
    if found is None:
        return Condition(f"Track record{n}", None, NOT_ASKED, "")
    needed = "no length would do" if found.value is None else f"at least {found.value:,.0f}"
    return Condition(f"Track record{n}", found.passed, f"{found.limit:,.0f} bars", needed)


def _double_cost(evidence: Evidence) -> Condition:
    found, asks = _of(evidence, GateReason.LOST_AT_DOUBLE_COST), "Net return with all costs doubled"
    if found is None or found.value is None:
        return Condition(asks, None, NOT_ASKED, "")
    return Condition(asks, found.passed, f"{found.value:+.3%}", "above 0")


def _copy(evidence: Evidence) -> Condition:
    """Held against every idea of its market that saw the vault, so against all that live there; the book has them."""
    found, needed = evidence.confirmation, f"correlation below {ALIKE_CORRELATION:g}"
    if found is None:
        return Condition("No copy of an idea of its market judged before", None, NOT_ASKED, "")
    if found.family == evidence.spec_sha256:
        return Condition("No copy of an idea of its market judged before", True, "none alike", needed)
    return Condition("Goes with an idea judged before, on newer bars", None, "one alike", needed)


def _paper(evidence: Evidence, shown: PaperPerformance | None) -> Condition:
    asks = "Paper inside what the backtest predicts"
    band = None if shown is None else band_over(evidence.prediction, shown.bars)
    if shown is None or band is None:
        return Condition(asks, None, "not known", "")
    holds = band.low <= shown.net_return <= band.high
    return Condition(asks, holds, f"{shown.net_return:+.3%}", f"{band.low:+.3%} to {band.high:+.3%}")
