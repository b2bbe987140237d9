"""A strategy's rules as a program: what they say at each close of a tape, whole or bar by bar.

A list of conditions holds when all of them hold; an empty list of entries or exits never holds, empty filters always
do. The values and conditions themselves are those of `rule_graph.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from trading.domain.errors import SpecError
from trading.domain.market import INTERVAL_MS
from trading.simulator.chunk import Chunk, Column, Memory
from trading.simulator.records import ENTRY_LONG, ENTRY_SHORT, EXIT_LONG, EXIT_SHORT
from trading.simulator.rule_graph import Bits, RuleGraph
from trading.strategy.rule_tree import Indicator
from trading.strategy.rules import parse_rule
from trading.strategy.spec import RuleParameters

ATR = Indicator("atr", (14,))
"""The distance unit of stops and targets."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What the rules say at each close, (n,) each; filters are in the entries already."""

    entry_long: Bits
    entry_short: Bits
    exit_long: Bits
    exit_short: Bits
    atr: Column
    """ATR(14), quote per base; nan in its warm-up."""

    def flags(self) -> NDArray[np.int64]:
        """The four answers as bits of one column, read-only."""
        bits = ENTRY_LONG, ENTRY_SHORT, EXIT_LONG, EXIT_SHORT
        answers = self.entry_long, self.entry_short, self.exit_long, self.exit_short
        small = np.zeros(len(self.entry_long), dtype=np.uint8)
        for bit, answer in zip(bits, answers, strict=True):
            small |= answer * np.uint8(bit)
        packed = small.astype(np.int64)
        packed.flags.writeable = False
        return packed


class Program:
    """Rules, compiled: `feed` it bars in order; what it remembers lies in `memory`."""

    def __init__(self, parameters: RuleParameters, timeframe: str) -> None:
        """Parse and compile for bars of a timeframe.

        Raises:
            SpecError: a rule is no rule, or reads an interval that such bars cannot make.
        """
        if (why := parameters.interval_problem(timeframe)) is not None:
            raise SpecError(why)
        self._graph = RuleGraph(INTERVAL_MS[timeframe])
        self._atr = self._graph.value(ATR)
        self._lists = {
            name: tuple(
                chain.from_iterable(self._graph.condition(parse_rule(text)) for text in getattr(parameters, name))
            )
            for name in ("entry_long", "entry_short", "exit_long", "exit_short", "filters")
        }

    @property
    def memory(self) -> Memory:
        """What the rules remember between feeds."""
        return self._graph.memory

    def feed(self, bars: Chunk) -> Signals:
        """The signals of the next bars; sub-expressions go on where the last feed left them."""
        values = self._graph.feed(bars)
        count = len(bars.close)
        answers = {place: self._graph.holds(place, values, count) for place in set(chain(*self._lists.values()))}

        def all_of(name: str, *, when_empty: bool) -> Bits:
            held = np.full(count, when_empty or bool(self._lists[name]))
            for place in self._lists[name]:
                held &= answers[place]
            return held

        filters = all_of("filters", when_empty=True)
        return Signals(
            all_of("entry_long", when_empty=False) & filters,
            all_of("entry_short", when_empty=False) & filters,
            all_of("exit_long", when_empty=False),
            all_of("exit_short", when_empty=False),
            values[self._atr],
        )
