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
            if not parity.may_ask(lab, spec):  # its paper proves nothing until a night finds it the same
                continue
            _to_review(lab, spec, decision.note)
        elif decision.refuted:
            why = f"{decision.reason}: {decision.note}"
            lab.repository.save(move(spec, Stage.RETIRED, by="paper", why=why, at_ms=lab.clock.now_ms()))
            lab.tell("strategy.refuted", {"id": spec.id, "name": spec.name, "reason": why}, Severity.NOTICE)


async def ask(lab: Lab) -> None:
    """Ask about everything in review that nobody was asked about yet, and again where the asking was lost: the lab may
    have died after the move, or the disk have been full.
    """
    for spec in lab.repository.by_stage(Stage.REVIEW):
        if spec.approved_at is not None or lab.messenger.was_told(_key(spec)):
            continue
        try:
            await _ask_about(lab, spec)
        except TradingEngineError as error:  # its evidence cannot be read, say; the others are asked about
            lab.failed("review", error)


def _key(spec: StrategySpec) -> str:
    return approval_key_of(spec.id, spec.history[-1].at)


def _to_review(lab: Lab, spec: StrategySpec, note: str) -> None:
    evidence = load_evidence(lab.home, spec.id)
    if evidence is None or lab.paper.performance(spec.id) is None:
        return
    sha256 = evidence.evidence_sha256
    moved = move(spec, Stage.REVIEW, by="paper", why=note, at_ms=lab.clock.now_ms(), evidence_sha256=sha256)
    lab.repository.save(moved)


async def _ask_about(lab: Lab, spec: StrategySpec) -> None:
    evidence, performance = load_evidence(lab.home, spec.id), lab.paper.performance(spec.id)
    if evidence is None or performance is None:
        return
    came = spec.history[-1]
    paper = paper_words(performance, came.why)
    await _enclose_page(lab, spec, paper)
    lab.tell(APPROVAL, {**question(spec, evidence, paper, performance), "since": came.at}, Severity.NOTICE)


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
        lab.messenger.enclose(_key(spec), pages)
