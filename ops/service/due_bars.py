"""The candles that a cycle decides on: waited for until they are here, and judged, symbol by symbol."""

from __future__ import annotations

from ops.service.lab import Lab
from ops.telling.alert_keys import alert_key_of
from trading.domain.events import Event
from trading.domain.market import INTERVAL_MS

BAR_POLL_S = 0.5
"""Lab seconds between two looks for a candle that is due."""
FAILING = "data.failing"
"""The alert of a market whose bars fail the validator, one after the other."""


async def due_bars(lab: Lab) -> set[str]:
    """Wait for candles that have closed by the clock and are not here yet; go on without them after a while.

    Returns: whose did not come.

    A symbol whose candles did not come the last time is not waited for: one that is silent must not slow the others.
    Where none came, all are: the exchange may be back.
    """
    interval = lab.settings.research.timeframe
    due_ms = lab.clock.now_ms() // INTERVAL_MS[interval] * INTERVAL_MS[interval]
    deadline_ms = lab.clock.now_ms() + lab.settings.service.bar_patience_s * 1000
    silent = {symbol for symbol in lab.symbols if lab.memory.qualities.get(symbol) == 0}
    if silent == set(lab.symbols):
        silent = set()
    while not (late := late_symbols(lab, due_ms)) <= silent and lab.clock.now_ms() < deadline_ms:
        await lab.clock.sleep_s(BAR_POLL_S)
    verdicts = {key: lab.market.verdict(*key, interval) for key in lab.instruments}
    # Where the candle that is due is not here, what is here is old, however well it looked when it came.
    lab.memory.qualities = {
        symbol: 0.0 if symbol in late else min(verdicts[key].quality for key in lab.instruments if key[1] == symbol)
        for symbol in lab.symbols
    }
    now_ms = lab.clock.now_ms()
    failing = {
        alert_key_of(Event(now_ms, FAILING, {"market": market, "symbol": symbol}))
        for (market, symbol), verdict in verdicts.items()
        if symbol in late or not verdict.ok_for_orders
    }
    for key in lab.messenger.open_of(FAILING) - failing:
        lab.messenger.resolve(key)
    return late


def late_symbols(lab: Lab, due_ms: int) -> set[str]:
    """Whose candles that have closed by then are not here."""
    interval = lab.settings.research.timeframe
    return {key[1] for key in lab.instruments if (lab.market.last_closed_ms(*key, interval) or 0) < due_ms}
