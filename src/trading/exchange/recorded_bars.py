"""The closed candles that the lab was told, read straight from its raw recording, in the order they were told.

Unlike a replay, nothing of the live code runs here but the parser: the nightly comparison of paper with its backtest
begins from what the venue's own lines say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS, Bar
from trading.exchange.parse_market import Candles, klines
from trading.exchange.parse_stream import streamed_bar
from trading.exchange.recording import Recorded, read_recording
from trading.market.missed_candles import SECOND_LOOK
from trading.storage.raw_log import Reading

_CLOSED = (b'"x":true', b'"x": true')
_KLINES = "GetKlines"
_BEGIN = b"\tbegin\t"


@dataclass(frozen=True, slots=True)
class Telling:
    """A closed candle as it was told once."""

    bar: Bar
    at_ms: int
    """Lab time of receipt."""
    start_ms: int | None
    """When the lab was started that heard it; None: before the first line that was read."""
    is_second_look: bool = False
    """Asked for by itself, because the one told before made no sense."""


@dataclass(slots=True)
class Heard:
    """What was met while reading."""

    reading: Reading = field(default_factory=Reading)
    newest_ms: int = 0
    """Lab time of the newest line read; 0: none."""
    unread: list[str] = field(default_factory=list)
    """Lines that are not what the venue sends, and what is wrong with them; their candles count as not told."""


def tellings(folder: Path, heard: Heard, *, from_ms: int | None = None) -> Iterator[Telling]:
    """Every closed candle of a recording as often as it was told, oldest line first; no recording: none.

    Args:
        folder: Of the recording.
        heard: Filled with what was met.
        from_ms: Leave out lines before this lab time; None: none.

    Raises:
        OSError: a file cannot be read.
    """
    holding, started_ms = (*_CLOSED, _KLINES.encode(), _BEGIN), None
    for line in read_recording(folder, heard.reading, from_ms=from_ms, holding=holding):
        if from_ms is not None and line.at_ms < from_ms:
            continue
        heard.newest_ms = max(heard.newest_ms, line.at_ms)
        if line.kind == "begin":
            started_ms = line.at_ms
            continue
        try:
            told = list(_told(line))
        except (DataProviderError, ValueError, KeyError, TypeError) as error:
            heard.unread.append(f"{folder}: a line of {line.at_ms}: {error}")
            continue
        yield from (Telling(bar, line.at_ms, started_ms, again) for bar, again in told if bar.is_closed)


def _told(line: Recorded) -> Iterable[tuple[Bar, bool]]:
    """Its candles, each with whether it was a second look."""
    if line.kind == "ws":
        return _streamed(line)
    if line.kind == "rest" and _KLINES in line.head:
        return _fetched(line)
    return ()


def _streamed(line: Recorded) -> Iterator[tuple[Bar, bool]]:
    data = orjson.loads(line.text).get("data")
    if isinstance(data, dict) and data.get("e") == "kline":
        market = Market(line.connection.partition("/")[0])
        yield streamed_bar(market, data, received_ms=line.at_ms), False


def _fetched(line: Recorded) -> Iterator[tuple[Bar, bool]]:
    head = json.loads(line.head)
    params = head["params"]
    interval = params["interval"]
    if interval not in INTERVAL_MS:
        return
    is_second_look = params.get("limit") == SECOND_LOOK
    of = Candles(Market(line.connection), params["symbol"], interval, head["asked_ms"], line.at_ms)
    for bar in klines(orjson.loads(line.text), of):
        yield bar, is_second_look
