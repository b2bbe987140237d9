"""Do the tests notice a broken simulator? `python -m benchmarks.mutants [--files kernel,fills] [--share 1.0]`.

Each mutant is one small change of one function of the simulator (`mutant_sites.py`). The tests below run against it,
those first that are quick and have killed often; the first that fails kills it. What no test kills is listed.

To be quick the kernels run without their compiler: their records become `np.record`s, and a mutant is a new code object
in a forked process where everything is imported and every test collected. So an index beyond an array is an error here,
as it is in `tests/trading/simulator/test_bad_bars.py` where numba checks bounds; hypothesis draws `--examples` a test.
One JSON line a mutant goes to `--out`, the counts to the standard output.
"""

from __future__ import annotations
import __future__

import argparse
import ast
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType

import numpy as np
import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, Phase, settings
from numba.core.registry import CPUDispatcher

from benchmarks.mutant_sites import Site, functions_of, sites_of

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "src" / "trading" / "simulator"
FILES = (
    "kernel",
    "position_kernel",
    "fills",
    "settlements",
    "bits",
    "carry_kernel",
    "population_kernel",
    "population_marks",
)
RULE_TESTS = ("every_rule", "edges", "kernel", "traps", "brackets", "settlements", "stepper", "result")
TESTS = {
    "kernel": RULE_TESTS,
    "position_kernel": RULE_TESTS,
    "fills": RULE_TESTS,
    "settlements": (*RULE_TESTS, "carry_twin"),
    "bits": ("bits", "population", "every_rule", "edges"),
    "carry_kernel": ("every_rule", "edges", "carry", "carry_twin", "settlements", "stepper", "result"),
    "population_kernel": ("population", "every_rule", "edges"),
    "population_marks": ("population", "every_rule", "edges"),
}
"""By file, the modules of `tests/trading/simulator` that must notice."""
LEFT_OUT = (
    *("beyond_an_array", "recorded", "compiled_version", "code"),
    *("several_tapes_tell", "looking_ahead", "doubling_costs", "intrabar_drawdown", "another_future"),
    *("every_reason", "meet_everything", "price_level", "small_tiles", "without_trades_kept"),
)
"""Words of tests that need the compiler, or take long and are not about one rule."""
SLOWEST_TEST_S = 8.0
"""A test that takes longer without a compiler is left out, and named."""
LIMIT_S = 60
"""A mutant that runs longer hangs, and is noticed by that."""
RECORDS = ["STATE", "FILL", "FILLS", "RULES", "MARGIN", "SCORE", "TEST", "CARRY", "CARRY_STATE", "CARRY_TRADE"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One function's new code, or one constant's new value, as a tree's change."""

    file: str
    function: str
    site: Site
    tree: ast.FunctionDef


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", default=",".join(FILES))
    parser.add_argument("--functions", default="", help="only these, separated by commas")
    parser.add_argument("--share", type=float, default=1.0, help="of all mutants, drawn with --seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=12, help="that hypothesis draws a test")
    parser.add_argument("--again", type=Path, help="only the survivors that this file names")
    parser.add_argument("--out", type=Path, default=Path("mutants.jsonl"))
    options = parser.parse_args()
    modules = dict.fromkeys(test for name in options.files.split(",") for test in TESTS[name])
    paths = [ROOT / "tests" / "trading" / "simulator" / f"test_{name}.py" for name in modules]
    arguments = [*(str(path) for path in paths if path.exists()), "-k", f"not ({' or '.join(LEFT_OUT)})"]
    arguments += [
        "-q",
        "-s",
        "-o",
        "timeout=0",
        "-W",
        "ignore::RuntimeWarning",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
        "-p",
        "no:cacheprovider",
    ]
    sys.exit(pytest.main(arguments, plugins=[Run(options)]))


class Run:
    """Takes the place of pytest's own loop: once as it is, then once a mutant, each in a process of its own."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.seconds: dict[str, float] = {}
        self.kills: Counter[str] = Counter()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        interpret_kernels()
        np.seterr(divide="ignore", invalid="ignore")  # as the kernels do
        for item in session.items:
            shorten(item, self.options.examples)
        items = [item for item in session.items if self.passes(item)]
        print(f"{len(items)} tests, {sum(self.seconds[i.nodeid] for i in items):.0f} s in all")
        mutants = self.drawn()
        counts = {name: [0, 0] for name in self.options.files.split(",")}
        with self.options.out.open("w") as out:
            for mutant in mutants:
                asked = [i for i in items if is_asked(i, mutant.file)]
                asked.sort(key=lambda i: self.seconds[i.nodeid] / (1 + self.kills[i.name]))
                killer = killed_by(mutant, asked)
                self.kills[killer or ""] += 1
                counts[mutant.file][0] += 1
                counts[mutant.file][1] += killer is not None
                out.write(json.dumps(told(mutant, killer, len(asked))) + "\n")
                out.flush()
        print(json.dumps({"of": self.found, "run": len(mutants), "killed_of_file": counts}))
        return True

    def drawn(self) -> list[Mutant]:
        """The share asked for, in the order of the files."""
        only = set(filter(None, self.options.functions.split(",")))
        found = [
            m for name in self.options.files.split(",") for m in mutants_of(name) if not only or m.function in only
        ]
        self.found = len(found)
        if self.options.again:
            rows = [json.loads(line) for line in self.options.again.read_text().splitlines()]
            lived = {(r["at"], r["kind"], r["before"], r["after"]) for r in rows if r["survives"]}
            return [m for m in found if key(m) in lived]
        chance = random.Random(self.options.seed)
        return [m for m in found if chance.random() < self.options.share]

    def passes(self, item: pytest.Item) -> bool:
        """Whether a test passes, and soon, without a mutant."""
        started = time.perf_counter()
        reports = runtestprotocol(item, nextitem=None, log=False)
        seconds = self.seconds[item.nodeid] = time.perf_counter() - started
        fails = [r for r in reports if r.failed]
        if fails or seconds > SLOWEST_TEST_S:
            print(f"left out, {'fails' if fails else 'slow'} without a compiler: {item.nodeid} {seconds:.1f} s")
            if os.environ.get("MUTANTS_WHY") and fails:
                print(fails[0].longreprtext[-1500:])
            return False
        if os.environ.get("MUTANTS_WHY"):
            print(f"{seconds:.2f} {item.nodeid}")
        return True


def interpret_kernels() -> None:
    """Take the compiler from the functions under test, wherever they are known by name, and make records of rows."""
    targets = {f"trading.simulator.{name}" for name in FILES}
    for module in our_modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, CPUDispatcher) and value.py_func.__module__ in targets:
                setattr(module, name, value.py_func)
            elif isinstance(value, np.dtype) and name in RECORDS:
                setattr(module, name, np.dtype((np.record, value)))


def our_modules() -> list[ModuleType]:
    return [
        m
        for name, m in list(sys.modules.items())
        if name.split(".")[0] in ("trading", "tests", "ops") or "test_" in name
    ]


def is_asked(item: pytest.Item, file: str) -> bool:
    """Whether a test is one of a file's: of its modules, and of its simulator."""
    strangers = {"kernel": "carry", "position_kernel": "carry", "fills": "carry", "carry_kernel": "test_paper_equals"}
    if file in strangers and strangers[file] in item.name:
        return False
    return item.path.stem.removeprefix("test_") in TESTS[file]


def shorten(item: pytest.Item, examples: int) -> None:
    """Fewer examples, the same ones for every mutant, and no time lost on making a failure small."""
    function = getattr(item, "obj", None)
    own = getattr(function, "_hypothesis_internal_use_settings", None)
    if own is not None:
        function = getattr(function, "__func__", function)
        function._hypothesis_internal_use_settings = settings(
            own,
            max_examples=min(own.max_examples, examples),
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )


def mutants_of(name: str) -> list[Mutant]:
    """Every mutant of a file's functions."""
    found = functions_of((FOLDER / f"{name}.py").read_text())
    return [Mutant(name, function.name, site, function) for function in found for site in sites_of(function)]


def killed_by(mutant: Mutant, items: list[pytest.Item]) -> str | None:
    """The first test that fails on a mutant; None: it survives."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        killer = "no code"
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LIMIT_S)
            install(mutant)
            killer = next(
                (i.name for i in items if any(r.failed for r in runtestprotocol(i, nextitem=None, log=False))), ""
            )
            os.write(writer, killer.encode())
        finally:
            os._exit(0 if killer == "" else 1)
    os.close(writer)
    told_name = os.read(reader, 4096).decode()
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if status == 0:
        return None
    return told_name or "hangs or dies"


def install(mutant: Mutant) -> None:
    """Give the live function the mutant's code."""
    module = sys.modules[f"trading.simulator.{mutant.file}"]
    live: FunctionType = getattr(module, mutant.function)
    mutant.site.apply()
    tree = ast.fix_missing_locations(ast.Module([mutant.tree], []))
    path = str(FOLDER / f"{mutant.file}.py")
    code = compile(tree, path, "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True)
    room = dict(vars(module))
    exec(code, room)  # noqa: S102 - our own source, changed by one node
    live.__code__ = room[mutant.function].__code__


def key(mutant: Mutant) -> tuple[str, str, str, str]:
    site = mutant.site
    return f"{mutant.file}.py:{site.line} {mutant.function}", site.kind, site.before, site.after


def told(mutant: Mutant, killer: str | None, tests: int) -> dict[str, object]:
    """A mutant and its end, for a line of JSON."""
    at, kind, before, after = key(mutant)
    return {
        "survives": killer is None,
        "at": at,
        "kind": kind,
        "before": before,
        "after": after,
        "killed_by": killer,
        "tests": tests,
    }


if __name__ == "__main__":
    main()
