"""From paper to the human: what has shown enough is put before them, what paper refuted is retired."""

from __future__ import annotations

from ai_brain.evidence.filing import load_evidence
from ai_brain.evidence.verdict import WALK_FORWARD, Evidence, Expectancy, Stretch
from ops.jobs import parity
from ops.lab import Lab
from ops.messages import APPROVAL, approval_key_of
from ops.pictures.commission import Page, drawn
from trading.domain.errors import TradingEngineError
from trading.domain.events import Severity
from trading.strategy.lifecycle import Stage, move
from trading.strategy.spec import StrategySpec


async def promote(lab: Lab) -> None:
    """Look at everything on paper."""
    for spec in lab.repository.by_stage(Stage.DRY_RUN):
        decision = lab.paper.ready_for_review(spec)
        if decision.allowed:
            if spec.id in parity.differing(lab.home):  # its paper proves nothing until a night finds it the same
                continue
            await _ask_human(lab, spec, decision.note)
        elif decision.refuted:
            why = f"{decision.reason}: {decision.note}"
            lab.repository.save(move(spec, Stage.RETIRED, by="paper", why=why, at_ms=lab.clock.now_ms()))
            lab.tell("strategy.refuted", {"id": spec.id, "name": spec.name, "reason": why}, Severity.NOTICE)


async def _ask_human(lab: Lab, spec: StrategySpec, note: str) -> None:
    evidence = load_evidence(lab.home, spec.id)
    if evidence is None:
        return
    performance = lab.paper.performance(spec.id)
    if performance is None:
        return
    paper = (
        f"{performance.net_return:+.3%} in {performance.hours / 24:.1f} days, n = {performance.results}, "
        f"95 % of each {performance.mean_low:+.4%} to {performance.mean_high:+.4%}. {note}"
    )
    await _enclose_page(lab, spec, paper)
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
        "paper": paper,
    }
    lab.tell(APPROVAL, facts, Severity.NOTICE)


async def _enclose_page(lab: Lab, spec: StrategySpec, paper: str) -> None:
    """The verdict as a picture under the question; the question is asked without it where it cannot be drawn."""
    is_synthetic, refutation = lab.setting.market == "synthetic", spec.origin.refutation
    asked = Page(home=lab.home.root, is_synthetic=is_synthetic, spec_id=spec.id, paper=paper, refutation=refutation)
    try:
        pages = await drawn(asked)
    except TradingEngineError as error:
        lab.failed("pictures", error)
        return
    if pages:
        lab.messenger.enclose(approval_key_of(spec.id), pages)


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
    told = f"deflated Sharpe {found.deflated_sharpe:.3f} against the best of {found.trials} tries"
    return f"{told}; {_expectancy(found.expectancy)}" if found.expectancy is not None else told


def _expectancy(of: Expectancy) -> str:
    """What a judged trade brings, with n and interval."""
    if of.low_quote is None or of.high_quote is None:
        return f"a judged trade {of.mean_quote:+.2f} USDT, n = {of.trades}, which chance leaves wide open"
    interval = f"{of.confidence:.0%} {of.low_quote:+.2f} to {of.high_quote:+.2f}"
    return f"a judged trade {of.mean_quote:+.2f} USDT, n = {of.trades}, {interval}"
