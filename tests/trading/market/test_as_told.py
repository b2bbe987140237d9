"""A shelf's tape with candles as they were told: what differs is named, the rest is the shelf's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.ai_brain.markets import HOUR_MS, START_MS
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.market import Bar
from trading.market.as_told import as_told
from trading.market.synthetic import Plan, synthetic_market
from trading.market.tape import Tape, make_tape

TAPE = synthetic_market(Plan(symbol="BTCUSDT", start_ms=START_MS, bars=48, seed=1)).perp
DAY_MS = 24 * HOUR_MS


def told(tape: Tape, hours: range, **changed: float) -> dict[int, Bar]:
    """Candles as the tape has them; those given in another way by name."""
    bars = {}
    for hour in hours:
        cells = {name: float(getattr(tape, name)[hour]) for name in ("open", "high", "low", "close", "volume_base")}
        open_ms = int(tape.open_time_ms[hour])
        bars[open_ms] = Bar(
            Market.PERP, "BTCUSDT", "1h", open_ms, **{**cells, **changed}, is_closed=True, received_ms=0
        )
    return bars


def at(hour: int) -> int:
    return START_MS + hour * HOUR_MS


def test_a_day_told_as_the_shelf_has_it_is_the_shelfs_own_tape() -> None:
    found = as_told(TAPE, told(TAPE, range(24, 48)), start_ms=at(24), end_ms=at(48))
    assert (found.tape, found.told, found.untold, found.revised, found.added) == (TAPE, 24, (), (), ())


def test_what_was_told_otherwise_stands_in_its_place_and_what_was_not_told_stays() -> None:
    volume = float(TAPE.volume_base[30]) + 1.0
    bars = told(TAPE, range(24, 40)) | told(TAPE, range(30, 31), volume_base=volume)
    found = as_told(TAPE, bars, start_ms=at(24), end_ms=at(48))
    assert (found.revised, found.added) == ((at(30),), ())
    assert found.untold == tuple(at(hour) for hour in range(40, 48))
    assert found.tape.volume_base[30] == volume
    changed = np.flatnonzero(found.tape.volume_base != TAPE.volume_base)
    assert changed.tolist() == [30]
    assert (found.tape.close == TAPE.close).all()
    assert found.tape.funding.time_ms.tolist() == TAPE.funding.time_ms.tolist()


def test_a_candle_that_the_shelf_lacks_is_put_in_its_place() -> None:
    kept = np.arange(48) != 30
    columns = {name: getattr(TAPE, name)[kept] for name in ("open", "high", "low", "close", "volume_base")}
    holed = make_tape(replace(TAPE, open_time_ms=TAPE.open_time_ms[kept], **columns))
    assert len(holed.gaps) == 1
    found = as_told(holed, told(TAPE, range(24, 48)), start_ms=at(24), end_ms=at(48))
    assert found.added == (at(30),)
    assert found.tape.content_hash == TAPE.content_hash


def test_a_told_candle_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(DataProviderError, match="high"):
        as_told(TAPE, told(TAPE, range(30, 31), high=1.0), start_ms=at(24), end_ms=at(48))
