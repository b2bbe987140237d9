"""One cycle of the carry desk, stage by stage: stops, what a crash left, books, risk, market, decision, execution."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from trading.domain.decisions import Decision, Reason
from trading.domain.events import Severity
from trading.execution.flatten import flatten, flatten_all
from trading.execution.intent_records import Purpose
from trading.execution.saga_steps import SagaReport
from trading.execution.saga_table import SagaState
from trading.execution.two_legs import TwoLegs
from trading.funding import moves
from trading.funding.carry import (
    CarryMarket,
    check_market,
    decide_entry,
    decide_exit,
    margin_danger,
    outlook,
    present_apr,
)
from trading.funding.carry import Held as HeldCarry
from trading.funding.cycle_hedge import CycleHedge
from trading.funding.exposure import with_history
from trading.funding.hedge_watch import Consequence, Finding, leaving, strongest
from trading.funding.ledger import Pair
from trading.funding.look import read_market
from trading.funding.position import CarryPosition, PositionStatus
from trading.funding.settlements import check_settlements, settlement_marks
from trading.journal.audit import CycleStatus
from trading.risk.kill_switch import Stop
from trading.strategy.parameters import CarryParameters
from trading.strategy.spec import StrategySpec


class Cycle(CycleHedge):
    """One pass; `report` is always fit to be shown."""

    async def run(self, spec: StrategySpec | None, *, armed: bool, stop: Stop, leave: Decision | None = None) -> None:
        """Every stage in order; `leave` closes what is held by the ordinary exit, whatever its own rules say."""
        claimed = self._room.store.refuse_resurrected()
        if claimed is not None:
            self._room.tell("carry.resurrection_refused", {"position": claimed.id}, Severity.ALERT)
        if stop.demands_flat:
            return await self.go_flat(stop.decision)
        with self._stage("resume"):
            if not await self._resume():
                return None
        live = self._room.store.live
        symbol = live.symbol if live else (spec.market.native_symbol if spec else "")
        if not symbol:
            return self.end(self._quiet(), self._gate(spec, armed) or self.report.decision)
        self.report = replace(self.report, symbol=symbol)
        pair = await self._pair(symbol)
        with self._stage("books"):
            verdict = await self._books(pair)
        if verdict is not None:
            await self._halt(verdict, flat=verdict.reason is Reason.RECONCILE_MISMATCH)
            return await self._explain_forced(pair, live) if live is not None else None
        await self._compare_clocks()
        crossed = self._risk(stop)
        if crossed is not None and self._room.store.live is not None:
            return await self._halt(crossed, flat=True)
        with self._stage("hedge"):
            findings = await self._watch_hedge(pair, armed=armed)
        broken = strongest(findings, Consequence.FLAT)
        if broken is not None and self._room.store.live is not None:
            return await self._halt(broken, flat=True)
        with self._stage("market"):
            market = await self._market(pair)
        with self._stage("decide_and_execute"):
            if self._room.store.live is not None:
                await self._manage(pair, market, leave, findings)
            else:
                await self._consider(pair, market, spec, findings, armed=armed, stop=stop)
        idle = self.report.status is not CycleStatus.EXECUTED and self.report.reason is not Reason.OUTCOME_UNKNOWN
        if self._doubt is not None and idle and self.report.flat_s is None:
            self.end(*self._doubt)
        return None

    async def go_flat(self, why: Decision) -> None:
        """Close everything of ours, whatever it takes; what is not flat after the budget is tried again next cycle."""
        with self._stage("flatten"):
            reports = await flatten_all(self._tools, why=why.reason)
        status, seconds = CycleStatus.HALTED, max((report.elapsed_s for report in reports), default=None)
        self.report = replace(self.report, flat_s=seconds)
        for report in reports:
            facts = {
                "position": report.position_id,
                "flat_s": round(report.elapsed_s, 3),
                "errors": list(report.errors),
            }
            name = "risk.flat" if report.is_flat else "risk.not_flat"
            self._room.tell(name, {**facts, "reason": why.reason.value}, Severity.ALERT)
        live = self._room.store.live
        for report in reports:
            if report.is_flat and (live is None or report.position_id != live.id):
                self._tools.intents.close_position(report.position_id, at_ms=self._tools.clock.now_ms())
        if live is not None and not any(report.position_id == live.id and not report.is_flat for report in reports):
            pair = await self._pair(live.symbol)
            await self._note_booking(pair, live)
            await self._finish(pair, why.reason)
        self.end(status, why)

    async def _resume(self) -> bool:
        for intent in self._tools.intents.unfinished():
            pair = await self._pair(intent.symbol)
            if intent.purpose is Purpose.FLATTEN:
                await flatten(self._tools, intent.position_id, why=Reason.STOPPED_BY_HUMAN)
                continue
            saga = await TwoLegs(intent, pair.spot, pair.perp, self._tools, resumed=True).run()
            facts = {"intent": intent.id, "state": saga.state.value, "note": saga.note}
            self._room.tell("carry.resumed", facts, Severity.NOTICE)
            if not self._took(saga):
                return False
        live = self._room.store.live
        for position_id in self._tools.intents.positions():
            if live is None or position_id != live.id:
                await self._adopt_lost(position_id)
        if live is not None and (live.status is not PositionStatus.OPEN or self._tools.intents.held(live.id)[1] == 0):
            await self._settle_status(live)
        return True

    async def _adopt_lost(self, position_id: str) -> None:
        """The journal knows a position the file does not: nothing can manage it, so it is closed and a human told."""
        if any(self._tools.intents.held(position_id)):
            note = f"{position_id} is in the journal of intents but not in the file of positions: closed"
            await self._halt(Decision(False, Reason.RECONCILE_MISMATCH, 1.0, 0.0, note), flat=True)
        else:
            self._tools.intents.close_position(position_id, at_ms=self._tools.clock.now_ms())

    async def _settle_status(self, live: CarryPosition) -> None:
        pair = await self._pair(live.symbol)
        position = await self._note_booking(pair, live)
        view = self._view(position, price=None)
        if view.perp_base == 0 and view.spot_base < pair.perp.lot:
            by_desk = {PositionStatus.OPENING: Reason.NOT_FILLED, PositionStatus.CLOSING: Reason.OK}
            await self._finish(pair, by_desk.get(live.status, Reason.STOPPED_BY_HUMAN))
        elif live.status is PositionStatus.OPENING:
            self._room.store.save(replace(position, status=PositionStatus.OPEN, note="opening was interrupted"))
            self._room.counters.opened(self._tools.clock.now_ms())

    def _took(self, saga: SagaReport) -> bool:
        """Take note of a saga; False: it is in doubt and nothing else may happen this cycle."""
        longest = max(self.report.max_unhedged_s, saga.max_unhedged_s)
        self.report = replace(self.report, max_unhedged_s=longest)
        live = self._room.store.live
        if live is not None:
            self._room.store.save(replace(live, max_unhedged_s=max(live.max_unhedged_s, saga.max_unhedged_s)))
        if saga.state is SagaState.IN_DOUBT:
            verdict = Decision(False, Reason.OUTCOME_UNKNOWN, saga.elapsed_s, 0.0, saga.note)
            self._room.tell("carry.in_doubt", {"intent": saga.intent_id, "note": saga.note}, Severity.ALERT)
            self.end(CycleStatus.HALTED, verdict)
            return False
        return True

    async def _halt(self, verdict: Decision, *, flat: bool) -> None:
        self._halt_entries(verdict)
        if flat and self._tools.intents.positions():
            await self.go_flat(verdict)
        else:
            self.end(CycleStatus.HALTED, verdict)

    def _quiet(self) -> CycleStatus:
        return CycleStatus.HALTED if self._room.counters.memory.halts else CycleStatus.NO_TRADE

    def _gate(self, spec: StrategySpec | None, armed: bool) -> Decision | None:
        halts = self._room.counters.memory.halts
        if halts:
            return halts[0].decision
        if spec is None:
            return Decision(False, Reason.NO_APPROVED_STRATEGY, 0.0, 1.0, "no carry has been approved")
        return None if armed else Decision(False, Reason.NOT_ARMED, 0.0, 1.0, "run go_live.py")

    async def _market(self, pair: Pair) -> CarryMarket:
        market = await read_market(self._room, pair)
        told = market.spot.mid > 0 and market.perp.mid > 0
        self.report = replace(
            self.report,
            outlook=outlook(market, self._room.carry) if told else None,
            basis_bps=market.basis_rate * 10_000 if told else None,
            present_funding_apr=present_apr(market),
            quality=float(market.data.quality),
        )
        return market

    async def _manage(
        self, pair: Pair, market: CarryMarket, leave: Decision | None, findings: tuple[Finding, ...]
    ) -> None:
        position, view = self._room.store.live, self.report.performance
        if position is None or view is None:
            return
        marks = await settlement_marks(self._tools.venue, position, market)
        position = self._room.store.save(
            check_settlements(position, market, marks, tell=self._room.tell, settings=self._room.carry)
        )
        data = check_market(market, self._room.carry)
        if position.status is PositionStatus.CLOSING:
            await self._close(pair, Reason.OK)
            return
        held = HeldCarry(position.opened_ms, view.settlements, self._liquidation_distance)
        danger = margin_danger(held, self._room.carry) or leaving(findings)
        if danger is not None:
            await self._close(pair, danger.reason, danger)
            return
        if not data.allowed:
            self.end(CycleStatus.DEGRADED, data)
            return
        if leave is not None:
            await self._close(pair, leave.reason, leave)
            return
        verdict = decide_exit(market, position.parameters, held, self._room.carry)
        if verdict.allowed:
            await self._close(pair, verdict.reason, verdict)
        else:
            self.end(self._quiet(), verdict)

    async def _consider(
        self,
        pair: Pair,
        market: CarryMarket,
        spec: StrategySpec | None,
        findings: tuple[Finding, ...],
        *,
        armed: bool,
        stop: Stop,
    ) -> None:
        gate = self._gate(spec, armed)
        if gate is not None or spec is None or not isinstance(spec.parameters, CarryParameters):
            note = Decision(
                False, Reason.NO_APPROVED_STRATEGY, 0.0, 1.0, "the approved strategy is not a funding carry"
            )
            self.end(self._quiet(), gate or note)
            return
        verdict = strongest(findings, Consequence.NO_ENTRY) or decide_entry(market, spec.parameters, self._room.carry)
        if not verdict.allowed:
            self.end(self._quiet(), verdict)
            return
        book = replace(self.risk_book(stop, spec.id), quote_age_s=market.quote_age_s)
        entry = moves.size_entry(await with_history(book, self._room, pair), self._room, pair, market, spec)
        self.report = replace(self.report, checks=(*self.report.checks, *entry.decisions))
        if entry.perp_base == 0:
            self.end(self._quiet(), entry.deciding)
            return
        await self._open(pair, spec, entry, verdict)

    async def _open(self, pair: Pair, spec: StrategySpec, entry: moves.Entry, verdict: Decision) -> None:
        position = await moves.begin_position(self._room, pair, spec, entry, note=verdict.note)
        intent = self._tools.intents.begin(
            position.id,
            Purpose.OPEN,
            pair.symbol,
            (entry.spot_base, entry.perp_base),
            leverage=position.parameters.leverage,
            at_ms=self._tools.clock.now_ms(),
        )
        saga = await TwoLegs(intent, pair.spot, pair.perp, self._tools).run()
        if not self._took(saga):
            return
        position = await self._note_booking(pair, self._room.store.live or position)
        view = self._view(position, price=None)
        if view.perp_base == 0 and view.spot_base < pair.perp.lot:
            await self._finish(pair, saga.outcome)
            severity = Severity.ALERT if saga.outcome is Reason.SECOND_LEG_FAILED else Severity.NOTICE
            self._room.tell("carry.unwound", {"reason": saga.outcome.value, "note": saga.note}, severity)
            self.end(CycleStatus.EXECUTED, Decision(False, saga.outcome, 0.0, float(entry.perp_base), saga.note))
            return
        self._room.store.save(replace(position, status=PositionStatus.OPEN))
        self._room.counters.opened(self._tools.clock.now_ms())
        self._room.tell("carry.opened", moves.opened_facts(position, view, saga, verdict), Severity.NOTICE)
        await self._refresh(pair)
        self.end(CycleStatus.EXECUTED, verdict)

    async def _close(self, pair: Pair, reason: Reason, verdict: Decision | None = None) -> None:
        position = self._room.store.live
        if position is None:
            return
        position = self._room.store.save(replace(position, status=PositionStatus.CLOSING))
        view = self._view(position, price=None)
        spot, perp = pair.spot.quantity(max(view.spot_base, Decimal(0))), -view.perp_base
        decision = verdict or Decision(True, reason, 1.0, 0.0, "closing was interrupted")
        if spot == 0 or perp <= 0:
            await self.go_flat(decision)
            return
        now_ms, leverage = self._tools.clock.now_ms(), position.parameters.leverage
        intent = self._tools.intents.begin(
            position.id, Purpose.CLOSE, pair.symbol, (spot, perp), leverage=leverage, at_ms=now_ms
        )
        saga = await TwoLegs(intent, pair.spot, pair.perp, self._tools).run()
        if not self._took(saga):
            return
        position = await self._note_booking(pair, self._room.store.live or position)
        view = self._view(position, price=None)
        if view.perp_base == 0 and view.spot_base < pair.perp.lot:
            await self._finish(pair, reason)
        else:
            facts = {"position": position.id, "reason": saga.outcome.value, "note": saga.note}
            self._room.tell("carry.close_incomplete", facts, Severity.ALERT)
        self.end(CycleStatus.EXECUTED, decision)
