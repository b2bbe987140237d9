"""`./lab trace` and `./lab verify-audit`: every number back to the record it came from, and any difference told."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from ops.cli import app, history_app, trace_app
from ops.judgement.backtest import run_backtest
from ops.trace import live_records
from ops.trace.audit_chain import run_verify_audit
from ops.trace.number import run_bars, run_decisions, run_fills, run_funding
from ops.trace.strategy import run_strategy
from tests.ops.world import CARRY
from trading.domain.clock import iso, parse_iso
from trading.domain.decisions import Reason
from trading.domain.errors import DataProviderError, SettingsError, SpecError, StateFileError
from trading.domain.instrument import Market
from trading.domain.orders import Fill, Income, IncomeKind, Order, OrderState, OrderStatus, OrderType, Side
from trading.execution.intent_records import Purpose
from trading.execution.intents import Intents
from trading.funding.books import Baseline, BookedFill
from trading.funding.position import CarryPosition, ClosedPosition, PositionStatus, PositionStore, Settled
from trading.journal.audit import AuditLine, AuditLog, CycleStatus
from trading.market.store import TapeStore
from trading.market.synthetic import Plan, synthetic_market
from trading.market.tape import Tape
from trading.storage.home import Home
from trading.strategy.parameters import CarryParameters
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import load_spec

START_MS = parse_iso("2024-01-01")
HOUR_MS = 3_600_000
OPENED_MS = START_MS + 25 * HOUR_MS
SPEC = load_spec(CARRY.encode(), where="test")
BASE = Decimal("0.002")
NOTHING = Baseline(OPENED_MS, Decimal(10_000), Decimal(0), Decimal(10_000), Decimal(0), Decimal(0))


@pytest.fixture
def lab(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    return home


@pytest.fixture
def perp(lab: Home) -> Tape:
    """On the shelf, ten days."""
    made = synthetic_market(Plan(start_ms=START_MS, bars=240, seed=5)).perp
    TapeStore(lab.tapes).save(made)
    return made


def fill(number: int, market: Market, side: Side, at_ms: int, *, base: Decimal = BASE, fee: str = "0.19") -> Fill:
    return Fill(
        market, "BTCUSDT", f"t-{number}", f"o-{number}", side, base, Decimal("94000.5"), Decimal(fee), "USDT",
        is_maker=False, at_ms=at_ms,
    )  # fmt: skip


def as_line(fill: Fill, *, ours: bool = True) -> dict[str, object]:
    """As `CycleReport.fills_json` writes it."""
    return {
        "venue_trade_id": fill.venue_trade_id, "venue_order_id": fill.venue_order_id, "market": fill.market.value,
        "side": fill.side.value, "quantity_base": str(fill.quantity_base), "price": str(fill.price),
        "fee": str(fill.fee), "fee_asset": fill.fee_asset, "ours": ours,
    }  # fmt: skip


def cycle(at_ms: int, *fills: Fill, funding: Decimal | None = None, settlements: int | None = None) -> AuditLine:
    """One line of the audit file."""
    return AuditLine(
        at_ms=at_ms, mode="demo", status=CycleStatus.EXECUTED if fills else CycleStatus.NO_TRADE, reason=Reason.HOLDING,
        config_sha256="c", data_quality=97.0, fills=[as_line(f) for f in fills],
        risk={"allowed": False, "reason": "HOLDING", "value": 3.0, "limit": 21.0, "note": "waits", "checks": [
            {"allowed": False, "reason": "COOL_DOWN", "value": 12.5, "limit": 60.0, "note": ""},
            {"allowed": True, "reason": "DAILY_LOSS", "value": 0.0, "limit": 3.0, "note": ""}]},
        equity={"equity_quote": "19998.5", "funding_quote": None if funding is None else str(funding),
                "perp_base": str(-BASE), "settlements": settlements},
    )  # fmt: skip


def paid(perp: Tape, count: int) -> list[tuple[int, Decimal]]:
    """The first settlements after the position was opened, and what each pays a short of `BASE`."""
    f = perp.funding
    after = [i for i in range(len(f.time_ms)) if f.time_ms[i] > OPENED_MS][:count]
    return [
        (int(f.time_ms[i]), round(BASE * Decimal(str(f.mark_price[i])) * Decimal(str(f.rate[i])), 8)) for i in after
    ]


def a_life(lab: Home, perp: Tape, *, steps: int = 3, closed: Decimal | None = None) -> list[tuple[int, Decimal]]:
    """A position opened, paid `steps` times and closed again, as the service would have written it."""
    audit, at_ms, total = AuditLog(lab.audit_file), OPENED_MS, Decimal(0)
    opening = [fill(1, Market.SPOT, Side.BUY, at_ms), fill(2, Market.PERP, Side.SELL, at_ms)]
    audit.append(cycle(at_ms, *opening, funding=Decimal(0), settlements=0))
    received = paid(perp, steps)
    for number, (settled_ms, amount) in enumerate(received, start=1):
        total += amount
        at_ms = settled_ms + 2_000
        audit.append(cycle(at_ms, funding=total, settlements=number))
    closing = [fill(3, Market.SPOT, Side.SELL, at_ms), fill(4, Market.PERP, Side.BUY, at_ms)]
    audit.append(cycle(at_ms + 60_000, *closing, funding=total, settlements=steps))
    over = ClosedPosition(
        "c-000001", SPEC.id, "BTCUSDT", OPENED_MS - 500, at_ms + 59_990, "KILL_SWITCH", Decimal("-0.5"),
        total if closed is None else closed, Decimal("0.76"), steps, 1.2,
    )  # fmt: skip
    intents = Intents(lab.intents_file)
    store = PositionStore(lab.positions_file, intents)
    store.open(live_position(OPENED_MS - 500))
    meant = intents.begin("c-000001", Purpose.OPEN, "BTCUSDT", (BASE, BASE), leverage=1, at_ms=OPENED_MS)
    draft = Order("", Market.SPOT, "BTCUSDT", Side.BUY, OrderType.MARKET, BASE)
    order = intents.write_ahead(meant.id, draft, slice_number=0, at_ms=OPENED_MS).order
    filled = OrderState(order, "o-1", OrderStatus.FILLED, BASE, Decimal("94000.5"), OPENED_MS)
    intents.learned(order.client_id, filled, at_ms=OPENED_MS)
    store.close(over, at_ms=at_ms + 59_990)
    return received


def live_position(opened_ms: int, number: int = 1) -> CarryPosition:
    return CarryPosition(
        f"c-{number:06d}", number, SPEC.id, "0" * 64, "BTCUSDT", _carry(), PositionStatus.OPEN, opened_ms,
        Decimal(200), NOTHING,
    )  # fmt: skip


def _carry() -> CarryParameters:
    assert isinstance(SPEC.parameters, CarryParameters)
    return SPEC.parameters


def test_every_fill_is_listed_with_its_order_and_the_fees_add_up_to_the_reports(
    lab: Home, perp: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    a_life(lab, perp)
    assert run_fills() == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 1 + 4 + 2
    assert shown[1].split()[:6] == [iso(OPENED_MS), "spot", "t-1", "buy", "0.002", "94000.5"]
    assert shown[1].split()[-1].startswith("lab-")
    assert shown[1].split()[-1].endswith("-s0-a1")
    assert shown[-1] == "fees of our fills: 0.76 USDT; fees the reports tell: 0.76 USDT; the same"


def test_what_the_fills_did_to_the_cash_is_told_leg_by_leg(lab: Home, capsys: pytest.CaptureFixture[str]) -> None:
    bought = replace(fill(1, Market.SPOT, Side.BUY, OPENED_MS, base=Decimal(2)), price=Decimal(100))
    sold = replace(fill(2, Market.SPOT, Side.SELL, OPENED_MS, base=Decimal(2)), price=Decimal(97))
    short = replace(fill(3, Market.PERP, Side.SELL, OPENED_MS, base=Decimal(2)), price=Decimal(101))
    covered = replace(fill(4, Market.PERP, Side.BUY, OPENED_MS, base=Decimal(2)), price=Decimal(98))
    AuditLog(lab.audit_file).append(cycle(OPENED_MS, bought, sold, short, covered))
    run_fills()
    expected = "cash moved by our fills: -0.76 USDT = spot -6 + realised by the perpetual 6 + fees in USDT -0.76"
    assert expected in capsys.readouterr().out


def test_a_fill_that_was_told_twice_is_counted_once_and_a_foreign_one_costs_us_nothing(
    lab: Home, perp: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    a_life(lab, perp)
    audit = AuditLog(lab.audit_file)
    again = cycle(OPENED_MS + 400 * HOUR_MS, fill(1, Market.SPOT, Side.BUY, OPENED_MS))
    foreign = fill(9, Market.SPOT, Side.BUY, OPENED_MS, fee="7")
    audit.append(replace(again, fills=[*again.fills, as_line(foreign, ours=False)]))
    assert run_fills() == 0
    shown = capsys.readouterr().out
    assert shown.count(" t-1 ") == 1
    assert "foreign" in shown


def test_a_fee_in_the_coin_itself_is_told_in_quote_at_the_price_of_its_fill(
    lab: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    bought = replace(fill(1, Market.SPOT, Side.BUY, OPENED_MS, fee="0.000002"), fee_asset="BTC")
    AuditLog(lab.audit_file).append(cycle(OPENED_MS, bought))
    assert run_fills() == 1, "no position in the file bears this fee"
    shown = capsys.readouterr().out
    assert "0.000002 BTC" in shown
    assert "fees of our fills: 0.188001 USDT; fees the reports tell: 0 USDT; THEY DIFFER" in shown


def test_fills_of_the_living_position_are_told_as_it_has_them_even_when_a_crash_kept_them_from_the_audit_file(
    lab: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    spot, perp = (
        fill(1, Market.SPOT, Side.BUY, OPENED_MS, fee="0.0003"),
        fill(2, Market.PERP, Side.SELL, OPENED_MS + 900),
    )
    spot = replace(spot, fee_asset="BNB")
    AuditLog(lab.audit_file).append(cycle(OPENED_MS + 60_000, spot))
    store = PositionStore(lab.positions_file, Intents(lab.intents_file))
    booked = (
        BookedFill(spot, is_ours=True, fee_quote=Decimal("0.2")),
        BookedFill(perp, is_ours=True, fee_quote=perp.fee),
    )
    store.open(replace(live_position(OPENED_MS), fills=booked))
    assert run_fills() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines[1:3]] == ["t-1", "t-2"]
    assert lines[1].startswith(iso(OPENED_MS)), "the venue's time, not the cycle's"
    assert "0.0003 BNB  0.2 " in lines[1]
    assert lines[-1].startswith("fees of our fills: 0.39 USDT; fees the reports tell: 0.39 USDT")


def test_funding_of_a_closed_position_is_followed_step_by_step_to_rate_mark_and_quantity(
    lab: Home, perp: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    received = a_life(lab, perp)
    assert run_funding() == 0
    lines = capsys.readouterr().out.splitlines()
    for line, (settled_ms, amount) in zip(lines[1:4], received, strict=True):
        assert iso(settled_ms) in line
        assert f"{amount:+.8f}" in line
        assert "0.00000000  audit step" in line, "booked equals -base x mark x rate"
    assert lines[-1].endswith("the same")


def test_funding_of_a_closed_position_is_followed_to_the_venues_own_records_without_the_audit_file(
    lab: Home, perp: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    received = paid(perp, 3)
    settled = tuple(
        Settled(settled_ms + 7, amount, -BASE, f"tran-{n}") for n, (settled_ms, amount) in enumerate(received)
    )
    total = sum((amount for _, amount in received), Decimal(0))
    closed_on_file(lab, funding=total, settled=settled)
    lab.audit_file.write_bytes(b"not read\n")
    assert run_funding() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[1:4]] == ["tran-0", "tran-1", "tran-2"]
    assert all(iso(ms) in line and "0.00000000" in line for line, (ms, _) in zip(lines[1:4], received, strict=True))
    assert lines[-1].endswith("the same")
    closed_on_file(lab, funding=total, settled=settled[:-1], number=2)
    assert run_funding() == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith("THEY DIFFER")


def test_only_the_lines_that_are_needed_are_taken_apart(
    lab: Home, perp: Tape, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a_life(lab, perp)
    audit, taken_apart = AuditLog(lab.audit_file), list[str]()
    for hour in range(500):
        audit.append(replace(cycle(OPENED_MS + 9_000 * HOUR_MS + hour), note='of ,"fills":[],"hash":" in a text'))
    parse = live_records.parsed_cycle
    monkeypatch.setattr(live_records, "parsed_cycle", lambda raw, where: taken_apart.append(where) or parse(raw, where))
    assert run_fills() == 0
    assert len(taken_apart) == 2, "the one that opened, the one that closed"
    assert "t-4" in capsys.readouterr().out
    bought = replace(
        cycle(OPENED_MS, fill(9, Market.SPOT, Side.BUY, OPENED_MS)), note='of ,"fills":[],"hash":" in a text'
    )
    audit.append(bought)
    run_fills()
    assert "t-9" in capsys.readouterr().out
    steps = list(live_records.read_steps(lab.audit_file))
    assert len(steps) == 506
    assert len({id(step.perp_base) for step in steps}) == 1


def closed_on_file(
    lab: Home,
    *,
    number: int = 1,
    funding: Decimal = Decimal(0),
    settled: tuple[Settled, ...] = (),
    profit: str = "0",
    fees: str = "0",
    dust: str = "0",
) -> None:
    """A closed position with its records, and nothing in the audit file."""
    store = PositionStore(lab.positions_file, Intents(lab.intents_file))
    position = store.open(live_position(OPENED_MS + number, number))
    over = ClosedPosition(
        position.id, SPEC.id, "BTCUSDT", position.opened_ms, OPENED_MS + 99 * HOUR_MS, "OK", Decimal(profit), funding,
        Decimal(fees), len(settled), 1.2, Decimal(dust), Decimal(94_000), settled,
    )  # fmt: skip
    store.close(over, at_ms=over.closed_ms)


def test_cash_funding_and_dust_add_up_to_the_profit_the_reports_tell(
    lab: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    bought = replace(
        fill(1, Market.SPOT, Side.BUY, OPENED_MS, base=Decimal("0.00201"), fee="0.000002"), fee_asset="BTC"
    )
    sold = replace(fill(2, Market.SPOT, Side.SELL, OPENED_MS + 1), price=Decimal(95_000))
    AuditLog(lab.audit_file).append(cycle(OPENED_MS, bought, sold))
    cash = Decimal("0.002") * 95_000 - Decimal("0.00201") * Decimal("94000.5") - Decimal("0.19")
    left = Decimal("0.000008")
    profit, fees = cash + left * 94_000, Decimal("0.19") + Decimal("0.000002") * Decimal("94000.5")
    closed_on_file(lab, profit=str(profit), fees=str(fees), dust=str(left))
    assert run_fills() == 0
    lines = capsys.readouterr().out.splitlines()
    assert "+ dust 0.752 USDT (0.000008 of the coin at the price of each close)" in lines[-3]
    assert lines[-2].endswith("; the same")
    assert lines[-1] == "dust by the fills: 0.000008 of the coin; dust the reports tell: 0.000008 of the coin; the same"
    closed_on_file(lab, number=2, profit="0.01")
    assert run_fills() == 1
    assert "profit the reports tell" in (told := capsys.readouterr().out)
    assert "THEY DIFFER" in told


def test_settlements_that_are_not_on_the_shelf_are_said_not_to_be(
    lab: Home, perp: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    a_life(lab, perp)
    (lab.tapes / "perp" / "BTCUSDT" / "funding.parquet").unlink()
    assert run_funding() == 0
    shown = capsys.readouterr().out
    assert shown.count("not in store") == 3
    assert "history fetch" in shown


def test_funding_that_does_not_add_up_to_the_report_is_told(
    lab: Home, perp: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    a_life(lab, perp, closed=Decimal("99"))
    assert run_funding() == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith("THEY DIFFER")


def test_funding_of_the_living_position_is_followed_to_the_venues_own_records(
    lab: Home, perp: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    store = PositionStore(lab.positions_file, Intents(lab.intents_file))
    short = BookedFill(fill(2, Market.PERP, Side.SELL, OPENED_MS), is_ours=True, fee_quote=Decimal("0.19"))
    income = tuple(
        Income("BTCUSDT", IncomeKind.FUNDING_FEE, amount, settled_ms + 7, f"tran-{n}")
        for n, (settled_ms, amount) in enumerate(paid(perp, 2))
    )
    moved = Income("BTCUSDT", IncomeKind.TRANSFER, Decimal(100), OPENED_MS, "tran-t")
    store.open(replace(live_position(OPENED_MS), fills=(short,), income=(moved, *income)))
    assert run_funding() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[1:3]] == ["tran-0", "tran-1"]
    assert all("-0.002 " in line and "0.00000000" in line for line in lines[1:3])
    assert lines[-1].endswith("the same")


def test_nothing_traded_yet_is_said_in_words(lab: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert (run_fills(), run_funding(), run_decisions(5), run_verify_audit(None)) == (0, 0, 0, 0)
    shown = capsys.readouterr().out
    assert shown.count("none\n") == 2
    assert "no cycle yet" in shown
    assert "0 lines, the chain is whole" in shown


def test_a_bar_is_shown_to_the_last_bit_with_its_file_and_the_evidence_it_stands_in(
    lab: Home, perp: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    spot = synthetic_market(Plan(start_ms=START_MS, bars=240, seed=5)).spot
    TapeStore(lab.tapes).save(spot)
    StrategyRepository(lab.strategies).save(SPEC)
    run_backtest(SPEC.id, None, None, None)
    capsys.readouterr()
    assert run_bars("2024-01-03T08:30Z", "BTCUSDT", "perp", "1h") == 0
    shown = capsys.readouterr().out
    bar = int((parse_iso("2024-01-03T08:00Z") - START_MS) / HOUR_MS)
    assert f"close        {float(perp.close[bar])!r}" in shown
    assert shown.startswith("perp BTCUSDT 1h 2024-01-03T08:00:00Z, synthetic\n")
    assert "2024-01-" in shown.split("file")[1]
    assert f"tape {perp.content_hash}, evidence of {SPEC.id}" in shown
    assert run_bars("2024-01-03T08:30Z", "BTCUSDT", "perp", "4h") == 0
    assert "made of shorter bars" in capsys.readouterr().out


def test_a_settlement_at_the_end_of_a_bar_is_shown_with_it(
    lab: Home, perp: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    run_bars("2024-01-03T07:00Z", "BTCUSDT", "perp", "1h")
    assert "settled      2024-01-03T08:00:00Z rate" in capsys.readouterr().out


def test_a_bar_that_is_not_held_and_a_wrong_flag_are_refused(lab: Home, perp: Tape) -> None:
    with pytest.raises(DataProviderError, match=r"held are 2024-01-01T00:00:00Z\.\."):
        run_bars("2025-01-03T08:30Z", "BTCUSDT", "perp", "1h")
    for words in (("noon", "BTCUSDT", "perp", "1h"), ("2024", "BTCUSDT", "moon", "1h"), ("2024", "b/c", "spot", "1h")):
        with pytest.raises(SettingsError):
            run_bars(*words)


def test_the_life_of_a_strategy_shows_moves_evidence_and_every_look(
    lab: Home, perp: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    TapeStore(lab.tapes).save(synthetic_market(Plan(start_ms=START_MS, bars=240, seed=5)).spot)
    StrategyRepository(lab.strategies).save(SPEC)
    assert run_strategy("fc-2024") == 0
    shown = capsys.readouterr().out
    assert "Evidence: none" in shown
    assert "Paper: no account" in shown
    assert "Trials: no ledger yet" in shown
    run_backtest(SPEC.id, None, None, None)
    capsys.readouterr()
    run_strategy(SPEC.id)
    assert "## What was asked" in capsys.readouterr().out
    with pytest.raises(SpecError, match="unknown; known: fc-20240601-000000"):
        run_strategy("mr-1")


def test_decisions_show_the_newest_cycles_with_the_rule_and_both_numbers(
    lab: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = AuditLog(lab.audit_file)
    for hour in range(5):
        audit.append(cycle(OPENED_MS + hour * HOUR_MS))
    assert run_decisions(2) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:20] for line in lines[::2]] == [iso(OPENED_MS + hour * HOUR_MS) for hour in (3, 4)]
    assert "NO_TRADE HOLDING: 3.0 against 21.0 (waits); equity 19998.5, data quality 97" in lines[0]
    assert lines[1] == "    COOL_DOWN: 12.5 against 60.0"
    lab.audit_file.write_bytes(b"rubbish\n" + lab.audit_file.read_bytes())
    assert run_decisions(2) == 0, "what stands before the newest is not read"
    with pytest.raises(StateFileError):
        run_decisions(6)


def test_an_edited_line_breaks_the_chain_and_the_command_says_which(
    lab: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = AuditLog(lab.audit_file)
    for hour in range(3):
        audit.append(cycle(OPENED_MS + hour * HOUR_MS))
    assert run_verify_audit(None) == 0
    assert "3 lines, the chain is whole" in capsys.readouterr().out
    edited = lab.audit_file.read_text().replace("19998.5", "29998.5", 2).replace("29998.5", "19998.5", 1)
    lab.audit_file.write_text(edited)
    assert run_verify_audit(lab.audit_file) == 1
    assert "line 2: the line was edited" in capsys.readouterr().out


def test_a_line_of_rubbish_is_named_and_a_line_being_written_is_left_alone(lab: Home, tmp_path: Path) -> None:
    AuditLog(lab.audit_file).append(cycle(OPENED_MS))
    whole = lab.audit_file.read_bytes()
    lab.audit_file.write_bytes(whole + b'{"at_ms": 17')
    assert run_decisions(5) == 0
    lab.audit_file.write_bytes(whole + b"rubbish\n")
    with pytest.raises(StateFileError, match=r"audit\.jsonl: the line that begins b'rubbish.*run \./lab verify-audit"):
        run_decisions(5)
    assert lab.audit_file.read_bytes() == whole + b"rubbish\n"
    with pytest.raises(SettingsError, match="no such file"):
        run_verify_audit(tmp_path / "none.jsonl")


def test_every_command_of_the_page_on_tracing_is_one_the_lab_knows() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "trace.md").read_text()
    top = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    known = top | {f"trace {command.name}" for command in trace_app.registered_commands}
    known |= {f"history {command.name}" for command in history_app.registered_commands}
    used = {" ".join(words.split()) for words in re.findall(r"\./lab ((?:trace|history) \w+|[\w-]+)", page)}
    assert {"trace fills", "trace funding", "verify", "verify-audit", "backtest"} <= used
    assert used <= known
