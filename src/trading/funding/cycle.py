"""One cycle of the carry desk, stage by stage: stops, what a crash left, books, risk, then market, decision and
execution of each symbol; what is held before what is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType

from trading.domain.decisions import Decision, Reason
from trading.domain.errors import DataProviderError, KeyRefusedError
from trading.domain.events import Severity
from trading.execution.flatten import flatten
from trading.execution.intent_records import Intent, Purpose
from trading.execution.two_legs import TwoLegs
from trading.funding import moves
from trading.funding.carry import CarryMarket, check_market, decide_exit, margin_danger
from trading.funding.carry import Held as HeldCarry
from trading.funding.cycle_base import Carry, Outcome
from trading.funding.cycle_books import Mismatch
from trading.funding.cycle_entries import CycleEntries
from trading.funding.hedge_watch import Consequence, Finding, leaving, strongest
from trading.funding.ledger import Pair
from trading.funding.position import CarryPosition, PositionStatus
from trading.funding.settlements import check_settlements, settlement_marks
from trading.journal.audit import CycleStatus
from trading.risk.kill_switch import Stop

NOTHING: Mapping[str, Decision] = MappingProxyType({})
RANK = (CycleStatus.EXECUTED, CycleStatus.HALTED, CycleStatus.DEGRADED, CycleStatus.NO_TRADE)
"""Which verdict a cycle over several symbols is told by; among equals the first, and what is held comes first."""


class Cycle(CycleEntries):
    """One pass; `report` is always fit to be shown."""

    async def run(self, carries: Sequence[Carry], *, stop: Stop, leave: Mapping[str, Decision] = NOTHING) -> None:
        """Every stage in order.

        Args:
            carries: The strategies that want to hold, in the order of their approval.
            stop: The switches.
            leave: By position id, why it is closed by the ordinary exit, whatever its own rules say.
        """
        store = self._room.store
        for claimed in store.refuse_resurrected():
            facts = {"position": claimed.id, "symbol": claimed.symbol}
            self._room.tell("carry.resurrection_refused", facts, Severity.NOTICE)
        if store.lives:
            self._take(store.lives[0].symbol)
        if stop.demands_flat:
            return await self.go_flat(stop.decision)
        with self._stage("resume"):
            if not await self._resume():
                return None
        symbols = dict.fromkeys([*(live.symbol for live in store.lives), *(carry.symbol for carry in carries)])
        if not symbols:
            return self.end(self._quiet(), self._gate(None) or self.report.decision)
        pairs = {symbol: await self._pair(symbol) for symbol in symbols}
        self._take(next(iter(pairs)))
        with self._stage("books"):
            mismatches = await self._books(pairs)
        doubted = next((one.decision for one in mismatches if not one.is_own), None)
        if doubted is not None:
            return await self._halt(doubted, flat=True)
        ended = [await self._end_lost(one, pairs[one.symbol]) for one in mismatches]
        if ended and not store.lives:
            return None
        await self._compare_clocks()
        crossed, lost = self._risk(stop)
        if crossed is not None and store.lives:
            return await self._halt(crossed, flat=True)
        ended += [await self._end_one(symbol, verdict, halts=False) for symbol, verdict in lost.items()]
        for live in store.lives:
            ended.append(await self._look_after(pairs[live.symbol], leave.get(live.id)))
            if self._is_unsure:
                return None
            stop = self._tools.read_stop()  # one that came while this symbol was worked on waits for no other
            if stop.demands_flat and store.lives:
                return await self.go_flat(stop.decision)
        if self._doubt is None and not (ended and not store.lives):
            ended += await self._enter(carries, pairs, stop=stop)
        return None if self._is_unsure else self._tell_strongest(ended)

    async def _end_lost(self, mismatch: Mismatch, pair: Pair) -> Outcome:
        """A leg of one symbol is gone: its other is closed, a human told how it went, the rest is left as it was."""
        live = self._room.store.live_of(mismatch.symbol)
        outcome = await self._end_one(mismatch.symbol, mismatch.decision)
        if live is not None:
            await self._explain_forced(pair, live)
        return outcome

    async def _end_one(self, symbol: str, verdict: Decision, *, halts: bool = True) -> Outcome:
        """Halt (unless it is halted already), and close what is held in one symbol at once."""
        self._take(symbol)
        live = self._live
        if live is not None and halts:
            await self._halt(verdict, flat=True, only=live)
        elif live is not None:
            await self.go_flat(verdict, only=live)
        return self._outcome(is_first=True)

    async def _look_after(self, pair: Pair, leave: Decision | None) -> Outcome:
        """One symbol that is held: what breaks its hedge, its market, and what to do; data that is not there holds up
        no other symbol.
        """
        self._take(pair.symbol)
        try:
            with self._stage("hedge"):
                findings = await self._watch_hedge(pair, armed=False)
            broken = strongest(findings, Consequence.FLAT)
            if broken is not None:
                return await self._end_one(pair.symbol, broken)
            with self._stage("market"):
                market = await self._market(pair)
            with self._stage("decide_and_execute"):
                await self._manage(pair, market, leave, findings)
        except KeyRefusedError:
            raise
        except DataProviderError as error:
            self.end(CycleStatus.DEGRADED, Decision(False, Reason.DATA_UNAVAILABLE, 0.0, 0.0, str(error)))
        return self._outcome()

    def _tell_strongest(self, ended: Sequence[Outcome]) -> None:
        """The report is about the strongest verdict; books in doubt are told unless something was done."""
        if ended:
            self._tell_outcome(min(ended, key=lambda one: (not one.is_first, RANK.index(one.status))))
        idle = self.report.status is not CycleStatus.EXECUTED and self.report.reason is not Reason.OUTCOME_UNKNOWN
        if self._doubt is not None and idle and self.report.flat_s is None:
            self.end(*self._doubt)

    async def _resume(self) -> bool:
        await self._tools.collateral.look()
        for intent in self._tools.intents.unfinished():
            if intent.doubt_since_ms and not await self._may_doubt_on(intent):
                return False
            if intent.purpose is Purpose.TOP_UP:
                # The move itself was looked up above; whether more is needed is measured anew.
                self._tools.intents.finish(intent.id, "interrupted", at_ms=self._tools.clock.now_ms())
                continue
            self._take(intent.symbol)
            pair = await self._pair(intent.symbol)
            if intent.purpose is Purpose.FLATTEN:
                await flatten(self._tools, intent.position_id, why=Reason.STOPPED_BY_HUMAN)
                continue
            saga = await TwoLegs(intent, pair.spot, pair.perp, self._tools, resumed=True).run()
            if not self._took(saga):
                return False
            facts = {"intent": intent.id, "symbol": intent.symbol, "state": saga.state.value, "note": saga.note}
            self._room.tell("carry.resumed", facts, Severity.NOTICE)
        lives = self._room.store.lives
        for position_id in self._tools.intents.positions():
            if position_id not in {live.id for live in lives}:
                await self._adopt_lost(position_id)
        for live in self._room.store.lives:
            if live.status is not PositionStatus.OPEN or self._tools.intents.held(live.id)[1] == 0:
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
        self._take(live.symbol)
        pair = await self._pair(live.symbol)
        position = await self._note_booking(pair, live)
        view = self._view(position, price=None)
        if view.perp_base == 0 and view.spot_base < pair.perp.lot:
            by_desk = {PositionStatus.OPENING: Reason.NOT_FILLED, PositionStatus.CLOSING: Reason.OK}
            await self._finish(pair, by_desk.get(live.status, Reason.STOPPED_BY_HUMAN))
        elif live.status is PositionStatus.OPENING:
            self._room.store.save(replace(position, status=PositionStatus.OPEN, note="opening was interrupted"))
            self._room.again.over(pair.symbol)
            self._room.counters.opened(self._tools.clock.now_ms())

    async def _manage(
        self, pair: Pair, market: CarryMarket, leave: Decision | None, findings: tuple[Finding, ...]
    ) -> None:
        position, view = self._live, self.report.performance
        if position is None or view is None:
            return
        marks = await settlement_marks(self._tools.venue, position, market)
        asked_ms, tell = self.report.at_ms, self._room.tell
        checked = check_settlements(position, market, marks, asked_ms=asked_ms, tell=tell, settings=self._room.carry)
        position = self._room.store.save(checked)
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
