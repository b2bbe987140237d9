"""The lab's log: one `key=value` line per unit of work in `logs/ai_lab.log`, rotated, with secrets taken out last."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

import structlog
from structlog.typing import EventDict, WrappedLogger

from trading.domain.clock import Clock, iso
from trading.domain.errors import StateFileError

MAX_BYTES = 10_000_000
OLD_FILES = 5
HIDDEN = "***"
SECRET_SHAPES = (
    re.compile(r"bot\d{6,}:[A-Za-z0-9_-]{20,}"),
    re.compile(r"(?<=signature=)[0-9a-fA-F]{16,}"),
    re.compile(r"AIza[0-9A-Za-z_-]{30,}"),
)
"""Telegram tokens in addresses, exchange signatures, Google keys: taken out even when nobody told us of them."""
QUIET = ("httpx", "httpcore", "ccxt", "google_genai", "matplotlib", "asyncio", "aiohttp.access")
"""Libraries that talk too much; httpx at INFO prints the bot's token."""


def set_up_logs(file: Path, *, clock: Clock, secrets: Iterable[str], to_console: bool) -> None:
    """Send structlog and the standard library's logging to `file`, and errors of the process to the console too.

    Args:
        file: The log; its folder exists.
        clock: Stamps every line in lab time.
        secrets: Values that must never appear; each is replaced.
        to_console: Also print every line (a service without a terminal view).

    Raises:
        StateFileError: the file cannot be written to.
    """
    try:
        handlers: list[logging.Handler] = [_LogFile(file, maxBytes=MAX_BYTES, backupCount=OLD_FILES)]
    except OSError as error:
        raise StateFileError(f"{file}: cannot be written: {error.strerror}; check space and permissions") from error
    if to_console:
        handlers.append(logging.StreamHandler(sys.stderr))
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _stamp(clock),
        structlog.processors.format_exc_info,
        redactor(secrets),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.LogfmtRenderer(key_order=["at", "level", "event"], bool_as_flag=False),
        ],
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class _LogFile(RotatingFileHandler):
    """What a full disk does not take is said on stderr: the line, without the traceback of each that fails."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Called where `emit` raised."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        with suppress(OSError):  # stderr may lie on the same disk
            sys.stderr.write(f"{self.baseFilename}: {error.strerror}: {self.format(record)}\n")


def redactor(secrets: Iterable[str]) -> Callable[[WrappedLogger, str, EventDict], EventDict]:
    """A processor that replaces known secrets, and what looks like one, in every value of a line."""
    known = [secret for secret in secrets if len(secret) >= 4]

    def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {
            key: clean(value, known) if isinstance(value, str) else _other(value, known) for key, value in event.items()
        }

    return redact


def clean(text: str, secrets: Iterable[str]) -> str:
    """A text without the secrets, and without what looks like one."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    for shape in SECRET_SHAPES:
        text = shape.sub(HIDDEN, text)
    return text


def _other(value: object, secrets: list[str]) -> object:
    """Values that are not text: kept as they are unless their text holds a secret."""
    text = str(value)
    cleaned = clean(text, secrets)
    return value if cleaned == text else cleaned


def _stamp(clock: Clock) -> Callable[[WrappedLogger, str, EventDict], EventDict]:
    def stamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {"at": iso(clock.now_ms()), **event}

    return stamp
