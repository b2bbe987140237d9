"""What rehearsals leave behind, and what status, doctor and the gate say of it."""

from __future__ import annotations

import pytest

from ops.doctor.checks import Health, drills_check
from ops.drill.filed import REHEARSALS, Drill, drills_file, file_drill, read_drills, standing
from ops.drill.play import lab_version, run_drill, table
from ops.status import read_status
from trading.domain.clock import Clock
from trading.domain.errors import SettingsError, StateFileError
from trading.execution.intent_records import Purpose
from trading.execution.intents import Intents
from trading.storage.home import Home
from trading.storage.lock import only_one

DAY_MS = 86_400_000
NOW_MS = 1_800_000_000_000


def drill(name: str, *, days_ago: float = 0.0, passed: bool = True, why_not: str = "") -> Drill:
    at_ms = NOW_MS - int(days_ago * DAY_MS)
    return Drill(at_ms, "sandbox", "0123456789ab", name, passed, {"flat": 1.25}, why_not)


def all_four(days_ago: float = 0.0) -> list[Drill]:
    return [drill(name, days_ago=days_ago) for name in REHEARSALS]


def test_a_drill_comes_back_as_it_was_filed(home: Home) -> None:
    filed = [drill("stop"), drill("leg", passed=False, why_not="one leg stood alone for 31.0 s, 20 are allowed")]
    for one in filed:
        file_drill(home, one)
    assert list(read_drills(home)) == filed


def test_a_torn_or_foreign_line_counts_as_not_there(home: Home) -> None:
    file_drill(home, drill("stop"))
    with drills_file(home).open("ab") as file:
        file.write(b'[1]\n{"schema": 1, "passed": "yes"}\n{"schema": 9}\n{"schema": 1, "at": "2027')
    assert [one.rehearsal for one in read_drills(home)] == ["stop"]


def test_all_four_passed_lately_is_fresh_and_says_when() -> None:
    found = standing([*all_four(3.5), drill("stop")], now_ms=NOW_MS)
    assert found.is_fresh
    assert found.words == "stop, crash, leg, key passed, the first of them 3 days ago (sandbox)"


@pytest.mark.parametrize(
    ("drills", "words"),
    [
        ([], "never rehearsed"),
        (all_four(31), "stop passed 31 days ago; crash passed 31 days ago; leg passed 31 days ago; key passed"),
        (all_four()[:3], "key never rehearsed"),
        ([*all_four(1), drill("crash", passed=False, why_not="sent twice")], "crash FAILED today: sent twice"),
    ],
)
def test_what_is_missing_old_or_failed_is_named(drills: list[Drill], words: str) -> None:
    found = standing(drills, now_ms=NOW_MS)
    assert not found.is_fresh
    assert words in found.words


def test_status_and_doctor_say_how_the_rehearsals_stand(home: Home) -> None:
    clock = Clock()
    assert read_status(home, clock).drills == "never rehearsed"
    assert drills_check(home, clock).health is Health.WARNING
    for name in REHEARSALS:
        file_drill(home, Drill(clock.system_ms(), "demo", "0123456789ab", name, passed=True))
    assert "passed, the first of them today (demo)" in read_status(home, clock).drills
    assert drills_check(home, clock).health is Health.GOOD


def test_the_table_tells_seconds_and_why_not() -> None:
    shown = table([drill("stop"), drill("leg", passed=False, why_not="nobody was told")])
    assert [line.split() for line in shown] == [
        ["rehearsal", "passed", "seconds"],
        ["stop", "yes", "flat", "1.25"],
        ["leg", "NO", "flat", "1.25"],
        ["nobody", "was", "told"],
    ]
    assert len(lab_version()) == 12


def test_the_live_venue_and_an_unknown_rehearsal_are_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    with pytest.raises(SettingsError, match="never on the live venue"):
        run_drill("live", ())
    with pytest.raises(SettingsError, match="--only fire: no such rehearsal; there are stop, crash, leg, key"):
        run_drill("sandbox", ("fire",))


def test_the_demo_venue_is_refused_with_live_keys_beside_a_position_and_beside_a_running_lab(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    with pytest.raises(SettingsError, match="needs BINANCE_TESTNET=true"):
        run_drill("demo", ())
    monkeypatch.setenv("BINANCE_API_KEY", "of-the-real-account")
    monkeypatch.setenv("BINANCE_API_SECRET", "real")
    with pytest.raises(SettingsError, match="never played with live keys"):
        run_drill("demo", ())
    monkeypatch.setenv("BINANCE_TESTNET", "true")
    with only_one(home.lock_file, what="the lab"), pytest.raises(StateFileError, match="the lab already runs"):
        run_drill("demo", ())
    intents = Intents(home.intents_file)
    intents.begin("c-000007", Purpose.OPEN, "BTCUSDT", (1, 1), leverage=1, at_ms=NOW_MS)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="the lab holds c-000007; close it first"):
        run_drill("demo", ())
    assert not drills_file(home).exists()
