"""Threads, processes and a farm give the bytes of `simulate_population`, whatever happens to their workers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.farm_services import is_alive, until
from tests.trading.simulator.markets import RULE_LISTS, random_tape, rule_spec
from trading.domain.errors import FarmError, SpecError
from trading.domain.instrument import Market
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.executors import parts
from trading.simulator.executors.parts import Terms, Threads, cut, work
from trading.simulator.executors.processes import Processes
from trading.simulator.population import PopulationResult
from trading.strategy.spec import StrategySpec

TERMS = Terms(Costs(impact_k=0.4), MarketRules(lot=0.001, min_notional=5.0), entry_delay_bars=1, keep_trades=True)
TAPE = random_tape(5, 3_000)


def population(count: int) -> list[StrategySpec]:
    """Different strategies of all kinds of rules."""
    return [
        rule_spec(lists=RULE_LISTS[k % len(RULE_LISTS)], stop_loss_atr=1.0 + k / 100, take_profit_atr=2.0)
        for k in range(count)
    ]


def assert_same_bytes(found: PopulationResult, wanted: PopulationResult) -> None:
    assert found.scores.tobytes() == wanted.scores.tobytes()
    assert [rows.tobytes() for rows in found.trades] == [rows.tobytes() for rows in wanted.trades]
    assert (found.bars, found.tape_hash) == (wanted.bars, wanted.tape_hash)
    assert not any(array.flags.writeable for array in (found.scores, *found.trades))


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with Processes(2) as executor:
        yield executor


def test_parts_are_of_about_a_second_and_every_strategy_is_in_one_of_them() -> None:
    specs = population(500)
    without = Terms(TERMS.costs, TERMS.rules)
    for tape, terms, workers in ((TAPE, without, 1), (TAPE, without, 7), (TAPE, TERMS, 2), (TAPE, without, 600)):
        found = cut(tape, specs, terms, workers)
        assert [spec for part in found for spec in part.specs] == specs
        assert len(found) >= min(workers, len(specs))
        assert max(len(part.specs) for part in found) * len(tape) <= parts.STRATEGY_BARS_A_PART
    assert len(cut(TAPE, specs, TERMS, 1)) == 2 * len(cut(TAPE, specs, without, 1))


@pytest.mark.parametrize("count", [1, 2, 150])
def test_threads_and_processes_give_the_bytes_of_one_thread(processes: Processes, count: int) -> None:
    specs = population(count)
    wanted = work(TAPE, specs, TERMS)
    assert sum(len(rows) for rows in wanted.trades) > 0
    for executor in (Threads(2), processes):
        assert_same_bytes(executor.evaluate(TAPE, specs, TERMS), wanted)


def test_the_tape_goes_to_each_process_once(processes: Processes) -> None:
    tape, before = random_tape(6, 400), processes.tapes_sent()
    for _ in range(3):
        processes.evaluate(tape, population(4), TERMS)
    assert 1 <= processes.tapes_sent() - before <= 2


def test_what_is_wrong_with_a_strategy_is_told_as_without_an_executor(processes: Processes) -> None:
    stranger = rule_spec(market=Market.SPOT)
    for executor in (Threads(2), processes):
        with pytest.raises(SpecError, match="no specs"):
            executor.evaluate(TAPE, [], TERMS)
        with pytest.raises(SpecError, match=stranger.id):
            executor.evaluate(TAPE, [*population(3), stranger], TERMS)


LONG = random_tape(9, 20_000)
SCORES_ONLY = Terms(TERMS.costs, TERMS.rules)


def test_a_process_killed_in_the_middle_loses_nothing(processes: Processes) -> None:
    specs, executor = population(1_200), processes
    with ThreadPoolExecutor(1) as aside:
        executor.evaluate(TAPE, specs[:2], SCORES_ONLY)  # both are up
        victim, sent = executor.pids()[0], executor.tapes_sent()
        evaluation = aside.submit(executor.evaluate, LONG, specs, SCORES_ONLY)
        until(lambda: executor.tapes_sent() == sent + 2)  # each is at one half, which takes it a while
        os.kill(victim, signal.SIGKILL)
        assert not evaluation.done()
        found = evaluation.result()
        assert victim not in executor.pids()
        assert executor.tapes_sent() == sent + 3  # and one for whom took the dead one's place
    assert_same_bytes(found, work(LONG, specs, SCORES_ONLY))


class Poison:
    """Stands among strategies; whoever unpacks it dies."""

    id = "mr-poison"

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (9,)


def poisoned(count: int) -> list[StrategySpec]:
    return [*population(count), Poison()]  # type: ignore[list-item]


def test_a_part_that_kills_its_processes_is_given_up_by_name(processes: Processes) -> None:
    specs = poisoned(8)
    with pytest.raises(FarmError, match=r"^processes: 3 workers died one after another at strategies .*") as refusal:
        processes.evaluate(TAPE, specs, TERMS)
    assert "mr-poison" in str(refusal.value)
    assert specs[0].id not in str(refusal.value)
    assert_same_bytes(processes.evaluate(TAPE, specs[:8], TERMS), work(TAPE, specs[:8], TERMS))


async def test_the_event_loop_goes_on_while_processes_work(processes: Processes) -> None:
    specs, worst_s = population(1_200), 0.0
    evaluation = asyncio.create_task(asyncio.to_thread(processes.evaluate, LONG, specs, SCORES_ONLY))
    beats, before_s = 0, time.monotonic()
    while not evaluation.done():
        await asyncio.sleep(0.005)
        now_s = time.monotonic()
        beats, worst_s, before_s = beats + 1, max(worst_s, now_s - before_s), now_s
    assert len((await evaluation).scores) == 1_200
    assert beats > 50
    assert worst_s < 0.5, "on cores shared with two busy workers; a part takes a second"


def test_closed_in_the_middle_an_evaluation_ends_at_once_with_its_reason() -> None:
    executor = Processes(1)
    with ThreadPoolExecutor(1) as aside:
        evaluation = aside.submit(executor.evaluate, LONG, population(2_000), SCORES_ONLY)
        until(lambda: executor.tapes_sent() == 1)
        pids, began_s = executor.pids(), time.monotonic()
        executor.close()
        with pytest.raises((FarmError, CancelledError)):
            evaluation.result()
        assert time.monotonic() - began_s < 2.0
    until(lambda: not any(is_alive(pid) for pid in pids))
    with pytest.raises(FarmError, match="closed"):
        executor.evaluate(TAPE, population(1), TERMS)


ORPHANING = """
if __name__ == "__main__":
    import threading
    from tests.trading.simulator.test_executors import LONG, SCORES_ONLY, Processes, population
    executor = Processes(1)
    threading.Thread(target=executor.evaluate, args=(LONG, population(1_000), SCORES_ONLY), daemon=True).start()
    while not executor.tapes_sent():
        threading.Event().wait(0.01)
    print(*executor.pids(), flush=True)
    threading.Event().wait()
"""


def test_processes_die_with_the_one_that_started_them_even_if_it_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "orphaning.py"
    script.write_text(ORPHANING)
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=with_our_path())
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    at_work_s = {pid: psutil.Process(pid).cpu_times().user + 0.5 for pid in pids}
    until(lambda: all(psutil.Process(pid).cpu_times().user > at_work_s[pid] for pid in pids))
    assert len(pids) == 1  # in the middle of a part of seconds, not waiting at its pipe
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not any(is_alive(pid) for pid in pids), limit_s=1.0)


def with_our_path() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
