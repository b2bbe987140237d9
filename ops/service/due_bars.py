"""The candles that a cycle decides on: waited for until they are here, and judged, symbol by symbol."""

from __future__ import annotations

from ops.service.lab import Lab
from trading.domain.market import INTERVAL_MS

BAR_POLL_S = 0.5
"""Lab seconds between two looks for a candle that is due."""


async def due_bars(lab: Lab) -> None:
    """Wait for candles that have closed by the clock and are not here yet; go on without them after a while.

    A symbol whose candles did not come the last time is not waited for: one that is silent must not slow the others.
    """
    interval = lab.settings.research.timeframe
    due_ms = lab.clock.now_ms() // INTERVAL_MS[interval] * INTERVAL_MS[interval]
    deadline_ms = lab.clock.now_ms() + lab.settings.service.bar_patience_s * 1000
    silent = {symbol for symbol in lab.symbols[1:] if lab.memory.qualities.get(symbol) == 0}
    while not (late := late_symbols(lab, due_ms)) <= silent and lab.clock.now_ms() < deadline_ms:
        await lab.clock.sleep_s(BAR_POLL_S)
    verdicts = {key: lab.market.verdict(*key, interval) for key in lab.instruments}
    # Where the candle that is due is not here, what is here is old, however well it looked when it came.
    lab.memory.qualities = {
        symbol: 0.0 if symbol in late else min(verdicts[key].quality for key in lab.instruments if key[1] == symbol)
        for symbol in lab.symbols
    }
    if not late and all(verdict.ok_for_orders for verdict in verdicts.values()):
        lab.messenger.resolve("data.failing")


def late_symbols(lab: Lab, due_ms: int) -> set[str]:
    """Whose candles that have closed by then are not here."""
    interval = lab.settings.research.timeframe
    return {key[1] for key in lab.instruments if (lab.market.last_closed_ms(*key, interval) or 0) < due_ms}
