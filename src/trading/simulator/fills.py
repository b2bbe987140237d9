"""Pieces that price one fill, shared by `kernel.py` and `carry_kernel.py`. Kernels: no validation, no defaults.

share   order notional over the quote volume of the bar before the fill; a bar without volume counts as wholly ours
sigma   volatility of one bar, a fraction, known at the close before the fill
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numba import njit

from trading.simulator.costs import CostRates, MarginRow

MAX_SLIPPAGE_RATE = 0.5
"""No price is made worse than this, so that prices stay prices."""


@njit(cache=True, nogil=True, error_model="numpy")
def slippage_rate(notional_quote: float, sigma: float, quote_volume: float, costs: CostRates) -> float:
    """How much worse than the reference a market order fills, fraction of price (rule 12)."""
    share = 1.0
    if quote_volume > 0.0:
        share = notional_quote / quote_volume
    return min(costs.half_spread + costs.impact_k * sigma * sqrt(share), MAX_SLIPPAGE_RATE)


@njit(cache=True, nogil=True, error_model="numpy")
def on_lot(quantity_base: float, lots_per_base: float) -> float:
    """A quantity rounded down to the lot (rule 10).

    Divided by the count of lots in one base unit, not multiplied by the lot: 3 / 10 is the float nearest to 0.3, and
    3 * 0.1 is not, which a later step to decimals would round down by a whole lot. The tolerance of a billionth of a
    lot takes 0.3 / 0.1 = 2.9999999999999996 for the three lots it is.
    """
    lots: float = np.floor(quantity_base * lots_per_base + 1e-9)
    return lots / lots_per_base


@njit(cache=True, nogil=True, error_model="numpy")
def liquidation_price(side: float, quantity: float, entry_price: float, left: float, margin: MarginRow) -> float:
    """Where the margin left and the result make the maintenance margin of the bracket at that price (rule 14).

    For bracket i: left + side q (p - entry) = rate_i q p - amount_i. The rates rise and the margin is continuous over
    the brackets, so what must be kept is the largest of all brackets' lines, and the price met first on the way
    against us is the one of the bracket that its notional falls into; no boundary needs looking up.
    `side` is a float, for numba would compile a second version for the integer written in the carry's call.
    """
    found: float = (side * entry_price - (left + margin.amounts[0]) / quantity) / (side - margin.rates[0])
    for i in range(1, margin.count):
        price = (side * entry_price - (left + margin.amounts[i]) / quantity) / (side - margin.rates[i])
        if side * (price - found) > 0.0:
            found = price
    return found
