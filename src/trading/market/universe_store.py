"""The shelf of snapshots: `market/universe/perp-20210906T131338Z-<hash>.json.gz`, and `confirmed.json` beside them.

A snapshot that says what the one before it says is not kept again: only the time at which the same was seen is noted,
so a day without a change costs a line. Files never change; they may be imported in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from pydantic import StrictInt, TypeAdapter, ValidationError

from trading.domain.clock import iso
from trading.domain.errors import DataProviderError, StateFileError
from trading.market.listing import TRADING
from trading.market.universe_snapshot import Kind, Snapshot, packed, told_again, unpacked
from trading.storage.files import read_json, write_atomic, write_json
from trading.storage.lock import waiting_lock

FOLDER = "universe"
SCHEMA = 1
MOST_LOST = 0.5
"""A listing that lacks more of what traded in the one before it is taken for a copy that was cut down. Between the
recorded ones of 2022 and 2025, almost three years, 16 % went."""


_TIMES = TypeAdapter(dict[str, list[StrictInt]])


class Kept(StrEnum):
    """What became of a snapshot."""

    NEW = "kept"
    SAME = "nothing changed since"
    KNOWN = "known already"


class UniverseStore:
    """Snapshots on disk.

    Args:
        root: The folder of the tape store; the snapshots lie in `universe` in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root / FOLDER

    def save(self, snapshot: Snapshot) -> tuple[Kept, str]:
        """Put a snapshot on the shelf.

        Returns:
            What became of it, and the name of the file that says so.

        Raises:
            DataProviderError: it calls itself complete and cannot be, beside those that are held.
            StateFileError: the folder cannot be written to.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with waiting_lock(self.root / ".lock"):
            held = self._before(snapshot)
            _check_complete(snapshot, [one for _, one in held])
            name, last = next(((n, one) for n, one in held if one.taken_ms <= snapshot.taken_ms), (None, None))
            if name is not None and last is not None:
                again = self._seen().get(name, [])
                is_same = last.content_hash == snapshot.content_hash
                if is_same and snapshot.taken_ms in (last.taken_ms, *again):
                    return Kept.KNOWN, name
                if is_same:
                    self._note({name: [*again, snapshot.taken_ms]})
                    return Kept.SAME, name
                if later := [ms for ms in again if ms > snapshot.taken_ms]:
                    # The one before was seen again after this one: it holds from then on anew.
                    copy = self._write(replace(last, taken_ms=later[0]))
                    self._note({copy: later[1:], name: [ms for ms in again if ms < snapshot.taken_ms]})
            return Kept.NEW, self._write(snapshot)

    def snapshots(self, *kinds: Kind, symbol: str | None = None) -> list[Snapshot]:
        """Snapshots of these kinds, all without any, oldest first.

        Args:
            kinds: Which.
            symbol: What is going to be asked for; the others are left out, which is several times as fast.

        Raises:
            DataProviderError: a file is damaged; names it.
        """
        seen = self._seen()
        found = [self._read(name, seen, symbol) for kind in kinds or Kind for name in self._names(kind)]
        return sorted(found, key=lambda one: one.taken_ms)

    def newest(self, kind: Kind) -> Snapshot | None:
        """The newest of a kind; None: there is none.

        Raises:
            DataProviderError: the file is damaged.
        """
        names = self._names(kind)
        return self._read(names[-1], self._seen()) if names else None

    def _before(self, snapshot: Snapshot) -> list[tuple[str, Snapshot]]:
        """Those of its kind up to its moment, newest first, back to the first complete one that is older."""
        own, found, seen = packed(snapshot)[0].split("-")[1], list[tuple[str, Snapshot]](), self._seen()
        for name in reversed(self._names(snapshot.kind)):
            if name.split("-")[1] <= own:
                found.append((name, self._read(name, seen)))
                if found[-1][1].is_complete and found[-1][1].taken_ms < snapshot.taken_ms:
                    break
        return sorted(found, key=lambda pair: -pair[1].taken_ms)

    def _names(self, kind: Kind) -> list[str]:
        """Files of a kind, oldest first: the name begins with the time."""
        return sorted(path.name for path in self.root.glob(f"{kind}-*.json.gz"))

    def _read(self, name: str, seen: Mapping[str, list[int]], symbol: str | None = None) -> Snapshot:
        told = unpacked(name, (self.root / name).read_bytes(), symbol=symbol)
        return told_again(told, max(seen.get(name, []), default=0))

    def _write(self, snapshot: Snapshot) -> str:
        name, content = packed(snapshot)
        write_atomic(self.root / name, content)
        return name

    def _seen(self) -> dict[str, list[int]]:
        """By file, the times at which the same was seen again, oldest first."""
        path = self.root / "confirmed.json"
        times = (read_json(path, schema=SCHEMA) or {}).get("seen_ms", {})
        try:
            return _TIMES.validate_python(times)
        except ValidationError as error:
            raise StateFileError(f"{path}: not times by file; restore it from a backup") from error

    def _note(self, times: Mapping[str, list[int]]) -> None:
        told = {name: sorted(seen) for name, seen in sorted({**self._seen(), **times}.items()) if seen}
        write_json(self.root / "confirmed.json", {"seen_ms": told}, schema=SCHEMA)


def _check_complete(snapshot: Snapshot, held: list[Snapshot]) -> None:
    """Refuse a copy that was cut down and calls itself complete: all it lacks would be told as delisted.

    Args:
        held: Those up to its moment, newest first.
    """
    if not snapshot.is_complete or snapshot.kind is Kind.BRACKETS:
        return
    whole = [one for one in held if one.is_complete]
    for one in whole:
        if one.taken_ms == snapshot.taken_ms and one.content_hash != snapshot.content_hash:
            raise DataProviderError(
                f"{snapshot}: another one of the same moment is held, from {one.source}; the smaller one is a cut "
                "copy: import it with --partial"
            )
    before = [one for one in whole if one.taken_ms < snapshot.taken_ms]
    if not before or snapshot.kind is Kind.FUNDING:
        return
    traded = {name for name, row in before[0].rows.items() if isinstance(row, dict) and row.get("status") == TRADING}
    lost = len(traded - snapshot.rows.keys())
    if lost > MOST_LOST * len(traded):
        raise DataProviderError(
            f"{snapshot}: lacks {lost} of {len(traded)} symbols that traded at {iso(before[0].taken_ms)}; a cut copy? "
            "import it with --partial, and what it lacks is not taken for delisted"
        )
