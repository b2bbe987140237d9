from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trading.domain.errors import StateFileError
from trading.storage.files import append_line, read_json, set_aside, write_atomic, write_json
from trading.storage.home import Home
from trading.storage.lock import only_one, waiting_lock


def test_what_was_written_is_read_and_leaves_no_scraps(tmp_path: Path):
    path = tmp_path / "state.json"
    assert read_json(path, schema=1) is None
    write_json(path, {"equity_quote": 1.5, "name": "Zürich"}, schema=1)
    assert read_json(path, schema=1) == {"equity_quote": 1.5, "name": "Zürich"}
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"equity_quote": float("nan")}, schema=1)
    assert read_json(path, schema=1) is not None, "a refused write leaves the old file"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{half", "not JSON"),
        (b"[1]", "schema='list'"),
        (b'{"schema": 2}', "schema=2, expected 1"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_is_set_aside_and_never_lost(tmp_path: Path, content: bytes, words: str):
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(StateFileError, match=words):
        read_json(path, schema=1)
    assert not path.exists()
    assert (tmp_path / "state.json.bad-1").read_bytes() == content


def test_setting_aside_twice_keeps_both(tmp_path: Path):
    for content in (b"one", b"two"):
        (tmp_path / "f").write_bytes(content)
        set_aside(tmp_path / "f")
    assert [(tmp_path / f"f.bad-{n}").read_bytes() for n in (1, 2)] == [b"one", b"two"]


def test_a_folder_that_is_not_there_is_told_in_one_line(tmp_path: Path):
    with pytest.raises(StateFileError, match="cannot be written"):
        write_atomic(tmp_path / "nowhere" / "f", b"x")
    with pytest.raises(StateFileError, match="cannot be appended to"):
        append_line(tmp_path / "nowhere" / "f", b"x")


def test_lines_are_appended_whole(tmp_path: Path):
    for number in range(3):
        append_line(tmp_path / "log", json.dumps({"n": number}).encode())
    assert (tmp_path / "log").read_bytes() == b'{"n": 0}\n{"n": 1}\n{"n": 2}\n'


def test_a_home_has_its_folders_and_its_names(tmp_path: Path):
    home = Home(tmp_path).make()
    assert home.make() == home
    assert {path.name for path in home.strategies.iterdir()} == {"testing", "active", "retired"}
    assert [path.relative_to(tmp_path).as_posix() for path in home.kill_files] == ["state/KILL_SWITCH", ".kill"]


def test_only_one_holds_the_lock_and_the_refusal_names_its_process(tmp_path: Path):
    path = tmp_path / "lab.lock"
    refusal = f"the lab already runs as process {os.getpid()}; stop it first"
    with only_one(path, what="the lab"), pytest.raises(StateFileError, match=refusal), only_one(path, what="the lab"):
        pass
    with only_one(path, what="the lab"), waiting_lock(tmp_path / "other.lock"):
        assert path.read_text() == str(os.getpid())


def test_the_lock_falls_with_its_process(tmp_path: Path):
    path = tmp_path / "lab.lock"
    code = (
        "import os, pathlib, sys\nfrom trading.storage.lock import only_one\n"
        "with only_one(pathlib.Path(sys.argv[1]), what='x'):\n    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    with only_one(path, what="the lab"):
        pass
