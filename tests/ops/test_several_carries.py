"""Two live carries as the reports, the status page and the trace tell them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import cast

import pytest

from ai_brain.paper.outcome import PaperPosition
from ops.gather import holdings, live_account, paper_account
from ops.jobs.trading_loop import remember_live
from ops.reader import MessageSettings
from ops.service.lab import Lab
from ops.settings import LabSettings
from ops.trace.live_records import CycleLine, read_holdings
from ops.trace.money import cash_moved, dust_quote, fill_line, fill_rows, reported_fees, reported_funding
from tests.trading.funding.many import ManyVenue, rig_of
from tests.trading.funding.rig import DeskRig
from tests.trading.funding.test_several import BTC, ETH, cycle, leaving
from trading.funding.report import CycleReport
from trading.storage.home import Home


@pytest.fixture
def venue() -> ManyVenue:
    return ManyVenue("BTC", "ETH")


@pytest.fixture
def rig(home: Home, venue: ManyVenue) -> DeskRig:
    return rig_of(home, venue)


def lab_of(rig: DeskRig) -> Lab:
    """As much of a lab as the reports ask."""
    memory = SimpleNamespace(
        live=None, live_start_quote=0.0, live_flows_quote=0.0, live_start_flows_quote=0.0, live_unexplained_quote=0.0
    )
    settings = LabSettings(messages=MessageSettings(time_zone="Europe/Berlin"))
    paper = SimpleNamespace(positions=tuple)
    clock, desk = rig.venue.clock, rig.desk
    rooms = {"memory": memory, "settings": settings, "paper": paper, "clock": clock, "desk": desk, "home": rig.home}
    return cast(Lab, SimpleNamespace(**rooms, setting=SimpleNamespace(switches={})))


async def test_each_position_is_told_and_the_account_is_the_sum(rig: DeskRig, venue: ManyVenue) -> None:
    await cycle(rig)
    for fake in venue.of.values():
        fake.settle_funding(0.0003, rig.venue.clock.now_ms())
    report = await cycle(rig)
    lab = lab_of(rig)
    remember_live(lab, report)
    told = [holding.text for holding in holdings(lab, report)]
    assert [text.split(":")[0] for text in told] == [f"carry {BTC}", f"carry {ETH}"]
    account = live_account(lab, report)
    whole = account.cash_quote + account.positions_quote + account.unrealised_quote + account.dust_quote
    assert account.equity_quote == pytest.approx(whole)
    assert account.equity_quote == pytest.approx(float(venue.equity()))
    views = [one.performance for one in report.held if one.performance is not None]
    assert account.funding_quote == pytest.approx(sum(float(view.funding_quote) for view in views))
    assert account.start_quote == pytest.approx(20_000)
    report = await cycle(rig, armed=False, leave=leaving(rig, BTC))
    assert live_account(lab, report).funding_quote == pytest.approx(account.funding_quote)
    assert [text.split(":")[0] for text in [h.text for h in holdings(lab, report)] if "carry" in text] == [
        f"carry {ETH}"
    ]


async def test_an_account_that_was_not_read_lately_says_since_when_with_its_date_and_zone(rig: DeskRig) -> None:
    report = await cycle(rig)
    lab = lab_of(rig)
    assert live_account(lab, report).kind == "live"
    told = live_account(lab, replace(report, at_ms=report.at_ms - 3 * 86_400_000)).kind
    since = lab.settings.messages.reader.dated(report.at_ms - 3 * 86_400_000)
    assert since[-4:] in (" CET", "CEST")
    assert told == f"live, STALE, as of {since}, 3 d old"
    now_ms = lab.clock.now_ms()
    position = PaperPosition("fc-1", 1e4, 1e4, 0.0, 0.0, 0.0, 0.0, 1e4, "", now_ms - 3_600_000, 3_600_000)
    assert paper_account(lab, position).kind == "paper fc-1"
    told = paper_account(lab, replace(position, marked_ms=now_ms - 5 * 3_600_000)).kind
    assert told.startswith("paper fc-1, STALE, as of ")
    assert told.endswith(", 5 h old")


def line_of(report: CycleReport) -> CycleLine:
    facts = {
        "at_ms": report.at_ms, "mode": "live", "status": report.status, "reason": report.reason, "data_quality": 100.0,
        "risk": report.risk_json(), "fills": report.fills_json(), "intents": (), "equity": report.equity_json(),
        "note": "", "hash": "0" * 64,
    }  # fmt: skip
    return CycleLine.model_validate(facts)


async def test_the_cash_that_two_positions_moved_is_the_profit_the_reports_tell(rig: DeskRig, venue: ManyVenue) -> None:
    lines = [line_of(await cycle(rig))]
    for number, fake in enumerate(venue.of.values()):
        fake.price += 300 * (1 + 2 * number)
    lines += [line_of(await cycle(rig, armed=False, leave=leaving(rig, symbol))) for symbol in (BTC, ETH)]
    held = read_holdings(rig.home)
    fills = [fill for fill, _ in fill_rows(lines, {}, held.lives)]
    profit = sum((closed.profit_quote for closed in held.closed), Decimal(0))
    dust = dust_quote(held.closed)
    assert dust is not None
    assert abs(sum(cash_moved(fills), Decimal(0)) + dust - profit) < Decimal("1e-12")


async def test_fills_of_two_symbols_under_one_trade_id_are_two_rows_and_their_fees_add_up(
    rig: DeskRig, venue: ManyVenue
) -> None:
    lines = [line_of(await cycle(rig))]
    for fake in venue.of.values():
        fake.settle_funding(0.0003, rig.venue.clock.now_ms())
    lines.append(line_of(await cycle(rig)))
    ids = [trade.venue_trade_id for fake in venue.of.values() for trade in fake.trades]
    assert len(set(ids)) < len(ids), "the test is about ids that two symbols share"
    held = read_holdings(rig.home)
    rows = [fill for fill, _ in fill_rows(lines, {}, held.lives)]
    assert len(rows) == len(ids)
    fees = [fill.fee_in_quote("USDT") for fill in rows]
    assert sum(fee for fee in fees if fee is not None) == reported_fees(held)
    assert reported_funding(held) == sum(record.amount_quote for fake in venue.of.values() for record in fake.records)
    assert {row.symbol for row in rows} == {BTC, ETH}
    assert fill_line(rows[0], "lab-1", names_symbol=True)[1] in (f"spot {BTC}", f"perp {BTC}")
