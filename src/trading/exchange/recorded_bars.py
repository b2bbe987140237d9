"""The closed candles of some days as the lab was told them, read straight from its raw recording.

Unlike a replay, nothing of the live code runs here but the parser, and nothing before those days is read: the nightly
comparison of paper with its backtest begins from what the venue's own lines say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

import orjson

from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS, Bar
from trading.exchange.parse_market import Candles, klines
from trading.exchange.parse_stream import streamed_bar
from trading.exchange.recording import Recorded, Subscription, read_recording
from trading.storage.raw_log import Reading

LATE_MS = 3_600_000
"""How long after a candle's end the lab may have been told of it, lab milliseconds; a torn line is mended by then."""
_CLOSED = (b'"x":true', b'"x": true')
_KLINES = "GetKlines"


class _From(IntEnum):
    """What told a candle; the greater counts."""

    PAGE = 0
    """History, or the repair of a gap."""
    STREAM = 1
    SECOND_LOOK = 2
    """Asked for by itself, because the streamed one made no sense."""


@dataclass(slots=True)
class RecordedBars:
    """Candles that open in [start_ms, end_ms), by market and open time."""

    start_ms: int
    end_ms: int
    bars: dict[Subscription, dict[int, Bar]] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)
    _sources: dict[tuple[Subscription, int], _From] = field(default_factory=dict)

    def of(self, market: Market, symbol: str, interval: str) -> Mapping[int, Bar]:
        """Of one market; empty: none was recorded."""
        return self.bars.get((market, symbol, interval), {})

    def put(self, bar: Bar, source: _From) -> None:
        """Take one candle; of two that were told of one bar, the one that the live code goes by."""
        key = (bar.market, bar.symbol, bar.interval)
        if not (bar.is_closed and self.start_ms <= bar.open_time_ms < self.end_ms):
            return
        if source > self._sources.get((key, bar.open_time_ms), -1):
            self.bars.setdefault(key, {})[bar.open_time_ms] = bar
            self._sources[key, bar.open_time_ms] = source


def read_recorded_bars(folder: Path, *, start_ms: int, end_ms: int) -> RecordedBars:
    """Every closed candle of a stretch that stands in a recording; no recording of it: none. Reads files.

    Args:
        folder: Of the recording.
        start_ms: Open time of the first candle, UTC ms.
        end_ms: Candles open before this.

    Raises:
        DataProviderError: a line is not what the venue sends.
        OSError: a file cannot be read.
    """
    found = RecordedBars(start_ms, end_ms)
    until_ms, holding = end_ms + LATE_MS, (*_CLOSED, _KLINES.encode())
    for line in read_recording(folder, found.reading, from_ms=start_ms, until_ms=until_ms, holding=holding):
        for bar, source in _told(line):
            found.put(bar, source)
    return found


def _told(line: Recorded) -> Iterable[tuple[Bar, _From]]:
    if line.kind == "ws":
        return _streamed(line)
    if line.kind == "rest" and _KLINES in line.head:
        return _fetched(line)
    return ()


def _streamed(line: Recorded) -> Iterator[tuple[Bar, _From]]:
    data = orjson.loads(line.text).get("data")
    if isinstance(data, dict) and data.get("e") == "kline":
        market = Market(line.connection.partition("/")[0])
        yield streamed_bar(market, data, received_ms=line.at_ms), _From.STREAM


def _fetched(line: Recorded) -> Iterator[tuple[Bar, _From]]:
    head = json.loads(line.head)
    params = head["params"]
    interval = params["interval"]
    if interval not in INTERVAL_MS:
        return
    source = _From.SECOND_LOOK if params.get("limit") == 1 else _From.PAGE
    of = Candles(Market(line.connection), params["symbol"], interval, head["asked_ms"], line.at_ms)
    for bar in klines(orjson.loads(line.text), of):
        yield bar, source
