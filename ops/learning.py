"""Which database the lab's memory is: the home's own file, or the PostgreSQL that `LEARNING_DB_URL` names."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from ai_brain.learning_db import LearningDb
from ops.environment import Environment
from trading.domain.errors import StateFileError
from trading.storage.home import Home


def open_learning_db(home: Home, environment: Environment) -> LearningDb:
    """Open it; it is made where it is not there.

    Raises:
        SettingsError: the address is none of a PostgreSQL database, or its driver is not installed.
        StateFileError: it cannot be opened, is no database, or lost what was tried.
    """
    address = address_of(home, environment)
    if isinstance(address, Path):
        _refuse_emptied(address, home)
    return open_at(address)


def _refuse_emptied(file: Path, home: Home) -> None:
    """SQLite takes an empty file for a new database: every idea ever tried would count as never tried."""
    is_emptied = file.exists() and file.stat().st_size == 0
    if is_emptied and any((home.state / "evidence").glob("*.json")):
        raise StateFileError(f"{file}: is empty, and ideas were judged here; restore it from a backup")


def address_of(home: Home, environment: Environment) -> Path | SecretStr:
    """Where it is: a file, or a server with what is needed to log in."""
    return home.learning_db if environment.learning_db_url is None else environment.learning_db_url


def open_at(address: Path | SecretStr) -> LearningDb:
    """As `open_learning_db`, of an address."""
    return LearningDb(address if isinstance(address, Path) else address.get_secret_value())


def is_there(home: Home, environment: Environment) -> bool:
    """Whether anything can be on record: a file that is not there yet would be made by opening it."""
    return environment.learning_db_url is not None or home.learning_db.exists()
