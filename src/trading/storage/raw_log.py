"""Lines written down by a thread as they come: gzip files of an hour, bounded in total, readable up to a torn end.

The event loop only appends to a list. Twice a second the thread compresses what is there and hands it to the operating
system as a whole gzip block, so that a killed process loses what is younger than that. Every start and every hour
begins a new file; the oldest files make room.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog

from trading.domain.clock import DAY_MS, Clock, as_datetime

log = structlog.get_logger()

FLUSH_S = 0.5
"""Between two writes, real seconds."""
MOST_WAITING = 64 * 1024 * 1024
"""Characters that may wait for a slow disk. Beyond it lines are dropped, and it is said."""
LARGEST_FILE = 256 * 1024 * 1024
"""Bytes; then the next file begins within the hour."""
RETRY_S = 60.0
"""After a disk error, real seconds."""
SUFFIX = ".lines.gz"
STEM = "%Y%m%dT%H%M%S"
"""Of a file's name: when it was begun, lab time."""
FILE_S = 3_600.0
"""And after this long the next file begins, real seconds."""
_LEVEL = 6
_CHUNK = 1 << 20
_BLOCK_END = b"\0\0\xff\xff"  # what Z_SYNC_FLUSH writes last
_NEVER_WRITTEN = bytes(32)  # a power cut leaves zeros; packed text has no such run, and zlib would read text into it
_GZIP = 31  # zlib's number for a gzip header and checksum


@dataclass(slots=True)
class _File:
    path: Path
    until_s: float
    """Real time at which the next begins."""
    stream: zlib._Compress
    size: int = 0


class RawLog:
    """A folder of lines.

    Args:
        folder: Where the files go; made if it is not there.
        clock: Names and rotates the files.
        max_bytes: Of all files together; the oldest are removed.
        keep_days: Older files are removed.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, folder: Path, clock: Clock, *, max_bytes: int, keep_days: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._clock = folder, clock
        self._max_bytes, self._keep_ms = max_bytes, keep_days * DAY_MS
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._waiting: list[str] = []
        self._waiting_size = 0
        self._file: _File | None = None
        self._failed_s: float | None = None
        self.lost = 0
        """Lines that could not be written."""
        self.written_bytes = 0
        """Compressed bytes so far."""
        self._thread = threading.Thread(target=self._run, name="raw-log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Have a line written; never waits. A line has no line break."""
        with self._lock:
            if self._waiting_size > MOST_WAITING:
                self.lost += 1
                if self.lost % 10_000 == 1:
                    log.error("recording.behind", lost_lines=self.lost, folder=str(self._folder))
                return
            self._waiting.append(line)
            self._waiting_size += len(line)

    def close(self) -> None:
        """Write what is left and end the last file."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(FLUSH_S):
            self._write_waiting()
        self._write_waiting()
        self._end_file()

    def _write_waiting(self) -> None:
        with self._lock:
            lines, self._waiting, self._waiting_size = self._waiting, [], 0
        if not lines:
            return
        if self._failed_s is not None and self._clock.real_s() - self._failed_s < RETRY_S:
            self.lost += len(lines)
            return
        try:
            self._append(("\n".join(lines) + "\n").encode())
        except OSError as error:
            self.lost += len(lines)
            self._file, self._failed_s = None, self._clock.real_s()
            log.exception("recording.failed", error=str(error), folder=str(self._folder), lost_lines=self.lost)
        else:
            self._failed_s = None

    def _append(self, data: bytes) -> None:
        now_ms, now_s = self._clock.now_ms(), self._clock.real_s()
        if self._file is None or now_s >= self._file.until_s or self._file.size > LARGEST_FILE:
            self._end_file()
            self._file = self._new_file(now_ms)
            self._make_room(now_ms)
        block = self._file.stream.compress(data) + self._file.stream.flush(zlib.Z_SYNC_FLUSH)
        self._put(self._file, block)

    def _put(self, file: _File, block: bytes) -> None:
        with file.path.open("ab") as out:
            out.write(block)
        file.size += len(block)
        self.written_bytes += len(block)

    def _new_file(self, now_ms: int) -> _File:
        stem = _stem(now_ms)
        number = 0
        while (path := self._folder / f"{stem}-{number:03d}{SUFFIX}").exists():
            number += 1
        path.touch()
        return _File(path, self._clock.real_s() + FILE_S, zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP))

    def _end_file(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            try:
                self._put(file, file.stream.flush(zlib.Z_FINISH))
            except OSError as error:
                log.warning("recording.not_ended", file=str(file.path), error=str(error))

    def _make_room(self, now_ms: int) -> None:
        """Remove the oldest files until the rest, with one more of full size, fits."""
        files = [path for path in raw_files(self._folder) if self._file is None or path != self._file.path]
        sizes = {path: path.stat().st_size for path in files}
        total = sum(sizes.values())
        for path in files:
            is_old = path.stat().st_mtime * 1000 < self._clock.system_ms() - self._keep_ms
            if total <= self._max_bytes - largest_file_bytes(self._max_bytes) and not is_old:
                return
            path.unlink()
            total -= sizes[path]
            why = "older than keep_days" if is_old else "more than max_gb"
            log.info("recording.removed", file=path.name, bytes=sizes[path], why=why, at_ms=now_ms)


def largest_file_bytes(max_bytes: int) -> int:
    """What is kept free for the next file."""
    return min(LARGEST_FILE, max_bytes // 4)


def began_ms(path: Path) -> int:
    """When a file was begun, lab time in UTC milliseconds, by its name."""
    return int(datetime.strptime(path.name.split("-")[0], STEM).replace(tzinfo=UTC).timestamp() * 1000)


def raw_files(folder: Path, *, from_ms: int | None = None) -> list[Path]:
    """The files of a folder, oldest first; from a moment of lab time on those that may hold lines of it."""
    files = sorted(folder.glob(f"*{SUFFIX}"))
    if from_ms is not None:
        begun = [number for number, path in enumerate(files) if path.name < _stem(from_ms)]
        files = files[begun[-1] if begun else 0 :]  # the newest that began before it goes on into it
    return files


def _stem(at_ms: int) -> str:
    """How the name of a file that begins then begins; sorts as time does."""
    return as_datetime(at_ms).strftime(STEM)


@dataclass(slots=True)
class Reading:
    """What was met while reading."""

    files: int = 0
    bytes: int = 0
    """Compressed."""
    lines: int = 0
    torn: list[str] = field(default_factory=list)
    """Files whose end is missing or damaged; the lines before it were read."""


def read_lines(
    folder: Path,
    reading: Reading | None = None,
    *,
    from_ms: int | None = None,
    holding: Sequence[bytes] = (),
) -> Iterator[str]:
    """Every whole line of a folder, or of its newer files, oldest first; a torn end is passed over and noted.

    Args:
        folder: Of the files.
        reading: Filled with what was met.
        from_ms: Files after which another had begun by then are not opened: all they hold is older.
        holding: Only lines with one of these; most lines are of books, and not decoded then. Empty: all.

    Raises:
        OSError: a file cannot be read.
    """
    met = reading or Reading()
    for path in raw_files(folder, from_ms=from_ms):
        met.files += 1
        rest = b""
        for text in _texts(path, met):
            *whole, rest = (rest + text).split(b"\n")
            met.lines += len(whole)
            for line in whole:
                if not holding or any(word in line for word in holding):
                    yield line.decode(errors="replace")


def _texts(path: Path, met: Reading) -> Iterator[bytes]:
    """What a file unpacks to, up to where it is damaged; of a damaged stretch the whole blocks before the fault."""
    stream = zlib.decompressobj(_GZIP)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            met.bytes += len(chunk)
            if (hole := chunk.find(_NEVER_WRITTEN)) >= 0:
                yield _whole_blocks(stream, chunk[:hole])
                break
            before = stream.copy()
            try:
                text = stream.decompress(chunk)
            except zlib.error:
                yield _whole_blocks(before, chunk)
                break
            yield text
    if not stream.eof:
        met.torn.append(path.name)


def _whole_blocks(stream: zlib._Decompress, chunk: bytes) -> bytes:
    """What the blocks of a chunk unpack to until the first that is cut off or damaged.

    zlib gives nothing of a piece with a fault, and an hour of lines may be in the piece. Of the block with the fault
    nothing is taken: nobody knows where in it the text begins to be wrong.
    """
    found, at = b"", 0
    while (end := chunk.find(_BLOCK_END, at)) >= 0:
        end += len(_BLOCK_END)
        try:
            found += stream.decompress(chunk[at:end])
        except zlib.error:
            break
        at = end
    return found
