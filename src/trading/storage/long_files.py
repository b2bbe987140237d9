"""Long files of lines read from their end, or at a moment, without reading them whole: the audit file, the log.

A year of the audit file is half a million lines. What is asked for is found by seeking: the newest lines backwards in
blocks, a moment by halving the file, a curve by reading one line at each of some hundred places. Nothing is kept in
memory between two looks, a last line that is being written is left out, and a file that cannot be read has no lines.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

BLOCK_BYTES = 1 << 16
WHOLE_BYTES = 2 << 20
"""A stretch of a file up to this length is read line by line, a longer one at some places only."""

TimeOf = Callable[[bytes], int | None]
"""When a line was written, UTC milliseconds; None: it does not say."""


@dataclass(frozen=True, slots=True)
class RawLine:
    """A whole line, without its end."""

    offset: int
    """Where it begins."""
    raw: bytes


def size_of(path: Path) -> int:
    """Bytes of a file; 0: there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def backwards(path: Path, *, before: int | None = None) -> Iterator[RawLine]:
    """Whole lines, newest first.

    Args:
        path: The file.
        before: Lines before the one that begins at this offset; None: from the end.
    """
    if before == 0:
        return
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            is_whole = before is not None and 0 < before <= end
            yield from _backwards(file, before - 1 if before is not None and is_whole else end, is_whole)
    except OSError:
        return


def forwards(path: Path, begin: int) -> Iterator[RawLine]:
    """Whole lines from an offset on at which one begins, oldest first."""
    try:
        with path.open("rb") as file:
            file.seek(begin)
            for raw in file:
                if not raw.endswith(b"\n"):
                    return
                yield RawLine(begin, raw[:-1])
                begin += len(raw)
    except OSError:
        return


def _backwards(file: BinaryIO, place: int, is_whole: bool) -> Iterator[RawLine]:
    """Lines that end at `place` or before; not `is_whole`: what ends there may be half a line."""
    tail = b""
    while place > 0:
        begin = max(0, place - BLOCK_BYTES)
        file.seek(begin)
        first, *rest = (file.read(place - begin) + tail).split(b"\n")
        at, found = begin + len(first) + 1, list[RawLine]()
        for raw in rest:
            found.append(RawLine(at, raw))
            at += len(raw) + 1
        if rest and not is_whole:
            found.pop()  # nothing, or a line that is being written
            is_whole = True
        yield from (line for line in reversed(found) if line.raw)
        tail, place = first, begin
    if tail and is_whole:
        yield RawLine(0, tail)


def offset_at(path: Path, at_ms: int, time_of: TimeOf) -> int:
    """Where the first line begins that was written at a moment or later; where there is none yet, where the last ends.

    Lines stand in the order of their time; where a clock was set back, the answer is somewhere near.
    """
    try:
        with path.open("rb") as file:
            low, high = 0, file.seek(0, os.SEEK_END)
            while low < high:
                middle = (low + high) // 2
                line, written_ms = _next_told(file, middle, time_of)
                if line is None or written_ms >= at_ms or line.offset >= high:
                    high = middle
                else:
                    low = line.offset + len(line.raw) + 1
            line, _ = _next_told(file, low, time_of)
            return low if line is None else line.offset
    except OSError:
        return 0


def _next_told(file: BinaryIO, offset: int, time_of: TimeOf) -> tuple[RawLine | None, int]:
    """The first whole line that begins at an offset or later and tells its time."""
    file.seek(max(0, offset - 1))
    if offset > 0:
        file.readline()
    while True:
        at, raw = file.tell(), file.readline()
        if not raw.endswith(b"\n"):
            return None, 0
        written_ms = time_of(raw)
        if written_ms is not None:
            return RawLine(at, raw[:-1]), written_ms


@dataclass(frozen=True, slots=True)
class Sample:
    """Lines of a stretch, oldest first."""

    lines: tuple[RawLine, ...]
    is_all: bool
    """False: one line at each of some places, what lies between was not looked at."""


def sample(path: Path, begin: int, end: int, *, places: int) -> Sample:
    """The lines between two offsets at which lines begin: all, or where that is much to read, evenly spread ones.

    The last whole line is always among them.
    """
    try:
        with path.open("rb") as file:
            end = min(end, file.seek(0, os.SEEK_END))
            if end - begin <= WHOLE_BYTES:
                file.seek(begin)
                raws, at, found = file.read(end - begin).split(b"\n"), begin, list[RawLine]()
                for raw in raws[:-1]:
                    found.append(RawLine(at, raw))
                    at += len(raw) + 1
                return Sample(tuple(found), is_all=True)
            step = (end - begin) / places
            told = {}
            for place in range(places):
                line, _ = _next_told(file, begin + int(place * step), lambda _: 0)
                if line is not None and line.offset < end:
                    told[line.offset] = line
            newest = next(_backwards(file, end, is_whole=False), None)
            if newest is not None:
                told[newest.offset] = newest
            return Sample(tuple(told[at] for at in sorted(told)), is_all=False)
    except OSError:
        return Sample((), is_all=True)
