"""`./lab history import`: recorded files onto the shelf; who else was there says why candles are missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ops.environment import find_home
from ops.flags import interval_of, symbol_of
from ops.history.words import lines_of_import
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, SettingsError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.market.columns import Columns
from trading.market.gap_ledger import Hole, Witness, holes_in
from trading.market.history_books import GapLedger, gaps_file, write_ledger
from trading.market.importers import files_of, import_recorded
from trading.market.parquet import read_parquet
from trading.market.series import CANDLE, VOLUME, Series
from trading.market.store import TapeStore
from trading.market.tape import Tape

WITNESSES = 4
"""Most other series that are asked about the holes; those of the same symbol come first."""


def run_import(folder: Path, symbol: str, interval: str) -> int:
    """Import recorded files of both markets into the store; one of them may be missing.

    Raises:
        SettingsError: a flag is wrong.
        DataProviderError: the folder has neither market, or a file is damaged.
    """
    if Path(symbol).is_dir() and not folder.is_dir():
        raise SettingsError(f"folder {str(folder)!r}, symbol {symbol!r}: the folder comes first, then the symbol")
    symbol, interval = symbol_of(symbol), interval_of(interval)
    if not folder.is_dir():
        raise DataProviderError(f"{folder}: no such folder; give one with spot_{symbol}_{interval}.parquet")
    root = find_home().tapes
    store = TapeStore(root)
    there = [market for market in Market if any(folder.glob(f"{market}_{symbol}_*.parquet"))]
    for market in there or [Market.SPOT]:
        tape = import_recorded(folder, market, symbol, interval)
        saved = store.save(tape)
        holes = holes_of(tape, folder)
        ledger = gaps_file(root / "ledger", Series(market.value), symbol, interval)
        if not ledger.exists():  # one that a fetch has written knows more
            write_ledger(ledger, GapLedger(((tape.start_ms, tape.end_ms),), Clock().now_ms(), tuple(holes)))
        for line in lines_of_import(tape, saved, holes):
            print(line)
    for market in Market:
        if market not in there:
            print(f"{market} {symbol}: no file in {folder}")
    return 0


def holes_of(tape: Tape, folder: Path) -> list[Hole]:
    """Every hole of a tape, judged by what else the folder has of its market."""
    values = (tape.open_time_ms, tape.open, tape.high, tape.low, tape.close, tape.volume_base)
    columns: Columns = dict(zip((*CANDLE, VOLUME), values, strict=True))
    witnesses = list(_witnesses(tape, folder)) if tape.gaps else []
    return holes_in(columns, tape.interval_ms, [(tape.start_ms, tape.end_ms)], witnesses=witnesses)


def _witnesses(tape: Tape, folder: Path) -> Iterator[Witness]:
    """Other series of the folder that were there at the tape's gaps."""
    first_ms, last_ms = tape.gaps[0].first_missing_ms, tape.gaps[-1].first_missing_ms
    found = 0
    others = [one for one in files_of(folder, tape.market) if one[1:] != (tape.symbol, tape.interval)]
    for path, symbol, interval in sorted(others, key=lambda one: (one[1] != tape.symbol, -INTERVAL_MS[one[2]], one[0])):
        times = np.asarray(read_parquet([path], ("open_time",))["open_time"], dtype=np.int64)
        if found == WITNESSES or not len(times) or times[0] > last_ms or times[-1] < first_ms:
            continue
        found += 1
        name, span_ms = f"{tape.market} {symbol} {interval}", INTERVAL_MS[interval]
        same = symbol == tape.symbol
        yield Witness(name, times, span_ms, int(times[0]), int(times[-1]) + span_ms, is_same_market=same)
