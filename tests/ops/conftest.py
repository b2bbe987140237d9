"""What every test of the whole lab may use."""

from __future__ import annotations

import asyncio
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ops.world import World, furnish, open_world
from trading.storage.home import Home

ASK_FOR_PROCESSES = (
    "ops.history.shelf",
    "ops.jobs.backup",
    "ops.jobs.evaluation",
    "ops.jobs.fills",
    "ops.jobs.parity",
    "ops.pictures.commission",
)


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A made-up market and its sandbox for all tests of a file; `SCALE` times as fast as life where the file has it."""
    opened = open_world(tmp_path_factory.mktemp("tape"), scale=getattr(request.module, "SCALE", 1.0))
    yield opened
    opened.close()


@pytest.fixture
def lab_home(tmp_path: Path, world: World) -> Home:
    """A home that points at the sandbox."""
    home = Home(tmp_path / "home").make()
    furnish(home, world.url)
    return home


@pytest.fixture(autouse=True)
def work_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """In tests that open a lab in their own process it starts none, which would be a second each for imports alone.

    A lab started as a process has them, and a test that sets `apart` back; what they are is in `test_apart.py`.
    """
    for name in ASK_FOR_PROCESSES:
        if name in sys.modules:
            monkeypatch.setattr(sys.modules[name], "apart", _in_this_process)


async def _in_this_process(work: Callable[..., Any], *args: object, **kwargs: object) -> Any:
    """As `ops.apart.apart`: what would travel is pickled all the same."""
    asked, words = pickle.loads(pickle.dumps((args, kwargs)))  # noqa: S301  # our own
    return pickle.loads(pickle.dumps(await asyncio.to_thread(work, *asked, **words)))  # noqa: S301  # our own
