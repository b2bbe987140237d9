"""How Telegram reads formatted text: what it accepts, what it refuses in which words, and what is left to show.

Source: core.telegram.org/bots/api#formatting-options.
"""

from __future__ import annotations

import html
import re

STYLES = frozenset({"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "span", "tg-spoiler"})
HTML_TAGS = STYLES | {"a", "tg-emoji", "code", "pre", "blockquote"}
RESERVED_V2 = frozenset("_*[]()~`>#+-=|{}.!")
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)?([^<>]*)>?")


class EntityError(ValueError):
    """Telegram's `can't parse entities`, without that prefix."""


def shown(text: str, parse_mode: str) -> str:
    """The text a reader sees, entities removed.

    Args:
        text: As sent.
        parse_mode: `HTML`, `Markdown`, `MarkdownV2` or empty; case does not matter.

    Raises:
        EntityError: malformed markup, or an unknown mode.
    """
    mode = parse_mode.lower()
    if mode == "":
        return text
    if mode == "html":
        return _shown_html(text)
    if mode == "markdown":
        return _shown_markdown(text)
    if mode == "markdownv2":
        return _shown_markdown_v2(text)
    raise EntityError(f"Unsupported parse_mode {parse_mode}")


def _shown_html(text: str) -> str:
    pieces: list[str] = []
    open_tags: list[str] = []
    position = 0
    while (start := text.find("<", position)) >= 0:
        pieces.append(text[position:start])
        offset = len(text[:start].encode())
        match = _TAG.match(text, start)
        name = (match.group(2) or "").lower() if match else ""
        if match is None or not match.group(0).endswith(">"):
            raise EntityError(f"Unclosed start tag at byte offset {offset}")
        if match.group(1):
            if not open_tags:
                raise EntityError(f"Unexpected end tag at byte offset {offset}")
            expected = open_tags.pop()
            if name != expected:
                raise EntityError(
                    f'Unmatched end tag at byte offset {offset}, expected "</{expected}>", found "</{name}>"'
                )
        elif name not in HTML_TAGS:
            raise EntityError(f'Unsupported start tag "{name}" at byte offset {offset}')
        else:
            open_tags.append(name)
        position = match.end()
    if open_tags:
        raise EntityError(f'Can\'t find end tag corresponding to start tag "{open_tags[-1]}"')
    return html.unescape("".join(pieces) + text[position:])


def _shown_markdown(text: str) -> str:
    pieces: list[str] = []
    position = 0
    while position < len(text):
        sign = text[position]
        if sign == "\\" and text[position + 1 : position + 2] in tuple("_*`["):
            pieces.append(text[position + 1])
            position += 2
        elif sign in "_*`[":
            end = text.find("]" if sign == "[" else sign, position + 1)
            if end < 0:
                offset = len(text[:position].encode())
                raise EntityError(f"Can't find end of the entity starting at byte offset {offset}")
            pieces.append(text[position + 1 : end])
            position = end + 1
        else:
            pieces.append(sign)
            position += 1
    return "".join(pieces)


def _shown_markdown_v2(text: str) -> str:
    pieces: list[str] = []
    unpaired: dict[str, int] = {}
    position = 0
    while position < len(text):
        sign = text[position]
        if sign == "\\" and position + 1 < len(text):
            pieces.append(text[position + 1])
            position += 2
            continue
        if sign in "_*~`|[]()":
            unpaired[sign] = unpaired.get(sign, 0) + 1
        elif sign in RESERVED_V2:
            raise EntityError(f"Character '{sign}' is reserved and must be escaped with the preceding '\\'")
        else:
            pieces.append(sign)
        position += 1
    for sign in "_*~`|":
        if unpaired.get(sign, 0) % 2:
            raise EntityError(f"Can't find end of the entity starting with '{sign}'")
    return "".join(pieces)
