"""One spec -> Evidence. Cheap refusals first, then one look at the search stretch, then a walk forward over the rest.

The walk is a chain of judged stretches. Each begins flat, past a purge as long as the longest trade before it, with its
indicators warmed up on all bars before it. A spec's parameters are fixed: nothing is chosen between two stretches.
Every performance is in the trial ledger before a verdict that rests on it leaves this file. Zero trades, a number that
is none, or an error of the test is a refusal, never a pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from ai_brain.evidence import cheap_rejection, findings
from ai_brain.evidence.chain import chained
from ai_brain.evidence.code_version import code_sha256
from ai_brain.evidence.filing import Judgement
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.graveyard import Graveyard
from ai_brain.evidence.prediction import predicted_bands
from ai_brain.evidence.rehearsal import Run, settlements_csv, suspicious_trades, trades_csv
from ai_brain.evidence.rehearse import Conditions, rehearse_rules
from ai_brain.evidence.rehearse_carry import rehearse_carry
from ai_brain.evidence.return_moments import ReturnMoments, return_moments
from ai_brain.evidence.significance import significance
from ai_brain.evidence.telling import costs_told, data_used, rules_told, stretch_told
from ai_brain.evidence.trial_ledger import Trial, TrialLedger
from ai_brain.evidence.verdict import (
    NOT_THE_IDEAS_FAULT,
    QUARANTINE,
    WALK_FORWARD,
    Band,
    Evidence,
    Finding,
    GateReason,
    Statistics,
    Stretch,
    Verdict,
    judge,
)
from ai_brain.evidence.windows import Window, purged, rest_window, search_window, shares, until
from trading.domain.clock import Clock
from trading.domain.errors import StateFileError, TradingEngineError
from trading.domain.market import INTERVAL_MS
from trading.market.beside import beside_spot
from trading.market.tape import Tape
from trading.strategy.spec import CarryParameters, RuleParameters, StrategySpec, spec_sha256

HOUR_MS = INTERVAL_MS["1h"]


@dataclass(frozen=True, slots=True)
class Tapes:
    """The recorded market a spec is judged on, and what trading there costs."""

    main: Tape
    """Of the spec's own market; the perpetual for a carry."""
    conditions: Conditions
    """Costs, the venue's steps and minimums, starting equity."""
    spot: Tape | None = None
    """The spot leg of a carry; for rules that read the basis, the spot market beside theirs; else None."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What every evaluation needs besides the spec and its market."""

    ledger: TrialLedger
    graveyard: Graveyard
    clock: Clock
    settings: GateSettings
    origin: str = "evaluator"
    """Who looks, for the ledger."""
    again: bool = False
    """Judge although it lies in the graveyard: a person asked. The looks count like any other."""


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
    case = _Case(spec, tapes, bench)
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
        )
    return judgement


@dataclass(slots=True)
class _Case:
    """One evaluation under way."""

    spec: StrategySpec
    tapes: Tapes
    bench: Bench
    findings: list[Finding] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    statistics: Statistics | None = None
    prediction: tuple[Band, ...] = ()
    judged: Run | None = None
    main: Tape = field(init=False)
    """The spec's own market as its rules see it: with the spot closes beside it where they read the basis."""

    def __post_init__(self) -> None:
        perp, spot = self.tapes.main, self.tapes.spot
        self.main = beside_spot(perp, spot) if self.spec.reads_basis and spot is not None else perp

    @property
    def sha256(self) -> str:
        return spec_sha256(self.spec)

    @property
    def is_carry(self) -> bool:
        return isinstance(self.spec.parameters, CarryParameters)

    def ask(self, found: Sequence[Finding]) -> bool:
        """Note findings; True while none of them refuses."""
        self.findings.extend(found)
        return all(finding.passed or not finding.refuses for finding in found)

    def look(self, name: str, run: Run, *, purge_bars: int = 0, holding_bars: int = 0) -> ReturnMoments:
        """Tell a run under its name; the look is in the ledger before anyone learns of it."""
        moments = return_moments(run.returns)
        self.bench.ledger.record([self._trial(name, run, moments)])
        self.stretches.append(stretch_told(name, run, moments, purge_bars=purge_bars, holding_bars=holding_bars))
        return moments

    def run(self, window: Window, conditions: Conditions) -> Run:
        """The spec on a stretch, from a flat book, with the bars before it as warm-up."""
        main, begin_ms = until(self.main, window), int(self.main.open_time_ms[window.first])
        if self.tapes.spot is None or not self.is_carry:
            return rehearse_rules(self.spec, main, conditions, begin_ms=begin_ms)
        spot = self.tapes.spot.window(main.start_ms, main.end_ms)
        return rehearse_carry(self.spec, spot, main, conditions, begin_ms=begin_ms)

    def _trial(self, name: str, run: Run, moments: ReturnMoments) -> Trial:
        return Trial(
            origin=self.bench.origin,
            family=str(self.spec.type),
            spec_id=self.spec.id,
            spec_sha256=self.sha256,
            data_sha256="+".join(tape.content_hash for tape in self._used()),
            stretch=name,
            start_ms=run.start_ms,
            end_ms=run.end_ms,
            bars=run.bars,
            bars_per_year=run.bars_per_year,
            sharpe_bar=moments.sharpe,
            skew=moments.skew,
            kurtosis=moments.kurtosis,
            turnover=run.traded_quote / run.starting_quote,
            net_return=run.net_return,
            entries=run.entries,
        )

    def _used(self) -> list[Tape]:
        return [tape for tape in (self.tapes.spot, self.tapes.main) if tape is not None]

    def close(self) -> Judgement:
        """Findings to a verdict, everything to evidence."""
        verdict, deciding = judge(tuple(self.findings))
        trades = self.judged.table if self.judged else ()
        quarantined = any(f.reason in QUARANTINE and not f.passed for f in self.findings)
        table, settled = trades_csv(trades), settlements_csv(self.judged.settled if self.judged else ())
        market = self.spec.market
        evidence = Evidence(
            spec_id=self.spec.id,
            spec_sha256=self.sha256,
            name=self.spec.name,
            family=str(self.spec.type),
            market=f"{market.symbol} {market.timeframe}",
            thesis=self.spec.origin.thesis or "",
            at_ms=self.bench.clock.now_ms(),
            verdict=verdict,
            deciding=deciding,
            quarantined=quarantined,
            findings=tuple(self.findings),
            data=tuple(data_used(tape) for tape in self._used()),
            stretches=tuple(self.stretches),
            statistics=self.statistics,
            prediction=self.prediction,
            suspicious=suspicious_trades(trades) if quarantined else (),
            rules=rules_told(self.tapes.conditions.rules),
            costs=costs_told(self.tapes.conditions, is_carry=self.is_carry),
            starting_quote=self.tapes.conditions.starting_quote,
            settings_sha256=hashlib.sha256(self.bench.settings.model_dump_json().encode()).hexdigest(),
            code_sha256=code_sha256(),
            trades_sha256=hashlib.sha256(table).hexdigest() if table else None,
            settlements_sha256=hashlib.sha256(settled).hexdigest() if settled else None,
        )
        return Judgement(evidence, table, settled)


def _examine(case: _Case) -> None:
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
    case.statistics = significance(
        moments,
        trials=case.bench.ledger.count(),
        ledger_variance=case.bench.ledger.sharpe_variance(
            bars_per_year=judged.bars_per_year, family=str(case.spec.type)
        ),
        confidence=settings.confidence,
    )
    case.ask(findings.of_books(judged))
    case.ask(findings.of_plausibility(case.spec.parameters, judged, moments, settings))
    case.ask(findings.of_sample(judged, is_carry=case.is_carry, settings=settings))
    case.ask(findings.of_fragility(doubled, late))
    case.ask(findings.of_significance(case.statistics, settings))
    case.prediction = predicted_bands(
        judged.equity,
        bars_per_hour=HOUR_MS / judged.interval_ms,
        entry_cost_fraction=(judged.fees_quote + judged.slippage_quote)
        / judged.starting_quote
        / max(judged.entries, 1),
    )


def _worth_a_look(case: _Case, search: Window) -> bool:
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
    rest = rest_window(len(tape), search)
    if isinstance(parameters, RuleParameters):
        return (
            case.ask(cheap_rejection.of_complexity(parameters, settings))
            and case.ask(cheap_rejection.of_move(tape, parameters, search, case.tapes.conditions.costs, settings))
            and case.ask(cheap_rejection.of_signals(tape, parameters, rest, settings))
        )
    if case.tapes.spot is None:
        return case.ask([findings.refusal(GateReason.DATA_MISSING, "A carry needs the spot tape too; fetch it.")])
    return case.ask(cheap_rejection.of_funding(tape, parameters, rest, settings))


def _walk_forward(case: _Case, rest: Window, searched: Run) -> tuple[list[Window], Run]:
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


def _worse(case: _Case, windows: Sequence[Window]) -> tuple[Run, Run]:
    """The same chain with all costs doubled, and with entries one bar late."""
    conditions = case.tapes.conditions
    doubled, late = (chained([case.run(w, c) for w in windows]) for c in (conditions.dear(), conditions.late()))
    case.look("costs doubled", doubled)
    case.look("one bar late", late)
    return doubled, late
