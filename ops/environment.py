"""Secrets and gates, from the environment, the keys that systemd opened for this process, and `.env`; the first wins.

An unknown name in `.env` is an error that names the nearest known one; old names seen in the wild are taken with a
warning. Values never leave this module except inside `SecretStr`.
"""

from __future__ import annotations

import difflib
import getpass
import os
import stat
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values
from pydantic import SecretStr

from trading.domain.errors import SettingsError
from trading.storage.home import Home

KNOWN = (
    "TELEGRAM_TOKEN",
    "TELEGRAM_CHAT_ID",
    "WEBHOOK_URL",
    "WEBHOOK_SECRET",
    "EMAIL_PASSWORD",
    "GEMINI_API_KEY",
    "ANTHROPIC_API_KEY",
    "OPENAI_API_KEY",
    "OLLAMA_HOST",
    "BINANCE_API_KEY",
    "BINANCE_API_SECRET",
    "BINANCE_TESTNET",
    "LIVE_TRADING",
    "KILL",
    "LEARNING_DB_URL",
    "MARKET_DB_URL",
    "PAGE_TOKEN",
)
ALIASES = {
    "BINANCE_SECRET_KEY": "BINANCE_API_SECRET",
    "LIVE_TRADING_ENABLED": "LIVE_TRADING",
    "ENABLE_LIVE_TRADING": "LIVE_TRADING",
}
SEALED = "lab.env"
"""The credential of systemd that `deploy/seal.sh` makes of the keys in `.env`; see systemd.exec(5)."""
REPOSITORY = Path(__file__).resolve().parents[1]
SERVED = ".home"
"""In a program that `deploy/install.sh` put onto a server: where its lab's folder is."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says; None: not set."""

    telegram_token: SecretStr | None
    telegram_chat_id: str | None
    gemini_api_key: SecretStr | None
    binance_api_key: SecretStr | None
    binance_api_secret: SecretStr | None
    binance_testnet: bool
    live_trading: bool
    """`LIVE_TRADING=YES`, the first gate; nothing else opens it."""
    kill: bool
    learning_db_url: SecretStr | None = None
    """A PostgreSQL database that holds the lab's memory; it has a password in it. None: the file in `state/`."""
    market_db_url: SecretStr | None = None
    """A PostgreSQL or TimescaleDB database that `./lab history copy` brings up to the shelf. None: there is none."""
    page_token: SecretStr | None = None
    """What the web page asks for before it shows anything. None: who reaches it may look."""

    webhook_url: SecretStr | None = None
    """Where messages go as JSON too; an address may hold a token."""
    webhook_secret: SecretStr | None = None
    """What they are signed with."""
    email_password: SecretStr | None = None
    """Of `messages.email_user`."""

    def secret_values(self) -> list[str]:
        """Every secret, for the log's redactor only."""
        secrets = (
            self.telegram_token,
            self.gemini_api_key,
            self.binance_api_key,
            self.binance_api_secret,
            self.learning_db_url,
            self.market_db_url,
            self.webhook_url,
            self.webhook_secret,
            self.email_password,
            self.page_token,
        )
        return [secret.get_secret_value() for secret in secrets if secret is not None]


def find_home() -> Home:
    """The lab's folder: `LAB_HOME`, else the checkout.

    Raises:
        SettingsError: `LAB_HOME` names no folder; or it is not set, and this checkout serves a home elsewhere: a stop
            typed here would stop nothing, and say that nothing is open.
    """
    chosen, served = os.environ.get("LAB_HOME"), REPOSITORY / SERVED
    if not chosen and served.exists():
        where = served.read_text(encoding="utf-8").strip()
        remedy = "type ai-lab in place of ./lab and of python: ai-lab doctor, ai-lab stop_trading.py"
        raise SettingsError(f"the lab of {REPOSITORY} is in {where}: {remedy}")
    root = Path(chosen or REPOSITORY).expanduser().resolve()
    if not root.is_dir():
        raise SettingsError(f"LAB_HOME={root}: no such folder; create it, or unset LAB_HOME")
    return Home(root)


def caller() -> str:
    """Who types this, for the record; a container may give a number that has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def read_environment(home: Home, *, process: Mapping[str, str] | None = None) -> Environment:
    """Read `.env` of a home, the sealed keys of this process where there are any, and the process environment.

    Raises:
        SettingsError: an unknown name in `.env`, a value that is neither yes nor no, one half of a pair of keys, or a
            `.env` that others may read.
    """
    around = os.environ if process is None else process
    values = _read_file(home.env_file)
    if folder := around.get("CREDENTIALS_DIRECTORY"):
        values |= _read_file(Path(folder) / SEALED, is_private=True)  # its mode shows systemd's ACL as group's
    values |= {name: around[name] for name in (*KNOWN, *ALIASES) if around.get(name)}
    for old, name in ALIASES.items():
        if old in values:
            warnings.warn(f"{old} is an old name: call it {name}", UserWarning, stacklevel=2)
            values.setdefault(name, values.pop(old))
    if bool(values.get("BINANCE_API_KEY")) != bool(values.get("BINANCE_API_SECRET")):
        raise SettingsError(".env: BINANCE_API_KEY and BINANCE_API_SECRET come in pairs; set both, or neither")
    if bool(values.get("TELEGRAM_TOKEN")) != bool(values.get("TELEGRAM_CHAT_ID")):
        raise SettingsError(".env: TELEGRAM_TOKEN and TELEGRAM_CHAT_ID come in pairs; set both, or neither")
    if bool(values.get("WEBHOOK_URL")) != bool(values.get("WEBHOOK_SECRET")):
        raise SettingsError(".env: WEBHOOK_URL and WEBHOOK_SECRET come in pairs; set both, or neither")
    return Environment(
        telegram_token=_secret(values, "TELEGRAM_TOKEN"),
        telegram_chat_id=values.get("TELEGRAM_CHAT_ID") or None,
        gemini_api_key=_secret(values, "GEMINI_API_KEY"),
        binance_api_key=_secret(values, "BINANCE_API_KEY"),
        binance_api_secret=_secret(values, "BINANCE_API_SECRET"),
        binance_testnet=_yes_or_no(values, "BINANCE_TESTNET", ("true",), ("false",)),
        live_trading=_yes_or_no(values, "LIVE_TRADING", ("YES",), ("NO", "no", "false")),
        kill=_yes_or_no(values, "KILL", ("1",), ("0",)),
        learning_db_url=_secret(values, "LEARNING_DB_URL"),
        market_db_url=_secret(values, "MARKET_DB_URL"),
        webhook_url=_secret(values, "WEBHOOK_URL"),
        webhook_secret=_secret(values, "WEBHOOK_SECRET"),
        email_password=_secret(values, "EMAIL_PASSWORD"),
        page_token=_secret(values, "PAGE_TOKEN"),
    )


def _read_file(path: Path, *, is_private: bool = False) -> dict[str, str]:
    if not path.exists():
        return {}
    if not is_private and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsError(
            f"{path}: mode {stat.filemode(path.stat().st_mode)}: others may read it; run: chmod 600 {path}"
        )
    try:
        read = dotenv_values(path, interpolate=False)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}; chown it to the lab's user") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 text at byte {error.start}; write it anew from .env.example") from error
    known = (*KNOWN, *ALIASES)
    for name in read:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else "see .env.example for the names"
            raise SettingsError(f"{path}: {name}: unknown name; {hint}")
    return {name: value for name, value in read.items() if value}


def _secret(values: Mapping[str, str], name: str) -> SecretStr | None:
    return SecretStr(values[name]) if values.get(name) else None


def _yes_or_no(values: Mapping[str, str], name: str, yes: tuple[str, ...], no: tuple[str, ...]) -> bool:
    value = values.get(name, "").strip()
    if value in yes:
        return True
    if value in ("", *no):
        return False
    raise SettingsError(f"{name}={value!r}: neither {yes[0]} nor {no[0]}; write {name}={yes[0]} or leave it out")
