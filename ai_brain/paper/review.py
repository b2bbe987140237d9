"""When paper has shown enough for a human to be asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ai_brain.evidence.prediction import band_over
from ai_brain.evidence.verdict import Evidence, Verdict
from ai_brain.paper.performance import PaperPerformance
from ai_brain.paper.settings import PaperSettings


class ReviewReason(StrEnum):
    """Why a human is asked, or not yet."""

    OK = "OK"
    NO_PAPER_ACCOUNT = "NO_PAPER_ACCOUNT"
    PAPER_PARKED = "PAPER_PARKED"
    EVIDENCE_NOT_APPROVED = "EVIDENCE_NOT_APPROVED"
    EVIDENCE_VOID = "EVIDENCE_VOID"
    TOO_FEW_TRADES = "TOO_FEW_TRADES"
    TOO_FEW_SETTLEMENTS = "TOO_FEW_SETTLEMENTS"
    TOO_FEW_HOURS = "TOO_FEW_HOURS"
    NOTHING_PREDICTED = "NOTHING_PREDICTED"
    BELOW_PREDICTION = "BELOW_PREDICTION"
    ABOVE_PREDICTION = "ABOVE_PREDICTION"


@dataclass(frozen=True, slots=True)
class ReviewDecision:
    """Whether a human should be asked now, by which rule, with both numbers."""

    allowed: bool
    reason: ReviewReason
    value: float
    limit: float
    note: str

    @property
    def refuted(self) -> bool:
        """Paper contradicts the backtest: more waiting will not help."""
        return self.reason in (ReviewReason.BELOW_PREDICTION, ReviewReason.ABOVE_PREDICTION)


def decide_review(
    performance: PaperPerformance, evidence: Evidence | None, *, spec_sha256: str, settings: PaperSettings
) -> ReviewDecision:
    """Whether paper has shown enough, and what was predicted.

    Args:
        performance: Of the paper account.
        evidence: The latest of the spec; None: it was never judged.
        spec_sha256: Of the spec as it is now; evidence of other parameters proves nothing.
        settings: How much is enough.
    """
    if evidence is None or evidence.verdict is not Verdict.APPROVED:
        said = "none" if evidence is None else str(evidence.verdict)
        return _no(ReviewReason.EVIDENCE_NOT_APPROVED, 0.0, 1.0, f"The gate's verdict is {said}; APPROVED is needed.")
    if evidence.spec_sha256 != spec_sha256:
        return _no(ReviewReason.EVIDENCE_VOID, 0.0, 1.0, "The parameters changed after they were judged.")
    if evidence.family == "funding_carry":
        n, needed, reason, what = (
            performance.settlements,
            settings.review_settlements,
            ReviewReason.TOO_FEW_SETTLEMENTS,
            "settlements",
        )
    else:
        n, needed, reason, what = performance.trades, settings.review_trades, ReviewReason.TOO_FEW_TRADES, "trades"
    if n < needed:
        return _no(reason, n, needed, f"{n} of {needed} paper {what}.")
    if performance.hours < settings.review_hours:
        note = f"{performance.hours:.1f} of {settings.review_hours:g} hours on paper."
        return _no(ReviewReason.TOO_FEW_HOURS, performance.hours, settings.review_hours, note)
    return _against_prediction(performance, evidence)


def _against_prediction(performance: PaperPerformance, evidence: Evidence) -> ReviewDecision:
    band = band_over(evidence.prediction, performance.bars)
    if band is None:
        return _no(ReviewReason.NOTHING_PREDICTED, 0.0, 1.0, "The backtest was too short to predict anything.")
    value = performance.net_return
    note = (
        f"Paper {value:+.3%} over {performance.bars} bars, the backtest predicts {band.low:+.3%} to {band.high:+.3%}."
    )
    if value < band.low:
        return _no(ReviewReason.BELOW_PREDICTION, value, band.low, note)
    if value > band.high:
        return _no(ReviewReason.ABOVE_PREDICTION, value, band.high, note)
    return ReviewDecision(True, ReviewReason.OK, value, band.low, note)


def _no(reason: ReviewReason, value: float, limit: float, note: str) -> ReviewDecision:
    return ReviewDecision(False, reason, float(value), float(limit), note)
