"""The stage of a cycle that opens: every carry that wants to is weighed, the best is tried first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from trading.domain.decisions import Decision, Reason
from trading.domain.errors import DataProviderError, KeyRefusedError
from trading.domain.instrument import Market
from trading.domain.orders import Balance
from trading.funding import moves
from trading.funding.better_use import FULL, Use, decide_better_use, weakest_first, without
from trading.funding.carry import CarryMarket, Outlook, decide_entry, outlook, present_apr
from trading.funding.cycle_base import Carry, Outcome
from trading.funding.cycle_hedge import CycleHedge
from trading.funding.cycle_trades import CycleTrades
from trading.funding.exposure import with_history
from trading.funding.hedge_watch import Consequence, strongest
from trading.funding.ledger import Pair
from trading.funding.look import read_market
from trading.funding.position import CarryPosition, PositionStatus
from trading.journal.audit import CycleStatus
from trading.risk.guards import RiskBook
from trading.risk.kill_switch import Stop
from trading.strategy.parameters import CarryParameters


@dataclass(frozen=True, slots=True)
class Wish:
    """A carry whose market pays for it."""

    carry: Carry
    pair: Pair
    market: CarryMarket
    outlook: Outlook
    verdict: Decision


class CycleEntries(CycleTrades, CycleHedge):
    """What is held has been managed before: an exit frees budget."""

    async def _enter(self, carries: Sequence[Carry], pairs: Mapping[str, Pair], *, stop: Stop) -> list[Outcome]:
        """Weigh every carry whose symbol is free, then try them from the best careful expectation down."""
        ended, wishes, store = list[Outcome](), list[Wish](), self._room.store
        for carry in carries:
            is_idle = bool(store.lives) and self._gate(carry) is not None
            if store.live_of(carry.symbol) is not None or is_idle:
                continue
            wish = await self._weigh(carry, pairs[carry.symbol])
            if wish is None:
                ended.append(self._outcome())
            else:
                wishes.append(wish)
        for wish in sorted(wishes, key=lambda one: -one.outlook.careful_apr):
            if store.live_of(wish.carry.symbol) is not None:
                continue
            self._take(wish.carry.symbol)
            with self._stage("decide_and_execute"):
                crowded = await self._try(wish, stop=stop)
                ended.append(self._outcome())
                if crowded is not None and await self._make_room(wish, crowded, pairs):
                    ended.append(self._outcome())
                    break
            stop = self._tools.read_stop()
            if self._is_unsure or stop.blocks_entries:
                break
        return ended

    async def _weigh(self, carry: Carry, pair: Pair) -> Wish | None:
        """Look at what a carry would hold; None: it may not, or its market does not pay for it."""
        self._take(carry.symbol)
        try:
            with self._stage("hedge"):
                findings = await self._watch_hedge(pair, armed=carry.armed)
            with self._stage("market"):
                market = await self._market(pair)
            gate, parameters = self._gate(carry), carry.spec.parameters
            if gate is not None or not isinstance(parameters, CarryParameters):
                note = "the approved strategy is not a funding carry"
                self.end(self._quiet(), gate or Decision(False, Reason.NO_APPROVED_STRATEGY, 0.0, 1.0, note))
                return None
            verdict = strongest(findings, Consequence.NO_ENTRY) or decide_entry(market, parameters, self._room.carry)
        except KeyRefusedError:
            raise
        except DataProviderError as error:
            self.end(CycleStatus.DEGRADED, Decision(False, Reason.DATA_UNAVAILABLE, 0.0, 0.0, str(error)))
            return None
        if verdict.allowed:
            verdict = self._room.again.rest(carry.symbol, self._tools.clock.now_ms()) or verdict
        if not verdict.allowed:
            self.end(self._quiet(), verdict)
            return None
        return Wish(carry, pair, market, outlook(market, self._room.carry), verdict)

    async def _try(self, wish: Wish, *, stop: Stop) -> RiskBook | None:
        """Size it beside all that is held and pending, and open it; the book where others may hold its place."""
        pair, spec = wish.pair, wish.carry.spec
        if self._room.store.lives:
            await self._refresh(pair)
        # Another may have been opened since this market was looked at.
        market = replace(wish.market, now_ms=self._tools.clock.now_ms())
        book = replace(self.risk_book(stop, spec.id), quote_age_s=market.quote_age_s)
        if self._room.store.lives:
            book = await self._with_free(book, pair)
        held = {live.symbol: self._held_quote(live) for live in self._room.store.lives}
        book = await with_history(book, self._room, pair, held_quote=held)
        entry = moves.size_entry(book, self._room, pair, wish.market, spec)
        self.report = replace(self.report, checks=(*self.report.checks, *entry.decisions))
        if entry.perp_base == 0:
            self.end(self._quiet(), entry.deciding)
            return book if held and entry.deciding.reason in FULL else None
        await self._open(pair, spec, entry, wish.verdict)
        return None

    async def _make_room(self, wish: Wish, book: RiskBook, pairs: Mapping[str, Pair]) -> bool:
        """Leave the weakest carry that is held for a better one; False: none is so much weaker. The better one is
        opened in a later cycle, by the ordinary way.
        """
        uses = [use for live in self._room.store.lives if (use := self._use_of(live)) is not None]
        for use in weakest_first(uses):
            live, view = self._room.store.live_of(use.symbol), self._view_of(use.symbol)
            if live is None or view is None:
                continue
            terms = live.parameters
            freed = without(book, use.symbol, notional_quote=use.notional_quote, leverage=terms.leverage)
            entry = moves.size_entry(freed, self._room, wish.pair, wish.market, wish.carry.spec)
            if entry.perp_base == 0:
                continue
            wanted = Use(wish.carry.symbol, wish.outlook, float(entry.capital_quote))
            verdict = decide_better_use(
                use, wanted, self._room.carry, fundings=view.settlements, min_hold_fundings=terms.min_hold_fundings
            )
            self.report = replace(self.report, checks=(*self.report.checks, verdict))
            if verdict.allowed:
                self._take(use.symbol)
                await self._close(pairs[use.symbol], verdict.reason, verdict)
                return True
        return False

    def _use_of(self, live: CarryPosition) -> Use | None:
        """What a position is worth holding; None: this cycle did not find it quietly held."""
        found = self.report.symbols.get(live.symbol)
        if found is None or found.decision is None or found.outlook is None:
            return None
        is_quiet = found.decision.reason is Reason.HOLDING and live.status is PositionStatus.OPEN
        return Use(live.symbol, found.outlook, self._held_quote(live)) if is_quiet else None

    async def _with_free(self, book: RiskBook, pair: Pair) -> RiskBook:
        """The wallets are shared: what the others have tied up, or took a moment ago, is not there for this one."""
        spot, futures = [await self._tools.venue.balances(market) for market in Market]
        nothing = Balance(Decimal(0), Decimal(0))
        return replace(
            book,
            free_spot_quote=float(spot.get(pair.spot.quote, nothing).free),
            free_futures_quote=float(futures.get(pair.perp.quote, nothing).free),
        )

    def _quiet(self) -> CycleStatus:
        return CycleStatus.HALTED if self._room.counters.memory.halts else CycleStatus.NO_TRADE

    def _gate(self, carry: Carry | None) -> Decision | None:
        halts = self._room.counters.memory.halts
        if halts:
            return halts[0].decision
        if carry is None:
            return Decision(False, Reason.NO_APPROVED_STRATEGY, 0.0, 1.0, "no carry has been approved")
        return None if carry.armed else Decision(False, Reason.NOT_ARMED, 0.0, 1.0, "run go_live.py")

    async def _market(self, pair: Pair) -> CarryMarket:
        market = await read_market(self._room, pair)
        told = market.spot.mid > 0 and market.perp.mid > 0
        self._keep(
            replace(
                self._hand,
                outlook=outlook(market, self._room.carry) if told else None,
                basis_bps=market.basis_rate * 10_000 if told else None,
                present_funding_apr=present_apr(market),
                quality=float(market.data.quality),
            )
        )
        return market
