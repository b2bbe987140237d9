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

_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell."""

    kind: str
    """What sort: `report`, `heartbeat`, `approval`, `alert`, `summary`, `test`; grepped in logs."""
    text: str
    photo: bytes | None = None
    """A PNG or JPEG above the text."""
    dedup_key: str = ""
    """Alerts: what is wrong, until `Outbox.resolve` is called with it. Others: told once a key. Empty: always told."""
    severity: Severity = Severity.NOTICE
    is_html: bool = False
    """The text is Telegram's HTML, escaped by its writer; else it is plain."""

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError(f"message of kind {self.kind!r} has no text")

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

    A long message loses its markup, so that no cut can tear a tag in two. A photo stays with the first part, whose
    limit is then a caption's.
    """
    first_limit = MAX_TEXT if message.photo is None else MAX_CAPTION
    # The visible text is what counts at the other end; the marked-up text is never shorter.
    if units(message.plain_text) <= first_limit and units(message.text) <= MAX_TEXT:
        return [message]
    texts = _cut(message.plain_text, first_limit)
    rest = [replace(message, text=text, photo=None, dedup_key="", is_html=False) for text in texts[1:]]
    return [replace(message, text=texts[0], is_html=False), *rest]


def _cut(text: str, first_limit: int) -> list[str]:
    pieces: list[str] = []
    current = ""
    for line in text.split("\n"):
        for piece in _short_lines(line, first_limit):
            limit = MAX_TEXT if pieces else first_limit
            longer = f"{current}\n{piece}" if current else piece
            if units(longer) <= limit:
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
