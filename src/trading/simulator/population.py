"""Many rule strategies over one tape: each distinct value and comparison once, each strategy only where it acts.

A strategy's trades are those of `simulate` to the last bit, its metrics the same to 1e-9 (fills.md, rule 20). The tape
is worked through in tiles, so that memory is bounded however many strategies and bars there are; bars may also come as
they close, one `advance` after another. Amounts are quote, times UTC milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from trading.domain.clock import DAY_MS
from trading.domain.errors import SpecError
from trading.domain.market import INTERVAL_MS
from trading.market.tape import Tape
from trading.simulator.bits import BARS_A_WORD, packed_tests, words_for
from trading.simulator.chunk import Chunk, cut_chunk, frozen
from trading.simulator.compile import ATR
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.feed import BarFeed
from trading.simulator.population_kernel import advance
from trading.simulator.population_records import SCORE, Closed, Plans, Stretch, rows_of
from trading.simulator.population_scores import scores_of
from trading.simulator.records import FILL, FILLS, STATE, Columns, cut_columns
from trading.simulator.rule_graph import RuleGraph
from trading.simulator.simulate import as_trades, check_fit, check_quote, kernel_rules, rule_parameters
from trading.simulator.workers import Each, workers
from trading.strategy.rules import parse_rule
from trading.strategy.spec import StrategySpec

TILE_BYTES = 96 * 2**20
"""What the columns and truth values of one tile may take."""
LARGEST_TILE, SMALLEST_TILE = 65_536, 2_048
"""Bars; a tile is a power of two between them."""
PIECE_BARS = 8_192
"""Of a tile, worked off by many strategies one after another while the caches hold them."""
WORTH_A_THREAD = 200_000
"""Strategy-bars; less is done before a thread has woken."""
STRATEGIES_A_TASK = 64
"""Worked off by a thread at a time."""
TRADES_A_TASK = 65_536
"""Room for closed trades, where they are kept, before they are handed over."""


@dataclass(frozen=True, slots=True, eq=False)
class PopulationResult:
    """What every strategy did, in the order of the specs."""

    scores: NDArray[np.void]
    """(n,) of `population_scores.SCORES`: metrics, costs and counts."""
    trades: tuple[NDArray[np.void], ...]
    """Of `simulate.TRADE`, one array a strategy; empty where trades were not kept."""
    bars: int
    tape_hash: str
    """Of the last tape seen."""


def simulate_population(
    tape: Tape,
    specs: Sequence[StrategySpec],
    *,
    costs: Costs,
    rules: MarketRules,
    starting_quote: float = 10_000.0,
    entry_delay_bars: int = 0,
    keep_trades: bool = False,
    threads: int = 1,
) -> PopulationResult:
    """What would these strategies have done?

    Args:
        tape: Checked bars of the specs' one market and interval.
        specs: Rule strategies.
        costs: Of this market.
        rules: The venue's, for sizes and margin.
        starting_quote: Equity of each before the first bar.
        entry_delay_bars: As for `simulate`.
        keep_trades: Every closed trade, 136 bytes each; else only what they sum up to.
        threads: How many work at a time; the result does not depend on it.

    Raises:
        SpecError: no spec, or one that does not fit the tape; names it.
    """
    population = Population(
        specs, costs=costs, rules=rules, starting_quote=starting_quote, entry_delay_bars=entry_delay_bars
    )
    return population.advance(tape, keep_trades=keep_trades, threads=threads)


class Population:
    """Strategies with their accounts; give it tapes, it takes the bars it has not seen."""

    def __init__(
        self,
        specs: Sequence[StrategySpec],
        *,
        costs: Costs,
        rules: MarketRules,
        starting_quote: float = 10_000.0,
        entry_delay_bars: int = 0,
    ) -> None:
        """Compile all rules together.

        Raises:
            SpecError: no spec, specs of several markets, a carry, or a rule that is none; names the spec.
        """
        if not specs:
            raise SpecError("population: no specs: give at least one")
        check_quote(starting_quote)
        for spec in specs:
            if spec.market != specs[0].market:
                raise SpecError(
                    f"population: strategy {spec.id} is for {spec.market.symbol} {spec.market.timeframe}, "
                    f"{specs[0].id} for {specs[0].market.symbol} {specs[0].market.timeframe}: one market at a time"
                )
        self.specs = tuple(specs)
        self.starting_quote = starting_quote
        self._graph = RuleGraph(INTERVAL_MS[specs[0].market.timeframe])
        self._atr = self._graph.value(ATR)
        self._rates, self._margin = costs.rates(), rules.margin()
        places: dict[str, tuple[int, ...]] = {}
        lists = [_lists(self._graph, spec, places) for spec in self.specs]
        self._neediest = next((spec for spec in specs if spec.reads_basis), specs[0])
        terms = list(chain.from_iterable(chain.from_iterable(lists)))
        lengths = [len(terms_of) for four in lists for terms_of in four]
        numbers = [kernel_rules(spec, rules, entry_delay_bars=entry_delay_bars) for spec in self.specs]
        self._plans = Plans(
            np.array(terms, dtype=np.int64),
            np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
            np.concatenate(numbers),
        )
        self._tests = self._graph.tests
        self._feed = BarFeed(self._graph.memory)
        self._state = np.zeros(len(specs), dtype=STATE)
        for name in ("wallet", "equity", "peak"):
            self._state[name] = starting_quote
        self._score = np.zeros(len(specs), dtype=SCORE)
        for name, value in (("equity", starting_quote), ("day_equity", starting_quote)):
            self._score[name] = value
        self._score["day_lowest"], self._score["day_highest"] = np.inf, -np.inf
        self._bars = 0

    def advance(self, tape: Tape, *, keep_trades: bool = False, threads: int = 1) -> PopulationResult:
        """Take every bar of the tape not seen yet; returns where all stand, with the trades closed by this call.

        Raises:
            SpecError: the tape is of another market.
        """
        check_fit(tape, self._neediest)
        last_open_ms = self._feed.last_open_ms
        bars, columns = self._feed.next(tape)
        rows: list[tuple[NDArray[np.void], NDArray[np.int64]]] = []
        tile = self._tile_bars(len(columns.open_ms))
        is_little = len(self.specs) * len(columns.open_ms) < WORTH_A_THREAD
        a_task = len(self.specs) if is_little else STRATEGIES_A_TASK
        with workers(1 if is_little else threads) as each:
            for first in range(0, len(columns.open_ms), tile):
                stop = min(first + tile, len(columns.open_ms))
                before_ms = int(columns.open_ms[first - 1]) if first else last_open_ms
                cut = cut_columns(columns, slice(first, stop))
                stretches = self._stretches(cut_chunk(bars, first, stop), cut, before_ms, tape.interval_ms, each)
                rows += self._work(stretches, a_task, keep_trades, each)
        self._bars += len(columns.open_ms)
        return PopulationResult(
            scores_of(self._state, self._score, self._bars, self.starting_quote, tape.interval),
            _by_owner(rows, len(self.specs)) if keep_trades else (),
            self._bars,
            tape.content_hash,
        )

    def _tile_bars(self, bars: int) -> int:
        a_bar = 8 * self._graph.values + len(self._tests) / 8
        tile = LARGEST_TILE
        while tile > SMALLEST_TILE and tile * a_bar > TILE_BYTES:
            tile //= 2
        return min(tile, max(bars, 1))

    def _stretches(self, bars: Chunk, columns: Columns, before_ms: int, interval_ms: int, each: Each) -> list[Stretch]:
        """A tile with every comparison answered, cut into what the caches hold."""
        count = len(columns.open_ms)
        matrix = np.empty((self._graph.values, count))
        for place, column in enumerate(self._graph.feed(bars, each)):
            matrix[place] = column
        rows = rows_of(columns, matrix[self._atr])
        frozen(matrix)
        open_ms = np.concatenate(([before_ms], columns.open_ms)) if before_ms >= 0 else columns.open_ms
        is_hole, is_day = np.diff(open_ms) > interval_ms, np.diff(open_ms // DAY_MS) != 0
        if before_ms < 0:
            is_hole, is_day = np.concatenate(([False], is_hole)), np.concatenate(([False], is_day))
        settled = (columns.funding_open != 0.0) | (columns.funding_long_pays != 0.0) | (columns.funding_short_pays != 0)
        is_special = is_hole | settled

        def piece(first: int) -> Stretch:
            own = slice(first, min(first + PIECE_BARS, count))
            bars_here = own.stop - first
            words = np.empty((len(self._tests), words_for(bars_here)), dtype=np.uint64)
            packed_tests(matrix, first, own.stop, self._tests, words)
            return Stretch(
                rows[first : own.stop + 1],
                columns.open_ms[own],
                columns.funding_open[own],
                columns.funding_long_pays[own],
                columns.funding_short_pays[own],
                _words(is_special[own]),
                _words(is_day[own]),
                words,
                bars_here,
            )

        return each(piece, range(0, count, PIECE_BARS))

    def _work(
        self, stretches: list[Stretch], a_task: int, keep_trades: bool, each: Each
    ) -> list[tuple[NDArray[np.void], NDArray[np.int64]]]:
        n = len(self.specs)

        def task(first: int) -> list[tuple[NDArray[np.void], NDArray[np.int64]]]:
            return self._take(first, min(first + a_task, n), stretches, keep_trades)

        return list(chain.from_iterable(each(task, range(0, n, a_task))))

    def _take(
        self, first: int, last: int, stretches: list[Stretch], keep_trades: bool
    ) -> list[tuple[NDArray[np.void], NDArray[np.int64]]]:
        rows = []
        fills = np.empty(1, dtype=FILLS)
        for stretch in stretches:
            resume = np.array([first, 0])
            while resume[0] < last:
                room = TRADES_A_TASK if keep_trades else 0
                closed = Closed(np.empty(room, dtype=FILL), np.empty(room, dtype=np.int64))
                written = advance(
                    first,
                    last,
                    stretch,
                    self._plans,
                    self._rates,
                    self._margin,
                    self._state,
                    self._score,
                    closed,
                    fills,
                    resume,
                )
                if written:
                    rows.append((closed.trades[:written].copy(), closed.owners[:written].copy()))
        return rows


def _lists(graph: RuleGraph, spec: StrategySpec, places: dict[str, tuple[int, ...]]) -> list[list[int]]:
    """Terms of entry long, entry short, exit long, exit short; filters are added to entries that have a rule.

    `places` keeps what each text became: a population says the same things often, and parsing is the dear part.
    """
    parameters = rule_parameters(spec)

    def terms(name: str) -> list[int]:
        found: list[int] = []
        for text in getattr(parameters, name):
            if text not in places:
                places[text] = graph.condition(parse_rule(text))
            found += places[text]
        return found

    filters = terms("filters")
    lists = [terms(name) for name in ("entry_long", "entry_short", "exit_long", "exit_short")]
    return [lists[0] and lists[0] + filters, lists[1] and lists[1] + filters, *lists[2:]]


def _words(truth: NDArray[np.bool_]) -> NDArray[np.uint64]:
    padded = np.zeros(words_for(len(truth)) * BARS_A_WORD, dtype=np.bool_)
    padded[: len(truth)] = truth
    return np.packbits(padded, bitorder="little").view(np.uint64)


def _by_owner(rows: list[tuple[NDArray[np.void], NDArray[np.int64]]], count: int) -> tuple[NDArray[np.void], ...]:
    """Trades by strategy; tiles come in order, so each strategy's are in the order of their exits."""
    fills = np.concatenate([fills for fills, _ in rows]) if rows else np.empty(0, dtype=FILL)
    owners = np.concatenate([owners for _, owners in rows]) if rows else np.empty(0, dtype=np.int64)
    order = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[order], np.arange(count + 1))
    return tuple(as_trades(fills[order[a:b]]) for a, b in pairwise(bounds))
