"""Streams under load: `python -m benchmarks.streams [--quick]`; JSON on the last line.

A process of its own speaks the combined-stream protocol of the futures venue: quotes of 200 symbols, numbered without a
hole, minute candles of a fast clock, REST candles, and sockets that it closes. The reader is the lab's own adapter with
raw recording on. Counted: quotes that were sent on an open socket and did not reach the consumer, minutes missing from
any of 200 tapes at the end, the reader's share of one core, its memory, and how long a silent socket went unnoticed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from benchmarks.streams_server import MINUTE_MS, START_MS, Load
from trading.domain.clock import Clock, Timeline
from trading.domain.instrument import Market
from trading.domain.market import Bar, Quote, StreamBroken
from trading.exchange.access import Access
from trading.exchange.binance import Binance
from trading.exchange.recording import Recorder
from trading.exchange.sockets import StreamKind, Want
from trading.market.realtime_market_data import LiveSettings, RealtimeMarketData
from trading.storage.raw_log import RawLog

QUICK = Load(seconds=20.0, disconnects=4, minute_s=2.0)


class Counted:
    """What reached the consumer."""

    def __init__(self, load: Load) -> None:
        self.last = dict.fromkeys(load.names, 0)
        self.quotes = self.holes = self.again = self.breaks = self.events = 0

    def hear(self, event: object) -> None:
        """Every number once."""
        self.events += 1
        if isinstance(event, Quote):
            number = event.update_id or 0
            self.quotes += 1
            self.holes += max(0, number - self.last[event.symbol] - 1)
            self.again += number <= self.last[event.symbol]
            self.last[event.symbol] = max(number, self.last[event.symbol])
        elif isinstance(event, StreamBroken):
            self.breaks += 1


async def read(load: Load, ready: dict[str, Any], folder: Path) -> dict[str, object]:
    """The lab's reader against the server; the figures."""
    clock = Clock()
    clock.follow(Timeline(ready["anchor_s"], START_MS, 60.0 / load.minute_s))
    url = f"http://127.0.0.1:{ready['port']}"
    out = RawLog(folder, clock, max_bytes=10**10, keep_days=1)
    venue = Binance(Access(clock, base_url=url, record=Recorder(out, clock)))
    keys = [(Market.PERP, name, "1m") for name in load.names]
    settings = LiveSettings(keep_bars=150)
    market, stop, counted = RealtimeMarketData(venue, clock, keys, settings=settings), asyncio.Event(), Counted(load)
    bars = 0

    def closed(_bar: Bar) -> None:
        nonlocal bars
        bars += 1

    await market.open()
    market.on_closed_bar(closed)

    async def events() -> None:
        async for event in venue.stream_events([Want(Market.PERP, name, StreamKind.QUOTE) for name in load.names]):
            counted.hear(event)

    began_s, began_cpu_s = time.monotonic(), time.process_time()
    tasks = [asyncio.create_task(events()), asyncio.create_task(market.run(stop))]
    await asyncio.sleep(load.seconds)
    used_s, took_s = time.process_time() - began_cpu_s, time.monotonic() - began_s
    told = await settled(url, counted)
    # what closed while the last socket was down is fetched once it is overdue
    await asyncio.sleep(min(2.5 * load.minute_s, 6.0))
    holes = sum(gap.missing_bars for key in keys for gap in market.tape(*key).gaps)
    ends = {market.tape(*key).end_ms for key in keys}
    stop.set()
    await venue.close()
    await asyncio.gather(*tasks)
    out.close()
    return {
        "stream_symbols": load.symbols,
        "stream_messages_s": round(told["sent_all"] / took_s, 1),
        "stream_seconds": round(took_s, 1),
        "stream_disconnects": told["closed"],
        "stream_lost": sum(told["sent"].values()) - counted.quotes + counted.again,
        "stream_holes": counted.holes,
        "stream_again": counted.again,
        "stream_minutes_missing": holes,
        "stream_minutes_of_ends": (max(ends) - min(ends)) // MINUTE_MS,
        "stream_closed_bars": bars,
        "stream_core_share": round(used_s / took_s, 3),
        "stream_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0, 1),
        "silent_socket_s": None if told["silent_socket_s"] is None else round(told["silent_socket_s"], 2),
        "recorded_bytes_message": round(out.written_bytes / max(1, told["sent_all"]), 1),
        "recording_lost": out.lost,
    }


async def settled(url: str, counted: Counted) -> dict[str, Any]:
    """What the server sent, once it has ended and the reader has read all that it will."""
    async with aiohttp.ClientSession() as http:
        before = -1
        while True:
            async with http.get(f"{url}/told") as response:
                told: dict[str, Any] = await response.json()
            if told["is_over"] and counted.events == before:
                return told
            before = counted.events
            await asyncio.sleep(0.3)


def figures(load: Load) -> dict[str, object]:
    """Run server and reader; the figures."""
    command = [sys.executable, str(Path(__file__).with_name("streams_server.py")), json.dumps(asdict(load))]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as server,
    ):
        try:
            if server.stdout is None:
                raise RuntimeError("server without a pipe")
            return asyncio.run(read(load, json.loads(server.stdout.readline()), Path(folder)))
        finally:
            server.terminate()


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20 s and 4 disconnects in place of 10 min and 30")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    print(json.dumps(figures(QUICK if given.quick else Load())))


if __name__ == "__main__":
    main()
