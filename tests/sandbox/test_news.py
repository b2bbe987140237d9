"""The sandbox's feed shows an item when its hour has come."""

from __future__ import annotations

import json

import aiohttp
import feedparser
import pytest

from sandbox.desk import ScriptError
from sandbox.news import NewsDesk, read_feed
from tests.loopback import SetClock, serving


async def test_an_item_appears_when_its_hour_has_come_and_the_tag_changes_with_it(tmp_path):
    path = tmp_path / "feed.json"
    items = [{"published": "2023-11-14T22:13:20Z", "title": "Now & <here>"}, {"after_s": 60, "title": "In a minute"}]
    path.write_text(json.dumps(items))
    clock = SetClock(1_700_000_000_000)
    async with serving(NewsDesk(clock, path)) as url, aiohttp.ClientSession(url) as http:
        async with http.get("/feed.xml") as answer:
            tag = answer.headers["ETag"]
            first = feedparser.parse(await answer.read())
        async with http.get("/feed.xml", headers={"If-None-Match": tag}) as answer:
            assert answer.status == 304
        clock.at_ms += 60_000
        async with http.get("/feed.xml", headers={"If-None-Match": tag}) as answer:
            second = feedparser.parse(await answer.read())
    assert [entry.title for entry in first.entries] == ["Now & <here>"]
    assert [entry.title for entry in second.entries] == ["In a minute", "Now & <here>"]
    assert second.bozo is False


def test_the_demo_feed_says_of_itself_that_it_is_made_up():
    from sandbox.desk import SCRIPTS

    assert all(item.title.startswith("[sandbox]") for item in read_feed(SCRIPTS / "demo_feed.json", opened_ms=0))


@pytest.mark.parametrize(
    ("item", "words"), [({"after_s": 1}, "give a headline"), ({"title": "x"}, "ISO 8601"), ({"title": ""}, "title=''")]
)
def test_an_item_that_cannot_be_played_is_named(tmp_path, item, words):
    path = tmp_path / "feed.json"
    path.write_text(json.dumps([item]))
    with pytest.raises(ScriptError, match=words):
        read_feed(path, opened_ms=0)
