"""Telegram's Bot API on loopback: takes messages the way the real one does, refuses what it refuses, and remembers.

`GET /sandbox/telegram` is the witness: everything that reached the chat, in order.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from dataclasses import asdict, dataclass

from aiohttp import web

from sandbox.desk import Now
from sandbox.telegram_entities import EntityError, shown

TOKEN = "123456:sandbox-telegram-token"  # noqa: S105 a made-up token, known to everybody
"""What the desk takes for its bot's token unless told otherwise."""

MAX_TEXT = 4096
MAX_CAPTION = 1024
MAX_MEDIA = 10
"""Of one album, at least two."""
UPLOADS = ("photo", "video", "voice", "document", "video_note")
ACTIONS = frozenset({"typing", "choose_sticker", "find_location", *(f"upload_{what}" for what in UPLOADS)})
KEPT_FILES = 64
"""Photos and documents kept for looking at, the newest; a month of hourly charts would fill the memory."""

Parameters = dict[str, str]


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that reached the chat."""

    at_ms: int
    chat_id: str
    kind: str
    """`message`, `photo` or `document`."""
    text: str
    """What the reader sees: text or caption, entities removed."""
    parse_mode: str
    photo_bytes: int
    """Size of the photo or document; 0 for text."""


class Refusal(Exception):
    """An answer with `ok: false`."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


class TelegramDesk:
    """One bot and whoever it writes to.

    Args:
        clock: Stamps messages.
        token: The only token that is let in.
        messages_per_s: More than this within a real second is answered 429.
        chats: Chat ids that exist; None: every number is a chat.
    """

    def __init__(
        self, clock: Now, *, token: str = TOKEN, messages_per_s: int = 30, chats: frozenset[str] | None = None
    ) -> None:
        self.taken: list[Taken] = []
        self._clock = clock
        self._token = token
        self._messages_per_s = messages_per_s
        self._chats = chats
        self._files: dict[int, tuple[str, bytes]] = {}
        self._recent_s: deque[float] = deque()

    def add_routes(self, app: web.Application) -> None:
        """Hang the desk into a server."""
        app.router.add_route("*", "/bot{token}/{method}", self._call)
        app.router.add_get("/sandbox/telegram", self._witness)
        app.router.add_get("/sandbox/telegram/photo/{number}", self._file)

    async def _call(self, request: web.Request) -> web.Response:
        try:
            self._let_in(request.match_info["token"])
            result = await self._answer(request)
        except Refusal as refusal:
            body: dict[str, object] = {
                "ok": False,
                "error_code": refusal.code,
                "description": refusal.description,
            }
            if refusal.parameters:
                body["parameters"] = refusal.parameters
            wait = refusal.parameters.get("retry_after")
            headers = {"Retry-After": str(wait)} if wait is not None else None
            return web.json_response(body, status=refusal.code, headers=headers)
        return web.json_response({"ok": True, "result": result})

    def _let_in(self, token: str) -> None:
        if not re.fullmatch(r"\d+:[\w-]+", token):
            raise Refusal(404, "Not Found")
        if token != self._token:
            raise Refusal(401, "Unauthorized")

    async def _answer(self, request: web.Request) -> dict[str, object] | list[dict[str, object]] | bool:
        method = request.match_info["method"].lower()
        if method == "getme":
            return self._bot() | {"can_join_groups": False, "can_read_all_group_messages": False}
        if method not in {"sendmessage", "sendphoto", "senddocument", "sendmediagroup", "sendchataction"}:
            raise Refusal(404, "Not Found: method not found")
        parameters, files = await _parameters(request)
        self._check_chat(parameters.get("chat_id", ""))
        if method == "sendchataction":
            if parameters.get("action") not in ACTIONS:
                raise Refusal(400, "Bad Request: wrong parameter action in request")
            return True
        if method == "sendmessage":
            seen = _checked(parameters.get("text", ""), parameters, limit=MAX_TEXT, noun="message")
            if not seen.strip():
                raise Refusal(400, "Bad Request: message text is empty")
            self._count()
            return self._take(parameters, "message", seen, b"")
        if method == "sendmediagroup":
            return self._take_group(parameters, files)
        part = method.removeprefix("send")
        if part not in files:
            raise Refusal(400, f"Bad Request: there is no {part} in the request")
        seen = _checked(parameters.get("caption", ""), parameters, limit=MAX_CAPTION, noun="message caption")
        if part == "photo":
            _check_image(files[part])
        self._count()
        return self._take(parameters, part, seen, files[part])

    def _take_group(self, parameters: Parameters, files: dict[str, bytes]) -> list[dict[str, object]]:
        """Photos that belong together; a caption of the first stands under all of them."""
        try:
            media = json.loads(parameters.get("media", ""))
        except json.JSONDecodeError as error:
            raise Refusal(400, "Bad Request: can't parse media JSON object") from error
        if not isinstance(media, list) or not 2 <= len(media) <= MAX_MEDIA:
            raise Refusal(400, "Bad Request: wrong number of messages in the album")
        found = []
        for item in media:
            if not isinstance(item, dict) or item.get("type") != "photo":
                raise Refusal(400, "Bad Request: wrong type of the media")
            content = files.get(str(item.get("media", "")).removeprefix("attach://"))
            if content is None:
                raise Refusal(400, "Bad Request: wrong file identifier/HTTP URL specified")
            _check_image(content)
            given = {**parameters, "parse_mode": str(item.get("parse_mode") or "")}
            seen = _checked(str(item.get("caption") or ""), given, limit=MAX_CAPTION, noun="message caption")
            found.append((given, seen, content))
        for _ in found:
            self._count()
        group = str(len(self.taken) + 1)
        return [self._take(*one) | {"media_group_id": group} for one in ((g, "photo", s, c) for g, s, c in found)]

    def _check_chat(self, chat_id: str) -> None:
        if not chat_id:
            raise Refusal(400, "Bad Request: chat_id is empty")
        known = re.fullmatch(r"-?\d+", chat_id) is not None if self._chats is None else chat_id in self._chats
        if not known:
            raise Refusal(400, "Bad Request: chat not found")

    def _count(self) -> None:
        now_s = asyncio.get_running_loop().time()
        while self._recent_s and now_s - self._recent_s[0] >= 1.0:
            self._recent_s.popleft()
        if len(self._recent_s) >= self._messages_per_s:
            raise Refusal(429, "Too Many Requests: retry after 1", retry_after=1)
        self._recent_s.append(now_s)

    def _take(self, parameters: Parameters, kind: str, seen: str, content: bytes) -> dict[str, object]:
        number, at_ms = len(self.taken), self._clock.now_ms()
        chat_id = parameters["chat_id"]
        mode = parameters.get("parse_mode", "")
        self.taken.append(Taken(at_ms, chat_id, kind, seen, mode, len(content)))
        message: dict[str, object] = {
            "message_id": number + 1,
            "from": self._bot(),
            "chat": {"id": int(chat_id), "type": "private", "first_name": "Sandbox"},
            "date": at_ms // 1000,
        }
        if kind == "message":
            return message | {"text": seen}
        self._files[number] = ("image/png" if kind == "photo" else "application/octet-stream", content)
        for old in sorted(self._files)[:-KEPT_FILES]:
            del self._files[old]
        file: dict[str, object] = {"file_id": f"f{number}", "file_unique_id": f"u{number}", "file_size": len(content)}
        shape = [file | {"width": 1, "height": 1}] if kind == "photo" else file
        return message | {kind: shape, "caption": seen}

    def _bot(self) -> dict[str, object]:
        number = int(self._token.split(":", 1)[0])
        return {"id": number, "is_bot": True, "first_name": "Sandbox bot", "username": "sandbox_bot"}

    async def _witness(self, _request: web.Request) -> web.Response:
        return web.json_response([{"n": number, **asdict(message)} for number, message in enumerate(self.taken)])

    async def _file(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        found = self._files.get(int(number)) if number.isdecimal() else None
        if found is None:
            raise web.HTTPNotFound(text=f"message {number} carries no file, or it is no longer kept")
        return web.Response(body=found[1], content_type=found[0])


def _check_image(content: bytes) -> None:
    if not content.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff")):
        raise Refusal(400, "Bad Request: IMAGE_PROCESS_FAILED")


def _checked(text: str, parameters: Parameters, *, limit: int, noun: str) -> str:
    try:
        seen = shown(text, parameters.get("parse_mode", ""))
    except EntityError as error:
        raise Refusal(400, f"Bad Request: can't parse entities: {error}") from error
    # Counted in UTF-16 units, as entity offsets are: an emoji is two.
    if len(seen.encode("utf-16-le")) // 2 > limit:
        raise Refusal(400, f"Bad Request: {noun} is too long")
    return seen


async def _parameters(request: web.Request) -> tuple[Parameters, dict[str, bytes]]:
    """Query, form, JSON or multipart: the Bot API takes all four."""
    parameters: Parameters = dict(request.query)
    files: dict[str, bytes] = {}
    if request.content_type == "application/json":
        try:
            body = await request.json()
        except json.JSONDecodeError as error:
            raise Refusal(400, "Bad Request: can't parse JSON object") from error
        if isinstance(body, dict):
            parameters |= {name: str(value) for name, value in body.items()}
        return parameters, files
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            files[name] = value.file.read()
        elif isinstance(value, str):
            parameters[name] = value
    for name in ("photo", "document"):  # `attach://part` names the part that carries the file
        reference = parameters.get(name, "")
        if reference.startswith("attach://") and (part := reference.removeprefix("attach://")) in files:
            files[name] = files.pop(part)
    return parameters, files
