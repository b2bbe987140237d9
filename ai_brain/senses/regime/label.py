"""The regime of a market in two words: how much it moves, and which way; filtered, from closed bars up to now.

Movement: the standard deviation of log returns over the last day, ranked among those of the last 30 days, one a bar:
`calm` in the lowest third, `stormy` in the highest, else `usual`. Way: the log return of the last 7 days against what
a walk of the 30 days' volatility does in 7 days: `up` or `down` beyond half of it, else `flat`. Neither is smoothed
backwards, so the label of a bar never changes when later bars come. It is a description, not a prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from trading.domain.clock import DAY_MS
from trading.market.tape import Tape

RANKED_DAYS = 30
"""Days over which the last day's movement is ranked; the volatility of the way too."""
WAY_DAYS = 7
WAY_SIGMAS = 0.5
"""Beyond this much of a week's usual walk the market has a way."""
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Regime:
    """A label with the numbers that gave it."""

    label: str
    """`calm up`, `usual flat`, `stormy down` and so on; `unknown`: `why` says why."""
    why: str = ""
    """Why nothing is known; empty: it is."""
    volatility_rank: float = nan
    """Share of the last 30 days' one-day volatilities below the present one, 0..1; nan: not known."""
    way_sigmas: float = nan
    """The last 7 days' log return in standard deviations of such a stretch; nan: not known."""

    def __str__(self) -> str:
        return f"{self.label}: {self.why}" if self.why else self.label


def regime_of(tape: Tape) -> Regime:
    """The regime at the close of a tape's last bar.

    Args:
        tape: Closed bars. **Look-ahead**: the last 31 days before its end are read, and nothing else.

    Returns:
        `unknown` with the reason for bars longer than 4 h, fewer of them than 31 days, or a gap among these.
    """
    per_day = DAY_MS // tape.interval_ms
    needed = (RANKED_DAYS + 1) * per_day + 1
    if per_day < 6:
        return Regime(UNKNOWN, f"bars of {tape.interval} are too long for a day's movement")
    if len(tape) < needed:
        return Regime(UNKNOWN, f"{len(tape)} bars, {needed} are needed")
    times = tape.open_time_ms[-needed:]
    missing = (int(times[-1]) - int(times[0])) // tape.interval_ms + 1 - needed
    if missing:
        return Regime(UNKNOWN, f"{missing} bars are missing in the last {RANKED_DAYS + 1} days")
    return regime(tape.close[-needed:], per_day=per_day)


def regime(close: NDArray[np.float64], *, per_day: int) -> Regime:
    """The regime at the last close.

    Args:
        close: (31 * per_day + 1,) closes, quote per base, oldest first, evenly spaced; older ones are not read.
        per_day: Bars of a day, at least 2.

    Raises:
        ValueError: fewer closes than that.
    """
    needed = (RANKED_DAYS + 1) * per_day + 1
    if len(close) < needed:
        raise ValueError(f"regime: {len(close)} closes, {needed} are needed")
    steps = np.diff(np.log(close[-needed:]))
    daily = sliding_window_view(steps, per_day).std(axis=1)
    month = float(steps[-RANKED_DAYS * per_day :].std())
    if month == 0.0:
        return Regime(UNKNOWN, f"the price has not moved in {RANKED_DAYS} days")
    rank = float((daily[:-1] < daily[-1]).mean())
    movement = "calm" if rank < 1 / 3 else "usual" if rank < 2 / 3 else "stormy"
    sigmas = float(steps[-WAY_DAYS * per_day :].sum()) / (month * sqrt(WAY_DAYS * per_day))
    way = "up" if sigmas > WAY_SIGMAS else "down" if sigmas < -WAY_SIGMAS else "flat"
    return Regime(f"{movement} {way}", "", rank, sigmas)
