"""The loop: paper steps on closed bars, the carry desk decides, one audit line is written, the heartbeat is renewed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from ai_brain.desk.tuner import CycleMark
from ai_brain.senses.regime.label import regime_of
from ops.gather import gather
from ops.jobs import expiry, keys
from ops.jobs.review import ask, promote
from ops.market_view import take_snapshot
from ops.numbers import LastDecision
from ops.service.due_bars import due_bars
from ops.service.lab import Lab
from ops.service.lasting import alert_when_it_lasts, degraded, stale, tell_halts, tell_set_aside, unguarded
from trading.domain.clock import Clock
from trading.domain.decisions import Decision, Reason
from trading.domain.errors import StateFileError, TradingEngineError
from trading.funding.cycle_base import Carry
from trading.funding.report import CycleReport
from trading.journal.audit import AuditLine, CycleStatus
from trading.journal.audit_window import cycle_id
from trading.risk.arming import disarm, read_armed
from trading.risk.kill_switch import machine_stop, read_stop
from trading.storage.files import read_json, write_json
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage, has_lapsed, move
from trading.strategy.spec import StrategySpec, StrategyType

HEARTBEAT_SCHEMA = 1
LIVE_START_SCHEMA = 1


async def run(lab: Lab) -> None:
    """One cycle. Whatever happens in it, an audit line is written and the heartbeat renewed."""
    watch = StageWatch(lab.clock)
    late = await due_bars(lab)
    watch.mark("bars")
    await _paper(lab)
    watch.mark("paper")
    report = await _live(lab)
    watch.mark("live")
    busy_s = sum(seconds for stage, seconds in watch.stage_s.items() if stage != "bars")  # that one waits
    lab.memory.cycles.append(CycleMark(lab.memory.mean_quality, busy_s))
    write_audit(lab, report, watch.stage_s)
    write_heartbeat(lab)
    tell_halts(lab)
    tell_set_aside(lab)
    alert_when_it_lasts(lab, "cycle.degraded", degraded(lab, report))
    alert_when_it_lasts(lab, "data.stale", stale(lab, late))
    # not at the first look: a server that slept may have woken us before the guardian
    alert_when_it_lasts(lab, "carry.unguarded", unguarded(lab), cycles=1)


async def at_once(lab: Lab) -> None:
    """The desk's part of a cycle, between two of them: what the account's stream tells cannot wait for the next."""
    watch = StageWatch(lab.clock)
    report = await _live(lab)
    watch.mark("live")
    write_audit(lab, report, watch.stage_s)
    write_heartbeat(lab)


class StageWatch:
    """Real seconds of each stage of a cycle."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s = clock.real_s()
        self.stage_s: dict[str, float] = {}

    def mark(self, stage: str) -> None:
        """A stage has ended."""
        now_s = self._clock.real_s()
        self.stage_s[stage] = round(now_s - self._since_s, 4)
        self._since_s = now_s


async def _paper(lab: Lab) -> None:
    """Step what is on paper, hold all that lives to its promise, then ask the human for what has shown enough."""
    is_stepped = await _step_paper(lab)
    try:
        expiry.run(lab)  # live results come in even while bars do not
        if is_stepped:
            await promote(lab)
        await ask(lab)
    except TradingEngineError as error:
        lab.failed("paper", error)


async def _step_paper(lab: Lab) -> bool:
    """Every account over the bars it has not seen; False: that failed, and was told."""
    try:
        settings = lab.settings
        snapshot = take_snapshot(
            lab.market,
            lab.instruments,
            settings.research.timeframe,
            exchange=settings.venue.exchange,
        )
        await asyncio.to_thread(lab.paper.on_closed_bar, snapshot)
    except TradingEngineError as error:
        lab.failed("paper", error)
        return False
    return True


async def _live(lab: Lab) -> CycleReport | None:
    """One cycle of the carry desk; None without trading keys."""
    if lab.desk is None:
        return None
    stop = read_stop(lab.home, lab.setting.switches)
    await keys.once(lab)
    wanted = chosen(lab)
    carries = [Carry(spec, verdict.allowed) for spec, verdict in wanted]
    try:
        async with lab.trading:
            report = await lab.desk.cycle(carries, stop=stop, leave=expiry.leave(lab))
    except TradingEngineError as error:
        # A file of state that cannot be written, say: nothing was sent, and the line and the heartbeat are written.
        lab.failed("live", error)
        verdict = Decision(False, Reason.DATA_UNAVAILABLE, 0.0, 0.0, f"{type(error).__name__}: {error}")
        return CycleReport(lab.clock.now_ms(), CycleStatus.DEGRADED, verdict)
    if not wanted and report.decision.reason is Reason.NO_APPROVED_STRATEGY:
        report = replace(report, decision=_unarmed(lab) or report.decision)
    for spec, armed in wanted:
        if not armed.allowed and report.status is CycleStatus.NO_TRADE:
            lab.tell("live.not_armed", {"id": spec.id, "reason": armed.reason, "note": armed.note})
        if not armed.allowed and report.decision.reason is Reason.NOT_ARMED:
            report = replace(report, decision=armed)  # the desk only knows that it may not; here it is known why
    remember_live(lab, report)
    for spec, _ in wanted:
        _retire_if_stopped(lab, spec)
    return report


def _retire_if_stopped(lab: Lab, spec: StrategySpec) -> None:
    """A strategy that lost too much is stopped for good; what it holds is closed by the desk all the same."""
    halts = lab.desk.counters.memory.halts if lab.desk is not None else ()
    lost = (halt for halt in halts if halt.reason is Reason.STRATEGY_DRAWDOWN)
    stopped = next((halt for halt in lost if halt.subject in ("", spec.id)), None)
    if stopped is None:
        return
    why = f"stopped for good: lost {stopped.value:.2%} of its capital, limit {stopped.limit:.2%}"
    lab.repository.save(move(spec, Stage.RETIRED, by="risk", why=why, at_ms=lab.clock.now_ms()))
    disarm(lab.home, spec.id)


def chosen(lab: Lab) -> tuple[tuple[StrategySpec, Decision], ...]:
    """Every strategy that may trade live, and that both gates are open for it; where that is so for none, the first
    that is approved, and why not.
    """
    live = lab.repository.by_stage(Stage.LIVE_TESTING, Stage.SCALING)
    if not live:
        return ()
    key = lab.memory.key
    if not lab.setting.environment.live_trading:
        refused = Decision(False, Reason.NOT_ARMED, 0.0, 1.0, "LIVE_TRADING=YES is not set")
    elif key is None:
        refused = Decision(False, Reason.KEY_UNFIT, 0.0, 1.0, "the exchange has not said yet what the key may do")
    elif not key.allowed:
        refused = key
    else:
        verdicts = tuple((spec, read_armed(lab.home, spec)) for spec in live)
        return tuple(pair for pair in verdicts if pair[1].allowed) or verdicts[:1]
    return ((live[0], refused),)


def _unarmed(lab: Lab) -> Decision | None:
    """Why a carry that a human approved does not trade yet: it waits for the second gate. None: there is none."""
    now_ms = lab.clock.now_ms()
    for spec in lab.repository.by_stage(Stage.REVIEW):
        if spec.type is StrategyType.FUNDING_CARRY and spec.approved_at is not None and not has_lapsed(spec, now_ms):
            note = f"{spec.id} is approved but not armed: python go_live.py {spec.id}"
            return Decision(False, Reason.NOT_ARMED, 0.0, 1.0, note)
    return None


def remember_live(lab: Lab, report: CycleReport) -> None:
    """Keep the report for the next message; note on disk what the account was worth before its first position."""
    if report.equity_quote is None:
        return
    lab.memory.live = report
    if lab.desk is not None:
        # Of the same moment as the equity: a cycle under way changes the counters before its report is there.
        counted = lab.desk.counters.memory
        lab.memory.live_flows_quote = counted.flows_quote
        lab.memory.live_unexplained_quote = counted.unexplained_cash_quote
    if lab.memory.live_start_quote > 0:
        return
    path = lab.home.state / "live_start.json"
    try:
        kept = read_json(path, schema=LIVE_START_SCHEMA, needs=("equity_quote",))
    except StateFileError as error:
        if path.exists():  # it was not even opened
            raise
        lab.failed("start of the account", error)  # made anew from the positions; `tell_set_aside` says so
        kept = None
    if kept is None:
        views = (one.performance for one in report.symbols.values())
        profit = sum((view.profit_quote for view in views if view is not None), Decimal(0))
        start = float(report.equity_quote - profit)
        kept = {"equity_quote": start, "at_ms": report.at_ms, "flows_quote": lab.memory.live_flows_quote}
        write_json(path, kept, schema=LIVE_START_SCHEMA)
    lab.memory.live_start_quote = float(str(kept["equity_quote"]))
    # a file from before flows were counted: they began with the counters
    lab.memory.live_start_flows_quote = float(str(kept.get("flows_quote", 0.0)))


def write_audit(lab: Lab, report: CycleReport | None, stage_s: Mapping[str, float]) -> None:
    """One line a cycle; without a desk it says what the lab waits for."""
    now_ms = lab.clock.now_ms()
    live = report or CycleReport(now_ms, CycleStatus.NO_TRADE, _paper_only(lab))
    decision = whose_stop(lab.home, live.decision)
    if live.status is CycleStatus.EXECUTED:
        lab.memory.executed += 1
    else:
        lab.memory.reasons.append((now_ms, decision.reason))
    tape = lab.market.tape(lab.main_side, lab.settings.venue.symbol, lab.settings.research.timeframe)
    lab.memory.regime = regime_of(tape)
    line = AuditLine(
        at_ms=now_ms,
        mode="paper" if lab.desk is None else "live" if lab.settings.venue.base_url is None else "demo",
        status=live.status,
        reason=decision.reason,
        config_sha256=lab.setting.config_hash,
        data_sha256=tape.content_hash,
        data_quality=lab.memory.quality,
        stage_s={**stage_s, **live.stage_s},
        regime=str(lab.memory.regime),
        signals=[
            {"strategy_id": position.spec_id, "equity_quote": position.equity_quote, "holding": position.holding}
            for position in lab.paper.positions()
        ],
        proposals=proposals(lab),
        risk=live.risk_json(),
        intents=sorted({record.intent_id for record in live.orders}),
        orders=live.orders_json(),
        fills=live.fills_json(),
        equity={**live.equity_json(), **_flows_json(lab)},
        note=f"market: {lab.setting.market}",
    )
    digest = lab.audit.append(line)
    if lab.meter is not None:
        lab.meter.saw_cycle(line, live)
    both = _finite(decision.value), _finite(decision.limit)
    name = cycle_id(now_ms, digest)
    lab.memory.last = LastDecision(now_ms, live.status, decision.reason, *both, decision.note, name)


def whose_stop(home: Home, decision: Decision) -> Decision:
    """A stop that the guardian made is told by its own reason, not as a human's."""
    machine = machine_stop(home) if decision.reason is Reason.STOPPED_BY_HUMAN else None
    if machine is None:
        return decision
    return replace(
        decision, reason=machine.reason, note=f"{decision.note}, by the guardian, {machine.at}: {machine.why}"
    )


def _flows_json(lab: Lab) -> dict[str, object]:
    """What was put in or taken out, so that no chart takes it for a profit; nothing without a live account."""
    memory = lab.memory
    if memory.live_start_quote <= 0:
        return {}
    return {"flows_quote": f"{memory.live_flows_quote - memory.live_start_flows_quote:.8f}"}


def proposals(lab: Lab) -> list[dict[str, object]]:
    """What would like to trade live, and where the idea came from."""
    return [
        {"strategy_id": spec.id, "type": str(spec.type), "origin": spec.origin.author}
        for spec in lab.repository.by_stage(Stage.LIVE_TESTING, Stage.SCALING)
    ]


def write_heartbeat(lab: Lab) -> None:
    """The file that says the lab lives, with the numbers of this cycle."""
    facts = gather(lab).to_json() | {"pid": os.getpid(), "waiting_messages": lab.outbox.waiting}
    write_json(lab.home.heartbeat_file, facts, schema=HEARTBEAT_SCHEMA)


def _paper_only(lab: Lab) -> Decision:
    stop = read_stop(lab.home, lab.setting.switches)
    if stop.blocks_entries:
        return stop.decision
    return Decision(False, Reason.NOT_ARMED, 0.0, 1.0, "paper only: no trading keys")


def _finite(value: float) -> float:
    return value if abs(value) != float("inf") else 1e308
