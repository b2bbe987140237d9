"""Recorded bars from Parquet files, as the sandbox uses them.

A block of bars is one float64 array of six rows (open time in ms, open, high, low, close, volume), oldest first;
times below 2**53 are exact in it. A gap in the files stays a gap. The unpacking runs in a short-lived process
(`python -m sandbox.exchange.tape`), so that DuckDB's memory is gone before the exchange opens.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sandbox.exchange.errors import SandboxError

Block = NDArray[np.float64]

HOUR_MS = 3_600_000
STEPS = {"1m": 60_000, "5m": 300_000, "1h": HOUR_MS}
"""Intervals the files come in, finest first, milliseconds."""
TIME, OPEN, HIGH, LOW, CLOSE, VOLUME = range(6)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the tape holds of one symbol on one market."""

    step_ms: int
    """Interval of `base`, milliseconds."""
    base: Block
    """(6, n) the finest bars that cover the start."""
    hours: Block
    """(6, n) hourly bars: from the 1h file where `base` does not reach, else summed up from it."""


@dataclass(frozen=True, slots=True)
class Tape:
    """What the tape holds of one symbol."""

    symbol: str
    spot: Recorded | None
    perp: Recorded | None
    mark: Block | None
    """(6, n) hourly mark prices, volume 0; None: not recorded, the perpetual's own price stands in."""
    funding: Block
    """(2, n) settlement time in ms and rate (fraction of notional), oldest first; n may be 0."""


def unpack(folder: Path, symbols: Sequence[str], start_ms: int) -> list[Tape]:
    """Load symbols, each in a process of its own, and map the results.

    Raises:
        SandboxError: there is nothing to trade, or a file cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="sandbox-tape-") as scratch:
        running: list[tuple[Path, subprocess.Popen[str]]] = []
        for symbol in symbols:
            target = Path(scratch) / symbol
            target.mkdir()
            command = [sys.executable, "-m", "sandbox.exchange.tape", str(folder), symbol, str(start_ms), str(target)]
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own module
            running.append((target, process))
        troubles = [process.communicate()[1] for _, process in running]
        for (_, process), trouble in zip(running, troubles, strict=True):
            if process.returncode != 0:
                raise SandboxError(trouble.strip().rsplit("\n", 1)[-1] or f"tape {folder}: cannot be read")
        return [_mapped(target, target.name) for target, _ in running]  # the mappings outlive the files


def load(folder: Path, symbol: str, start_ms: int) -> Tape:
    """Load a symbol in this process.

    Raises:
        SandboxError: no bars of the symbol cover the start, or a file is broken.
    """
    if not folder.is_dir():
        raise SandboxError(f"tape {folder}: no such folder; give one with spot_{symbol}_1h.parquet and the like")
    spot, perp = (_recorded(folder, market, symbol, start_ms) for market in ("spot", "perp"))
    if spot is None and perp is None:
        raise SandboxError(
            f"tape {folder}: no bars of {symbol} cover --start {start_ms}; have {_spans(folder, symbol)}; "
            "choose a start inside one of them"
        )
    mark_file = folder / f"mark_{symbol}_1h.parquet"
    mark = _bars([mark_file]) if mark_file.exists() else None
    return Tape(symbol, spot, perp, mark, _funding(folder / f"funding_{symbol}.parquet"))


def resample_hours(bars: Block) -> Block:
    """Hourly bars of finer ones; an hour with a gap holds what there is."""
    if bars.shape[1] == 0:
        return bars
    hour = bars[TIME] // HOUR_MS
    first = np.flatnonzero(np.r_[True, hour[1:] != hour[:-1]])
    return group(bars, first, hour[first] * HOUR_MS)


def group(bars: Block, first: NDArray[np.int64], times: NDArray[np.float64]) -> Block:
    """Bars summed up in runs that begin at `first` and are named `times`."""
    last = np.r_[first[1:], bars.shape[1]] - 1
    return np.vstack(
        (
            times,
            bars[OPEN, first],
            np.maximum.reduceat(bars[HIGH], first),
            np.minimum.reduceat(bars[LOW], first),
            bars[CLOSE, last],
            np.add.reduceat(bars[VOLUME], first),
        )
    )


def _recorded(folder: Path, market: str, symbol: str, start_ms: int) -> Recorded | None:
    for name, step_ms in STEPS.items():
        files = _covering(sorted(folder.glob(f"{market}_{symbol}_{name}*.parquet")), start_ms, step_ms)
        if not files:
            continue
        base = _bars(files)
        coarse = folder / f"{market}_{symbol}_1h.parquet"
        hours = resample_hours(base) if step_ms < HOUR_MS else base
        if step_ms < HOUR_MS and coarse.exists():
            # A base that begins inside an hour does not know that hour.
            whole = hours[:, hours[TIME] >= base[TIME, 0]]
            older = _bars([coarse])
            older = older[:, older[TIME] < whole[TIME, 0]] if whole.shape[1] else older
            hours = np.ascontiguousarray(np.hstack((older, whole)))
        return Recorded(step_ms, base, hours)
    return None


def _covering(files: list[Path], start_ms: int, step_ms: int) -> list[Path]:
    """The files around the start that follow one another within a day."""
    spans = sorted((*_span(file), file) for file in files)
    at = next((i for i, (first, last, _) in enumerate(spans) if first <= start_ms < last + step_ms), None)
    if at is None:
        return []
    low = high = at
    while low > 0 and spans[low][0] - spans[low - 1][1] <= 86_400_000:
        low -= 1
    while high + 1 < len(spans) and spans[high + 1][0] - spans[high][1] <= 86_400_000:
        high += 1
    return [file for _, _, file in spans[low : high + 1]]


def _span(file: Path) -> tuple[int, int]:
    """First and last open time of a file."""
    row = _query("min(open_time) as first, max(open_time) as last", file)
    first, last = float(row[0][0]), float(row[1][0])
    if not (np.isfinite(first) and np.isfinite(last)):
        raise SandboxError(f"tape {file}: holds no bars; remove it or record it again")
    return int(first), int(last)


def _bars(files: list[Path]) -> Block:
    parts = []
    for file in files:
        volume = "0.0" if file.name.startswith("mark_") else "volume"
        columns = f"open_time, open, high, low, close, {volume}"
        parts.append(np.vstack(_query(columns, file)))
    bars = np.ascontiguousarray(np.hstack(parts))
    _check(bars, files[0])
    return bars


def _check(bars: Block, file: Path) -> None:
    wrong = np.flatnonzero(
        ~np.isfinite(bars).all(axis=0)
        | (bars[LOW] <= 0)
        | (bars[HIGH] < np.maximum(bars[OPEN], bars[CLOSE]))
        | (bars[LOW] > np.minimum(bars[OPEN], bars[CLOSE]))
        | np.r_[False, np.diff(bars[TIME]) <= 0]
    )
    if wrong.size:
        i = int(wrong[0])
        raise SandboxError(
            f"tape {file}: bar {i} at {bars[TIME, i]:.0f}: open {bars[OPEN, i]} high {bars[HIGH, i]} "
            f"low {bars[LOW, i]} close {bars[CLOSE, i]}: not a bar, or not after the one before; record the file again"
        )


def _funding(file: Path) -> Block:
    if not file.exists():
        return np.empty((2, 0))
    return np.ascontiguousarray(np.vstack(_query("funding_time, funding_rate", file)))


def _query(columns: str, file: Path) -> list[NDArray[np.float64]]:
    """Columns of a file, oldest first."""
    import duckdb

    order = "" if "min(" in columns else " order by 1"
    try:
        with duckdb.connect(config={"threads": 1}) as connection:
            found = connection.execute(f"select {columns} from read_parquet(?){order}", [str(file)]).fetchnumpy()  # noqa: S608 - column names of ours
    except duckdb.Error as error:
        raise SandboxError(f"tape {file}: {str(error).splitlines()[0]}; is it a Parquet file of bars?") from error
    return [np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan) for column in found.values()]


def _spans(folder: Path, symbol: str) -> str:
    files = sorted(f for m in ("spot", "perp") for f in folder.glob(f"{m}_{symbol}_*.parquet"))
    return ", ".join(f"{f.stem} {_span(f)[0]}..{_span(f)[1]}" for f in files) or "no file of that symbol"


def _mapped(scratch: Path, symbol: str) -> Tape:
    steps: dict[str, int] = json.loads((scratch / "steps.json").read_text())

    def block(name: str) -> Block:
        mapped: Block = np.load(scratch / f"{name}.npy", mmap_mode="r")
        return mapped

    sides = {m: Recorded(steps[m], block(f"{m}-base"), block(f"{m}-hours")) for m in ("spot", "perp") if m in steps}
    mark = block("mark") if "mark" in steps else None
    return Tape(symbol, sides.get("spot"), sides.get("perp"), mark, np.load(scratch / "funding.npy"))


def _write(tape: Tape, scratch: Path) -> None:
    steps: dict[str, int] = {}
    for market, recorded in (("spot", tape.spot), ("perp", tape.perp)):
        if recorded is not None:
            steps[market] = recorded.step_ms
            np.save(scratch / f"{market}-base.npy", recorded.base)
            np.save(scratch / f"{market}-hours.npy", recorded.hours)
    if tape.mark is not None:
        steps["mark"] = HOUR_MS
        np.save(scratch / "mark.npy", tape.mark)
    np.save(scratch / "funding.npy", tape.funding)
    (scratch / "steps.json").write_text(json.dumps(steps))


def main(arguments: list[str]) -> int:
    """`FOLDER SYMBOL START_MS SCRATCH`: unpack one symbol into NumPy files."""
    try:
        tape = load(Path(arguments[0]), arguments[1], int(arguments[2]))
    except SandboxError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    _write(tape, Path(arguments[3]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
