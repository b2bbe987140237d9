"""The same views in a terminal: on a small screen, moved and changed by keys, and printed where there is none."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import time

import pytest
from rich.console import Console

from ops.dashboard import audit
from ops.dashboard.terminal import spark, view_text
from ops.dashboard.view import Line
from ops.dashboard.views import BY_KEY, KINDS, Asked, follow, look
from ops.dashboard.watch import DOWN, ERASE, ESCAPE, PAGE_DOWN, TAB_BACK, UP, Watch, run_watch
from tests.ops.dashboard.rooms import beat, cycles, line
from tests.ops.papers import put_in_review
from trading.domain.clock import Clock
from trading.domain.decisions import Reason
from trading.domain.errors import SettingsError
from trading.journal.audit import AuditLog, CycleStatus
from trading.storage.home import Home


def text_of(home: Home, key: str, *, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(view_text(look(BY_KEY[key], Asked(home, Clock()))))
    return console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO


@pytest.mark.parametrize("key", [kind.key for kind in KINDS])
@pytest.mark.parametrize("width", [40, 120])
def test_every_view_has_a_text_on_every_width(home: Home, key: str, width: int) -> None:
    assert text_of(home, key, width=width).strip()
    put_in_review(home)
    beat(home)
    cycles(home, 3)
    assert all(len(line) <= width for line in text_of(home, key, width=width).splitlines())


def test_the_overview_says_in_words_what_the_page_says_in_colour(home: Home) -> None:
    beat(home, age_s=3600)
    home.kill_files[0].touch()
    told = text_of(home, "overview")
    assert "✖ The service: NOT RUNNING" in told
    assert "✖ STOPPED: KILL_SWITCH is there" in told
    assert "1,012.50 USDT" in told


def test_a_line_of_bars_rises_with_its_values_and_has_gaps() -> None:
    assert spark(Line("x", (1.0, 2.0, None, 8.0))) == "▁▂ █"
    assert spark(Line("x", (None, None))) == ""
    assert spark(Line("x", (5.0, 5.0))) == "▁▁"
    assert len(spark(Line("x", tuple(float(n) for n in range(1000))))) == 72


def test_no_line_of_bars_is_cut_and_no_name_of_a_rule_is_broken(home: Home) -> None:
    log, rule = AuditLog(home.audit_file), "EXPECTED_SHORTFALL"
    check = {"reason": rule, "allowed": True, "value": 3.1, "limit": 200.0, "note": "of what is held: BTCUSDT"}
    for n in range(100):
        log.append(line(n, risk={"reason": "HOLDING", "checks": [check]}))
    told = text_of(home, "overview", width=80)
    assert "fc-1  10,000.00 to 10,099.00, now 10,099.00 USDT" in told
    assert f"\n{spark(Line('x', tuple(float(n) for n in range(100))))}\n" in told
    for width in (80, 100):
        assert rule in text_of(home, "risk", width=width)


def shown(watch: Watch, console: Console) -> str:
    return "".join(segment.text for segment in console.render(watch.screen()))


def test_keys_change_the_view_and_move_within_it(home: Home) -> None:
    beat(home)
    console = Console(width=80, height=12, file=io.StringIO(), force_terminal=True)
    watch = Watch(Asked(home, Clock()), console, BY_KEY["overview"])
    watch.view = watch.look()
    assert "lines 1-10 of" in shown(watch, console)
    assert "8Events 9Health" in shown(watch, console)  # every view is in the menu of 80 columns
    watch.typed(DOWN * 3 + UP + PAGE_DOWN)
    assert "lines 23-32 of" in shown(watch, console)
    narrow = Console(width=40, height=12, file=io.StringIO(), force_terminal=True)
    first, *_, foot = shown(Watch(Asked(home, Clock()), narrow, BY_KEY["risk"]), narrow).splitlines()
    assert first.split() == ["1", "2", "3", "4", "5", "6Risk", "7", "8", "9"]
    assert foot.startswith("q end  lines ")
    watch.typed(PAGE_DOWN * 99)
    last = shown(watch, console)
    assert "Strategies by stage" in last
    watch.typed("6")
    assert watch.place.kind is KINDS[5]
    assert "lines 1-" in shown(watch, console)
    assert not watch.has_ended
    watch.typed("x9q")
    assert watch.has_ended


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_nothing_of_a_row_is_cut_on_a_narrow_terminal(home: Home, width: int) -> None:
    spec = put_in_review(home)
    note = "perp BTCUSDT fills: RequestTimeout and a word " + "x" * 90
    check = {"reason": "INSUFFICIENT_BALANCE", "allowed": False, "value": 226.125, "limit": 500.0, "note": note}
    AuditLog(home.audit_file).append(line(0, reason=Reason.DATA_UNAVAILABLE, risk={**check, "checks": [check]}))
    for key, wanted in {
        "audit": ("2026-01-21 09:00:00", "NO_TRADE", "DATA_UNAVAILABLE", "226.125", "1,000.00", "x" * 90),
        "risk": ("INSUFFICIENT_BALANCE", "226.125", "500", "trims", "2026-01-21 09:00", "x" * 90),
        "strategies": (spec.id, "review", "APPROVED", "no"),
    }.items():
        told = text_of(home, key, width=width)
        assert "…" not in told, key
        together = "".join(told.split())
        assert [words for words in wanted if "".join(words.split()) not in together] == [], key


def at_work(home: Home, key: str) -> tuple[Watch, Console]:
    console = Console(width=80, height=20, file=io.StringIO(), force_terminal=True)
    watch = Watch(Asked(home, Clock()), console, BY_KEY[key])
    watch.view = watch.look()
    return watch, console


def types(watch: Watch, *keys: str) -> str:
    for key in keys:
        watch.typed(key)
        watch.view = watch.look()
    return shown(watch, watch._console)


def test_a_slash_narrows_a_list_by_words_and_by_the_fields_of_its_filter(home: Home) -> None:
    log = AuditLog(home.audit_file)
    log.append(line(0, note="the first"))
    log.append(line(1, status=CycleStatus.EXECUTED, reason=Reason.OK, note="quite another"))
    watch, _ = at_work(home, "audit")
    assert "/ filter" in types(watch)
    assert "/quite▏" in types(watch, "/", "quitex", ERASE[0])
    told = types(watch, "\r")
    assert ("EXECUTED" in told, "NO_TRADE" in told) == (True, False)
    assert "Anywhere in the line: quite" in told
    assert "NO_TRADE" in types(watch, ESCAPE)
    told = types(watch, "/", "status=NO_TRADE", "\r")
    assert ("EXECUTED" in told, "NO_TRADE" in told) == (False, True)
    assert watch.place.words == {"status": "NO_TRADE"}
    types(watch, "/", "q9", ESCAPE)
    assert (watch.has_ended, watch.place.words) == (False, {"status": "NO_TRADE"})
    assert "/ filter" not in types(watch, "9", "/")


def test_enter_opens_the_line_that_tab_has_marked_and_escape_goes_back(home: Home) -> None:
    cycles(home, 3)
    watch, console = at_work(home, "audit")
    types(watch, "\t", "\t", "\t", TAB_BACK)
    marked = [s.text for s in console.render(watch.screen()) if s.style and s.style.reverse]
    assert marked[1:] == ["2026-01-21 09:01:00"]  # behind the menu's
    assert "Cycle of 2026-01-21 09:01" in types(watch, "\r")
    assert "Audit trail" in types(watch, ESCAPE)
    spec = put_in_review(home)
    watch, _ = at_work(home, "strategies")
    assert "What it is" in types(watch, "\t", "\n")
    assert watch.place.words == {"id": spec.id}


def test_a_list_that_goes_on_can_be_followed(home: Home) -> None:
    cycles(home, audit.SHOWN + 3)
    watch, _ = at_work(home, "audit")
    assert "→ Older" in types(watch, TAB_BACK)  # the last of all
    told = types(watch, "\r")
    assert "2026-01-21 09:02:00" in told
    assert "2026-01-21 09:03:00" not in told


@pytest.mark.parametrize("link", ["/evidence/fc-1", "/nowhere"])
def test_what_only_the_page_can_show_is_not_opened(link: str) -> None:
    assert follow(link) is None


def test_where_there_is_no_terminal_it_is_printed_once(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    assert run_watch("health", once=False) == 0
    assert "System health" in capsys.readouterr().out
    with pytest.raises(SettingsError, match="use one of overview"):
        run_watch("helth", once=True)


def test_in_a_terminal_it_follows_keys_and_leaves_it_as_it_was(home: Home) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "LAB_HOME": str(home.root), "TERM": "xterm", "LINES": "24", "COLUMNS": "80"}
    words = (sys.executable, "-m", "ops.cli", "watch")
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    seen = _until(ours, b"never ran here")
    os.write(ours, b"9")
    seen += _until(ours, b"System health")
    os.write(ours, b"\x1bOB\x1b[B\t\r8")  # the down key of both kinds of terminal, and nothing that leads anywhere
    seen += _until(ours, b"nothing like that in the log")
    os.write(ours, b"/")
    seen += _until(ours, b"Enter narrows")
    os.write(ours, b"\x1b")
    os.write(ours, b"q")
    seen += _until(ours, b"\x1b[?1049l")  # the screen from before is there again
    assert process.wait(timeout=10) == 0
    os.close(ours)
    assert b"Traceback" not in seen


def _until(terminal: int, wanted: bytes) -> bytes:
    seen, end_s = b"", time.monotonic() + 20
    while wanted not in seen:
        assert time.monotonic() < end_s, seen[-500:]
        seen += os.read(terminal, 65_536)
    return seen
