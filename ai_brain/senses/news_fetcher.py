"""Headlines from RSS and Atom feeds. Text from strangers: it is shown to a model as data, and decides nothing.

Feeds are asked side by side, each within bounds (`bounded_page.py`); one that fails, stalls or is poisoned is a reason
beside the headlines of the others, never an invention. A document that declares entities is refused unread. An item
without a date, or dated ahead, is refused and counted: it is never shown as of now.
"""

from __future__ import annotations

import asyncio
import calendar
import codecs
import html
import io
import re
from dataclasses import dataclass, field, replace
from time import struct_time

import feedparser
import httpx
import structlog

from ai_brain.senses.bounded_page import read_page, shown
from ai_brain.senses.near_duplicates import without_near_duplicates
from ai_brain.senses.news_settings import NewsSettings
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError

log = structlog.get_logger(__name__)

__all__ = ["Headline", "News", "NewsFetcher", "NewsSettings", "read_feed"]

MAX_BYTES = 2_000_000
"""Of one feed, unpacked; more is not read."""
MAX_TITLE = 300
"""Letters of a headline kept."""
MAX_ITEMS = 100
"""Newest items of one feed that are kept."""
_CODES = ("utf-8", "utf-16", "utf-32", "ascii", "iso8859", "latin", "cp125", "koi8", "gb", "big5", "shift_jis", "euc")
"""Beginnings of the codes that feeds are written in, by Python's names."""
AT_ONCE = 6
"""Feeds asked at the same time."""
AHEAD_MAX_MS = 24 * 3_600_000
"""An item dated further ahead than this is not kept until its time comes: the feed's clock is wrong."""
_REMEMBERED = 5_000


@dataclass(frozen=True, slots=True)
class Headline:
    """What a feed said, and when it says it did."""

    title: str
    source: str
    """The feed's own name, else its host."""
    published_ms: int
    url: str
    known_ms: int
    """When the lab first read it. **Look-ahead**: before that it could not be known, whatever its date."""


@dataclass(frozen=True, slots=True)
class News:
    """One round over all feeds."""

    headlines: tuple[Headline, ...]
    """Newest first, without doubles."""
    failures: dict[str, str] = field(default_factory=dict)
    """Feed address -> why it gave nothing."""
    refused: dict[str, int] = field(default_factory=dict)
    """Feed address -> items without a title or a date, or dated ahead."""


@dataclass(frozen=True, slots=True)
class Feed:
    """What a feed's bytes hold."""

    headlines: tuple[Headline, ...]
    refused: int
    """Items without a title or a date."""


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
            timeout=settings.timeout_s, follow_redirects=False, headers={"User-Agent": "ai-trading-lab"}
        )
        self._tags: dict[str, dict[str, str]] = {}
        self._kept: dict[str, Feed] = {}
        self._first_read_ms: dict[tuple[str, int], int] = {}
        """(title without case, its date) -> when the lab first read it."""

    async def __aenter__(self) -> NewsFetcher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def fetch(self) -> News:
        """One round. Never raises for a feed that fails: it is listed."""
        if not self._settings.enabled:
            return News(())
        places = asyncio.Semaphore(AT_ONCE)

        async def one(feed: str) -> str | None:
            async with places:
                try:
                    await self._renew(feed)
                except DataProviderError as error:
                    return str(error)
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                return None

        reasons = await asyncio.gather(*(one(feed) for feed in self._settings.feeds))
        told = zip(self._settings.feeds, reasons, strict=True)
        failures = {shown(feed): why for feed, why in told if why is not None}
        now_ms = self._clock.now_ms()
        headlines, refused = self.as_of(now_ms), self._refused(now_ms)
        log.info(
            "news.fetched",
            headlines=len(headlines),
            feeds=len(self._settings.feeds),
            failures=failures,
            refused=refused,
        )
        return News(headlines, failures, refused)

    def as_of(self, now_ms: int) -> tuple[Headline, ...]:
        """What could be known at a time: read by then, dated by then, and not too old; newest first, without doubles.

        **Look-ahead**: a headline the lab reads later is not in it, however early it is dated.
        """
        if not self._settings.enabled:
            return ()
        oldest_ms = now_ms - int(self._settings.max_age_h * 3_600_000)
        known = [
            headline
            for kept in self._kept.values()
            for headline in kept.headlines
            if oldest_ms <= headline.published_ms <= now_ms and headline.known_ms <= now_ms
        ]
        # of several that say the same the first published stays: it is the one that told something
        told = without_near_duplicates(
            sorted(known, key=lambda h: (h.published_ms, h.title)), title=lambda headline: headline.title
        )
        newest = sorted(told, key=lambda h: (-h.published_ms, h.title))
        return tuple(newest[: self._settings.max_headlines])

    async def _renew(self, feed: str) -> None:
        """Read a feed, unless it has not changed. Its tags are kept only once it could be read."""
        within_s = self._settings.timeout_s
        page = await read_page(
            self._http, feed, max_bytes=MAX_BYTES, within_s=within_s, headers=self._tags.get(feed, {})
        )
        if page.status == httpx.codes.NOT_MODIFIED:
            return
        if page.status != httpx.codes.OK:
            raise DataProviderError(f"status {page.status}")
        # thousands of items take seconds to parse: not on the loop
        found = await asyncio.to_thread(read_feed, page.body, feed=feed, known_ms=self._clock.now_ms())
        self._kept[feed] = replace(found, headlines=tuple(self._first(headline) for headline in found.headlines))
        asked_by = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}
        self._tags[feed] = {ask: page.headers[tag] for tag, ask in asked_by.items() if tag in page.headers}

    def _first(self, headline: Headline) -> Headline:
        """The headline with the time it was first read, which reading it again does not change."""
        key = (headline.title.casefold(), headline.published_ms)
        first_ms = self._first_read_ms.setdefault(key, headline.known_ms)
        if len(self._first_read_ms) > _REMEMBERED:
            kept = {(h.title.casefold(), h.published_ms) for feed in self._kept.values() for h in feed.headlines}
            self._first_read_ms = {k: ms for k, ms in self._first_read_ms.items() if k in kept or k == key}
        return replace(headline, known_ms=first_ms)

    def _refused(self, now_ms: int) -> dict[str, int]:
        """Items by feed that are not told: no title, no date, or dated ahead."""
        found = {}
        for feed, kept in self._kept.items():
            ahead = sum(headline.published_ms > now_ms for headline in kept.headlines)
            if kept.refused + ahead:
                found[shown(feed)] = kept.refused + ahead
        return found


def read_feed(body: bytes, *, feed: str, known_ms: int) -> Feed:
    """The dated headlines of a feed's bytes, newest first.

    Args:
        body: Unpacked.
        feed: Its address; its host is the source where the feed has no name.
        known_ms: When it was read, UTC milliseconds; an item dated more than `AHEAD_MAX_MS` later is refused.

    Raises:
        DataProviderError: not a feed, one that declares entities, or one in a code that could hide them.
    """
    _refuse_bombs(body)
    try:
        parsed = feedparser.parse(io.BytesIO(body))  # bytes alone it would take for the name of a file, too
    except Exception as error:  # whatever a stranger's document does to the parser, it does to this feed alone
        raise DataProviderError(f"cannot be parsed: {type(error).__name__}") from error
    if not parsed.entries and (parsed.bozo or not parsed.get("version")):
        raise DataProviderError(f"not a feed: {str(parsed.get('bozo_exception', 'no feed format recognised'))[:200]}")
    source = _clean(str(parsed.feed.get("title", ""))) or httpx.URL(feed).host
    found = list[Headline]()
    for entry in parsed.entries:
        title, published_ms = _clean(str(entry.get("title", ""))), _published_ms(entry)
        if title and published_ms is not None and 0 < published_ms <= known_ms + AHEAD_MAX_MS:
            found.append(Headline(title, source, published_ms, str(entry.get("link", "")), known_ms))
    newest = sorted(found, key=lambda headline: -headline.published_ms)[:MAX_ITEMS]
    return Feed(tuple(newest), len(parsed.entries) - len(found))


def _refuse_bombs(body: bytes) -> None:
    """Entities are refused in every code they can be seen in, and the codes they can be hidden in too.

    Raises:
        DataProviderError: it declares entities, or names a code that no feed needs.
    """
    if re.search(rb"<!ENTITY", body.replace(b"\0", b""), re.IGNORECASE):
        raise DataProviderError("declares entities, which a feed has no use for and a bomb has: not read")
    named = re.search(rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.\-]{1,40})""", body[:2000].replace(b"\0", b""))
    try:
        code = "utf-8" if named is None else codecs.lookup(named[1].decode("ascii")).name
    except LookupError:
        code = "utf-8"  # the parser does not know it either, and guesses
    if body[:4] == b"\x4c\x6f\xa7\x94" or not code.startswith(_CODES):
        raise DataProviderError(f"is written in {code}, which no feed needs: not read")


def _published_ms(entry: feedparser.FeedParserDict) -> int | None:
    """When an item says it was published; None: it does not, or at a time that is none."""
    stamp = entry.get("published_parsed" if "published_parsed" in entry else "updated_parsed")
    try:
        return calendar.timegm(stamp) * 1000 if isinstance(stamp, struct_time) else None
    except (ValueError, OverflowError):
        return None


def _clean(text: str) -> str:
    """One line, no markup, no control signs, not endless; what is far too long is cut before it is looked at."""
    without_tags = html.unescape(re.sub(r"<[^<>]*>", " ", text[: 20 * MAX_TITLE]))
    printable = "".join(sign if sign.isprintable() else " " for sign in without_tags)
    return " ".join(printable.split())[:MAX_TITLE]
