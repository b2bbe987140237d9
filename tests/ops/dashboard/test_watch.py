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

from ops.dashboard.terminal import spark, view_text
from ops.dashboard.view import Line
from ops.dashboard.views import BY_KEY, KINDS, Asked, look
from ops.dashboard.watch import DOWN, PAGE_DOWN, UP, Watch, run_watch
from tests.ops.dashboard.rooms import beat, cycles
from tests.ops.papers import put_in_review
from trading.domain.clock import Clock
from trading.domain.errors import SettingsError
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


def shown(watch: Watch, console: Console) -> str:
    return "".join(segment.text for segment in console.render(watch.screen()))


def test_keys_change_the_view_and_move_within_it(home: Home) -> None:
    beat(home)
    console = Console(width=80, height=12, file=io.StringIO(), force_terminal=True)
    watch = Watch(Asked(home, Clock()), console, BY_KEY["overview"])
    watch._told = view_text(look(BY_KEY["overview"], Asked(home, Clock())))
    assert "lines 1-10 of" in shown(watch, console)
    watch.typed(DOWN * 3 + UP + PAGE_DOWN)
    assert "lines 23-32 of" in shown(watch, console)
    watch.typed(PAGE_DOWN * 99)
    last = shown(watch, console)
    assert "Strategies by stage" in last
    watch.typed("6")
    assert watch._kind is KINDS[5]
    assert "lines 1-" in shown(watch, console)
    assert not watch._ended
    watch.typed("x9q")
    assert watch._ended


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
