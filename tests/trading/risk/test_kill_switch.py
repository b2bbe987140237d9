"""Every switch stops what it says, and doubt is a stop."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from trading.domain.decisions import Reason
from trading.domain.errors import StateFileError
from trading.risk.kill_switch import StopKind, machine_stop, read_stop, release_stop, stop_trading
from trading.storage.home import Home


def test_without_a_switch_nothing_stops(home: Home) -> None:
    stop = read_stop(home, {})
    assert (stop.kind, stop.blocks_entries, stop.demands_flat) == (StopKind.NONE, False, False)
    assert stop.decision.allowed


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("content", ["", "please"])
def test_either_kill_file_with_any_content_demands_flat(home: Home, which: int, content: str) -> None:
    home.kill_files[which].write_text(content)
    stop = read_stop(home, {})
    assert stop.demands_flat
    assert stop.decision.reason is Reason.KILL_SWITCH


@pytest.mark.parametrize(("value", "kills"), [("1", True), ("yes", True), ("0", False), ("", False), (" ", False)])
def test_the_kill_variable(home: Home, value: str, kills: bool) -> None:
    assert read_stop(home, {"KILL": value}).demands_flat is kills


def test_a_dangling_link_as_kill_file_kills(home: Home) -> None:
    home.kill_files[0].symlink_to("/nowhere/at/all")
    assert read_stop(home, {}).kind is StopKind.KILL


def test_a_folder_that_cannot_be_looked_into_kills(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    assert read_stop(Home(tmp_path), {}).kind is StopKind.KILL


@pytest.mark.parametrize("keep", [True, False])
def test_a_human_stop_says_whether_to_close(home: Home, keep: bool) -> None:
    stop_trading(home, by="me", why="holidays", at_ms=0, keep_positions=keep)
    stop = read_stop(home, {})
    assert stop.kind is StopKind.STOPPED
    assert stop.blocks_entries
    assert stop.demands_flat is not keep


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keep_positions": "no"}'])
def test_an_unreadable_stop_still_stops(home: Home, content: str) -> None:
    home.stopped_file.write_text(content)
    assert read_stop(home, {}).blocks_entries


def test_paused_blocks_entries_only(home: Home) -> None:
    home.pause_file.write_text("")
    stop = read_stop(home, {})
    assert (stop.blocks_entries, stop.demands_flat) == (True, False)
    assert stop.decision.reason is Reason.PAUSED


def refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """A disk that takes no file of these names."""
    opened, touched = Path.open, Path.touch

    def refused(path: Path) -> None:
        if any(name in path.name for name in names):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    def opens(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if mode == "wb":
            refused(path)
        return opened(path, mode, *rest, **more)

    def touches(path: Path) -> None:
        refused(path)
        touched(path)

    monkeypatch.setattr(Path, "open", opens)
    monkeypatch.setattr(Path, "touch", touches)


@pytest.mark.parametrize(
    ("refused", "written"),
    [
        ((), "state/TRADING_STOPPED.json"),
        (("TRADING_STOPPED",), "state/KILL_SWITCH"),
        (("TRADING_STOPPED", "KILL_SWITCH"), ".kill"),
    ],
)
def test_a_stop_that_cannot_be_written_is_another_one(
    home: Home, monkeypatch: pytest.MonkeyPatch, refused: tuple[str, ...], written: str
) -> None:
    refuse(monkeypatch, *refused)
    assert stop_trading(home, by="me", why="", at_ms=0, keep_positions=False) == home.root / written
    assert read_stop(home, {}).source == Path(written).name
    assert read_stop(home, {}).demands_flat
    assert release_stop(home) == (Path(written).name,)


def test_what_keeps_positions_never_becomes_a_kill(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "TRADING_STOPPED")
    assert stop_trading(home, by="me", why="", at_ms=0, keep_positions=True) == home.pause_file
    assert (read_stop(home, {}).blocks_entries, read_stop(home, {}).demands_flat) == (True, False)
    release_stop(home)
    refuse(monkeypatch, "TRADING_STOPPED", "PAUSED")
    with pytest.raises(StateFileError, match="NOT STOPPED"):
        stop_trading(home, by="me", why="", at_ms=0, keep_positions=True)
    assert not read_stop(home, {}).blocks_entries


def test_where_no_switch_can_be_written_one_line_says_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "TRADING_STOPPED", "KILL_SWITCH", ".kill")
    with pytest.raises(
        StateFileError, match=r"KILL_SWITCH: Read-only file system; \.kill: Read-only.*close both"
    ) as told:
        stop_trading(home, by="me", why="", at_ms=0, keep_positions=False)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("stands", ["KILL_SWITCH", "TRADING_STOPPED.json"])
def test_where_no_switch_can_be_written_a_stop_that_stands_is_one(
    home: Home, monkeypatch: pytest.MonkeyPatch, stands: str
) -> None:
    (home.state / stands).write_text('{"keep_positions": false}')
    refuse(monkeypatch, "TRADING_STOPPED", "KILL_SWITCH", ".kill", "PAUSED")
    for keep in (True, False):
        assert stop_trading(home, by="me", why="", at_ms=0, keep_positions=keep) == home.state / stands


def test_a_stop_that_keeps_positions_is_none_for_who_wants_them_closed(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_trading(home, by="me", why="", at_ms=0, keep_positions=True)
    refuse(monkeypatch, "TRADING_STOPPED", "KILL_SWITCH", ".kill", "PAUSED")
    assert stop_trading(home, by="me", why="", at_ms=0, keep_positions=True) == home.stopped_file
    with pytest.raises(StateFileError, match="NOT STOPPED"):
        stop_trading(home, by="me", why="", at_ms=0, keep_positions=False)


def test_the_strongest_switch_wins_and_release_removes_all(home: Home) -> None:
    home.pause_file.write_text("")
    stop_trading(home, by="me", why="", at_ms=0, keep_positions=True)
    home.kill_files[1].write_text("")
    assert read_stop(home, {}).kind is StopKind.KILL
    assert release_stop(home) == (".kill", "TRADING_STOPPED.json", "PAUSED")
    assert read_stop(home, {}).kind is StopKind.NONE
    assert os.listdir(home.state) == ["outbox"]  # noqa: PTH208


def test_a_stop_of_the_guardian_is_told_from_one_of_a_human(home: Home) -> None:
    assert machine_stop(home) is None
    why = "LAB_SILENT: no lab lives: 700 s against a limit of 600 s"
    for by, filed, is_machine in (
        ("guardian", why, True),
        ("stop_trading.py", why, False),
        ("guardian", "KILL_SWITCH: KILL_SWITCH", False),
        ("guardian", "what ever", False),
    ):
        stop_trading(home, by=by, why=filed, at_ms=0, keep_positions=False)
        assert (machine_stop(home) is not None) is is_machine, (by, filed)
    stop_trading(home, by="guardian", why=why, at_ms=0, keep_positions=False)
    found = machine_stop(home)
    assert found is not None
    assert (found.at, found.reason, found.why) == ("1970-01-01T00:00:00Z", Reason.LAB_SILENT, why)
    home.stopped_file.write_text("[]")
    assert machine_stop(home) is None
