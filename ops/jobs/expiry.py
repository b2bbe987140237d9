"""Evidence expires: each strategy with capital is held to its promise every cycle, and loses its capital when it fails.

It is retired for good, which voids its approval; what it holds live is closed by the desk's ordinary exit.
"""

from __future__ import annotations

from ai_brain.evidence.living import Life
from ops.service.lab import Lab
from ops.trace.living import lives_of
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import SpecError, TradingEngineError
from trading.domain.events import Severity
from trading.risk.arming import disarm, read_armed
from trading.strategy.lifecycle import ALIVE, TRADING, Stage, move
from trading.strategy.spec import StrategySpec


def run(lab: Lab) -> None:
    """Test every living strategy on its results, on paper and live; one whose file is broken stops no other."""
    told = list[str]()
    for spec in sorted(lab.repository.by_stage(*ALIVE), key=lambda spec: spec.id):
        try:
            lives = lives_of(lab.home, spec, alpha=lab.settings.living.alpha, holdings=lab.holdings)
            failed = next((life for life in lives if life.has_failed), None)
            if failed is not None:
                _expire(lab, spec, failed)
        except TradingEngineError as error:
            lab.failed("living", error)
            continue
        told += [f"{spec.id} {life.where}: {life}" for life in lives]
    lab.memory.living = tuple(told)


def leave(lab: Lab) -> dict[str, Decision]:
    """By position id, why the desk must close it: it belongs to a strategy whose evidence has expired."""
    lives = lab.desk.store.lives if lab.desk is not None else ()
    found = ((live.id, _expired(lab, live.spec_id)) for live in lives)
    return {position_id: why for position_id, why in found if why is not None}


def _expired(lab: Lab, spec_id: str) -> Decision | None:
    try:
        spec = lab.repository.get(spec_id)
    except SpecError:
        return None
    if spec.stage is not Stage.RETIRED or not spec.history[-1].why.startswith(Reason.EVIDENCE_EXPIRED):
        return None
    return Decision(True, Reason.EVIDENCE_EXPIRED, 1.0, 0.0, spec.history[-1].why)


def _expire(lab: Lab, spec: StrategySpec, life: Life) -> None:
    """Retired, with the numbers in its history; the capital of a live one is called back."""
    was_armed = spec.stage in TRADING and read_armed(lab.home, spec).allowed
    why = f"{Reason.EVIDENCE_EXPIRED}: {life.where}: {life}"
    lab.repository.save(move(spec, Stage.RETIRED, by="evidence", why=why[:500], at_ms=lab.clock.now_ms()))
    if was_armed:
        disarm(lab.home, spec.id)
    lives = lab.desk.store.lives if lab.desk is not None else ()
    holds = any(live.spec_id == spec.id for live in lives)
    facts = {"id": spec.id, "name": spec.name, "life": life.where, "numbers": str(life)}
    lab.tell("strategy.expired", facts, Severity.ALERT if holds else Severity.NOTICE)
