"""Every switch stops what it says, and doubt is a stop."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trading.domain.decisions import Reason
from trading.risk.kill_switch import StopKind, read_stop, release_stop, stop_trading
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


def test_the_strongest_switch_wins_and_release_removes_all(home: Home) -> None:
    home.pause_file.write_text("")
    stop_trading(home, by="me", why="", at_ms=0, keep_positions=True)
    home.kill_files[1].write_text("")
    assert read_stop(home, {}).kind is StopKind.KILL
    assert release_stop(home) == (".kill", "TRADING_STOPPED.json", "PAUSED")
    assert read_stop(home, {}).kind is StopKind.NONE
    assert os.listdir(home.state) == ["outbox"]  # noqa: PTH208
