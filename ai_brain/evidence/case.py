"""One spec before the gate: what it is judged on and with, and what has been found so far.

Every performance is in the trial ledger before anyone learns of it: a run becomes known through `Case.look` only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ai_brain.evidence.candidate_stream import CandidateStream
from ai_brain.evidence.carry_run import run_carry
from ai_brain.evidence.code_version import code_sha256
from ai_brain.evidence.curve import curve_csv
from ai_brain.evidence.filing import Judgement
from ai_brain.evidence.fingerprint import fingerprint
from ai_brain.evidence.gate_reasons import QUARANTINE
from ai_brain.evidence.gate_settings import GateSettings
from ai_brain.evidence.graveyard import Graveyard
from ai_brain.evidence.living import LifePromise
from ai_brain.evidence.records import costs_told, data_used, rules_told, stretch_told
from ai_brain.evidence.return_sketch import return_sketch
from ai_brain.evidence.rule_run import run_rules
from ai_brain.evidence.run import Run, suspicious_trades
from ai_brain.evidence.run_conditions import Conditions
from ai_brain.evidence.run_tables import settlements_csv, trades_csv
from ai_brain.evidence.trial_ledger import Trial, TrialLedger
from ai_brain.evidence.vault import Opening, Vault
from ai_brain.evidence.verdict import (
    Band,
    Confirmation,
    Evidence,
    Finding,
    FittedPaths,
    Neighbours,
    Overfitting,
    Power,
    RandomEntries,
    Statistics,
    Stress,
    Stretch,
    judge,
)
from ai_brain.evidence.windows import Beginnings, Window
from ai_brain.learning_db import LearningDb
from trading.domain.clock import Clock
from trading.market.beside import beside_spot
from trading.market.tape import Tape
from trading.strategy.spec import CarryParameters, StrategySpec, spec_sha256


@dataclass(frozen=True, slots=True)
class Tapes:
    """The recorded market a spec is judged on, and what trading there costs."""

    main: Tape
    """Of the spec's own market; the perpetual for a carry."""
    conditions: Conditions
    """Costs, the venue's steps and minimums, starting equity."""
    spot: Tape | None = None
    """The spot leg of a carry; for rules that read the basis, the spot market beside theirs; else None."""
    beginnings: Beginnings = field(default_factory=Beginnings, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Bench:
    """What every evaluation needs besides the spec and its market."""

    ledger: TrialLedger
    graveyard: Graveyard
    vault: Vault
    candidates: CandidateStream
    clock: Clock
    settings: GateSettings
    origin: str = "evaluator"
    """Who looks, for the ledger."""

    @classmethod
    def of(cls, db: LearningDb, clock: Clock, settings: GateSettings, *, origin: str = "evaluator") -> Bench:
        """All the books of one database."""
        return cls(
            ledger=TrialLedger(db, clock),
            graveyard=Graveyard(db, clock),
            vault=Vault(db, clock),
            candidates=CandidateStream(db, clock, settings.false_discovery_q),
            clock=clock,
            settings=settings,
            origin=origin,
        )


@dataclass(frozen=True, slots=True)
class Tried:
    """What the ledger says of all ideas."""

    ideas: int
    unlike: int
    """Those counted once whose returns go together."""
    expected_maximum: float
    """Of as many worthless ones, standard deviations."""


@dataclass(frozen=True, slots=True)
class Look:
    """A run under its name."""

    name: str
    run: Run
    purge_bars: int = 0
    holding_bars: int = 0


@dataclass
class Case:
    """One evaluation under way."""

    spec: StrategySpec
    tapes: Tapes
    bench: Bench
    findings: list[Finding] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    statistics: Statistics | None = None
    power: Power | None = None
    neighbours: Neighbours | None = None
    fitted_paths: FittedPaths | None = None
    random_entries: RandomEntries | None = None
    buy_and_hold_return: float | None = None
    opening: Opening | None = None
    confirmation: Confirmation | None = None
    overfitting: Overfitting | None = None
    stress: tuple[Stress, ...] = ()
    prediction: tuple[Band, ...] = ()
    promise: LifePromise | None = None
    judged: Run | None = None
    known: dict[str, Run] = field(default_factory=dict)
    """The stretches that make up the record, oldest first, by their names."""
    main: Tape = field(init=False)
    """The spec's own market as its rules see it: with the spot closes beside it where they read the basis."""

    def __post_init__(self) -> None:
        perp, spot = self.tapes.main, self.tapes.spot
        self.main = beside_spot(perp, spot) if self.spec.reads_basis and spot is not None else perp

    @cached_property
    def sha256(self) -> str:
        return spec_sha256(self.spec)

    @property
    def seed(self) -> int:
        """Of whatever is drawn for this spec: the same whoever asks, so that a verdict can be derived again."""
        return int(self.sha256[:16], 16)

    @cached_property
    def refused_before(self) -> str | None:
        """How the same parameters were refused; None: they were not. A search asks for all its specs at once."""
        return self.bench.graveyard.was_refused(self.sha256)

    @cached_property
    def done_before(self) -> str | None:
        """How one was refused that does the same; None: none was, or it hardly acts. Likewise."""
        return None if self.fingerprint is None else self.bench.graveyard.was_refused_doing(self.fingerprint)

    @cached_property
    def fingerprint(self) -> str | None:
        """What it does on the probe market; None: a carry, or it hardly acts there."""
        return fingerprint(self.spec)

    @cached_property
    def tried(self) -> Tried:
        """All ideas ever tried, this one among them: asked once, after its first look."""
        ledger = self.bench.ledger
        return Tried(ledger.count(), ledger.effective_count(), ledger.expected_maximum())

    @property
    def is_carry(self) -> bool:
        return isinstance(self.spec.parameters, CarryParameters)

    @property
    def stands(self) -> bool:
        """Nothing asked so far was answered with no, not even for caution."""
        return all(finding.passed for finding in self.findings)

    @property
    def data_sha256(self) -> str:
        """Content hash of the tape, or of both joined by `+`."""
        return "+".join(tape.content_hash for tape in self._used())

    def ask(self, found: Sequence[Finding]) -> bool:
        """Note findings; True while none of them refuses."""
        self.findings.extend(found)
        return all(finding.passed or not finding.refuses for finding in found)

    def record(self, runs: Mapping[str, Run]) -> None:
        """Write performances down by their names; when this returns they are in the ledger and may be known."""
        self.bench.ledger.record([self.trial(name, run) for name, run in runs.items()])

    def look(self, *looks: Look) -> None:
        """Tell runs under their names; the looks are in the ledger before anyone learns of them."""
        self.bench.ledger.record([self.trial(look.name, look.run) for look in looks])
        self.tell(*looks)

    def tell(self, *looks: Look) -> None:
        """Tell runs that are in the ledger."""
        for look in looks:
            self.stretches.append(
                stretch_told(look.name, look.run, purge_bars=look.purge_bars, holding_bars=look.holding_bars)
            )

    def run(self, window: Window, conditions: Conditions, spec: StrategySpec | None = None) -> Run:
        """The spec, or one next to it, on a stretch, from a flat book, with the bars before it as warm-up."""
        spec = self.spec if spec is None else spec
        main, begin_ms = self.tapes.beginnings.until(self.main, window), int(self.main.open_time_ms[window.first])
        if self.tapes.spot is None or not self.is_carry:
            return run_rules(spec, main, conditions, begin_ms=begin_ms)
        spot = self.tapes.spot.window(main.start_ms, main.end_ms)
        return run_carry(spec, spot, main, conditions, begin_ms=begin_ms)

    def trial(self, name: str, run: Run) -> Trial:
        moments = run.moments
        return Trial(
            origin=self.bench.origin,
            family=str(self.spec.type),
            spec_id=self.spec.id,
            spec_sha256=self.sha256,
            data_sha256=self.data_sha256,
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
            sketch=return_sketch(run.returns, run.open_time_ms),
        )

    def _used(self) -> list[Tape]:
        return [tape for tape in (self.tapes.spot, self.tapes.main) if tape is not None]

    def close(self) -> Judgement:
        """Findings to a verdict, everything to evidence."""
        verdict, deciding = judge(tuple(self.findings))
        trades = self.judged.table if self.judged else ()
        quarantined = any(f.reason in QUARANTINE and not f.passed for f in self.findings)
        table, settled = trades_csv(trades), settlements_csv(self.judged.settled if self.judged else ())
        curve = curve_csv(self.known) if self.judged is not None and self.judged.net_return > 0.0 else b""
        market, conditions = self.spec.market, self.tapes.conditions
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
            power=self.power,
            neighbours=self.neighbours,
            fitted_paths=self.fitted_paths,
            random_entries=self.random_entries,
            confirmation=self.confirmation,
            overfitting=self.overfitting,
            stress=self.stress,
            **({} if conditions.slippage is None else {"slippage": conditions.slippage}),
            buy_and_hold_return=self.buy_and_hold_return,
            prediction=self.prediction,
            promise=self.promise,
            suspicious=suspicious_trades(trades) if quarantined else (),
            rules=rules_told(conditions.rules),
            costs=costs_told(conditions, is_carry=self.is_carry),
            starting_quote=conditions.starting_quote,
            settings_sha256=hashlib.sha256(self.bench.settings.model_dump_json().encode()).hexdigest(),
            code_sha256=code_sha256(),
            trades_sha256=hashlib.sha256(table).hexdigest() if table else None,
            settlements_sha256=hashlib.sha256(settled).hexdigest() if settled else None,
            curve_sha256=hashlib.sha256(curve).hexdigest() if curve else None,
        )
        return Judgement(evidence, table, settled, curve)
