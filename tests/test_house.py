"""The house keeps its own rules: one clock, a door plate on every room, no path or secret of anybody's machine."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = ("src/trading", "src/sandbox", "ai_brain", "ops", "benchmarks")
MODULES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))
CLOCKS = {"src/trading/domain/clock.py", "src/sandbox/clock.py"}
"""The lab's clock, and the sandbox's, which is another world's."""
TIME_CALLS = {
    ("time", name)
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep", "gmtime")
} | {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("asyncio", "sleep")}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    """A module's syntax, read once for all that is asked of it."""
    return ast.parse(path.read_text())


def calls(tree: ast.AST) -> set[tuple[str, str]]:
    """Every `module.function` mentioned, whatever the import is called."""
    aliases = {
        alias.asname: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.asname
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute)):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            found.add((aliases.get(owner, owner), node.attr))
        if isinstance(node, ast.ImportFrom) and node.module in {"time", "asyncio"}:
            found |= {(node.module, alias.name) for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_but_the_clock_asks_the_system_for_the_time(path: Path) -> None:
    if name(path) in CLOCKS or name(path).startswith("benchmarks/"):
        return
    assert calls(parsed(path)) & TIME_CALLS == set()


def test_the_look_for_the_system_clock_finds_what_it_looks_for() -> None:
    for text in (
        "import time as t\nt.time()",
        "from time import monotonic",
        "import datetime\ndatetime.datetime.now()",
    ):
        assert calls(ast.parse(text)) & TIME_CALLS


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_says_what_is_in_it(path: Path) -> None:
    assert ast.get_docstring(parsed(path))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_exception_is_swallowed_and_nothing_rests_on_assert(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: assert is gone under python -O"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: bare except"
            assert not (ast.unparse(node.type) in {"Exception", "BaseException"} and isinstance(node.body[0], ast.Pass))


def test_no_lock_file_carries_an_address_and_nothing_a_path_of_somebodys_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    machine = re.compile(r"/(?:home|root|Users|work)/[a-z.]")
    for relative in filter(None, tracked):
        path = ROOT / relative
        if path.suffix in {".png", ".svg", ".gz", ".parquet"} or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".lock":
            assert "://" not in text, f"{relative} carries an address"
        if relative != "tests/test_house.py":
            assert not machine.search(text), f"{relative} names a path of a machine"
