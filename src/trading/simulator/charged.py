"""What the simulator's impact law charges for given orders: to hold real fills against. Nobody's performance."""

from __future__ import annotations

from math import nan

import numpy as np
from numpy.typing import NDArray

from trading.market.tape import Tape
from trading.simulator.costs import Costs
from trading.simulator.fills import slippage_rate
from trading.simulator.indicators import bar_sigma


def charged_rates(
    tape: Tape, at_ms: NDArray[np.int64], notional_quote: NDArray[np.float64], costs: Costs
) -> NDArray[np.float64]:
    """Slippage that a backtest on this tape would charge each order, fraction of the price.

    Args:
        tape: The orders' market, from long enough before them that sigma has settled.
        at_ms: (n,) when each was sent. **Look-ahead**: sigma and volume are of the last bar that had closed by then.
        notional_quote: (n,) its size.
        costs: With the law's k and half the spread.

    Returns:
        (n,); nan where that bar is not on the tape: before its first, after its last, or in a gap.
    """
    sigma, volume = bar_sigma(tape.open, tape.close, np.zeros(2)), tape.volume_base * tape.close
    closed_ms, rates = tape.open_time_ms + tape.interval_ms, costs.rates()
    found = np.full(len(at_ms), nan)
    for i, bar in enumerate(np.searchsorted(closed_ms, at_ms, side="right") - 1):
        if bar >= 0 and at_ms[i] - closed_ms[bar] < tape.interval_ms:
            found[i] = slippage_rate(float(notional_quote[i]), float(sigma[bar]), float(volume[bar]), rates)
    return found
