"""The page's door: who is let in, which requests may act, and what a browser is told about every answer.

Four questions before anything is read: is the `Host` one of ours (a foreign name that points here is not), does who
asks know the password where there is one, did nobody pass it on where there is none, and does a request that acts come
from a page of ours. Answers may load and run nothing from elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from http.cookies import CookieError, SimpleCookie

from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trading.domain.clock import Clock

COOKIE = "lab_page"
SESSION_S = 12 * 3600
"""Real seconds until the password is asked for again."""
WRONG_AT_MOST = 10
"""Wrong passwords within `WRONG_S` real seconds; then nobody is let in for a while."""
WRONG_S = 300.0
OPEN_PATHS = frozenset({"/login", "/static/style.css"})
"""What is told to who has not said the password."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "Cache-Control": "no-store",
}
SAFE = frozenset({"GET", "HEAD"})
PASSED_ON = ("forwarded", "x-forwarded-", "x-real-ip", "via")
"""How headers begin in which a reverse proxy says for whom it asks."""
REMEDY = "others could look in without a password: set PAGE_TOKEN in .env and start the page anew\n"


class Sessions:
    """Who has said the password; forgotten when the process ends.

    Args:
        token: The password; None: there is none, everybody who reaches the page may look.
        clock: For real seconds.
    """

    def __init__(self, token: SecretStr | None, clock: Clock) -> None:
        self._token, self._clock = token, clock
        self._until_s: dict[str, float] = {}
        self._wrong_s: deque[float] = deque(maxlen=WRONG_AT_MOST)

    @property
    def asks(self) -> bool:
        """Whether there is a password."""
        return self._token is not None

    @property
    def rests(self) -> bool:
        """Too many were wrong lately: no password is looked at."""
        oldest_s = self._wrong_s[0] if len(self._wrong_s) == WRONG_AT_MOST else None
        return oldest_s is not None and self._clock.real_s() - oldest_s < WRONG_S

    def open(self, said: str) -> str | None:
        """A new session for who says the password; None: it is another word, or too many were wrong lately."""
        if self._token is None or self.rests:
            return None
        digests = (hashlib.sha256(word.encode()).digest() for word in (said, self._token.get_secret_value()))
        if not hmac.compare_digest(*digests):
            self._wrong_s.append(self._clock.real_s())
            return None
        now_s = self._clock.real_s()
        self._until_s = {name: until_s for name, until_s in self._until_s.items() if until_s > now_s}
        session = secrets.token_urlsafe(32)
        self._until_s[session] = now_s + SESSION_S
        return session

    def knows(self, session: str | None) -> bool:
        """Whether a request may be answered."""
        if self._token is None:
            return True
        return session is not None and self._until_s.get(session, 0.0) > self._clock.real_s()

    def close(self, session: str | None) -> None:
        """Forget a session."""
        if session is not None:
            self._until_s.pop(session, None)


class Door:
    """Middleware around the whole page.

    Args:
        app: What is behind it.
        sessions: Who has said the password.
        hosts: `Host` headers that are ours, in small letters.
    """

    def __init__(self, app: ASGIApp, *, sessions: Sessions, hosts: frozenset[str]) -> None:
        self._app, self._sessions, self._hosts = app, sessions, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or say why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await (self._refusal(scope) or self._app)(scope, receive, send_dressed)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        """What is answered in place of the page; None: it may be asked."""
        headers, method = Headers(scope=scope), scope["method"]
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return PlainTextResponse(f"{host!r} is not a name of this page; see page.names in lab.yaml\n", 421)
        if not self._sessions.asks and (passed_on := _passed_on(headers, scope)):
            return PlainTextResponse(f"a reverse proxy passed this on ({passed_on}); {REMEDY}", 403)
        if method not in SAFE and not (method == "POST" and is_ours(headers, host)):
            return PlainTextResponse("this did not come from a page of the lab\n", 403)
        if scope["path"] not in OPEN_PATHS and not self._sessions.knows(session_of(headers)):
            if method in SAFE and "text/html" in headers.get("accept", ""):
                return RedirectResponse("/login", 303)
            return PlainTextResponse("say the password first: /login\n", 401)
        return None


def _passed_on(headers: Headers, scope: Scope) -> str | None:
    """By what one sees that a request comes from elsewhere, though from this machine; None: by nothing.

    A proxy need not say so. Many speak HTTP/1.0 then, nginx as it comes among them; a browser has not for decades.
    """
    said = next((name for name in headers if name.startswith(PASSED_ON)), None)
    return said or ("HTTP/1.0" if scope.get("http_version") == "1.0" else None)


def is_ours(headers: Headers, host: str) -> bool:
    """Whether a request that acts was sent by a page of this very host."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site") == "same-origin"
    return origin.lower() in (f"http://{host}", f"https://{host}")


def session_of(headers: Headers) -> str | None:
    """The session a browser says it has."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if morsel is None else morsel.value


def cookie_words(session: str, headers: Headers, *, for_s: int = SESSION_S) -> str:
    """The header that has a browser keep a session: out of reach of scripts, never sent along from other sites.

    Behind a proxy that speaks TLS it is sent over TLS only.
    """
    words: Sequence[str] = (f"{COOKIE}={session}", f"Max-Age={for_s}", "Path=/", "HttpOnly", "SameSite=Strict")
    secure = ("Secure",) if headers.get("x-forwarded-proto") == "https" else ()
    return "; ".join((*words, *secure))
