"""Headlines from RSS and Atom feeds. Text from strangers: it is shown to a model as data, and decides nothing.

A feed that fails is a reason beside the headlines of the others, never an invention.
"""

from __future__ import annotations

import calendar
import html
import re
from dataclasses import dataclass, field
from time import struct_time

import feedparser
import httpx
import structlog

from ai_brain.senses.news_settings import NewsSettings
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError

log = structlog.get_logger(__name__)

__all__ = ["Headline", "News", "NewsFetcher", "NewsSettings", "read_feed"]

MAX_BYTES = 2_000_000
"""Of one feed; more is not read."""
MAX_TITLE = 300
"""Letters of a headline kept."""


@dataclass(frozen=True, slots=True)
class Headline:
    """What a feed said, and when it says it did."""

    title: str
    source: str
    """The feed's own name, else its host."""
    published_ms: int
    url: str


@dataclass(frozen=True, slots=True)
class News:
    """One round over all feeds."""

    headlines: tuple[Headline, ...]
    """Newest first, without doubles."""
    failures: dict[str, str] = field(default_factory=dict)
    """Feed address -> why it gave nothing."""


class NewsFetcher:
    """Asks feeds again and again, by their tags. Open it with `async with`.

    Args:
        settings: Which feeds.
        clock: Decides what is too old, and what cannot be known yet.
    """

    def __init__(self, settings: NewsSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._http = httpx.AsyncClient(
            timeout=settings.timeout_s, follow_redirects=True, headers={"User-Agent": "ai-trading-lab"}
        )
        self._tags: dict[str, dict[str, str]] = {}
        self._kept: dict[str, tuple[Headline, ...]] = {}

    async def __aenter__(self) -> NewsFetcher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def fetch(self) -> News:
        """One round. Never raises for a feed that fails: it is listed."""
        failures: dict[str, str] = {}
        for feed in self._settings.feeds:
            try:
                await self._renew(feed)
            except DataProviderError as error:
                failures[feed] = str(error)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                failures[feed] = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        headlines = self._recent()
        log.info("news.fetched", headlines=len(headlines), feeds=len(self._settings.feeds), failures=failures)
        return News(headlines, failures)

    async def _renew(self, feed: str) -> None:
        """Read a feed, unless it has not changed. Its tags are kept only once it could be read."""
        async with self._http.stream("GET", feed, headers=self._tags.get(feed, {})) as answer:
            if answer.status_code == httpx.codes.NOT_MODIFIED:
                return
            if answer.status_code != httpx.codes.OK:
                raise DataProviderError(f"status {answer.status_code}")
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise DataProviderError(f"larger than {MAX_BYTES} bytes")
        self._kept[feed] = read_feed(bytes(body), feed=feed)
        asked_by = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
        self._tags[feed] = {ask: answer.headers[tag] for tag, ask in asked_by.items() if tag in answer.headers}

    def _recent(self) -> tuple[Headline, ...]:
        now_ms = self._clock.now_ms()
        oldest_ms = now_ms - int(self._settings.max_age_h * 3_600_000)
        by_title: dict[str, Headline] = {}
        for headline in sorted((h for kept in self._kept.values() for h in kept), key=lambda h: h.published_ms):
            if oldest_ms <= headline.published_ms <= now_ms:
                by_title.setdefault(headline.title.casefold(), headline)
        newest = sorted(by_title.values(), key=lambda h: (-h.published_ms, h.title))
        return tuple(newest[: self._settings.max_headlines])


def read_feed(body: bytes, *, feed: str) -> tuple[Headline, ...]:
    """The dated headlines of a feed's bytes; an item without a title or a date is left out.

    Raises:
        DataProviderError: not a feed.
    """
    parsed = feedparser.parse(body)
    if not parsed.entries and (parsed.bozo or not parsed.get("version")):
        raise DataProviderError(f"not a feed: {parsed.get('bozo_exception', 'no feed format recognised')}")
    source = _clean(str(parsed.feed.get("title", ""))) or httpx.URL(feed).host
    found = []
    for entry in parsed.entries:
        title = _clean(str(entry.get("title", "")))
        stamp = entry.get("published_parsed" if "published_parsed" in entry else "updated_parsed")
        if title and isinstance(stamp, struct_time):
            found.append(Headline(title, source, calendar.timegm(stamp) * 1000, str(entry.get("link", ""))))
    return tuple(found)


def _clean(text: str) -> str:
    """One line, no markup, no control signs, not endless."""
    without_tags = html.unescape(re.sub(r"<[^>]*>", " ", text))
    printable = "".join(sign if sign.isprintable() else " " for sign in without_tags)
    return " ".join(printable.split())[:MAX_TITLE]
