"""Hourly: every idea that waits meets the gate, all of one market together, for the best of them is a choice.

What fails is retired with its reason, what passes goes to paper.
"""

from __future__ import annotations

from collections.abc import Sequence

from ai_brain.desk.tuner import Work, resting
from ai_brain.evidence.case import Tapes
from ai_brain.evidence.filing import Judgement, save_evidence
from ai_brain.evidence.gate_reasons import FOR_GOOD, NOT_THE_IDEAS_FAULT, WANT_OF_BARS
from ai_brain.evidence.verdict import Evidence, Verdict
from ops.apart import apart
from ops.judgement.costs_in_force import conditions_for
from ops.judgement.search import searched
from ops.learning import address_of
from ops.market_view import check_market, paper_rules
from ops.service.lab import Lab
from trading.domain.counted import counted
from trading.domain.errors import DataProviderError, FarmError
from trading.domain.instrument import Market
from trading.market.beside import shared_stretch
from trading.strategy.lifecycle import Stage, move
from trading.strategy.spec import CarryParameters, StrategySpec

NOT_JUDGED = "not judged: "
"""How the last move of an idea that waits begins."""


async def run(lab: Lab) -> None:
    """Judge all that is `generated` or was interrupted while `backtesting`.

    Raises:
        DataProviderError: ideas of one market wait for its data; names the first. Those of the others were judged.
        FarmError: likewise, for memory.
    """
    if (rest := resting(lab.memory.tuned, Work.EVALUATION)) is not None:
        lab.tell("evaluation.rests", {"rule": str(rest.rule), "note": rest.note})  # what waits is judged an hour later
        return
    searches = dict[tuple[object, ...], list[StrategySpec]]()
    for spec in lab.repository.by_stage(Stage.GENERATED, Stage.BACKTESTING):
        searches.setdefault(_tapes_read(spec), []).append(spec)
    failed: DataProviderError | FarmError | None = None
    for specs in searches.values():
        try:
            await judge(lab, specs)
        except (DataProviderError, FarmError) as error:
            market, kind = specs[0].market, type(error)
            whose = f"{counted(len(specs), 'idea')} for {market.symbol} {market.timeframe}"
            lab.failed(f"evaluation of {whose}", error)
            failed = failed or kind(f"{whose}: {error}")
    if failed is not None:  # the job has failed: research that does for weeks is an alert, and not only in the log
        raise failed


async def judge(lab: Lab, specs: Sequence[StrategySpec]) -> None:
    """Backtest what waits on one market as one search, file the evidence, move the specs on or out."""
    tapes, waiting = await tapes_for(lab, specs[0]), list[StrategySpec]()
    bars = tuple(tape.content_hash for tape in (tapes.main, tapes.spot) if tape is not None)
    for spec in specs:
        if lab.memory.not_judged.get(spec.id) == bars:
            continue  # hour after hour, each look would be a line of its history and a version of its evidence
        if spec.stage is Stage.GENERATED and not _has_waited(spec):
            spec = _at_the_gate(lab, spec)
            lab.repository.save(spec)
        waiting.append(spec)
    if not waiting:
        return
    memory, now_ms = address_of(lab.home, lab.setting.environment), None if lab.clock.is_real else lab.clock.now_ms()
    async with lab.turn:
        search = await apart(searched, memory, lab.settings.gate, now_ms, waiting, tapes)
    for spec, judgement in zip(waiting, search.judgements, strict=True):
        if not _is_as_before(spec, judgement.evidence):
            save_evidence(lab.home, judgement)
        _move_on(lab, spec, judgement)
        if judgement.evidence.deciding in WANT_OF_BARS:
            lab.memory.not_judged[spec.id] = bars


def _tapes_read(spec: StrategySpec) -> tuple[object, ...]:
    """What is read to judge it: specs that read the same are one search."""
    return spec.market, isinstance(spec.parameters, CarryParameters), spec.reads_basis


async def tapes_for(lab: Lab, spec: StrategySpec) -> Tapes:
    """The recorded market a spec is judged on, and spot for a carry or rules that read the basis; with its costs.

    Raises:
        DataProviderError: it is of a market that this lab does not read, or there is no history.
        StateFileError: what own fills have taught cannot be read; the file has been set aside.
    """
    symbol, interval = spec.market.native_symbol, spec.market.timeframe
    settings = lab.setting.settings
    check_market(spec, settings.venue.exchange, lab.instruments)
    conditions = conditions_for(lab.home, settings, spec, paper_rules(lab.instruments, spec))
    if isinstance(spec.parameters, CarryParameters):
        perp, spot = [await lab.history.tape(market, symbol, interval) for market in (Market.PERP, Market.SPOT)]
        return Tapes(perp, conditions, spot)
    tape = await lab.history.tape(spec.market.market, symbol, interval)
    if not spec.reads_basis:
        return Tapes(tape, conditions)
    perp, spot = shared_stretch(tape, await lab.history.tape(Market.SPOT, symbol, interval))
    return Tapes(perp, conditions, spot)


def _at_the_gate(lab: Lab, spec: StrategySpec) -> StrategySpec:
    return move(spec, Stage.BACKTESTING, by="lab", why="meets the gate", at_ms=lab.clock.now_ms())


def _has_waited(spec: StrategySpec) -> bool:
    return bool(spec.history) and spec.history[-1].why.startswith(NOT_JUDGED)


def _is_as_before(spec: StrategySpec, evidence: Evidence) -> bool:
    """It waits for what it waited for: day after day, each look would be two moves and a version of its evidence."""
    return spec.stage is Stage.GENERATED and spec.history[-1].why == _waits_for(evidence)


def _waits_for(evidence: Evidence) -> str:
    return f"{NOT_JUDGED}{evidence.deciding}; waits for the next evaluation"


def _move_on(lab: Lab, spec: StrategySpec, judgement: Judgement) -> None:
    evidence = judgement.evidence
    if evidence.deciding in NOT_THE_IDEAS_FAULT and evidence.deciding not in FOR_GOOD:
        _wait(lab, spec, evidence)
        return
    if spec.stage is Stage.GENERATED:
        spec = _at_the_gate(lab, spec)
    passed = evidence.verdict is not Verdict.REJECTED  # CAUTION may show on paper what it is worth, to no human yet
    why = f"{evidence.verdict}: " + (str(evidence.deciding) if evidence.deciding else "every question of the gate")
    if lab.setting.market == "synthetic":
        why = f"SYNTHETIC MARKET, {why}"
    moved = move(
        spec,
        Stage.DRY_RUN if passed else Stage.RETIRED,
        by="gate",
        why=why,
        at_ms=lab.clock.now_ms(),
        evidence_sha256=evidence.evidence_sha256,
    )
    lab.repository.save(moved)
    if not passed:
        lab.memory.refused_ideas[str(evidence.deciding)] += 1
    facts = {"id": spec.id, "name": spec.name, "verdict": str(evidence.verdict), "reason": str(evidence.deciding)}
    lab.tell("strategy.judged", facts)


def _wait(lab: Lab, spec: StrategySpec, evidence: Evidence) -> None:
    """What is not the idea's fault (too little data, an error of the test) does not retire it: it is judged again."""
    if not _is_as_before(spec, evidence):
        spec = _at_the_gate(lab, spec) if spec.stage is Stage.GENERATED else spec
        why = _waits_for(evidence)
        lab.repository.save(move(spec, Stage.GENERATED, by="gate", why=why, at_ms=lab.clock.now_ms()))
    lab.tell("strategy.not_judged", {"id": spec.id, "name": spec.name, "reason": str(evidence.deciding)})
