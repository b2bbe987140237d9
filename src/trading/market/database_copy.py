"""The store copied into a PostgreSQL or TimescaleDB database, for those who ask it in SQL. The only file that knows
psycopg.

Tables: `lab_candles`, `lab_settlements`, and `lab_candle_revisions`, `lab_settlement_revisions` with what was there
before the store had it otherwise; `lab_copied` says which month is there in which version. With the extension
`timescaledb` in the database the candles are a hypertable by time. A month goes in by COPY and one transaction: it is
there whole or not at all.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from trading.domain.clock import as_datetime
from trading.domain.errors import NetworkDownError, SettingsError, StateFileError
from trading.market.columns import Columns
from trading.market.series import CANDLE, OPTIONAL, VOLUME, Series
from trading.market.store import TapeStore

CONNECT_S = 10
VALUES = (*CANDLE[1:], VOLUME, *OPTIONAL)
COMPARED = (*CANDLE[1:], VOLUME)
_COLUMNS = ", ".join(f"{name} double precision" for name in VALUES)
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS lab_candles (
    series text NOT NULL, symbol text NOT NULL, interval text NOT NULL, open_time timestamptz NOT NULL, {_COLUMNS},
    origin text NOT NULL, PRIMARY KEY (series, symbol, interval, open_time));
CREATE TABLE IF NOT EXISTS lab_candle_revisions (
    series text NOT NULL, symbol text NOT NULL, interval text NOT NULL, open_time timestamptz NOT NULL, {_COLUMNS},
    origin text NOT NULL, replaced_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS lab_settlements (
    symbol text NOT NULL, settled_at timestamptz NOT NULL, rate double precision NOT NULL,
    mark_price double precision, PRIMARY KEY (symbol, settled_at));
CREATE TABLE IF NOT EXISTS lab_settlement_revisions (
    symbol text NOT NULL, settled_at timestamptz NOT NULL, rate double precision NOT NULL,
    mark_price double precision, replaced_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS lab_copied (
    series text NOT NULL, symbol text NOT NULL, interval text NOT NULL, month text NOT NULL, sha256 text NOT NULL,
    PRIMARY KEY (series, symbol, interval, month));
"""
_NAMES = ", ".join(("series", "symbol", "interval", "open_time", *VALUES, "origin"))
_DIFFERS = " OR ".join(f"held.{name} IS DISTINCT FROM new.{name}" for name in COMPARED)
_TAKEN = ", ".join(f"{name} = excluded.{name}" for name in (*VALUES, "origin"))
_SAME = "held.series = new.series AND held.symbol = new.symbol AND held.interval = new.interval"
PUT_ASIDE = f"""
INSERT INTO lab_candle_revisions ({_NAMES})
SELECT {", ".join(f"held.{name}" for name in _NAMES.split(", "))}
FROM lab_candles held JOIN new_candles new ON {_SAME} AND held.open_time = new.open_time WHERE {_DIFFERS}
"""  # noqa: S608 - our own names
TAKE = f"""
INSERT INTO lab_candles ({_NAMES}) SELECT {_NAMES} FROM new_candles
ON CONFLICT (series, symbol, interval, open_time) DO UPDATE SET {_TAKEN}
"""  # noqa: S608 - our own names

PUT_RATES_ASIDE = """
INSERT INTO lab_settlement_revisions (symbol, settled_at, rate, mark_price)
SELECT held.* FROM lab_settlements held JOIN new_settlements new USING (symbol, settled_at) WHERE held.rate <> new.rate
"""
TAKE_RATES = """
INSERT INTO lab_settlements
SELECT new.* FROM new_settlements new LEFT JOIN lab_settlements held USING (symbol, settled_at)
WHERE held.symbol IS NULL OR held.rate <> new.rate
    OR (new.mark_price IS NOT NULL AND held.mark_price IS DISTINCT FROM new.mark_price)
ON CONFLICT (symbol, settled_at) DO UPDATE
SET rate = excluded.rate, mark_price = coalesce(excluded.mark_price, lab_settlements.mark_price)
"""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy did with one series."""

    name: str
    months: int
    """That were not there, or otherwise."""
    rows: int
    revised: int
    """Rows that were there with other numbers; these are in `lab_candle_revisions`, `lab_settlement_revisions`."""


class DatabaseCopy:
    """A database that follows a store. Open it with `open_database`.

    Args:
        connection: Of psycopg.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def bring_up(self, store: TapeStore) -> Iterator[Copied]:
        """Copy what the database does not have as the store has it; tells each series as it is done.

        Raises:
            DataProviderError: the store cannot be read.
            StateFileError: the database refuses.
        """
        self._make_tables()
        for held in store.holdings():
            yield self._series(store, held.series, held.symbol, held.interval)
        for path in sorted((store.root / Series.PERP).glob("*/funding.parquet")):
            yield self._settlements(store, path.parent.name)

    def _make_tables(self) -> None:
        with self._connection.transaction():
            self._connection.execute(SCHEMA)
            has_timescale = self._connection.execute(
                "SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"
            ).fetchone()
            if has_timescale:
                self._connection.execute(
                    "SELECT create_hypertable('lab_candles', 'open_time', if_not_exists => true, migrate_data => true)"
                )

    def _series(self, store: TapeStore, series: Series, symbol: str, interval: str) -> Copied:
        key = (series.value, symbol, interval)
        found = self._connection.execute(
            "SELECT month, sha256 FROM lab_copied WHERE series = %s AND symbol = %s AND interval = %s", key
        ).fetchall()
        there = {str(month): str(sha256) for month, sha256 in found}
        months = rows = revised = 0
        for name, month in sorted(store.months(series, symbol, interval).items()):
            if there.get(name) == month.sha256:
                continue
            columns = store.series(series, symbol, interval, month.start_ms, month.end_ms)
            with self._connection.transaction():
                revised += self._month(key, columns, month.origin)
                self._connection.execute(
                    "INSERT INTO lab_copied VALUES (%s, %s, %s, %s, %s) "
                    "ON CONFLICT (series, symbol, interval, month) DO UPDATE SET sha256 = excluded.sha256",
                    (*key, name, month.sha256),
                )
            months, rows = months + 1, rows + len(columns["open_time"])
        return Copied("/".join(key), months, rows, revised)

    def _month(self, key: tuple[str, str, str], columns: Columns, origin: str) -> int:
        """Put a month in; returns how many rows were there with other numbers."""
        self._connection.execute("CREATE TEMP TABLE new_candles (LIKE lab_candles) ON COMMIT DROP")
        values = [columns[name].tolist() if name in columns else None for name in VALUES]
        with self._connection.cursor().copy(f"COPY new_candles ({_NAMES}) FROM STDIN") as copy:
            for i, ms in enumerate(np.asarray(columns["open_time"], dtype=np.int64).tolist()):
                cells = [None if column is None or column[i] != column[i] else column[i] for column in values]
                copy.write_row((*key, as_datetime(ms), *cells, origin))
        revised = self._connection.execute(PUT_ASIDE).rowcount
        self._connection.execute(TAKE)
        self._connection.execute("DROP TABLE new_candles")
        return int(revised)

    def _settlements(self, store: TapeStore, symbol: str) -> Copied:
        held = store.funding(symbol, -1, 2**62)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE new_settlements (LIKE lab_settlements) ON COMMIT DROP")
            with cursor.copy("COPY new_settlements FROM STDIN") as copy:
                columns = (held.time_ms.tolist(), held.rate.tolist(), held.mark_price.tolist())
                for ms, rate, mark in zip(*columns, strict=True):
                    copy.write_row((symbol, as_datetime(ms), rate, None if mark != mark else mark))
            revised = cursor.execute(PUT_RATES_ASIDE).rowcount
            rows = cursor.execute(TAKE_RATES).rowcount
        return Copied(f"{Series.PERP}/{symbol}/funding", 0, int(rows), int(revised))


@contextmanager
def open_database(url: str) -> Iterator[DatabaseCopy]:
    """A database for as long as the block runs.

    Args:
        url: `postgresql://user:password@host/name`; it is in no message.

    Raises:
        SettingsError: not such an address, or the extra `postgres` is not installed.
        NetworkDownError: the server does not answer, or does not let us in.
        StateFileError: it refuses what the block asks.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise SettingsError("MARKET_DB_URL: no address of PostgreSQL; write postgresql://user:password@host/name")
    try:
        library: Any = importlib.import_module("psycopg")
    except ImportError as error:
        raise SettingsError(
            "MARKET_DB_URL: PostgreSQL needs its driver: .venv/bin/python -m pip install 'psycopg[binary]'"
        ) from error
    try:
        connection = library.connect(url, connect_timeout=CONNECT_S, autocommit=True)
    except library.ProgrammingError:
        # the driver's own words repeat parts of the address, and with them of the password
        raise SettingsError(
            "MARKET_DB_URL: the driver cannot read it; write signs such as @ : / % in the password as %40 %3A %2F %25"
        ) from None
    except library.Error as error:
        told = f"MARKET_DB_URL: {type(error).__name__}: no connection; check address, password, server and rights"
        raise NetworkDownError(told) from None
    try:
        yield DatabaseCopy(connection)
    except library.Error as error:
        raise StateFileError(f"MARKET_DB_URL: {_line(error)}; check your rights there and the free space") from error
    finally:
        connection.close()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
