"""From paper to the human: what has shown enough is put before them, what paper refuted is retired."""

from __future__ import annotations

from ai_brain.evidence.filing import load_evidence
from ai_brain.evidence.verdict import WALK_FORWARD, Evidence, Stretch
from ops.jobs import parity
from ops.lab import Lab
from ops.messages import APPROVAL
from trading.domain.events import Severity
from trading.strategy.lifecycle import Stage, move
from trading.strategy.spec import StrategySpec


def promote(lab: Lab) -> None:
    """Look at everything on paper."""
    for spec in lab.repository.by_stage(Stage.DRY_RUN):
        decision = lab.paper.ready_for_review(spec)
        if decision.allowed:
            if spec.id in parity.differing(lab.home):  # its paper proves nothing until a night finds it the same
                continue
            _ask_human(lab, spec, decision.note)
        elif decision.refuted:
            why = f"{decision.reason}: {decision.note}"
            lab.repository.save(move(spec, Stage.RETIRED, by="paper", why=why, at_ms=lab.clock.now_ms()))
            lab.tell("strategy.refuted", {"id": spec.id, "name": spec.name, "reason": why}, Severity.NOTICE)


def _ask_human(lab: Lab, spec: StrategySpec, note: str) -> None:
    evidence = load_evidence(lab.home, spec.id)
    if evidence is None:
        return
    performance = lab.paper.performance(spec.id)
    if performance is None:
        return
    moved = move(
        spec,
        Stage.REVIEW,
        by="paper",
        why=note,
        at_ms=lab.clock.now_ms(),
        evidence_sha256=evidence.evidence_sha256,
    )
    lab.repository.save(moved)
    facts = {
        "id": spec.id,
        "name": spec.name,
        "thesis": spec.origin.thesis,
        "refutation": spec.origin.refutation,
        "backtest": _stretch(evidence.stretch("search")),
        "walk_forward": f"{_stretch(evidence.stretch(WALK_FORWARD))}; {_positive(evidence)}; {_significance(evidence)}",
        "paper": (
            f"{performance.net_return:+.3%} in {performance.hours / 24:.1f} days, n = {performance.results}, "
            f"95 % of each {performance.mean_low:+.4%} to {performance.mean_high:+.4%}. {note}"
        ),
    }
    lab.tell(APPROVAL, facts, Severity.NOTICE)


def _stretch(stretch: Stretch | None) -> str:
    if stretch is None:
        return "not run"
    n = f"{stretch.settlements} settlements" if stretch.settlements else f"{stretch.trades} trades"
    return (
        f"{stretch.net_return:+.2%} net over {stretch.bars} bars, n = {n}, deepest fall {stretch.max_drawdown:.2%}, "
        f"Sharpe {stretch.sharpe_annual:.2f} a year"
    )


def _positive(evidence: Evidence) -> str:
    return f"{evidence.positive} of {len(evidence.judged)} judged stretches positive"


def _significance(evidence: Evidence) -> str:
    found = evidence.statistics
    if found is None:
        return "no statistics"
    return f"deflated Sharpe {found.deflated_sharpe:.3f} against the best of {found.trials} tries"
