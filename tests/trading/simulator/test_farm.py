"""A farm of real workers on loopback gives the bytes of one thread, whatever happens to its workers."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.farm_services import TLS_FILES, make_certificates, scheduler, until, worker
from tests.trading.simulator.markets import random_tape, rule_spec
from tests.trading.simulator.test_executors import (
    LONG,
    SCORES_ONLY,
    TAPE,
    TERMS,
    assert_same_bytes,
    poisoned,
    population,
)
from trading.domain.errors import FarmError, SpecError
from trading.domain.instrument import Market
from trading.simulator.executors import farm as farm_module
from trading.simulator.executors.cluster import Cluster
from trading.simulator.executors.farm import Farm
from trading.simulator.executors.parts import work

HAS_OPENSSL = shutil.which("openssl") is not None
"""Then the farm here is one with certificates."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose `lab.yaml` names certificates, where they can be made."""
    folder = tmp_path_factory.mktemp("farm")
    if HAS_OPENSSL:
        make_certificates(folder)
        (folder / "lab.yaml").write_text(yaml.safe_dump({"farm": TLS_FILES}))
    return folder


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Cluster]:
    """A scheduler and three workers, each with a process that watches over it: seven processes on loopback."""
    with ExitStack() as stack:
        service, address = scheduler(folder, "tls://127.0.0.1:0" if HAS_OPENSSL else "tcp://127.0.0.1:0")
        stack.enter_context(service)
        workers = [stack.enter_context(worker(folder, address)) for _ in range(3)]
        for one in workers:
            assert f"joined {address}: 1 threads" in one.line()
        yield Cluster(address, *(folder / name for name in TLS_FILES.values() if HAS_OPENSSL))
        for one in workers:
            one.process.terminate()  # all at once, then each is waited for


@pytest.fixture(scope="module")
def farm(cluster: Cluster) -> Iterator[Farm]:
    with Farm(cluster) as farm:
        yield farm


def test_a_farm_gives_the_bytes_of_one_thread_and_the_tape_travels_once_a_worker(farm: Farm) -> None:
    specs = population(150)
    wanted = work(TAPE, specs, TERMS)
    for _ in range(2):
        assert_same_bytes(farm.evaluate(TAPE, specs, TERMS), wanted)
    assert list(farm.tapes_arrived().values()) == [{TAPE.content_hash: 1}] * 3


@pytest.mark.skipif(not HAS_OPENSSL, reason="no openssl to make certificates with")
def test_over_tls_only_holders_of_a_certificate_of_the_farm_are_let_in(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(FarmError, match="no scheduler answers"):
        Farm(Cluster(cluster.address.replace("tls", "tcp")), patience_s=0.5)
    make_certificates(tmp_path)  # by another authority
    with pytest.raises(FarmError, match="no scheduler answers"):
        Farm(Cluster(cluster.address, *(tmp_path / name for name in TLS_FILES.values())), patience_s=0.5)


def test_what_is_wrong_with_a_strategy_is_told_as_without_a_farm(farm: Farm) -> None:
    with pytest.raises(SpecError, match="no specs"):
        farm.evaluate(TAPE, [], TERMS)
    with pytest.raises(SpecError, match="one market at a time"):
        farm.evaluate(TAPE, [*population(8), rule_spec(market=Market.SPOT)], TERMS)


def test_a_tape_that_had_to_make_room_travels_again(farm: Farm) -> None:
    specs = population(6)
    for seed in (1, 2, 3):
        farm.evaluate(random_tape(seed, 300), specs, TERMS)
    assert all(TAPE.content_hash not in held for held in farm.tapes_arrived().values())
    assert_same_bytes(farm.evaluate(TAPE, specs, TERMS), work(TAPE, specs, TERMS))
    assert {held[TAPE.content_hash] for held in farm.tapes_arrived().values()} == {2}


def test_a_worker_killed_in_the_middle_loses_nothing(farm: Farm) -> None:
    specs = population(1_500)
    pids: dict[str, int] = farm.client.run(os.getpid)
    watching: dict[str, int] = farm.client.run(os.getppid)
    victim = min(pids)
    with ThreadPoolExecutor(1) as aside:
        evaluation = aside.submit(farm.evaluate, LONG, specs, SCORES_ONLY)
        until(lambda: bool(farm.client.processing([victim])[victim]))  # it is at its third, which takes it a while
        os.kill(watching[victim], signal.SIGKILL)  # else it would be started again
        os.kill(pids[victim], signal.SIGKILL)
        assert not evaluation.done()
        found = evaluation.result()
    assert_same_bytes(found, work(LONG, specs, SCORES_ONLY))
    assert set(farm.client.nthreads()) == set(pids) - {victim}
    assert [held[LONG.content_hash] for held in farm.tapes_arrived().values()] == [1, 1]


def test_closed_in_the_middle_an_evaluation_ends_with_one_line(cluster: Cluster) -> None:
    leaving = Farm(cluster)
    with ThreadPoolExecutor(1) as aside:
        evaluation = aside.submit(leaving.evaluate, LONG, population(1_500), SCORES_ONLY)
        until(lambda: any(leaving.client.processing().values()))
        leaving.close()
        with pytest.raises(FarmError, match="closed here"):
            evaluation.result(20.0)
    with pytest.raises(FarmError, match="closed here"):
        leaving.evaluate(TAPE, population(1), TERMS)


def test_a_part_that_kills_its_workers_is_given_up_by_name_and_the_others_are_done(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(farm_module, "TRIES", 2)  # there are two workers left, and a third takes seconds to come
    specs = poisoned(8)
    with pytest.raises(FarmError, match=r"2 workers died or left one after another at strategies .*mr-poison"):
        farm.evaluate(TAPE, specs, TERMS)
    assert_same_bytes(farm.evaluate(TAPE, specs[:8], TERMS), work(TAPE, specs[:8], TERMS))


def test_without_the_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(FarmError, match=r"needs the package distributed .*; \./lab farm installs it") as refusal:
        Farm(Cluster("tcp://127.0.0.1:1"))
    assert "\n" not in str(refusal.value)
