"""Beside Telegram: webhook and e-mail, where they are set up. Each has a queue of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from ops.environment import Environment
from ops.settings import LabSettings
from trading.domain.clock import Clock
from trading.domain.errors import SettingsError
from trading.domain.loopback import is_loopback
from trading.notify.mail import Mail, MailAddress
from trading.notify.message import Notifier
from trading.notify.outbox import set_channels
from trading.storage.home import Home


def set_up_channels(home: Home, environment: Environment, settings: LabSettings) -> None:
    """Give each channel that is set up its folder in the outbox, so that every process writes to it.

    Raises:
        SettingsError: half of one is set up.
    """
    check_channels(environment, settings)
    names = {"webhook": environment.webhook_url is not None, "email": settings.messages.email_host is not None}
    set_channels(home.outbox, {name for name, is_there in names.items() if is_there})


def check_channels(environment: Environment, settings: LabSettings) -> None:
    """What a channel needs is there.

    Raises:
        SettingsError: it is not.
    """
    if environment.webhook_url is not None:
        url = urlsplit(environment.webhook_url.get_secret_value())
        if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.hostname or "")):
            raise SettingsError("WEBHOOK_URL: messages would go in the clear; give an https:// address")
    if settings.messages.email_user is not None and environment.email_password is None:
        raise SettingsError("messages.email_user: needs EMAIL_PASSWORD in .env; set both, or neither")


@asynccontextmanager
async def open_channels(
    environment: Environment, settings: LabSettings, clock: Clock
) -> AsyncIterator[Mapping[str, Notifier]]:
    """Who carries to each channel that is set up, by its name.

    Raises:
        SettingsError: half of one is set up.
    """
    check_channels(environment, settings)
    async with AsyncExitStack() as stack:
        found: dict[str, Notifier] = {}
        if environment.webhook_url is not None and environment.webhook_secret is not None:
            from trading.notify.webhook import Webhook  # the HTTP client, which most homes need for nothing else here

            hook = Webhook(environment.webhook_url, environment.webhook_secret, clock)
            found["webhook"] = await stack.enter_async_context(hook)
        mail = open_mail(environment, settings, clock)
        if mail is not None:
            found["email"] = mail
        yield found


def open_mail(environment: Environment, settings: LabSettings, clock: Clock) -> Mail | None:
    """The reader's mailbox; None: it is not set up."""
    mine = settings.messages
    if mine.email_host is None or mine.email_from is None or mine.email_to is None:
        return None
    address = MailAddress(mine.email_host, mine.email_port, mine.email_from, mine.email_to, mine.email_user)
    return Mail(address, environment.email_password, clock)
