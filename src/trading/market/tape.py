"""A recorded market as columns: what backtests run on, and what every number of the lab traces back to.

Times are UTC milliseconds, a bar is named by its open time, prices are quote per base, volume is in base. The arrays
are read-only float64 / int64, C-contiguous, oldest first, strictly increasing in time. A gap is a gap: no bar is
invented, `gaps` lists what is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from math import isnan
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from trading.domain.clock import iso
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS, FundingRate

T = TypeVar("T", bound=np.generic)

Origin = Literal["recorded", "downloaded", "live", "synthetic"]
"""Where bars come from; `synthetic` is said on every screen and in every file."""

PRICES = ("open", "high", "low", "close")
LOWEST_PRICE, HIGHEST_PRICE = 1e-12, 1e12
"""Quote per base; what lies outside is no market's price, and products of it would leave float64."""
LARGEST_VOLUME_BASE = 1e18
"""Of one bar."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Bars that should be there and are not."""

    first_missing_ms: int
    missing_bars: int


@dataclass(frozen=True, slots=True)
class Funding:
    """Settled funding of a perpetual, (m,) each, oldest first; empty for spot."""

    time_ms: NDArray[np.int64]
    """Settlement times as the venue stamped them, rounded to the second."""
    rate: NDArray[np.float64]
    """Fraction of notional; positive: longs pay."""
    mark_price: NDArray[np.float64]
    """Mark at the settlement; nan where it was not recorded."""

    @staticmethod
    def none() -> Funding:
        """No settlements."""
        return Funding(_frozen([], np.int64), _frozen([], np.float64), _frozen([], np.float64))

    def records(self, symbol: str) -> list[FundingRate]:
        """The settlements one by one, oldest first."""
        rows = zip(self.time_ms.tolist(), self.rate.tolist(), self.mark_price.tolist(), strict=True)
        return [FundingRate(symbol, time_ms, rate, None if isnan(mark) else mark) for time_ms, rate, mark in rows]


def _not_attached() -> NDArray[np.float64]:
    return _frozen([], np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """One market of one symbol at one interval; see the module for conventions. Build it with `make_tape`."""

    market: Market
    symbol: str
    interval: str
    origin: Origin
    open_time_ms: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume_base: NDArray[np.float64]
    funding: Funding
    gaps: tuple[Gap, ...]
    content_hash: str
    """SHA-256 over market, symbol, interval and every column, hex; over `spot_close` only where it is attached."""
    spot_close: NDArray[np.float64] = field(default_factory=_not_attached)
    """(n,) of a perpetual: close of the spot market's bar of the same time, quote per base; nan where it has none.
    Empty: not attached, see `beside.py`."""

    def __len__(self) -> int:
        return len(self.open_time_ms)

    def __reduce__(self) -> tuple[Callable[..., Tape], tuple[object, ...]]:
        """Arrays lose on their way to another process that they are read-only, and every kernel would compile anew."""
        return _arrived, tuple(getattr(self, column.name) for column in fields(self))

    @property
    def interval_ms(self) -> int:
        """Bar length, milliseconds."""
        return INTERVAL_MS[self.interval]

    @property
    def start_ms(self) -> int:
        """Open time of the first bar."""
        return int(self.open_time_ms[0])

    @property
    def end_ms(self) -> int:
        """Close time of the last bar."""
        return int(self.open_time_ms[-1]) + self.interval_ms

    def window(self, start_ms: int, end_ms: int) -> Tape:
        """The bars that open in [start_ms, end_ms), with the settlements in (start_ms, end_ms].

        Raises:
            DataProviderError: no bar lies there.
        """
        first, stop = np.searchsorted(self.open_time_ms, [start_ms, end_ms])
        kept = slice(int(first), int(stop))
        f = self.funding
        settled = slice(*(int(i) for i in np.searchsorted(f.time_ms, [start_ms, end_ms], side="right")))
        return make_tape(
            replace(
                self,
                open_time_ms=self.open_time_ms[kept],
                **{name: getattr(self, name)[kept] for name in (*PRICES, "volume_base")},
                funding=Funding(f.time_ms[settled], f.rate[settled], f.mark_price[settled]),
                spot_close=self.spot_close[kept],
            )
        )


def _arrived(*values: Any) -> Tape:
    """A tape from another process, checked and frozen again."""
    return make_tape(Tape(*values))


def make_tape(draft: Tape) -> Tape:
    """Check a draft's columns, freeze them, and fill in `gaps` and `content_hash`.

    Raises:
        DataProviderError: no bars, columns of different length, times not strictly increasing or off the grid, a price
            or a volume that is none, a high below or a low above the rest, a settlement whose rate or mark is none,
            spot closes beside a market that is no perpetual; names the bar, the column and the value.
    """
    name = f"tape {draft.symbol} {draft.market} {draft.interval}"
    if draft.interval not in INTERVAL_MS:
        raise DataProviderError(f"{name}: interval={draft.interval!r}: use one of {', '.join(INTERVAL_MS)}")
    times = _frozen(draft.open_time_ms, np.int64)
    columns = {column: _frozen(getattr(draft, column), np.float64) for column in (*PRICES, "volume_base")}
    if len(times) == 0:
        raise DataProviderError(f"{name}: no bars; fetch history for this stretch")
    for column, values in columns.items():
        if len(values) != len(times):
            raise DataProviderError(f"{name}: {column} has {len(values)} values for {len(times)} bars")
    _check_times(name, times, INTERVAL_MS[draft.interval])
    _check_prices(name, times, columns)
    funding = Funding(
        _frozen(draft.funding.time_ms, np.int64),
        _frozen(draft.funding.rate, np.float64),
        _frozen(draft.funding.mark_price, np.float64),
    )
    _check_funding(name, funding)
    spot_close = _frozen(draft.spot_close, np.float64)
    _check_spot_close(name, draft.market, times, spot_close)
    filled = replace(
        draft,
        open_time_ms=times,
        open=columns["open"],
        high=columns["high"],
        low=columns["low"],
        close=columns["close"],
        volume_base=columns["volume_base"],
        funding=funding,
        gaps=_gaps(times, INTERVAL_MS[draft.interval]),
        spot_close=spot_close,
    )
    return replace(filled, content_hash=_content_hash(filled))


def _frozen(values: object, dtype: type[T]) -> NDArray[T]:
    array = np.array(values, dtype=dtype, order="C", copy=True)
    array.flags.writeable = False
    return array


def _check_times(name: str, times: NDArray[np.int64], interval_ms: int) -> None:
    steps = np.diff(times)
    if (steps <= 0).any():
        bar = int(np.argmax(steps <= 0)) + 1
        raise DataProviderError(
            f"{name}: open_time[{bar}]={iso(int(times[bar]))} does not come after {iso(int(times[bar - 1]))}; "
            "sort the bars and drop doubles"
        )
    if (off := times % interval_ms != 0).any():
        bar = int(np.argmax(off))
        raise DataProviderError(f"{name}: open_time[{bar}]={int(times[bar])}: not on the grid of {interval_ms} ms")


def _check_prices(name: str, times: NDArray[np.int64], columns: dict[str, NDArray[np.float64]]) -> None:
    def refuse(bad: NDArray[np.bool_], column: str, why: str) -> None:
        if bad.any():
            bar = int(np.argmax(bad))
            value = columns[column][bar]
            raise DataProviderError(
                f"{name}: {column}[{bar}]={value} at {iso(int(times[bar]))}: {why}; fetch the history of that day again"
            )

    for column in PRICES:
        refuse(~((columns[column] >= LOWEST_PRICE) & (columns[column] <= HIGHEST_PRICE)), column, "not a price")
    top = np.maximum(columns["open"], columns["close"])
    bottom = np.minimum(columns["open"], columns["close"])
    refuse(columns["high"] < np.maximum(top, columns["low"]), "high", "below another price of its bar")
    refuse(columns["low"] > bottom, "low", "above another price of its bar")
    volume = columns["volume_base"]
    refuse(~((volume >= 0) & (volume <= LARGEST_VOLUME_BASE)), "volume_base", "not a volume")


def _check_funding(name: str, funding: Funding) -> None:
    times, again = funding.time_ms, "fetch the settlements again"
    for column in ("rate", "mark_price"):
        count = len(getattr(funding, column))
        if count != len(times):
            raise DataProviderError(
                f"{name}: funding {column} has {count} values for {len(times)} settlements; {again}"
            )
    steps = np.diff(times)
    if (steps <= 0).any():
        at = int(np.argmax(steps <= 0)) + 1
        raise DataProviderError(
            f"{name}: funding time[{at}]={iso(int(times[at]))} does not come after {iso(int(times[at - 1]))}; {again}"
        )
    marks = funding.mark_price
    refused = (
        ("rate", ~(np.abs(funding.rate) < 1.0), "not a fraction of notional"),
        ("mark_price", ~(np.isnan(marks) | ((marks >= LOWEST_PRICE) & (marks <= HIGHEST_PRICE))), "not a price"),
    )
    for column, bad, why in refused:
        if bad.any():
            at = int(np.argmax(bad))
            value = getattr(funding, column)[at]
            raise DataProviderError(f"{name}: funding {column}[{at}]={value} at {iso(int(times[at]))}: {why}; {again}")


def _check_spot_close(name: str, market: Market, times: NDArray[np.int64], closes: NDArray[np.float64]) -> None:
    if len(closes) == 0:
        return
    if market is not Market.PERP:
        raise DataProviderError(
            f"{name}: spot_close is given: only a perpetual has a spot market beside it; leave it out"
        )
    if len(closes) != len(times):
        raise DataProviderError(f"{name}: spot_close has {len(closes)} values for {len(times)} bars")
    bad = ~(np.isnan(closes) | ((closes >= LOWEST_PRICE) & (closes <= HIGHEST_PRICE)))
    if bad.any():
        bar = int(np.argmax(bad))
        raise DataProviderError(
            f"{name}: spot_close[{bar}]={closes[bar]} at {iso(int(times[bar]))}: not a price; "
            "fetch the spot history of that day again"
        )


def _gaps(times: NDArray[np.int64], interval_ms: int) -> tuple[Gap, ...]:
    steps = np.diff(times)
    return tuple(
        Gap(int(times[i]) + interval_ms, int(steps[i] // interval_ms) - 1) for i in np.flatnonzero(steps > interval_ms)
    )


def _content_hash(tape: Tape) -> str:
    digest = hashlib.sha256(f"{tape.market}|{tape.symbol}|{tape.interval}".encode())
    for column in (tape.open_time_ms, tape.open, tape.high, tape.low, tape.close, tape.volume_base):
        digest.update(column.tobytes())
    for column in (tape.funding.time_ms, tape.funding.rate, tape.funding.mark_price):
        digest.update(column.tobytes())
    if len(tape.spot_close):
        digest.update(b"spot_close")
        digest.update(tape.spot_close.tobytes())
    return digest.hexdigest()
