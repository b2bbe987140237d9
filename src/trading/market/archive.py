"""Binance's public archive of candles and funding: monthly zips, daily ones for what no month is out for yet.

A month's zip appears days after its end, and now and then one is missing: its days are taken instead. What the archive
does not have at all is a gap of the tape, never a made-up bar.

Every zip is checked against the archive's own SHA-256 and kept in a folder, so that a second run, or one that was cut
off, downloads only what is missing. Offline is told in one line within seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np

from trading.domain.clock import iso
from trading.domain.errors import DataProviderError, NetworkDownError
from trading.domain.instrument import Market
from trading.market.historical_data_fetcher import Progress, Want, no_progress
from trading.market.importers import import_archive, import_archive_funding, join
from trading.market.tape import Funding, Tape, make_tape
from trading.storage.files import write_atomic

BASE_URL = "https://data.binance.vision"
CONNECT_S, READ_S = 5.0, 60.0
"""Give up on a connection, and on an answer, after so many real seconds."""
TRIES = 3
_DAY = np.timedelta64(1, "D")
_MARKETS = {Market.SPOT: "spot", Market.PERP: "futures/um"}


@dataclass(frozen=True, slots=True)
class Part:
    """One zip of the archive."""

    path: str
    """Below the base URL, without a leading slash."""
    name: str
    days: tuple[Part, ...] = ()
    """Of a month: the daily zips that hold the same, within the stretch asked for."""


def parts_of(want: Want, *, now_ms: int) -> list[Part]:
    """The zips that hold a stretch: whole past months, and days of the running month up to yesterday."""
    first, last = (np.datetime64(ms, "ms").astype("datetime64[D]") for ms in (want.start_ms, want.end_ms - 1))
    today = np.datetime64(now_ms, "ms").astype("datetime64[D]")
    found, day = [], first
    while day <= min(last, today - _DAY):
        month = day.astype("datetime64[M]")
        following = (month + 1).astype("datetime64[D]")
        if following <= today:
            days = tuple(_part(want, "daily", str(one)) for one in np.arange(day, min(following, last + _DAY)))
            found.append(replace(_part(want, "monthly", str(month)), days=days))
            day = following
        else:
            found.append(_part(want, "daily", str(day)))
            day += _DAY
    return found


async def fetch_archive(
    want: Want, folder: Path, *, now_ms: int, base_url: str = BASE_URL, progress: Progress = no_progress
) -> Tape:
    """A stretch of history from the public archive, origin `downloaded`; a perpetual comes with its settled funding.

    Args:
        want: The stretch; what is not out yet (today) is left out.
        folder: Where zips are kept.
        now_ms: Lab time; decides which months are out.
        base_url: Of the archive, or of a mirror of it.
        progress: Told after each file.

    Raises:
        NetworkDownError: the archive does not answer.
        DataProviderError: the archive has none of it, or a file does not match its checksum.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = parts_of(want, now_ms=now_ms)
    if not parts:
        raise DataProviderError(f"archive {want}: nothing of it is out yet at {iso(now_ms)}; choose an earlier stretch")
    timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
    tapes: list[Tape] = []
    async with httpx.AsyncClient(base_url=base_url, timeout=timeout, follow_redirects=True) as http:
        newest = max((i for i, part in enumerate(parts) if part.days), default=-1)
        for done, part in enumerate(parts):
            # a month before the listing is not looked for day by day
            found = await _bars(http, part, want, folder, by_day=bool(tapes) or done == newest)
            tapes.extend(found)
            progress(part.name, (done + 1) / len(parts))
        if not tapes:
            raise DataProviderError(f"archive {want}: the archive has no file for it; check symbol and dates")
        tape = join(tapes).window(want.start_ms, want.end_ms)
        if want.market is Market.SPOT:
            return tape
        months = [await _zip(http, part, folder) for part in _funding_parts(want, now_ms)]
    settled = [import_archive_funding(content, want.symbol) for content in months if content is not None]
    return make_tape(replace(tape, funding=_within(settled, tape)))


def _part(want: Want, period: str, date: str) -> Part:
    name = f"{want.symbol}-{want.interval}-{date}.zip"
    return Part(f"data/{_MARKETS[want.market]}/{period}/klines/{want.symbol}/{want.interval}/{name}", name)


def _funding_parts(want: Want, now_ms: int) -> Iterator[Part]:
    """Settlements come by the month only; those of the running month are not out yet."""
    first, last = (np.datetime64(ms, "ms").astype("datetime64[M]") for ms in (want.start_ms, want.end_ms - 1))
    running = np.datetime64(now_ms, "ms").astype("datetime64[M]")
    for month in np.arange(first, min(last, running - 1) + 1):
        name = f"{want.symbol}-fundingRate-{month}.zip"
        yield Part(f"data/futures/um/monthly/fundingRate/{want.symbol}/{name}", name)


def _within(settled: list[Funding], tape: Tape) -> Funding:
    if not settled:
        return Funding.none()
    times, first = np.unique(np.concatenate([part.time_ms for part in settled]), return_index=True)
    kept = first[(times > tape.start_ms) & (times <= tape.end_ms)]
    return Funding(
        np.concatenate([part.time_ms for part in settled])[kept],
        np.concatenate([part.rate for part in settled])[kept],
        np.concatenate([part.mark_price for part in settled])[kept],
    )


async def _bars(http: httpx.AsyncClient, part: Part, want: Want, folder: Path, *, by_day: bool) -> list[Tape]:
    """The bars of a zip, or of its days where there is no such month; empty: the archive has none of it."""
    content = await _zip(http, part, folder)
    if content is not None:
        # parsing a month of minutes takes a while: not on the loop
        return [await asyncio.to_thread(import_archive, content, want.market, want.symbol, want.interval)]
    days = part.days if by_day else ()
    return [tape for day in days for tape in await _bars(http, day, want, folder, by_day=False)]


async def _zip(http: httpx.AsyncClient, part: Part, folder: Path) -> bytes | None:
    """A zip from the folder or the archive, its checksum verified; None: the archive does not have it.

    The path goes into the kept file's name: spot and futures zips are called the same.
    """
    kept = folder / part.path.removeprefix("data/").replace("/", "_")
    stamp = kept.with_name(kept.name + ".CHECKSUM")
    if kept.exists() and stamp.exists():
        content = kept.read_bytes()
        if _matches(content, stamp.read_text(encoding="ascii")):
            return content
    checksum = await _get(http, part.path + ".CHECKSUM")
    if checksum is None:
        return None
    for _ in range(TRIES):
        found = await _get(http, part.path)
        if found is None:
            return None
        if _matches(found, checksum.decode("ascii", errors="replace")):
            write_atomic(kept, found)
            write_atomic(stamp, checksum)
            return found
    raise DataProviderError(f"archive {part.name}: does not match its checksum in {TRIES} tries; try again later")


async def _get(http: httpx.AsyncClient, path: str) -> bytes | None:
    """A file; None: the archive does not have it."""
    problem = ""
    for _ in range(TRIES):
        try:
            answer = await http.get(f"/{path}")
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _down(http, error) from error
        except httpx.TransportError as error:
            problem = f"{type(error).__name__}: {error}"
            continue
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.is_success:
            return answer.content
        problem = f"status {answer.status_code}"
    raise NetworkDownError(f"archive {path}: {problem}, {TRIES} times; try again later")


def _down(http: httpx.AsyncClient, error: httpx.TransportError) -> NetworkDownError:
    return NetworkDownError(f"archive {http.base_url}: cannot be reached ({error}); check the network")


def _matches(content: bytes, checksum: str) -> bool:
    """The archive writes `SHA256  NAME`."""
    match = re.match(r"[0-9a-fA-F]{64}", checksum.strip())
    return match is not None and hashlib.sha256(content).hexdigest() == match.group(0).lower()
