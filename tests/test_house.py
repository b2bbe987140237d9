"""The house keeps its own rules: one clock, a door plate on every room, no path or secret of anybody's machine."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOORS = ("src/trading", "src/sandbox", "ai_brain", "ops", "benchmarks")
CLOCKS = {"src/trading/domain/clock.py", "src/sandbox/clock.py"}
"""The lab's clock, and the sandbox's, which is another world's."""
TIME_CALLS = {
    ("time", name)
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep", "gmtime")
} | {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("asyncio", "sleep")}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def calls(nodes: Sequence[ast.AST]) -> set[tuple[str, str]]:
    """Every `module.function` mentioned, whatever the import is called."""
    aliases = {
        alias.asname: alias.name
        for node in nodes
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.asname
    }
    found = set()
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute)):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            found.add((aliases.get(owner, owner), node.attr))
        if isinstance(node, ast.ImportFrom) and node.module in {"time", "asyncio"}:
            found |= {(node.module, alias.name) for alias in node.names}
    return found


def swallowed(node: ast.AST) -> list[str]:
    """What is wrong with how it deals with errors, by line."""
    if isinstance(node, ast.Assert):
        return [f"line {node.lineno}: assert is gone under python -O"]
    if isinstance(node, ast.ExceptHandler) and node.type is None:
        return [f"line {node.lineno}: bare except"]
    if isinstance(node, ast.ExceptHandler) and isinstance(node.body[0], ast.Pass):
        kind = ast.unparse(node.type) if node.type is not None else ""
        return [f"line {node.lineno}: {kind} is passed over"] if kind in {"Exception", "BaseException"} else []
    return []


PUBLISHED = ("src/trading/simulator/", "ai_brain/evidence/", "ai_brain/paper/")
"""What gives numbers that are derived again to the last bit, under whatever Python."""


def adds_amounts(node: ast.AST) -> bool:
    """`sum` over amounts: from Python 3.12 on it rounds otherwise; `math.fsum` rounds once, under each."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "sum"):
        return False
    each = node.args[0].elt if isinstance(node.args[0], (ast.GeneratorExp, ast.ListComp)) else node.args[0]
    counts = isinstance(each, (ast.Compare, ast.BoolOp))
    return not counts and any(isinstance(one, ast.Attribute) and one.attr.endswith("_quote") for one in ast.walk(each))


@dataclass(frozen=True, slots=True)
class Seen:
    """What one reading of a module shows."""

    asks_the_system: set[tuple[str, str]]
    says_what_is_in_it: bool
    swallows: list[str]
    adds_amounts: bool


def seen_in(text: str) -> Seen:
    tree = ast.parse(text)
    nodes = tuple(ast.walk(tree))
    wrong = [line for node in nodes for line in swallowed(node)]
    adds = any(adds_amounts(node) for node in nodes)
    return Seen(calls(nodes) & TIME_CALLS, bool(ast.get_docstring(tree)), wrong, adds)


@cache
def modules() -> dict[str, Seen]:
    """Every module of every floor, read once for all that is asked of it; of its syntax nothing is kept."""
    return {name(path): seen_in(path.read_text()) for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))}


def test_every_floor_is_looked_at() -> None:
    assert {floor for floor in FLOORS if not any(where.startswith(f"{floor}/") for where in modules())} == set()


def test_nothing_but_the_clock_asks_the_system_for_the_time() -> None:
    kept_time = {where for where in modules() if where in CLOCKS or where.startswith("benchmarks/")}
    asking = {where: seen.asks_the_system for where, seen in modules().items() if seen.asks_the_system}
    assert {where: what for where, what in asking.items() if where not in kept_time} == {}


def test_every_module_says_what_is_in_it() -> None:
    assert [where for where, seen in modules().items() if not seen.says_what_is_in_it] == []


def test_no_exception_is_swallowed_and_nothing_rests_on_assert() -> None:
    assert {where: seen.swallows for where, seen in modules().items() if seen.swallows} == {}


def test_no_published_amount_hangs_on_the_version_of_python() -> None:
    assert [where for where, seen in modules().items() if seen.adds_amounts and where.startswith(PUBLISHED)] == []


def test_the_look_at_a_module_finds_what_it_looks_for() -> None:
    for text in (
        "import time as t\nt.time()",
        "from time import monotonic",
        "import datetime\ndatetime.datetime.now()",
    ):
        assert seen_in(text).asks_the_system
    for text in (
        "def f(x):\n    assert x",
        "try:\n    f()\nexcept:\n    g()",
        "try:\n    f()\nexcept Exception:\n    pass",
        "try:\n    f()\nexcept BaseException as error:\n    pass",
    ):
        assert seen_in(text).swallows
    assert seen_in("try:\n    f()\nexcept OSError:\n    pass").swallows == []
    assert not seen_in("import time").says_what_is_in_it
    assert seen_in("sum(run.fees_quote for run in runs)").adds_amounts
    assert not seen_in("sum(trade.pnl_quote > 0.0 for trade in trades)").adds_amounts


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
