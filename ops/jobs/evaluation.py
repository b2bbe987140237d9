"""Hourly: every idea that waits meets the gate. What fails is retired with its reason, what passes goes to paper."""

from __future__ import annotations

from ai_brain.desk.tuner import Work, resting
from ai_brain.evidence.case import Tapes
from ai_brain.evidence.filing import Judgement, save_evidence
from ai_brain.evidence.gate_reasons import FOR_GOOD, NOT_THE_IDEAS_FAULT
from ai_brain.evidence.rehearse import Conditions
from ai_brain.evidence.verdict import Evidence, Verdict
from ai_brain.strategy_evaluator import evaluate
from ops.lab import Lab
from ops.thinking import think
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.market.beside import shared_stretch
from trading.simulator.costs import carry_rules, market_rules
from trading.strategy.lifecycle import Stage, move
from trading.strategy.spec import CarryParameters, StrategySpec


async def run(lab: Lab) -> None:
    """Judge all that is `generated` or was interrupted while `backtesting`."""
    if (rest := resting(lab.memory.tuned, Work.EVALUATION)) is not None:
        lab.tell("evaluation.rests", {"rule": str(rest.rule), "note": rest.note})  # what waits is judged an hour later
        return
    for spec in lab.repository.by_stage(Stage.GENERATED, Stage.BACKTESTING):
        try:
            await judge_one(lab, spec)
        except DataProviderError as error:
            lab.failed(f"evaluation of {spec.id}", error)  # it waits for data; the others need not


async def judge_one(lab: Lab, spec: StrategySpec) -> None:
    """Backtest, file the evidence, move the spec on or out."""
    tapes = await tapes_for(lab, spec)
    if spec.stage is Stage.GENERATED:
        spec = move(spec, Stage.BACKTESTING, by="lab", why="meets the gate", at_ms=lab.clock.now_ms())
        lab.repository.save(spec)
    # Numba and a year of bars: another thread, so that the loop never stalls.
    judgement = await think(evaluate, spec, tapes, lab.bench)
    save_evidence(lab.home, judgement)
    _move_on(lab, spec, judgement)


async def tapes_for(lab: Lab, spec: StrategySpec) -> Tapes:
    """The recorded market a spec is judged on, and spot for a carry or rules that read the basis; with its costs."""
    symbol, interval = spec.market.native_symbol, spec.market.timeframe
    fees = lab.setting.settings.fees
    if isinstance(spec.parameters, CarryParameters):
        rules = carry_rules(lab.instruments[Market.SPOT], lab.instruments[Market.PERP])
        perp, spot = [await lab.history.tape(market, symbol, interval) for market in (Market.PERP, Market.SPOT)]
        return Tapes(perp, Conditions(rules=rules, carry_costs=fees.carry_costs()), spot)
    market = spec.market.market
    conditions = Conditions(rules=market_rules(lab.instruments[market]), costs=fees.costs(market))
    tape = await lab.history.tape(market, symbol, interval)
    if not spec.reads_basis:
        return Tapes(tape, conditions)
    perp, spot = shared_stretch(tape, await lab.history.tape(Market.SPOT, symbol, interval))
    return Tapes(perp, conditions, spot)


def _move_on(lab: Lab, spec: StrategySpec, judgement: Judgement) -> None:
    evidence = judgement.evidence
    if evidence.deciding in NOT_THE_IDEAS_FAULT and evidence.deciding not in FOR_GOOD:
        _wait(lab, spec, evidence)
        return
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
    why = f"not judged: {evidence.deciding}; waits for the next evaluation"
    lab.repository.save(move(spec, Stage.GENERATED, by="gate", why=why, at_ms=lab.clock.now_ms()))
    lab.tell("strategy.not_judged", {"id": spec.id, "name": spec.name, "reason": str(evidence.deciding)})
