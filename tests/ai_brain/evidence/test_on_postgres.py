"""The lab's memory in a PostgreSQL database: the same answers, the same refusals, the same order of writers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from ai_brain import learning_db
from ai_brain.evidence.candidate_stream import CandidateStream
from ai_brain.evidence.graveyard import Burial, Graveyard
from ai_brain.evidence.return_sketch import return_sketch
from ai_brain.evidence.trial_ledger import Trial, TrialLedger
from ai_brain.evidence.vault import Sealed, Vault
from ai_brain.learning_db import METADATA, LearningDb
from tests.postgres_server import PASSWORD, running_postgres
from trading.domain.clock import Clock
from trading.domain.errors import SettingsError, StateFileError, VaultError
from trading.storage.home import Home

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
SEALED = Sealed("mo", "a" * 64, "d" * 64, "BTCUSDT", "1h", 0, DAY_MS)
WRITERS = 5


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_postgres() as address:
        yield address


@pytest.fixture
def address(server: str) -> Iterator[str]:
    """Of a database with nothing in it."""
    yield server
    engine = create_engine(server.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()


@pytest.fixture
def db(address: str) -> Iterator[LearningDb]:
    with closing(LearningDb(address)) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock(scale=1e-6, origin_ms=NOW_MS)


def trial(number: int, *, kind: int | None = None) -> Trial:
    sketch = None
    if kind is not None:
        returns = np.random.default_rng(kind).normal(0.0, 0.01, 200)
        sketch = return_sketch(returns, (19_000 + np.arange(200)) * DAY_MS)
    return Trial(
        origin="test",
        family="momentum",
        spec_id=f"mo-{number}",
        spec_sha256=f"{number:064x}",
        data_sha256="d" * 64,
        stretch="search",
        start_ms=0,
        end_ms=DAY_MS,
        bars=24,
        bars_per_year=8760.0,
        sharpe_bar=number / 7.0,
        skew=-0.5,
        kurtosis=4.0,
        turnover=12.0,
        net_return=0.1,
        entries=40,
        sketch=sketch,
    )


def test_it_answers_as_the_file_does_whatever_was_written(db: LearningDb, home: Home, clock: Clock) -> None:
    batches = [[trial(n, kind=n % 9 if n % 4 else None) for n in range(first, first + 40)] for first in (0, 25, 90)]
    with closing(LearningDb(home.learning_db)) as file:
        told = []
        for database in (db, file):
            asked, writer = TrialLedger(database, clock), TrialLedger(database, clock)
            answers = list[tuple[int, int, float]]()
            for batch in batches:
                writer.record(batch)
                answers += [answered(ledger) for ledger in (asked, TrialLedger(database, clock))]
            told.append((answers, writer.looks(), writer.trials_of(f"{30:064x}"), writer.knows("x")))
    assert told[0] == told[1]
    assert told[0][0][-1][0] == 105, "ideas written twice are one"


def answered(ledger: TrialLedger) -> tuple[int, int, float]:
    return ledger.count(), ledger.effective_count(), ledger.expected_maximum(more=3)


@pytest.mark.parametrize("table", sorted(METADATA.tables))
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET at_ms = 0", "TRUNCATE {}"])
def test_the_database_itself_refuses_to_change_or_forget(
    db: LearningDb, address: str, table: str, statement: str
) -> None:
    engine = create_engine(address.replace("postgresql:", "postgresql+psycopg:"))
    if table == "ideas":
        statement = statement.replace("at_ms = 0", "family = 'x'")
    with pytest.raises(DBAPIError, match=f"{table} is append-only"), engine.begin() as connection:
        connection.execute(text(statement.format(table)))
    engine.dispose()


def test_many_writers_lose_nothing_and_no_reader_misses_what_came_late(address: str, clock: Clock) -> None:
    def write(writer: int) -> list[int]:
        with closing(LearningDb(address)) as own:
            ledger, counted = TrialLedger(own, clock), []
            for number in range(15):
                ledger.record([trial(number), trial(100 * writer + number + 100)])
                counted.append(ledger.count())
        return counted

    with ThreadPoolExecutor(WRITERS) as pool:
        told = list(pool.map(write, range(WRITERS)))
    with closing(LearningDb(address)) as own:
        ledger = TrialLedger(own, clock)
        assert (ledger.count(), ledger.looks()) == (15 + WRITERS * 15, WRITERS * 30)
    assert all(counted == sorted(counted) for counted in told)
    assert max(counted[-1] for counted in told) == 15 + WRITERS * 15, "who ended last saw them all"


def test_a_writer_that_hangs_holds_the_others_no_longer_than_they_wait(
    db: LearningDb, address: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning_db, "BUSY_TIMEOUT_S", 1)
    with closing(LearningDb(address)) as waits, db.writing():
        with pytest.raises(StateFileError, match="lock timeout"):
            TrialLedger(waits, clock).record([trial(1)])
        assert TrialLedger(waits, clock).count() == 0


def test_of_two_who_open_a_vault_at_once_one_is_refused(address: str, clock: Clock) -> None:
    def ask(writer: int) -> str:
        with closing(LearningDb(address)) as own:
            try:
                return str(Vault(own, clock).open(replace(SEALED, spec_sha256=f"{writer:064x}")).number)
            except VaultError as error:
                return str(error)

    with ThreadPoolExecutor(WRITERS) as pool:
        answers = list(pool.map(ask, range(WRITERS)))
    assert sum(answer == "1" for answer in answers) == 1
    assert sum("stays shut" in answer for answer in answers) == WRITERS - 1


def test_candidates_take_each_place_once_whoever_asks(address: str, clock: Clock) -> None:
    def ask(writer: int) -> None:
        with closing(LearningDb(address)) as own:
            stream = CandidateStream(own, clock, 0.1)
            for number in range(6):
                stream.decide(spec_sha256=f"{writer} {number}", family="momentum", p_value=0.5)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(ask, range(WRITERS)))
    with closing(LearningDb(address)) as own:
        rows = CandidateStream(own, clock, 0.1).candidates()
    assert [row["place"] for row in rows] == list(range(1, 6 * WRITERS + 1))
    assert rows[0]["rejected"] is False


def test_the_graveyard_remembers(db: LearningDb, clock: Clock) -> None:
    graveyard = Graveyard(db, clock)
    graveyard.bury(
        [Burial("a" * 64, "mo-1", "one", "COST", "1 > 0", "does that"), Burial("b" * 64, "x", "n", "R", "d")]
    )
    graveyard.bury([Burial("a" * 64, "mo-1", "one", "LATER", "2")])
    assert graveyard.refused(["a" * 64, "c"]) == {"a" * 64: "COST: 1 > 0 (mo-1)"}
    assert graveyard.was_refused_doing("does that") == "COST: 1 > 0 (mo-1)"
    assert graveyard.count_by_reason() == {"COST": 1, "R": 1}


def test_a_server_that_is_not_there_or_knows_another_password_is_told_in_one_line(server: str, tmp_path: Path) -> None:
    for wrong in (server.replace(PASSWORD, "guessed"), f"postgresql://lab:guessed@/postgres?host={tmp_path}"):
        with pytest.raises(StateFileError, match="check its server, your rights") as told:
            LearningDb(wrong)
        assert "guessed" not in str(told.value)
        assert "\n" not in str(told.value)


@pytest.mark.parametrize("url", ["mysql://lab:guessed@host/lab", "state/ai_learning.db", "sqlite:///other.db"])
def test_an_address_that_is_none_of_postgresql_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError, match="LEARNING_DB_URL") as told:
        LearningDb(url)
    assert "guessed" not in str(told.value)
