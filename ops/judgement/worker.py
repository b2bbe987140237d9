"""`./lab scheduler` and `./lab worker`: the services of a farm. They need no key and no state."""

from __future__ import annotations

import asyncio
import os

from ops.environment import find_home
from ops.settings import read_settings
from trading.domain.errors import SettingsError
from trading.simulator.executors.cluster import Cluster
from trading.simulator.executors.farm_worker import WorkerPlan, run_scheduler, run_worker
from trading.simulator.executors.settings import FarmSettings

CORES = len(os.sched_getaffinity(0))


def run_scheduler_command(listen: str) -> int:
    """Listen until a signal; 0 after one.

    Raises:
        SettingsError: no address, or a certificate that is not there.
        FarmError: nothing can listen there.
    """
    settings = read_settings(find_home().settings_file).farm
    return asyncio.run(run_scheduler(cluster_of(settings, listen), tell))


def run_worker_command(cluster: str | None, threads: int, memory: str, listen: str) -> int:
    """Work for a cluster until a signal; 0 after one, 1 when the scheduler goes.

    Raises:
        SettingsError: no cluster, or an address, size or certificate that is none.
        FarmError: no scheduler answers.
    """
    settings = read_settings(find_home().settings_file).farm
    address = cluster or settings.cluster
    if address is None:
        raise SettingsError("worker: no cluster; give --cluster tcp://host:port, or set farm.cluster in lab.yaml")
    plan = WorkerPlan(cluster_of(settings, address), threads or CORES, memory, listen, settings.patience_s)
    return asyncio.run(run_worker(plan, tell))


def tell(line: str) -> None:
    """To the screen at once, also where it is a file."""
    print(f"lab: {line}", flush=True)


def cluster_of(farm: FarmSettings, address: str) -> Cluster:
    """An address, with the certificate of `lab.yaml` if it is `tls://`.

    Raises:
        SettingsError: no address, or a certificate that is not there.
    """
    if not address.startswith("tls://"):
        return Cluster(address)
    root = find_home().root
    files = (farm.tls_ca_file, farm.tls_cert_file, farm.tls_key_file)
    return Cluster(address, *(None if path is None else root / path for path in files))
