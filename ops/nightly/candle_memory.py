"""What the lab was told of its candles, kept longer than the recording: `state/told/MARKET-SYMBOL-INTERVAL.json`.

Every night takes in what was recorded since the night before, of every market the lab reads, whether anything is on
paper there or not. A night that was missed is taken in by the next one. A file that is missing or broken is built anew
from the whole recording, which reaches back for `recording.keep_days`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from trading.domain.errors import StateFileError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.exchange.recorded_bars import Heard, Telling, tellings
from trading.exchange.recording import Subscription
from trading.market.told_candles import Cells, ToldCandles, Word
from trading.storage.checked import read_checked
from trading.storage.files import set_aside, write_json
from trading.storage.home import Home

TOLD_SCHEMA = 1
KEPT_BARS = 50_000
"""Newest candles of a market that are kept: five years of hours."""
OVERLAP_MS = 3_600_000
"""Read again from the night before, lab ms: lines stand in the order they were received, but for the odd one."""


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    read_until_ms: int
    """The newest line of the recording that has been taken in."""
    candles: dict[int, str] = {}
    """By open time: `FROM_MS OPEN HIGH LOW CLOSE VOLUME`, and the same again after a `/` for every later word."""


_FILE = TypeAdapter(_File)


class _Older(BaseModel):
    """`state/told_otherwise.json` of older labs: of each night what the shelf had otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candles: dict[str, dict[int, Cells]] = {}


@dataclass(slots=True)
class Told:
    """What is known of every market that was asked for."""

    markets: dict[Subscription, ToldCandles] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    """What could not be read, and so is not known."""
    read_until_ms: dict[Subscription, int] = field(default_factory=dict)
    """The newest line taken in, of each market; absent: none yet."""

    def of(self, market: Market, symbol: str, interval: str) -> ToldCandles:
        """Of one market; nothing is known of one that was not asked for."""
        return self.markets.get((market, symbol, interval)) or ToldCandles()


def read_told(home: Home, markets: Collection[Subscription], *, reach_bars: int) -> Told:
    """What is kept of some markets, and what the recording has told since. Writes nothing; sets broken files aside.

    Args:
        home: Whose.
        markets: Which.
        reach_bars: How many bars back the live tapes begin; older ones are fetched for other purposes.
    """
    told, new = Told(), list[Subscription]()
    for key in markets:
        kept = _kept(home, key, told.unread)
        told.markets[key] = ToldCandles(None if kept is None else kept[1])
        if kept is None:
            new.append(key)
        else:
            told.read_until_ms[key] = kept[0]
    _hear(home, told, None if new else min(told.read_until_ms.values(), default=0) - OVERLAP_MS, reach_bars)
    for name, candles in _older(home, told.unread).items() if new else ():
        for key in (key for key in new if " ".join(key) == name):
            for ms, cells in candles.items():
                told.markets[key].fill(ms, cells)
    return told


def take_in(home: Home, markets: Collection[Subscription], *, reach_bars: int) -> Told:
    """As `read_told`, and keep it on disk.

    Raises:
        StateFileError: it cannot be written.
    """
    told = read_told(home, markets, reach_bars=reach_bars)
    for key, candles in told.markets.items():
        if key in told.read_until_ms:
            written = {ms: " / ".join(map(_written, words)) for ms, words in candles.newest(KEPT_BARS).items()}
            _path(home, key).parent.mkdir(parents=True, exist_ok=True)
            kept = _File(read_until_ms=told.read_until_ms[key], candles=written)
            write_json(_path(home, key), kept.model_dump(mode="json"), schema=TOLD_SCHEMA)
    return told


def _hear(home: Home, told: Told, from_ms: int | None, reach_bars: int) -> None:
    heard = Heard()
    try:
        for telling in tellings(home.recordings, heard, from_ms=from_ms):
            _take(told, telling, reach_bars)
    except OSError as error:
        told.unread.append(f"{home.recordings}: {error}")
        return  # the next night begins where this one did
    if heard.unread:
        told.unread.append(f"{len(heard.unread)} lines are none, the first: {heard.unread[0]}")
    if heard.newest_ms:
        told.read_until_ms = {key: max(heard.newest_ms, told.read_until_ms.get(key, 0)) for key in told.markets}


def _take(told: Told, telling: Telling, reach_bars: int) -> None:
    bar = telling.bar
    candles = told.markets.get((bar.market, bar.symbol, bar.interval))
    if candles is not None and bar.open_time_ms >= telling.at_ms - (reach_bars + 1) * INTERVAL_MS[bar.interval]:
        again = telling.is_second_look
        candles.hear(bar, at_ms=telling.at_ms, start_ms=telling.start_ms, is_second_look=again)


def _path(home: Home, key: Subscription) -> Path:
    return home.state / "told" / ("-".join(key) + ".json")


def _kept(home: Home, key: Subscription, unread: list[str]) -> tuple[int, dict[int, tuple[Word, ...]]] | None:
    """Up to where a market is taken in, and its words; None: not at all."""
    path = _path(home, key)
    try:
        file = read_checked(path, _FILE, schema=TOLD_SCHEMA)
        if file is None:
            return None
        return file.read_until_ms, {ms: tuple(map(_word, text.split("/"))) for ms, text in file.candles.items()}
    except StateFileError as error:
        unread.append(f"{error}; built anew from the recording")
    except ValueError as error:  # a word that is none
        unread.append(f"{path}: {error}; set aside as {set_aside(path).name}, built anew from the recording")
    return None


def _older(home: Home, unread: list[str]) -> Mapping[str, Mapping[int, Cells]]:
    """What an older lab remembered; it says less than the recording, and goes back further."""
    path = home.state / "told_otherwise.json"
    try:
        raw = json.loads(path.read_bytes())
        raw.pop("schema", None)
        return _Older.model_validate(raw).candles
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        unread.append(f"{path}: {str(error).splitlines()[0]}; what an older lab remembered is not known")
        return {}


def _written(word: Word) -> str:
    return " ".join((str(word.from_ms), *map(repr, word.cells)))


def _word(text: str) -> Word:
    from_ms, *cells = text.split()
    opened, high, low, close, volume = map(float, cells)
    return Word(int(from_ms), (opened, high, low, close, volume))
