"""The notifier of a lab without a Telegram token: what would be sent is printed, and a line goes to the log."""

from __future__ import annotations

import sys
from typing import TextIO

import structlog

from trading.domain.errors import NotifierError
from trading.notify.message import Message

log = structlog.get_logger(__name__)


class Console:
    """Prints messages.

    Args:
        stream: Where to; None: standard output, looked up at each message.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    async def send(self, message: Message) -> None:
        """Print one message, between rules.

        Raises:
            NotifierError: nobody listens at the other end of the stream any more.
        """
        stream = self._stream or sys.stdout
        attached = "".join(f"\n[picture, {len(photo)} bytes]" for photo in message.photos)
        try:
            stream.write(f"{'─' * 60}\n{message.plain_text}{attached}\n{'─' * 60}\n")
            stream.flush()
        except (OSError, ValueError) as error:
            raise NotifierError(f"console: {error}; the message stays in the outbox") from error
        log.info("notify.printed", kind=message.kind, severity=message.severity.value, length=len(message.text))
