"""`./lab history copy`: the database that `MARKET_DB_URL` names, brought up to what the shelf holds."""

from __future__ import annotations

from ops.environment import find_home, read_environment
from trading.domain.errors import SettingsError
from trading.market.database_copy import open_database
from trading.market.store import TapeStore


def run_copy() -> int:
    """Copy and say how many rows went.

    Raises:
        SettingsError: no address, or one that is none.
        NetworkDownError: the server does not answer.
        StateFileError: the database refuses.
        DataProviderError: the shelf cannot be read.
    """
    home = find_home()
    url = read_environment(home).market_db_url
    if url is None:
        raise SettingsError("MARKET_DB_URL: not set; write postgresql://user:password@host/name into .env")
    rows = 0
    with open_database(url.get_secret_value()) as database:
        for done in database.bring_up(TapeStore(home.tapes)):
            rows += done.rows
            again = f", {done.revised} of them were there with other numbers" if done.revised else ""
            print(f"{done.name}: {done.rows:,} rows of {done.months} months{again}")
    print(f"the database has what the shelf has; {rows:,} rows went")
    return 0
