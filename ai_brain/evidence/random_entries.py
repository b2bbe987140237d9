"""What the same trades would have brought, had they been opened at any other time."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.run import TradeLine
from ai_brain.evidence.verdict import RandomEntries

DRAWS = 1_000
ROUNDING = 1e-12
"""Of a return: a copy that is the record itself is as good as it, however its sum was rounded."""
ENTRIES_AT_ONCE = 4_000_000
"""Random entries held in memory at a time, 32 MB a column."""


def random_entries(
    trades: Sequence[TradeLine],
    opens: NDArray[np.float64],
    judged: NDArray[np.int64],
    *,
    interval_ms: int,
    starting_quote: float,
    draws: int = DRAWS,
    seed: int,
) -> RandomEntries | None:
    """As many trades on the same sides, as large and as long, begun at bars drawn at random.

    What a trade was charged and paid is left as it was, so that nothing but the time of the entry differs. Returns are
    of the starting equity and added up, for neither the trades nor their copies are sized by what came before.

    Args:
        trades: Of a rule strategy, with their costs; one left open counts up to where it was marked.
        opens: (n,) open of each bar of the tape, quote.
        judged: (m,) indices of the bars at which a trade could have been opened.
        interval_ms: Of the bars.
        starting_quote: Of the account.
        draws: Random copies of the whole record.
        seed: Same seed, same result.

    Returns:
        None: no trade, or none that fits before the last bar.
    """
    held = np.array([(t.exit_ms - t.entry_ms) // interval_ms for t in trades if t.exit_ms is not None], dtype=np.int64)
    if len(held) == 0 or len(judged) == 0 or len(held) != len(trades) or held.max() >= len(opens):
        return None
    weight = np.array([t.side * t.quantity_base * t.entry_price for t in trades]) / starting_quote
    kept = fsum(t.funding_quote - t.fees_quote - t.slippage_quote for t in trades) / starting_quote
    actual = fsum(t.pnl_quote for t in trades) / starting_quote
    generator, totals = np.random.default_rng(seed), list[NDArray[np.float64]]()
    a_piece = max(1, ENTRIES_AT_ONCE // len(held))
    for first in range(0, draws, a_piece):
        start = generator.choice(judged, size=(min(a_piece, draws - first), len(held)))
        # What would end after the last bar begins as late as it can.
        start = np.minimum(start, len(opens) - 1 - held)
        totals.append((opens[start + held] / opens[start] - 1.0) @ weight + kept)
    found = np.concatenate(totals)
    return RandomEntries(
        draws=draws,
        actual_return=float(actual),
        median_return=float(np.median(found)),
        high_return=float(np.quantile(found, 0.95)),
        as_good_share=float((1 + np.count_nonzero(found >= actual - ROUNDING)) / (1 + draws)),
    )
