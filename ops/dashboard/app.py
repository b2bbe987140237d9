"""The page's routes: views, their live stream and their charts' numbers, the two acts, the password.

Looking reads files in a worker thread, so that a slow disk keeps no other reader waiting; nothing is remembered between
two requests but who has said the password.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from ops.dashboard.acts import ACTS
from ops.dashboard.door import Door, Sessions, cookie_words, session_of
from ops.dashboard.equity import LIVE, equity_chart, read_marks
from ops.dashboard.html import chart_json, view_html
from ops.dashboard.shell import confirm_page, login_page, page, told_page
from ops.dashboard.strategies import ID
from ops.dashboard.views import BY_KEY, KINDS, Asked, Kind, look, signature
from trading.domain.errors import StateFileError

STATIC = Path(__file__).parent / "static"
BODY_BYTES = 4096
"""Of a form; ours have one field."""
LOOK_S = 1.0
"""Between two looks at the stamps of a view's files, real seconds, while somebody has it open."""
ANYWAY_S = 15.0
"""A view is told anew after so long although no file changed: that none did is news too, ages grow."""
READERS_AT_MOST = 32
"""Open live streams; a browser opens one a tab."""
MS_DIGITS = 15
EVIDENCE_S = 60.0
"""Real seconds that a page of evidence may take."""
EVIDENCE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
"""That page is one file with its sheet in it, and no script."""
WRONG_PAUSE_S = 1.0
"""Before a wrong password is answered, real seconds."""


class Page:
    """Every route of one lab's page.

    Args:
        asked: Whose lab, and what a view is asked for but its words.
        sessions: Who has said the password.
    """

    def __init__(self, asked: Asked, sessions: Sessions) -> None:
        self._asked, self._home, self._clock, self._sessions = asked, asked.home, asked.clock, sessions
        self.stopping = asyncio.Event()
        """Set when the page is to end: live streams let go."""
        self._readers = 0
        self._judging = asyncio.Lock()

    def app(self, *, hosts: frozenset[str]) -> Starlette:
        """The application behind its door; `hosts` are the `Host` headers that are ours, in small letters."""
        routes: list[BaseRoute] = [
            *(Route("/" if kind is KINDS[0] else f"/{kind.key}", self._viewing(kind)) for kind in KINDS),
            Route("/strategies/{id}", self._viewing(BY_KEY["strategies"])),
            Route("/evidence/{id}", self.evidence),
            Route("/live/{key}", self.live),
            Route("/series/equity", self.equity),
            Route("/{name}", self.act, methods=["GET", "POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
        routes[-2:-2] = [
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/logout", self.logout, methods=["POST"]),
        ]
        middleware = [
            Middleware(Door, sessions=self._sessions, hosts=hosts),
            Middleware(GZipMiddleware, minimum_size=1000),
        ]
        return Starlette(routes=routes, middleware=middleware)

    def _viewing(self, kind: Kind) -> Callable[[Request], Awaitable[Response]]:
        async def show(request: Request) -> Response:
            words = {**request.query_params, **request.path_params}
            view = await asyncio.to_thread(look, kind, replace(self._asked, words=words))
            if request.headers.get("x-part") == "main":
                return HTMLResponse(view_html(view))
            return HTMLResponse(page(view, asks_password=self._sessions.asks))

        return show

    async def live(self, request: Request) -> Response:
        """Says `look` whenever a view's files changed, and every `ANYWAY_S`: the page then asks for the view anew."""
        kind = BY_KEY.get(request.path_params["key"])
        if kind is None:
            raise HTTPException(404)
        if self._readers >= READERS_AT_MOST:
            raise HTTPException(503, f"{READERS_AT_MOST} tabs are open already; close one")
        return StreamingResponse(self._changes(kind), media_type="text/event-stream")

    async def _changes(self, kind: Kind) -> AsyncIterator[str]:
        told, told_s = signature(kind, self._home), self._clock.real_s()
        self._readers += 1
        try:
            yield "retry: 3000\nevent: here\ndata: \n\n"
            while not await self._clock.real_wait_s(self.stopping, LOOK_S):
                now = signature(kind, self._home)
                if now != told or self._clock.real_s() - told_s >= ANYWAY_S:
                    told, told_s = now, self._clock.real_s()
                    yield "event: look\ndata: \n\n"
        finally:
            self._readers -= 1

    async def equity(self, request: Request) -> Response:
        """A part of an equity chart in finer steps: `of`, and `from` and `to` in UTC milliseconds."""
        words = request.query_params
        start_ms, end_ms = (_ms(words.get(name)) for name in ("from", "to"))
        marks = await asyncio.to_thread(read_marks, self._home, start_ms=start_ms, end_ms=end_ms)
        return Response(chart_json(equity_chart(marks, words.get("of", LIVE))), media_type="application/json")

    async def evidence(self, request: Request) -> Response:
        """The page of a judged strategy, as `./lab evidence --html` writes it, made in a process of its own."""
        wanted = request.path_params["id"]
        if not ID.fullmatch(wanted):
            raise HTTPException(404)
        async with self._judging:
            words = (sys.executable, "-m", "ops.dashboard.evidence", str(self._home.root), wanted)
            process = await asyncio.create_subprocess_exec(*words, stdout=PIPE, stderr=PIPE)
            try:
                async with asyncio.timeout(EVIDENCE_S):
                    told, why = await process.communicate()
            except TimeoutError:
                why, told = f"it took more than {EVIDENCE_S:.0f} s".encode(), b""
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode != 0:
            said = why.decode("utf-8", "replace").strip()[-500:]
            return HTMLResponse(told_page("No page of its evidence", (said,)), 404)
        return HTMLResponse(told, headers={"Content-Security-Policy": EVIDENCE_POLICY})

    async def act(self, request: Request) -> Response:
        """Pause or stop: asked first, done when it is meant."""
        act = ACTS.get(name := request.path_params["name"])
        if act is None:
            raise HTTPException(404)
        if request.method != "POST":
            return HTMLResponse(confirm_page(act.title, act.means, f"/{name}", act.button))
        if (await _form(request)).get("confirm") != "yes":
            return HTMLResponse(confirm_page(act.title, act.means, f"/{name}", act.button), 400)
        try:
            words = await asyncio.to_thread(act.do, self._home, self._clock)
        except StateFileError as error:
            remedy = "It was NOT done. On the machine: python stop_trading.py"
            return HTMLResponse(told_page("Not done", (str(error), remedy)), 500)
        return HTMLResponse(told_page(act.done, words))

    async def login(self, request: Request) -> Response:
        """The password's page, and a session for who says it."""
        if request.method != "POST":
            return HTMLResponse(login_page()) if self._sessions.asks else RedirectResponse("/", 303)
        if self._sessions.rests:
            return HTMLResponse(login_page("Too many wrong passwords: wait five minutes"), 429)
        session = self._sessions.open((await _form(request)).get("token", ""))
        if session is None:
            await self._clock.real_wait_s(self.stopping, WRONG_PAUSE_S)
            return HTMLResponse(login_page("That is not it"), 403)
        return RedirectResponse("/", 303, headers={"Set-Cookie": cookie_words(session, request.headers)})

    async def logout(self, request: Request) -> Response:
        """Forget a session, here and in the browser."""
        self._sessions.close(session_of(request.headers))
        return RedirectResponse("/login", 303, headers={"Set-Cookie": cookie_words("", request.headers, for_s=0)})


async def _form(request: Request) -> Mapping[str, str]:
    """The fields of a form of ours; a longer body is not read."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES:
            raise HTTPException(413)
    return {name: values[-1] for name, values in parse_qs(body.decode("latin-1")).items()}


def _ms(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or len(text) > MS_DIGITS:
        raise HTTPException(400, f"{text[:20]!r}: not UTC milliseconds")
    return int(text)
