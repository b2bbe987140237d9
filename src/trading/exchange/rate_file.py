"""A budget that all processes of the lab share: some hundred bytes, changed under a lock that falls with its holder.

The file is read and written whole, in place, within microseconds. A process that dies with the lock in hand lets go of
it by dying; what it had half written fails its checksum, and a file that does not add up begins anew with all but the
reserve spent. It is not synced: after a crash of the machine the count in the venue's first answer is as good.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from trading.exchange.rate_window import Window

log = structlog.get_logger(__name__)

LONGEST_BAN_MS = 3 * 86_400_000
"""Binance's longest; a time further off is a clock that was set back."""
_MAGIC = b"LRB1"
_HEAD = struct.Struct("<4sIq")
_WINDOW = struct.Struct("<IHqqI")
_TRIES = 50


@dataclass(frozen=True, slots=True)
class Limits:
    """What the venue allows before it has said so itself."""

    weight: int
    """Of requests, a minute."""
    orders: int
    orders_span_s: int


@dataclass(frozen=True, slots=True)
class Shared:
    """What the file says."""

    quiet_until_ms: int
    """The venue has asked this address to stay away until then, UTC milliseconds; 0: it has not."""
    weight: Window
    orders: Window

    def quiet_ms(self, now_ms: int) -> int:
        """How long nothing may be sent, milliseconds."""
        left_ms = self.quiet_until_ms - now_ms
        return left_ms if 0 < left_ms <= LONGEST_BAN_MS else 0


class RateFile:
    """The file of one budget.

    Args:
        path: Created, with its folder, when first needed.
        limits: Until the venue's own are known.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._descriptor = -1
        self._owner = 0

    def change(self, now_ms: int, update: Callable[[Shared], Shared]) -> Shared | None:
        """Read, change and write under the lock.

        Returns:
            What is in the file now; None: another process has the lock.

        Raises:
            OSError: the file cannot be used.
        """
        descriptor = self._open()
        for _ in range(_TRIES):
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
        else:
            return None
        try:
            before = self._read(descriptor, now_ms)
            after = update(before)
            if after != before:
                os.pwrite(descriptor, packed(after), 0)
            return after
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def look(self, now_ms: int) -> Shared:
        """What the file says, without the lock.

        Raises:
            OSError: the file cannot be used.
        """
        return self._read(self._open(), now_ms)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> int:
        """The descriptor; anew in a forked child, whose lock would be its parent's, and where the file was deleted."""
        if self._descriptor >= 0 and self._owner == os.getpid() and os.fstat(self._descriptor).st_nlink:
            return self._descriptor
        self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._owner = os.getpid()
        return self._descriptor

    def _read(self, descriptor: int, now_ms: int) -> Shared:
        raw = os.pread(descriptor, 4096, 0)
        limits = self._limits
        if not raw:
            return Shared(0, Window.empty(limits.weight, 60, now_ms=now_ms),
                          Window.empty(limits.orders, limits.orders_span_s, now_ms=now_ms))  # fmt: skip
        found = unpacked(raw)
        if found is None:
            log.warning("rate.file_unreadable", file=str(self._path), size=len(raw),
                        note="it begins anew with all but the reserve spent; nothing to do")  # fmt: skip
            return Shared(0, Window.drained(limits.weight, 60, now_ms=now_ms),
                          Window.drained(limits.orders, limits.orders_span_s, now_ms=now_ms))  # fmt: skip
        return Shared(found.quiet_until_ms, found.weight.at(now_ms), found.orders.at(now_ms))


def packed(shared: Shared) -> bytes:
    """As the file holds it."""
    body = b"".join(map(_packed_window, (shared.weight, shared.orders)))
    head = struct.pack("<q", shared.quiet_until_ms)
    return _HEAD.pack(_MAGIC, zlib.crc32(head + body), shared.quiet_until_ms) + body


def unpacked(raw: bytes) -> Shared | None:
    """What `packed` wrote; None: this is something else, or a part of it."""
    if len(raw) < _HEAD.size:
        return None
    magic, checksum, quiet_until_ms = _HEAD.unpack_from(raw)
    if magic != _MAGIC or checksum != zlib.crc32(raw[8:]):
        return None
    offset, windows = _HEAD.size, []
    for _ in range(2):
        limit, span_s, newest_s, told_span, foreign = _WINDOW.unpack_from(raw, offset)
        offset += _WINDOW.size
        taken = struct.unpack_from(f"<{span_s + 2}I", raw, offset)
        offset += 4 * len(taken)
        windows.append(Window(limit, span_s, taken, newest_s, told_span, foreign))
    return Shared(quiet_until_ms, *windows)


def _packed_window(window: Window) -> bytes:
    head = _WINDOW.pack(window.limit, window.span_s, window.newest_s, window.told_span, window.foreign)
    return head + struct.pack(f"<{len(window.taken)}I", *window.taken)
