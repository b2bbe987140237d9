"""One spec -> Evidence. Cheap refusals first, then one look at the search stretch, then a walk forward over the rest.

The walk is a chain of judged stretches. Each begins flat, past a purge as long as the longest trade before it, with its
indicators warmed up on all bars before it. A spec's parameters are fixed: nothing is chosen between two stretches.
Every performance is in the trial ledger before a verdict that rests on it leaves this file. Zero trades, a number that
is none, or an error of the test is a refusal, never a pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

from ai_brain.evidence import cheap_rejection, findings
from ai_brain.evidence.case import Bench, Case, Tapes
from ai_brain.evidence.chain import chained
from ai_brain.evidence.filing import Judgement
from ai_brain.evidence.gate_reasons import NOT_THE_IDEAS_FAULT, OF_ITS_WORDING_OR_SIZE, GateReason
from ai_brain.evidence.neighbours import neighbours
from ai_brain.evidence.power import power_of
from ai_brain.evidence.prediction import predicted_bands
from ai_brain.evidence.random_entries import random_entries
from ai_brain.evidence.rehearsal import Run
from ai_brain.evidence.significance import expectancy_of, significance
from ai_brain.evidence.verdict import WALK_FORWARD, Neighbours, Power, Verdict
from ai_brain.evidence.windows import Window, purged, rest_window, search_window, shares
from trading.domain.errors import StateFileError, TradingEngineError
from trading.domain.market import INTERVAL_MS, YEAR_MS
from trading.strategy.spec import RuleParameters, StrategySpec

HOUR_MS = INTERVAL_MS["1h"]


def evaluate(spec: StrategySpec, tapes: Tapes, bench: Bench) -> Judgement:
    """Judge one spec on one recorded market.

    Args:
        spec: What is judged; its parameters stay as they are.
        tapes: The oldest part is searched, the rest judges, stretch by stretch.
        bench: Ledger, graveyard, thresholds and clock.

    Returns:
        Evidence with its verdict and the table of judged trades. A refusal that is the idea's own fault lies in the
        graveyard when this returns.

    Raises:
        StateFileError: the ledger could not be written; then nothing may be shown.
        DataProviderError: the spot tape is of another market than the one the rules read the basis of.
    """
    case = Case(spec, tapes, bench)
    try:
        _examine(case)
    except StateFileError:
        raise
    except (TradingEngineError, ValueError, ArithmeticError) as error:
        note = f"The test itself failed: {type(error).__name__}: {error}."
        case.findings.append(findings.refusal(GateReason.ERROR, note))
    judgement = case.close()
    evidence = judgement.evidence
    is_known = bench.graveyard.was_refused(case.sha256) is not None
    if evidence.verdict is Verdict.REJECTED and evidence.deciding not in NOT_THE_IDEAS_FAULT and not is_known:
        deciding = next(f for f in evidence.findings if f.reason is evidence.deciding and not f.passed)
        bench.graveyard.bury(
            spec_sha256=case.sha256,
            spec_id=spec.id,
            name=spec.name,
            reason=str(evidence.deciding),
            detail=deciding.note,
            fingerprint=None if evidence.deciding in OF_ITS_WORDING_OR_SIZE else case.fingerprint,
        )
    return judgement


def _examine(case: Case) -> None:
    settings = case.bench.settings
    bars = len(case.main)
    search = search_window(bars, search_fraction=settings.search_pct / 100.0)
    if not _worth_a_look(case, search):
        return
    searched = case.run(search, case.tapes.conditions)
    case.look("search", searched)
    if not case.ask(findings.of_books(searched) + findings.of_search(searched)):
        return
    windows, judged = _walk_forward(case, rest_window(bars, search), searched)
    moments = case.look(WALK_FORWARD, judged)
    case.judged = judged
    doubled, late = _worse(case, windows)
    ledger, results = case.bench.ledger, () if case.is_carry else [trade.pnl_quote for trade in judged.trades]
    case.statistics = significance(
        moments,
        trials=ledger.count(),
        effective_trials=ledger.effective_count(),
        ledger_variance=ledger.sharpe_variance(bars_per_year=judged.bars_per_year, family=str(case.spec.type)),
        confidence=settings.confidence,
        expectancy=expectancy_of(results, confidence=settings.confidence, seed=case.seed),
    )
    case.ask(findings.of_books(judged))
    case.ask(findings.of_plausibility(case.spec.parameters, judged, moments, settings))
    case.ask(findings.of_sample(judged, is_carry=case.is_carry, settings=settings))
    case.ask(findings.of_fragility(doubled, late))
    case.ask(findings.of_months(judged))
    if judged.net_return > 0.0 and (near := _next_to(case, windows)) is not None:
        case.neighbours = near
        case.ask(findings.of_neighbours(near, settings))
    case.ask(findings.of_significance(case.statistics, settings))
    _benchmarks(case, judged)
    case.prediction = predicted_bands(
        judged.equity,
        bars_per_hour=HOUR_MS / judged.interval_ms,
        entry_cost_fraction=(judged.fees_quote + judged.slippage_quote)
        / judged.starting_quote
        / max(judged.entries, 1),
    )


def _worth_a_look(case: Case, search: Window) -> bool:
    """Everything that can be asked without computing a performance, cheapest first."""
    settings, tape, parameters = case.bench.settings, case.main, case.spec.parameters
    refused_before = None if case.bench.again else case.bench.graveyard.was_refused(case.sha256)
    if not case.ask(cheap_rejection.of_memory(refused_before)):
        return False
    if not case.ask(cheap_rejection.of_length(len(tape), settings)):
        return False
    if case.spec.reads_basis and case.tapes.spot is None:
        note = "Its rules read the basis: that needs the spot tape too; fetch it."
        return case.ask([findings.refusal(GateReason.DATA_MISSING, note)])
    if not case.bench.again and case.fingerprint is not None:
        done_before = case.bench.graveyard.was_refused_doing(case.fingerprint)
        if not case.ask(cheap_rejection.of_behaviour(done_before)):
            return False
    rest = rest_window(len(tape), search)
    if isinstance(parameters, RuleParameters):
        case.power = _power(case, rest)
        return (
            case.ask(cheap_rejection.of_complexity(parameters, settings))
            and case.ask(cheap_rejection.of_move(tape, parameters, search, case.tapes.conditions.costs, settings))
            and case.ask(cheap_rejection.of_signals(tape, parameters, rest, settings))
        )
    if case.tapes.spot is None:
        return case.ask([findings.refusal(GateReason.DATA_MISSING, "A carry needs the spot tape too; fetch it.")])
    return case.ask(cheap_rejection.of_funding(tape, parameters, rest, settings))


def _power(case: Case, rest: Window) -> Power:
    """What the judged stretches could prove of anyone, before anything is known of this one."""
    ledger, per_year = case.bench.ledger, YEAR_MS / case.main.interval_ms
    return power_of(
        rest.bars,
        trials=ledger.count() + (not ledger.knows(case.sha256)),
        ledger_variance=ledger.sharpe_variance(bars_per_year=per_year, family=str(case.spec.type)),
        bars_per_year=per_year,
        confidence=case.bench.settings.deflated_sharpe,
    )


def _walk_forward(case: Case, rest: Window, searched: Run) -> tuple[list[Window], Run]:
    """The judged stretches and the chain of their runs; what is purged before one rests on what came before it only."""
    parameters, count = case.spec.parameters, case.bench.settings.stretches
    allowed = parameters.risk.max_hold_bars if isinstance(parameters, RuleParameters) else None
    holding = max(allowed or 0, searched.longest_holding_bars)
    windows, runs = list[Window](), list[Run]()
    for number, share in enumerate(shares(rest, count), start=1):
        window = purged(share, holding_bars=holding)
        run = case.run(window, case.tapes.conditions)
        purge = window.first - share.first
        case.look(f"{WALK_FORWARD} {number}/{count}", run, purge_bars=purge, holding_bars=holding)
        holding = max(holding, run.longest_holding_bars)
        windows.append(window)
        runs.append(run)
    return windows, chained(runs)


def _worse(case: Case, windows: Sequence[Window]) -> tuple[Run, Run]:
    """The same chain with all costs doubled, and with entries one bar late."""
    conditions = case.tapes.conditions
    doubled, late = (chained([case.run(w, c) for w in windows]) for c in (conditions.dear(), conditions.late()))
    case.look("costs doubled", doubled)
    case.look("one bar late", late)
    return doubled, late


def _benchmarks(case: Case, judged: Run) -> None:
    """What the judged bars gave to who just held, and to who traded alike at other times."""
    opens, times = case.main.open, case.main.open_time_ms
    bars = np.searchsorted(times, judged.open_time_ms)
    case.buy_and_hold_return = float(case.main.close[bars[-1]] / opens[bars[0]] - 1.0)
    if not case.is_carry:
        case.random_entries = random_entries(
            judged.table,
            opens,
            bars,
            interval_ms=judged.interval_ms,
            starting_quote=judged.starting_quote,
            seed=case.seed,
        )


def _next_to(case: Case, windows: Sequence[Window]) -> Neighbours | None:
    """The strategies with one number a tenth away, each over the judged stretches as one; the spec itself stays."""
    whole = Window(windows[0].first, windows[-1].stop)
    runs = {name: case.run(whole, case.tapes.conditions, spec) for name, spec in neighbours(case.spec).items()}
    if not runs:
        return None
    case.record({f"next to it, {name}": run for name, run in runs.items()})
    returns = {name: run.net_return for name, run in runs.items()}
    worst = min(returns, key=lambda name: returns[name])
    return Neighbours(
        count=len(returns),
        earning=sum(value > 0.0 for value in returns.values()),
        median_net_return=median(returns.values()),
        worst=worst,
        worst_net_return=returns[worst],
    )
