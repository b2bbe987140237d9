"""Everything on one port: two exchanges and an archive, Telegram, a model, news, a chain, faults, what was seen."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from sandbox.archive import ArchiveDesk
from sandbox.chain import ChainDesk
from sandbox.exchange import rest_forced, rest_futures, rest_info, rest_market, rest_spot
from sandbox.exchange.errors import SandboxError
from sandbox.exchange.exchange import Exchange, Key, Start, open_exchange
from sandbox.exchange.limits import Limits
from sandbox.exchange.streams import Hub
from sandbox.exchange.wire import answer, hang
from sandbox.exchange.witness import Seen, Witness
from sandbox.faults import Faults, read_faults
from sandbox.gemini import GeminiDesk
from sandbox.kraken import KrakenDesk
from sandbox.news import NewsDesk
from sandbox.telegram import TelegramDesk

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Town:
    """What stands on the port besides the exchange."""

    start: Start
    key: Key
    gemini_script: Path | None = None
    feed: Path | None = None
    faults: Path | None = None
    limits: bool = False
    """Requests are weighed and limited as Binance does."""


@dataclass(frozen=True, slots=True)
class Built:
    """A server that is ready to listen."""

    app: web.Application
    start_ms: int
    """Sandbox time when the doors open, UTC milliseconds."""
    exchange: Exchange
    faults: Faults
    hub: Hub


def build(town: Town, *, exchange: Exchange | None = None) -> Built:
    """Put everything together; an exchange that is given goes on with the account it has.

    Raises:
        SandboxError: the tape, the faults or a script cannot be used.
    """
    exchange = exchange or open_exchange(town.start, town.key)
    clock = exchange.clock
    clock.begin(town.start.start_ms)
    faults = Faults(clock)
    if town.faults is not None:
        faults.add(read_faults(_text(town.faults), str(town.faults)))
    seen, hub, limits = Seen(), Hub(exchange, faults), Limits(clock)
    if town.limits:
        limits.switch_on()
    app = web.Application(middlewares=[_counted(seen), _through(limits.middleware), _through(faults.middleware)])
    futures = [*rest_futures.routes(), *rest_forced.routes()]
    hang(app, exchange, [*rest_info.routes(limits), *rest_market.routes(), *rest_spot.routes(), *futures])
    hub.add_routes(app)
    Witness(exchange, seen).add_routes(app)
    _fault_routes(app, faults)
    ArchiveDesk(exchange).add_routes(app)
    limits.add_routes(app)
    KrakenDesk(exchange).add_routes(app)
    TelegramDesk(clock).add_routes(app)
    GeminiDesk(clock, town.gemini_script).add_routes(app)
    NewsDesk(clock, town.feed).add_routes(app)
    ChainDesk(clock).add_routes(app)
    return Built(app, town.start.start_ms, exchange, faults, hub)


@dataclass(frozen=True, slots=True)
class Open:
    """A server that listens."""

    port: int
    pump: asyncio.Future[None]
    """Runs as long as the server; ends only by a bug, which it then carries."""


@asynccontextmanager
async def serving(built: Built, *, port: int = 0) -> AsyncIterator[Open]:
    """Listen on loopback while the block runs.

    Raises:
        SandboxError: the port is taken.
    """
    runner = web.AppRunner(built.app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise SandboxError(f"port {port}: {error.strerror or error}; choose another, or 0 for a free one") from error
    built.exchange.clock.begin(built.start_ms)
    pump = asyncio.ensure_future(built.hub.run())
    try:
        yield Open(int(runner.addresses[0][1]), pump)
    finally:
        pump.cancel()
        with suppress(asyncio.CancelledError):
            await pump
        built.faults.clear()
        await built.hub.close()
        await runner.cleanup()


async def serve(town: Town, port: int, *, with_parent: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; says in one line of JSON where.

    Args:
        town: What stands in it.
        port: 0: a free one.
        with_parent: End too when the process that started this one is gone, however it went.

    Raises:
        SandboxError: bad input.
    """
    parent = os.getppid()  # before the line that tells others it is ready: it may be gone right after
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    built = build(town)
    async with serving(built, port=port) as opened:
        ready = {"port": opened.port, "pid": os.getpid(), "url": f"http://127.0.0.1:{opened.port}"}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        opened.pump.add_done_callback(lambda _: stop.set())
        orphaned = asyncio.ensure_future(_until_orphaned(built, parent, stop)) if with_parent else None
        await stop.wait()
        if orphaned is not None:
            orphaned.cancel()
        if opened.pump.done():
            await opened.pump  # raises what stopped it: a sandbox that no longer streams must not look alive


async def _until_orphaned(built: Built, parent: int, stop: asyncio.Event) -> None:
    while os.getppid() == parent:
        await built.exchange.clock.sleep_real_s(1.0)
    stop.set()


def _counted(seen: Seen) -> Middleware:
    @web.middleware
    async def count(request: web.Request, handler: Respond) -> web.StreamResponse:
        if not request.path.startswith("/sandbox/"):
            seen.request(request.method, request.path)
        return await handler(request)

    return count


def _through(keeper: Callable[[web.Request, Respond], Awaitable[web.StreamResponse]]) -> Middleware:
    @web.middleware
    async def pass_by(request: web.Request, handler: Respond) -> web.StreamResponse:
        return await keeper(request, handler)

    return pass_by


def _fault_routes(app: web.Application, faults: Faults) -> None:
    async def show(_: web.Request) -> web.Response:
        return answer(faults.views())

    async def add(request: web.Request) -> web.Response:
        try:
            faults.add(read_faults(await request.text(), "faults"))
        except SandboxError as error:
            return answer({"error": str(error)}, 400)
        return answer(faults.views())

    async def clear(_: web.Request) -> web.Response:
        faults.clear()
        return answer([])

    app.router.add_get("/sandbox/faults", show)
    app.router.add_post("/sandbox/faults", add)
    app.router.add_delete("/sandbox/faults", clear)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SandboxError(f"{path}: cannot be read: {error}; give a JSON file of faults") from error
