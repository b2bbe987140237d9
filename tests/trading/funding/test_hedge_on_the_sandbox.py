"""A contract that the exchange ends, over real sockets: told, left in time, or sold beside while it is settled."""

from __future__ import annotations

from decimal import Decimal

from tests.conftest import needs_data
from tests.trading.funding.sandbox_rig import HOUR_MS, START_MS, world
from tests.trading.funding.test_desk_on_the_sandbox import held, no_duplicates
from trading.domain.decisions import Reason
from trading.execution.settings import ExecutionSettings
from trading.journal.audit import CycleStatus
from trading.storage.home import Home

pytestmark = needs_data
DAY_MS = 24 * HOUR_MS
DUST = Decimal("0.0001")


async def test_a_delisting_notice_is_left_by_the_saga_and_not_entered_again(home: Home) -> None:
    async with world(home) as here:
        desk = here.desk()
        assert (await here.cycle(desk)).reason is Reason.OK
        await here.post("/sandbox/notices", {"delivery_ms": START_MS + 3 * DAY_MS})
        await here.jump(int(here.clock.now_ms()) + 301_000)
        report = await here.cycle(desk)
        assert (report.status, report.reason) == (CycleStatus.EXECUTED, Reason.DELIVERY_SET)
        spot, perp = await held(here)
        assert (perp, spot < DUST) == (0, True)
        report = await here.cycle(desk)
        assert (report.status, report.reason) == (CycleStatus.NO_TRADE, Reason.DELIVERY_SET)
        await no_duplicates(here)


async def test_while_a_contract_is_settled_its_spot_is_sold_and_the_settlement_ends_it(home: Home) -> None:
    async with world(home) as here:
        here.execution = ExecutionSettings(maker_budget_s=20, max_unhedged_s=60, flat_budget_s=20)
        desk = here.desk()
        assert (await here.cycle(desk)).reason is Reason.OK
        await here.post("/sandbox/notices", {"status": {"perp": "SETTLING"}})
        await here.jump(int(here.clock.now_ms()) + 301_000)
        report = await here.cycle(desk)
        assert (report.status, report.reason) == (CycleStatus.HALTED, Reason.SYMBOL_STATUS)
        spot, perp = await held(here)
        assert spot < DUST, "sold at once: the price of the settlement is made"
        assert perp < 0, "no order in the contract is taken"
        assert "risk.not_flat" in [event.name for event in here.events]
        await here.post("/sandbox/force-close", {"kind": "SETTLEMENT"})
        await here.cycle(desk)
        assert (await held(here))[1] == 0
        assert desk.store.lives == ()
        assert len(desk.store.closed) == 1
        await no_duplicates(here)
