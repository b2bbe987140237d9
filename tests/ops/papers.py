"""What a human has on the desk: a strategy in review with its evidence, and answers to type."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from ai_brain.evidence.filing import Judgement, save_evidence
from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.verdict import Evidence, Finding, Verdict
from tests.ops.world import CARRY, NOW_MS, World
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage, move
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import StrategySpec, load_spec, spec_sha256

HOUR_MS = 3_600_000
TABLE = b"entry_ms,exit_ms,net_quote\n1704067200000,1704153600000,1.25\n"


@dataclass(slots=True)
class Human:
    """Types what it was told to, in order, and remembers what it was shown."""

    answers: Sequence[str]
    asked: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    def ask(self, question: str) -> str:
        self.asked.append(question)
        return self.answers[len(self.asked) - 1]

    def say(self, line: str) -> None:
        self.shown.append(line)

    @property
    def page(self) -> str:
        """Everything shown."""
        return "\n".join(self.shown)


def carry_in(stage: Stage, *, number: int = 0) -> StrategySpec:
    """The carry as far as a stage before any signature; `number` goes into its id."""
    spec = load_spec(CARRY.replace("-000000", f"-{number:06x}").encode(), where="test")
    for at, to in enumerate((Stage.BACKTESTING, Stage.DRY_RUN, Stage.REVIEW)):
        if spec.stage is not stage:
            spec = move(spec, to, by="test", why="test", at_ms=NOW_MS - (5 - at) * HOUR_MS)
    return spec


def evidence_of(spec: StrategySpec, verdict: Verdict = Verdict.APPROVED) -> Evidence:
    """Evidence with a verdict, as the gate files it."""
    passed = verdict is Verdict.APPROVED
    reason = GateReason.LOST_AT_DOUBLE_COST
    found = Finding(reason=reason, passed=passed, refuses=not passed, value=0.012, limit=0.0, note="net at double cost")
    return Evidence(
        spec_id=spec.id,
        spec_sha256=spec_sha256(spec),
        name=spec.name,
        family=spec.type,
        market="BTC/USDT:USDT 1h",
        thesis=spec.origin.thesis,
        at_ms=NOW_MS - 4 * HOUR_MS,
        verdict=verdict,
        deciding=None if passed else reason,
        quarantined=False,
        findings=(found,),
        data=(),
        stretches=(),
        statistics=None,
        prediction=(),
        suspicious=(),
        costs={"taker_rate": 0.001},
        starting_quote=10_000.0,
        settings_sha256="1" * 64,
        code_sha256="2" * 64,
        trades_sha256=hashlib.sha256(TABLE).hexdigest(),
        settlements_sha256=None,
    )


def put_in_review(home: Home, *, verdict: Verdict = Verdict.APPROVED, number: int = 0) -> StrategySpec:
    """A strategy that waits for the human, on disk with its evidence and its table of trades."""
    spec = carry_in(Stage.REVIEW, number=number)
    StrategyRepository(home.strategies).save(spec)
    save_evidence(home, Judgement(evidence_of(spec, verdict), TABLE))
    return spec


def put(world: World, path: str, body: object) -> None:
    """Tell the sandbox: what its key may do, which faults strike, what to forget."""
    httpx.post(world.url + path, json=body).raise_for_status()


def no_faults(world: World) -> None:
    """The sandbox behaves again."""
    httpx.delete(f"{world.url}/sandbox/faults").raise_for_status()


def file_of(home: Home, spec: StrategySpec) -> Path:
    """Where its file lies now."""
    (path,) = home.strategies.glob(f"*/{spec.id}.json")
    return path
