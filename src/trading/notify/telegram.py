"""Telegram, one way: messages go out, nothing is polled. The only file that knows the library.

The library's `BadRequest` is a `NetworkError` to it, so it stands first in the table; and the HTTP client logs every
URL, which contains the token, as the library does at debug level, so their loggers are silenced here.
"""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from types import TracebackType

import httpx
import structlog
from pydantic import SecretStr
from telegram import Bot, InputMediaPhoto
from telegram.constants import ChatAction, ParseMode
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)
from telegram.request import HTTPXRequest

from trading.domain.errors import NotifierError
from trading.notify.message import Message, parts

log = structlog.get_logger(__name__)

TELEGRAM_URL = "https://api.telegram.org"

PERMANENT = "permanent"
TEMPORARY = "temporary"
SETTING = "setting"
"""Trying again helps only after a human has changed a setting: the message is kept."""

MEANING: dict[type[TelegramError], tuple[str, str]] = {
    BadRequest: (PERMANENT, "Telegram refuses this message"),
    RetryAfter: (TEMPORARY, "too many messages"),
    InvalidToken: (SETTING, "TELEGRAM_TOKEN is not accepted; ask @BotFather for the present one"),
    Forbidden: (SETTING, "the bot may not write to TELEGRAM_CHAT_ID; open the chat and press Start"),
    ChatMigrated: (SETTING, "the chat has become a supergroup; set TELEGRAM_CHAT_ID to its new id"),
    Conflict: (TEMPORARY, "another program uses this bot"),
    TimedOut: (TEMPORARY, "no answer in time"),
    NetworkError: (TEMPORARY, "Telegram cannot be reached"),
    TelegramError: (TEMPORARY, "Telegram answered something unknown"),
}
"""What each of the library's errors means to us; the nearest class counts."""

BAD_FORMAT = "parse entities"
ITS_OWN_FAULT = ("too long", "too_long", "is empty", "must be non-empty", "encoded in utf-8", BAD_FORMAT)
"""Bad requests that are the text's fault. Every other one is taken for the chat's (rights, a closed topic, a chat that
is gone): a human changes a setting, the message is kept."""
TOO_LARGE = "(413)", "too large"
UNANSWERED = (httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError)
"""The request had left."""


class Telegram:
    """One bot writing to one chat. Open it with `async with`.

    Args:
        token: The bot's.
        chat_id: Where to write.
        base_url: Another server speaking the Bot API, such as the sandbox.
        timeout_s: For connecting, and for an answer.

    Raises:
        NotifierError: the token is empty.
    """

    def __init__(
        self, token: SecretStr, chat_id: str, *, base_url: str = TELEGRAM_URL, timeout_s: float = 10.0
    ) -> None:
        # Without it the library warns, on every 429, that a number of seconds will become a timedelta.
        os.environ.setdefault("PTB_TIMEDELTA", "1")
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        # An answer that is no JSON, a 502's page, is an error with a traceback there; it is raised too, and told by us.
        logging.getLogger("telegram").setLevel(logging.CRITICAL)
        self._token = token
        self._chat_id = chat_id
        root = base_url.rstrip("/")
        self._request = HTTPXRequest(
            connect_timeout=timeout_s, read_timeout=timeout_s, write_timeout=timeout_s, media_write_timeout=timeout_s
        )
        try:
            self._bot = Bot(
                token.get_secret_value(),
                base_url=f"{root}/bot",
                base_file_url=f"{root}/file/bot",
                request=self._request,
            )
        except InvalidToken:
            raise NotifierError("telegram: TELEGRAM_TOKEN is empty; ask @BotFather for one", permanent=True) from None

    async def __aenter__(self) -> Telegram:
        await self._request.initialize()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._request.shutdown()

    async def check(self) -> str:
        """The bot's user name: Telegram answers, the token is accepted, and the bot may write to the chat.

        Nothing is told: for five seconds the chat says that the bot is typing, which it may only where it may write.

        Raises:
            NotifierError: as `send`.
        """
        asked = "getMe"
        try:
            me = await self._bot.get_me()
            asked = "sendChatAction"
            await self._bot.send_chat_action(self._chat_id, ChatAction.TYPING)
        except TelegramError as error:
            raise self._translated(asked, error) from None
        return str(me.username)

    async def send(self, message: Message) -> None:
        """Deliver one message; a refused format is sent again as plain text, refused photos as text alone.

        After a time-out the message may have arrived all the same: it is sent again rather than lost.

        Raises:
            NotifierError: not delivered; `retry_after_s` when Telegram said so, `permanent` when it never will be.
        """
        for part in parts(message):
            await self._send_part(part)
        log.info("notify.sent", kind=message.kind, severity=message.severity.value, length=len(message.text))

    async def _send_part(self, message: Message) -> None:
        photos, is_html = message.photos, message.is_html
        while True:
            try:
                await self._call(message, photos, is_html=is_html)
            except TelegramError as error:
                if is_html and isinstance(error, BadRequest) and BAD_FORMAT in str(error).lower():
                    log.warning("notify.format_refused", kind=message.kind, reason=self._masked(str(error)))
                    is_html = False
                elif photos and _without_photos(error):
                    log.warning("notify.photo_refused", kind=message.kind, reason=self._masked(str(error)))
                    photos = ()
                else:
                    # `from None`: the library's text may hold the token, and a traceback would print it.
                    raise self._translated(message.kind, error) from None
            else:
                return

    async def _call(self, message: Message, photos: tuple[bytes, ...], *, is_html: bool) -> None:
        text = message.text if is_html else message.plain_text
        mode = ParseMode.HTML if is_html else None
        if not photos:
            await self._bot.send_message(self._chat_id, text, parse_mode=mode)
        elif len(photos) == 1:
            await self._bot.send_photo(self._chat_id, photos[0], caption=text, parse_mode=mode)
        else:
            album = [InputMediaPhoto(photo) for photo in photos]
            await self._bot.send_media_group(self._chat_id, album, caption=text, parse_mode=mode)

    def _translated(self, what: str, error: TelegramError) -> NotifierError:
        """The library's error as ours, by the nearest class in the table."""
        if isinstance(error, BadRequest) and not any(fault in str(error).lower() for fault in ITS_OWN_FAULT):
            refused = f"telegram: TELEGRAM_CHAT_ID={self._chat_id}: {self._masked(str(error)).lower()}"
            return NotifierError(f"{refused}; write to the bot there, let it write there, or set another id")
        nearest = next(base for base in type(error).__mro__ if base in MEANING)
        meaning, words = MEANING[nearest]
        text = f"telegram: {what}: {words}"
        if meaning != SETTING:
            text += f" ({self._masked(str(error))})"
        return NotifierError(
            text,
            retry_after_s=_retry_after_s(error),
            permanent=meaning == PERMANENT,
            may_have_arrived=isinstance(error.__cause__, UNANSWERED),
        )

    def _masked(self, text: str) -> str:
        return text.replace(self._token.get_secret_value(), "***")


def _retry_after_s(error: TelegramError) -> float | None:
    if not isinstance(error, RetryAfter):
        return None
    wait: int | timedelta = error.retry_after
    return wait.total_seconds() if isinstance(wait, timedelta) else float(wait)


def _without_photos(error: TelegramError) -> bool:
    """Whether the text alone may be taken: a bad photo, no right to send one, or one that is too large."""
    return isinstance(error, BadRequest) or any(words in str(error).lower() for words in TOO_LARGE)
