"""What every test may use: the recorded data where it is there, a clean environment, a home of its own."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

import hypothesis
import pytest

from ops.door import ROOT, kernels_version
from trading.storage.home import Home

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # for the processes that tests start; as `./lab test` does
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".numba_cache" / kernels_version()))  # as `./lab test` does

IN_MEMORY = Path("/dev/shm")  # noqa: S108  # where it is a folder in memory, it is everybody's
ROOM_BYTES = 4_000_000_000
"""Several times what the whole suite leaves lying until its end."""


def in_memory() -> bool:
    """Whether scratch folders may lie in memory: there is room, and programs can be started from there."""
    try:
        there = os.statvfs(IN_MEMORY)
    except OSError:
        return False
    has_room = there.f_bavail * there.f_frsize >= ROOM_BYTES and os.access(IN_MEMORY, os.W_OK)
    return has_room and not there.f_flag & os.ST_NOEXEC


if "TMPDIR" not in os.environ and in_memory():
    # What the lab writes is fsynced, hundreds of thousands of times in all tests: on a disk that is minutes of waiting.
    os.environ["TMPDIR"] = str(IN_MEMORY)  # also for the processes that tests start
    tempfile.tempdir = None

# How long one example may take is no property of the lab; a busy machine takes more than the library's 0.2 s.
hypothesis.settings.register_profile("lab", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("lab")

DATA = Path(os.environ.get("LAB_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
"""Recorded Binance data beside the checkout; tests that need it skip by name where it is not."""

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no recorded data at {DATA}")

SECRETS = (
    "TELEGRAM_TOKEN",
    "TELEGRAM_CHAT_ID",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "BINANCE_API_KEY",
    "BINANCE_API_SECRET",
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key of the person who runs the tests reaches a test."""
    for name in (*SECRETS, "LIVE_TRADING", "KILL", "BINANCE_TESTNET", "LAB_HOME", "LEARNING_DB_URL", "MARKET_DB_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A lab's folders, empty."""
    return Home(tmp_path).make()


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """While tests are collected hardly anything becomes garbage, and to look for it took each worker 12 s."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What collecting made is no garbage: to look through it takes half a second, in which no event loop would turn."""
    gc.enable()
    # With all that frozen, the oldest generation is small, and the collector's own rule goes through it all the time.
    gc.set_threshold(20_000, 20, 20)
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """At the end of the process all of it is garbage again."""
    gc.unfreeze()


SLOW_FIRST = (
    "ops/test_demo.py",
    "ai_brain/test_paper_trading_engine.py",
    "ops/test_service_survives.py",
    "ops/test_bad_input.py",
    "ops/test_backtest.py",
    "trading/funding/test_desk_crashes.py",
    "trading/simulator/test_farm.py",
    "test_live_matrix.py",
    "ops/test_secrets.py",
    "ops/test_service.py",
    "ops/test_guardian.py",
    "ops/test_demo_download.py",
    "ops/test_stop_trading.py",
    "ops/test_approve_and_go_live.py",
    "ops/test_drill.py",
    "trading/simulator/test_executors.py",
    "ops/test_parity.py",
    "ops/test_ledger_first.py",
    "ops/test_several_symbols.py",
    "ops/test_going_live.py",
    "ops/test_monitor_bot.py",
    "trading/funding/test_desk_on_the_sandbox.py",
    "sandbox/exchange/test_process.py",
    "trading/simulator/test_bad_bars.py",
)
"""Files that take longest: begun last, one of them would keep a core busy while the others are done. Those that start
many processes or count a process's seconds do not all stand at the very beginning, where three would meet.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files first, the rest as they come."""
    rank = {f"tests/{name}": place for place, name in enumerate(SLOW_FIRST)}
    items.sort(key=lambda item: rank.get(item.nodeid.split("::")[0], len(rank)))
