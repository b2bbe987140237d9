"""The commands of a farm: a worker joins, works and leaves; what is wrong is one line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ops.judgement.farm import executor_from
from ops.judgement.worker import cluster_of, run_worker_command
from tests.farm_services import ROOT, TLS_FILES, Service, is_alive, scheduler, until, worker
from tests.trading.simulator.test_executors import TAPE, TERMS, assert_same_bytes, population
from trading.domain.errors import FarmError, SettingsError
from trading.simulator.executors.cluster import Cluster, identity
from trading.simulator.executors.farm import Farm
from trading.simulator.executors.farm_worker import ONE_CORE
from trading.simulator.executors.parts import Threads, work
from trading.simulator.executors.processes import Processes
from trading.simulator.executors.settings import FarmSettings
from trading.storage.home import Home


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def meeting(folder: Path) -> Iterator[tuple[Service, str]]:
    """A scheduler without workers, and its address."""
    service, address = scheduler(folder)
    with service:
        yield service, address


def test_where_populations_are_evaluated_is_a_setting(meeting: tuple[Service, str]) -> None:
    with executor_from(FarmSettings()) as threads, executor_from(FarmSettings(processes=2)) as processes:
        assert isinstance(threads, Threads)
        assert isinstance(processes, Processes)
    with executor_from(FarmSettings(cluster=meeting[1])) as farm:
        assert isinstance(farm, Farm)


def test_nobody_there_is_one_line(meeting: tuple[Service, str], tmp_path: Path) -> None:
    with (
        Farm(Cluster(meeting[1]), patience_s=0.3) as farm,
        pytest.raises(FarmError, match=r"no worker joined within 0\.3"),
    ):
        farm.evaluate(TAPE, population(3), TERMS)
    with pytest.raises(FarmError, match=r"no scheduler answers within 0\.5 s; start one with \./lab scheduler"):
        Farm(Cluster("tcp://127.0.0.1:1"), patience_s=0.5)
    (tmp_path / "lab.yaml").write_text("farm: {cluster: 'tcp://127.0.0.1:1', patience_s: 0.5}\n")
    with Service(tmp_path, "worker") as service:
        assert service.line() == (
            "lab: worker: no scheduler answers at tcp://127.0.0.1:1 within 0.5 s; "
            "start one with ./lab scheduler, or correct --cluster"
        )
        assert service.line() == ""
        assert service.process.wait() == 2


@pytest.mark.parametrize(
    ("cluster", "memory", "line"),
    [
        (None, "0", r"worker: no cluster; give --cluster tcp://host:port, or set farm\.cluster in lab\.yaml"),
        ("farm:1", "0", r"cluster 'farm:1': no address; write it like tcp://127\.0\.0\.1:8786"),
        ("tcp://10.0.0.1:1", "0", r"--listen 127\.0\.0\.1: 10\.0\.0\.1 cannot reach a worker on loopback"),
        ("tls://127.0.0.1:1", "0", r"cluster tls://127\.0\.0\.1:1: tls:// goes with tls_ca_file"),
        ("tcp://127.0.0.1:1", "lots", r"--memory lots: .*; write it like 2GB"),
    ],
)
def test_what_is_wrong_with_a_flag_is_said_before_anything_starts(
    home: Home, monkeypatch: pytest.MonkeyPatch, cluster: str | None, memory: str, line: str
) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    with pytest.raises(SettingsError, match=line):
        run_worker_command(cluster, 1, memory, "127.0.0.1")


def test_a_certificate_that_is_not_there_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(home.root))
    with pytest.raises(SettingsError, match=r"farm-ca\.pem: no such file; see docs/farm\.md"):
        cluster_of(FarmSettings(**TLS_FILES), "tls://127.0.0.1:1")


def test_a_worker_joins_works_and_ends_on_sigterm(folder: Path, meeting: tuple[Service, str]) -> None:
    address = meeting[1]
    with worker(folder, address) as service, Farm(Cluster(address)) as farm:
        joined = service.line()
        assert joined.startswith("lab: worker tcp://127.0.0.1:")
        assert joined.endswith(f"joined {address}: 1 threads, memory 0, code {identity()['code']}")
        assert_same_bytes(farm.evaluate(TAPE, population(20), TERMS), work(TAPE, population(20), TERMS))
        (pid,) = farm.client.run(os.getpid).values()
        assert farm.client.run(lambda: {name: os.environ[name] for name in ONE_CORE}).popitem()[1] == ONE_CORE
        for process in (meeting[0].process.pid, service.process.pid, pid):
            assert {at.laddr.ip for at in psutil.Process(process).net_connections("inet") if at.status == "LISTEN"} == {
                "127.0.0.1"
            }
        assert service.end() == 0
        until(lambda: not is_alive(pid) and not farm.client.nthreads())


def test_a_worker_of_other_code_gets_no_work_and_a_scheduler_that_goes_is_told_by_all(
    folder: Path, meeting: tuple[Service, str], tmp_path: Path
) -> None:
    service, address = meeting
    shutil.copytree(ROOT / "src" / "trading", tmp_path / "trading", ignore=shutil.ignore_patterns("__pycache__"))
    kernel = tmp_path / "trading" / "simulator" / "kernel.py"
    kernel.write_text(kernel.read_text() + "\n# another version\n")
    with worker(folder, address, sources=tmp_path) as stranger, Farm(Cluster(address), patience_s=0.5) as farm:
        words = stranger.line().split()
        name, code = words[2], words[-1]
        assert code != identity()["code"]
        with pytest.raises(FarmError) as refusal:
            farm.evaluate(TAPE, population(3), TERMS)
        assert str(refusal.value) == (
            f"farm {address}: worker {name} refused: its code is {code}, this side's {identity()['code']}; "
            "bring both to one version, then start it again"
        )
        assert farm.tapes_arrived() == {name: {}}
        service.process.kill()
        assert stranger.line() == f"lab: the scheduler {address} has gone"
        assert stranger.process.wait(20.0) == 1
        with pytest.raises(FarmError, match="the scheduler does not answer any more"):
            farm.evaluate(TAPE, population(3), TERMS)
