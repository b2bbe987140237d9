"""The hash that ties evidence to code covers every module whose change changes a result: found by their imports."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ai_brain.evidence.code_version import code_files
from trading.simulator.code_version import files_sha256, simulator_files

ROOT = Path(__file__).resolve().parents[3]
JUDGES = ("ai_brain.campaign", "ai_brain.strategy_evaluator")
SIMULATES = tuple(f"trading.simulator.{name}" for name in ("simulate", "carry", "replay", "population"))

NO_RESULT_RESTS_ON = {
    "ai_brain.learning_db": "keeps what is given to it, or fails",
    "trading.domain.clock": "the time of day, which is in no number; and times as text",
    "trading.domain.counted": "plurals of messages",
    "trading.domain.errors": "what is raised ends the test",
    "trading.domain.venue": "protocols, and the names of exchanges",
    "trading.market.importers": "names of columns in files; the made-up market of a fingerprint is in no file",
    "trading.market.parquet": "the same",
    "trading.storage.checked": "files: what is written is what was given",
    "trading.storage.files": "files",
    "trading.storage.home": "names of folders",
}
"""Imported by what judges, and not hashed: why not. What they import is not followed."""


def file_of(module: str) -> Path | None:
    for top in (ROOT / "src", ROOT):
        path = top.joinpath(*module.split("."))
        for found in (path.with_suffix(".py"), path / "__init__.py"):
            if found.is_file():
                return found
    return None


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports by relation; this test reads whole names"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def needed(*modules: str) -> set[str]:
    """These and all of ours that they import, but for what no result rests on; packages' own files have no code."""
    found, left = set[str](), list(modules)
    while left:
        name = left.pop()
        path = None if name in found else file_of(name)
        if path is not None and name.split(".")[0] in ("ai_brain", "trading"):
            found.add(name)
            left += [] if name in NO_RESULT_RESTS_ON else imports(path)
    return {name for name in found if (path := file_of(name)) is not None and path.name != "__init__.py"}


@pytest.mark.parametrize(
    ("hashed", "roots"), [(code_files, JUDGES), (simulator_files, SIMULATES)], ids=["evidence", "simulator"]
)
def test_every_module_that_a_result_rests_on_is_in_its_hash(
    hashed: Callable[[], list[Path]], roots: tuple[str, ...]
) -> None:
    met = needed(*roots)
    assert {*roots} <= met
    covered = set(hashed())
    missing = {name for name in met - NO_RESULT_RESTS_ON.keys() if file_of(name) not in covered}
    assert not missing, "add them to code_version.py, or say in NO_RESULT_RESTS_ON why no result rests on them"


def test_what_is_said_to_change_no_result_is_met_and_hashed_nowhere() -> None:
    assert NO_RESULT_RESTS_ON.keys() <= needed(*JUDGES)
    assert not {file_of(name) for name in NO_RESULT_RESTS_ON} & set(code_files())


@pytest.mark.parametrize("name", ["tape", "campaign", "rule_numbers", "funding_schedule", "synthetic", "market"])
def test_a_changed_module_is_other_code(name: str, tmp_path: Path) -> None:
    files = code_files()
    before = files_sha256(files)
    (place,) = [n for n, path in enumerate(files) if path.name == f"{name}.py"]
    changed = tmp_path / files[place].name
    changed.write_bytes(files[place].read_bytes() + b"\n# another\n")
    assert files_sha256([*files[:place], changed, *files[place + 1 :]]) != before


def test_packages_have_no_code_of_their_own() -> None:
    for package in ("ai_brain", "ai_brain.evidence", "trading", "trading.domain", "trading.market"):
        path = file_of(package)
        assert path is not None
        assert len(ast.parse(path.read_bytes()).body) <= 1, f"{package}: only what it is, in words"
