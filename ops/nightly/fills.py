"""What a night learns of fills, as the service asks for it: the journal of intents and the raw recording. CPU work."""

from __future__ import annotations

from collections.abc import Mapping

from ai_brain.desk.learned_fills import LearnedFills
from ops.nightly.fill_lessons import Seen, learn
from ops.settings import LabSettings
from trading.domain.errors import StateFileError
from trading.exchange.recorded_looks import Key, read_looks
from trading.execution.intent_records import OrderRecord
from trading.execution.intents import Intents
from trading.market.tape import Tape
from trading.storage.home import Home


def markets_to_read(home: Home, from_ms: int) -> list[Key] | None:
    """Whose bars are needed to learn from what there is; None: there is nothing to learn from.

    Raises:
        StateFileError: the journal or the recording cannot be read.
    """
    seen = see(home, from_ms)
    return None if seen.is_empty else seen.markets


def learn_night(
    home: Home,
    settings: LabSettings,
    before: LearnedFills | None,
    tapes: Mapping[Key, Tape],
    *,
    from_ms: int,
    at_ms: int,
) -> LearnedFills:
    """Learn from all own orders, and from the recording since a moment.

    Raises:
        StateFileError: the journal or the recording cannot be read.
    """
    return learn(see(home, from_ms), tapes, settings, before, at_ms=at_ms)


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
