"""What a day and a week brought, from the records on disk alone."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from ai_brain.paper.account import PaperAccount, PaperTrade, save_account
from ops.performance_log import note_day
from ops.period import Gain, day_ended, read_period, reasons_since, week_ended
from ops.service.lab import remembered
from tests.ops.papers import carry_in
from trading.domain.clock import parse_iso
from trading.domain.decisions import Reason
from trading.journal.audit import AuditLine, AuditLog, CycleStatus
from trading.storage.files import write_json
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage
from trading.strategy.spec import with_performance

NOW_MS = parse_iso("2026-01-22T00:01:00Z")
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
FILL = {
    "venue_trade_id": "7", "venue_order_id": "o-7", "market": "spot", "symbol": "BTCUSDT", "side": "buy",
    "quantity_base": "0.002", "price": "50000", "fee": "0.000002", "fee_asset": "BTC", "ours": True,
}  # fmt: skip


def test_the_day_is_the_utc_day_that_ended_and_the_week_the_one_that_sunday_ended() -> None:
    assert day_ended(NOW_MS).title == "2026-01-21 UTC"
    assert day_ended(NOW_MS + 14 * HOUR_MS).title == "2026-01-21 UTC", "also when it is told late"
    assert week_ended(parse_iso("2026-01-25T00:00:30Z")).title == "2026-01-18 to 2026-01-24 UTC"
    assert week_ended(parse_iso("2026-01-28T09:00:00Z")).title == "2026-01-18 to 2026-01-24 UTC"


def write(
    log: AuditLog, at: str, reason: Reason, *, equity: float | None = None, flows: float = 0.0, fills: int = 0
) -> None:
    books = {} if equity is None else {"equity_quote": str(equity), "flows_quote": str(flows)}
    status = CycleStatus.EXECUTED if fills else CycleStatus.NO_TRADE
    made = [FILL | {"venue_trade_id": str(n)} for n in range(fills)]
    seen = [{"strategy_id": "fc-1", "equity_quote": 1.0, "holding": ""}]
    log.append(AuditLine(parse_iso(at), "live", status, reason, "c", equity=books, fills=made, signals=seen))


def test_a_day_is_counted_from_the_audit_file_whatever_the_lab_remembers(home: Home) -> None:
    log = AuditLog(home.audit_file)
    write(log, "2026-01-20T23:59:00Z", Reason.FUNDING_TOO_LOW, equity=1000.0)
    write(log, "2026-01-21T00:00:05Z", Reason.FUNDING_TOO_LOW)
    write(log, "2026-01-21T09:00:00Z", Reason.OK, equity=1000.4, fills=2)
    write(log, "2026-01-21T12:00:00Z", Reason.HOLDING, equity=1510.0, flows=500.0)
    write(log, "2026-01-21T23:59:00Z", Reason.HOLDING, equity=1502.5, flows=500.0)
    write(log, "2026-01-22T00:00:05Z", Reason.HOLDING, equity=9999.0, flows=500.0)
    found = read_period(home, day_ended(NOW_MS), [])
    assert (found.cycles, found.traded) == (4, 1)
    assert found.reasons == {"HOLDING": 2, "FUNDING_TOO_LOW": 1}
    (live,) = found.gains
    assert (live.kind, live.done, live.funding_quote) == ("live", "2 fills", 0.0)
    assert (live.change_quote, live.change_fraction) == pytest.approx((2.5, 0.0025)), "what was put in is no profit"
    assert live.fees_quote == pytest.approx(2 * 0.000002 * 50_000)
    week = read_period(home, week_ended(parse_iso("2026-01-25T00:00:30Z")), [])
    assert (week.cycles, week.reasons) == (6, {"HOLDING": 3, "FUNDING_TOO_LOW": 2}), "the whole week, not its last day"


def test_the_first_day_of_an_account_begins_with_what_it_was_worth_before_its_first_order(home: Home) -> None:
    log = AuditLog(home.audit_file)
    write(log, "2026-01-21T09:00:00Z", Reason.OK, equity=999.6, fills=2)
    write(log, "2026-01-21T23:59:00Z", Reason.HOLDING, equity=1000.1)
    start = {"equity_quote": 1000.0, "at_ms": parse_iso("2026-01-21T08:59:58Z"), "flows_quote": 0.0}
    write_json(home.state / "live_start.json", start, schema=1)
    (live,) = read_period(home, day_ended(NOW_MS), []).gains
    assert (live.change_quote, live.change_fraction) == pytest.approx((0.1, 0.0001)), "its fees are in"
    write(log, "2026-01-22T23:59:00Z", Reason.HOLDING, equity=1000.3)
    (live,) = read_period(home, day_ended(NOW_MS + DAY_MS), []).gains
    assert live.change_quote == pytest.approx(0.2), "of a later day what the day before ended with"


def test_money_that_no_record_explains_is_no_gain_of_the_day(home: Home) -> None:
    log = AuditLog(home.audit_file)
    for at, equity, error in (("2026-01-21T01:00:00Z", 1000.0, "0"), ("2026-01-21T02:00:00Z", 1501.0, "500")):
        books = {"equity_quote": str(equity), "identity_error_quote": error}
        log.append(AuditLine(parse_iso(at), "live", CycleStatus.HALTED, Reason.EQUITY_IDENTITY, "c", equity=books))
    (live,) = read_period(home, day_ended(NOW_MS), []).gains
    assert Decimal(live.change_quote).quantize(Decimal("0.01")) == 1


def test_a_lab_without_a_cycle_has_none_and_no_gain(home: Home) -> None:
    found = read_period(home, day_ended(NOW_MS), ["fc-1"])
    assert (found.cycles, found.traded, found.reasons, found.gains) == (0, 0, {}, ())


def paper(home: Home, *, started: str, number: int = 0) -> str:
    spec = carry_in(Stage.DRY_RUN, number=number)
    start_ms = parse_iso(started)
    hours = range((NOW_MS - start_ms) // HOUR_MS + 1)
    trade = PaperTrade(
        entry_ms=start_ms, exit_ms=parse_iso("2026-01-21T10:00:00Z"), side=1, quantity_base=1.0, entry_price=1.0,
        exit_price=1.0, fees_quote=1.0, funding_quote=0.0, pnl_quote=1.0, reason="TARGET",
    )  # fmt: skip
    save_account(home, PaperAccount(
        spec_id=spec.id, spec_sha256="s", family="funding_carry", interval="1h", started_ms=start_ms,
        starting_quote=10_000.0, equity_quote=10_000.0 + hours[-1], settled_equity_quote=10_000.0, book={},
        curve=[(start_ms + hour * HOUR_MS, 10_000.0 + hour) for hour in hours], fees_quote=8.0, funding_quote=20.0,
        trades=[trade, trade.model_copy(update={"exit_ms": start_ms})],
    ))  # fmt: skip
    shown = with_performance(spec, "dry_run", {"fees_quote": 7.5, "funding_quote": 12.0})
    note_day(home, [shown], parse_iso("2026-01-21T00:00:40Z"))
    return spec.id


def test_a_paper_account_is_told_by_what_it_had_when_the_day_began(home: Home) -> None:
    spec_id = paper(home, started="2026-01-19T00:00:00Z")
    (gain,) = read_period(home, day_ended(NOW_MS), [spec_id]).gains
    assert gain == Gain(f"paper {spec_id}", 24.0, pytest.approx(24 / 10_048), "1 trade closed", 8.0, 0.5)
    home.performance_log.unlink()
    (gain,) = read_period(home, day_ended(NOW_MS), [spec_id]).gains
    assert (gain.funding_quote, gain.fees_quote) == (None, None), "what the day began with is not known"


def test_a_paper_account_that_began_in_the_day_began_with_nothing(home: Home) -> None:
    spec_id = paper(home, started="2026-01-21T06:00:00Z")
    (gain,) = read_period(home, day_ended(NOW_MS), [spec_id]).gains
    assert (gain.change_quote, gain.funding_quote, gain.fees_quote) == (18.0, 20.0, 8.0)


def test_a_lab_that_starts_again_knows_why_the_last_day_did_not_trade(home: Home) -> None:
    log = AuditLog(home.audit_file)
    write(log, "2026-01-20T23:00:00Z", Reason.QUOTE_STALE)
    write(log, "2026-01-21T09:00:00Z", Reason.OK, fills=1)
    write(log, "2026-01-21T10:00:00Z", Reason.HOLDING)
    assert reasons_since(home, NOW_MS - DAY_MS) == [(parse_iso("2026-01-21T10:00:00Z"), "HOLDING")]
    assert remembered(home, NOW_MS).no_trade_reasons(NOW_MS) == {"HOLDING": 1}
    assert json.loads(home.audit_file.read_text().splitlines()[0])["reason"] == "QUOTE_STALE"
