"""From paper to the human: what has shown enough is put before them, what paper refuted is retired."""

from __future__ import annotations

from ai_brain.evidence.filing import load_evidence
from ops.jobs import parity
from ops.pictures.commission import Page, drawn
from ops.service.lab import Lab
from ops.telling.alert_keys import approval_key_of
from ops.telling.messages import APPROVAL
from ops.telling.question import paper_words, question
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
    paper = paper_words(performance, note)
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
    lab.tell(APPROVAL, question(spec, evidence, paper), Severity.NOTICE)


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
