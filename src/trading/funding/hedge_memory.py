"""What the hedge watch remembers over restarts: what it has told, and the funding terms it last knew.

Without it a human would hear of everything again after each restart, and a change of terms while the lab was down would
be missed. A file that cannot be read is set aside; what it knew is learned anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter

from trading.domain.clock import HOUR_MS
from trading.domain.errors import StateFileError
from trading.domain.hedge import ContractTerms
from trading.funding.hedge_watch import Finding
from trading.storage.checked import read_checked
from trading.storage.files import write_json

SCHEMA = 1
OVER_MS = HOUR_MS
"""A finding that has not stood for so long is over: a rank that goes to and fro is one message, not sixty an hour."""


@dataclass(frozen=True, slots=True)
class KnownTerms:
    """The terms of one contract."""

    now: ContractTerms
    before: ContractTerms | None = None
    """None: they never changed under our eyes."""
    changed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A finding a human has heard of."""

    kind: str
    where: str
    consequence: int
    """The strongest it was told with."""


@dataclass(frozen=True, slots=True)
class HedgeMemoryFile:
    """The file, as it is parsed."""

    told: Mapping[str, Told] = field(default_factory=dict)
    terms: Mapping[str, KnownTerms] = field(default_factory=dict)


MEMORY = TypeAdapter(HedgeMemoryFile)


@dataclass(frozen=True, slots=True)
class News:
    """What a human has to hear now."""

    found: tuple[Finding, ...] = ()
    """New, or worse than it was told."""
    over: tuple[Told, ...] = ()


class HedgeMemory:
    """`state/hedge_watch.json`.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.note = ""
        """Why nothing is remembered; empty: all is."""
        self._memory = self._read()
        self._seen_ms: dict[str, int] = {}

    def terms(self, symbol: str) -> KnownTerms | None:
        """What was last known of a contract."""
        return self._memory.terms.get(symbol)

    def learn(self, symbol: str, terms: ContractTerms, now_ms: int) -> KnownTerms:
        """Take note of a contract's terms; what changed, and when it was seen to.

        Raises:
            StateFileError: the file cannot be written.
        """
        known = self._memory.terms.get(symbol)
        if known is not None and known.now == terms:
            return known
        fresh = KnownTerms(terms) if known is None else KnownTerms(terms, known.now, now_ms)
        self._write(replace(self._memory, terms={**self._memory.terms, symbol: fresh}))
        return fresh

    def news(self, findings: Iterable[Finding], now_ms: int) -> News:
        """What of the findings was not told yet, and what is over; both are then remembered as told.

        Raises:
            StateFileError: the file cannot be written.
        """
        told, found = dict(self._memory.told), []
        for finding in findings:
            self._seen_ms[finding.key] = now_ms
            known = told.get(finding.key)
            if known is None or finding.consequence > known.consequence:
                told[finding.key] = Told(finding.id, finding.where, finding.consequence)
                found.append(finding)
        over = [key for key in told if now_ms - self._seen_ms.setdefault(key, now_ms) >= OVER_MS]
        gone = tuple(told.pop(key) for key in over)
        for key in over:
            del self._seen_ms[key]
        if found or gone:
            self._write(replace(self._memory, told=told))
        return News(tuple(found), gone)

    def _read(self) -> HedgeMemoryFile:
        try:
            return read_checked(self._path, MEMORY, schema=SCHEMA, needs=("told", "terms")) or HedgeMemoryFile()
        except StateFileError as error:
            self.note = str(error)
            return HedgeMemoryFile()

    def _write(self, memory: HedgeMemoryFile) -> None:
        self._memory = memory
        write_json(self._path, asdict(memory), schema=SCHEMA)
