"""Longer candles made of the finest ones held, beside the exchange's own: where do they disagree? Pure.

Binance has restated candles of one interval and not of another, and has candles of an hour in which its minutes stand
still; both show here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading.domain.clock import iso
from trading.domain.errors import DataProviderError
from trading.market.resample import resample
from trading.market.tape import PRICES, Tape

VOLUME_TOLERANCE_RATE = 1e-9
"""Volumes are sums of decimals in another order: equal to this fraction is equal."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One longer candle that is not what its parts make."""

    open_time_ms: int
    column: str
    """The first column that differs: `close`, `volume_base`; `missing` when one side has no such candle."""
    derived: float
    """Made of the finer candles; nan: they make none."""
    own: float
    """As the exchange has it; nan: it has none."""

    def in_words(self) -> str:
        """One line for a person."""
        return f"{iso(self.open_time_ms)}: {self.column}: {self.derived:.10g} made, {self.own:.10g} the exchange's own"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison found."""

    interval: str
    compared: int
    """Candles either side has, within the stretch both cover."""
    disagreements: tuple[Disagreement, ...]


def compare(finest: Tape, own: Tape) -> Comparison:
    """Candles of the exchange's own interval against those made of finer ones, over the stretch both cover.

    Args:
        finest: Candles of the shortest interval held.
        own: The exchange's own candles of a longer interval, same market and symbol.

    Raises:
        DataProviderError: other markets or symbols, or no whole candle in common.
    """
    if (finest.market, finest.symbol) != (own.market, own.symbol):
        raise DataProviderError(
            f"{finest.market} {finest.symbol} and {own.market} {own.symbol}: compare one market with itself"
        )
    made = resample(finest, own.interval)
    start_ms, end_ms = max(made.start_ms, own.start_ms), min(made.end_ms, own.end_ms)
    if start_ms >= end_ms:
        raise DataProviderError(f"{own.market} {own.symbol} {own.interval}: no candle in common to compare")
    made, own = made.window(start_ms, end_ms), own.window(start_ms, end_ms)
    times = np.union1d(made.open_time_ms, own.open_time_ms)
    found = [
        Disagreement(int(ms), "missing", _close(made, int(ms)), _close(own, int(ms)))
        for ms in np.setxor1d(made.open_time_ms, own.open_time_ms)
    ]
    both, i, j = np.intersect1d(made.open_time_ms, own.open_time_ms, return_indices=True)
    differs = {name: getattr(made, name)[i] != getattr(own, name)[j] for name in PRICES}
    volume, own_volume = made.volume_base[i], own.volume_base[j]
    differs["volume_base"] = np.abs(volume - own_volume) > VOLUME_TOLERANCE_RATE * np.maximum(volume, own_volume)
    for k in np.flatnonzero(np.any(list(differs.values()), axis=0)):
        column = next(name for name, wrong in differs.items() if wrong[k])
        pair_of = (float(getattr(made, column)[i[k]]), float(getattr(own, column)[j[k]]))
        found.append(Disagreement(int(both[k]), column, *pair_of))
    found.sort(key=lambda one: one.open_time_ms)
    return Comparison(own.interval, len(times), tuple(found))


def _close(tape: Tape, ms: int) -> float:
    """Close of the candle that opens then; nan: there is none."""
    at = int(np.searchsorted(tape.open_time_ms, ms))
    is_there = at < len(tape) and int(tape.open_time_ms[at]) == ms
    return float(tape.close[at]) if is_there else np.nan
