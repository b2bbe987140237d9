"""The two services of a farm: a scheduler that passes parts on, and a worker that does them. Both run till a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

from trading.domain.errors import FarmError, SettingsError
from trading.domain.loopback import is_loopback
from trading.simulator.executors.cluster import Cluster, check_memory, dask, identity

ONE_CORE = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""A part is one thread's work; no library may start more under it."""

PARTS_ARE_DONE_BY = "trading.simulator.executors.farm_part"
"""Imported before a worker joins, so that nobody waits for it when it is asked."""

NO_PAGES = "127.0.0.1:0"
"""Dask's own pages are off, but its web server listens all the same: on loopback, whatever the rest listens on."""

Tell = Callable[[str], None]
"""Takes a line for whoever started it."""


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What a worker gives to a farm."""

    cluster: Cluster
    threads: int
    """Parts at a time, one core each."""
    memory: str
    """As Dask reads it, such as `2GB`; beyond 95 % of it the worker's process is ended and started again. `0`: none."""
    listen: str
    """Address of this machine that the scheduler reaches it at."""
    patience_s: float
    """How long the scheduler is waited for, real seconds."""


async def run_worker(plan: WorkerPlan, tell: Tell) -> int:
    """Join, work until SIGTERM or SIGINT, leave. Its process is watched over: it is started again when it dies.

    Returns:
        0: after a signal; 1: the scheduler has gone.

    Raises:
        FarmError: no scheduler answers, or distributed is not installed.
        SettingsError: the scheduler could not reach it, or `memory` is no size.
    """
    cluster = plan.cluster
    if is_loopback(plan.listen) and not is_loopback(cluster.host):
        raise SettingsError(
            f"--listen {plan.listen}: {cluster.host} cannot reach a worker on loopback; give this machine's address "
            "on a network you trust"
        )
    lib, stop = _quiet(dask()), _stop_on_signals()
    check_memory(plan.memory)
    await _answers(cluster, plan.patience_s)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="lab-worker-"))
        nanny = lib.Nanny(
            cluster.address,
            nthreads=plan.threads,
            memory_limit=plan.memory,
            host=plan.listen,
            protocol=cluster.address.split("://")[0],
            security=cluster.security(),
            death_timeout=plan.patience_s,
            local_directory=folder,
            env=ONE_CORE,
            preload=[PARTS_ARE_DONE_BY],
            silence_logs=logging.CRITICAL,
            dashboard_address=NO_PAGES,
            dashboard=False,
        )
        stack.push_async_callback(nanny.close)
        await nanny
        tell(
            f"worker {nanny.worker_address} joined {cluster.address}: {plan.threads} threads, memory {plan.memory}, "
            f"code {identity()['code']}"
        )
        return await _first_of(stop, nanny.finished(), tell, f"the scheduler {cluster.address} has gone")


async def run_scheduler(cluster: Cluster, tell: Tell) -> int:
    """Listen at the address until SIGTERM or SIGINT.

    Returns:
        0: after a signal; 1: it ended by itself.

    Raises:
        FarmError: the address cannot be listened at, or distributed is not installed.
    """
    lib, stop = _quiet(dask()), _stop_on_signals()
    scheme = cluster.address.split("://")[0]
    scheduler = lib.Scheduler(
        host=cluster.host,
        port=int(cluster.address.rsplit(":", 1)[1]),
        protocol=scheme,
        security=cluster.security(),
        dashboard_address=NO_PAGES,
        dashboard=False,
    )
    try:
        await scheduler
    except OSError as error:
        raise FarmError(f"scheduler {cluster.address}: cannot listen there: {error}; change --listen") from error
    tell(f"scheduler listens at {scheduler.address}")
    if scheme == "tcp" and not is_loopback(cluster.host):
        tell("whoever reaches that address runs code here as this user: only on a network you trust, or with tls://")
    try:
        return await _first_of(stop, scheduler.finished(), tell, "the scheduler has ended")
    finally:
        await scheduler.close()


def _quiet(lib: Any) -> Any:
    """What its services say of themselves is said here in one line."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    return lib


async def _answers(cluster: Cluster, patience_s: float) -> None:
    """Wait for the scheduler before anything is started for it."""
    lib = dask()
    arguments = {} if cluster.ca_file is None else cluster.security().get_connection_args("worker")
    try:
        comm = await lib.comm.connect(cluster.address, timeout=patience_s, **arguments)
    except OSError as error:
        raise FarmError(
            f"worker: no scheduler answers at {cluster.address} within {patience_s:g} s; "
            "start one with ./lab scheduler, or correct --cluster"
        ) from error
    await comm.close()


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _first_of(stop: asyncio.Event, finished: Awaitable[object], tell: Tell, gone: str) -> int:
    """Whichever comes first: the signal (0), or the end of what runs (1)."""
    asked = asyncio.ensure_future(stop.wait())
    ended = asyncio.ensure_future(finished)
    try:
        await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (asked, ended):
            task.cancel()
    if stop.is_set():
        return 0
    tell(gone)
    return 1
