"""The stream of candidates: one level a place, one answer a spec, and nothing is taken back."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain

import pytest

from ai_brain.evidence.candidate_stream import CandidateStream, Decision
from ai_brain.learning_db import LearningDb
from trading.domain.clock import Clock
from trading.domain.errors import SettingsError, StateFileError
from trading.storage.home import Home

NOW_MS = 1_700_000_000_000
P_VALUES = (0.2, 1e-5, 0.9, 0.0005, 0.6, 1e-9, 0.04)
ZETA = 2.285765637
"""Of 1.6: what is spent of a wealth at the j-th test after it was earned is j^-1.6 / zeta(1.6)."""


@pytest.fixture
def clock() -> Clock:
    return Clock(scale=1e-6, origin_ms=NOW_MS)


@pytest.fixture
def stream(db: LearningDb, clock: Clock) -> CandidateStream:
    return CandidateStream(db, clock, 0.1)


def lord_by_hand(p_values: Sequence[float], *, q: float = 0.1) -> tuple[list[float], list[bool]]:
    """Levels and answers of LORD++ as Ramdas et al. (2017) have it, with w0 = 0.9 q and the spending j^-1.6."""
    levels, found = list[float](), list[int]()
    for place, p_value in enumerate(p_values, 1):
        earned = [(0.9 * q, 0), *((0.1 * q if number == 0 else q, at) for number, at in enumerate(found))]
        levels.append(sum(wealth * (place - since) ** -1.6 / ZETA for wealth, since in earned))
        if p_value <= levels[-1]:
            found.append(place)
    return levels, [place in found for place in range(1, len(levels) + 1)]


def assert_is_one_stream_of_lord(rows: list[dict[str, object]]) -> None:
    """Every place was taken once, and each level is what LORD++ gives to the whole stream in that order."""
    assert [row["place"] for row in rows] == list(range(1, len(rows) + 1))
    levels, found = lord_by_hand([row["p_value"] for row in rows])  # type: ignore[misc]  # floats
    assert [row["level"] for row in rows] == pytest.approx(levels, rel=1e-7)
    assert [row["rejected"] for row in rows] == found


def test_candidates_are_tested_one_by_one_at_the_levels_of_lord(stream: CandidateStream) -> None:
    levels, found = lord_by_hand(P_VALUES)
    for number, p_value in enumerate(P_VALUES):
        decision = stream.decide(spec_sha256=f"{number}", family="momentum", p_value=p_value)
        assert decision == Decision(pytest.approx(levels[number], rel=1e-7), found[number], number + 1, p_value)
    assert found.count(True) == 4
    assert levels[0] == pytest.approx(0.0393741, rel=1e-5), "44 % of nine tenths of q go to the first candidate"
    assert_is_one_stream_of_lord(stream.candidates())


def test_everything_asked_stands_on_record(stream: CandidateStream) -> None:
    decision = stream.decide(spec_sha256="a" * 64, family="funding_carry", p_value=0.001)
    assert stream.candidates() == [
        {
            "place": 1,
            "at_ms": NOW_MS,
            "spec_sha256": "a" * 64,
            "family": "funding_carry",
            "p_value": 0.001,
            "q": 0.1,
            "level": decision.level,
            "rejected": True,
        }
    ]


def test_a_spec_asked_twice_gets_its_first_answer_and_no_second_draw(stream: CandidateStream) -> None:
    first = stream.decide(spec_sha256="one", family="momentum", p_value=0.3)
    stream.decide(spec_sha256="two", family="momentum", p_value=0.4)
    assert stream.decide(spec_sha256="one", family="momentum", p_value=1e-12) == first
    assert not first.rejected
    assert len(stream.candidates()) == 2


def test_what_the_next_would_be_tested_at_is_known_before_it_comes_and_takes_no_place(stream: CandidateStream) -> None:
    for number, p_value in enumerate(P_VALUES):
        foreseen = stream.next_level()
        assert stream.next_level() == foreseen
        assert stream.decide(spec_sha256=f"{number}", family="momentum", p_value=p_value).level == foreseen
    assert len(stream.candidates()) == len(P_VALUES)


def test_the_stream_goes_on_after_a_restart(home: Home, clock: Clock) -> None:
    for number, p_value in enumerate(P_VALUES):
        db = LearningDb(home.learning_db)
        stream = CandidateStream(db, clock, 0.1)
        stream.decide(spec_sha256=f"{number}", family="momentum", p_value=p_value)
        rows = stream.candidates()
        db.close()
    assert len(rows) == len(P_VALUES)
    assert_is_one_stream_of_lord(rows)


def test_threads_that_ask_at_once_take_each_place_and_each_spec_once(
    home: Home, stream: CandidateStream, clock: Clock
) -> None:
    def ask(writer: int) -> dict[str, Decision]:
        db = LearningDb(home.learning_db)
        own = CandidateStream(db, clock, 0.1)
        # Half of the specs are every writer's, half are its own.
        specs = [(f"{writer if number % 2 else 'shared'} {number}", 10.0 ** -(number + writer)) for number in range(8)]
        answers = {spec: own.decide(spec_sha256=spec, family="momentum", p_value=p) for spec, p in specs}
        db.close()
        return answers

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(ask, range(5)))
    rows = stream.candidates()
    assert len(rows) == 4 + 5 * 4
    assert_is_one_stream_of_lord(rows)
    on_record = {
        row["spec_sha256"]: Decision(row["level"], row["rejected"], row["place"], row["p_value"])  # type: ignore[arg-type]  # plain values
        for row in rows
    }
    for told in answers:
        assert all(on_record[spec] == decision for spec, decision in told.items())


def test_processes_that_ask_at_once_never_use_the_same_level(home: Home, stream: CandidateStream) -> None:
    program = (
        "import json, sys; from pathlib import Path\n"
        "from ai_brain.evidence.candidate_stream import CandidateStream\n"
        "from ai_brain.learning_db import LearningDb; from trading.domain.clock import Clock\n"
        "stream = CandidateStream(LearningDb(Path(sys.argv[1])), Clock(), 0.1)\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "told = [stream.decide(spec_sha256=sys.argv[2] + str(n), family='momentum', p_value=0.5) for n in range(20)]\n"
        "print(json.dumps([one.place for one in told]))\n"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(home.learning_db), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("left", "right")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    places = [json.loads(writer.communicate()[0]) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(chain.from_iterable(places)) == list(range(1, 41))
    assert_is_one_stream_of_lord(stream.candidates())


@pytest.mark.parametrize("statement", ["DELETE FROM candidates", "UPDATE candidates SET rejected = 1"])
def test_the_file_itself_refuses_to_change_or_forget_an_answer(
    home: Home, stream: CandidateStream, statement: str
) -> None:
    stream.decide(spec_sha256="one", family="momentum", p_value=0.3)
    with (
        closing(sqlite3.connect(home.learning_db)) as other,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        other.execute(statement)


def test_another_q_in_the_middle_of_a_stream_is_refused_and_nothing_is_written(
    db: LearningDb, stream: CandidateStream, clock: Clock
) -> None:
    first = stream.decide(spec_sha256="one", family="momentum", p_value=0.3)
    other = CandidateStream(db, clock, 0.2)
    with pytest.raises(SettingsError, match=r"q=0.2.*begun with q=0.1"):
        other.decide(spec_sha256="two", family="momentum", p_value=0.3)
    assert len(stream.candidates()) == 1
    assert other.decide(spec_sha256="one", family="momentum", p_value=0.3) == first


@pytest.mark.parametrize("p_value", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_p_value_that_is_none_is_refused_and_takes_no_place(stream: CandidateStream, p_value: float) -> None:
    with pytest.raises(ValueError, match=f"p_value={p_value}"):
        stream.decide(spec_sha256="one", family="momentum", p_value=p_value)
    assert stream.candidates() == []


@pytest.mark.parametrize("q", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_that_is_none_is_refused(db: LearningDb, clock: Clock, q: float) -> None:
    with pytest.raises(ValueError, match=f"q={q}"):
        CandidateStream(db, clock, q)


def test_a_file_that_cannot_be_written_gives_no_answer(home: Home, stream: CandidateStream) -> None:
    with closing(sqlite3.connect(home.learning_db)) as other:
        other.execute("DROP TABLE candidates")
    with pytest.raises(StateFileError, match="no such table"):
        stream.decide(spec_sha256="one", family="momentum", p_value=1e-9)
