"""The vault's book: a stretch answers a family once, and the opening is on disk before it is read."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ai_brain.evidence.return_sketch import return_sketch
from ai_brain.evidence.vault import Opening, Sealed, Vault
from ai_brain.learning_db import LearningDb
from trading.domain.clock import Clock, parse_iso
from trading.domain.errors import StateFileError, VaultError
from trading.storage.home import Home

NOW_MS = parse_iso("2026-03-01T12:00:00Z")
SUMMER = Sealed(
    family="mo-breakout",
    spec_sha256="a" * 64,
    data_sha256="d" * 64,
    symbol="BTCUSDT",
    interval="1h",
    start_ms=parse_iso("2025-06-01"),
    end_ms=parse_iso("2025-09-01"),
)
DAY_MS = 86_400_000


@pytest.fixture
def clock() -> Clock:
    return Clock(scale=1e-6, origin_ms=NOW_MS)


@pytest.fixture
def vault(db: LearningDb, clock: Clock) -> Vault:
    return Vault(db, clock)


def later(stretch: Sealed, days: int) -> Sealed:
    return replace(stretch, start_ms=stretch.start_ms + days * DAY_MS, end_ms=stretch.end_ms + days * DAY_MS)


def test_an_opening_is_in_the_book_when_it_is_given(home: Home, vault: Vault) -> None:
    assert vault.open(SUMMER) == Opening(1, NOW_MS, SUMMER)
    with closing(sqlite3.connect(home.learning_db)) as other:
        (row,) = other.execute("SELECT family, symbol, start_ms, end_ms FROM vault_openings").fetchall()
    assert row == ("mo-breakout", "BTCUSDT", SUMMER.start_ms, SUMMER.end_ms)


def test_a_second_candidate_of_the_family_is_refused_the_stretch_and_told_why(vault: Vault) -> None:
    vault.open(SUMMER)
    with pytest.raises(VaultError) as refused:
        vault.open(replace(SUMMER, spec_sha256="b" * 64))
    assert str(refused.value) == (
        "vault: BTCUSDT 1h 2025-06-01T00:00:00Z to 2025-09-01T00:00:00Z stays shut for mo-breakout "
        "(spec bbbbbbbbbbbb): opening 1 of 2026-03-01T12:00:00Z showed mo-breakout (spec aaaaaaaaaaaa) BTCUSDT 1h "
        "up to 2025-09-01T00:00:00Z; only bars from then on may be opened: wait until new data extends the vault"
    )
    assert len(vault.openings("mo-breakout")) == 1


@pytest.mark.parametrize(
    "change",
    [
        later(SUMMER, 91),
        later(SUMMER, -91),
        replace(SUMMER, start_ms=SUMMER.start_ms + DAY_MS, end_ms=SUMMER.end_ms - DAY_MS),
        replace(SUMMER, interval="5m"),
        replace(SUMMER, data_sha256="e" * 64),
        replace(SUMMER, start_ms=0, end_ms=DAY_MS),
    ],
    ids=["end", "beginning", "inside", "interval", "data", "older"],
)
def test_to_others_of_the_family_whatever_shares_a_bar_with_an_opened_stretch_or_is_older_stays_shut(
    vault: Vault, change: Sealed
) -> None:
    first = vault.open(SUMMER)
    with pytest.raises(VaultError, match="stays shut"):
        vault.open(replace(change, spec_sha256="b" * 64))
    assert vault.openings("mo-breakout") == [first]


@pytest.mark.parametrize(
    "change",
    [
        later(SUMMER, 91),
        later(SUMMER, -91),
        replace(SUMMER, interval="5m"),
        replace(SUMMER, data_sha256="e" * 64),
        replace(SUMMER, family="renamed"),
    ],
    ids=["newer bars among old ones", "older bars", "interval", "data", "family"],
)
def test_the_very_same_spec_is_given_its_old_opening_however_it_asks(vault: Vault, change: Sealed) -> None:
    first = vault.open(SUMMER)
    assert vault.open(change) == first
    assert vault.openings(change.family) == ([first] if change.family == SUMMER.family else [])


@pytest.mark.parametrize(
    "other",
    [
        later(SUMMER, 92),
        replace(SUMMER, symbol="ETHUSDT"),
        replace(SUMMER, family="mr-washout", spec_sha256="c" * 64),
    ],
    ids=["newer bars", "another symbol", "another family"],
)
def test_newer_bars_other_markets_and_other_families_may_be_opened(vault: Vault, other: Sealed) -> None:
    vault.open(SUMMER)
    assert vault.open(other).number == 2


def test_a_restart_is_given_its_old_opening_even_after_a_newer_one(home: Home, vault: Vault) -> None:
    first = vault.open(SUMMER)
    autumn = vault.open(later(SUMMER, 92))
    again = LearningDb(home.learning_db)
    restarted = Vault(again, Clock(scale=1e-6, origin_ms=NOW_MS + DAY_MS))
    assert restarted.open(SUMMER) == first
    assert restarted.openings("mo-breakout") == [first, autumn]
    again.close()


def sketched(returns: NDArray[np.float64], *, first_day: int = 20_000) -> bytes:
    sketch = return_sketch(returns, (first_day + np.arange(len(returns))) * DAY_MS)
    assert sketch is not None
    return sketch


RETURNS = np.random.default_rng(1).normal(0.0, 0.01, 400)


def nearly(correlation: float) -> NDArray[np.float64]:
    """Returns that go with `RETURNS` as closely as asked."""
    own = np.random.default_rng(2).normal(0.0, 0.01, len(RETURNS))
    return correlation * RETURNS + (1.0 - correlation**2) ** 0.5 * own


def test_a_copy_under_another_name_is_known_for_one_by_what_it_did(vault: Vault) -> None:
    vault.open(SUMMER, sketch=sketched(RETURNS))
    for copy in (RETURNS, 3.0 * RETURNS, nearly(0.95)):
        assert vault.family_of("b" * 64, symbol="BTCUSDT", sketch=sketched(copy)) == "mo-breakout"
    for other in (nearly(0.3), -RETURNS):
        assert vault.family_of("b" * 64, symbol="BTCUSDT", sketch=sketched(other)) == "b" * 64
    assert vault.family_of("b" * 64, symbol="ETHUSDT", sketch=sketched(RETURNS)) == "b" * 64


def test_a_spec_stays_in_the_family_it_was_opened_in_whatever_it_does_later(vault: Vault) -> None:
    vault.open(SUMMER, sketch=sketched(RETURNS))
    for sketch in (None, sketched(nearly(0.0))):
        assert vault.family_of(SUMMER.spec_sha256, symbol="BTCUSDT", sketch=sketch) == "mo-breakout"


def test_who_has_no_sketch_or_hardly_shares_a_day_is_not_known_to_be_a_copy(vault: Vault) -> None:
    vault.open(SUMMER, sketch=sketched(RETURNS))
    assert vault.family_of("b" * 64, symbol="BTCUSDT", sketch=None) == "b" * 64
    shifted = sketched(np.concatenate((RETURNS[-20:], nearly(0.0))), first_day=20_000 + len(RETURNS) - 20)
    assert vault.family_of("b" * 64, symbol="BTCUSDT", sketch=shifted) == "b" * 64
    vault.open(replace(SUMMER, family="unsketched", spec_sha256="c" * 64))
    assert vault.family_of("d" * 64, symbol="BTCUSDT", sketch=sketched(nearly(0.0))) == "d" * 64


def test_of_two_families_it_goes_with_the_first_opened_takes_it(vault: Vault) -> None:
    vault.open(SUMMER, sketch=sketched(RETURNS))
    vault.open(replace(SUMMER, family="second", spec_sha256="c" * 64), sketch=sketched(RETURNS))
    assert vault.family_of("d" * 64, symbol="BTCUSDT", sketch=sketched(RETURNS)) == "mo-breakout"


def test_of_many_writers_one_opens_it(home: Home, db: LearningDb, clock: Clock) -> None:
    def write(writer: int) -> int | None:
        mine = LearningDb(home.learning_db)
        try:
            return Vault(mine, clock).open(replace(SUMMER, spec_sha256=str(writer) * 64)).number
        except VaultError:
            return None
        finally:
            mine.close()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(write, range(8)))
    assert sorted(number for number in found if number is not None) == [1]
    assert len(Vault(db, clock).openings("mo-breakout")) == 1


def test_what_was_opened_before_a_kill_stays_opened(home: Home, vault: Vault) -> None:
    program = (
        "import os, sys; from pathlib import Path\n"
        "from ai_brain.learning_db import LearningDb; from ai_brain.evidence.vault import *\n"
        "from trading.domain.clock import Clock\n"
        f"Vault(LearningDb(Path(sys.argv[1])), Clock()).open({SUMMER!r})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(home.learning_db)], check=False)
    assert done.returncode == -9
    with pytest.raises(VaultError):
        vault.open(replace(SUMMER, spec_sha256="b" * 64))


@pytest.mark.parametrize("statement", ["DELETE FROM vault_openings", "UPDATE vault_openings SET end_ms = 0"])
def test_the_file_itself_refuses_to_forget_an_opening(home: Home, vault: Vault, statement: str) -> None:
    vault.open(SUMMER)
    with (
        closing(sqlite3.connect(home.learning_db)) as other,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        other.execute(statement)


def test_an_opening_that_cannot_be_written_is_not_given(home: Home, vault: Vault, db: LearningDb) -> None:
    with closing(sqlite3.connect(home.learning_db)) as other:
        other.execute("DROP TABLE vault_openings")
    with pytest.raises(StateFileError, match="no such table"):
        vault.open(SUMMER)


def test_a_stretch_without_time_or_name_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no time"):
        replace(SUMMER, end_ms=SUMMER.start_ms)
    with pytest.raises(ValueError, match="family is empty"):
        replace(SUMMER, family="")
