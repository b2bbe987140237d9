"""`./lab page`: the web page as a process of its own, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import socket
import sys
from types import FrameType

import uvicorn

from ops.dashboard.app import Page
from ops.dashboard.door import Sessions
from ops.dashboard.reading import read_page_settings
from ops.dashboard.settings import PageSettings, accepted_hosts, check_exposure
from ops.dashboard.views import Asked
from ops.environment import find_home, read_environment
from trading.domain.clock import Clock
from trading.domain.errors import SettingsError
from trading.storage.home import Home

BACKLOG = 64
OPEN_AT_MOST = 128
"""Connections at once; more are told to come back."""


def run_page(host: str | None, port: int | None) -> int:
    """Serve until told to end; 0 then.

    Args:
        host: Overrules `page.host`.
        port: Overrules `page.port`.

    Raises:
        SettingsError: `.env` cannot be read, or others could look in without a password; or nobody can listen there.
    """
    home = find_home()
    environment = read_environment(home)
    settings = _settings(home).model_copy(
        update={name: value for name, value in (("host", host), ("port", port)) if value is not None}
    )
    token = environment.page_token
    check_exposure(settings, None if token is None else token.get_secret_value())
    clock = Clock()
    elsewhere = environment.learning_db_url is not None
    asked = Asked(home, clock, secrets=tuple(environment.secret_values()), ideas_elsewhere=elsewhere)
    page = Page(asked, Sessions(token, clock))
    server = _Server(_config(page, settings), page)
    with _listening(settings) as door:
        print(
            f"the page of {home.root}: http://{_in_address(settings.host)}:{settings.port}/ , end with Ctrl-C",
            flush=True,
        )
        asyncio.run(server.serve([door]))
    return 0


def _listening(settings: PageSettings) -> socket.socket:
    """Where the page is asked for; ours, for uvicorn ends the process where it is taken.

    Raises:
        SettingsError: nobody can listen there.
    """
    host = settings.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(f"page.port={settings.port}: {error.strerror}; choose another with --port") from error


def _settings(home: Home) -> PageSettings:
    """As in `lab.yaml`; the defaults, on loopback, where a slip in it makes it unreadable: it may be why one looks."""
    try:
        return read_page_settings(home)
    except SettingsError as error:
        print(f"lab: {error}; the page listens where it does by default", file=sys.stderr)
        return PageSettings()


def _config(page: Page, settings: PageSettings) -> uvicorn.Config:
    return uvicorn.Config(
        page.app(hosts=accepted_hosts(settings)),
        access_log=False,
        log_level="warning",
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=OPEN_AT_MOST,
        timeout_graceful_shutdown=3,
    )


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


class _Server(uvicorn.Server):
    """Tells live streams to let go before it waits for them."""

    def __init__(self, config: uvicorn.Config, page: Page) -> None:
        super().__init__(config)
        self._page = page

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """What a signal calls: the end, and a good one. Uvicorn's own would have the process die of the signal."""
        self._page.stopping.set()
        self.should_exit = True
