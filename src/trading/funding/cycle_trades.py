"""What a cycle trades: both legs opened, made even, closed, or everything taken to flat; each through the saga."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from trading.domain.decisions import Decision, Reason
from trading.domain.errors import OutcomeUnknownError
from trading.domain.events import Severity
from trading.domain.instrument import Market
from trading.domain.orders import Balance, Purse
from trading.execution.flatten import FlattenReport, flatten, flatten_all
from trading.execution.intent_records import IntentStatus, Purpose
from trading.execution.saga_steps import SagaReport
from trading.execution.saga_table import SagaState
from trading.execution.two_legs import TwoLegs
from trading.funding import moves
from trading.funding.cycle_risk import CycleRisk
from trading.funding.ledger import Pair
from trading.funding.margin_care import MarginPlan, is_low, plan_margin, smallest_close
from trading.funding.position import CarryPosition, PositionStatus
from trading.journal.audit import CycleStatus
from trading.strategy.spec import StrategySpec


class CycleTrades(CycleRisk):
    """Stages that send orders; when to is decided in `cycle`."""

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
            self._room.again.failed(pair.symbol, self.report.decision, self._tools.clock.now_ms())
            return
        position = await self._note_booking(pair, self._live or position)
        view = self._view(position, price=None)
        if view.perp_base == 0 and view.spot_base < pair.perp.lot:
            await self._finish(pair, saga.outcome)
            self._tell_not_opened(pair, saga, entry)
            return
        self._room.again.over(pair.symbol)
        self._room.store.save(replace(position, status=PositionStatus.OPEN))
        self._room.counters.opened(self._tools.clock.now_ms())
        self._room.tell("carry.opened", moves.opened_facts(position, view, saga, verdict), Severity.NOTICE)
        await self._refresh(pair)
        self.end(CycleStatus.EXECUTED, verdict)

    def _tell_not_opened(self, pair: Pair, saga: SagaReport, entry: moves.Entry) -> None:
        """The entry rests before it is tried again. What was given back cost fees and is told each time, anything else
        once for each reason.
        """
        refused = next((one.note for one in reversed(saga.orders) if one.status is IntentStatus.REJECTED), "")
        note = saga.note or refused
        decision = Decision(False, saga.outcome, 0.0, float(entry.perp_base), note)
        is_new = self._room.again.failed(pair.symbol, decision, self._tools.clock.now_ms())
        facts = {"reason": saga.outcome.value, "symbol": pair.symbol, "note": note}
        if saga.outcome is Reason.SECOND_LEG_FAILED:
            self._room.tell("carry.unwound", facts, Severity.NOTICE)
        else:
            self._room.tell("carry.not_opened", facts, Severity.NOTICE if is_new else Severity.INFO)
        self.end(CycleStatus.EXECUTED, decision)

    async def _close(self, pair: Pair, reason: Reason, verdict: Decision | None = None) -> None:
        position = self._live
        if position is None:
            return
        position = self._room.store.save(replace(position, status=PositionStatus.CLOSING))
        view = self._view(position, price=None)
        spot, perp = pair.spot.quantity(max(view.spot_base, Decimal(0))), -view.perp_base
        decision = verdict or Decision(True, reason, 1.0, 0.0, "closing was interrupted")
        if spot == 0 or perp <= 0:
            await self.go_flat(decision, only=position)
            return
        now_ms, leverage = self._tools.clock.now_ms(), position.parameters.leverage
        intent = self._tools.intents.begin(
            position.id, Purpose.CLOSE, pair.symbol, (spot, perp), leverage=leverage, at_ms=now_ms
        )
        saga = await TwoLegs(intent, pair.spot, pair.perp, self._tools).run()
        if not self._took(saga):
            return
        position = await self._note_booking(pair, self._live or position)
        view = self._view(position, price=None)
        if view.perp_base == 0 and view.spot_base < pair.perp.lot:
            await self._finish(pair, reason)
        else:
            facts = {
                "position": position.id,
                "symbol": pair.symbol,
                "reason": saga.outcome.value,
                "note": saga.note,
            }
            self._room.tell("carry.close_incomplete", facts, Severity.ALERT)
        self.end(CycleStatus.EXECUTED, decision)

    async def _rebalance(self, pair: Pair, verdict: Decision) -> None:
        """The leg that is ahead gives the difference back; the position goes on."""
        position, view = self._live, self.report.performance
        if position is None or view is None:
            return
        bases = view.spot_base, -view.perp_base
        saga = await self._trade_on(pair, position, Purpose.REBALANCE, bases, verdict)
        if saga is not None:
            facts = {"position": position.id, "symbol": pair.symbol, "note": verdict.note, "orders": len(saga.orders)}
            self._room.tell("carry.rebalanced", facts, Severity.NOTICE)

    async def _trade_on(
        self, pair: Pair, position: CarryPosition, purpose: Purpose, bases: tuple[Decimal, Decimal], verdict: Decision
    ) -> SagaReport | None:
        """A saga after which the position goes on, booked and told as the verdict; None: in doubt, or refused."""
        now_ms, leverage = self._tools.clock.now_ms(), position.parameters.leverage
        intent = self._tools.intents.begin(position.id, purpose, pair.symbol, bases, leverage=leverage, at_ms=now_ms)
        saga = await TwoLegs(intent, pair.spot, pair.perp, self._tools).run()
        if not self._took(saga):
            return None
        await self._note_booking(pair, self._live or position)
        await self._refresh(pair)
        if saga.state is SagaState.REFUSED:
            self.end(CycleStatus.DEGRADED, Decision(False, saga.outcome, 0.0, verdict.value, saga.note))
            return None
        self.end(CycleStatus.EXECUTED, verdict)
        return saga

    async def _top_up(self, pair: Pair, distance: float | None) -> MarginPlan | None:
        """Put margin behind the short before it is in trouble; the plan that was carried out, None: none was.

        What a wallet refuses or leaves in doubt holds nothing up: the next cycle measures anew.
        """
        position, collateral = self._live, self._tools.collateral
        if not is_low(distance, self._room.carry):
            return None
        held = await self._tools.venue.position(pair.symbol)
        spot, futures = [await self._tools.venue.balances(market) for market in Market]
        quote, nothing = pair.perp.quote, Balance(Decimal(0), Decimal(0))
        plan = plan_margin(
            held,
            self._room.carry,
            free_spot_quote=spot.get(quote, nothing).free,
            free_futures_quote=futures.get(quote, nothing).free,
            between_wallets=collateral.between_wallets,
        )
        if plan is None or position is None:
            return None
        facts: dict[str, object] = {"position": position.id, "symbol": pair.symbol, "distance": distance}
        note = ""
        if plan.moves:
            now_ms, nil = self._tools.clock.now_ms(), (Decimal(0), Decimal(0))
            intent = self._tools.intents.begin(
                position.id, Purpose.TOP_UP, pair.symbol, nil, leverage=position.parameters.leverage, at_ms=now_ms
            )
            note = await self._pay_margin(intent.id, quote, plan)
            self._tools.intents.finish(intent.id, note or Reason.OK, at_ms=self._tools.clock.now_ms())
            if not note:
                self._room.tell("carry.margin_added", {**facts, "quote": float(plan.add_quote)}, Severity.NOTICE)
        if note or plan.missing_quote > 0:
            told = note or f"{plan.missing_quote:.2f} {quote} are free in neither wallet"
            self._room.tell("carry.margin_low", {**facts, "note": told}, Severity.ALERT)
        # Closing frees money, which helps nobody while money cannot be moved.
        return None if note else plan

    async def _pay_margin(self, intent_id: str, asset: str, plan: MarginPlan) -> str:
        """Move what the plan says; empty, or why it could not be."""
        steps = ((Purse.FUTURES, plan.transfer_quote), (Purse.POSITION, plan.add_quote))
        for to, amount in steps:
            if amount <= 0:
                continue
            try:
                moved = await self._tools.collateral.move(intent_id, asset, amount, to=to)
            except OutcomeUnknownError as error:
                return str(error)
            if moved.status is not IntentStatus.FILLED:
                return f"{amount} {asset} to {to}: {moved.status} {moved.note}"
        return ""

    async def _reduce(self, pair: Pair, plan: MarginPlan, *, price: Decimal) -> None:
        """Close so much of both legs that what it frees carries the rest; the next cycle moves it."""
        position, view = self._live, self.report.performance
        if position is None or view is None:
            return
        verdict = Decision(True, Reason.MARGIN_LOW, float(plan.missing_quote), 0.0, "the margin is free in no wallet")
        base = smallest_close(pair, plan.close_fraction, held_base=-view.perp_base, price=price)
        if base > min(-view.perp_base, view.spot_base) / 2:
            await self._close(pair, Reason.MARGIN_LOW, verdict)
            return
        saga = await self._trade_on(pair, position, Purpose.CLOSE, (base, base), verdict)
        if saga is not None:
            facts = {"position": position.id, "symbol": pair.symbol, "base": str(base), "note": saga.note}
            self._room.tell("carry.reduced", facts, Severity.NOTICE)

    async def go_flat(self, why: Decision, *, only: CarryPosition | None = None) -> None:
        """Close everything of ours, whatever it takes; what is not flat after the budget is tried again next cycle.

        Args:
            why: Goes to the journal.
            only: The position that the reason is about; None: the account as a whole.
        """
        with self._stage("flatten"):
            reports = await self._flattened(why, only)
        seconds = [report.elapsed_s for report in reports]
        self.report = replace(self.report, flat_s=max(seconds, default=self.report.flat_s))
        for report in reports:
            facts = {
                "position": report.position_id,
                "symbol": report.symbol,
                "flat_s": round(report.elapsed_s, 3),
                "errors": list(report.errors),
            }
            # Of a stop it is told once for all that everything is flat.
            flat = Severity.INFO if why.reason in (Reason.KILL_SWITCH, Reason.STOPPED_BY_HUMAN) else Severity.NOTICE
            name, severity = ("risk.flat", flat) if report.is_flat else ("risk.not_flat", Severity.ALERT)
            self._room.tell(name, {**facts, "reason": why.reason.value}, severity)
        lives = self._room.store.lives if only is None else (only,)
        for report in reports:
            if report.is_flat and report.position_id not in {live.id for live in lives}:
                self._tools.intents.close_position(report.position_id, at_ms=self._tools.clock.now_ms())
        open_still = {report.position_id for report in reports if not report.is_flat}
        for live in lives:
            if live.id not in open_still:
                self._take(live.symbol)
                pair = await self._pair(live.symbol)
                await self._note_booking(pair, self._live or live)
                await self._finish(pair, why.reason)
        self.end(CycleStatus.HALTED, why)

    async def _flattened(self, why: Decision, only: CarryPosition | None) -> tuple[FlattenReport, ...]:
        if only is None:
            return await flatten_all(self._tools, why=why.reason)
        if only.id not in self._tools.intents.positions():
            return ()  # no order of it was ever meant
        return (await flatten(self._tools, only.id, why=why.reason),)

    async def _halt(self, verdict: Decision, *, flat: bool, only: CarryPosition | None = None) -> None:
        """Halt entries and close what the verdict is about: one position, or everything."""
        self._halt_entries(verdict)
        if flat and self._tools.intents.positions():
            await self.go_flat(verdict, only=only)
        else:
            self.end(CycleStatus.HALTED, verdict)

    def _took(self, saga: SagaReport) -> bool:
        """Take note of a saga; False: it is in doubt and nothing else may happen this cycle."""
        longest = max(self.report.max_unhedged_s, saga.max_unhedged_s)
        self.report = replace(self.report, max_unhedged_s=longest)
        live = self._live
        if live is not None:
            self._room.store.save(replace(live, max_unhedged_s=max(live.max_unhedged_s, saga.max_unhedged_s)))
        if saga.state is SagaState.IN_DOUBT:
            self._is_unsure = True
            verdict = Decision(False, Reason.OUTCOME_UNKNOWN, saga.elapsed_s, 0.0, saga.note)
            facts = {"intent": saga.intent_id, "symbol": self.report.symbol, "note": saga.note}
            self._room.tell("carry.in_doubt", facts, Severity.ALERT)
            self.end(CycleStatus.HALTED, verdict)
            return False
        return True
