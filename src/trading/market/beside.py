"""A perpetual's tape with the spot market beside it: closes of the same bars, from which rules read the basis. Pure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trading.domain.clock import iso
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.market.tape import Tape, make_tape


def beside_spot(perp: Tape, spot: Tape) -> Tape:
    """The perpetual's bars, each with the close of the spot bar of the same time; nan where spot has no such bar.

    Args:
        perp: Of a perpetual; what was attached before is replaced.
        spot: The same symbol and interval. **Look-ahead**: a spot bar closes when the perpetual's bar of its time
            does, so nothing is seen before the decision at that close.

    Returns:
        The perpetual's tape; `synthetic` when either is.

    Raises:
        DataProviderError: not a perpetual and a spot market, or of another symbol or interval.
    """
    if (perp.market, spot.market) != (Market.PERP, Market.SPOT):
        raise DataProviderError(
            f"tape {perp.symbol} {perp.market} {perp.interval}: cannot have {spot.symbol} {spot.market} "
            f"{spot.interval} beside it: give a perpetual, then its spot market"
        )
    if (perp.symbol, perp.interval) != (spot.symbol, spot.interval):
        raise DataProviderError(
            f"tape {perp.symbol} {perp.market} {perp.interval}: beside it belongs spot of the same symbol "
            f"and interval, not {spot.symbol} {spot.interval}; load that one"
        )
    places = np.minimum(np.searchsorted(spot.open_time_ms, perp.open_time_ms), len(spot) - 1)
    is_there = spot.open_time_ms[places] == perp.open_time_ms
    closes = np.where(is_there, spot.close[places], np.nan)
    origin = "synthetic" if "synthetic" in (perp.origin, spot.origin) else perp.origin
    return make_tape(replace(perp, origin=origin, spot_close=closes))


def shared_stretch(perp: Tape, spot: Tape) -> tuple[Tape, Tape]:
    """Both markets from the later beginning to the earlier end.

    Raises:
        DataProviderError: they have no bar in common.
    """
    first_ms, end_ms = max(perp.start_ms, spot.start_ms), min(perp.end_ms, spot.end_ms)
    if first_ms >= end_ms:
        raise DataProviderError(
            f"{perp.symbol} {perp.interval}: the perpetual has {iso(perp.start_ms)} to {iso(perp.end_ms)}, spot "
            f"{iso(spot.start_ms)} to {iso(spot.end_ms)}: no bar in common; fetch both for one stretch"
        )
    return perp.window(first_ms, end_ms), spot.window(first_ms, end_ms)
