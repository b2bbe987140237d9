"""A search: many specs on one market. All are looked at first, then judged, and the vault is opened best first.

What makes it one search is the choice: the first before the vault is the best of all that were looked at. So every
verdict counts all of them, and the probability of backtest overfitting is that of the whole search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from ai_brain.evidence.backtest_overfitting import backtest_overfitting
from ai_brain.evidence.case import Bench, Case, Look, Tapes
from ai_brain.evidence.cheap_rejection import of_twin
from ai_brain.evidence.filing import Judgement
from ai_brain.evidence.gate_reasons import CHEAP
from ai_brain.evidence.run import Run
from ai_brain.evidence.verdict import SEARCH, Overfitting
from ai_brain.strategy_evaluator import (
    concluded,
    judge_vault,
    power_now,
    searched_run,
    stands_before_vault,
    stands_on_search,
    worth_a_look,
)
from trading.strategy.spec import StrategySpec

MIN_FAMILY = 20
"""Strategies looked at; of fewer the middle of the others says little, and nobody is asked for overfitting."""
BLOCKS = 16


@dataclass(frozen=True, slots=True)
class Campaign:
    """What a search brought."""

    judgements: tuple[Judgement, ...]
    """One a spec, in the order of the specs."""
    overfitting: Overfitting | None
    """None: too few were looked at."""

    @property
    def refused_cheaply(self) -> dict[str, int]:
        """Specs refused before any performance was computed, by reason; these cost no trial."""
        reasons = [judgement.evidence.deciding for judgement in self.judgements]
        return dict(Counter(str(reason) for reason in reasons if reason in CHEAP))


def campaign(specs: Sequence[StrategySpec], tapes: Tapes, bench: Bench) -> Campaign:
    """Search a market with many specs and judge what the search found.

    Args:
        specs: Of one market and interval.
        tapes: That market's.
        bench: The gate's; its ledger counts every spec that is looked at before any is judged.

    Raises:
        StateFileError: a book could not be written; then nothing may be shown.
    """
    cases = [Case(spec, tapes, bench) for spec in specs]
    _remember(cases, bench)
    _weigh(cases)
    looked = _first_looks(_distinct([case for case in cases if worth_a_look(case)]))
    found = [(case, run) for case, run in looked if stands_on_search(case, run)]
    overfitting = _overfitting([run for _, run in looked])
    standing = [case for case, run in found if stands_before_vault(case, run, search=overfitting)]
    for case in sorted(standing, key=_sharpe_before_vault, reverse=True):
        judge_vault(case)
    return Campaign(tuple(concluded(cases)), overfitting)


def _remember(cases: Sequence[Case], bench: Bench) -> None:
    """What the graveyard knows of them, asked for all at once."""
    lying = bench.graveyard.refused([case.sha256 for case in cases])
    doing = bench.graveyard.refused_doing([case.fingerprint for case in cases if case.fingerprint is not None])
    for case in cases:
        case.refused_before = lying.get(case.sha256)
        case.done_before = None if case.fingerprint is None else doing.get(case.fingerprint)


def _weigh(cases: Sequence[Case]) -> None:
    """What the tape could prove of the best of them all, before the first look."""
    rules = [case for case in cases if not case.is_carry]
    if rules:
        power = power_now(rules[0], together_with=len(rules) - 1)
        for case in rules:
            case.power = power


def _distinct(cases: Sequence[Case]) -> list[Case]:
    """Those that do something else than all before them: of two in other words one is looked at."""
    seen, kept = dict[str, Case](), list[Case]()
    for case in cases:
        twin = seen.setdefault(case.fingerprint or case.sha256, case)
        if case.ask(of_twin(None if twin is case else twin.spec.name)):
            kept.append(case)
    return kept


def _first_looks(cases: Sequence[Case]) -> list[tuple[Case, Run]]:
    """All search stretches; every one is in the ledger before the first is told."""
    looked = [(case, run) for case in cases if (run := searched_run(case)) is not None]
    if looked:
        trials = [case.trial(SEARCH, run) for case, run in looked]
        looked[0][0].bench.ledger.record(trials)
    for case, run in looked:
        case.tell(Look(SEARCH, run))
    return looked


def _sharpe_before_vault(case: Case) -> float:
    return -inf if case.statistics is None else case.statistics.sharpe_bar


def _overfitting(runs: Sequence[Run]) -> Overfitting | None:
    """Of all that were looked at, those that lost included: they were the choice."""
    moving = [run.returns for run in runs if run.entries]
    if len(moving) < MIN_FAMILY:
        return None
    found = backtest_overfitting(np.column_stack(moving), blocks=BLOCKS)
    return Overfitting(strategies=len(moving), blocks=BLOCKS, probability=found.pbo)
