"""The `lab` command before anything is installed: one line says what is missing, and a second call starts at once."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "readlink", "dirname", "cat", "sha256sum", "cut", "flock", "grep", "awk", "rm", "env")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout's `lab` and locks, and a PATH with only what every Debian has."""
    for name in ("lab", "requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def run(bare: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [bare / "lab", *words], env={"PATH": str(bare / "bin")}, capture_output=True, text=True, timeout=30
    )


def put_python(bare: Path, *, version: str, has_venv: bool) -> None:
    """A `python3` that knows its version, and perhaps has no venv, as on a fresh Debian."""
    major, minor = version.split(".")
    script = f"""#!/bin/bash
case "$2" in
    *ensurepip*) exit {0 if has_venv else 1} ;;
    *python%d.%d-venv*) echo "python{version}-venv" ;;
    *version_info*) exec {sys.executable} -c 'import sys; sys.exit(not (3, 11) <= ({major}, {minor}) < (3, 15))' ;;
esac
"""
    path = bare / "bin" / "python3"
    path.write_text(script)
    path.chmod(0o755)


def test_without_venv_one_line_names_the_package_to_install(bare: Path) -> None:
    put_python(bare, version="3.11", has_venv=False)
    done = run(bare, "demo")
    assert done.returncode == 2
    assert done.stderr == "lab: python3 has no venv module; install it: sudo apt install python3.11-venv\n"
    assert not (bare / ".venv").exists()


def test_a_python_too_old_is_told_in_one_line(bare: Path) -> None:
    put_python(bare, version="3.9", has_venv=True)
    done = run(bare, "demo")
    assert done.returncode == 2
    assert done.stderr.startswith("lab: no Python 3.11 to 3.14 found; install one")
    assert done.stderr.count("\n") == 1


CHECKERS = ("ruff", "mypy", "lint-imports", "shellcheck", "mkdocs")


def put_checkers(bare: Path, *, failing: str = "") -> None:
    """A checkout that is set up, whose checkers all agree but one."""
    tools, kernels = bare / ".venv" / "bin", bare / "src" / "trading" / "simulator"
    for folder in (tools, kernels):
        folder.mkdir(parents=True)
    (kernels / "step.py").touch()
    for name in ("python", *CHECKERS):
        (tools / name).write_text(f"#!/bin/bash\nexit {int(name == failing)}\n")
        (tools / name).chmod(0o755)
    made_from = (bare / "requirements-dev.lock").read_bytes() + (bare / "pyproject.toml").read_bytes()
    (bare / ".venv" / ".stamp-requirements-dev.lock").write_text(hashlib.sha256(made_from).hexdigest())


@pytest.mark.parametrize("failing", ["", *CHECKERS])
def test_a_check_fails_when_any_of_its_checkers_does(bare: Path, failing: str) -> None:
    put_checkers(bare, failing=failing)
    done = run(bare, "check", "--no-tests")
    assert done.returncode == int(bool(failing)), done.stderr


@pytest.mark.parametrize(
    ("tag", "fails"),
    [
        ('<script src="https://cdn.example.org/x.js"></script>', True),
        ('<link rel="stylesheet" href="//fonts.example.org/a.css">', True),
        ('<img alt="" src="https://example.org/a.png">', True),
        ('<a href="https://example.org/">elsewhere</a> <script src="assets/x.js"></script>', False),
    ],
)
def test_a_document_that_loads_something_from_elsewhere_fails_the_check(bare: Path, tag: str, fails: bool) -> None:
    put_checkers(bare)
    (bare / "site").mkdir()
    (bare / "site" / "index.html").write_text(f"<html>{tag}</html>")
    done = run(bare, "check", "--no-tests")
    assert done.returncode == int(fails), done.stderr
    assert ("loads that from elsewhere" in done.stderr) is fails


def test_a_site_is_built_and_a_flag_that_it_does_not_know_is_one_line(bare: Path) -> None:
    put_checkers(bare)
    assert run(bare, "site").stdout == f"open {bare}/site/index.html\n"
    refused = run(bare, "site", "--publish")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


@pytest.mark.skipif(not (ROOT / ".venv").exists(), reason="this checkout was not set up by ./lab")
def test_a_checkout_that_is_set_up_starts_without_a_network() -> None:
    environment = {**os.environ, "PIP_NO_INDEX": "1", "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = subprocess.run([ROOT / "lab", "--help"], env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert "demo" in done.stdout
