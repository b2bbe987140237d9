"""`./lab explain`: a cycle, a message or a moment in plain words, from files that the lab wrote."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ops.explain.answer import moment_of, run_explain
from ops.reasons import REASONS, words_of
from ops.telling.messages import Messenger
from trading.domain.clock import Clock, parse_iso
from trading.domain.decisions import Reason
from trading.domain.errors import SettingsError, StateFileError
from trading.domain.events import Event, Severity
from trading.journal.audit import AuditLine, AuditLog, CycleStatus
from trading.journal.audit_window import cycle_id
from trading.notify.message import Message
from trading.notify.outbox import Outbox
from trading.storage.home import Home

NOON_MS = parse_iso("2026-01-21T12:00:05Z")
MINUTE_MS = 60_000
LINE = AuditLine(
    at_ms=NOON_MS,
    mode="live",
    status=CycleStatus.NO_TRADE,
    reason=Reason.FUNDING_TOO_LOW,
    config_sha256="abc123",
    data_sha256="d" * 64,
    data_quality=97.0,
    stage_s={"bars": 0.4, "live": 0.21},
    regime="calm up",
    signals=[{"strategy_id": "mr-1", "equity_quote": 10_012.5, "holding": ""}],
    proposals=[{"strategy_id": "fc-1", "type": "funding_carry", "origin": "library"}],
    risk={
        "allowed": False,
        "reason": "FUNDING_TOO_LOW",
        "value": 0.025,
        "limit": 0.08,
        "note": "2.5 % a year expected",
        "checks": [
            {"allowed": True, "reason": "QUOTE_STALE", "value": 0.8, "limit": 60.0, "note": ""},
            {"allowed": False, "reason": "DAILY_LOSS", "value": 0.031, "limit": 0.03, "note": "since midnight"},
        ],
    },
    equity={"equity_quote": "1012.5", "cash_quote": "812.25", "identity_error_quote": "0.0001"},
    note="market: live",
)


@cache
def an_hour() -> tuple[bytes, list[str]]:
    """An hour of cycles: half of them HOLDING, then FUNDING_TOO_LOW; the audit file, and their ids."""
    ids = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        log = AuditLog(path)
        for n in range(60):
            reason = Reason.HOLDING if n < 30 else Reason.FUNDING_TOO_LOW
            line = replace(LINE, at_ms=NOON_MS + n * MINUTE_MS, reason=reason)
            ids.append(cycle_id(line.at_ms, log.append(line)))
        return path.read_bytes(), ids


def history(home: Home) -> list[str]:
    """That hour in a home; the ids of its cycles."""
    content, ids = an_hour()
    home.audit_file.write_bytes(content)
    return ids


@pytest.fixture
def lab_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    return home


def asked(
    capsys: pytest.CaptureFixture[str], wanted: str | None = None, at: str | None = None
) -> tuple[int, list[str]]:
    code = run_explain(wanted, at)
    return code, capsys.readouterr().out.splitlines()


def cycle_example(name: str) -> list[str]:
    """What is told of the cycle at 12:40."""
    return [
        f"{name}: the cycle of 2026-01-21T12:40:05Z, live",
        "What     nothing was traded (NO_TRADE FUNDING_TOO_LOW)",
        "Why      the funding that can be counted on, a year, was below what the strategy asks for",
        "Numbers  2.5 % against a limit of 8 %",
        "Note     2.5 % a year expected",
        "Rule     allows  QUOTE_STALE: 0.8 s against a limit of 60 s: age of the older quote",
        "Rule     FORBIDS DAILY_LOSS: 3.1 % against a limit of 3 %: loss since the UTC day began (since midnight)",
        "Wanted   fc-1, a funding carry by library",
        "Paper    mr-1: equity 10,012.50, holds nothing",
        "Books    equity 1,012.50, of it cash 812.25; exchange less books +0.0001",
        "Market   data quality 97 of 100, regime calm up",
        "Took     bars 0.40 s, live 0.21 s",
        "Settings abc123, others than lab.yaml has now",
        "Line     market: live",
        "Do       nothing; it passes by itself",
        "Since    since 2026-01-21T12:30:05Z, 11 cycles; before, at 2026-01-21T12:29:05Z, it was NO_TRADE HOLDING",
    ]


def test_a_cycle_word_for_word(lab_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    ids = history(lab_home)
    assert asked(capsys, ids[40]) == (0, cycle_example(ids[40]))


def test_a_size_that_a_rule_makes_smaller_forbids_nothing(lab_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    size = {"reason": "VALUE_AT_RISK", "allowed": False, "value": 9000.0, "limit": 2500.0, "note": "value_at_risk_pct"}
    held = size | {"value": 90.0, "limit": 25.0, "note": "of what is held: BTCUSDT"}
    line = replace(LINE, risk={"reason": "OK", "checks": [size, held]})
    _, lines = asked(capsys, cycle_id(NOON_MS, AuditLog(lab_home.audit_file).append(line)))
    trimmed, forbidden = (told.removeprefix("Rule     ") for told in lines if told.startswith("Rule"))
    assert trimmed == "trims   VALUE_AT_RISK: 9,000.00 USDT a leg wanted, 2,500.00 USDT left (value_at_risk_pct)"
    assert forbidden.startswith("FORBIDS VALUE_AT_RISK: 90.00 USDT against a limit of 25.00 USDT: a day's loss")


def test_orders_and_fills_are_told_one_a_line(lab_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    order = {"client_id": "lab-1-s1-a1", "venue_id": "7", "market": "spot", "symbol": "BTCUSDT", "side": "sell",
             "type": "market", "quantity_base": "0.002", "filled_base": "0.002", "average_price": "93817.31",
             "status": "filled"}  # fmt: skip
    fill = {"venue_trade_id": "8", "venue_order_id": "7", "market": "spot", "symbol": "BTCUSDT", "side": "sell",
            "quantity_base": "0.0020", "price": "93817.310", "fee": "0.18", "fee_asset": "USDT",
            "ours": False}  # fmt: skip
    line = replace(LINE, status=CycleStatus.HALTED, reason=Reason.KILL_SWITCH, orders=[order], fills=[fill])
    digest = AuditLog(lab_home.audit_file).append(line)
    _, lines = asked(capsys, cycle_id(NOON_MS, digest).upper())
    assert "What     nothing may be opened (HALTED KILL_SWITCH)" in lines
    sold = "sell 0.002 BTCUSDT spot"
    assert f"Order    {sold} market: filled, filled 0.002 at 93817.31, lab-1-s1-a1" in lines
    assert f"Fill     {sold} at 93817.31, fee 0.18 USDT, trade 8, NOT OURS" in lines


@pytest.mark.parametrize(
    ("n", "since"),
    [
        (0, "Since    it is the first on record"),
        (29, "Since    since 2026-01-21T12:00:05Z or longer, 30 cycles"),
        (30, "Since    it is the first with that answer; before, at 2026-01-21T12:29:05Z, it was NO_TRADE HOLDING"),
    ],
)
def test_since_when_the_answer_is_the_same(
    lab_home: Home, capsys: pytest.CaptureFixture[str], n: int, since: str
) -> None:
    _, lines = asked(capsys, history(lab_home)[n])
    assert lines[-1] == since


@pytest.mark.parametrize("at", ["2026-01-21T12:40Z", "2026-01-21T12:40:59Z"])
def test_a_moment_is_the_cycle_of_its_minute_or_the_last_before(
    lab_home: Home, capsys: pytest.CaptureFixture[str], at: str
) -> None:
    ids = history(lab_home)
    code, lines = asked(capsys, at=at)
    assert code == 0
    assert any(line.startswith(ids[40]) or line.startswith(ids[41]) for line in lines)


def test_a_moment_at_which_the_lab_did_not_run_says_so_and_tells_the_cycle_before(
    lab_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = history(lab_home)
    code, lines = asked(capsys, at="2026-01-21T18:00Z")
    assert code == 0
    assert lines[:2] == [
        "No cycle was decided at 2026-01-21T18:00:00Z.",
        "The lab did not run then, or hung: the last cycle before is of 2026-01-21T12:59:05Z; none came after it.",
    ]
    assert lines[3].startswith(ids[-1])
    code, lines = asked(capsys, at="2026-01-20")
    assert code == 1
    assert lines[1] == f"The first one on record is of 2026-01-21T12:00:05Z: ./lab explain {ids[0]}"


def test_an_unknown_cycle_names_those_near_it(lab_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    ids = history(lab_home)
    wanted = ids[40][:-4] + ("0000" if ids[40][-4:] != "0000" else "1111")
    code, lines = asked(capsys, wanted)
    assert code == 1
    assert lines[0] == f"{wanted}: no such cycle on record. Near it:"
    assert [line.split()[0] for line in lines[1:]] == ids[37:41]


def test_an_unknown_message_names_those_near_it(lab_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    outbox, clock = Outbox(lab_home.outbox), Clock(scale=1e-6, origin_ms=NOON_MS)
    for n in range(5):
        outbox.put(Message("report", f"report {n}\nmore"), clock)
    code, lines = asked(capsys, "m-7")
    assert code == 1
    assert lines == [
        "m-7: no such message on record. Near it:",
        "  m-4  2026-01-21 12:00 UTC  report 3",
        "  m-5  2026-01-21 12:00 UTC  report 4",
    ]


def test_a_lab_that_has_not_run_has_nothing_to_explain(lab_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = (1, ["No cycle has been written down yet: the lab has not run here."])
    assert asked(capsys, at="14:00") == asked(capsys, "14:00 UTC") == nothing
    assert asked(capsys, "m-1") == (1, ["m-1: no such message on record. None is yet."])
    assert asked(capsys, "d-260121-1400-7f3a") == (1, ["d-260121-1400-7f3a: no cycle is on record yet."])


def test_a_report_is_explained_by_the_cycle_that_it_names(lab_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    ids = history(lab_home)
    outbox = Outbox(lab_home.outbox)
    clock = Clock(scale=1e-6, origin_ms=NOON_MS + 59 * MINUTE_MS)
    outbox.put(Message("report", f"📊 Hourly Report\nLast decision 12:20: NO_TRADE HOLDING, {ids[20]}"), clock)
    code, lines = asked(capsys, "m-1")
    assert code == 0
    assert lines[:3] == ["m-1: report of 2026-01-21T12:59:05Z", "  | 📊 Hourly Report", f"  | {_told(ids[20])}"]
    assert f"{ids[20]}: the cycle of 2026-01-21T12:20:05Z, live" in lines


def _told(name: str) -> str:
    return f"Last decision 12:20: NO_TRADE HOLDING, {name}"


def test_an_alert_is_explained_by_the_cycle_that_raised_it_which_is_written_after_it(
    lab_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = history(lab_home)
    clock = Clock(scale=1e-6, origin_ms=NOON_MS + 39 * MINUTE_MS + 55_000)
    messenger = Messenger(Outbox(lab_home.outbox), clock, is_synthetic=False, wake=lambda: None)
    facts = {"reason": "DAILY_LOSS", "value": 0.031, "limit": 0.03}
    messenger.hear(Event(clock.now_ms(), "risk.halted", facts, Severity.ALERT))
    code, lines = asked(capsys, "m-1")
    assert code == 0
    assert lines[0] == "m-1: alert of 2026-01-21T12:40:00Z, about risk.halted:DAILY_LOSS"
    assert f"{ids[40]}: the cycle of 2026-01-21T12:40:05Z, live" in lines


@pytest.mark.parametrize(
    ("wanted", "at", "said"),
    [
        (None, None, "give one of both"),
        ("m-1", "14:00", "give one of both"),
        ("what", None, "no id of a message"),
        (None, "25:00", "no time of a day"),
        (None, "noon", "not a date"),
    ],
)
def test_what_is_neither_id_nor_time_is_one_line(lab_home: Home, wanted: str | None, at: str | None, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        run_explain(wanted, at)


def test_a_time_of_day_is_the_latest_that_has_been() -> None:
    now_ms = parse_iso("2026-01-21T13:30Z")
    assert moment_of("13:30", now_ms=now_ms) == now_ms
    assert moment_of("14:00", now_ms=now_ms) == parse_iso("2026-01-20T14:00Z")
    assert moment_of("2:05 UTC", now_ms=now_ms) == parse_iso("2026-01-21T02:05Z")


def test_a_line_that_makes_no_sense_is_said_to(lab_home: Home) -> None:
    lab_home.audit_file.write_text('{"at_ms":1,"mode":7}\n')
    with pytest.raises(StateFileError, match="verify-audit"):
        run_explain(None, "2026-01-21")


def test_a_damaged_line_near_a_cycle_does_not_hide_it_and_one_in_its_place_is_named(
    lab_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = history(lab_home)
    lines = lab_home.audit_file.read_bytes().split(b"\n")
    lines[42] = lines[42].replace(b'"mode":"live"', b'"mode":7')
    lab_home.audit_file.write_bytes(b"\n".join(lines))
    assert asked(capsys, ids[40]) == (0, cycle_example(ids[40]))
    unknown = ids[41][:-4] + ("0000" if ids[41][-4:] != "0000" else "1111")
    code, told = asked(capsys, unknown)
    assert (code, len(told)) == (1, 5), "its neighbours are named"
    with pytest.raises(StateFileError, match="verify-audit"):
        run_explain(ids[42], None)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_words_of_its_own_and_something_to_do(reason: Reason) -> None:
    words = words_of(reason)
    assert words.says
    assert words.do
    assert [one for one, other in REASONS.items() if other.says == words.says] == [reason]


def test_a_reason_of_a_lab_of_another_age_is_told_as_it_stands() -> None:
    assert words_of("OLD_RULE").says == "OLD_RULE (no reason of this lab)"
