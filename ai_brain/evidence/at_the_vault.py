"""The last look: the vault is opened, the stream of all candidates answers, and the whole record is judged.

The opening is in the book before a bar is read, and the vault is opened for nobody whom an answer so far spoke against.
"""

from __future__ import annotations

from ai_brain.evidence import findings
from ai_brain.evidence.case import Case, Look
from ai_brain.evidence.chain import chained
from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.living import promise_of_run
from ai_brain.evidence.prediction import predicted_bands
from ai_brain.evidence.probabilistic_sharpe import probabilistic_sharpe
from ai_brain.evidence.return_sketch import return_sketch
from ai_brain.evidence.run import Run
from ai_brain.evidence.significance import expectancy_of, significance
from ai_brain.evidence.vault import Sealed
from ai_brain.evidence.verdict import RECORD, SEARCH, VAULT, WALK_FORWARD, Confirmation, Statistics
from ai_brain.evidence.walk import benchmarks, look_into_vault
from ai_brain.evidence.windows import Window
from trading.domain.clock import HOUR_MS
from trading.domain.errors import VaultError


def judge_at_vault(case: Case, share: Window) -> None:
    """Open the vault for a case that stands, read it, and judge the record; or say why it stays shut."""
    opened = _opened(case, share)
    if opened is not None:
        case.known[VAULT] = opened
    tell_record(case)
    if opened is not None:
        _hold_against_vault(case, opened)
    tell_beside(case)


def tell_record(case: Case) -> None:
    """The judged chain and the whole record, as far as it came, with what chance says of it."""
    record = chained(list(case.known.values()))
    case.judged = chained([run for name, run in case.known.items() if name != SEARCH])
    case.look(Look(WALK_FORWARD, case.judged), Look(RECORD, record))
    if case.statistics is None or VAULT in case.known:
        case.statistics = statistics_of(case, record, case.judged)


def tell_beside(case: Case) -> None:
    """What is told and refuses nothing: benchmarks, what its life is held to, and what paper should bring."""
    if (judged := case.judged) is None:
        return
    benchmarks(case, judged)
    case.promise = promise_of_run(judged, is_carry=case.is_carry)
    case.prediction = predicted_bands(
        judged.equity,
        bars_per_hour=HOUR_MS / judged.interval_ms,
        entry_cost_fraction=(judged.fees_quote + judged.slippage_quote)
        / judged.starting_quote
        / max(judged.entries, 1),
    )


def statistics_of(case: Case, record: Run, judged: Run) -> Statistics:
    """Of everything up to here; the trades are those of the judged stretches."""
    confidence = case.bench.settings.confidence
    results = () if case.is_carry else [trade.pnl_quote for trade in judged.trades]
    return significance(
        record.moments,
        trials=case.tried.ideas,
        effective_trials=case.tried.unlike,
        expected_maximum=case.tried.expected_maximum,
        confidence=confidence,
        expectancy=expectancy_of(results, confidence=confidence, seed=case.seed),
    )


def _opened(case: Case, share: Window) -> Run | None:
    """Write the opening down, then read. None: it stays shut, and the finding says why."""
    market, book, tape, known = case.spec.market, case.bench.vault, case.main, chained(list(case.known.values()))
    sketch = return_sketch(known.returns, known.open_time_ms)
    stretch = Sealed(
        family=book.family_of(case.sha256, symbol=market.symbol, sketch=sketch),
        spec_sha256=case.sha256,
        data_sha256=case.data_sha256,
        symbol=market.symbol,
        interval=market.timeframe,
        start_ms=int(tape.open_time_ms[share.first]),
        end_ms=tape.end_ms,
    )
    try:
        case.opening = book.open(stretch, sketch=sketch)
    except VaultError as error:
        told = str(error)
        case.findings.append(findings.refusal(GateReason.VAULT_SPENT, f"{told[:1].upper()}{told[1:]}."))
        return None
    return look_into_vault(case, share, known)


def _hold_against_vault(case: Case, opened: Run) -> None:
    """The stream of all candidates first, then the whole record."""
    settings, record = case.bench.settings, chained(list(case.known.values()))
    case.ask(findings.of_books(opened))
    p_value = 1.0 - probabilistic_sharpe(opened.moments)
    decision = case.bench.candidates.decide(spec_sha256=case.sha256, family=str(case.spec.type), p_value=p_value)
    if case.opening is not None and case.statistics is not None:
        case.confirmation = Confirmation(
            opening=case.opening.number,
            opened_ms=case.opening.at_ms,
            family=case.opening.stretch.family,
            p_value=decision.p_value,
            p_value_now=p_value,
            level=decision.level,
            place=decision.place,
            confirmed=decision.rejected,
        )
        case.ask(findings.of_vault(opened, case.confirmation))
        case.ask(findings.of_plausibility(case.spec.parameters, record, record.moments, settings))
        case.ask(findings.of_significance(case.statistics, settings))
