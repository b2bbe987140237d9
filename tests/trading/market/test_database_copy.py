"""The store copied into a real PostgreSQL: whole months, once, and nothing overwritten in silence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.postgres_server import PASSWORD, running_postgres
from tests.trading.market.samples import HOUR_MS, START_MS, tape
from trading.domain.errors import NetworkDownError, SettingsError, StateFileError
from trading.domain.instrument import Market
from trading.market.database_copy import open_database
from trading.market.series import Series
from trading.market.store import TapeStore
from trading.market.tape import Funding

psycopg = pytest.importorskip("psycopg")
BARS = 32 * 24


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running_postgres() as found:
        yield found


@pytest.fixture
def rows(address: str) -> Iterator[object]:
    """Asks the database; everything is gone afterwards."""
    with psycopg.connect(address, autocommit=True) as connection:
        yield lambda query: connection.execute(query).fetchall()
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


@pytest.fixture
def store(tmp_path: Path) -> TapeStore:
    store = TapeStore(tmp_path)
    times = START_MS + 8 * HOUR_MS * np.arange(1, 4)
    settled = Funding(times, np.array([1e-4, 2e-4, -1e-4]), np.array([100.5, np.nan, 101.0]))
    closes = (100.0 + np.arange(BARS) % 11).tolist()
    store.save(tape(closes, market=Market.PERP, funding=settled))
    premium = {"open_time": START_MS + HOUR_MS * np.arange(3)}
    premium |= {name: np.array([-1e-4, 0.0, 2e-4]) for name in ("open", "high", "low", "close")}
    store.save_series(Series.PREMIUM, "BTCUSDT", "1h", premium, origin="downloaded")
    return store


def test_the_database_has_what_the_shelf_has_and_a_second_copy_moves_nothing(address: str, rows, store: TapeStore):  # type: ignore[no-untyped-def]
    with open_database(address) as database:
        first = {done.name: (done.months, done.rows) for done in database.bring_up(store)}
        assert first == {"perp/BTCUSDT/1h": (2, BARS), "premium/BTCUSDT/1h": (1, 3), "perp/BTCUSDT/funding": (0, 3)}
        assert sum(done.rows for done in database.bring_up(store)) == 0
    held = store.load(Market.PERP, "BTCUSDT", "1h")
    found = rows("SELECT extract(epoch FROM open_time) * 1000, open, high, low, close, volume, trades FROM lab_candles "
                 "WHERE series = 'perp' ORDER BY open_time")  # fmt: skip
    assert [int(row[0]) for row in found] == held.open_time_ms.tolist()
    assert [row[4] for row in found] == held.close.tolist()
    assert {row[6] for row in found} == {None}
    assert rows("SELECT rate, mark_price FROM lab_settlements ORDER BY settled_at") == [
        (1e-4, 100.5), (2e-4, None), (-1e-4, 101.0)
    ]  # fmt: skip
    assert rows("SELECT min(close), volume FROM lab_candles WHERE series = 'premium' GROUP BY volume") == [
        (-1e-4, None)
    ]


def test_what_comes_later_follows_and_what_the_database_had_otherwise_is_put_aside(  # type: ignore[no-untyped-def]
    address: str, rows, store: TapeStore
):
    with open_database(address) as database:
        list(database.bring_up(store))
        rows("UPDATE lab_candles SET close = 999 WHERE series = 'perp' AND close = 105 RETURNING 1")
        later = tape([100.0, 101.0], start_ms=START_MS + BARS * HOUR_MS, market=Market.PERP)
        store.save(later)
        done = {one.name: one for one in database.bring_up(store)}["perp/BTCUSDT/1h"]
        assert (done.months, done.revised > 0) == (1, True)
    assert rows("SELECT count(*) FROM lab_candles WHERE series = 'perp'") == [(BARS + 2,)]
    assert {row[0] for row in rows("SELECT close FROM lab_candle_revisions")} == {999.0}


def test_a_settlement_that_the_store_has_otherwise_now_follows_and_the_old_rate_is_put_aside(  # type: ignore[no-untyped-def]
    address: str, rows, store: TapeStore
):
    times = START_MS + 8 * HOUR_MS * np.arange(1, 3)
    with open_database(address) as database:
        list(database.bring_up(store))
        store.settle_over("BTCUSDT", Funding(times, np.array([1e-4, 3e-4]), np.array([np.nan, np.nan])))
        store.settle("BTCUSDT", Funding(times[1:], np.array([3e-4]), np.array([100.75])))
        done = {one.name: one for one in database.bring_up(store)}["perp/BTCUSDT/funding"]
        assert (done.rows, done.revised) == (1, 1)
        assert sum(one.rows for one in database.bring_up(store)) == 0
    assert rows("SELECT rate, mark_price FROM lab_settlements ORDER BY settled_at") == [
        (1e-4, 100.5), (3e-4, 100.75), (-1e-4, 101.0)
    ]  # fmt: skip
    assert rows("SELECT rate, mark_price FROM lab_settlement_revisions") == [(2e-4, None)]


def test_a_copy_that_is_cut_off_leaves_whole_months_and_is_completed(address: str, rows, store: TapeStore):  # type: ignore[no-untyped-def]
    with open_database(address) as database:
        next(database.bring_up(store))
        rows("DELETE FROM lab_copied WHERE month = '2024-02' RETURNING 1")
        rows("DELETE FROM lab_candles WHERE open_time >= '2024-02-01' RETURNING 1")
        done = {one.name: one for one in database.bring_up(store)}["perp/BTCUSDT/1h"]
        assert (done.months, done.rows) == (1, 24)
    assert rows("SELECT count(*) FROM lab_candles WHERE series = 'perp'") == [(BARS,)]


def test_a_wrong_address_a_server_that_is_away_and_a_refusal_are_told_without_the_password(
    address: str, store: TapeStore
) -> None:
    with pytest.raises(SettingsError, match="MARKET_DB_URL: no address of PostgreSQL"), open_database("mysql://x"):
        pass
    away = f"postgresql://lab:{PASSWORD}@127.0.0.1:1/lab"
    with pytest.raises(NetworkDownError, match="MARKET_DB_URL") as told, open_database(away):
        pass
    assert PASSWORD not in str(told.value)
    for url in ("postgresql://lab:hunter%zz2@h/lab", "postgresql://lab:pa@hunter2@127.0.0.1:1/lab"):
        with pytest.raises((SettingsError, NetworkDownError), match="MARKET_DB_URL") as told, open_database(url):
            pass
        assert "hunter" not in str(told.value)
        assert told.value.__cause__ is None
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE TABLE lab_candles (series text)")
    with pytest.raises(StateFileError, match="MARKET_DB_URL"), open_database(address) as database:
        list(database.bring_up(store))
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
