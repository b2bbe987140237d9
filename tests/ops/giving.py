"""Ways to hand something wrong to the lab, each for real: a command typed, a file put in its place, a room asked."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import typer

from ops.cli import told
from ops.history.recorded import run_import
from ops.judgement.backtest import run_backtest
from ops.run import run_doctor
from trading.domain.errors import TradingEngineError
from trading.market.importers import CANDLE
from trading.market.parquet import write_parquet
from trading.storage.home import Home

CHECKOUT = Path(__file__).resolve().parents[2]
START_MS, HOUR_MS = 1_704_067_200_000, 3_600_000
NO_THESIS = '{"ideas": [{"name": "Dips again", "type": "momentum", "timeframe": "1h"}]}'
DIPS = {
    "id": "mr-20240601-000000", "name": "Dips", "type": "mean_reversion",
    "market": {"exchange": "binance", "symbol": "BTC/USDT:USDT", "timeframe": "1h"},
    "parameters": {
        "entry_long": ["rsi(14) < 28"], "entry_short": [], "exit_long": ["rsi(14) > 55"], "exit_short": [],
        "filters": [], "risk": {"position_pct": 5, "leverage": 1, "stop_loss_atr": 2, "take_profit_atr": None,
                                "trailing_atr": None, "max_hold_bars": 48}},
    "performance": {"backtest": {}, "dry_run": {}, "live": {}}, "status": "testing", "stage": "generated",
    "created_at": "2024-06-01T00:00:00Z", "approved_at": None,
    "origin": {"author": "test", "thesis": "panic passes"}, "history": [],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """What the lab answered."""

    message: str
    code: int | None
    """Exit code; None: nothing ends, the running lab goes on without it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A home of its own, and a folder outside it, for one case."""

    home: Home
    folder: Path


Give = Callable[[Place], Told]


@dataclass(frozen=True, slots=True)
class Case:
    """One wrong thing."""

    given: str
    where: str
    give: Give


# How things are given


def command(work: Callable[[], int], *, also: bool = False) -> Told:
    """A command's work, as `./lab` runs it; `also`: what it printed counts, because it answers no on its screen."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            told(work)
        except typer.Exit as end:
            code = end.exit_code
    return Told((err.getvalue() or (out.getvalue() if also else "")).strip(), code)


def typed(place: Place, *words: str, program: str = "ops.cli", home: Path | None = None) -> Told:
    """A command line, typed; the frame that Typer draws around a usage error is taken off."""
    environment = {**os.environ, "LAB_HOME": str(home or place.home.root), "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", program, *words], env=environment, cwd=place.folder, capture_output=True, text=True
    )
    lines = [line.strip("│ ") for line in done.stderr.splitlines() if not re.match(r"Usage:|Try |[╭╰]", line)]
    return Told("\n".join(line for line in lines if line), done.returncode)


def raised(work: Callable[[], object]) -> Told:
    """What a room answers while the lab runs: an error with a name, dealt with, and on it goes."""
    try:
        work()
    except TradingEngineError as error:
        return Told(str(error), None)
    return Told("", None)


def at_start(work: Callable[[], object]) -> Told:
    """What stands in the way of a start."""

    def start() -> int:
        work()
        return 0

    return command(start)


def spec_file(text: str) -> Give:
    """A strategy file with this content, backtested."""

    def give(place: Place) -> Told:
        path = place.folder / "mine.json"
        path.write_text(text)
        return command(lambda: run_backtest(str(path), None, None, None))

    return give


def with_rule(rule: str) -> Give:
    """A strategy file whose entry rule is this."""
    return spec_file(json.dumps({**DIPS, "parameters": {**DIPS["parameters"], "entry_long": [rule]}}))  # type: ignore[dict-item]


def with_risk(**changed: object) -> Give:
    """A strategy file with other risk parameters."""
    parameters = dict(DIPS["parameters"])  # type: ignore[call-overload]
    parameters["risk"] = {**parameters["risk"], **changed}
    return spec_file(json.dumps({**DIPS, "parameters": parameters}))


def settings(content: str | bytes) -> Give:
    """A `lab.yaml` with this content, read by the doctor."""

    def give(place: Place) -> Told:
        place.home.settings_file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return command(lambda: run_doctor(offline=True))

    return give


def secrets(content: str, *, mode: int = 0o600) -> Give:
    """A `.env` with this content, read by the doctor."""

    def give(place: Place) -> Told:
        place.home.env_file.write_text(content)
        place.home.env_file.chmod(mode)
        return command(lambda: run_doctor(offline=True))

    return give


def state_file(name: str, content: str, work: Callable[[Home], object]) -> Give:
    """A file of state with this content, met at the start."""

    def give(place: Place) -> Told:
        path = place.home.state / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        return at_start(lambda: work(place.home))

    return give


def tape(**columns: list[float]) -> Give:
    """A folder with one recorded file in which these columns are other than they should be."""

    def give(place: Place) -> Told:
        bars = {"open_time": START_MS + HOUR_MS * np.arange(5, dtype=np.int64)}
        bars |= {"open": np.full(5, 100.0), "high": np.full(5, 101.0), "low": np.full(5, 99.0)}
        bars |= {"close": np.full(5, 100.0), "volume": np.full(5, 3.0)}
        for name, values in columns.items():
            bars[name] = np.array(values, dtype=bars[name].dtype)
        write_parquet(place.folder / "spot_BTCUSDT_1h.parquet", {name: bars[name] for name in CANDLE})
        return command(lambda: run_import(place.folder, "BTCUSDT", "1h"))

    return give
