"""Two carries over real sockets, on two recorded markets: one account, whose own ledger adds up at the end."""

from __future__ import annotations

from decimal import Decimal

from tests.conftest import needs_data
from tests.trading.funding.many import carry_in
from tests.trading.funding.sandbox_rig import HOUR_MS, START_MS, World, world
from tests.trading.funding.test_desk_on_the_sandbox import even, no_duplicates
from trading.domain.decisions import Decision, Reason
from trading.funding.cycle_base import Carry
from trading.funding.desk import CarryDesk
from trading.funding.report import CycleReport
from trading.journal.audit import CycleStatus
from trading.risk.kill_switch import read_stop
from trading.risk.limits import RiskLimits
from trading.storage.home import Home

pytestmark = needs_data
D = Decimal
BTC, ETH = "BTCUSDT", "ETHUSDT"
ROOM_FOR_TWO = RiskLimits(live_scale_pct=100, cooldown_after_fill_s=0, cooldown_after_loss_s=0, max_positions=2)
WHY = Decision(True, Reason.EVIDENCE_EXPIRED, 1.0, 0.0, "a test")


async def cycle(here: World, desk: CarryDesk, *, armed: bool = False, leave: str = "") -> CycleReport:
    carries = [Carry(carry_in(symbol, entry_apr_pct=5.0), armed) for symbol in (BTC, ETH)]
    why = {live.id: WHY for live in desk.store.lives if live.symbol == leave}
    return await desk.cycle(carries, stop=read_stop(here.home, {}), leave=why)


async def shorts(here: World) -> tuple[Decimal, Decimal]:
    btc, eth = [(await here.venue.position(symbol)).quantity_base for symbol in (BTC, ETH)]
    return btc, eth


async def test_two_are_opened_paid_and_closed_each_by_itself_and_every_cent_is_accounted_for(home: Home) -> None:
    async with world(home, "--symbol", ETH) as here:
        here.limits = ROOM_FOR_TWO
        desk = here.desk()
        report = await cycle(here, desk, armed=True)
        assert sorted(live.symbol for live in desk.store.lives) == [BTC, ETH], report.symbols
        assert all(quantity < 0 for quantity in await shorts(here))
        await here.jump(START_MS + 2 * HOUR_MS + 120_000)  # past the settlement of 08:00
        report = await cycle(here, desk)
        even(report)
        assert report.reason is Reason.HOLDING, report.decision
        assert [one.performance.settlements for one in report.held if one.performance is not None] == [1, 1]
        report = await cycle(here, desk, leave=BTC)
        assert (report.status, report.symbol) == (CycleStatus.EXECUTED, BTC), report.decision
        btc, eth = await shorts(here)
        assert (btc, eth < 0) == (0, True)
        again = here.desk()
        await cycle(here, again, armed=True)
        before, _ = await shorts(here)
        assert before < 0, "opened anew beside the other"
        await here.post("/sandbox/force-close", {"kind": "ADL", "symbol": ETH})
        report = await cycle(here, again)
        assert (report.status, report.reason, report.symbol) == (CycleStatus.HALTED, Reason.RECONCILE_MISMATCH, ETH)
        assert await shorts(here) == (before, 0), "the other is as it was"
        again.release_halts()
        report = await cycle(here, again)
        even(report)
        assert report.identity is not None
        await cycle(here, again, leave=BTC)
        assert await shorts(here) == (0, 0)
        report = await cycle(here, again)
        profit = sum((closed.profit_quote for closed in again.store.closed), D(0))
        assert report.equity_quote is not None
        assert abs(report.equity_quote - 20_000 - profit) < D("0.01"), (report.equity_quote, profit)
        assert again.counters.memory.flows_quote == 0
        ledger = await here.ask("/sandbox/ledger")
        assert dict(ledger["equity"])["adds_up"]  # type: ignore[call-overload]
        await no_duplicates(here)
