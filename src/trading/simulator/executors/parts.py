"""What executors share: on which terms, how specs are cut into parts, how a part is done, how parts are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from trading.market.tape import Tape
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.population import PopulationResult, simulate_population
from trading.strategy.spec import StrategySpec

STRATEGY_BARS_A_PART = 250_000_000
"""About a second of one core (benchmarks/simulator_parts.py: 3 to 4 ns each, and half a second for the columns)."""
MOST_STRATEGIES_A_PART = 2_048
"""On short tapes parsing is the dear part."""
KEPT_TRADES_SHARE = 8
"""Parts whose trades are kept are so many times smaller: 60 busy strategies of a year of minutes come to 100 MB."""
TRIES = 3
"""Workers that may die at one part before it is given up."""
NAMED = 5
"""Strategies that an error names."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms strategies are evaluated; see `simulate_population`."""

    costs: Costs
    rules: MarketRules
    starting_quote: float = 10_000.0
    entry_delay_bars: int = 0
    keep_trades: bool = False


class Executor(Protocol):
    """Evaluates populations; a context manager. `evaluate` blocks: from a coroutine, call it in a thread."""

    def evaluate(self, tape: Tape, specs: Sequence[StrategySpec], terms: Terms) -> PopulationResult:
        """What would these strategies have done? The bytes of `simulate_population`.

        Raises:
            SpecError: no spec, or one that does not fit the tape; names it.
            FarmError: no worker that may work, or a part at which workers die; names its strategies.
        """

    def close(self) -> None:
        """End what was started; an evaluation under way ends with `FarmError`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a population's strategies, one after another."""

    place: int
    specs: tuple[StrategySpec, ...]

    def names(self) -> str:
        """Its strategies, for a message."""
        shown = ", ".join(spec.id for spec in self.specs[:NAMED])
        return shown + (f" and {len(self.specs) - NAMED} more" if len(self.specs) > NAMED else "")


class Threads(Executor):
    """Threads of this process. Its kernels let the event loop run; its Python does not."""

    def __init__(self, count: int) -> None:
        self._count = count

    def evaluate(self, tape: Tape, specs: Sequence[StrategySpec], terms: Terms) -> PopulationResult:
        """See `Executor`."""
        return work(tape, specs, terms, threads=self._count)

    def close(self) -> None:
        """Nothing was started."""


def work(tape: Tape, specs: Sequence[StrategySpec], terms: Terms, *, threads: int = 1) -> PopulationResult:
    """Do one part here."""
    return simulate_population(
        tape,
        specs,
        costs=terms.costs,
        rules=terms.rules,
        starting_quote=terms.starting_quote,
        entry_delay_bars=terms.entry_delay_bars,
        keep_trades=terms.keep_trades,
        threads=threads,
    )


def cut(tape: Tape, specs: Sequence[StrategySpec], terms: Terms, workers: int) -> list[Part]:
    """Parts of about a second each, at least one a worker where there are as many strategies; never none."""
    most = min(MOST_STRATEGIES_A_PART, STRATEGY_BARS_A_PART // len(tape))
    if terms.keep_trades:
        most //= KEPT_TRADES_SHARE
    size = max(1, min(most, -(-len(specs) // workers)))
    firsts = range(0, max(len(specs), 1), size)
    return [Part(place, tuple(specs[first : first + size])) for place, first in enumerate(firsts)]


def join(results: Sequence[PopulationResult]) -> PopulationResult:
    """The population's result from those of its parts, in their order."""
    trades = tuple(chain.from_iterable(result.trades for result in results))
    scores = np.concatenate([result.scores for result in results])
    return PopulationResult(
        _frozen(scores), tuple(_frozen(rows) for rows in trades), results[0].bars, results[0].tape_hash
    )


def _frozen(array: NDArray[np.void]) -> NDArray[np.void]:
    array.flags.writeable = False  # what has travelled comes in arrays that could be written to
    return array
