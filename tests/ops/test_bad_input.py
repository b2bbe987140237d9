"""Bad input of every kind: one line that says what, where and what to do; an exit code; and nothing lost.

The table in `docs/bad-input.md` is what these cases really say; `LAB_WRITE_DOCS=1` writes it anew.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from functools import cache
from pathlib import Path

import pytest

from tests.ops.bad_inputs import BAD_INPUTS
from tests.ops.giving import CHECKOUT, Case, Place, Told
from trading.storage.home import Home

PAGE = CHECKOUT / "docs" / "bad-input.md"
HEAD = """# What bad input gets

Everything that can be wrong gets one line: what, where, the value, what to do. At the command line the exit code is 2
(1 where the answer is simply no, 3 without a network); "goes on" means that the running lab does without it, counts it
and tells it. Nothing is lost: a file that makes no sense is left as it was, or set aside as `NAME.bad-1`.

`tests/ops/test_bad_input.py` gives each of these for real and holds this table against what is said
(`LAB_WRITE_DOCS=1 ./lab test tests/ops/test_bad_input.py` writes it anew). Folders are shortened to `…`.

| what was given | where | message | exit code |
|---|---|---|---|
"""


def content_of(*folders: Path) -> set[str]:
    """The content of every file, by hash."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def stable(message: str) -> str:
    """Without what changes from run to run: folders, processes, ports, hashes."""
    message = re.sub(r"(?<![\w:])/(?:[^\s/'\",;:()\[\]]+/)+", "…/", message)
    message = re.sub(r"(?<=at end of file).*?;", " …;", message)  # the database's own words, cut at a width
    message = re.sub(r"\b[0-9a-f]{64}\b", "…", message)
    message = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:…", message)
    return re.sub(r"process \d+", "process …", message)


@cache
def answer(case: Case) -> tuple[Told, set[str], set[str]]:
    """What the lab says; the content of all files the case put there, and of all that are there afterwards."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as environment:
        folder = Path(name) / "outside"
        folder.mkdir()
        home = Home(Path(name) / "home")
        home.root.mkdir()
        environment.setenv("LAB_HOME", str(home.make().root))
        written = set[str]()
        watch_writes(environment, written)
        return case.give(Place(home, folder)), written, content_of(home.root, folder)


def watch_writes(environment: pytest.MonkeyPatch, written: set[str]) -> None:
    """Note what a case puts into files by hand."""
    as_text, as_bytes = Path.write_text, Path.write_bytes

    def write_text(path: Path, text: str, *rest: object) -> int:
        written.add(hashlib.sha256(text.encode()).hexdigest())
        return as_text(path, text, *rest)  # type: ignore[arg-type]

    def write_bytes(path: Path, content: bytes) -> int:
        written.add(hashlib.sha256(content).hexdigest())
        return as_bytes(path, content)

    environment.setattr(Path, "write_text", write_text)
    environment.setattr(Path, "write_bytes", write_bytes)


def row(case: Case) -> str:
    """One line of the table."""
    told = answer(case)[0]
    end = "goes on" if told.code is None else str(told.code)
    given, where, message = (text.replace("|", "\\|") for text in (case.given, case.where, stable(told.message)))
    return f"| {given} | {where} | {message} | {end} |"


@pytest.mark.parametrize("case", BAD_INPUTS, ids=lambda case: f"{case.where}: {case.given}")
def test_it_gets_one_line_and_an_exit_code_and_nothing_is_lost(case: Case) -> None:
    told, given, left = answer(case)
    assert told.message
    assert "\n" not in told.message
    assert "Traceback" not in told.message
    assert told.code != 0
    assert given <= left, "what was given is still there, in its place or set aside"


def test_the_table_in_the_documents_says_what_is_said() -> None:
    assert len(BAD_INPUTS) >= 25
    page = HEAD + "\n".join(row(case) for case in BAD_INPUTS) + "\n"
    if os.environ.get("LAB_WRITE_DOCS"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page
