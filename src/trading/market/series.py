"""Which series of candles the store keeps, and what each must satisfy."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from trading.domain.clock import iso
from trading.domain.errors import DataProviderError
from trading.domain.market import INTERVAL_MS
from trading.market.columns import Columns
from trading.market.tape import HIGHEST_PRICE, LARGEST_VOLUME_BASE, LOWEST_PRICE, PRICES

LARGEST_PREMIUM_RATE = 1.0
"""Of the premium index; what lies beyond is no fraction of a price."""


class Series(StrEnum):
    """A series of candles of one symbol."""

    SPOT = "spot"
    PERP = "perp"
    MARK = "mark"
    """Mark price of a perpetual; no volume."""
    PREMIUM = "premium"
    """Premium index of a perpetual, a fraction that may be negative; no volume."""

    @property
    def has_trades(self) -> bool:
        """Candles carry volume."""
        return self in (Series.SPOT, Series.PERP)


CANDLE = ("open_time", *PRICES)
VOLUME = "volume"
OPTIONAL = ("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")
"""Columns of traded candles that some sources have; nan where a candle came from one that has not."""


def check_columns(columns: Columns, series: Series, interval: str, where: str) -> None:
    """Refuse what is no candle of a series.

    Raises:
        DataProviderError: a column is missing or of another length, times not ascending or off the grid, a value that
            is none; names the candle, the column and the value.
    """
    names = (*CANDLE, VOLUME) if series.has_trades else CANDLE
    for name in names:
        if name not in columns or len(columns[name]) != len(columns["open_time"]):
            raise DataProviderError(
                f"{where}: {name} has {len(columns.get(name, ()))} values, one for each candle needed"
            )
    times = np.asarray(columns["open_time"], dtype=np.int64)
    if len(times) == 0:
        raise DataProviderError(f"{where}: no candles; fetch this stretch again")
    wrong = np.concatenate(([False], np.diff(times) <= 0)) | (times % INTERVAL_MS[interval] != 0)
    _refuse(wrong, columns, "open_time", where, "not after the one before it, or off the grid")
    premium = series is Series.PREMIUM
    lowest, highest = (-LARGEST_PREMIUM_RATE, LARGEST_PREMIUM_RATE) if premium else (LOWEST_PRICE, HIGHEST_PRICE)
    for name in PRICES:
        values = columns[name]
        _refuse(~((values >= lowest) & (values <= highest)), columns, name, where, "not a value of this series")
    body_top = np.maximum(columns["open"], columns["close"])
    body_bottom = np.minimum(columns["open"], columns["close"])
    _refuse(
        columns["high"] < np.maximum(body_top, columns["low"]), columns, "high", where, "below another of its candle"
    )
    _refuse(columns["low"] > body_bottom, columns, "low", where, "above another of its candle")
    for name in (VOLUME, *OPTIONAL):
        if name in columns:
            largest = LARGEST_VOLUME_BASE * (1.0 if name == VOLUME else HIGHEST_PRICE)
            bad = ~((columns[name] >= 0) & (columns[name] <= largest))
            if name in OPTIONAL:
                bad &= ~np.isnan(columns[name])
            _refuse(bad, columns, name, where, "not an amount")


def _refuse(bad: np.typing.NDArray[np.bool_], columns: Columns, name: str, where: str, why: str) -> None:
    if bad.any():
        at = int(np.argmax(bad))
        when = iso(int(columns["open_time"][at]))
        raise DataProviderError(
            f"{where}: {name}[{at}]={columns[name][at]} at {when}: {why}; fetch the history of that day again"
        )
