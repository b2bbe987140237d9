"""Binance's public archive on loopback: paths, zips, checksums and "no such key" as it has them, and accidents.

What it holds is made of tapes on request: months that are over as monthly zips, every day that is over as a daily one,
settlements by the month. As in the real archive spot has no header and stamps in µs from 2025 on, USD-M has a header
and stamps in ms (PROVENANCE.md of the recorded data, payloads/binance_archive).
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from aiohttp import web

from tests.conftest import DATA
from trading.domain.clock import parse_iso
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.market.importers import import_recorded
from trading.market.synthetic import Plan, synthetic_market
from trading.market.tape import Tape, make_tape

DAY_MS = 86_400_000
SPOT_MICROSECONDS_FROM = parse_iso("2025-01-01")
UM_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
FUNDING_HEADER = "calc_time,funding_interval_hours,last_funding_rate"
NO_SUCH_KEY = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.'
    "</Message><Key>{}</Key><RequestId>0</RequestId><HostId>0</HostId></Error>"
)
PATH = re.compile(
    r"data/(?P<market>spot|futures/um)/(?P<period>monthly|daily)/"
    r"(?:klines/(?P<symbol>\w+)/(?P<interval>\w+)/\w+-\w+|fundingRate/(?P<paid>\w+)/\w+-fundingRate)"
    r"-(?P<date>\d{4}-\d{2}(?:-\d{2})?)\.zip$"
)


@dataclass
class ArchiveServer:
    """What the archive holds at one moment, what goes wrong, and what it was asked for."""

    tapes: Sequence[Tape]
    now_ms: int
    """Decides which months and days are out."""
    url: str = ""
    missing: set[str] = field(default_factory=set)
    """Ends of paths that the archive does not have: `BTCUSDT-1h-2024-06.zip`, or with folders before it."""
    damaged: Counter[str] = field(default_factory=Counter)
    """Zips that arrive with a wrong byte, so many times."""
    torn: Counter[str] = field(default_factory=Counter)
    """Zips whose connection ends half-way, so many times."""
    seen: Counter[str] = field(default_factory=Counter)
    sent_bytes: int = 0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path.lstrip("/")
        self.seen[path] += 1
        content = self.zip(path.removesuffix(".CHECKSUM"))
        if content is None:
            return web.Response(status=404, text=NO_SUCH_KEY.format(path), content_type="application/xml")
        name = path.rsplit("/", 1)[-1]
        if name.endswith(".CHECKSUM"):
            text = f"{hashlib.sha256(content).hexdigest()}  {name.removesuffix('.CHECKSUM')}\n"
            return web.Response(text=text)
        if self._happens(self.torn, path):
            return await self._torn(request, content)
        if self._happens(self.damaged, path):
            content = content[:40] + bytes([content[40] ^ 1]) + content[41:]
        self.sent_bytes += len(content)
        return web.Response(body=content, content_type="application/zip")

    def zip(self, path: str) -> bytes | None:
        """One file of the archive; None: it has none such."""
        found = PATH.match(path)
        if found is None or any(path.endswith(end) for end in self.missing):
            return None
        market = Market.SPOT if found["market"] == "spot" else Market.PERP
        wanted = (market, found["symbol"] or found["paid"])
        tape = next((tape for tape in self.tapes if (tape.market, tape.symbol) == wanted), None)
        start = np.datetime64(found["date"])
        unit = np.timedelta64(1, np.datetime_data(start)[0])
        start_ms, end_ms = (int(day.astype("datetime64[ms]").astype(np.int64)) for day in (start, start + unit))
        is_monthly = len(found["date"]) == 7
        if tape is None or is_monthly is not (found["period"] == "monthly") or end_ms > self.now_ms:
            return None
        lines = list(settlements(tape, start_ms, end_ms) if found["paid"] else candles(tape, start_ms, end_ms))
        name = path.rsplit("/", 1)[-1].removesuffix(".zip") + ".csv"
        return zipped(name, "\n".join(lines) + "\n") if len(lines) > 1 else None

    def _happens(self, accidents: Counter[str], path: str) -> bool:
        end = next((end for end, left in accidents.items() if left and path.endswith(end)), None)
        if end is not None:
            accidents[end] -= 1
        return end is not None

    async def _torn(self, request: web.Request, content: bytes) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await answer.prepare(request)
        await answer.write(content[: len(content) // 2])
        if request.transport is not None:
            request.transport.close()
        return answer


@asynccontextmanager
async def archive_of(tapes: Sequence[Tape], now_ms: int) -> AsyncIterator[ArchiveServer]:
    """Serve tapes as the archive would at a moment."""
    server = ArchiveServer(tapes, now_ms)
    app = web.Application()
    app.router.add_get("/{path:.*}", server.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        server.url = f"http://{host}:{port}"
        yield server
    finally:
        await runner.cleanup()


def source_market(end_ms: int, *, days: int) -> list[Tape]:
    """Hours of BTCUSDT on both markets that end at a midnight: the last recorded days moved there in time by whole
    days, or made-up ones where no data was recorded.
    """
    if DATA.is_dir():
        recorded = [import_recorded(DATA, market, "BTCUSDT", "1h") for market in (Market.SPOT, Market.PERP)]
        last_ms = min(tape.end_ms for tape in recorded)
        return [moved(tape.window(last_ms - days * DAY_MS, last_ms), end_ms - last_ms) for tape in recorded]
    made = synthetic_market(Plan(start_ms=end_ms - days * DAY_MS, bars=days * 24, seed=7, funding_mean_rate=0.0003))
    return [made.spot, made.perp]


def moved(tape: Tape, by_ms: int) -> Tape:
    """The same bars and settlements at other times."""
    funding = replace(tape.funding, time_ms=tape.funding.time_ms + by_ms)
    return make_tape(replace(tape, open_time_ms=tape.open_time_ms + by_ms, funding=funding, gaps=(), content_hash=""))


def candles(tape: Tape, start_ms: int, end_ms: int) -> Iterator[str]:
    """Rows of a kline CSV; what the lab does not read (trades, taker volumes) is made up in the real width."""
    is_spot = tape.market is Market.SPOT
    unit = 1000 if is_spot and start_ms >= SPOT_MICROSECONDS_FROM else 1
    price_places, size_places = (8, 8) if is_spot else (2, 3)
    if not is_spot:
        yield UM_HEADER
    first, last = np.searchsorted(tape.open_time_ms, [start_ms, end_ms])
    for i in range(int(first), int(last)):
        opened = int(tape.open_time_ms[i])
        closed = (opened + INTERVAL_MS[tape.interval]) * unit - 1
        prices = [cell(float(column[i]), price_places) for column in (tape.open, tape.high, tape.low, tape.close)]
        base = float(tape.volume_base[i])
        quote, taken = base * float(tape.close[i]), base * 0.49
        sizes = [f"{quote:.5f}", f"{int(base * 37)}", f"{taken:.{size_places}f}", f"{quote * 0.49:.5f}", "0"]
        yield ",".join([str(opened * unit), *prices, cell(base, size_places), str(closed), *sizes])


def settlements(tape: Tape, start_ms: int, end_ms: int) -> Iterator[str]:
    """Rows of a fundingRate CSV; the real stamps lie some milliseconds after the settlement."""
    yield FUNDING_HEADER
    for number, (ms, rate) in enumerate(zip(tape.funding.time_ms, tape.funding.rate, strict=True)):
        if start_ms <= ms < end_ms:
            yield f"{int(ms) + number * 7 % 11},8,{cell(float(rate), 8)}"


def cell(value: float, places: int) -> str:
    """A number as the archive writes it, with more places only where it would not be the same number any more."""
    short = f"{value:.{places}f}"
    return short if float(short) == value else repr(value)


def zipped(name: str, text: str) -> bytes:
    """A zip of one file; the same text gives the same bytes."""
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return box.getvalue()
