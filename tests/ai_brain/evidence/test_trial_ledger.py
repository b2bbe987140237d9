"""The trial ledger and the graveyard: nothing is forgotten, nothing can be changed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_brain.evidence.expected_maximum_sharpe import expected_maximum_sharpe
from ai_brain.evidence.graveyard import Burial, Graveyard
from ai_brain.evidence.return_sketch import return_sketch
from ai_brain.evidence.trial_ledger import Trial, TrialLedger
from ai_brain.learning_db import BUSY_TIMEOUT_S, LearningDb
from trading.domain.clock import DAY_MS, Clock
from trading.domain.errors import StateFileError
from trading.storage.home import Home

NOW_MS = 1_700_000_000_000
TRIAL = Trial(
    origin="evaluator",
    family="momentum",
    spec_id="mo-20240101-aaaaaa",
    spec_sha256="a" * 64,
    data_sha256="d" * 64,
    stretch="search",
    start_ms=0,
    end_ms=3_600_000,
    bars=5000,
    bars_per_year=8760.0,
    sharpe_bar=0.01,
    skew=0.0,
    kurtosis=3.0,
    turnover=12.0,
    net_return=0.03,
    entries=40,
)


@pytest.fixture
def clock() -> Clock:
    return Clock(scale=1e-6, origin_ms=NOW_MS)


@pytest.fixture
def ledger(db: LearningDb, clock: Clock) -> TrialLedger:
    return TrialLedger(db, clock)


def test_a_second_look_at_the_same_spec_is_a_look_but_no_new_idea(ledger: TrialLedger) -> None:
    ledger.record([TRIAL, replace(TRIAL, stretch="walk-forward", sharpe_bar=0.5)])
    ledger.record([replace(TRIAL, spec_sha256="b" * 64)])
    assert (ledger.count(), ledger.looks()) == (2, 3)


def test_what_was_recorded_is_there_after_a_restart(home: Home, clock: Clock) -> None:
    for expected in (1, 2):
        db = LearningDb(home.learning_db)
        TrialLedger(db, clock).record([replace(TRIAL, spec_sha256=str(expected) * 64)])
        assert TrialLedger(db, clock).count() == expected
        db.close()


def test_a_trial_keeps_every_number_it_was_given(ledger: TrialLedger) -> None:
    ledger.record([TRIAL])
    (row,) = ledger.trials_of(TRIAL.spec_sha256)
    assert row.pop("id") == 1
    assert row.pop("at_ms") == NOW_MS
    assert Trial(**row) == TRIAL  # type: ignore[arg-type]


@pytest.mark.parametrize("table", ["trials", "ideas", "graveyard"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET spec_sha256 = 'x'"])
def test_the_file_itself_refuses_to_change_or_forget(
    home: Home, ledger: TrialLedger, db: LearningDb, clock: Clock, table: str, statement: str
) -> None:
    ledger.record([TRIAL])
    Graveyard(db, clock).bury([Burial("a" * 64, "x", "n", "R", "d")])
    with (
        closing(sqlite3.connect(home.learning_db)) as other,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        other.execute(statement.format(table))


def test_the_best_of_many_worthless_ideas_counts_copies_for_what_they_add(ledger: TrialLedger) -> None:
    assert ledger.expected_maximum() == 0.0
    ledger.record([replace(TRIAL, spec_sha256="first", sketch=sketch_of(1))])
    assert ledger.expected_maximum() == pytest.approx(0.0, abs=1e-9)
    ledger.record([replace(TRIAL, spec_sha256=f"copy {n}", sketch=sketch_of(1)) for n in range(50)])
    assert ledger.expected_maximum() == pytest.approx(0.0, abs=0.05)
    ledger.record([replace(TRIAL, spec_sha256=f"other {n}") for n in range(50)])
    assert ledger.expected_maximum() == pytest.approx(expected_maximum_sharpe(51), rel=0.02)
    assert ledger.expected_maximum(more=50) == pytest.approx(expected_maximum_sharpe(101), rel=0.02)


def sketch_of(seed: int) -> bytes | None:
    days = 200 if seed else 0
    returns = np.random.default_rng(seed).normal(0.0, 0.01, days)
    return return_sketch(returns, (19_000 + np.arange(days)) * DAY_MS)


def test_ideas_that_go_together_are_counted_once_and_those_without_a_sketch_each(ledger: TrialLedger) -> None:
    assert ledger.effective_count() == 0
    ledger.record([replace(TRIAL, spec_sha256=f"copy {n}", sketch=sketch_of(1)) for n in range(5)])
    assert (ledger.count(), ledger.effective_count()) == (5, 1)
    ledger.record([replace(TRIAL, spec_sha256="other", sketch=sketch_of(2))])
    ledger.record([replace(TRIAL, spec_sha256=f"unknown {n}") for n in range(2)])
    assert (ledger.count(), ledger.effective_count()) == (8, 4)


def test_the_sketch_is_that_of_the_first_look(home: Home, ledger: TrialLedger) -> None:
    first, second = sketch_of(1), sketch_of(2)
    ledger.record([replace(TRIAL, sketch=first), replace(TRIAL, sketch=second)])
    ledger.record([replace(TRIAL, sketch=second)])
    with closing(sqlite3.connect(home.learning_db)) as other:
        assert other.execute("SELECT sketch FROM ideas").fetchall() == [(first,)]


def test_a_sketch_of_a_wrong_length_never_reaches_the_ledger() -> None:
    with pytest.raises(ValueError, match="a sketch of 3 bytes, not 72"):
        replace(TRIAL, sketch=b"abc")


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6), st.sampled_from("ab"), st.floats(-1, 1)), max_size=6),
        max_size=8,
    )
)
def test_a_ledger_that_was_asked_all_along_answers_like_one_that_reads_all_anew(
    batches: list[list[tuple[int, int, str, float]]],
) -> None:
    with TemporaryDirectory() as folder, closing(LearningDb(Path(folder) / "ideas.db")) as db:
        clock = Clock(scale=1e-6, origin_ms=NOW_MS)
        asked, writer = TrialLedger(db, clock), TrialLedger(db, clock)
        for batch in batches:
            writer.record(
                [
                    replace(TRIAL, spec_sha256=str(idea), family=family, sharpe_bar=sharpe, sketch=sketch_of(kind))
                    for idea, kind, family, sharpe in batch
                ]
            )
            answers = [answered(ledger) for ledger in (asked, TrialLedger(db, clock))]
            assert answers[0] == answers[1]
        ideas = {idea for batch in batches for idea, *_ in batch}
        assert asked.count() == len(ideas)
        assert min(1, len(ideas)) <= asked.effective_count() <= len(ideas)


def answered(ledger: TrialLedger) -> tuple[int, int, float, float]:
    return ledger.count(), ledger.effective_count(), ledger.expected_maximum(), ledger.expected_maximum(more=3)


OLD_SCHEMA = """
CREATE TABLE ideas (
    spec_sha256 VARCHAR NOT NULL, family VARCHAR NOT NULL, sharpe_annual FLOAT NOT NULL, PRIMARY KEY (spec_sha256)
);
CREATE INDEX ix_ideas_family ON ideas (family);
CREATE TRIGGER ideas_no_update BEFORE UPDATE ON ideas BEGIN SELECT RAISE(ABORT, 'ideas is append-only'); END;
CREATE TRIGGER ideas_no_delete BEFORE DELETE ON ideas BEGIN SELECT RAISE(ABORT, 'ideas is append-only'); END;
INSERT INTO ideas VALUES ('old one', 'momentum', 0.5), ('old two', 'momentum', 1.5);
"""


def test_a_file_from_before_the_sketches_keeps_its_ideas_and_takes_sketches_now(home: Home, clock: Clock) -> None:
    with closing(sqlite3.connect(home.learning_db)) as old:
        old.executescript(OLD_SCHEMA)
    with ThreadPoolExecutor(4) as pool:  # the service and the commands open it at the same moment
        opened = list(pool.map(lambda _: LearningDb(home.learning_db), range(4)))
    ledgers = [TrialLedger(db, clock) for db in opened]
    ledgers[0].record([replace(TRIAL, spec_sha256=f"new {n}", sketch=sketch_of(1)) for n in range(3)])
    assert [(ledger.count(), ledger.effective_count()) for ledger in ledgers] == [(5, 3)] * 4
    alone = ledgers[1].expected_maximum()
    assert alone == pytest.approx(expected_maximum_sharpe(3), rel=0.1), "the old ones go with nobody, the new are one"
    ledgers[2].record([replace(TRIAL, spec_sha256=f"later {n}") for n in range(7)])
    assert ledgers[1].expected_maximum() > alone
    with (
        closing(sqlite3.connect(home.learning_db)) as other,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        other.execute("UPDATE ideas SET sketch = x'00'")
    for db in opened:
        db.close()


def test_a_file_of_old_that_many_open_and_close_at_once_is_opened_by_all(home: Home) -> None:
    for number in range(20):
        file = home.state / f"{number}.db"
        with closing(sqlite3.connect(file)) as old:
            old.executescript(OLD_SCHEMA)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _, place=file: LearningDb(place).close(), range(16)))


def test_what_is_wrong_for_another_reason_is_told_at_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = list[float]()
    monkeypatch.setattr("ai_brain.learning_db.Event", lambda: SimpleNamespace(wait=waited.append))
    home.learning_db.mkdir()
    with pytest.raises(StateFileError, match="unable to open database file"):
        LearningDb(home.learning_db)
    assert waited == []


def test_a_file_that_is_held_for_too_long_is_told_after_the_time_of_a_writer(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = list[float]()
    monkeypatch.setattr("ai_brain.learning_db.Event", lambda: SimpleNamespace(wait=waited.append))
    with closing(sqlite3.connect(home.learning_db)) as holder:
        holder.executescript(OLD_SCHEMA)
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StateFileError, match="database is locked"):
            LearningDb(home.learning_db)
    assert sum(waited) == pytest.approx(BUSY_TIMEOUT_S, rel=0.01)


def test_many_writers_lose_nothing_and_count_each_idea_once(home: Home, ledger: TrialLedger, clock: Clock) -> None:
    def write(writer: int) -> None:
        db = LearningDb(home.learning_db)
        for number in range(20):
            TrialLedger(db, clock).record([replace(TRIAL, spec_sha256=f"{number}", origin=f"writer {writer}")])
        db.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    assert (ledger.count(), ledger.looks()) == (20, 120)


def test_a_writer_killed_in_the_middle_leaves_whole_trials(home: Home, ledger: TrialLedger) -> None:
    program = (
        "import os, sys; from dataclasses import replace; from pathlib import Path\n"
        "from ai_brain.learning_db import LearningDb; from ai_brain.evidence.trial_ledger import *\n"
        "from trading.domain.clock import Clock\n"
        "ledger = TrialLedger(LearningDb(Path(sys.argv[1])), Clock())\n"
        f"trial = {TRIAL!r}\n"
        "for n in range(5): ledger.record([replace(trial, spec_sha256=str(n)), replace(trial, spec_sha256=str(n))])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(home.learning_db)], check=False)
    assert done.returncode == -9
    assert (ledger.count(), ledger.looks()) == (5, 10)


def test_a_trial_that_is_no_number_is_refused_and_nothing_of_its_batch_is_kept(ledger: TrialLedger) -> None:
    with pytest.raises(StateFileError, match="sharpe_bar=nan: not a number"):
        ledger.record([TRIAL, replace(TRIAL, spec_sha256="c" * 64, sharpe_bar=float("nan"))])
    assert (ledger.count(), ledger.looks()) == (0, 0)


def test_a_file_that_is_no_database_is_refused_by_name_and_left_as_it_is(home: Home) -> None:
    home.learning_db.write_bytes(b"something a person wrote, longer than a header of SQLite would be" * 4)
    with pytest.raises(StateFileError, match=r"ai_learning\.db: file is not a database"):
        LearningDb(home.learning_db)
    assert home.learning_db.read_bytes().startswith(b"something a person wrote")


def test_the_graveyard_tells_why_and_counts(db: LearningDb, clock: Clock) -> None:
    graveyard = Graveyard(db, clock)
    assert graveyard.was_refused("a" * 64) is None
    for name, reason in (("one", "NO_TRADES"), ("two", "COST"), ("three", "COST")):
        graveyard.bury([Burial(name, f"mr-{name}", name, reason, "0 < 30")])
    assert graveyard.was_refused("one") == "NO_TRADES: 0 < 30 (mr-one)"
    assert graveyard.count_by_reason() == {"COST": 2, "NO_TRADES": 1}
    assert graveyard.recent(2) == [("three", "COST", "0 < 30"), ("two", "COST", "0 < 30")]


def test_many_are_buried_at_once_and_who_lies_there_stays_as_it_lies(db: LearningDb, clock: Clock) -> None:
    graveyard = Graveyard(db, clock)
    graveyard.bury([])
    graveyard.bury([Burial("one", "mr-one", "one", "NO_TRADES", "0 < 30")])
    graveyard.bury([Burial("one", "later", "one", "COST", "x"), Burial("two", "mr-two", "two", "COST", "y", "does")])
    graveyard.bury([Burial("three", "mr-three", "three", "COST", "z"), Burial("three", "mr-3", "three", "OTHER", "z")])
    assert graveyard.was_refused("one") == "NO_TRADES: 0 < 30 (mr-one)"
    assert graveyard.was_refused_doing("does") == "COST: y (mr-two)"
    assert graveyard.count_by_reason() == {"COST": 2, "NO_TRADES": 1}
    assert graveyard.was_refused("three") == "COST: z (mr-three)"
