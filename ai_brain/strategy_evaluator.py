"""One spec -> Evidence. Cheap refusals first, then one look at the search stretch, a walk forward, and last the vault.

Each judged stretch begins flat, past a purge as long as the longest trade before it, with its indicators warmed up on
all bars before it. A spec's parameters are fixed: nothing is chosen between two stretches. The vault, the newest part,
is opened only for what stands until then, and its opening is in the book before it is read.
Every performance is in the trial ledger before a verdict that rests on it leaves this file. Zero trades, a number that
is none, or an error of the test is a refusal, never a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ai_brain.evidence import cheap_rejection, findings
from ai_brain.evidence.at_the_vault import judge_at_vault, statistics_of, tell_beside, tell_record
from ai_brain.evidence.case import Bench, Case, Look, Tapes
from ai_brain.evidence.chain import chained
from ai_brain.evidence.filing import Judgement
from ai_brain.evidence.gate_reasons import NOT_THE_IDEAS_FAULT, OF_ITS_WORDING_OR_SIZE, GateReason
from ai_brain.evidence.graveyard import Burial
from ai_brain.evidence.power import power_of
from ai_brain.evidence.probabilistic_sharpe import probabilistic_sharpe
from ai_brain.evidence.run import Run
from ai_brain.evidence.stress import under_stress
from ai_brain.evidence.verdict import (
    SEARCH,
    WALK_FORWARD,
    Evidence,
    Overfitting,
    Power,
    Verdict,
)
from ai_brain.evidence.walk import next_to, slippage_ends, walk_forward, worse
from ai_brain.evidence.windows import Window, between, search_window, vault_window
from trading.domain.errors import StateFileError, TradingEngineError
from trading.domain.market import YEAR_MS
from trading.strategy.spec import RuleParameters, StrategySpec

Found = TypeVar("Found")


def evaluate(spec: StrategySpec, tapes: Tapes, bench: Bench, *, search: Overfitting | None = None) -> Judgement:
    """Judge one spec on one recorded market.

    Args:
        spec: What is judged; its parameters stay as they are.
        tapes: The oldest part is searched, what follows judges, stretch by stretch, the newest last.
        bench: Ledger, graveyard, vault, thresholds and clock.
        search: How far the search that chose it is to be believed; None: nobody chose it among others.

    Returns:
        Evidence with its verdict and the table of judged trades. A refusal that is the idea's own fault lies in the
        graveyard when this returns.

    Raises:
        StateFileError: a book could not be written; then nothing may be shown.
        DataProviderError: the spot tape is of another market than the one the rules read the basis of.
    """
    case = Case(spec, tapes, bench)
    if worth_a_look(case) and (searched := searched_run(case)) is not None:
        case.look(Look(SEARCH, searched))
        if stands_on_search(case, searched) and stands_before_vault(case, searched, search=search):
            judge_vault(case)
    return concluded([case])[0]


def worth_a_look(case: Case) -> bool:
    """Everything that can be asked without computing a performance."""
    return bool(_guarded(case, lambda: _worth_a_look(case)))


def searched_run(case: Case) -> Run | None:
    """The search stretch; to be in the ledger before anyone learns of it. None: the test failed."""
    return _guarded(case, lambda: _searched_run(case))


def stands_on_search(case: Case, searched: Run) -> bool:
    """Whether it goes on after its first look."""
    case.known[SEARCH] = searched
    confidence = probabilistic_sharpe(searched.moments)
    return case.ask(findings.of_books(searched) + findings.of_search(searched, confidence, case.bench.settings))


def stands_before_vault(case: Case, searched: Run, *, search: Overfitting | None = None) -> bool:
    """Everything before the vault; `search`: how far the search that chose it is to be believed."""
    return bool(_guarded(case, lambda: _stands_before_vault(case, searched, search)))


def judge_vault(case: Case) -> None:
    """The vault and the whole record, of a case that stands before it."""
    _guarded(case, lambda: judge_at_vault(case, _windows(case)[2]))


def concluded(cases: Sequence[Case]) -> list[Judgement]:
    """Judgements; what they refuse for the idea's own fault lies in the graveyard when this returns."""
    judgements = [case.close() for case in cases]
    refused = [_burial(case, found.evidence) for case, found in zip(cases, judgements, strict=True)]
    if cases:
        cases[0].bench.graveyard.bury([burial for burial in refused if burial is not None])
    return judgements


def _burial(case: Case, evidence: Evidence) -> Burial | None:
    if evidence.verdict is not Verdict.REJECTED or evidence.deciding in NOT_THE_IDEAS_FAULT:
        return None
    deciding = next(f for f in evidence.findings if f.reason is evidence.deciding and not f.passed)
    return Burial(
        spec_sha256=case.sha256,
        spec_id=case.spec.id,
        name=case.spec.name,
        reason=str(evidence.deciding),
        detail=deciding.note,
        fingerprint=None if evidence.deciding in OF_ITS_WORDING_OR_SIZE else case.fingerprint,
    )


def _guarded(case: Case, step: Callable[[], Found]) -> Found | None:
    """An error of the test is a finding, and never a pass; a book that cannot be written ends everything."""
    try:
        return step()
    except StateFileError:
        raise
    except (TradingEngineError, ValueError, ArithmeticError) as error:
        note = f"The test itself failed: {type(error).__name__}: {error}."
        case.findings.append(findings.refusal(GateReason.ERROR, note))
        return None


def _windows(case: Case) -> tuple[Window, Window, Window]:
    """Search, walk-forward, vault."""
    bars, settings = len(case.main), case.bench.settings
    search = search_window(bars, search_fraction=settings.search_pct / 100.0)
    vault = vault_window(bars, vault_fraction=settings.vault_pct / 100.0)
    return search, between(search, vault), vault


def _searched_run(case: Case) -> Run:
    searched = case.run(_windows(case)[0], case.tapes.conditions)
    _ = searched.moments  # what has none is an error of the test, and never reaches the ledger
    return searched


def _worth_a_look(case: Case) -> bool:
    """Cheapest first."""
    settings, tape, parameters = case.bench.settings, case.main, case.spec.parameters
    search, middle, _ = _windows(case)
    if not case.ask(cheap_rejection.of_memory(case.refused_before)):
        return False
    if not case.ask(cheap_rejection.of_length(len(tape), settings)):
        return False
    if case.spec.reads_basis and case.tapes.spot is None:
        note = "Its rules read the basis: that needs the spot tape too; fetch it."
        return case.ask([findings.refusal(GateReason.DATA_MISSING, note)])
    if isinstance(parameters, RuleParameters):
        case.power = case.power or power_now(case)
        if not case.ask(cheap_rejection.of_complexity(parameters, settings)):
            return False
        if not case.ask(cheap_rejection.of_power(case.power, settings, bars_per_year=YEAR_MS / tape.interval_ms)):
            return False
    if not case.ask(cheap_rejection.of_behaviour(case.done_before)):
        return False
    if isinstance(parameters, RuleParameters):
        seen, costs = case.tapes.beginnings, case.tapes.conditions.costs
        return case.ask(cheap_rejection.of_move(seen.until(tape, search), parameters, costs, settings)) and case.ask(
            cheap_rejection.of_signals(seen.until(tape, middle), parameters, settings)
        )
    if case.tapes.spot is None:
        return case.ask([findings.refusal(GateReason.DATA_MISSING, "A carry needs the spot tape too; fetch it.")])
    return case.ask(cheap_rejection.of_settlements(tape)) and case.ask(
        cheap_rejection.of_funding(tape, parameters, Window(0, middle.stop), settings)
    )


def power_now(case: Case, *, together_with: int = 0) -> Power:
    """What the tape could prove of anyone, before anything is known of this one.

    Args:
        case: On whose tape, in whose family.
        together_with: Other specs of the same search, all of which will be looked at before any is judged.
    """
    ledger, (_, _, vault) = case.bench.ledger, _windows(case)
    return power_of(
        len(case.main),
        vault_bars=vault.bars,
        vault_level=case.bench.candidates.next_level(),
        trials=ledger.count() + (not ledger.knows(case.sha256)) + together_with,
        expected_maximum=ledger.expected_maximum(more=together_with + (not ledger.knows(case.sha256))),
        bars_per_year=YEAR_MS / case.main.interval_ms,
        confidence=case.bench.settings.deflated_sharpe,
    )


def _stands_before_vault(case: Case, searched: Run, choice: Overfitting | None) -> bool:
    """Cheapest first; the first refusal ends it, and what was asked by then is on the page."""
    search, middle, _ = _windows(case)
    windows, runs = walk_forward(case, middle, searched)
    walked, known = chained(runs), chained([searched, *runs])
    slippage_ends(case, [search, *windows], known)
    case.known |= {f"{WALK_FORWARD} {number}/{len(runs)}": run for number, run in enumerate(runs, start=1)}
    case.judged, case.overfitting = walked, choice
    is_fit = _is_enough(case, known, walked)
    case.statistics = statistics_of(case, known, walked)
    is_fit = is_fit and case.ask(findings.of_luck(case.statistics, choice, case.bench.settings))
    if is_fit and _is_robust(case, [search, *windows], known) and case.stands:
        return True
    tell_record(case)
    if is_fit:
        tell_beside(case)
    return False


def _is_enough(case: Case, known: Run, walked: Run) -> bool:
    """Books, belief and sample."""
    settings, moments = case.bench.settings, known.moments
    return case.ask(
        [
            *findings.of_books(walked),
            *findings.of_sample(known, walked, is_carry=case.is_carry, settings=settings),
            *findings.of_plausibility(case.spec.parameters, known, moments, settings),
        ]
    )


def _is_robust(case: Case, windows: list[Window], known: Run) -> bool:
    """What earned before the vault is asked how little it takes to break it; `windows`: the search stretch first."""
    if not case.ask([*findings.of_fragility(*worse(case, windows)), *findings.of_months(known)]):
        return False
    if (near := next_to(case, windows[1:])) is not None:
        case.neighbours = near
        case.ask(findings.of_neighbours(near, case.bench.settings))
    case.stress, found = under_stress(case, before=windows[-1].stop)
    return case.ask(found)
