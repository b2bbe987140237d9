"""An append-only file of lines that one process writes and others read; what a crash tore off is set aside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trading.domain.errors import StateFileError
from trading.storage.files import append_line, set_torn_aside


class JournalFile:
    """The file and how far it has been read.

    A last line torn by a crash is set aside and named in `notes`: it was being written, so what it meant had not left.

    Args:
        path: The file.
        mends: False for who reads beside a living writer: a line that is half there is left alone until it is whole.
    """

    def __init__(self, path: Path, *, mends: bool) -> None:
        self._path, self._mends = path, mends
        self.notes: tuple[str, ...] = ()
        self._lines_read = 0
        self._bytes_read = 0

    def new_lines(self, *, alone: bool) -> Iterator[tuple[int, bytes]]:
        """Whole lines that were appended since the last look, with their numbers.

        Args:
            alone: Nobody else is writing: from now on a torn line is set aside.

        Raises:
            StateFileError: the file cannot be read, or was shortened.
        """
        self._mends = self._mends or alone
        for line in self._read():
            self._lines_read += 1
            yield self._lines_read, line

    def append(self, line: bytes) -> None:
        """Write one line; it is on disk when this returns.

        Raises:
            StateFileError: it could not be written.
        """
        append_line(self._path, line)
        self._bytes_read += len(line) + 1
        self._lines_read += 1

    def _read(self) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(self._bytes_read)
                raw = file.read()
        except FileNotFoundError:
            raw, size = b"", 0
        except OSError as error:
            raise StateFileError(f"{self._path}: cannot be read: {error.strerror}; check its permissions") from error
        if size < self._bytes_read:
            raise StateFileError(f"{self._path}: shorter than it was; stop, and restore it from a backup")
        whole, _, torn = raw.rpartition(b"\n")
        if torn and self._mends:
            kept = set_torn_aside(self._path, torn, keep_bytes=size - len(torn))
            self.notes = (f"a line torn by a crash was set aside as {kept.name}; its order had not left",)
        self._bytes_read = size - len(torn)
        return whole.split(b"\n") if whole else []
