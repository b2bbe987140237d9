"""Desks of the sandbox behind a real socket, for tests that need one or two of them and no exchange."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from aiohttp import web


class Desk(Protocol):
    def add_routes(self, app: web.Application) -> None: ...


class SetClock:
    """A clock that stands where it is put."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.at_ms = now_ms

    def now_ms(self) -> int:
        return self.at_ms


@asynccontextmanager
async def serving(*desks: Desk) -> AsyncIterator[str]:
    """Serve desks on a free port of loopback; gives the base URL."""
    app = web.Application()
    for desk in desks:
        desk.add_routes(app)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
