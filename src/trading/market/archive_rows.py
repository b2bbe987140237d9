"""What the zips of Binance's public archive hold, as columns: stamps in ms or µs, with a header or without. Pure.

Spot files changed from ms to µs on 2025-01-01 and have no header; USD-M files have one since 2022.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile

import numpy as np
from numpy.typing import NDArray

from trading.domain.errors import DataProviderError
from trading.market.columns import Columns
from trading.market.rolling import SECOND_MS
from trading.market.tape import Funding

CANDLE_CELLS = 12
"""Of a candle's row; the last one means nothing, the seventh is the close time."""
SETTLEMENT_CELLS = 3
MICROSECONDS_FROM = 100_000_000_000_000
"""A stamp this large is in microseconds."""
LARGEST_CSV_BYTES = 1 << 30
"""Of one zip unpacked; a month of minutes is 6 MB."""
_KEPT = {
    "open_time": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5,
    "quote_volume": 7, "trades": 8, "taker_buy_volume": 9, "taker_buy_quote_volume": 10,
}  # fmt: skip
_NUMBER = re.compile(rb"-?[\d.]+(?:[eE][-+]?\d+)?,")


def candles_of(content: bytes, where: str, *, with_volume: bool = True) -> Columns:
    """The candles of a zip: open_time in ms, prices, and where there are trades volume in base, in quote, and counts.

    Args:
        content: The zip.
        where: Names it in errors.
        with_volume: False for mark prices and premium, whose other cells mean nothing.

    Raises:
        DataProviderError: not a zip of candles; the archive's own "no such file" answer is named as such.
    """
    rows = _in_order(_numbers(content, where, cells=CANDLE_CELLS))
    names = list(_KEPT) if with_volume else list(_KEPT)[:5]
    columns: Columns = {name: np.ascontiguousarray(rows[:, _KEPT[name]]) for name in names}
    columns["open_time"] = milliseconds(rows[:, 0])
    return columns


def settlements_of(content: bytes, where: str) -> Funding:
    """The settlements of a zip: calc_time, interval in hours, rate. It carries no mark prices.

    Raises:
        DataProviderError: not a zip of settlements.
    """
    rows = _numbers(content, where, cells=SETTLEMENT_CELLS)
    times = (milliseconds(rows[:, 0]) + SECOND_MS // 2) // SECOND_MS * SECOND_MS
    unique, first = np.unique(times, return_index=True)
    return Funding(unique, rows[first, 2], np.full(len(unique), np.nan))


def milliseconds(stamps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Stamps in ms or µs as ms; below 2**53 they are exact."""
    exact = stamps.astype(np.int64)
    return np.where(exact >= MICROSECONDS_FROM, exact // 1000, exact)


def unzipped(content: bytes, where: str) -> bytes:
    """The one CSV of a zip.

    Raises:
        DataProviderError: not a zip of one CSV; the archive's own "no such file" answer is named as such.
    """
    if b"NoSuchKey" in content[:1000]:
        raise DataProviderError(f"{where}: the archive has no such file; it starts later, or the month is not out yet")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as box:
            entries = [entry for entry in box.infolist() if entry.filename.endswith(".csv")]
            if len(entries) != 1:
                raise DataProviderError(f"{where}: the zip holds {box.namelist()}, expected one CSV; download it again")
            if entries[0].file_size > LARGEST_CSV_BYTES:
                raise DataProviderError(f"{where}: {entries[0].file_size} bytes unpacked: not a file of the archive")
            return box.read(entries[0])
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DataProviderError(f"{where}: not a zip ({content[:24]!r}); download it again") from error


def _in_order(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows by time, those that are there twice, equal in every cell, once: some zips of the archive have such.

    Two that differ stay both, for the store to refuse.
    """
    if (np.diff(rows[:, 0]) > 0).all():
        return rows
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    is_double = (rows[1:] == rows[:-1]).all(axis=1)
    return rows[np.concatenate(([True], ~is_double))]


def _numbers(content: bytes, where: str, *, cells: int) -> NDArray[np.float64]:
    """(n, cells) of the CSV in a zip."""
    text = unzipped(content, where)
    if not _NUMBER.match(text):
        _, _, text = text.partition(b"\n")  # a header
    text = text.replace(b"\r", b"").strip(b"\n")
    if not text:
        raise DataProviderError(f"{where}: the zip's file has no rows; download it again")
    lines = text.count(b"\n") + 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # how NumPy tells of a cell that is no number
            values = np.fromstring(text.replace(b"\n", b",").decode("ascii"), dtype=np.float64, sep=",")
    except (DeprecationWarning, ValueError) as error:
        raise DataProviderError(f"{where}: not rows of numbers: {error}; download it again") from error
    if len(values) != lines * cells:
        raise DataProviderError(
            f"{where}: {len(values)} numbers in {lines} rows, expected {cells} a row; download it again"
        )
    return values.reshape(lines, cells)
