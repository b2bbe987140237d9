"""Every five minutes: what the recent record asks to be made smaller, told when it begins and when it ends."""

from __future__ import annotations

from ai_brain.desk.tuner import Adjustment, PaperMark, Record, tune
from ops.service.lab import Lab
from trading.strategy.lifecycle import ALIVE


async def run(lab: Lab) -> None:
    """Look at the record; what rests, rests until a later look finds its cause gone.

    Raises:
        StateFileError: the model's budget cannot be read; what held goes on holding.
    """
    before = {adjustment.rule: adjustment for adjustment in lab.memory.tuned}
    now = {adjustment.rule: adjustment for adjustment in tune(record_of(lab))}
    lab.memory.tuned = tuple(now.values())
    for rule, adjustment in now.items():
        if rule not in before:
            lab.tell("tuner.rests" if adjustment.rests else "tuner.advice", _facts(adjustment))
    for rule, adjustment in before.items():
        if rule not in now:
            lab.tell("tuner.ended", _facts(adjustment))


def record_of(lab: Lab) -> Record:
    """The record as it is now.

    Raises:
        StateFileError: the model's budget cannot be read.
    """
    shown = [lab.paper.performance(spec.id) for spec in lab.repository.by_stage(*ALIVE)]
    return Record(
        cycles=tuple(lab.memory.cycles),
        loop_s=lab.settings.service.loop_s,
        quality_min=lab.settings.validator.quality_min,
        budget_share=lab.generator.budget_share() if lab.generator is not None else None,
        failures=lab.failures(),
        paper=tuple(PaperMark(found.net_return, found.results) for found in shown if found is not None),
    )


def _facts(adjustment: Adjustment) -> dict[str, object]:
    return {
        "rule": str(adjustment.rule),
        "value": adjustment.value,
        "limit": adjustment.limit,
        "note": adjustment.note,
        "rests": sorted(adjustment.rests),
    }
