"""The sandbox's Telegram refuses what the real one refuses, in its words, and remembers the rest."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from sandbox.telegram import TOKEN, TelegramDesk
from sandbox.telegram_entities import EntityError, shown
from tests.conftest import DATA, needs_data
from tests.loopback import SetClock, serving

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 32


@pytest.fixture
def desk() -> TelegramDesk:
    return TelegramDesk(SetClock(1_700_000_000_500))


@pytest.fixture
async def http(desk: TelegramDesk) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(desk) as url, aiohttp.ClientSession(url) as session:
        yield session


async def call(http: aiohttp.ClientSession, method: str, *, token: str = TOKEN, **form: str) -> tuple[int, dict]:
    async with http.post(f"/bot{token}/{method}", data=form) as answer:
        return answer.status, await answer.json()


async def test_a_message_is_taken_and_seen_by_the_witness(http):
    status, body = await call(http, "sendMessage", chat_id="42", text="hello <b>you</b>", parse_mode="HTML")
    assert (status, body["ok"], body["result"]["text"], body["result"]["date"]) == (200, True, "hello you", 1700000000)
    async with http.get("/sandbox/telegram") as answer:
        (seen,) = await answer.json()
    assert (seen["at_ms"], seen["chat_id"], seen["kind"], seen["text"]) == (1700000000500, "42", "message", "hello you")


async def test_query_and_json_are_taken_like_a_form(http, desk):
    async with http.get(f"/bot{TOKEN}/sendMessage", params={"chat_id": "42", "text": "by query"}) as answer:
        assert answer.status == 200
    async with http.post(f"/bot{TOKEN}/sendMessage", json={"chat_id": 42, "text": "by json"}) as answer:
        assert answer.status == 200
    assert [taken.text for taken in desk.taken] == ["by query", "by json"]


async def test_a_photo_is_kept_for_looking_at(http):
    form = aiohttp.FormData({"chat_id": "42", "caption": "equity"})
    form.add_field("photo", PNG, filename="e.png", content_type="image/png")
    async with http.post(f"/bot{TOKEN}/sendPhoto", data=form) as answer:
        assert (await answer.json())["result"]["caption"] == "equity"
    async with http.get("/sandbox/telegram/photo/0") as answer:
        assert (answer.content_type, await answer.read()) == ("image/png", PNG)
    async with http.get("/sandbox/telegram/photo/1") as answer:
        assert answer.status == 404


def album(*media: object, **files: bytes) -> aiohttp.FormData:
    form = aiohttp.FormData({"chat_id": "42", "media": json.dumps(media)})
    for name, content in files.items():
        form.add_field(name, content, filename=f"{name}.png", content_type="image/png")
    return form


async def test_an_album_arrives_photo_by_photo_with_the_caption_on_its_first(http, desk):
    media = [
        {"type": "photo", "media": "attach://a", "caption": "two charts"},
        {"type": "photo", "media": "attach://b"},
    ]
    async with http.post(f"/bot{TOKEN}/sendMediaGroup", data=album(*media, a=PNG, b=PNG + b"1")) as answer:
        result = (await answer.json())["result"]
    assert [message["message_id"] for message in result] == [1, 2]
    assert len({message["media_group_id"] for message in result}) == 1
    assert [(t.kind, t.text, t.photo_bytes) for t in desk.taken] == [
        ("photo", "two charts", len(PNG)),
        ("photo", "", len(PNG) + 1),
    ]


@pytest.mark.parametrize(
    ("media", "words"),
    [
        ([{"type": "photo", "media": "attach://a"}], "wrong number of messages"),
        ([{"type": "photo", "media": "attach://a"}] * 11, "wrong number of messages"),
        ([{"type": "photo", "media": "attach://a"}, {"type": "photo", "media": "attach://z"}], "wrong file identifier"),
        ([{"type": "photo", "media": "attach://a"}, {"type": "voice", "media": "attach://a"}], "wrong type"),
        (
            [{"type": "photo", "media": "attach://a"}, {"type": "photo", "media": "attach://bad"}],
            "IMAGE_PROCESS_FAILED",
        ),
        ([{"type": "photo", "media": "attach://a", "caption": "x" * 1025}] * 2, "caption is too long"),
    ],
)
async def test_an_album_that_telegram_would_refuse_is_refused_whole(http, desk, media, words):
    async with http.post(f"/bot{TOKEN}/sendMediaGroup", data=album(*media, a=PNG, bad=b"x")) as answer:
        assert (answer.status, words in (await answer.json())["description"]) == (400, True)
    assert desk.taken == []


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"chat_id": "42", "text": ""}, 400, "message text is empty"),
        ({"text": "x"}, 400, "chat_id is empty"),
        ({"chat_id": "nobody", "text": "x"}, 400, "chat not found"),
        ({"chat_id": "42", "text": "x" * 4097}, 400, "message is too long"),
        ({"chat_id": "42", "text": "<b>x", "parse_mode": "HTML"}, 400, "can't parse entities"),
        ({"chat_id": "42", "text": "a_b", "parse_mode": "Markdown"}, 400, "can't parse entities"),
        ({"chat_id": "42", "text": "1.5", "parse_mode": "MarkdownV2"}, 400, "is reserved and must be escaped"),
    ],
)
async def test_what_telegram_refuses_is_refused_in_its_words(http, desk, form, status, words):
    answer_status, body = await call(http, "sendMessage", **form)
    assert (answer_status, body["ok"], body["error_code"]) == (status, False, status)
    assert body["description"].startswith("Bad Request: ")
    assert words in body["description"]
    assert desk.taken == []


async def test_exactly_the_longest_message_is_taken(http):
    assert (await call(http, "sendMessage", chat_id="42", text="x" * 4096))[0] == 200
    assert (await call(http, "sendMessage", chat_id="42", text="📊" * 2049))[0] == 400  # two units each


async def test_a_wrong_token_is_unauthorized_and_a_malformed_one_not_found(http):
    assert (await call(http, "getMe", token="1:wrong"))[0] == 401
    assert (await call(http, "getMe", token="nonsense"))[0] == 404
    assert (await call(http, "getMe"))[1]["result"]["is_bot"] is True
    assert (await call(http, "getUpdates"))[0] == 404


async def test_more_than_the_limit_in_a_second_is_429_with_the_time_to_wait():
    desk = TelegramDesk(SetClock(), messages_per_s=2)
    async with serving(desk) as url, aiohttp.ClientSession(url) as http:
        statuses = [(await call(http, "sendMessage", chat_id="42", text=str(n)))[0] for n in range(3)]
        assert statuses == [200, 200, 429]
        _, body = await call(http, "sendMessage", chat_id="42", text="once more")
    assert body["parameters"] == {"retry_after": 1}
    assert len(desk.taken) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<h1>x</h1>", 'Unsupported start tag "h1" at byte offset 0'),
        ("é</b>", "Unexpected end tag at byte offset 2"),
        ("<b>x</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'),
        ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("1 < 2", "Unclosed start tag at byte offset 2"),
    ],
)
def test_html_errors_say_where(text, words):
    with pytest.raises(EntityError) as refused:
        shown(text, "HTML")
    assert str(refused.value) == words


@needs_data
def test_the_words_are_those_of_recorded_answers():
    catalogue = json.loads((DATA / "payloads" / "telegram" / "errors_catalogue.json").read_text())
    recorded = {body["description"] for body in catalogue.values() if isinstance(body, dict) and "description" in body}
    assert {"Bad Request: chat not found", "Bad Request: message text is empty", "Unauthorized"} <= recorded
