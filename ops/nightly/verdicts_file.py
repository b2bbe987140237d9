"""What the nights have found, kept over restarts: `state/parity.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from ai_brain.paper.parity import ParityStatus
from trading.storage.checked import checked
from trading.storage.files import read_json, write_json
from trading.storage.home import Home

PARITY_SCHEMA, OLDEST_SCHEMA = 2, 1
"""Written, and still read: before 2 a verdict was a word without its day."""
RECENT_MS = 2 * 86_400_000
"""Since the end of the day that was compared: one night may be missed."""


class Verdict(BaseModel):
    """Of one strategy, by the last night that looked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: ParityStatus
    end_ms: int = 0
    """End of the day that was compared, UTC ms; 0: an older lab did not note it."""
    nights: int = 0
    """For how many nights in a row it could not be compared."""


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    differing: tuple[str, ...] = ()
    verdicts: dict[str, Verdict] = {}
    end_ms: int = 0


_FILE = TypeAdapter(_File)


@dataclass(slots=True)
class Verdicts:
    """Of all strategies."""

    differing: set[str] = field(default_factory=set)
    """Whose last comparable night was another than paper, or live, told."""
    by_id: dict[str, Verdict] = field(default_factory=dict)
    end_ms: int = 0
    """End of the newest day that a night looked at; 0: none yet."""

    def is_same(self, strategy_id: str, now_ms: int) -> bool:
        """Whether a strategy's paper was found to be its backtest, and lately."""
        last = self.by_id.get(strategy_id)
        if last is None or last.status is not ParityStatus.SAME or strategy_id in self.differing:
            return False
        return now_ms - last.end_ms <= RECENT_MS


def read_verdicts(home: Home) -> Verdicts:
    """What is known; no file: nothing.

    Raises:
        StateFileError: the file is broken and has been set aside.
    """
    path = _path(home)
    raw = read_json(path, schema=PARITY_SCHEMA, oldest=OLDEST_SCHEMA)
    if raw is None:
        return Verdicts()
    words = raw.get("verdicts")
    if isinstance(words, Mapping):
        raw["verdicts"] = {name: {"status": word} if isinstance(word, str) else word for name, word in words.items()}
    file = checked(path, raw, _FILE, mend="the next night looks at every account anew")
    return Verdicts(set(file.differing), dict(file.verdicts), file.end_ms)


def write_verdicts(home: Home, verdicts: Verdicts) -> None:
    """Keep them.

    Raises:
        StateFileError: the file cannot be written.
    """
    kept = _File(differing=tuple(sorted(verdicts.differing)), verdicts=verdicts.by_id, end_ms=verdicts.end_ms)
    write_json(_path(home), kept.model_dump(mode="json"), schema=PARITY_SCHEMA)


def _path(home: Home) -> Path:
    return home.state / "parity.json"
