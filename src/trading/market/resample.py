"""Longer bars out of shorter ones. Pure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trading.domain.errors import DataProviderError
from trading.domain.market import INTERVAL_MS
from trading.market.tape import Tape, make_tape


def resample(tape: Tape, interval: str) -> Tape:
    """The same market in longer bars.

    A bar is made of what traded in it, as the venue makes its own: a hole inside makes no difference. The first and the
    last bar are dropped when the tape covers them only in part. Of an attached spot market it has the close beside
    its own last bar.

    Raises:
        DataProviderError: the interval is no multiple of the tape's, or not one whole bar is covered.
    """
    if interval == tape.interval:
        return tape
    name = f"tape {tape.symbol} {tape.market} {tape.interval}"
    if interval not in INTERVAL_MS or INTERVAL_MS[interval] % tape.interval_ms:
        raise DataProviderError(f"{name}: cannot be made into {interval!r} bars; choose a multiple of {tape.interval}")
    span_ms = INTERVAL_MS[interval]
    groups = tape.open_time_ms // span_ms * span_ms
    whole = (groups >= tape.start_ms) & (groups + span_ms <= tape.end_ms)
    if not whole.any():
        raise DataProviderError(f"{name}: {len(tape)} bars do not cover one whole {interval} bar")
    kept = np.flatnonzero(whole)
    times, first = np.unique(groups[kept], return_index=True)
    last = np.append(first[1:], len(kept)) - 1
    funding = tape.funding
    settled = (funding.time_ms > times[0]) & (funding.time_ms <= times[-1] + span_ms)
    return make_tape(
        replace(
            tape,
            interval=interval,
            open_time_ms=times,
            open=tape.open[kept][first],
            high=np.maximum.reduceat(tape.high[kept], first),
            low=np.minimum.reduceat(tape.low[kept], first),
            close=tape.close[kept][last],
            volume_base=np.add.reduceat(tape.volume_base[kept], first),
            funding=replace(
                funding,
                time_ms=funding.time_ms[settled],
                rate=funding.rate[settled],
                mark_price=funding.mark_price[settled],
            ),
            spot_close=tape.spot_close[kept][last] if len(tape.spot_close) else tape.spot_close,
        )
    )
