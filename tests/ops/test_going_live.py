"""`docs/going-live.md`: every screen on it is what the command says; `LAB_WRITE_DOCS=1` writes them anew."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.demo.story import is_flat
from tests.ops.giving import CHECKOUT
from tests.ops.going_live import stable, walk
from tests.ops.world import World, open_world
from trading.storage.home import Home

PAGE = CHECKOUT / "docs" / "going-live.md"
SCREEN = re.compile(r"(<!-- screen ([\w-]+) -->\n```text\n)(.*?)(\n```\n)", re.DOTALL)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = open_world(tmp_path / "tape", scale=1.0)
    yield opened
    opened.close()


def test_every_screen_on_the_way_to_real_money_is_what_the_command_says(
    home: Home, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    screens = walk(home, world)
    assert is_flat(world.ask("/sandbox/ledger"))
    page = PAGE.read_text()
    if os.environ.get("LAB_WRITE_DOCS"):
        page = SCREEN.sub(lambda found: found[1] + screens[found[2]] + found[4], page)
        PAGE.write_text(page)
    shown = {name: text for _, name, text, _ in SCREEN.findall(page)}
    assert {name: stable(text) for name, text in shown.items()} == {n: stable(text) for n, text in screens.items()}
