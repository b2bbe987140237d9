"""Markets from a folder of recorded Parquet files.

The folder's layout: `spot_BTCUSDT_1h.parquet`, `perp_BTCUSDT_1m_2023-07.parquet` (open_time in ms, open, high, low,
close, volume), `funding_BTCUSDT.parquet` (funding_time, funding_rate, mark_price; null marks become nan).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trading.domain.clock import iso
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.market.columns import Columns
from trading.market.parquet import read_parquet, span_of
from trading.market.resample import resample
from trading.market.rolling import SECOND_MS
from trading.market.tape import Funding, Origin, Tape, make_tape

CANDLE = ("open_time", "open", "high", "low", "close", "volume")
SETTLEMENT = ("funding_time", "funding_rate", "mark_price")


def import_recorded(
    folder: Path, market: Market, symbol: str, interval: str, start_ms: int | None = None, end_ms: int | None = None
) -> Tape:
    """One market out of a folder of recorded files, origin `recorded`.

    The files of the interval itself are taken if they cover the stretch asked for; else those of the longest shorter
    interval that does, aggregated; else those that hold most of it. Several files of one interval are merged. A
    perpetual comes with its settled funding.

    Args:
        folder: Where the files are.
        market: Spot or perpetual.
        symbol: `BTCUSDT`.
        interval: Of the bars wanted.
        start_ms: Open time of the first bar; None: from the first recorded one.
        end_ms: Bars open before this; None: to the last recorded one.

    Raises:
        DataProviderError: no such folder, no file for the market, or no bar in the stretch.
    """
    name = f"{folder}: {market} {symbol} {interval}"
    if interval not in INTERVAL_MS:
        raise DataProviderError(f"{name}: use one of {', '.join(INTERVAL_MS)}")
    if not folder.is_dir():
        raise DataProviderError(f"{folder}: no such folder; give one with {market}_{symbol}_{interval}.parquet")
    sources = _sources(folder, market, symbol, interval)
    if not sources:
        have = sorted({found.group(1) for path in folder.glob("*.parquet") if (found := _NAMED.match(path.name))})
        raise DataProviderError(
            f"{name}: no file for it or a shorter interval; the folder has {', '.join(have) or 'none'}"
        )
    own, files = _best(sources, INTERVAL_MS[interval], start_ms, end_ms)
    span_ms = INTERVAL_MS[interval]
    # whole bars of the wanted interval: the stretch is cut at its edges
    columns = read_parquet(
        files,
        CANDLE,
        start=None if start_ms is None else -(-start_ms // span_ms) * span_ms,
        end=None if end_ms is None else -(-end_ms // span_ms) * span_ms,
    )
    if len(columns["open_time"]) == 0:
        raise DataProviderError(f"{name}: no bar between {_date(start_ms)} and {_date(end_ms)}; choose another stretch")
    funding = _funding(folder, market, symbol, columns, INTERVAL_MS[own])
    return resample(tape_of(columns, market, symbol, own, origin="recorded", funding=funding), interval)


def tape_of(
    columns: Columns, market: Market, symbol: str, interval: str, *, origin: Origin, funding: Funding | None = None
) -> Tape:
    """Candle columns as a tape; of candles with one open time the first is kept.

    Raises:
        DataProviderError: the candles make no tape; see `make_tape`.
    """
    times = np.asarray(columns["open_time"], dtype=np.int64)
    values = {name: np.asarray(columns[name], dtype=np.float64) for name in CANDLE[1:]}
    if (np.diff(times) <= 0).any():
        times, first = np.unique(times, return_index=True)
        values = {name: column[first] for name, column in values.items()}
    return make_tape(
        Tape(
            market,
            symbol,
            interval,
            origin,
            times,
            values["open"],
            values["high"],
            values["low"],
            values["close"],
            values["volume"],
            funding or Funding.none(),
            gaps=(),
            content_hash="",
        )
    )


def read_funding(path: Path, *, start_ms: int, end_ms: int) -> Funding:
    """Settlements in (start, end] of a recorded file; a mark that was not recorded is nan.

    Raises:
        DataProviderError: the file cannot be read.
    """
    columns = read_parquet([path], SETTLEMENT)
    times = _to_second(np.asarray(columns["funding_time"], dtype=np.int64))
    unique, first = np.unique(times, return_index=True)
    kept = first[(unique > start_ms) & (unique <= end_ms)]
    return Funding(
        times[kept],
        np.asarray(columns["funding_rate"], dtype=np.float64)[kept],
        np.asarray(columns["mark_price"], dtype=np.float64)[kept],
    )


_NAMED = re.compile(r"((?:spot|perp)_([A-Z0-9]+)_(\d+[mhd]))(?:_[^.]*)?\.parquet$")


def files_of(folder: Path, market: Market) -> list[tuple[Path, str, str]]:
    """Every file of a market in a recorded folder, with its symbol and interval."""
    named = ((path, _NAMED.match(path.name)) for path in sorted(folder.glob(f"{market}_*.parquet")))
    return [(path, found[2], found[3]) for path, found in named if found and found[3] in INTERVAL_MS]


def _sources(folder: Path, market: Market, symbol: str, interval: str) -> dict[str, list[Path]]:
    """Files by interval, longest first, of those the wanted interval can be made of."""
    found: dict[str, list[Path]] = {}
    for path, named, own in files_of(folder, market):
        if named == symbol and INTERVAL_MS[interval] % INTERVAL_MS[own] == 0:
            found.setdefault(own, []).append(path)
    return dict(sorted(found.items(), key=lambda item: -INTERVAL_MS[item[0]]))


def _best(
    sources: dict[str, list[Path]], span_ms: int, start_ms: int | None, end_ms: int | None
) -> tuple[str, list[Path]]:
    """The interval and its files that serve the stretch: the longest that covers it, else the one that holds most."""
    best, most_ms = next(iter(sources)), -1
    if start_ms is None and end_ms is None:
        return best, sources[best]
    for own, files in sources.items():
        spans = [span for path in files if (span := span_of(path, "open_time"))]
        if not spans:
            continue
        first_ms, end_of_data_ms = min(s[0] for s in spans), max(s[1] for s in spans) + INTERVAL_MS[own]
        from_ms = first_ms if start_ms is None else start_ms
        to_ms = end_of_data_ms if end_ms is None else end_ms
        wanted_bars = (to_ms - from_ms) / INTERVAL_MS[own]
        held_bars = sum(max(0, min(s[1], to_ms) - max(s[0], from_ms)) / INTERVAL_MS[own] for s in spans)
        covers = first_ms <= from_ms and end_of_data_ms >= to_ms - span_ms and held_bars > 0.9 * wanted_bars - 2
        if covers:
            return own, files
        held_ms = int(held_bars * INTERVAL_MS[own])
        if held_ms > most_ms:
            best, most_ms = own, held_ms
    return best, sources[best]


def _funding(folder: Path, market: Market, symbol: str, columns: Columns, interval_ms: int) -> Funding:
    path = folder / f"funding_{symbol}.parquet"
    if market is Market.SPOT or not path.exists():
        return Funding.none()
    times = columns["open_time"]
    return read_funding(path, start_ms=int(times[0]), end_ms=int(times[-1]) + interval_ms)


def _to_second(times_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    return (times_ms + SECOND_MS // 2) // SECOND_MS * SECOND_MS


def _date(ms: int | None) -> str:
    return "the end" if ms is None else iso(ms)


def join(tapes: Sequence[Tape]) -> Tape:
    """Stretches of one market as one tape; where they overlap the earlier stretch wins.

    Raises:
        DataProviderError: they are of different markets or intervals, or there are none.
    """
    if not tapes or len({(tape.market, tape.symbol, tape.interval) for tape in tapes}) != 1:
        raise DataProviderError("join: stretches of one market and interval are needed, at least one")
    first = tapes[0]
    columns: Columns = {
        "open_time": np.concatenate([tape.open_time_ms for tape in tapes]),
        "open": np.concatenate([tape.open for tape in tapes]),
        "high": np.concatenate([tape.high for tape in tapes]),
        "low": np.concatenate([tape.low for tape in tapes]),
        "close": np.concatenate([tape.close for tape in tapes]),
        "volume": np.concatenate([tape.volume_base for tape in tapes]),
    }
    times, kept = np.unique(np.concatenate([tape.funding.time_ms for tape in tapes]), return_index=True)
    funding = Funding(
        times,
        np.concatenate([tape.funding.rate for tape in tapes])[kept],
        np.concatenate([tape.funding.mark_price for tape in tapes])[kept],
    )
    return tape_of(columns, first.market, first.symbol, first.interval, origin=first.origin, funding=funding)
