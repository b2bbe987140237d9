"""What a night says of a closed live position: whether its result is near enough to its backtest's to go on trading.

Live is never the same to the bit: it fills at other prices than the model and decides every minute. So it has a bound.
"""

from __future__ import annotations

from ai_brain.paper.market_view import PaperTapes
from ops.nightly.live_parity import LiveParity
from trading.domain.decisions import Reason

LIVE_BOUND_BPS = 100.0
"""Of a position's capital: what its result may differ by, in either direction. Fees of all four legs are about 30."""
STOPPED_BOUND_BPS = 300.0
"""The same where a stop or a limit closed it at another bar: until the model closes, a hedge earns the basis' way."""
OWN_EXITS = frozenset({Reason.EXPECTATION_NEGATIVE, Reason.BASIS_TOO_WIDE, Reason.FUNDING_TOO_LOW, Reason.MARGIN_LOW})
"""Exits that the strategy decides, as its model does."""


def beyond(one: LiveParity, tapes: PaperTapes) -> str:
    """Why a live result sends its strategy back to paper; empty: it does not.

    Args:
        one: A closed position against its model.
        tapes: What the model ran on; a position from before them says nothing.
    """
    held, differ = one.position, one.differences
    starts_ms = max(tapes.main.start_ms, tapes.spot.start_ms if tapes.spot is not None else 0)
    if not held.capital_quote or held.opened_ms - 2 * tapes.main.interval_ms < starts_ms:
        return ""
    if differ.signal:
        return f"live {held.id}, {float(held.profit_quote):+.4f} USDT, is a trade its backtest did not make"
    bps = differ.total / float(held.capital_quote) * 10_000
    is_apart = bool(differ.time) and held.reason not in OWN_EXITS
    bound_bps = STOPPED_BOUND_BPS if is_apart else LIVE_BOUND_BPS
    if abs(bps) <= bound_bps:
        return ""
    return f"live {held.id} differs from its backtest by {bps:+.1f} bps of its capital, the bound is {bound_bps:g}"
