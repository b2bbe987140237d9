"""Which files of Binance's public archive hold a stretch of history. Pure.

Months that are over lie in monthly zips, which appear some days after the month's end; every day that is over lies in a
daily one. Settlements come by the month only, ticks are taken by the day (a month of them is gigabytes).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from trading.domain.instrument import Market
from trading.market.series import Series

BASE_URL = "https://data.binance.vision"
_DAY, _MONTH = np.timedelta64(1, "D"), np.timedelta64(1, "M")
_CANDLES = {
    Series.SPOT: ("spot", "klines"),
    Series.PERP: ("futures/um", "klines"),
    Series.MARK: ("futures/um", "markPriceKlines"),
    Series.PREMIUM: ("futures/um", "premiumIndexKlines"),
}
_MARKETS = {Market.SPOT: "spot", Market.PERP: "futures/um"}


class Ticks(StrEnum):
    """Tick archives, by the archive's own names."""

    AGG_TRADES = "aggTrades"
    BOOK_TICKER = "bookTicker"
    """Best bid and ask; of futures only, and of 2023 and 2024 only in the public archive."""


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One zip of the archive."""

    path: str
    """Below the base URL, without a leading slash."""
    first_ms: int
    """The first moment it covers, UTC milliseconds."""
    end_ms: int
    """The first moment after it."""
    days: tuple[ArchiveFile, ...] = ()
    """Of a month: the daily zips that hold the same, within the stretch asked for."""

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rsplit("/", 1)[-1]


def candle_files(
    series: Series, symbol: str, interval: str, start_ms: int, end_ms: int, *, now_ms: int
) -> list[ArchiveFile]:
    """The zips of candles that open in [start, end): past months, and days of the running month up to yesterday."""
    market, kind = _CANDLES[series]

    def file(period: str, date: np.datetime64) -> ArchiveFile:
        folder = f"data/{market}/{period}/{kind}/{symbol}/{interval}"
        return _file(f"{folder}/{symbol}-{interval}-{date}.zip", date, _DAY if period == "daily" else _MONTH)

    first, last = (_day_of(ms) for ms in (start_ms, end_ms - 1))
    today = _day_of(now_ms)
    found, day = [], first
    while day <= min(last, today - _DAY):
        month = day.astype("datetime64[M]")
        following = (month + _MONTH).astype("datetime64[D]")
        if following <= today:
            days = tuple(file("daily", one) for one in np.arange(day, min(following, last + _DAY)))
            found.append(replace(file("monthly", month), days=days))
            day = following
        else:
            found.append(file("daily", day))
            day += _DAY
    return found


def settlement_files(symbol: str, start_ms: int, end_ms: int, *, now_ms: int) -> list[ArchiveFile]:
    """The zips of settlements in (start, end]; those of the running month are not out yet."""
    first, last = (np.datetime64(ms, "ms").astype("datetime64[M]") for ms in (start_ms, end_ms - 1))
    running = np.datetime64(now_ms, "ms").astype("datetime64[M]")
    folder = f"data/futures/um/monthly/fundingRate/{symbol}"
    months = np.arange(first, min(last + _MONTH, running))
    return [_file(f"{folder}/{symbol}-fundingRate-{month}.zip", month, _MONTH) for month in months]


def tick_files(
    kind: Ticks, market: Market, symbol: str, start_ms: int, end_ms: int, *, now_ms: int
) -> list[ArchiveFile]:
    """The daily zips of ticks in [start, end) that are out."""
    last = min(_day_of(end_ms - 1), _day_of(now_ms) - _DAY)
    folder = f"data/{_MARKETS[market]}/daily/{kind}/{symbol}"
    days = np.arange(_day_of(start_ms), last + _DAY)
    return [_file(f"{folder}/{symbol}-{kind}-{day}.zip", day, _DAY) for day in days]


def _file(path: str, date: np.datetime64, span: np.timedelta64) -> ArchiveFile:
    first, end = (int(edge.astype("datetime64[ms]").astype(np.int64)) for edge in (date, date + span))
    return ArchiveFile(path, first, end)


def _day_of(ms: int) -> np.datetime64:
    day: np.datetime64 = np.datetime64(ms, "ms").astype("datetime64[D]")
    return day
