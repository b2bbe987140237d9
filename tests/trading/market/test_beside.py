"""A perpetual with its spot market beside it: same bars, holes told, hash only then another, synthetic stays said."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from tests.trading.market.samples import HOUR_MS, START_MS, tape
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.market.beside import beside_spot, shared_stretch
from trading.market.resample import resample
from trading.market.tape import Tape, make_tape

PERP = tape([100.0, 101.0, 102.0, 103.0, 104.0, 105.0], market=Market.PERP)
SPOT = tape([99.0, 98.0, 97.0, 96.0, 95.0, 94.0], drop=[2])


def known(closes: np.ndarray) -> list[float | None]:
    return [None if np.isnan(close) else float(close) for close in closes]


def test_each_bar_has_the_spot_close_of_its_own_time_and_none_where_spot_has_no_bar() -> None:
    both = beside_spot(PERP, SPOT)
    assert known(both.spot_close) == [99.0, 98.0, None, 96.0, 95.0, 94.0]
    assert not both.spot_close.flags.writeable
    assert both.spot_close.flags.c_contiguous
    later = tape([7.0, 8.0], start_ms=START_MS + 4 * HOUR_MS)
    assert known(beside_spot(PERP, later).spot_close) == [None, None, None, None, 7.0, 8.0]
    early = tape([7.0, 8.0], start_ms=START_MS - HOUR_MS)
    assert known(beside_spot(PERP, early).spot_close) == [8.0, None, None, None, None, None]


def test_without_spot_beside_it_a_tape_has_the_hash_it_always_had_and_with_it_another() -> None:
    digest = hashlib.sha256(b"perp|BTCUSDT|1h")
    for column in (PERP.open_time_ms, PERP.open, PERP.high, PERP.low, PERP.close, PERP.volume_base):
        digest.update(column.tobytes())
    assert PERP.content_hash == digest.hexdigest()
    assert len(PERP.spot_close) == 0
    both = beside_spot(PERP, SPOT)
    other = tape([99.0, 98.0, 97.0, 96.0, 95.0, 94.5], drop=[2])
    assert len({PERP.content_hash, both.content_hash, beside_spot(PERP, other).content_hash}) == 3
    assert make_tape(replace(both, spot_close=np.empty(0))).content_hash == PERP.content_hash


def test_a_window_and_longer_bars_carry_it() -> None:
    both = beside_spot(PERP, SPOT)
    assert known(both.window(START_MS + HOUR_MS, START_MS + 4 * HOUR_MS).spot_close) == [98.0, None, 96.0]
    assert known(resample(both, "2h").spot_close) == [98.0, 96.0, 94.0]
    assert known(resample(beside_spot(PERP, tape([9.0] * 6, drop=[1])), "2h").spot_close) == [None, 9.0, 9.0]
    assert len(resample(PERP, "2h").spot_close) == 0


@pytest.mark.parametrize(
    ("perp", "spot", "origin"),
    [("recorded", "recorded", "recorded"), ("recorded", "synthetic", "synthetic"), ("synthetic", "live", "synthetic"),
     ("live", "recorded", "live")],
)  # fmt: skip
def test_what_is_synthetic_on_either_side_is_called_synthetic(perp: str, spot: str, origin: str) -> None:
    both = beside_spot(tape([5.0], market=Market.PERP, origin=perp), tape([5.0], origin=spot))
    assert both.origin == origin


def eth(of: Tape) -> Tape:
    return make_tape(replace(of, symbol="ETHUSDT"))


@pytest.mark.parametrize(
    ("perp", "spot", "why"),
    [
        (SPOT, SPOT, "BTCUSDT spot 1h: cannot have BTCUSDT spot 1h beside it: give a perpetual"),
        (PERP, PERP, "BTCUSDT perp 1h: cannot have BTCUSDT perp 1h beside it"),
        (PERP, eth(SPOT), "of the same symbol and interval, not ETHUSDT 1h; load that one"),
        (PERP, tape([5.0] * 6, interval="2h"), "not BTCUSDT 2h"),
    ],
)
def test_another_market_symbol_or_interval_is_refused(perp: Tape, spot: Tape, why: str) -> None:
    with pytest.raises(DataProviderError, match=why):
        beside_spot(perp, spot)


@pytest.mark.parametrize(
    ("market", "closes", "why"),
    [
        (Market.SPOT, [1.0, 1.0], "only a perpetual has a spot market beside it"),
        (Market.PERP, [1.0], "spot_close has 1 values for 2 bars"),
        (Market.PERP, [1.0, 0.0], r"spot_close\[1\]=0.0 at 2024-01-01T01:00:00Z: not a price"),
        (Market.PERP, [np.inf, 1.0], r"spot_close\[0\]=inf"),
    ],
)
def test_spot_closes_that_are_none_are_refused(market: Market, closes: list[float], why: str) -> None:
    with pytest.raises(DataProviderError, match=why):
        make_tape(replace(tape([5.0, 6.0], market=market), spot_close=np.array(closes)))


def test_the_shared_stretch_begins_and_ends_with_both() -> None:
    later = tape([7.0] * 9, start_ms=START_MS + 2 * HOUR_MS)
    perp, spot = shared_stretch(PERP, later)
    assert (perp.start_ms, perp.end_ms) == (spot.start_ms, spot.end_ms) == (START_MS + 2 * HOUR_MS, PERP.end_ms)
    with pytest.raises(DataProviderError, match=r"BTCUSDT 1h: .*: no bar in common; fetch both for one stretch"):
        shared_stretch(PERP, tape([7.0], start_ms=START_MS + 6 * HOUR_MS))
