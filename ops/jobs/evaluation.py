"""Hourly: every idea that waits meets the gate. What fails is retired with its reason, what passes goes to paper."""

from __future__ import annotations

import asyncio

from ai_brain.evidence.filing import Judgement, save_evidence
from ai_brain.evidence.rehearse import Conditions
from ai_brain.evidence.verdict import Verdict
from ai_brain.strategy_evaluator import Tapes, evaluate
from ops.lab import Lab
from trading.domain.instrument import Market
from trading.simulator.costs import carry_rules, market_rules
from trading.strategy.lifecycle import Stage, move
from trading.strategy.spec import CarryParameters, StrategySpec


async def run(lab: Lab) -> None:
    """Judge all that is `generated` or was interrupted while `backtesting`."""
    for spec in lab.repository.by_stage(Stage.GENERATED, Stage.BACKTESTING):
        await judge_one(lab, spec)


async def judge_one(lab: Lab, spec: StrategySpec) -> None:
    """Backtest, file the evidence, move the spec on or out."""
    tapes = await tapes_for(lab, spec)
    if spec.stage is Stage.GENERATED:
        spec = move(spec, Stage.BACKTESTING, by="lab", why="meets the gate", at_ms=lab.clock.now_ms())
        lab.repository.save(spec)
    # Numba and a year of bars: a worker thread, so that the loop never stalls.
    judgement = await asyncio.to_thread(evaluate, spec, tapes, lab.bench)
    save_evidence(lab.home, judgement)
    _move_on(lab, spec, judgement)


async def tapes_for(lab: Lab, spec: StrategySpec) -> Tapes:
    """The recorded market a spec is judged on: its own, and the spot leg for a carry; with what trading there costs."""
    symbol, interval = spec.market.native_symbol, spec.market.timeframe
    if isinstance(spec.parameters, CarryParameters):
        rules = carry_rules(lab.instruments[Market.SPOT], lab.instruments[Market.PERP])
        perp, spot = [await lab.history.tape(market, symbol, interval) for market in (Market.PERP, Market.SPOT)]
        return Tapes(perp, Conditions(rules=rules), spot)
    market = spec.market.market
    conditions = Conditions(rules=market_rules(lab.instruments[market]))
    return Tapes(await lab.history.tape(market, symbol, interval), conditions)


def _move_on(lab: Lab, spec: StrategySpec, judgement: Judgement) -> None:
    evidence = judgement.evidence
    passed = evidence.verdict is Verdict.APPROVED
    why = f"{evidence.verdict}: " + (str(evidence.deciding) if evidence.deciding else "every question of the gate")
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
