"""A farm: workers on any number of machines, found at a Dask scheduler's address.

A worker gets work only once it has said that it runs the same code on the same arithmetic, and holds the tape, which
travels to it once. Which worker does which part is decided here, so that a death is counted against the parts that
were in its hands and against no others.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from threading import Event
from typing import Any

import structlog

from trading.domain.clock import Clock
from trading.domain.errors import FarmError
from trading.market.tape import Tape
from trading.simulator.executors.cluster import Cluster, dask, identity
from trading.simulator.executors.farm_part import do_part, hold, introduce, packed
from trading.simulator.executors.parts import TRIES, Executor, Part, Terms, cut, join
from trading.simulator.population import PopulationResult
from trading.strategy.spec import StrategySpec

LOOK_S = 0.5
"""How often it is looked who is there, seconds."""
RESULT_S = 60.0
"""What the result of a part may take on its way, seconds."""

log = structlog.get_logger(__name__)


class Farm(Executor):
    """The workers of a cluster, those that join or die meanwhile included."""

    def __init__(self, cluster: Cluster, *, patience_s: float = 20.0) -> None:
        """Connect.

        Args:
            cluster: Where the scheduler listens.
            patience_s: How long a scheduler, or a worker that may work, is waited for, real seconds.

        Raises:
            FarmError: nobody answers there.
        """
        self.cluster, self.patience_s = cluster, patience_s
        self.refused: dict[str, str] = {}
        """Why a worker, by its address, gets no work."""
        self._closed = False
        lib = dask()
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what it says is raised here, in one line
        try:
            self.client = lib.Client(
                cluster.address, timeout=patience_s, security=cluster.security(), set_as_default=False
            )
        except OSError as error:
            raise FarmError(
                f"farm {cluster.address}: no scheduler answers within {patience_s:g} s; "
                "start one with ./lab scheduler, or correct farm.cluster"
            ) from error

    def evaluate(self, tape: Tape, specs: Sequence[StrategySpec], terms: Terms) -> PopulationResult:
        """See `Executor`."""
        try:
            return _Evaluation(self, tape, terms).of(specs)
        except Exception as error:
            if self._closed or isinstance(error, _lost()):
                raise self.gone() from error
            raise

    def close(self) -> None:
        """Leave; scheduler and workers go on."""
        self._closed = True
        self.client.close()

    def tapes_arrived(self) -> dict[str, dict[str, int]]:
        """How often each tape that a worker holds came to it, by worker and content hash."""
        found = self.client.run(introduce, on_error="return")
        return {worker: answer[1] for worker, answer in found.items() if isinstance(answer, tuple)}

    def meet(self, tape: Tape, strangers: Sequence[str]) -> list[str]:
        """Workers that may work on this tape from now on, of those not met yet."""
        ready: list[str] = []
        without: list[str] = []
        for worker, answer in self._asked(strangers, introduce):
            if not isinstance(answer, tuple):
                self._refuse(worker, f"it cannot say what it runs ({answer}), this side's code is {identity()['code']}")
            elif (why := _difference(answer[0])) is not None:
                self._refuse(worker, why)
            else:
                (ready if tape.content_hash in answer[1] else without).append(worker)
        for worker, answer in self._asked(without, hold, tape):
            if answer == tape.content_hash:
                ready.append(worker)
            else:
                self._refuse(worker, f"it could not keep the tape ({answer})")
        return ready

    def forget(self, there: Collection[str]) -> None:
        """Refusals of workers that are not there any more: another may come to their address."""
        self.refused = {worker: line for worker, line in self.refused.items() if worker in there}

    def _asked(self, workers: Sequence[str], what: Callable[..., object], *given: object) -> list[tuple[str, Any]]:
        """Each worker's answer; of one that went meanwhile, none."""
        if not workers:
            return []
        found = self.client.run(what, *given, workers=list(workers), on_error="return")
        return [(worker, answer) for worker, answer in found.items() if not isinstance(answer, OSError)]

    def _refuse(self, worker: str, why: str) -> None:
        self.refused[worker] = f"farm {self.cluster.address}: worker {worker} refused: {why}"
        log.warning("farm.refused", worker=worker, reason=why)

    def nobody(self) -> FarmError:
        """There is no worker that may work."""
        why = next(iter(self.refused.values()), None)
        return FarmError(
            why
            or f"farm {self.cluster.address}: no worker joined within {self.patience_s:g} s; "
            f"start one with ./lab worker --cluster {self.cluster.address}"
        )

    def gone(self) -> FarmError:
        """The connection is lost, or was closed here."""
        if self._closed:
            return FarmError(f"farm {self.cluster.address}: closed here; open it and evaluate the population again")
        return FarmError(
            f"farm {self.cluster.address}: the scheduler does not answer any more; start it and its workers again, "
            "then evaluate the population anew"
        )


def _lost() -> tuple[type[Exception], ...]:
    """What Dask's client raises once its scheduler is gone; it cancels what was under way, nobody here does."""
    lib = dask()
    return OSError, lib.CancelledError, lib.client.ClosedClientError


def _difference(theirs: dict[str, str]) -> str | None:
    """Where a worker is not as this side is, both values each; None: nowhere."""
    ours = identity()
    differ = [
        f"its {name} is {theirs.get(name)}, this side's {ours[name]}" for name in ours if ours[name] != theirs.get(name)
    ]
    return "; ".join(differ) + "; bring both to one version, then start it again" if differ else None


class _Evaluation:
    """One population under way."""

    def __init__(self, farm: Farm, tape: Tape, terms: Terms) -> None:
        self._farm, self._client, self._tape, self._terms = farm, farm.client, tape, terms
        self._clock = Clock()
        self._idle_since_s = self._clock.real_s()
        self._ready: dict[str, int] = {}
        """Threads of each worker that may work."""
        self._waiting: deque[Part] = deque()
        self._working: dict[Any, tuple[str, Part]] = {}
        """By Dask's future."""
        self._deaths: Counter[int] = Counter()
        self._done: dict[int, PopulationResult] = {}

    def of(self, specs: Sequence[StrategySpec]) -> PopulationResult:
        """The result, however many workers come and go."""
        while not self._ready:
            self._look()
        self._waiting.extend(cut(self._tape, specs, self._terms, sum(self._ready.values())))
        count = len(self._waiting)
        try:
            while len(self._done) < count:
                self._look()
                self._hand_out()
                self._collect()
        finally:
            for future in self._working:
                future.release()
        return join([self._done[place] for place in range(count)])

    def _look(self) -> None:
        """Who is there? Parts of those who have gone are to be done again."""
        scheduler = self._client.scheduler  # Dask's client forgets it with the connection, whatever is asked next
        if scheduler is None:
            raise self._farm.gone()
        there: dict[str, int] = self._client.sync(scheduler.ncores, workers=None)
        for worker in self._ready.keys() - there.keys():
            del self._ready[worker]
            for future in [future for future, (owner, _) in self._working.items() if owner == worker]:
                self._again(future)
        self._farm.forget(there)
        strangers = sorted(there.keys() - self._ready.keys() - self._farm.refused.keys())
        if strangers:
            self._ready |= {worker: there[worker] for worker in self._farm.meet(self._tape, strangers)}
        now_s = self._clock.real_s()
        if self._ready:
            self._idle_since_s = now_s
        elif now_s - self._idle_since_s > self._farm.patience_s:
            raise self._farm.nobody()
        else:
            Event().wait(min(LOOK_S, self._farm.patience_s))

    def _hand_out(self) -> None:
        for worker, threads in self._ready.items():
            while self._waiting and self._has_room(worker, threads, self._waiting[0]):
                part = self._waiting.popleft()
                future = self._client.submit(
                    do_part,
                    self._tape.content_hash,
                    packed(part, self._terms),
                    workers=[worker],
                    allow_other_workers=False,
                    pure=False,
                )
                self._working[future] = (worker, part)

    def _has_room(self, worker: str, threads: int, part: Part) -> bool:
        """One part a thread; a part at which a worker died before is alone, so that no other is blamed again."""
        at_hand = [other for owner, other in self._working.values() if owner == worker]
        if any(self._deaths[one.place] for one in (part, *at_hand)):
            return not at_hand
        return len(at_hand) < threads

    def _collect(self) -> None:
        """Wait until a part is done, or until it is time to look who is there."""
        lib = dask()
        if not self._working:
            return
        try:
            with self._client.as_current():
                lib.wait(list(self._working), timeout=LOOK_S, return_when="FIRST_COMPLETED")
        except TimeoutError:
            return
        for future in [future for future in self._working if future.done()]:
            worker, part = self._working[future]
            try:
                result = future.result(timeout=RESULT_S)
            except (lib.KilledWorker, TimeoutError):
                self._again(future)
                continue
            del self._working[future]
            if result is None:  # the tape had to make room for another one's: meet it again
                self._ready.pop(worker, None)
                self._waiting.append(part)
            else:
                self._done[part.place] = result

    def _again(self, future: Any) -> None:
        _, part = self._working.pop(future)
        future.release()
        self._deaths[part.place] += 1
        if self._deaths[part.place] >= TRIES:
            raise FarmError(
                f"farm {self._farm.cluster.address}: {TRIES} workers died or left one after another at "
                f"strategies {part.names()}; look for what they ask for (memory), evaluate the others without them"
            )
        self._waiting.append(part)
