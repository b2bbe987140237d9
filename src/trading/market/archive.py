"""Binance's public archive: zips fetched in parallel, each checked against the archive's own SHA-256.

What the archive does not have is a gap of the tape, never a made-up bar. Offline is told in one line within seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np

from trading.domain.clock import Clock, iso
from trading.domain.errors import DataProviderError, NetworkDownError
from trading.domain.instrument import Market
from trading.market.archive_files import BASE_URL, ArchiveFile, candle_files, settlement_files
from trading.market.archive_rows import candles_of, settlements_of
from trading.market.historical_data_fetcher import Want
from trading.market.importers import join, tape_of
from trading.market.series import Series
from trading.market.tape import Funding, Tape, make_tape
from trading.storage.files import write_atomic

Progress = Callable[[str, float], None]
"""Told what is being fetched and which fraction of it is done."""
CONNECT_S, READ_S = 5.0, 60.0
"""Give up on a connection, and on an answer, after so many real seconds."""
TRIES = 3
FIRST_WAIT_S = 0.25
CONNECTIONS = 6
"""Files fetched at once; the archive is a public good, and a home line is full before."""
_NOT_THERE = {httpx.codes.NOT_FOUND, httpx.codes.FORBIDDEN}
"""Of a bucket that does not list itself, 403 says the same as 404."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file of the archive, whole and checked."""

    content: bytes
    sha256: str


class Archive:
    """The archive's files. Open it with `archive_at`.

    Args:
        http: A client at the archive's base URL.
        clock: Times the waits between tries.
        folder: Where zips are kept, so that a second run does not fetch them again; None: they are not.
    """

    def __init__(self, http: httpx.AsyncClient, clock: Clock, folder: Path | None = None) -> None:
        self._http, self._clock, self._folder = http, clock, folder
        self._places = asyncio.Semaphore(CONNECTIONS)

    async def fetch(self, file: ArchiveFile) -> Fetched | None:
        """A file, equal to its checksum; None: the archive does not have it.

        Raises:
            NetworkDownError: the archive does not answer.
            DataProviderError: what comes does not match its checksum.
        """
        kept = None if self._folder is None else _kept(self._folder, file)
        if kept is not None and (held := await asyncio.to_thread(_read_kept, kept)) is not None:
            return held
        async with self._places:
            stamp = await self._get(file.path + ".CHECKSUM")
            if stamp is None:
                return None
            wanted = _sha256_in(stamp)
            for _ in range(TRIES):
                content = await self._get(file.path)
                if content is None:
                    return None
                if await asyncio.to_thread(_sha256, content) == wanted:
                    if kept is not None:
                        await asyncio.to_thread(_keep, kept, content, stamp)
                    return Fetched(content, wanted)
        raise DataProviderError(f"archive {file.name}: does not match its checksum in {TRIES} tries; try again later")

    async def _get(self, path: str) -> bytes | None:
        """A file; None: the archive does not have it."""
        problem, wait_s = "", FIRST_WAIT_S
        for left in range(TRIES - 1, -1, -1):
            try:
                answer = await self._http.get(f"/{path}")
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                base = self._http.base_url
                raise NetworkDownError(f"archive {base}: cannot be reached ({error}); check the network") from error
            except httpx.RequestError as error:
                problem = f"{type(error).__name__}: {error}"
            else:
                if answer.status_code in _NOT_THERE:
                    return None
                if answer.is_success:
                    return answer.content
                problem = f"status {answer.status_code}"
                asked = answer.headers.get("Retry-After", "")
                wait_s = max(wait_s, float(asked)) if asked.isdigit() else wait_s
            if left:
                await self._clock.real_sleep_s(wait_s)
                wait_s *= 2.0
        raise NetworkDownError(f"archive {path}: {problem}, {TRIES} times; try again later")


@asynccontextmanager
async def archive_at(base_url: str, clock: Clock, folder: Path | None = None) -> AsyncIterator[Archive]:
    """The archive, or a mirror of it, as long as the block runs."""
    timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
    async with httpx.AsyncClient(base_url=base_url, timeout=timeout, follow_redirects=True) as http:
        yield Archive(http, clock, folder)


def no_progress(_what: str, _fraction: float) -> None:
    """Tell nobody."""


async def fetch_archive(
    want: Want,
    folder: Path,
    *,
    now_ms: int,
    base_url: str = BASE_URL,
    clock: Clock | None = None,
    progress: Progress = no_progress,
) -> Tape:
    """A stretch of history as one tape, origin `downloaded`; a perpetual comes with its settled funding.

    Args:
        want: The stretch; what is not out yet (today) is left out.
        folder: Where zips are kept.
        now_ms: Lab time; decides which months are out.
        base_url: Of the archive, or of a mirror of it.
        clock: Times the waits between tries; None: the system's.
        progress: Told after each file.

    Raises:
        NetworkDownError: the archive does not answer.
        DataProviderError: the archive has none of it, or a file does not match its checksum.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series = Series(want.market.value)
    files = candle_files(series, want.symbol, want.interval, want.start_ms, want.end_ms, now_ms=now_ms)
    if not files:
        raise DataProviderError(f"archive {want}: nothing of it is out yet at {iso(now_ms)}; choose an earlier stretch")
    tapes: list[Tape] = []
    async with archive_at(base_url, clock or Clock(), folder) as archive:
        newest = max((i for i, file in enumerate(files) if file.days), default=-1)
        for done, file in enumerate(files):
            # a month before the listing is not looked for day by day
            parts = await in_parts(archive, file, by_day=bool(tapes) or done == newest)
            tapes.extend([await asyncio.to_thread(_tape, want, name, zipped) for name, zipped in parts])
            progress(file.name, (done + 1) / len(files))
        if not tapes:
            raise DataProviderError(f"archive {want}: the archive has no file for it; check symbol and dates")
        tape = join(tapes).window(want.start_ms, want.end_ms)
        if want.market is Market.SPOT:
            return tape
        months = settlement_files(want.symbol, want.start_ms, want.end_ms, now_ms=now_ms)
        fetched = [(file.name, await archive.fetch(file)) for file in months]
    settled = [settlements_of(zipped.content, f"archive {name}") for name, zipped in fetched if zipped is not None]
    return make_tape(replace(tape, funding=_within(settled, tape)))


async def in_parts(archive: Archive, file: ArchiveFile, *, by_day: bool) -> Sequence[tuple[str, Fetched]]:
    """A zip, or those of its days where there is no such month; empty: the archive has none of it."""
    fetched = await archive.fetch(file)
    if fetched is not None:
        return [(file.path, fetched)]
    days = [(day.path, await archive.fetch(day)) for day in (file.days if by_day else ())]
    return [(path, found) for path, found in days if found is not None]


def _tape(want: Want, path: str, zipped: Fetched) -> Tape:
    columns = candles_of(zipped.content, f"archive {path.rsplit('/', 1)[-1]}")
    return tape_of(columns, want.market, want.symbol, want.interval, origin="downloaded")


def _within(settled: Sequence[Funding], tape: Tape) -> Funding:
    if not settled:
        return Funding.none()
    times, first = np.unique(np.concatenate([part.time_ms for part in settled]), return_index=True)
    kept = first[(times > tape.start_ms) & (times <= tape.end_ms)]
    return Funding(
        np.concatenate([part.time_ms for part in settled])[kept],
        np.concatenate([part.rate for part in settled])[kept],
        np.concatenate([part.mark_price for part in settled])[kept],
    )


def _kept(folder: Path, file: ArchiveFile) -> Path:
    """The path goes into the kept file's name: spot and futures zips are called the same."""
    return folder / file.path.removeprefix("data/").replace("/", "_")


def _read_kept(kept: Path) -> Fetched | None:
    stamp = kept.with_name(kept.name + ".CHECKSUM")
    if not (kept.exists() and stamp.exists()):
        return None
    content, wanted = kept.read_bytes(), _sha256_in(stamp.read_bytes())
    return Fetched(content, wanted) if _sha256(content) == wanted else None


def _keep(kept: Path, content: bytes, stamp: bytes) -> None:
    write_atomic(kept, content)
    write_atomic(kept.with_name(kept.name + ".CHECKSUM"), stamp)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sha256_in(stamp: bytes) -> str:
    """The archive writes `SHA256  NAME`."""
    match = re.match(rb"[0-9a-fA-F]{64}", stamp.strip())
    return match.group(0).decode().lower() if match else ""
