"""One cycle of the carry desk, stage by stage: stops, what a crash left, books, risk, market, decision, execution."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from trading.domain.decisions import Decision, Reason
from trading.domain.events import Severity
from trading.execution.flatten import flatten
from trading.execution.intent_records import Intent, Purpose
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
from trading.funding.cycle_trades import CycleTrades
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


class Cycle(CycleTrades, CycleHedge):
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

    async def _resume(self) -> bool:
        await self._tools.collateral.look()
        for intent in self._tools.intents.unfinished():
            if intent.doubt_since_ms and not await self._may_doubt_on(intent):
                return False
            if intent.purpose is Purpose.TOP_UP:
                # The move itself was looked up above; whether more is needed is measured anew.
                self._tools.intents.finish(intent.id, "interrupted", at_ms=self._tools.clock.now_ms())
                continue
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

    async def _may_doubt_on(self, intent: Intent) -> bool:
        """Doubt has a limit: past it nothing is opened before a human has looked, and what is ours is closed."""
        doubted_s = (self._tools.clock.now_ms() - intent.doubt_since_ms) / 1000
        limit_s = self._tools.settings.doubt_budget_s
        if doubted_s <= limit_s:
            return True
        note = f"intent {intent.id} ({intent.purpose}) has been in doubt for {doubted_s:.0f} s: everything is closed"
        await self._halt(Decision(False, Reason.OUTCOME_UNKNOWN, doubted_s, limit_s, note), flat=True)
        return False

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
        lacking = await self._top_up(pair, self._liquidation_distance)
        # An open hedge is closed on whatever the data are: the saga looks at the book it trades on.
        uneven = moves.rebalance_due(view, pair, position.parameters, price=Decimal(str(market.spot.bid)))
        if uneven is not None:
            await self._rebalance(pair, uneven)
            return
        if not data.allowed:
            self.end(CycleStatus.DEGRADED, data)
            return
        if leave is not None:
            await self._close(pair, leave.reason, leave)
            return
        if lacking is not None and lacking.close_fraction > 0:
            await self._reduce(pair, lacking, price=Decimal(str(market.spot.bid)))
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
