"""Who reads a command may go away, or know fewer signs: the command does its work all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trading.storage.home import Home

ROOT = Path(__file__).resolve().parents[2]


def typed(home: Home, *words: str, out: int, **environment: str) -> tuple[int, str]:
    """Exit status and standard error of a command."""
    settings = {**os.environ, "LAB_HOME": str(home.root), **environment}
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, env=settings, cwd=ROOT, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [("ops.cli", "--help"), ("ops.get_status",)], ids=lambda words: words[0])
def test_a_reader_that_has_seen_enough_is_no_error(home: Home, words: tuple[str, ...], unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert typed(home, *words, out=writer, PYTHONUNBUFFERED=unbuffered) == (0, "")
    os.close(writer)


def test_a_stop_whose_words_nobody_takes_is_seen_through(home: Home) -> None:
    with Path("/dev/full").open("wb") as full:
        assert typed(home, "ops.stop_trading", out=full.fileno(), PYTHONUNBUFFERED="1") == (0, "")
    assert home.stopped_file.exists()
    assert (home.state / "seen_flat.json").exists(), "not only told to be: looked at"


def test_a_sign_that_a_terminal_does_not_know_is_no_error(home: Home, tmp_path: Path) -> None:
    with (tmp_path / "screen").open("wb") as screen:
        found = typed(home, "ops.cli", "watch", "--once", out=screen.fileno(), PYTHONIOENCODING="latin-1")
    assert found == (0, "")
    assert b"?" in (tmp_path / "screen").read_bytes()
