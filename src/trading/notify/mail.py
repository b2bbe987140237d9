"""The same messages by e-mail: SMTP with STARTTLS, one connection a message, in a thread of its own.

Nothing is said before the line is encrypted and the server's certificate is checked. The `Message-ID` is made of the
text, so that a message that is sent twice is one to a mail program that looks.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import smtplib
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import format_datetime

import structlog
from pydantic import SecretStr

from trading.domain.clock import Clock
from trading.domain.errors import NotifierError
from trading.notify.message import Message

log = structlog.get_logger(__name__)

PERMANENT_FROM = 500
"""Answers from here on are definite."""
LONGEST_SUBJECT = 150
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
"""What a header may not hold: control signs, and what some take for the end of a line."""


@dataclass(frozen=True, slots=True)
class MailAddress:
    """Which server, and who writes to whom."""

    host: str
    port: int
    sender: str
    reader: str
    user: str | None = None
    """None: no login."""


class Mail:
    """One reader's mailbox.

    Args:
        address: Where.
        password: Of `address.user`.
        clock: Dates the messages.
        tls: Which certificates are believed; None: those of the system.
        timeout_s: For each step.
    """

    def __init__(
        self,
        address: MailAddress,
        password: SecretStr | None,
        clock: Clock,
        *,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._address, self._password, self._clock = address, password, clock
        self._tls = tls or ssl.create_default_context()
        self._timeout_s = timeout_s

    async def check(self) -> str:
        """The server is there, encrypts, and lets us in; nothing is sent.

        Raises:
            NotifierError: as `send`.
        """
        await in_thread(lambda: self._visit("check", None))
        return f"{self._address.host} takes mail for {self._address.reader}"

    async def send(self, message: Message) -> None:
        """Deliver one message, its pictures attached.

        Raises:
            NotifierError: not delivered; `permanent` when this message never will be.
        """
        try:
            letter = self.letter(message)
        except (ValueError, MessageError) as error:
            raise NotifierError(f"email: {message.kind}: makes no letter ({error})", permanent=True) from error
        await in_thread(lambda: self._visit(message.kind, letter))
        log.info("notify.sent", channel="email", kind=message.kind, severity=message.severity.value)

    def letter(self, message: Message) -> EmailMessage:
        """The message as mail: its first line is the subject."""
        text = message.plain_text
        letter = EmailMessage()
        letter["From"], letter["To"] = self._address.sender, self._address.reader
        letter["Subject"] = _BREAKS.sub(" ", text.partition("\n")[0])[:LONGEST_SUBJECT]
        letter["Date"] = format_datetime(self._clock.now())
        letter["Message-ID"] = f"<{hashlib.sha256(text.encode()).hexdigest()[:32]}@ai-trading-lab>"
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content(text)
        for number, photo in enumerate(message.photos, start=1):
            kind = "png" if photo.startswith(b"\x89PNG") else "jpeg"
            letter.add_attachment(photo, maintype="image", subtype=kind, filename=f"picture-{number}.{kind}")
        return letter

    def _visit(self, what: str, letter: EmailMessage | None) -> None:
        has_left = False
        try:
            with smtplib.SMTP(self._address.host, self._address.port, timeout=self._timeout_s) as server:
                server.starttls(context=self._tls)
                if self._address.user is not None and self._password is not None:
                    server.login(self._address.user, self._password.get_secret_value())
                if letter is not None:
                    has_left = True
                    server.send_message(letter)
        except (smtplib.SMTPException, OSError) as error:
            # `from None`: a server may answer with what it was given.
            raise _translated(what, error, has_left=has_left) from None
        except (ValueError, MessageError) as error:  # a host or an address with signs that no header and no name has
            if has_left:
                raise NotifierError(f"email: {what}: cannot be written as mail ({error})", permanent=True) from None
            raise NotifierError(f"email: {what}: {error}; look at messages.email_host in lab.yaml") from None


async def in_thread(work: Callable[[], None]) -> None:
    """Run work that blocks; a thread that hangs is left behind and keeps no process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            work()
        except BaseException as raised:  # noqa: BLE001  # handed to whoever waits, none is swallowed
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, error)

    threading.Thread(target=run, name="mail", daemon=True).start()
    await done


def _translated(what: str, error: smtplib.SMTPException | OSError, *, has_left: bool) -> NotifierError:
    """The library's error as ours, nearest class first."""
    text = f"email: {what}: "
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return NotifierError(text + "login refused; look at messages.email_user and EMAIL_PASSWORD")
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return NotifierError(text + "the server offers no STARTTLS; nothing is sent in the clear")
    if isinstance(error, (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused)):
        return NotifierError(text + "an address is refused; look at messages.email_from and email_to")
    if isinstance(error, smtplib.SMTPDataError):
        refused = error.smtp_code >= PERMANENT_FROM
        return NotifierError(text + f"the server answered {error.smtp_code} to the message", permanent=refused)
    if isinstance(error, ssl.SSLError):
        return NotifierError(text + f"the server's certificate does not hold ({error.reason}); nothing was sent")
    if isinstance(error, TimeoutError):
        return NotifierError(text + "no answer in time", may_have_arrived=has_left)
    return NotifierError(
        text + f"the mail server cannot be reached ({type(error).__name__})", may_have_arrived=has_left
    )
