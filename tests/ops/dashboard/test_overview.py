"""The first screen from real files: alive, dead, frozen, stopped, broken, never run; and nothing written by looking."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from ops.dashboard.equity import read_marks
from ops.dashboard.overview import Overview, read_overview
from ops.dashboard.view import Chart, Facts, Figures, Table, Tone, View
from ops.dashboard.views import BY_KEY, Asked
from ops.dashboard.views import look as look_at
from ops.status import ALIVE_S
from tests.ops.dashboard.rooms import beat, cycles, everything
from tests.ops.papers import put_in_review
from tests.ops.test_reports import FULL, LIVE, PAPER
from trading.domain.clock import Clock
from trading.domain.decisions import Decision, Reason
from trading.domain.events import Severity
from trading.notify.message import Message
from trading.notify.outbox import Outbox
from trading.risk.counters import RiskCounters
from trading.risk.kill_switch import stop_trading
from trading.storage.home import Home


def screen(home: Home) -> View:
    return look_at(BY_KEY["overview"], Asked(home, Clock()))


def look(home: Home) -> Overview:
    return read_overview(home, Clock())


def told(view: View) -> list[str]:
    return [banner.text for banner in view.banners]


def block(view: View, title: str) -> Table | Facts | Chart:
    return next(b for b in view.blocks if isinstance(b, Table | Facts | Chart) and b.title == title)


def test_a_home_in_which_nothing_ever_ran_has_a_screen_too(home: Home) -> None:
    view = screen(home)
    assert told(view) == ["The service: never ran here; start it with ./lab run"]
    figures = next(b for b in view.blocks if isinstance(b, Figures)).figures
    assert [figure.value for figure in figures] == ["no account yet", "nothing yet"]
    waits = block(view, "Waits for you")
    assert isinstance(waits, Table)
    assert (waits.rows, waits.empty) == ((), "nothing that the files tell of")


def test_a_folder_that_is_not_even_a_lab_has_a_screen_too(home: Home) -> None:
    assert told(screen(Home(home.root / "nothing"))) == ["The service: never ran here; start it with ./lab run"]


def test_a_running_lab_is_told_with_its_equity_and_all_its_parts(home: Home) -> None:
    beat(home, pid=os.getpid())
    cycles(home, 5)
    view = screen(home)
    assert view.banners[0].tone is Tone.GOOD
    figures = {figure.label: figure for figure in next(b for b in view.blocks if isinstance(b, Figures)).figures}
    assert figures["Equity, live"].value == "1,012.50 USDT"
    assert figures["Equity, live"].beside == "cash 812.25 + positions 200.50 + unrealised −0.25"
    assert figures["Since start"].value == "+1.250 %"
    assert figures["Mode"].value == "live"
    now = dict(block(view, "What it does now").rows)
    assert now["Decision"].text == "NO_TRADE FUNDING_TOO_LOW"
    says = "the funding that can be counted on, a year, was below what the strategy asks for"
    assert now["In words"].text == says
    assert now["Its note"].text == "2.5 % a year against 8 %"
    assert now["Why nothing trades"].text == "as above (FUNDING_TOO_LOW 51×; HOLDING 3× in the last day)"
    chart = block(view, "Equity, live")
    assert isinstance(chart, Chart)
    assert chart.lines[0].values == (1000.0, 1001.0, 1002.0, 1003.0, 1004.0)
    paper = block(view, "Equity on paper")
    assert isinstance(paper, Chart)
    assert [line.name for line in paper.lines] == ["fc-1"]


def test_a_chart_of_a_long_file_has_all_its_places(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    cycles(home, 30)
    monkeypatch.setattr("ops.dashboard.equity.PLACES", 10)
    monkeypatch.setattr("trading.storage.long_files.WHOLE_BYTES", 100)
    marks = read_marks(home)
    assert len(marks.marks) == 11, "ten places, and the newest cycle"
    assert marks.note.startswith("11 cycles, evenly from")


def test_an_equity_that_is_not_the_sum_of_its_parts_is_said_to_be_none(home: Home) -> None:
    broken = replace(FULL, accounts=(LIVE, replace(PAPER, cash_quote=9_000.0)))
    beat(home, accounts=broken.to_json()["accounts"])
    kinds = [row[0].text for row in block(screen(home), "Accounts, USDT").rows]
    assert kinds == ["live", "paper fc-1: does not add up"]


def test_parts_that_are_not_known_are_no_numbers_and_an_age_is_no_mode(home: Home) -> None:
    stale = replace(LIVE, kind="live, STALE, as of 2026-01-21 05:00 UTC, 4 h old", fees_quote=-0.25)
    parked = replace(PAPER, parts_known=False, fees_quote=0.0)
    beat(home, accounts=replace(FULL, accounts=(parked, stale)).to_json()["accounts"])
    view = screen(home)
    figures = {figure.label: figure for figure in next(b for b in view.blocks if isinstance(b, Figures)).figures}
    assert figures["Mode"].value == "live"
    assert figures["Equity, paper fc-1"].beside == "in parts that are not known: it is parked"
    first, second = ([cell.text for cell in row] for row in block(view, "Accounts, USDT").rows)
    assert first[1:8] == ["9,990.00", "–", "–", "–", "–", "+0.3125", "0.0000"]
    assert second[7] == "+0.2500", "a rebate"


def test_dead_starting_and_frozen_are_told_apart(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    beat(home, age_s=ALIVE_S + 60, pid=gone.pid)
    view = screen(home)
    assert told(view) == ["The service: NOT RUNNING, heartbeat 360 s old"]
    assert view.banners[0].tone is Tone.BAD
    assert block(view, "Held when it last looked").rows, "a stop by hand may have closed it since"
    assert dict(block(view, "What it did last").rows)["Next"].text == "nothing, until the service runs"
    beat(home, age_s=ALIVE_S + 60, pid=os.getpid())
    view = screen(home)
    assert told(view) == [f"The service: starts as process {os.getpid()}, for 0 s, heartbeat 360 s old"]
    assert view.banners[0].tone is Tone.CAUTION
    monkeypatch.setattr("ops.status.START_S", -1.0)  # it started long ago
    view = screen(home)
    assert told(view) == [f"The service: FROZEN? process {os.getpid()}, heartbeat 360 s old"]
    assert view.banners[0].tone is Tone.BAD


def test_every_stop_and_halt_stands_at_the_top(home: Home) -> None:
    beat(home, pid=os.getpid(), market="synthetic")
    RiskCounters(home.state / "risk_counters.json").halt(Decision(False, Reason.LOSS_STREAK, 5.0, 5.0), 0)
    home.pause_file.touch()
    assert told(screen(home))[1:] == [
        "PAUSED: no new positions while state/PAUSED is there",
        "SYNTHETIC MARKET: made up by a generator, not by people trading",
        "HALTED since 1970-01-01 00:00: LOSS_STREAK, 5 against a limit of 5",
    ]
    stop_trading(home, by="me", why="test", at_ms=0, keep_positions=False)
    assert told(screen(home))[1] == (
        "STOPPED: TRADING_STOPPED.json is there; python stop_trading.py --release takes it back"
    )


def test_what_is_in_force_waits_with_what_takes_it_back(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def waits() -> list[tuple[str, ...]]:
        return [tuple(cell.text for cell in row) for row in block(screen(home), "Waits for you").rows]

    beat(home, in_force=["KILL_SWITCH"])
    assert waits() == [], "the heartbeat is old: it was released since"
    home.kill_files[0].touch()
    beat(home, in_force=[])
    assert waits() == [("in force: KILL_SWITCH", "python stop_trading.py --release")]
    halt = Decision(False, Reason.DAILY_LOSS, 0.0312, 0.03)
    RiskCounters(home.state / "risk_counters.json").halt(halt, 0)
    assert waits()[0][0] == "in force: KILL_SWITCH, DAILY_LOSS"
    assert told(screen(home))[-1] == "HALTED since 1970-01-01 00:00: DAILY_LOSS, 3.12 % against a limit of 3 %"
    monkeypatch.setenv("KILL", "1")
    out = "KILL taken out of .env and the environment, then python stop_trading.py --release takes it back"
    assert told(screen(home))[1] == f"STOPPED: KILL=1; {out}"


def test_what_waits_for_the_human_is_listed_with_what_to_type(home: Home) -> None:
    spec = put_in_review(home)
    beat(home)
    Outbox(home.outbox).put(
        Message("alert", "🚨 Data failing\nmore", dedup_key="data", severity=Severity.ALERT), Clock()
    )
    rows = [tuple(cell.text for cell in row) for row in block(screen(home), "Waits for you").rows]
    assert rows[0] == (spec.name, f"python approve_strategy.py {spec.id}")
    assert rows[1][0] == "Data failing"
    assert rows[2] == ("not delivered yet", "1 message")


def test_alerts_that_are_over_wait_for_nobody(home: Home) -> None:
    beat(home)
    outbox = Outbox(home.outbox)
    names = [f"thing {n}" for n in range(7)]  # more than are told one by one: the last wait for the end of a storm
    for name in names:
        outbox.put(Message("alert", f"🚨 {name}", dedup_key=name, severity=Severity.ALERT), Clock())
    waiting = [row[0].text for row in block(screen(home), "Waits for you").rows]
    assert [text for text in waiting if text.startswith("thing")] == names
    for name in names:
        outbox.resolve(name)
    assert outbox.open_alerts() == {}
    waiting = [row[0].text for row in block(screen(home), "Waits for you").rows]
    assert [text for text in waiting if text.startswith("thing")] == []


def test_broken_files_are_named_and_the_rest_is_still_told(home: Home) -> None:
    put_in_review(home)
    home.heartbeat_file.write_text("{")
    (home.state / "risk_counters.json").write_text('{"schema": 1, "losses_in_a_row": "many"}')
    home.audit_file.write_text("no line of ours\n")
    (home.outbox / "alerts.json").write_text('{"alerts": {"x": {"kind": 1}}}')
    view = screen(home)
    assert [text.partition(":")[0] for text in told(view)] == ["The service", *["Cannot be read"] * 3]
    assert {Tone.BAD} == {banner.tone for banner in view.banners[1:]}
    assert len(block(view, "Waits for you").rows) == 1


def test_a_heartbeat_of_another_version_is_a_problem_and_no_number(home: Home) -> None:
    beat(home, accounts="none")
    found = look(home)
    assert found.numbers is None
    assert "accounts" in found.problems[0]


def test_looking_writes_nothing(home: Home) -> None:
    put_in_review(home)
    beat(home)
    cycles(home, 3)
    (home.state / "risk_counters.json").write_text("{")
    before = everything(home)
    screen(home)
    assert everything(home) == before


def test_a_reason_is_told_in_words_with_its_numbers_and_what_a_person_can_do(home: Home) -> None:
    last = {"at_ms": 0, "status": "HALTED", "reason": "DRAWDOWN_STOP", "value": 0.312, "limit": 0.2, "note": ""}
    beat(home, last=last, pid=os.getpid())
    now = dict(block(screen(home), "What it does now").rows)
    assert now["Decision"].text == "HALTED DRAWDOWN_STOP"
    assert now["In words"].text == "equity fell so far from its highest that trading stops"
    assert now["Its numbers"].text == "31.2 % against a limit of 20 %"
    assert now["You can"].text.endswith("python stop_trading.py --release")
    often = "the funding that can be counted on, a year, was below what the strategy asks for"
    often = f"before, mostly: {often} (FUNDING_TOO_LOW 51×; HOLDING 3× in the last day)"
    assert now["Why nothing trades"].text == often


def test_numbers_with_tuner_and_next_action_are_all_told(home: Home) -> None:
    beat(home, pid=os.getpid())
    now = [name for name, _ in block(screen(home), "What it does now").rows]
    assert now == [
        "Decision",
        "In words",
        "Its numbers",
        "Its note",
        "Why nothing trades",
        "Next",
        "Regime",
        "Data quality",
        "Tuner",
    ]
    assert FULL.tuner[0] in [cell.text for _, cell in block(screen(home), "What it does now").rows]
