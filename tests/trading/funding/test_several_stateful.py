"""Three carries as a state machine over a venue that lies, dies and is meddled with: whatever comes in whatever order,
each symbol's legs end together, the account's books agree, and nothing is sent twice.
"""

from __future__ import annotations

from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.trading.execution.fake_venue import Crash
from tests.trading.funding.many import ROOMY, ManyVenue, carry_in, rig_of
from tests.trading.funding.rig import settled
from tests.trading.funding.settling import DUST, FAULTS, LOT, Settling
from trading.domain.decisions import Decision, Reason
from trading.funding.cycle_base import Carry
from trading.funding.report import CycleReport

D = Decimal
BASES = ("BTC", "ETH", "SOL")
WHICH = st.sampled_from([f"{base}USDT" for base in BASES])
WHY = Decision(True, Reason.EVIDENCE_EXPIRED, 1.0, 0.0, "a test")


class PortfolioMachine(Settling):
    """Up to three carries at once."""

    @initialize(most=st.integers(1, 3))
    def begin(self, most: int) -> None:
        home = self.open()
        self.venue = ManyVenue(*BASES)
        limits = ROOMY.model_copy(update={"max_positions": most})
        self.rig = rig_of(home, self.venue, limits)
        self.cycle(armed=True)

    @rule(armed=st.just(True))
    def cycle(self, armed: bool) -> None:
        self.runner.run(self._cycle(armed=armed))

    @rule(symbol=WHICH, call=st.integers(1, 40), fault=st.sampled_from(FAULTS), armed=st.booleans())
    def disturbed_cycle(self, symbol: str, call: int, fault: str, armed: bool) -> None:
        venue = self.venue.of[symbol]
        venue.faults = {venue.calls + call: fault}
        self.runner.run(self._cycle(armed=armed))
        venue.faults = {}

    @rule(symbol=WHICH, call=st.integers(1, 40), fault=st.sampled_from(["", *FAULTS]))
    def one_is_left(self, symbol: str, call: int, fault: str) -> None:
        venue = self.venue.of[symbol]
        venue.faults = {venue.calls + call: fault} if fault else {}
        self.runner.run(self._cycle(armed=False, leave=symbol))
        venue.faults = {}

    @rule(symbol=WHICH, share=st.sampled_from(["0.97", "1.03"]))
    def price_moves(self, symbol: str, share: str) -> None:
        venue = self.venue.of[symbol]
        venue.price = (venue.price * D(share)).quantize(D("0.1"))

    @rule(symbol=WHICH, rate=st.sampled_from([-0.002, 0.0003, 0.001]))
    def funding_settles(self, symbol: str, rate: float) -> None:
        self.venue.of[symbol].settle_funding(rate, self.venue.clock.now_ms())

    @rule(symbol=WHICH, rate=st.sampled_from([-0.0009, 0.0003, 0.0015]))
    def funding_turns(self, symbol: str, rate: float) -> None:
        self.venue.of[symbol].rate, self.venue.of[symbol].history = rate, settled(rate)

    @rule(symbol=WHICH)
    def the_exchange_closes_one_contract(self, symbol: str) -> None:
        others = {name: venue.quantity for name, venue in self.venue.of.items() if name != symbol}
        if self.venue.of[symbol].quantity < 0:
            self.venue.of[symbol].force_close()
            self.settle()
            assert {name: self.venue.of[name].quantity for name in others} == others

    @precondition(lambda self: len(self.rig.desk.store.closed) > 1)
    @rule()
    def stopped_and_released(self) -> None:
        self.stop_and_release()
        assert all(venue.quantity == 0 for venue in self.venue.of.values())

    @rule()
    def a_human_releases_and_what_pays_is_opened(self) -> None:
        self.rig.desk.release_halts()
        self.cycle(armed=True)

    @invariant()
    def settled_all_is_even_and_the_books_agree(self) -> None:
        if not hasattr(self, "venue"):
            return
        self.settle()
        store, intents = self.rig.desk.store, self.rig.desk._room.tools.intents
        assert not intents.unresolved()
        for symbol, venue in self.venue.of.items():
            assert max(venue.sent.values(), default=0) <= 1
            assert abs(venue.net_delta) < LOT + DUST * (1 + len(store.closed)), symbol
            live = store.live_of(symbol)
            assert (intents.held(live.id)[1] if live is not None else 0) == venue.quantity
        assert {live.id for live in store.lives} == set(intents.positions())
        assert len(store.lives) <= self.rig.limits.max_positions

    async def _cycle(self, *, armed: bool, leave: str = "") -> CycleReport:
        await self.venue.clock.sleep_s(60)
        carries = [Carry(carry_in(symbol), armed) for symbol in self.venue.of]
        why = {live.id: WHY for live in self.rig.desk.store.lives if live.symbol == leave}
        try:
            return await self.rig.desk.cycle(carries, stop=self.rig.stop, leave=why)
        except Crash:
            self.rig = self.rig.reborn()
            return await self.rig.desk.cycle((), stop=self.rig.stop)


TestPortfolio = PortfolioMachine.TestCase
TestPortfolio.settings = settings(max_examples=5, stateful_step_count=10, deadline=None)
