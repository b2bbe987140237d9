"""A message, who can carry one, and how a long one is cut. Lengths are UTF-16 units, as Telegram counts."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, replace
from typing import Protocol

from trading.domain.events import Severity

MAX_TEXT = 4096
"""Longest text of one message, UTF-16 units."""
MAX_CAPTION = 1024
"""Longest text under a photo, UTF-16 units."""
MAX_PHOTOS = 10
"""Most photos of one message."""
ID_LINE = "id "
"""How the line begins that names a message; the last one."""

_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell."""

    kind: str
    """What sort: `report`, `heartbeat`, `approval`, `alert`, `summary`, `test`; grepped in logs."""
    text: str
    photos: tuple[bytes, ...] = ()
    """PNG or JPEG pictures above the text, at most `MAX_PHOTOS`."""
    dedup_key: str = ""
    """Alerts: what is wrong, until `Outbox.resolve` is called with it. Others: told once a key. Empty: always told."""
    severity: Severity = Severity.NOTICE
    is_html: bool = False
    """The text is Telegram's HTML, escaped by its writer; else it is plain."""
    is_money: bool = False
    """It is about money: quiet hours do not hold it, be it an alert or a notice."""

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError(f"message of kind {self.kind!r} has no text")
        if len(self.photos) > MAX_PHOTOS:
            raise ValueError(f"message of kind {self.kind!r} has {len(self.photos)} photos, {MAX_PHOTOS} fit")

    @property
    def plain_text(self) -> str:
        """The text without markup."""
        return plain(self.text) if self.is_html else self.text


class Notifier(Protocol):
    """Who carries a message to the human."""

    async def send(self, message: Message) -> None:
        """Deliver one message that fits (`parts`); returning means delivered.

        Raises:
            NotifierError: not delivered; says whether trying again can help, and when.
        """


def plain(text: str) -> str:
    """HTML as Telegram knows it, read as plain text."""
    return html.unescape(_TAG.sub("", text))


def units(text: str) -> int:
    """Length in UTF-16 units: an emoji is two."""
    return len(text.encode("utf-16-le")) // 2


def parts(message: Message) -> list[Message]:
    """Cut a message into those that fit, at line ends; one that fits comes back as it is.

    A long message loses its markup, so that no cut can tear a tag in two. Where the text is too long for a caption,
    the photos follow it under its first line and its id.
    """
    limit = MAX_CAPTION if message.photos else MAX_TEXT
    # The visible text is what counts at the other end; the marked-up text is never shorter.
    if units(message.plain_text) <= limit and units(message.text) <= MAX_TEXT:
        return [message]
    texts = _cut(message.plain_text)
    whole = [replace(message, text=texts[0], photos=(), is_html=False)]
    whole += [replace(message, text=text, photos=(), dedup_key="", is_html=False) for text in texts[1:]]
    if message.photos:
        whole.append(replace(message, text=_caption(message.plain_text), dedup_key="", is_html=False))
    return whole


def _caption(text: str) -> str:
    lines = [line for line in text.split("\n") if line.strip()]
    said = lines[:1] + (lines[-1:] if len(lines) > 1 and lines[-1].startswith(ID_LINE) else [])
    return _short_lines("\n".join(said), MAX_CAPTION)[0]


def _cut(text: str) -> list[str]:
    pieces: list[str] = []
    current = ""
    for line in text.split("\n"):
        for piece in _short_lines(line, MAX_TEXT):
            longer = f"{current}\n{piece}" if current else piece
            if units(longer) <= MAX_TEXT:
                current = longer
                continue
            pieces.append(current)
            current = piece
    pieces.append(current)
    return [piece for piece in pieces if piece.strip()]


def _short_lines(line: str, limit: int) -> list[str]:
    """A line that fits nowhere is cut where it must be."""
    pieces: list[str] = []
    current, used = "", 0
    for sign in line:
        width = units(sign)
        if used + width > limit:
            pieces.append(current)
            current, used = "", 0
        current += sign
        used += width
    return [*pieces, current]
