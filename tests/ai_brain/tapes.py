"""A made-up market for tests of the middle floor: seeded, with funding, long enough to be measured."""

from __future__ import annotations

import numpy as np

from trading.domain.instrument import Market
from trading.market.tape import Funding, Tape, make_tape

HOUR_MS = 3_600_000
END_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS


def wandering_tape(
    bars: int = 800, *, market: Market = Market.PERP, seed: int = 7, drift: float = 0.0, end_ms: int = END_MS
) -> Tape:
    """A random walk of hourly bars that ends at `end_ms`, 0.5 % a bar."""
    rng = np.random.default_rng(seed)
    close = 30_000 * np.exp(np.cumsum(rng.normal(drift, 0.005, bars)))
    opened = np.concatenate(([30_000.0], close[:-1]))
    high = np.maximum(opened, close) * (1 + rng.uniform(0, 0.002, bars))
    low = np.minimum(opened, close) * (1 - rng.uniform(0, 0.002, bars))
    times = np.arange(bars) * HOUR_MS + end_ms - bars * HOUR_MS
    settled = np.array([t for t in range(int(times[0]), end_ms + 1, HOUR_MS) if t % (8 * HOUR_MS) == 0])
    funding = Funding(settled, np.full(len(settled), 0.0001), np.full(len(settled), 30_000.0))
    return make_tape(
        Tape(
            market=market,
            symbol="BTCUSDT",
            interval="1h",
            origin="synthetic",
            open_time_ms=times,
            open=opened,
            high=high,
            low=low,
            close=close,
            volume_base=rng.uniform(10, 100, bars),
            funding=funding if market is Market.PERP else Funding.none(),
            gaps=(),
            content_hash="",
        )
    )
