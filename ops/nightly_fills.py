"""What a night learns of fills, as the service asks for it: the journal of intents and the raw recording. CPU work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ai_brain.desk.learned_fills import LearnedFills
from ops.fill_lessons import Seen, learn
from ops.settings import LabSettings
from trading.domain.errors import StateFileError
from trading.exchange.recorded_looks import Key, read_looks
from trading.execution.intent_records import OrderRecord
from trading.execution.intents import Intents
from trading.execution.own_fills import taker_fills
from trading.market.tape import Tape
from trading.storage.home import Home


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a night taught."""

    learned: LearnedFills
    markets: tuple[Key, ...]
    """Whose bars were needed."""


def traded_markets(home: Home) -> list[Key]:
    """Every market in which an own order took.

    Raises:
        StateFileError: the journal cannot be read.
    """
    fills, _ = taker_fills(_orders(home))
    return list(dict.fromkeys((fill.market, fill.symbol) for fill in fills))


def learn_night(
    home: Home,
    settings: LabSettings,
    before: LearnedFills | None,
    tapes: Mapping[Key, Tape],
    *,
    from_ms: int,
    at_ms: int,
) -> Lesson | None:
    """Learn from all own orders, and from the recording since a moment; None: there is neither.

    Raises:
        StateFileError: the journal or the recording cannot be read.
    """
    seen = see(home, from_ms)
    if seen.is_empty:
        return None
    return Lesson(learn(seen, tapes, settings, before, at_ms=at_ms), tuple(seen.markets))


def see(home: Home, from_ms: int) -> Seen:
    """The journal, and the recording from a moment on.

    Raises:
        StateFileError: one of them cannot be read.
    """
    try:
        return Seen(_orders(home), read_looks(home.recordings, from_ms=from_ms))
    except OSError as error:
        raise StateFileError(f"{home.recordings}: cannot be read: {error}; check its permissions") from error


def _orders(home: Home) -> tuple[OrderRecord, ...]:
    return Intents(home.intents_file, mends=False).orders() if home.intents_file.exists() else ()
