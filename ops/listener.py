"""A reader that has seen enough (`| head`, `| grep -q`) is no error: what nobody takes is dropped, the work goes on."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def outlive_reader(unheard: type[OSError] = BrokenPipeError) -> None:
    """Put standard output and error of this process behind ears that may close.

    Args:
        unheard: What is no error. A stop takes every one so: a disk that is full must not end it half done.
    """
    sys.stdout, sys.stderr = _outliving(sys.stdout, 1, unheard), _outliving(sys.stderr, 2, unheard)


class _Ear(io.FileIO):
    """A stream whose reader may go away."""

    def __init__(self, descriptor: int, unheard: type[OSError]) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._unheard = unheard

    def write(self, data: ReadableBuffer, /) -> int:
        """So many bytes as were given, whether somebody took them or not."""
        try:
            return super().write(data)
        except self._unheard:
            return memoryview(data).nbytes


def _outliving(stream: TextIO, descriptor: int, unheard: type[OSError]) -> TextIO:
    """The same stream, whose signs that a terminal does not know become question marks."""
    if not isinstance(stream, io.TextIOWrapper):  # closed by who started us
        return stream
    errors = "replace" if stream.errors == "strict" else stream.errors
    buffered = io.BufferedWriter(_Ear(descriptor, unheard))
    in_lines = stream.line_buffering or stream.write_through
    return io.TextIOWrapper(buffered, encoding=stream.encoding, errors=errors, line_buffering=in_lines)
