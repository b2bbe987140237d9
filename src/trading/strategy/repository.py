"""The files of all strategies: one JSON file each, in the folder of its status, written whole or not at all.

A move between folders writes the new file, then removes the old one. After a crash in between both exist: the one with
the longer history wins, the other is its past and is removed. Many processes may use one folder; a writer that did
not see another's change is refused.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from trading.domain.errors import SpecError, StateFileError
from trading.storage.files import set_aside, sync_folder, write_atomic
from trading.storage.lock import waiting_lock
from trading.strategy.known import Known
from trading.strategy.lifecycle import Move, Stage, folder_of, status_of
from trading.strategy.spec import StrategySpec, dump_spec, load_spec, spec_sha256
from trading.strategy.spec_parts import is_strategy_id

LIVING = ("testing", "active")
FOLDERS = (*LIVING, "retired")
SUFFIX = ".json"
LISTED_IDS = 12
"""Most ids an error names."""


_File = os.DirEntry[str] | Path
"""One file, as a listing has it or by its name."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A file as it was read."""

    path: Path
    spec: StrategySpec
    is_at_home: bool
    """In the folder of its status."""


class StrategyRepository:
    """The strategies below one folder.

    Args:
        folder: `strategies/`; made on the first save.
        repair: Set unreadable files aside and remove what a crash left behind; False: only look (a status page).
    """

    def __init__(self, folder: Path, *, repair: bool = True) -> None:
        self._folder = folder
        self._repair = repair
        self._read: dict[str, tuple[tuple[int, int, int], _Stored]] = {}
        self._problems: dict[str, str] = {}
        self._why_aside: dict[str, str] = {}

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be read, one line a file: met by the last look, or set aside earlier and still lying there."""
        aside = [path for name in FOLDERS for path in sorted((self._folder / name).glob("*.json.bad-*"))]
        told = (self._why_aside.get(path.name, f"{path}: set aside, it could not be read; repair it") for path in aside)
        return (*self._problems.values(), *told)

    def all(self) -> list[StrategySpec]:
        """Every strategy that can be read, by id; the rest is in `problems`."""
        return self._in_folders(FOLDERS)

    def by_stage(self, *stages: Stage) -> list[StrategySpec]:
        """The strategies in these stages, by id. Retired ones are not even read unless they are asked for."""
        folders = {folder_of(status_of(stage, is_approved=approved)) for stage in stages for approved in (False, True)}
        return [spec for spec in self._in_folders(tuple(f for f in FOLDERS if f in folders)) if spec.stage in stages]

    def living(self) -> list[StrategySpec]:
        """Every strategy that is not retired, by id."""
        return self.by_stage(*(stage for stage in Stage if stage is not Stage.RETIRED))

    def read_ahead(self) -> None:
        """Take in what is new among those that are not retired, for a worker thread: who asks next reads little.

        Without the lock, so that nobody waits for thousands; what cannot be read is left to who asks for it.
        """
        with suppress(OSError):
            for entry in [entry for folder in LIVING for entry in self._listed(folder)]:
                with suppress(SpecError, StateFileError, FileNotFoundError):
                    self._loaded(entry)

    def count_by_stage(self) -> Counter[Stage]:
        """How many are in each stage; the retired are counted and not read: in a year there are thousands."""
        retired = sum(1 for _ in self._listed("retired"))
        return Counter({Stage.RETIRED: retired}) + Counter(spec.stage for spec in self.living())

    def known(self) -> Known:
        """What was ever stored, by what it does; of the retired the names alone are read here."""
        return Known(map(spec_sha256, self.living()), (entry.path for entry in self._listed("retired")))

    def of_id(self, spec_id: str) -> StrategySpec | None:
        """The strategy of a whole id, read alone; None: it is not there, or cannot be read."""
        if not is_strategy_id(spec_id):
            return None
        with self._looking():
            copies = self._present(list(self._copies(spec_id, FOLDERS)))
            return self._chosen(copies) if copies else None

    def get(self, id_or_prefix: str) -> StrategySpec:
        """One strategy by its id, or by the beginning of it.

        Raises:
            SpecError: unknown, or the beginning of several; lists ids.
        """
        if (spec := self.of_id(id_or_prefix)) is not None:
            return spec
        known = {spec.id: spec for spec in self.all()}
        fitting = [name for name in known if id_or_prefix and name.startswith(id_or_prefix)]
        if len(fitting) == 1:
            return known[fitting[0]]
        if fitting:
            raise SpecError(f"strategy {id_or_prefix!r}: begins {_listed(fitting)}; write more of it")
        unreadable = [line for line in self.problems if id_or_prefix and f"/{id_or_prefix}" in line]
        if unreadable:
            raise SpecError(f"strategy {id_or_prefix!r}: its file could not be read: {unreadable[0]}")
        raise SpecError(f"strategy {id_or_prefix!r}: unknown; known: {_listed(list(known)) or 'none yet'}")

    def save(self, spec: StrategySpec) -> Path:
        """Write a strategy into the folder of its status and remove it from where it was.

        Returns:
            Where it lies now.

        Raises:
            StateFileError: the stored file has moves or parameters that `spec` has not seen (load it again), cannot be
                read, or cannot be written.
            SpecError: the spec would not load again.
        """
        content = dump_spec(spec)
        home = self._folder / folder_of(spec.status)
        target = home / f"{spec.id}{SUFFIX}"
        load_spec(content, where=str(target))
        try:
            for name in FOLDERS:
                (self._folder / name).mkdir(parents=True, exist_ok=True)
            with self._locked():
                self._replace(spec, target, content)
        except OSError as error:
            raise StateFileError(f"{target}: cannot be written: {error.strerror}; check its permissions") from error
        return target

    def _replace(self, spec: StrategySpec, target: Path, content: bytes) -> None:
        try:
            copies = [self._stored(copy) for copy in self._copies(spec.id, FOLDERS)]
        except SpecError as error:
            raise StateFileError(f"{error}; {spec.id} was not saved") from error
        for stored in copies:
            _refuse_unseen(stored, spec)
        write_atomic(target, content)
        for stored in copies:
            if stored.path != target:
                _remove(stored.path)

    def _in_folders(self, folders: tuple[str, ...]) -> list[StrategySpec]:
        with self._looking():
            self._problems.clear()
            files = self._files(folders)
            self._forget_gone(folders, files)
            chosen = [self._chosen(copies) for _, found in files if (copies := self._present(found))]
        return sorted((spec for spec in chosen if spec is not None), key=lambda spec: spec.id)

    def _files(self, folders: tuple[str, ...]) -> list[tuple[str, list[_File]]]:
        """Every copy of every strategy that lies in some folders, by id.

        These folders are listed once; in the others its copies alone are looked for: thousands lie among the retired.
        """
        found: dict[str, list[_File]] = {}
        for folder in folders:
            for entry in self._listed(folder):
                found.setdefault(entry.name.removesuffix(SUFFIX), []).append(entry)
        others = tuple(folder for folder in FOLDERS if folder not in folders)
        return [(name, [*copies, *self._copies(name, others)]) for name, copies in sorted(found.items())]

    def _forget_gone(self, folders: tuple[str, ...], files: list[tuple[str, list[_File]]]) -> None:
        """Of the folders that were listed, what lies there no more: in a month thousands leave for the retired."""
        present = {os.fspath(copy) for _, copies in files for copy in copies}
        listed = {str(self._folder / folder) for folder in folders}
        for name in [name for name in list(self._read) if name not in present and str(Path(name).parent) in listed]:
            self._read.pop(name, None)

    def _listed(self, folder: str) -> Iterator[os.DirEntry[str]]:
        """The files of one folder."""
        with suppress(FileNotFoundError), os.scandir(self._folder / folder) as entries:
            yield from (entry for entry in entries if entry.name.endswith(SUFFIX))

    def _present(self, copies: list[_File]) -> list[_Stored]:
        """Every copy of a strategy that can be read; the others become problems."""
        found = []
        for copy in copies:
            try:
                found.append(self._stored(copy))
            except (SpecError, StateFileError) as error:
                if Path(copy).exists():
                    self._problems[os.fspath(copy)] = str(error)
            except FileNotFoundError:
                continue  # moved meanwhile: who only looks does so without the lock
        return found

    def _stored(self, copy: _File) -> _Stored:
        """Read a file, or remember it where it has not changed.

        Raises:
            SpecError: not a strategy; it has been set aside.
            StateFileError: the system does not let us read it.
            FileNotFoundError: it is gone.
        """
        try:
            return self._loaded(copy)
        except SpecError as error:
            raise SpecError(self._aside(Path(copy), str(error))) from error

    def _loaded(self, copy: _File) -> _Stored:
        """As `_stored`, and what is not a strategy is left where it is."""
        name = os.fspath(copy)
        try:
            facts = copy.stat()
            seen = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
            if (known := self._read.get(name)) is not None and known[0] == seen:
                return known[1]
            path = Path(name)
            raw = path.read_bytes()
        except FileNotFoundError:
            self._read.pop(name, None)
            raise
        except OSError as error:
            raise StateFileError(f"{name}: cannot be read: {error.strerror}; check its permissions") from error
        spec = _named_by_its_id(load_spec(raw, where=name), path)
        stored = _Stored(path, spec, is_at_home=path.parent.name == folder_of(spec.status))
        self._read[name] = (seen, stored)
        return stored

    def _aside(self, path: Path, why: str) -> str:
        """Set a file aside if we may; what to tell of it."""
        if not self._repair:
            return why
        try:
            kept = set_aside(path)
        except OSError as error:
            return f"{why}; it could not be set aside: {error.strerror}"
        self._why_aside[kept.name] = f"{why}; set aside as {kept.name}"
        return self._why_aside[kept.name]

    def _chosen(self, copies: list[_Stored]) -> StrategySpec | None:
        """The present one of several copies; None where the only one lies in a folder that is not of its status."""
        best = max(copies, key=lambda stored: (len(stored.spec.history), stored.is_at_home))
        if not best.is_at_home:
            home = folder_of(best.spec.status)
            why = f"{best.path}: status={best.spec.status} belongs in {home}/; move the file there"
            self._problems[str(best.path)] = why
            return None
        for stored in copies:
            if stored is not best and self._repair:
                self._tidy(stored, best)
        return best.spec

    def _tidy(self, loser: _Stored, winner: _Stored) -> None:
        if _is_past_of(loser.spec.history, winner.spec.history):
            _remove(loser.path)
        else:
            self._aside(loser.path, f"{loser.path}: its history contradicts {winner.path}; keep the right one")

    def _looking(self) -> AbstractContextManager[None]:
        """Under the lock: between two looks a file may move to the folder looked at first, and be seen in neither."""
        return self._locked() if self._repair and self._folder.is_dir() else nullcontext()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                stack.enter_context(waiting_lock(self._folder / ".lock"))
            except OSError as error:
                raise StateFileError(
                    f"{self._folder}: cannot be locked: {error.strerror}; check permissions"
                ) from error
            yield

    def _copies(self, name: str, folders: tuple[str, ...]) -> list[Path]:
        return [path for folder in folders if (path := self._folder / folder / f"{name}{SUFFIX}").exists()]


def _named_by_its_id(spec: StrategySpec, path: Path) -> StrategySpec:
    if path.stem != spec.id:
        raise SpecError(f"{path}: id={spec.id}: a strategy's file is named by its id; rename it {spec.id}.json")
    return spec


def _refuse_unseen(stored: _Stored, spec: StrategySpec) -> None:
    if not _is_past_of(stored.spec.history, spec.history):
        raise StateFileError(
            f"{stored.path}: its {len(stored.spec.history)} moves, the last to {stored.spec.stage}, are not the past "
            f"of the {len(spec.history)} to be saved: somebody else moved it; load it again"
        )
    if spec_sha256(stored.spec) != spec_sha256(spec) or stored.spec.created_at != spec.created_at:
        raise StateFileError(
            f"{stored.path}: another strategy, or its parameters were changed since it was loaded, and parameters of a "
            "stored strategy do not change; load it again, or make a new one"
        )


def _is_past_of(earlier: tuple[Move, ...], later: tuple[Move, ...]) -> bool:
    return later[: len(earlier)] == earlier


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED_IDS} more" if len(names) > LISTED_IDS else ""
    return ", ".join(sorted(names)[:LISTED_IDS]) + more
