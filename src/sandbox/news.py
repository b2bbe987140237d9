"""A news site on loopback: an RSS 2.0 feed in which an item appears when its hour has come, and feeds of poison.

`/poison/KIND.xml`: `entities` (a billion laughs), `huge` (a hundred megabytes), `zipped` (some hundred thousand bytes
that unpack to a hundred megabytes), `drip` (a byte now and then, for ever), `charset` (says one, is another), `future`
(dated next year), `many` (two thousand items), `away` (redirects to a file of the reader's own machine).
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from xml.sax.saxutils import escape

from aiohttp import web

from sandbox.desk import SCRIPTS, Now, ScriptError, read_list

HUGE_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class Item:
    """A headline and the hour from which it can be read."""

    published_ms: int
    title: str
    link: str
    description: str


class NewsDesk:
    """One feed at `/feed.xml`.

    Args:
        clock: Decides what is published already.
        feed_path: A JSON list of items; None: the demo's, plainly made up.

    Raises:
        ScriptError: the feed file cannot be played.
    """

    def __init__(self, clock: Now, feed_path: Path | None = None) -> None:
        self._clock = clock
        self._items = read_feed(feed_path or SCRIPTS / "demo_feed.json", opened_ms=clock.now_ms())

    def add_routes(self, app: web.Application) -> None:
        """Hang the desk into a server."""
        app.router.add_get("/feed.xml", self._feed)
        app.router.add_get("/poison/{kind}.xml", self._poison)

    async def _feed(self, request: web.Request) -> web.Response:
        now_ms = self._clock.now_ms()
        body = _rss([item for item in self._items if item.published_ms <= now_ms]).encode()
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        return web.Response(body=body, headers={"ETag": tag, "Content-Type": "application/rss+xml; charset=utf-8"})

    async def _poison(self, request: web.Request) -> web.StreamResponse:
        kind, now_ms = request.match_info["kind"], self._clock.now_ms()
        if kind == "huge":
            return await _endless(request, b"<item>" + b"x" * 65_530, times=1_600, pause_s=0.0)
        if kind == "drip":
            return await _endless(request, b" ", times=10_000, pause_s=0.05)
        if kind == "zipped":
            packed = zlib.compress(b"\0" * HUGE_BYTES, 9)
            return web.Response(body=packed, headers={"Content-Encoding": "deflate"}, content_type="text/xml")
        if kind == "away":
            return web.Response(status=302, headers={"Location": "file:///etc/hostname"})
        text = {
            "entities": _laughs(),
            "charset": _rss([Item(now_ms, "Naïve traders sell – Zürich", "https://sandbox.invalid/c", "")]),
            "future": _rss([Item(now_ms + 365 * 86_400_000, "Of next year", "https://sandbox.invalid/f", "")]),
            "many": _rss([Item(now_ms - i * 1_000, f"Bitcoin item {i} of many", f"https://sandbox.invalid/{i}", "")
                          for i in range(2_000)]),
        }.get(kind)  # fmt: skip
        if text is None:
            return web.Response(status=404)
        body = text.encode("latin-1", errors="replace") if kind == "charset" else text.encode()
        return web.Response(body=body, content_type="application/rss+xml", charset="utf-8")


def read_feed(path: Path, *, opened_ms: int) -> list[Item]:
    """The items of a feed file, newest first.

    Raises:
        ScriptError: unreadable, or an item without a title or a time.
    """
    items = []
    for number, entry in enumerate(read_list(path)):
        title = entry.get("title")
        if not isinstance(title, str) or not title:
            raise ScriptError(f"{path}: item {number}: title={title!r}: give a headline")
        published_ms = _published_ms(entry, where=f"{path}: item {number}", opened_ms=opened_ms)
        link = str(entry.get("link", f"https://sandbox.invalid/{number}"))
        items.append(Item(published_ms, title, link, str(entry.get("description", ""))))
    return sorted(items, key=lambda item: -item.published_ms)


def _published_ms(entry: dict[str, object], *, where: str, opened_ms: int) -> int:
    after_s, published = entry.get("after_s"), entry.get("published")
    if isinstance(after_s, int | float):
        return opened_ms + int(after_s * 1000)
    try:
        parsed = datetime.fromisoformat(str(published).replace("Z", "+00:00"))
    except ValueError as error:
        raise ScriptError(f"{where}: published={published!r}: give ISO 8601 in UTC, or after_s") from error
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)


async def _endless(request: web.Request, part: bytes, *, times: int, pause_s: float) -> web.StreamResponse:
    """So many parts, until the reader has had enough."""
    answer = web.StreamResponse(headers={"Content-Type": "application/rss+xml"})
    await answer.prepare(request)
    with suppress(ConnectionError):
        for _ in range(times):
            await answer.write(part)
            if pause_s:
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.Event().wait(), pause_s)
    return answer


def _laughs() -> str:
    """The billion laughs: entities of entities."""
    lines = [f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10)]
    return (
        f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY e0 "ha">{"".join(lines)}]><rss version="2.0"><channel>'
        "<title>&e9;</title><item><title>&e9;</title></item></channel></rss>"
    )


def _rss(items: list[Item]) -> str:
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<rss version="2.0"><channel><title>Sandbox news</title><link>https://sandbox.invalid/</link>',
        "<description>Made up for the sandbox</description>",
    ]
    for item in items:
        date = format_datetime(datetime.fromtimestamp(item.published_ms / 1000, tz=UTC), usegmt=True)
        lines.append(
            f"<item><title>{escape(item.title)}</title><link>{escape(item.link)}</link>"
            f"<guid>{escape(item.link)}</guid><pubDate>{date}</pubDate>"
            f"<description>{escape(item.description)}</description></item>"
        )
    return "\n".join([*lines, "</channel></rss>"])
