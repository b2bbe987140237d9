"""The desk as a state machine over a venue that lies, dies and is meddled with: whatever comes in whatever order, the
legs end together, the books agree, and nothing is sent twice.
"""

from __future__ import annotations

from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.trading.execution.fake_venue import Crash, FakeVenue
from tests.trading.execution.rig import VirtualClock
from tests.trading.funding.rig import DeskRig, settled
from tests.trading.funding.settling import DUST, FAULTS, LOT, Settling
from trading.execution.settings import ExecutionSettings
from trading.funding.report import CycleReport

D = Decimal


class DeskMachine(Settling):
    """One carry."""

    @initialize(fills=st.lists(st.sampled_from(["0", "0.3", "0.7", "1"]), min_size=1, max_size=4), slices=st.booleans())
    def begin(self, fills: list[str], slices: bool) -> None:
        home = self.open()
        self.venue = FakeVenue(VirtualClock(), history=settled(), maker_fills=tuple(fills))
        execution = ExecutionSettings(slice_usdt=250 if slices else 25_000, slice_pause_s=2, maker_budget_s=10)
        self.rig = DeskRig(home, self.venue, execution=execution)

    @rule(armed=st.booleans())
    def cycle(self, armed: bool) -> None:
        """A minute passes and the desk looks."""
        self.runner.run(self._cycle(armed=armed))

    @rule(call=st.integers(1, 60), fault=st.sampled_from(FAULTS), armed=st.booleans())
    def disturbed_cycle(self, call: int, fault: str, armed: bool) -> None:
        self.venue.faults = {self.venue.calls + call: fault}
        self.runner.run(self._cycle(armed=armed))
        self.venue.faults = {}

    @rule(share=st.sampled_from(["0.97", "0.99", "1.01", "1.03"]))
    def price_moves(self, share: str) -> None:
        self.venue.price = (self.venue.price * D(share)).quantize(D("0.1"))

    @rule(rate=st.sampled_from([-0.002, -0.0001, 0.0003, 0.001]))
    def funding_settles(self, rate: float) -> None:
        self.venue.settle_funding(rate, self.venue.clock.now_ms())

    @rule(rate=st.sampled_from([-0.0009, 0.0003]))
    def funding_turns(self, rate: float) -> None:
        self.venue.rate, self.venue.history = rate, settled(rate)

    @precondition(lambda self: self.venue.quantity < 0)
    @rule()
    def the_exchange_closes_the_contract(self) -> None:
        self.venue.force_close()

    @precondition(lambda self: self.venue.quantity < 0)
    @rule(share=st.sampled_from(["0.26", "0.29", "0.9"]))
    def margin_shrinks(self, share: str) -> None:
        self.venue.margin = (-self.venue.quantity * self.venue.price * D(share)).quantize(D("0.01"))

    @rule()
    def stopped_and_released(self) -> None:
        self.stop_and_release()
        assert self.venue.quantity == 0

    @rule()
    def a_human_releases(self) -> None:
        self.rig.desk.release_halts()

    @invariant()
    def nothing_is_sent_twice(self) -> None:
        if hasattr(self, "venue"):
            assert max(self.venue.sent.values(), default=0) <= 1

    @invariant()
    def settled_it_is_even_and_its_books_agree(self) -> None:
        if not hasattr(self, "venue"):
            return
        self.settle()
        intents = self.rig.desk._room.tools.intents
        assert abs(self.venue.net_delta) < LOT + DUST
        assert not intents.unresolved()
        live = self.rig.desk.store.live_of("BTCUSDT")
        if live is None:
            assert self.venue.quantity == 0
        else:
            assert intents.held(live.id)[1] == self.venue.quantity
        assert len(intents.positions()) <= 1

    async def _cycle(self, *, armed: bool) -> CycleReport:
        await self.venue.clock.sleep_s(60)
        try:
            return await self.rig.cycle(armed=armed)
        except Crash:
            self.rig = self.rig.reborn()
            return await self.rig.cycle(armed=False)


TestDesk = DeskMachine.TestCase
TestDesk.settings = settings(max_examples=10, stateful_step_count=12, deadline=None)
