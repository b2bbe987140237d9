"""The files of strategies: in the right folder, whole after any crash, shared by many processes."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest

from tests.trading.strategy.examples import AT_MS, approved, carry_spec, moved, rule_spec, rules
from trading.domain.errors import SpecError, StateFileError
from trading.storage.lock import waiting_lock
from trading.strategy import repository as module
from trading.strategy.lifecycle import Stage
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import StrategySpec, dump_spec, spec_sha256, with_performance


class PowerFailedError(Exception):
    """Raised in the place of a crash."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "strategies"


@pytest.fixture
def repository(folder: Path) -> StrategyRepository:
    return StrategyRepository(folder)


def put(folder: Path, where: str, spec: StrategySpec) -> Path:
    path = folder / where / f"{spec.id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dump_spec(spec))
    return path


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != ".lock")


def test_an_empty_lab_has_no_strategies_and_reading_makes_no_folder(
    repository: StrategyRepository, folder: Path
) -> None:
    assert repository.all() == []
    assert repository.problems == ()
    assert not folder.exists()


def test_a_saved_strategy_lies_in_the_folder_of_its_status_and_nowhere_else(
    repository: StrategyRepository, folder: Path
) -> None:
    spec = rule_spec()
    assert repository.save(spec) == folder / "testing" / f"{spec.id}.json"
    spec = approved(spec)
    repository.save(spec)
    assert files(folder) == [f"active/{spec.id}.json"]
    back = moved(spec, Stage.LIVE_TESTING, Stage.DRY_RUN)
    repository.save(back)
    assert files(folder) == [f"testing/{spec.id}.json"]
    repository.save(moved(back, Stage.RETIRED))
    assert files(folder) == [f"retired/{spec.id}.json"]
    assert StrategyRepository(folder).all() == [moved(back, Stage.RETIRED)]


def test_strategies_are_found_by_id_prefix_and_stage(repository: StrategyRepository) -> None:
    first, second = rule_spec(), moved(rule_spec("rsi(14) < 20"), Stage.BACKTESTING)
    carry, gone = carry_spec(), moved(rule_spec("rsi(14) < 21"), Stage.RETIRED)
    for spec in (first, second, carry, gone):
        repository.save(spec)
    assert [s.id for s in repository.all()] == sorted(s.id for s in (first, second, carry, gone))
    assert repository.get(first.id) == first
    assert repository.get("fc-") == carry
    assert repository.by_stage(Stage.GENERATED) == sorted([first, carry], key=lambda s: s.id)
    assert repository.by_stage(Stage.BACKTESTING, Stage.RETIRED) == sorted([second, gone], key=lambda s: s.id)
    assert repository.by_stage(Stage.SCALING) == []
    assert repository.living() == sorted([first, second, carry], key=lambda s: s.id)
    assert repository.count_by_stage() == {Stage.GENERATED: 2, Stage.BACKTESTING: 1, Stage.RETIRED: 1}


def test_the_retired_are_counted_and_known_without_being_read(
    repository: StrategyRepository, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    living, *gone = rule_spec(), *(moved(rule_spec(f"rsi(14) < {level}"), Stage.RETIRED) for level in (21, 22))
    for spec in (living, *gone):
        repository.save(spec)
    fresh, read = StrategyRepository(folder), list[str]()
    plain = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (read.append(path.stem), plain(path))[1])
    assert fresh.living() == [living]
    assert fresh.count_by_stage() == {Stage.GENERATED: 1, Stage.RETIRED: 2}
    assert fresh.get(living.id) == living
    known = fresh.known()
    assert spec_sha256(living) in known
    assert spec_sha256(rule_spec("rsi(14) < 23")) not in known
    assert read == [living.id], "and what has not changed is read once"
    assert spec_sha256(gone[0]) in known
    assert read == [living.id, gone[0].id]
    assert fresh.get(gone[1].id) == gone[1]
    assert read[2:] == [gone[1].id], "of the retired, what is asked for"


def test_an_unknown_id_lists_the_known_ones_and_a_short_prefix_its_candidates(repository: StrategyRepository) -> None:
    with pytest.raises(SpecError, match="unknown; known: none yet"):
        repository.get("mr-1")
    specs = [rule_spec(f"rsi(14) < {level}") for level in range(10, 25)]
    for spec in specs:
        repository.save(spec)
    with pytest.raises(SpecError) as unknown:
        repository.get("xx")
    assert sum(spec.id in str(unknown.value) for spec in specs) == 12
    assert "and 3 more" in str(unknown.value)
    for short in ("mr-", "mr-2026"):
        with pytest.raises(SpecError, match="write more of it"):
            repository.get(short)
    with pytest.raises(SpecError, match="unknown"):
        repository.get("")


def test_an_unreadable_file_is_set_aside_listed_and_never_overwritten(
    repository: StrategyRepository, folder: Path
) -> None:
    good, bad = rule_spec(), carry_spec()
    repository.save(good)
    path = put(folder, "testing", bad)
    path.write_bytes(b'{"id": 3')
    assert repository.all() == [good]
    assert files(folder) == [f"testing/{bad.id}.json.bad-1", f"testing/{good.id}.json"]
    assert [bad.id in line and "not JSON" in line for line in repository.problems] == [True]
    again = StrategyRepository(folder)
    assert again.all() == [good]
    assert len(again.problems) == 1
    repository.save(bad)
    assert path.with_name(f"{path.name}.bad-1").read_bytes() == b'{"id": 3'
    with pytest.raises(SpecError, match="its file could not be read"):
        StrategyRepository(folder).get(f"{bad.id}.")


def test_who_only_looks_changes_nothing(folder: Path) -> None:
    path = put(folder, "testing", rule_spec())
    path.write_bytes(b"junk")
    put(folder, "testing", carry_spec())
    retired = moved(carry_spec(), Stage.RETIRED)
    put(folder, "retired", retired)
    before = files(folder)
    looker = StrategyRepository(folder, repair=False)
    assert looker.all() == [retired]
    assert len(looker.problems) == 1
    assert files(folder) == before
    assert not (folder / ".lock").exists()


def test_a_file_is_named_by_its_id(repository: StrategyRepository, folder: Path) -> None:
    put(folder, "testing", rule_spec()).rename(folder / "testing" / "mine.json")
    assert repository.all() == []
    assert "a strategy's file is named by its id" in repository.problems[0]


def test_what_the_system_does_not_let_us_read_is_a_problem_and_stays(
    repository: StrategyRepository, folder: Path
) -> None:
    spec = rule_spec()
    (folder / "testing" / f"{spec.id}.json").mkdir(parents=True)
    assert repository.all() == []
    assert "cannot be read: Is a directory" in repository.problems[0]
    with pytest.raises(StateFileError):
        repository.save(spec)


def test_a_file_alone_in_the_wrong_folder_is_not_believed(repository: StrategyRepository, folder: Path) -> None:
    put(folder, "active", rule_spec())
    assert repository.all() == []
    assert "status=testing belongs in testing/; move the file there" in repository.problems[0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (moved(rule_spec(), Stage.BACKTESTING, Stage.DRY_RUN, Stage.REVIEW), approved(rule_spec())),
        (approved(rule_spec()), moved(approved(rule_spec()), Stage.DRY_RUN)),
        (moved(rule_spec(), Stage.BACKTESTING), moved(rule_spec(), Stage.BACKTESTING, Stage.RETIRED)),
    ],
    ids=["approval", "step back", "retirement"],
)
def test_a_crash_between_writing_and_removing_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, before: StrategySpec, after: StrategySpec
) -> None:
    repository = StrategyRepository(folder)
    repository.save(before)

    def crash(_path: Path) -> None:
        raise PowerFailedError

    with monkeypatch.context() as patch:
        patch.setattr(module, "_remove", crash)
        with pytest.raises(PowerFailedError):
            repository.save(after)
    assert len(files(folder)) == 2
    woken = StrategyRepository(folder)
    assert woken.by_stage(before.stage) == ([after] if after.stage is before.stage else [])
    assert woken.all() == [after]
    assert len(files(folder)) == 1
    assert woken.problems == ()


def test_a_crash_before_the_rename_leaves_the_old_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = StrategyRepository(folder)
    repository.save(rule_spec())

    def crash(_self: Path, _target: Path) -> None:
        raise PowerFailedError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crash)
        with pytest.raises(PowerFailedError):
            repository.save(moved(rule_spec(), Stage.RETIRED))
    assert StrategyRepository(folder).all() == [rule_spec()]


def test_two_files_that_contradict_each_other_are_not_merged(repository: StrategyRepository, folder: Path) -> None:
    longer = moved(approved(rule_spec()), Stage.LIVE_TESTING)
    put(folder, "active", longer)
    put(folder, "retired", moved(rule_spec(), Stage.RETIRED))
    assert repository.all() == [longer]
    assert "its history contradicts" in repository.problems[0]
    assert f"retired/{longer.id}.json.bad-1" in files(folder)


def test_a_writer_that_did_not_see_a_move_is_refused(repository: StrategyRepository) -> None:
    spec = moved(rule_spec(), Stage.BACKTESTING)
    repository.save(spec)
    repository.save(moved(spec, Stage.RETIRED))
    for stale in (spec, with_performance(spec, "dry_run", {"trades": 1}), moved(spec, Stage.DRY_RUN)):
        with pytest.raises(StateFileError, match="somebody else moved it; load it again"):
            repository.save(stale)
    assert repository.get(spec.id).stage is Stage.RETIRED


def test_new_figures_of_the_same_life_are_written(repository: StrategyRepository) -> None:
    repository.save(rule_spec())
    better = with_performance(rule_spec(), "dry_run", {"trades": 3})
    repository.save(better)
    assert repository.get(better.id).performance.dry_run == {"trades": 3}


def test_parameters_of_a_stored_strategy_do_not_change(repository: StrategyRepository) -> None:
    spec = rule_spec()
    repository.save(spec)
    for other in (
        spec.model_copy(update={"parameters": rules("rsi(14) < 27")}),
        rule_spec(at_ms=AT_MS + 1000),
    ):
        assert other.id == spec.id
        with pytest.raises(StateFileError, match="another strategy, or its parameters were changed"):
            repository.save(other)
    assert repository.all() == [spec]


def test_a_spec_that_would_not_load_again_is_not_written(repository: StrategyRepository, folder: Path) -> None:
    with pytest.raises(SpecError, match="status=live does not go with stage=generated"):
        repository.save(rule_spec().model_copy(update={"status": "live"}))
    assert not folder.exists()


def test_a_stored_file_that_cannot_be_read_stops_the_save(repository: StrategyRepository, folder: Path) -> None:
    path = put(folder, "testing", rule_spec())
    path.write_bytes(b"junk")
    with pytest.raises(StateFileError, match=r"set aside as .*was not saved"):
        repository.save(rule_spec())
    assert path.with_name(f"{path.name}.bad-1").read_bytes() == b"junk"


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "strategies").write_text("a file")
    with pytest.raises(StateFileError, match="cannot be written"):
        StrategyRepository(tmp_path / "strategies").save(rule_spec())


def test_a_change_by_hand_is_seen_by_a_reader_that_has_read_before(
    repository: StrategyRepository, folder: Path
) -> None:
    repository.save(rule_spec())
    assert repository.all() == [rule_spec()]
    renamed = rule_spec().model_copy(update={"name": "renamed by hand"})
    put(folder, "testing", renamed)
    assert repository.all() == [renamed]


def test_a_strategy_that_left_its_folder_is_remembered_no_more_and_found_again_where_it_went(
    repository: StrategyRepository, folder: Path
) -> None:
    first, left, gone = rule_spec(), carry_spec(), rule_spec("rsi(14) < 25")
    for spec in (first, left, gone):
        repository.save(spec)
    kept = {spec.id: weakref.ref(spec) for spec in repository.living()}
    repository.save(moved(left, Stage.RETIRED))
    (folder / "testing" / f"{gone.id}.json").unlink()  # by another hand
    assert repository.living() == [first]
    gc.collect()
    assert {spec_id for spec_id, held in kept.items() if held() is not None} == {first.id}
    assert repository.of_id(left.id) == moved(left, Stage.RETIRED)
    assert repository.of_id(gone.id) is None
    put(folder, "testing", gone)
    assert {spec.id for spec in repository.living()} == {first.id, gone.id}


def test_what_was_read_ahead_is_not_read_again_and_what_cannot_be_read_is_left_to_who_asks(
    repository: StrategyRepository, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.read_ahead()  # nothing is there yet
    good, over = rule_spec(), moved(carry_spec(), Stage.RETIRED)
    put(folder, "testing", good)
    put(folder, "retired", over)
    (folder / "testing" / "mr-20260121-abcdef.json").write_text("{")
    with waiting_lock(folder / ".lock"):
        repository.read_ahead()  # a writer is not waited for
    assert repository.problems == ()
    assert files(folder) == [
        f"retired/{over.id}.json", f"testing/{good.id}.json", "testing/mr-20260121-abcdef.json"
    ]  # fmt: skip
    load, read = module.load_spec, list[str]()
    monkeypatch.setattr(module, "load_spec", lambda raw, where: read.append(Path(where).stem) or load(raw, where=where))
    assert repository.living() == [good]
    assert read == ["mr-20260121-abcdef"]
    assert len(repository.problems) == 1


def test_a_reader_waits_for_a_writer_so_that_it_never_looks_into_half_a_move(folder: Path) -> None:
    reader = StrategyRepository(folder)
    reader.save(rule_spec())
    look = threading.Thread(target=reader.all)
    with waiting_lock(folder / ".lock"):
        look.start()
        look.join(0.2)
        assert look.is_alive()
        assert StrategyRepository(folder, repair=False).all() == [rule_spec()]
    look.join(10)
    assert not look.is_alive()


WRITER = """
import sys
from pathlib import Path
from trading.domain.errors import StateFileError
from trading.strategy.lifecycle import LEGAL_MOVES, Stage, approve, move
from trading.strategy.repository import StrategyRepository
name, saved, round = sys.argv[2], 0, 0
while saved < 12:
    round += 1
    spec = StrategyRepository(Path(sys.argv[1])).all()[0]
    if spec.stage is Stage.REVIEW and spec.approved_at is None:
        new = approve(spec, by=name, at_ms=round * 1000, evidence_sha256="e", signature="s")
    else:
        road = {Stage.DRY_RUN: Stage.REVIEW, Stage.REVIEW: Stage.DRY_RUN}
        new = move(spec, road[spec.stage], by=name, why=str(round), at_ms=round * 1000)
    try:
        StrategyRepository(Path(sys.argv[1])).save(new)
    except StateFileError:
        continue
    saved += 1
"""


def test_many_processes_lose_no_move_and_a_reader_never_misses_the_strategy(folder: Path) -> None:
    start = moved(rule_spec(), Stage.BACKTESTING, Stage.DRY_RUN)
    reader = StrategyRepository(folder)
    reader.save(start)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(folder), name]) for name in ("a", "b", "c")]
    seen = 0
    try:
        while any(writer.poll() is None for writer in writers):
            (spec,) = reader.all()
            assert len(spec.history) >= seen
            seen = len(spec.history)
    finally:
        for writer in writers:
            writer.terminate()
            writer.wait()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    (spec,) = reader.all()
    assert len(spec.history) == 2 + 3 * 12
    assert {name: sum(m.by == name for m in spec.history) for name in ("a", "b", "c")} == {"a": 12, "b": 12, "c": 12}
    assert reader.problems == ()
    assert len(files(folder)) == 1
