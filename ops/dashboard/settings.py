"""Where the page listens; in `lab.yaml` under `page:`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from trading.domain.errors import SettingsError
from trading.domain.loopback import is_loopback

TOKEN_LENGTH = 16
"""Fewest letters of a `PAGE_TOKEN`."""


class PageSettings(BaseModel):
    """Where the web page listens, and by which names it is asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address it listens on. Another than this machine's own needs PAGE_TOKEN in .env."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 8750
    """Port it listens on."""
    names: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9.:\[\]-]+$")], ...] = ()
    """Names a reverse proxy asks for it by, such as lab.example.org; each needs PAGE_TOKEN in .env."""


def check_exposure(settings: PageSettings, token: str | None) -> None:
    """Refuse to be reached from elsewhere without a password.

    Raises:
        SettingsError: it would be, or the password is too short to be one.
    """
    if token is not None and len(token) < TOKEN_LENGTH:
        raise SettingsError(
            f"PAGE_TOKEN: {len(token)} letters; at least {TOKEN_LENGTH}: "
            "python3 -c 'import secrets; print(secrets.token_urlsafe(24))'"
        )
    if token is None and not is_loopback(settings.host):
        raise SettingsError(
            f"page.host={settings.host}: others could look in without a password; set PAGE_TOKEN in .env, "
            "or listen on 127.0.0.1"
        )
    if token is None and settings.names:
        raise SettingsError(
            f"page.names={', '.join(settings.names)}: others could look in without a password; set PAGE_TOKEN in .env"
        )


def accepted_hosts(settings: PageSettings) -> frozenset[str]:
    """What a browser may have been told to ask for, as the `Host` header says it, in small letters.

    A page of somebody else's that had its name point here (DNS rebinding) asks for another one.
    """
    port = settings.port
    bracketed = f"[{settings.host}]" if ":" in settings.host.strip("[]") and "[" not in settings.host else settings.host
    here = {f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", f"{bracketed}:{port}"}
    return frozenset(name.lower() for name in (*here, *settings.names))
