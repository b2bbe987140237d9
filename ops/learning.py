"""Which database the lab's memory is: the home's own file, or the PostgreSQL that `LEARNING_DB_URL` names."""

from __future__ import annotations

from ai_brain.learning_db import LearningDb
from ops.environment import Environment
from trading.storage.home import Home


def open_learning_db(home: Home, environment: Environment) -> LearningDb:
    """Open it; it is made where it is not there.

    Raises:
        SettingsError: the address is none of a PostgreSQL database, or its driver is not installed.
        StateFileError: it cannot be opened, or is no database.
    """
    url = environment.learning_db_url
    return LearningDb(home.learning_db if url is None else url.get_secret_value())


def is_there(home: Home, environment: Environment) -> bool:
    """Whether anything can be on record: a file that is not there yet would be made by opening it."""
    return environment.learning_db_url is not None or home.learning_db.exists()
