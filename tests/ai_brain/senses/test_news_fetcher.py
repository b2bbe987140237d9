"""Headlines come from feeds or not at all."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import httpx
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from ai_brain.senses.bounded_page import read_page
from ai_brain.senses.near_duplicates import is_near, without_near_duplicates, words_of
from ai_brain.senses.news_fetcher import MAX_BYTES, MAX_ITEMS, News, NewsFetcher, NewsSettings, read_feed
from sandbox.news import NewsDesk
from tests.loopback import serving
from trading.domain.clock import Clock, Timeline
from trading.domain.errors import DataProviderError

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


class Site:
    """A feed address that answers what it is told, and remembers what it was asked."""

    def __init__(self, body: bytes, *, status: int = 200) -> None:
        self.body, self.status = body, status
        self.asked: list[dict[str, str]] = []

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/site.xml", self.answer)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.headers))
        return web.Response(body=self.body, status=self.status, headers={"ETag": '"1"'})


class Counted(NewsDesk):
    """The sandbox's feed, with a list of what it answered."""

    def add_routes(self, app: web.Application) -> None:
        super().add_routes(app)
        self.statuses: list[int] = []

        async def note(request: web.Request, response: web.StreamResponse) -> None:
            self.statuses.append(response.status)

        app.on_response_prepare.append(note)


@pytest.fixture
def clock() -> Clock:
    return Clock(scale=1.0, origin_ms=START_MS)


@pytest.fixture
def feed_file(tmp_path: Path) -> Path:
    path = tmp_path / "feed.json"
    items = [
        {"after_s": -3600, "title": "An hour <b>old</b> &amp; true"},
        {"after_s": -72 * 3600, "title": "Three days old"},
        {"after_s": 3600, "title": "Of tomorrow"},
    ]
    path.write_text(json.dumps(items))
    return path


def jump(clock: Clock, lab_s: float) -> None:
    clock.follow(Timeline(clock.real_s(), clock.now_ms() + lab_s * 1000, 1.0))


async def test_what_is_published_now_is_read_and_the_old_and_the_future_are_not(clock, feed_file):
    async with serving(NewsDesk(clock, feed_file)) as url:
        settings = NewsSettings(feeds=(f"{url}/feed.xml",))
        async with NewsFetcher(settings, clock) as fetcher:
            news = await fetcher.fetch()
            assert [h.title for h in news.headlines] == ["An hour old & true"]
            assert news.headlines[0].source == "Sandbox news"
            assert news.headlines[0].published_ms == START_MS - HOUR_MS
            jump(clock, 3700)
            assert [h.title for h in (await fetcher.fetch()).headlines] == ["Of tomorrow", "An hour old & true"]


async def test_an_unchanged_feed_is_not_sent_again_and_its_headlines_stay(clock, feed_file):
    site = Counted(clock, feed_file)
    async with serving(site) as url, NewsFetcher(NewsSettings(feeds=(f"{url}/feed.xml",)), clock) as fetcher:
        first = await fetcher.fetch()
        assert len(first.headlines) == 1
        assert await fetcher.fetch() == first
    assert site.statuses == [200, 304]


async def test_one_failing_feed_is_a_reason_beside_the_headlines_of_the_other(clock, feed_file):
    async with serving(NewsDesk(clock, feed_file)) as url:
        feeds = (f"{url}/nowhere.xml", "http://127.0.0.1:9/feed.xml", f"{url}/feed.xml", "no address")
        async with NewsFetcher(NewsSettings(feeds=feeds), clock) as fetcher:
            news = await fetcher.fetch()
    assert len(news.headlines) == 1
    assert news.failures[feeds[0]] == "status 404"
    assert list(news.failures) == [feeds[0], feeds[1], feeds[3]]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"<html><body>Are you human?</body></html>", 200, "not a feed"),
        (b"", 200, "not a feed"),
        (b"x" * (MAX_BYTES + 1), 200, "larger than"),
        (b"gone", 503, "status 503"),
    ],
)
async def test_what_is_no_feed_gives_a_reason_and_no_headline(clock, body, status, reason):
    site = Site(body, status=status)
    async with serving(site) as url, NewsFetcher(NewsSettings(feeds=(f"{url}/site.xml",)), clock) as fetcher:
        news = await fetcher.fetch()
        assert news.headlines == ()
        assert reason in news.failures[f"{url}/site.xml"]
        await fetcher.fetch()
    assert "If-None-Match" not in site.asked[1]  # what could not be read is asked for whole again


async def test_a_headline_dated_in_the_future_is_not_known_yet(clock):
    body = b"""<rss version="2.0"><channel><title>T</title>
    <item><title>now</title><pubDate>Tue, 14 Nov 2023 22:13:20 GMT</pubDate></item>
    <item><title>later</title><pubDate>Tue, 14 Nov 2023 22:14:20 GMT</pubDate></item></channel></rss>"""
    async with serving(Site(body)) as url, NewsFetcher(NewsSettings(feeds=(f"{url}/site.xml",)), clock) as fetcher:
        assert [h.title for h in (await fetcher.fetch()).headlines] == ["now"]


def test_an_item_without_title_or_date_is_left_out():
    body = b"""<rss version="2.0"><channel><title>T</title>
    <item><title>no date</title></item><item><pubDate>Tue, 14 Nov 2023 22:13:20 GMT</pubDate></item>
    <item><title>whole\x07 one</title><pubDate>Tue, 14 Nov 2023 22:13:20 GMT</pubDate></item></channel></rss>"""
    found = read_feed(body.replace(b"\x07", b""), feed="https://x.invalid/", known_ms=START_MS)
    assert [h.title for h in found.headlines] == ["whole one"]
    assert found.refused == 2


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(body):
    try:
        headlines = read_feed(body, feed="https://x.invalid/", known_ms=START_MS).headlines
    except DataProviderError:
        return
    assert all(h.title for h in headlines)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("entities", "declares entities"),
        ("huge", "larger than"),
        ("zipped", "larger than"),
        ("drip", "slower than 0.4 s"),
        ("away", "only http and https are read"),
    ],
)
async def test_a_poisoned_feed_is_a_reason_within_its_time_and_the_other_feed_is_told(clock, feed_file, kind, why):
    async with serving(NewsDesk(clock, feed_file)) as url:
        feeds = (f"{url}/poison/{kind}.xml", f"{url}/feed.xml")
        async with NewsFetcher(NewsSettings(feeds=feeds, timeout_s=0.4 if kind == "drip" else 10), clock) as fetcher:
            began_s = clock.real_s()
            news = await fetcher.fetch()
            assert clock.real_s() - began_s < 5.0
    assert why in news.failures[feeds[0]]
    assert [h.title for h in news.headlines] == ["An hour old & true"]


async def test_strange_feeds_are_read_for_what_they_are(clock, feed_file):
    async with serving(NewsDesk(clock, feed_file)) as url:
        for kind in ("charset", "future", "many"):
            feed = f"{url}/poison/{kind}.xml"
            async with NewsFetcher(NewsSettings(feeds=(feed,), max_headlines=500), clock) as fetcher:
                news = await fetcher.fetch()
            assert news.failures == {}
            if kind == "charset":
                assert news.headlines[0].title.startswith("Na")
            if kind == "future":
                assert (news.headlines, news.refused) == ((), {feed: 1})
            if kind == "many":
                assert 1 <= len(news.headlines) <= MAX_ITEMS


async def test_what_two_feeds_say_in_nearly_the_same_words_is_told_once(clock):
    def feed(*titles: str) -> bytes:
        items = "".join(
            f"<item><title>{t}</title><pubDate>Tue, 14 Nov 2023 22:0{i}:00 GMT</pubDate></item>"
            for i, t in enumerate(titles)
        )
        return f'<rss version="2.0"><channel><title>T</title>{items}</channel></rss>'.encode()

    body = feed(
        "SEC sues Binance and its founder over securities",
        "SEC sues Binance, its founder over the securities",
        "Bitcoin rises above 60,000 dollars",
        "Bitcoin rises above 70,000 dollars",
    )
    async with serving(Site(body)) as url, NewsFetcher(NewsSettings(feeds=(f"{url}/site.xml",)), clock) as fetcher:
        told = [h.title for h in (await fetcher.fetch()).headlines]
    assert told == [
        "Bitcoin rises above 70,000 dollars",
        "Bitcoin rises above 60,000 dollars",
        "SEC sues Binance and its founder over securities",
    ]


async def test_a_headline_is_known_from_when_the_lab_read_it_and_in_no_earlier_view(clock, feed_file):
    async with serving(NewsDesk(clock, feed_file)) as url:
        async with NewsFetcher(NewsSettings(feeds=(f"{url}/feed.xml",)), clock) as fetcher:
            before_ms = clock.now_ms() - 1
            (first,) = (await fetcher.fetch()).headlines
            assert first.published_ms < before_ms < first.known_ms
            assert fetcher.as_of(before_ms) == ()
            jump(clock, 3700)
            later = {h.title: h.known_ms for h in (await fetcher.fetch()).headlines}
            assert later[first.title] == first.known_ms
            assert later["Of tomorrow"] > first.known_ms + 3600_000
        async with NewsFetcher(NewsSettings(feeds=(f"{url}/feed.xml",), enabled=False), clock) as off:
            assert await off.fetch() == News(())


@pytest.mark.parametrize(
    ("hops", "why"),
    [
        (["http://10.0.0.5/feed"], "not followed"),
        (["http://localhost/feed"], "not followed"),
        (["https://[::1]/feed"], "not followed"),
        (["http://2130706433/feed"], "not followed"),
        (["http://0/feed"], "not followed"),
        (["http://8.8.8.8:99999/feed"], "only http and https"),
        (["ftp://feeds.example/feed"], "only http and https"),
        (["https://b.example/"] * 6, "redirected more than"),
    ],
)
async def test_a_redirect_leads_nowhere_it_may_not(hops, why):
    left = list(hops)

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": left.pop(0)})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        with pytest.raises(DataProviderError, match=why):
            await read_page(http, "https://9.9.9.9/feed", max_bytes=1000, within_s=5.0)


async def test_a_body_that_ends_before_its_packing_does_is_no_page():
    whole = gzip.compress(os.urandom(2000))

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=Cut(whole[:900]))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        with pytest.raises(DataProviderError, match="its end is missing"):
            await read_page(http, "https://9.9.9.9/feed", max_bytes=5000, within_s=5.0)


class Cut(httpx.AsyncByteStream):
    def __init__(self, part: bytes) -> None:
        self.part = part

    async def __aiter__(self):
        yield self.part


def item(title: str, date: str = "Tue, 14 Nov 2023 22:13:20 GMT") -> str:
    return f"<item><title>{title}</title><pubDate>{date}</pubDate></item>"


def rss(*items: str, code: str = "utf-8") -> bytes:
    text = f'<?xml version="1.0" encoding="{code}"?><rss version="2.0"><channel><title>T</title>{"".join(items)}'
    return f"{text}</channel></rss>".encode(code)


def test_a_body_is_never_taken_for_the_name_of_a_file(tmp_path):
    secret = tmp_path / "secret.xml"
    secret.write_bytes(rss(item("of this machine")))
    with pytest.raises(DataProviderError, match="not a feed"):
        read_feed(str(secret).encode(), feed="https://x.invalid/", known_ms=START_MS)


@pytest.mark.parametrize(
    "bad",
    [
        item("too early", "0000-00-00T00:00:00Z"),
        item("no year", "0001-01-01T00:00:00+01:00"),
        item("too late", "9999-12-31T23:59:59-24:00"),
        item("&amp;#" + "9" * 400 + ";", "never"),
    ],
)
def test_an_item_that_makes_no_sense_costs_itself_alone(bad):
    found = read_feed(rss(bad, item("good")), feed="https://x.invalid/", known_ms=START_MS)
    assert ([h.title for h in found.headlines], found.refused) == (["good"], 1)


def test_a_title_made_to_be_slow_is_cut_before_it_is_looked_at():
    began = Clock().real_s()
    found = read_feed(
        rss(item(f"<![CDATA[{'<' * 60_000}]]>"), item("good")), feed="https://x.invalid/", known_ms=START_MS
    )
    assert Clock().real_s() - began < 2.0
    assert "good" in [h.title for h in found.headlines]


@pytest.mark.parametrize("code", ["utf-7", "cp037", "unicode_escape"])
def test_a_code_that_can_hide_a_bomb_is_not_read(code):
    with pytest.raises(DataProviderError, match="which no feed needs"):
        read_feed(rss(item("good"), code=code), feed="https://x.invalid/", known_ms=START_MS)


async def test_an_address_with_a_password_in_it_is_told_without(clock):
    async with NewsFetcher(NewsSettings(feeds=("http://me:secretpw@127.0.0.1:9/f.xml?token=abcd",)), clock) as fetcher:
        (address,) = (await fetcher.fetch()).failures
    assert address == "http://127.0.0.1:9/f.xml"


@given(st.lists(st.text(max_size=40), max_size=12))
def test_of_near_duplicates_the_first_stays_and_what_stays_is_near_nothing_that_stays(titles):
    kept = without_near_duplicates(titles, title=lambda t: t)
    assert kept == [t for t in titles if t in kept][: len(kept)] or set(kept) <= set(titles)
    words = [words_of(t) for t in kept]
    assert not any(is_near(a, b) for i, a in enumerate(words) for b in words[:i])
    dropped = [t for t in titles if t not in kept]
    assert all(any(is_near(words_of(t), w) for w in words) or not words_of(t) for t in dropped)
