"""The audit file: one JSON line a cycle, each carrying the hash of the one before.

`hash` is the SHA-256 of the line's canonical JSON without `hash`, and `prev` is the `hash` of the line before (64 zeros
for the first). An edited, removed or reordered line breaks the chain at a place `verify_audit` can name; lines removed
at the end show against a root that was told (`audit_roots`). A line torn by a crash is set aside beside the file, the
chain goes on from the last whole line, and the next line says so in `note`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from trading.domain.clock import iso
from trading.domain.decisions import Reason
from trading.domain.errors import StateFileError
from trading.journal.audit_roots import TOLD_DIGITS, ToldRoot
from trading.storage.files import append_line, set_torn_aside

SCHEMA = 1
GENESIS = "0" * 64
"""`prev` of the first line."""
_TAIL_BYTES = 1 << 20


class CycleStatus(StrEnum):
    """How a cycle ended."""

    EXECUTED = "EXECUTED"
    """Orders were sent and their outcome is known."""
    NO_TRADE = "NO_TRADE"
    HALTED = "HALTED"
    """A stop, a halt or a difference in the books forbids trading."""
    DEGRADED = "DEGRADED"
    """Data or venue did not answer well enough to decide."""


@dataclass(frozen=True, slots=True)
class AuditLine:
    """What every cycle writes; values are JSON, units in the names."""

    at_ms: int
    mode: str
    """`paper`, `live` or `demo`."""
    status: CycleStatus
    reason: Reason
    config_sha256: str
    data_sha256: str = ""
    data_quality: float = 0.0
    """0..100, of the worst market the cycle used."""
    stage_s: Mapping[str, float] = field(default_factory=dict)
    """Real seconds each stage of the cycle took."""
    regime: str = ""
    """What kind of market it was, or `unknown: why`; see `docs/operating.md`."""
    signals: Sequence[Mapping[str, object]] = ()
    proposals: Sequence[Mapping[str, object]] = ()
    """Each with its origin."""
    risk: Mapping[str, object] = field(default_factory=dict)
    """Verdict with the rule that decided and both numbers: `allowed, reason, value, limit, note`."""
    intents: Sequence[str] = ()
    orders: Sequence[Mapping[str, object]] = ()
    fills: Sequence[Mapping[str, object]] = ()
    equity: Mapping[str, object] = field(default_factory=dict)
    """The identity's terms and its error, quote."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """What `verify_audit` found."""

    lines: int
    """Lines read, up to and including the first bad one."""
    ok: bool
    first_bad_line: int | None
    """1 is the first line of the file; None: every line is good, by itself and behind the one before."""
    why: str
    head_hash: str
    """Hash of the last good line; the day's root."""


class AuditLog:
    """Appends to the chain. One writer: the service, which holds the lab's lock.

    Args:
        path: The file.
        roots: What was told of it: a file without a line of it is not begun anew.

    Raises:
        StateFileError: the file cannot be read, its last whole line is not a line of the chain, or it was emptied.
    """

    def __init__(self, path: Path, *, roots: Sequence[ToldRoot] = ()) -> None:
        self._path = path
        self._note = ""
        self._head = self._recover()
        told = next((root.where for root in roots if not GENESIS.startswith(root.root)), None)
        if self._head == GENESIS and told is not None:
            raise StateFileError(f"{path}: has no line, and {told} told of some; restore it from a backup")

    @property
    def head_hash(self) -> str:
        """Hash of the last line written."""
        return self._head

    def append(self, line: AuditLine) -> str:
        """Write one line and fsync it; its hash.

        Raises:
            StateFileError: the file cannot be written to.
        """
        body = {"schema": SCHEMA, "time": iso(line.at_ms), **asdict(line), "prev": self._head}
        if self._note:
            body["note"] = f"{line.note}; {self._note}" if line.note else self._note
        digest = _digest(body)
        append_line(self._path, _canonical({**body, "hash": digest}))
        self._head, self._note = digest, ""
        return digest

    def _recover(self) -> str:
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                start = max(0, size - _TAIL_BYTES)
                file.seek(start)
                tail = file.read()
        except FileNotFoundError:
            return GENESIS
        except OSError as error:
            raise StateFileError(f"{self._path}: cannot be read: {error.strerror}; check its permissions") from error
        whole, _, torn = tail.rpartition(b"\n")
        if torn:
            kept = set_torn_aside(self._path, torn, keep_bytes=size - len(torn))
            self._note = f"a line torn by a crash was set aside as {kept.name}"
        last = whole.rpartition(b"\n")[2]
        if not last:
            return GENESIS
        entry = _parse(last)
        if entry is None or _digest_of(entry) != entry.get("hash"):
            raise StateFileError(f"{self._path}: the last line is not of the chain; run verify-audit and restore it")
        return str(entry["hash"])


def verify_audit(path: Path, roots: Sequence[ToldRoot] = ()) -> AuditCheck:
    """Read the whole file and check every hash; a missing or empty file is a chain of no lines.

    Args:
        path: The audit file.
        roots: Hashes that were told; each must be one of the chain's.

    Raises:
        StateFileError: the file cannot be read.
    """
    expected, number = GENESIS, 0
    missing = {told.root: told.where for told in roots if not GENESIS.startswith(told.root)}
    beginnings = {root[:TOLD_DIGITS] for root in missing}
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                digest = _link(raw, expected)
                if digest is None:
                    entry = _parse(raw)
                    why = _fault(raw, entry, expected)
                    if why or entry is None:
                        return AuditCheck(number, ok=False, first_bad_line=number, why=why, head_hash=expected)
                    digest = str(entry["hash"])
                expected = digest
                if expected[:TOLD_DIGITS] in beginnings:
                    missing = {root: where for root, where in missing.items() if not expected.startswith(root)}
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StateFileError(f"{path}: cannot be read: {error.strerror}; check its permissions") from error
    if not missing:
        return AuditCheck(number, ok=True, first_bad_line=None, why="", head_hash=expected)
    root, where = next(iter(missing.items()))
    why = (
        f"the root {root[:TOLD_DIGITS]}, told in {where}, is not of this chain: its end is cut off, or all is rewritten"
    )
    return AuditCheck(number, ok=False, first_bad_line=None, why=why, head_hash=expected)


def _link(raw: bytes, expected_prev: str) -> str | None:
    """The hash of a good line that is as the lab writes it, without taking it apart; None: look at it closely.

    Keys are sorted, so `hash` stands right before `intents`, and only the line itself has `intents` and `prev`: inside
    of a text a quote is escaped. What is left without the hash are then the bytes that were hashed.
    """
    at = raw.find(_INTENTS)
    own = raw[at - _HASH_BYTES : at]
    if at < _HASH_BYTES or not own.startswith(b'"hash":"') or not raw.endswith(b"}\n"):
        return None
    if raw.count(_INTENTS) != 1 or raw.count(b'"prev":') != 1 or f'"prev":"{expected_prev}"'.encode() not in raw:
        return None
    digest = hashlib.sha256(raw[: at - _HASH_BYTES] + raw[at + 1 : -1]).hexdigest()
    return digest if own == f'"hash":"{digest}"'.encode() else None


_INTENTS = b',"intents":'
_HASH_BYTES = len('"hash":""') + 64


def _fault(raw: bytes, entry: dict[str, object] | None, expected_prev: str) -> str:
    if not raw.endswith(b"\n"):
        return "the line is torn: it does not end"
    if entry is None:
        return "not a JSON object"
    if _digest_of(entry) != entry.get("hash"):
        return "the line was edited: its hash does not match its content"
    if entry.get("prev") != expected_prev:
        return "the line before it was removed, added or moved: prev does not match"
    return ""


def _parse(raw: bytes) -> dict[str, object] | None:
    try:
        entry = json.loads(raw)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _digest_of(entry: dict[str, object]) -> str:
    return _digest({key: value for key, value in entry.items() if key != "hash"})


def _digest(body: Mapping[str, object]) -> str:
    return hashlib.sha256(_canonical(body)).hexdigest()


def _canonical(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
