"""The real library against the sandbox's Telegram over a socket."""

from __future__ import annotations

import asyncio
import io
import logging

import pytest
import telegram.error
from aiohttp import web
from pydantic import SecretStr

from sandbox.telegram import TOKEN, TelegramDesk
from tests.loopback import SetClock, serving
from trading.domain.errors import NotifierError
from trading.notify.console import Console
from trading.notify.message import Message
from trading.notify.telegram import MEANING, Telegram

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 64


async def send(desk: TelegramDesk, message: Message, *, token: str = TOKEN, chat: str = "42") -> None:
    async with serving(desk) as url, Telegram(SecretStr(token), chat, base_url=url) as bot:
        await bot.send(message)


async def test_html_text_and_photo_arrive():
    desk = TelegramDesk(SetClock())
    async with serving(desk) as url, Telegram(SecretStr(TOKEN), "42", base_url=url) as bot:
        assert await bot.check() == "sandbox_bot"
        await bot.send(Message("report", "<b>equity</b> 10,000", is_html=True))
        await bot.send(Message("report", "chart", photos=(PNG,)))
    assert [(m.kind, m.text, m.parse_mode, m.photo_bytes) for m in desk.taken] == [
        ("message", "equity 10,000", "HTML", 0),
        ("photo", "chart", "", len(PNG)),
    ]


async def test_a_refused_format_is_sent_again_as_plain_text():
    desk = TelegramDesk(SetClock())
    await send(desk, Message("report", "<b>profit <i>1 %</b>", is_html=True))
    assert [(m.text, m.parse_mode) for m in desk.taken] == [("profit 1 %", "")]


async def test_a_refused_photo_does_not_take_its_text_with_it():
    desk = TelegramDesk(SetClock())
    await send(desk, Message("report", "equity chart", photos=(b"not a picture",)))
    assert [(m.kind, m.text) for m in desk.taken] == [("message", "equity chart")]


async def test_several_photos_arrive_as_one_album_and_a_long_text_before_them():
    desk = TelegramDesk(SetClock())
    await send(desk, Message("summary", "the week", photos=(PNG, PNG + b"1")))
    await send(desk, Message("summary", "the week\n" + "x" * 1100 + "\nid m-2", photos=(PNG, PNG + b"1")))
    assert [(m.kind, m.text[:8], m.photo_bytes) for m in desk.taken] == [
        ("photo", "the week", len(PNG)),
        ("photo", "", len(PNG) + 1),
        ("message", "the week", 0),
        ("photo", "the week", len(PNG)),
        ("photo", "", len(PNG) + 1),
    ]
    assert desk.taken[3].text == "the week\nid m-2"


async def test_a_refused_album_does_not_take_its_text_with_it():
    desk = TelegramDesk(SetClock())
    await send(desk, Message("summary", "the week", photos=(PNG, b"not a picture")))
    assert [(m.kind, m.text) for m in desk.taken] == [("message", "the week")]


async def test_a_long_message_arrives_in_parts_in_order():
    desk = TelegramDesk(SetClock())
    text = "\n".join(f"{n:04d} " + "x" * 60 for n in range(200))
    await send(desk, Message("report", text))
    assert "\n".join(m.text for m in desk.taken) == text


async def test_too_many_messages_carries_the_time_to_wait():
    desk = TelegramDesk(SetClock(), messages_per_s=1)
    async with serving(desk) as url, Telegram(SecretStr(TOKEN), "42", base_url=url) as bot:
        await bot.send(Message("report", "one"))
        with pytest.raises(NotifierError) as refused:
            await bot.send(Message("report", "two"))
    assert (refused.value.retry_after_s, refused.value.permanent) == (1.0, False)


async def test_a_wrong_token_keeps_the_message_and_is_never_printed():
    with pytest.raises(NotifierError) as refused:
        await send(TelegramDesk(SetClock()), Message("report", "x"), token="999:secret-canary")
    assert refused.value.permanent is False
    assert "TELEGRAM_TOKEN" in str(refused.value)
    assert "secret-canary" not in repr(refused.value) + repr(refused.value.__cause__)


async def test_an_unknown_chat_keeps_the_message_and_says_which():
    desk = TelegramDesk(SetClock(), chats=frozenset({"42"}))
    with pytest.raises(NotifierError, match="TELEGRAM_CHAT_ID=43") as refused:
        await send(desk, Message("report", "x"), chat="43")
    assert refused.value.permanent is False


class Refusing:
    """Telegram's wire: answers by method, and counts."""

    def __init__(self, answers: dict[str, tuple[int, str]]) -> None:
        self.answers, self.asked = answers, list[str]()

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/bot{token}/{method}", self._call)

    async def _call(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        self.asked.append(method)
        code, words = self.answers.get(method, (200, ""))
        if code == 200:
            chat = {"id": 42, "type": "private"}
            return web.json_response({"ok": True, "result": {"message_id": 1, "date": 0, "chat": chat, "text": "x"}})
        if not words:  # a proxy's page
            return web.Response(status=code, text="<html>Request Entity Too Large</html>")
        return web.json_response({"ok": False, "error_code": code, "description": f"Bad Request: {words}"}, status=code)


@pytest.mark.parametrize(
    "words",
    [
        "have no rights to send a message",
        "need administrator rights in the channel chat",
        "CHAT_WRITE_FORBIDDEN",
        "CHAT_RESTRICTED",
        "TOPIC_CLOSED",
        "message thread not found",
        "user not found",
        "not enough rights to send text messages to the chat",
        "words of a Telegram to come",
    ],
)
@pytest.mark.parametrize("photos", [(), (PNG,)])
async def test_a_chat_that_may_not_be_written_to_keeps_every_message(words: str, photos: tuple[bytes, ...]):
    chat = Refusing({"sendMessage": (400, words), "sendPhoto": (400, "not enough rights to send photos to the chat")})
    async with serving(chat) as url, Telegram(SecretStr(TOKEN), "42", base_url=url) as bot:
        with pytest.raises(NotifierError, match=f"TELEGRAM_CHAT_ID=42: (?i:{words}); .*let it write there") as refused:
            await bot.send(Message("report", "x", photos=photos))
    assert refused.value.permanent is False


@pytest.mark.parametrize("words", ["message is too long", "can't parse entities: x", "MESSAGE_TOO_LONG"])
async def test_a_message_that_is_at_fault_itself_is_refused_for_good(words: str):
    chat = Refusing({"sendMessage": (400, words)})
    async with serving(chat) as url, Telegram(SecretStr(TOKEN), "42", base_url=url) as bot:
        with pytest.raises(NotifierError, match="refuses this message") as refused:
            await bot.send(Message("report", "x"))
    assert refused.value.permanent is True


@pytest.mark.parametrize("words", ["", "Request Entity Too Large"])
async def test_of_a_picture_that_is_too_large_the_text_goes_alone(words: str):
    chat = Refusing({"sendPhoto": (413, words)})
    async with serving(chat) as url, Telegram(SecretStr(TOKEN), "42", base_url=url) as bot:
        await bot.send(Message("report", "x", photos=(PNG,)))
    assert chat.asked == ["sendPhoto", "sendMessage"]


async def test_an_answer_that_comes_too_late_says_that_the_message_may_have_arrived():
    class Slow(Refusing):
        async def _call(self, request: web.Request) -> web.Response:
            await asyncio.sleep(0.3)
            return await super()._call(request)

    async with serving(Slow({})) as url, Telegram(SecretStr(TOKEN), "42", base_url=url, timeout_s=0.1) as bot:
        with pytest.raises(NotifierError, match="no answer in time") as refused:
            await bot.send(Message("report", "x"))
        assert refused.value.may_have_arrived is True
    async with Telegram(SecretStr(TOKEN), "42", base_url="http://127.0.0.1:1", timeout_s=0.1) as bot:
        with pytest.raises(NotifierError, match="cannot be reached") as refused:
            await bot.send(Message("report", "x"))
    assert refused.value.may_have_arrived is False


async def test_nobody_listening_is_temporary():
    async with serving(TelegramDesk(SetClock())) as url:
        pass
    async with Telegram(SecretStr(TOKEN), "42", base_url=url, timeout_s=1.0) as bot:
        with pytest.raises(NotifierError, match="cannot be reached") as refused:
            await bot.send(Message("report", "x"))
    assert refused.value.permanent is False


async def test_the_token_is_in_no_log_line(caplog):
    with caplog.at_level(logging.DEBUG):
        await send(TelegramDesk(SetClock()), Message("report", "x"))
    assert TOKEN not in caplog.text


def test_every_error_of_the_library_has_a_meaning():
    def below(kind: type[telegram.error.TelegramError]) -> set[type]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    bot = Telegram(SecretStr(TOKEN), "42")
    for kind in below(telegram.error.TelegramError):
        error = kind(1 if kind in {telegram.error.RetryAfter, telegram.error.ChatMigrated} else "words")
        nearest = next(base for base in kind.__mro__ if base in MEANING)
        assert bot._translated("report", error).permanent is False
        assert (MEANING[nearest][0] == "permanent") == (kind is telegram.error.BadRequest)
    assert bot._translated("x", telegram.error.BadRequest("Message is too long")).permanent is True
    assert bot._translated("x", telegram.error.NetworkError("y")).permanent is False


def test_an_empty_token_is_named():
    with pytest.raises(NotifierError, match="TELEGRAM_TOKEN is empty"):
        Telegram(SecretStr(""), "42")


async def test_the_console_prints_what_would_be_sent():
    stream = io.StringIO()
    await Console(stream).send(Message("report", "<b>equity</b> 1 &lt; 2", photos=(PNG,), is_html=True))
    assert "equity 1 < 2\n[picture, 72 bytes]" in stream.getvalue()
    stream.close()
    with pytest.raises(NotifierError, match="stays in the outbox"):
        await Console(stream).send(Message("report", "x"))
