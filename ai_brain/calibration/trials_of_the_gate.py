"""One campaign before the gate: a made-up market of real bars, ideas as an evolver would have them, a fresh ledger.

The gate knows nothing of the purpose: it is the one that judges the lab's own ideas, with the owner's settings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ai_brain.calibration.null_market import null_market
from ai_brain.calibration.planted_edge import drift_on, plant, planted_spec
from ai_brain.campaign import Campaign, campaign
from ai_brain.evidence.case import Bench, Tapes
from ai_brain.evidence.gate_reasons import CHEAP
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.verdict import Verdict
from ai_brain.evolution.mutation import mutants
from ai_brain.learning_db import LearningDb
from ai_brain.research_library import library_specs
from trading.domain.clock import DAY_MS, Clock
from trading.market.tape import Tape
from trading.simulator.population import simulate_population
from trading.simulator.simulate import simulate
from trading.strategy.spec import CarryParameters, StrategySpec

NAIVE_SHARPE = 1.0
"""What a backtest of the whole tape must show to convince who asks for nothing else but a profit."""
LIKE = 0.5
"""Correlation of daily returns from which on something found counts as the planted edge, in whatever words."""
SEED_OF_IDEAS = 1_000_003
"""Apart from those of the markets, which are the campaigns' own numbers."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How big a campaign is."""

    ideas: int
    bars: int
    settings: GateSettings
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one campaign."""

    sent: int
    """Strategies with the verdict APPROVED."""
    found: bool
    """One of them is the planted one, or does what it does; False where nothing was planted."""
    naive: bool
    """The naive gate would have sent its best."""
    ideas: int
    looked: int
    """Ideas whose performance was computed."""
    opened: int
    """Vaults opened."""
    overfitting: float | None
    """Probability of backtest overfitting of the search; None: too few were looked at."""
    reasons: dict[str, int]
    """Deciding reasons; `APPROVED` of those that passed."""


def noise_campaign(source: Tape, number: int, plan: Plan) -> Outcome:
    """Search a market with nothing to find.

    Args:
        source: Recorded bars that the market is made of.
        number: Of the campaign; market and ideas follow from it.
        plan: How big.
    """
    tape = null_market(source, bars=plan.bars, seed=number)
    return _judged(tape, _ideas(_parents(tape), number, plan, tape.start_ms), plan)


def planted_campaign(
    source: Tape, number: int, sharpe_annual: float, plan: Plan, *, drift: float | None = None
) -> Outcome:
    """Search a market in which one of the ideas, and only its trade, earns: see `planted_edge`.

    Args:
        source: Recorded bars that the market is made of.
        number: Of the campaign.
        sharpe_annual: Net, of the idea on this market.
        plan: How big.
        drift: Planted into each bar that the idea holds, fraction, when the ratio is to hold on average over markets
            only, and this one to show what chance makes of it. None: the drift with which it holds on this one.
    """
    tape = null_market(source, bars=plan.bars, seed=number)
    truth = planted_spec(tape.symbol, tape.start_ms)
    if drift is None:
        c = plan.conditions
        drift = drift_on(tape, truth, sharpe_annual=sharpe_annual, costs=c.costs, rules=c.rules)
    tape = plant(tape, truth, drift=drift)
    return _judged(tape, _ideas([*_parents(tape), truth], number, plan, tape.start_ms), plan, truth=truth)


def _parents(tape: Tape) -> list[StrategySpec]:
    """The library's rules. A carry is not among them: it lives on funding, and here there is none to live on."""
    specs = library_specs(tape.symbol, tape.start_ms)
    return [spec for spec in specs if not isinstance(spec.parameters, CarryParameters)]


def _ideas(parents: Sequence[StrategySpec], number: int, plan: Plan, at_ms: int) -> list[StrategySpec]:
    bred = mutants(parents, plan.ideas - len(parents), seed=SEED_OF_IDEAS + number, at_ms=at_ms)
    return [*parents, *bred]


def _judged(tape: Tape, specs: Sequence[StrategySpec], plan: Plan, truth: StrategySpec | None = None) -> Outcome:
    with TemporaryDirectory(prefix="calibrate-") as folder:
        db = LearningDb(Path(folder) / "ledger.db")
        try:
            bench = Bench.of(db, Clock(), plan.settings, origin="calibration")
            found = campaign(specs, Tapes(tape, plan.conditions), bench)
        finally:
            db.close()
    return _outcome(found, tape, specs, plan, truth)


def _outcome(
    found: Campaign, tape: Tape, specs: Sequence[StrategySpec], plan: Plan, truth: StrategySpec | None
) -> Outcome:
    evidence = [judgement.evidence for judgement in found.judgements]
    looked = [each.deciding not in CHEAP for each in evidence]
    seen = [spec for spec, was_looked_at in zip(specs, looked, strict=True) if was_looked_at]
    reasons = Counter("APPROVED" if each.deciding is None else str(each.deciding) for each in evidence)
    return Outcome(
        sent=sum(each.verdict is Verdict.APPROVED for each in evidence),
        found=truth is not None
        and any(
            _is_like(tape, truth, specs[place], plan)
            for place, each in enumerate(evidence)
            if each.verdict is Verdict.APPROVED
        ),
        naive=_is_convincing(tape, seen, plan),
        ideas=len(evidence),
        looked=sum(looked),
        opened=sum(each.confirmation is not None for each in evidence),
        overfitting=None if found.overfitting is None else found.overfitting.probability,
        reasons=dict(reasons),
    )


def _is_like(tape: Tape, truth: StrategySpec, spec: StrategySpec, plan: Plan) -> bool:
    """Whether a strategy earns when the planted one does: daily returns correlate."""
    c, a_day = plan.conditions, DAY_MS // tape.interval_ms
    curves = [simulate(tape, each, costs=c.costs, rules=c.rules).equity[a_day - 1 :: a_day] for each in (truth, spec)]
    one, other = (np.diff(np.log(curve)) for curve in curves)
    return bool(np.corrcoef(one, other)[0, 1] >= LIKE)


def _is_convincing(tape: Tape, specs: Sequence[StrategySpec], plan: Plan) -> bool:
    """Whether the best backtest over the whole tape has a Sharpe ratio above 1 and a profit."""
    if not specs:
        return False
    c = plan.conditions
    scores = simulate_population(tape, specs, costs=c.costs, rules=c.rules, starting_quote=c.starting_quote).scores
    best = scores[int(np.argmax(scores["sharpe_annual"]))]
    return bool(best["sharpe_annual"] > NAIVE_SHARPE and best["net_return"] > 0.0)
