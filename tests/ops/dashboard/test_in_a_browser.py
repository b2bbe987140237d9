"""The page in a real browser, over a real socket: it comes back to life by itself, and waits for who marks or types."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from pydantic import SecretStr
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.page_browser import Tab, browser, find_browser
from ops.dashboard import app as page_app
from ops.dashboard.app import Page
from ops.dashboard.door import Sessions
from ops.dashboard.settings import PageSettings, accepted_hosts
from ops.dashboard.views import Asked
from tests.ops.dashboard.rooms import beat, cycles, line
from tests.ops.papers import put_in_review
from trading.domain.clock import Clock
from trading.domain.decisions import Reason
from trading.journal.audit import AuditLog
from trading.storage.home import Home

CHROMIUM = find_browser()
OVER = "box => box.scrollWidth > box.clientWidth"
LIVE = "document.getElementById('live').textContent"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_app, "LOOK_S", 0.05)
    monkeypatch.setattr(page_app, "ANYWAY_S", 0.2)


class Server:
    """A page that can go away behind a proxy, and come back as another process would."""

    def __init__(self, home: Home, port: int) -> None:
        self._home, self._port = home, port
        self.away = 0
        """What is answered in place of the page; 0: the page is there."""
        self.page, self._app = self._made(None)

    def _made(self, token: str | None) -> tuple[Page, ASGIApp]:
        clock = Clock()
        page = Page(Asked(self._home, clock), Sessions(None if token is None else SecretStr(token), clock))
        return page, page.app(hosts=accepted_hosts(PageSettings(port=self._port)))

    def goes(self, status: int) -> None:
        """End every stream; whoever asks is told so much."""
        self.away = status
        self.page.stopping.set()

    def comes_back(self, token: str | None = None) -> None:
        """A page that knows nobody, as after a start."""
        self.page, self._app = self._made(token)
        self.away = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = Response(status_code=self.away) if self.away else self._app
        await answer(scope, receive, send)


@asynccontextmanager
async def looked_at(home: Home, path: str = "") -> AsyncIterator[tuple[Server, Tab]]:
    """A tab that shows a view of a home and is kept up to date."""
    assert CHROMIUM is not None
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = int(door.getsockname()[1])
        server = Server(home, port)
        config = uvicorn.Config(server, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        http = uvicorn.Server(config)
        serving = asyncio.create_task(http.serve([door]), name="page")
        async with browser(CHROMIUM) as tab_of, tab_of() as tab:
            await tab.open(f"http://127.0.0.1:{port}/{path}")
            await tab.value("WAITS.againMs = 200; 0")
            await tab.until(f"{LIVE}.startsWith('live')", "the stream")
            yield server, tab
        server.page.stopping.set()
        http.should_exit = True
        await serving


async def test_after_a_proxy_said_that_the_page_is_away_the_view_comes_back_to_life(home: Home) -> None:
    beat(home)
    async with looked_at(home) as (server, tab):
        server.goes(502)
        await tab.until(f"{LIVE}.includes('NO CONNECTION')", "the word that it is gone")
        home.pause_file.touch()
        server.comes_back()
        await tab.until(f"{LIVE}.startsWith('live')", "the stream again")
        assert await tab.value("document.body.textContent.includes('PAUSED: no new positions')")
        assert not await tab.value("document.body.classList.contains('cut-off')")


async def test_after_a_start_with_a_password_the_browser_is_led_to_it(home: Home) -> None:
    async with looked_at(home) as (server, tab):
        server.goes(502)
        await tab.until(f"{LIVE}.includes('NO CONNECTION')", "the word that it is gone")
        server.comes_back("sixteen letters and more")
        await tab.until("location.pathname === '/login'", "the password's page")


async def test_a_tab_for_which_there_is_no_stream_asks_again_and_again_and_says_so(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with looked_at(home) as (server, tab):
        monkeypatch.setattr(page_app, "READERS_AT_MOST", 0)
        server.page.stopping.set()
        server.comes_back()
        await tab.until(f"{LIVE}.startsWith('asked every 0.2 s, as of')", "the word that it asks")
        home.pause_file.touch()
        await tab.until("document.body.textContent.includes('PAUSED: no new positions')", "what it asked for")


async def test_marked_words_hold_the_view_for_a_while_and_never_its_banners(home: Home) -> None:
    cycles(home, 1)
    async with looked_at(home, "audit") as (_, tab):
        await tab.value("getSelection().selectAllChildren(document.querySelector('tbody')); 0")
        home.pause_file.touch()
        cycles(home, 2)
        await tab.until("document.body.textContent.includes('PAUSED: no new positions')", "the banner")
        assert await tab.value(f"/^held while you mark or type, as of ..:..:.. UTC$/.test({LIVE})")
        assert await tab.value("document.querySelectorAll('tbody tr').length") == 1
        assert await tab.value("getSelection().toString().length > 0")
        await tab.value("WAITS.heldMs = 100; 0")
        await tab.until("document.querySelectorAll('tbody tr').length > 1", "the rest of the view")
        assert await tab.value(f"{LIVE}.startsWith('live')")


async def test_who_stops_marking_is_shown_the_newest_at_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    cycles(home, 1)
    async with looked_at(home, "audit") as (_, tab):
        await tab.value("getSelection().selectAllChildren(document.querySelector('tbody')); 0")
        cycles(home, 2)
        await tab.until(f"{LIVE}.startsWith('held')", "the word that it waits")
        monkeypatch.setattr(page_app, "LOOK_S", 60.0)
        await asyncio.sleep(0.1)
        await tab.value("getSelection().removeAllRanges(); 0")
        await tab.until("document.querySelectorAll('tbody tr').length > 1", "the rest of the view")


async def test_words_left_in_a_filter_outlive_the_view_told_anew(home: Home) -> None:
    cycles(home, 1)
    async with looked_at(home, "audit") as (_, tab):
        await tab.value("document.querySelector('input').focus(); document.activeElement.value = 'BTC'; 0")
        await tab.press("Tab")
        await tab.value("document.querySelector('input').focus(); 0")
        await tab.until(f"{LIVE}.startsWith('held')", "the word that it waits")
        cycles(home, 2)
        await tab.value("WAITS.heldMs = 100; 0")
        await tab.until("document.querySelectorAll('tbody tr').length > 1", "the rest of the view")
        assert await tab.value("document.activeElement.value") == "BTC"


@pytest.mark.parametrize("width", [360, 390])
@pytest.mark.parametrize("path", ["", "audit?line=0", "risk", "funding"])
async def test_no_view_is_wider_than_a_phone(home: Home, path: str, width: int) -> None:
    check = {"reason": "DAILY_LOSS", "allowed": True, "value": 0.01, "limit": 0.03, "note": "x" * 200}
    AuditLog(home.audit_file).append(line(0, reason=Reason.DATA_UNAVAILABLE, risk={**check, "checks": [check] * 8}))
    async with looked_at(home, path) as (_, tab):
        await tab.look_like(width=width, height=780, dark=False, is_phone=True)
        assert await tab.value("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize(("path", "width"), [("audit", 390), ("risk", 390), ("strategies", 390), ("audit", 700)])
async def test_on_a_narrow_screen_no_cell_of_a_wide_table_lies_beyond_the_edge(
    home: Home, path: str, width: int
) -> None:
    put_in_review(home)
    check = {"reason": "INSUFFICIENT_BALANCE", "allowed": False, "value": 226.0, "limit": 500.0, "note": "word " * 40}
    AuditLog(home.audit_file).append(line(0, reason=Reason.DATA_UNAVAILABLE, risk={**check, "checks": [check]}))
    async with looked_at(home, path) as (_, tab):
        await tab.look_like(width=width, height=844, dark=True, is_phone=True)
        cells = "[...document.querySelectorAll('.cards td')]"
        assert await tab.value(f"{cells}.length > 0")
        assert await tab.value(f"{cells}.filter(c => c.getBoundingClientRect().right > innerWidth).length") == 0
        assert (
            await tab.value("[...document.querySelectorAll('.scroll')].filter(OVER).length".replace("OVER", OVER)) == 0
        )
        said = await tab.value(
            f"{cells}.every(c => getComputedStyle(c, '::before').content === `\"${{c.dataset.label}}\"`)"
        )
        assert said
