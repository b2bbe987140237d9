"""What each sense said, and when the lab knew it: a file of JSON lines, so that a decision can be followed to what was
known then. It is bounded: a full file becomes the older one, and the one before that goes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from trading.domain.clock import iso
from trading.storage.files import append_line

MAX_BYTES = 20_000_000
"""Of one file; a year of all senses takes about 60 MB."""


class SenseRecord:
    """The record.

    Args:
        path: `state/senses.jsonl`; the older lines are in `senses.1.jsonl` beside it.
        max_bytes: Of one file.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._path, self._max_bytes = path, max_bytes
        self._last: dict[tuple[str, object], Mapping[str, object]] = {}

    @property
    def older(self) -> Path:
        """The file with the lines before."""
        return self._path.with_name(f"{self._path.stem}.1{self._path.suffix}")

    def note(self, sense: str, *, at_ms: int, known_ms: int, facts: Mapping[str, object]) -> None:
        """Append a line, unless the sense said the same of the same thing the last time.

        Args:
            sense: `news`, `onchain`, `sentiment` or `fear_greed`.
            at_ms: What moment it tells of, UTC milliseconds.
            known_ms: Since when the lab knows it.
            facts: Values with their source.

        Raises:
            StateFileError: the file cannot be written to.
        """
        key = (sense, facts.get("name"))
        if self._last.get(key) == facts:
            return
        self._last[key] = dict(facts)
        if self._path.exists() and self._path.stat().st_size > self._max_bytes:
            self._path.replace(self.older)
        line = {"sense": sense, "at": iso(at_ms), "known": iso(known_ms), "known_ms": known_ms, **facts}
        append_line(self._path, json.dumps(line, ensure_ascii=False, allow_nan=False).encode())
