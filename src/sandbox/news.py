"""A news site on loopback: an RSS 2.0 feed in which an item appears when its hour has come.

An item of the feed file has `title`, `link`, `description`, and either `published` (ISO 8601, UTC) or `after_s`: lab
seconds after the desk opened.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from xml.sax.saxutils import escape

from aiohttp import web

from sandbox.desk import SCRIPTS, Now, ScriptError, read_list


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

    async def _feed(self, request: web.Request) -> web.Response:
        now_ms = self._clock.now_ms()
        body = _rss([item for item in self._items if item.published_ms <= now_ms]).encode()
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        return web.Response(body=body, headers={"ETag": tag, "Content-Type": "application/rss+xml; charset=utf-8"})


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
