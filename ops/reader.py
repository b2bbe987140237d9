"""Whoever reads the messages: their clock, and the hours in which only money may wake them. Settings, and pure.

The lab itself lives in UTC: schedule, days, files. Only what a message says of a time is the reader's.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from ipaddress import ip_address
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trading.domain.clock import as_datetime
from trading.notify.message import Message

_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_HOST = re.compile(r"[\w-]+(\.[\w-]+)*\.?", re.ASCII)
_MAIL = re.compile(r"[^\s@]+@[^\s@]+|[^\x00-\x1f\x7f<>]*<[^\s@<>]+@[^\s@<>]+>")
"""An address, or a name and an address in angle brackets."""


class MessageSettings(BaseModel):
    """Who reads the messages, and when; e-mail beside Telegram. Secrets are in .env."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time_zone: str = "UTC"
    """Of the times in messages, such as Europe/Berlin; the lab's own days and schedule stay UTC."""
    quiet_from: str | None = None
    """From then on, such as "22:00", only what is about money is delivered; the rest waits. None: no quiet hours."""
    quiet_to: str | None = None
    """Until then, such as "07:00"; in time_zone."""
    email_host: str | None = None
    """Mail server that takes what the lab sends, with STARTTLS. None: no e-mail."""
    email_port: Annotated[int, Field(ge=1, le=65_535)] = 587
    """Its port for STARTTLS."""
    email_user: str | None = None
    """Log in as; the password is EMAIL_PASSWORD in .env. None: no login."""
    email_from: str | None = None
    """Sender's address."""
    email_to: str | None = None
    """Reader's address."""

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("no time zone of the tz database, such as UTC or Europe/Berlin") from error
        return name

    @field_validator("email_host")
    @classmethod
    def _is_host(cls, host: str | None) -> str | None:
        try:
            name = "" if host is None else host.encode("idna").decode()  # as whoever connects writes it
        except UnicodeError:
            name = "?"
        if host is not None and not (_HOST.fullmatch(name) or _is_address(host)):
            raise ValueError("no host; only its name, such as smtp.example.org; the port is email_port")
        return host

    @field_validator("email_from", "email_to")
    @classmethod
    def _is_mail_address(cls, text: str | None) -> str | None:
        if text is not None and not _MAIL.fullmatch(text):
            raise ValueError("no mail address, such as lab@example.org")
        return text

    @field_validator("quiet_from", "quiet_to")
    @classmethod
    def _is_time(cls, text: str | None) -> str | None:
        if text is not None and not _TIME.fullmatch(text):
            raise ValueError('no time of a day, in quotes and with two digits each, such as "22:00"')
        return text

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.quiet_from is None) != (self.quiet_to is None) or (
            self.quiet_from is not None and self.quiet_from == self.quiet_to
        ):
            raise ValueError("quiet_from and quiet_to are two different times; set both, or neither")
        if self.email_host is not None and (self.email_from is None or self.email_to is None):
            raise ValueError("email_host needs email_from and email_to")
        return self

    @property
    def reader(self) -> Reader:
        """Their clock."""
        return Reader(self.time_zone)

    def holds(self, message: Message, now_ms: int) -> bool:
        """Whether a message waits for the end of the quiet hours."""
        if self.quiet_from is None or self.quiet_to is None:
            return False
        if message.is_money:
            return False
        now = self.reader.hour(now_ms)
        if self.quiet_from < self.quiet_to:
            return self.quiet_from <= now < self.quiet_to
        return now >= self.quiet_from or now < self.quiet_to


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class Reader:
    """A clock on a wall somewhere.

    Args:
        time_zone: As the tz database calls it.
    """

    def __init__(self, time_zone: str = "UTC") -> None:
        self._zone = ZoneInfo(time_zone)

    def local(self, at_ms: int) -> datetime:
        """Aware, in their zone; one that the tz database has no letters for is called `UTC-3`."""
        at = as_datetime(at_ms).astimezone(self._zone)
        offset, name = at.utcoffset(), at.tzname() or ""
        if offset is None or name[:1] not in ("+", "-"):
            return at
        hours, minutes = name[1:3], name[3:5]
        return at.astimezone(timezone(offset, f"UTC{name[0]}{int(hours)}{f':{minutes}' if minutes else ''}"))

    def hour(self, at_ms: int) -> str:
        """`09:00`."""
        return f"{self.local(at_ms):%H:%M}"

    def named(self, at_ms: int) -> str:
        """`09:00 UTC`, `10:00 CET`."""
        return f"{self.local(at_ms):%H:%M %Z}"

    def dated(self, at_ms: int) -> str:
        """`2026-01-21 09:00 UTC`: of what is not of today."""
        return f"{self.local(at_ms):%Y-%m-%d %H:%M %Z}"

    def day(self, at_ms: int) -> str:
        """`2026-01-21`."""
        return f"{self.local(at_ms):%Y-%m-%d}"

    def zone(self) -> ZoneInfo:
        """For whoever reads a time that they typed."""
        return self._zone


UTC = Reader()
