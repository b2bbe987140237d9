"""What a market order pays in a book that is there to be seen: level after level, best first (rule 12).

A book's side is a sequence of (price, quantity in base), best first, as `Book.bids` and `Book.asks` are. Whatever the
side, a worse price is a positive rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from trading.domain.errors import DataProviderError, OrderValidationError

Levels = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Walk:
    """A market order laid into one side of a book."""

    average_price: float
    """Of what was filled, quote per base."""
    filled_base: float
    unfilled_quote: float
    """Of the notional asked for: the book ended before it was filled. 0: filled whole."""
    levels_used: int


def walk(levels: Levels, notional_quote: float) -> Walk:
    """Fill a notional through the levels.

    Raises:
        OrderValidationError: the notional is not a positive finite amount.
        DataProviderError: no level, or one that is no price and size; names it.
    """
    if not (isfinite(notional_quote) and notional_quote > 0.0):
        raise OrderValidationError(f"book walk: notional_quote={notional_quote}: not a positive amount")
    if not levels:
        raise DataProviderError("book walk: the side is empty; wait for a book")
    left, base, used = notional_quote, 0.0, 0
    for price, size in levels:
        if not (isfinite(price) and price > 0.0 and isfinite(size) and size > 0.0):
            raise DataProviderError(
                f"book walk: level {used}: {size} at {price}: not a size and a price; read the book again"
            )
        used += 1
        offered = price * size
        if offered >= left:
            return Walk(notional_quote / (base + left / price), base + left / price, 0.0, used)
        base += size
        left -= offered
    return Walk((notional_quote - left) / base, base, left, used)


def walked_slippage_rate(
    levels: Levels, notional_quote: float, *, reference_price: float | None = None
) -> float | None:
    """How much worse than a reference the notional fills, fraction of the reference; None: the book is too thin.

    Args:
        levels: The side that is taken from: asks to buy, bids to sell.
        notional_quote: Of the order.
        reference_price: The mid for the whole slippage; None: the best level, for what lies beyond half the spread.

    Raises:
        OrderValidationError, DataProviderError: see `walk`.
    """
    done = walk(levels, notional_quote)
    if done.unfilled_quote > 0.0:
        return None
    reference = levels[0][0] if reference_price is None else reference_price
    return abs(done.average_price - reference) / reference


def least_slippage_rate(levels: Levels, notional_quote: float, *, reference_price: float) -> float:
    """How much worse than a reference the notional fills at least, fraction of the reference.

    What lies beyond the last level that is known is taken at that level's price: it is not to be had cheaper.

    Args:
        levels: The side that is taken from: asks to buy, bids to sell.
        notional_quote: Of the order.
        reference_price: The mid.

    Raises:
        OrderValidationError, DataProviderError: see `walk`.
    """
    done = walk(levels, notional_quote)
    base = done.filled_base + done.unfilled_quote / levels[-1][0]
    return abs(notional_quote / base - reference_price) / reference_price
