"""From the journal of intents and the raw recording to what is believed of costs. Pure: what was seen goes in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import median
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ai_brain.desk.learned_fills import (
    ALL,
    BOOKS,
    OWN,
    LearnedFills,
    LearnedShare,
    Paid,
    books_learned,
    ratios_learned,
    share_learned,
)
from ops.settings import LabSettings
from trading.domain.clock import HOUR_MS
from trading.domain.errors import DataProviderError
from trading.domain.market import Book
from trading.exchange.recorded_looks import WINDOW_MS, Key, Looks
from trading.execution.intent_records import OrderRecord
from trading.execution.own_fills import MakerPhase, TakerFill, maker_phases, taker_fills
from trading.market.tape import Tape
from trading.simulator.book_walk import least_slippage_rate
from trading.simulator.charged import charged_rates

PARTS_OF_BUDGET = (0.25, 0.5, 1.0)
"""Of `execution.maker_budget_s`, at which it is asked what has filled."""
BEHIND_BPS = (0.0, 1.0, 5.0)
"""Behind the best price, at which an order is imagined to rest in recorded books."""
WALKED_QUOTE = 10_000.0
"""Walked through recorded books where no own order says what is usual."""
Row = TypeVar("Row", TakerFill, MakerPhase)


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything there is to learn from."""

    orders: tuple[OrderRecord, ...]
    looks: Mapping[Key, Looks]

    @property
    def is_empty(self) -> bool:
        """There is neither an order nor a look."""
        return not self.orders and not any(looks.quotes for looks in self.looks.values())

    @property
    def markets(self) -> list[Key]:
        """Whose bars are needed to say what the model charges."""
        fills, _ = taker_fills(self.orders)
        walked = [key for key, looks in self.looks.items() if looks.books]
        return list(dict.fromkeys([*((fill.market, fill.symbol) for fill in fills), *walked]))


def learn(
    seen: Seen, tapes: Mapping[Key, Tape], settings: LabSettings, before: LearnedFills | None, *, at_ms: int
) -> LearnedFills:
    """What is believed from now on. CPU work.

    Args:
        seen: Orders and books.
        tapes: Bars of their markets, as far as there are any; an order without its bar waits for another night.
        settings: With what the model charges, and the budget of a resting order.
        before: What was believed; None: nothing.
        at_ms: Now.
    """
    before = before or LearnedFills(as_of_ms=0)
    fills, blind = taker_fills(seen.orders)
    usual = median(fill.notional_quote for fill in fills) if fills else WALKED_QUOTE
    own = [row for key, some in _by_market(fills).items() for row in _own_paid(key, some, tapes, settings)]
    walked = [row for key, looks in seen.looks.items() for row in _walked(key, looks.books, usual, tapes, settings)]
    impact_rate, books = settings.carry.impact_bps / 10_000, books_learned(walked, before.books, at_ms=at_ms)
    touched = [_row(fill, fill.beyond_touch_quote, impact_rate) for fill in fills]
    return LearnedFills(
        as_of_ms=at_ms,
        slippage=ratios_learned(own, before.slippage, books),
        impact=tuple(ratio for ratio in ratios_learned(touched, before.impact) if ratio.size == ALL),
        books=books,
        maker=(*_own_shares(maker_phases(seen.orders), settings), *_book_shares(seen.looks, settings)),
        blind=blind,
        barless=len(fills) - len(own),
    )


def _own_paid(key: Key, fills: Sequence[TakerFill], tapes: Mapping[Key, Tape], settings: LabSettings) -> Iterator[Paid]:
    """A market's own orders against the law; those whose bar is not there are left out."""
    times, notional = np.array([fill.at_ms for fill in fills]), np.array([fill.notional_quote for fill in fills])
    for fill, rate in zip(fills, _charged(key, times, notional, tapes, settings), strict=True):
        if isfinite(rate):
            yield _row(fill, fill.beyond_mid_quote, float(rate))


def _walked(
    key: Key, books: Sequence[Book], notional: float, tapes: Mapping[Key, Tape], settings: LabSettings
) -> Iterator[Paid]:
    """Both sides of a market's recorded books, each walked by an order of the usual size; what one cannot fill costs
    at least its last level.
    """
    times, market, symbol = np.array([book.at_ms for book in books], dtype=np.int64), *key
    charges = _charged(key, times, np.full(len(books), notional), tapes, settings)
    for book, rate in zip(books, charges, strict=True):
        if not isfinite(rate):
            continue
        mid = (book.bids[0][0] + book.asks[0][0]) / 2.0
        for side in (book.bids, book.asks):
            try:
                paid = least_slippage_rate(side, notional, reference_price=mid)
            except DataProviderError:
                continue  # a level that is no price and size
            hour = str(book.at_ms // HOUR_MS)
            yield Paid(market.value, symbol, hour, book.at_ms, notional, notional * paid, notional * float(rate))


def _charged(
    key: Key,
    at_ms: NDArray[np.int64],
    notional: NDArray[np.float64],
    tapes: Mapping[Key, Tape],
    settings: LabSettings,
) -> NDArray[np.float64]:
    """What a backtest would charge orders of a market before anything was learned; nan: their bar is not there."""
    if key not in tapes:
        return np.full(len(at_ms), np.nan)
    return charged_rates(tapes[key], at_ms, notional, settings.fees.costs(key[0]))


def _row(fill: TakerFill, paid_quote: float, charged_rate: float) -> Paid:
    charged_quote = fill.notional_quote * charged_rate
    return Paid(
        fill.market.value, fill.symbol, fill.intent_id, fill.at_ms, fill.notional_quote, paid_quote, charged_quote
    )


def _own_shares(phases: Sequence[MakerPhase], settings: LabSettings) -> Iterator[LearnedShare]:
    """Of all slices that were quoted, those filled whole by it in time, however often they were quoted again."""
    budget_s = settings.execution.maker_budget_s
    for (market, symbol), slices in sorted(_by_market(phases).items()):
        for part in PARTS_OF_BUDGET:
            whole = sum(one.filled_share >= 1.0 and one.quoted_s <= part * budget_s for one in slices)
            in_part = sum(0.0 < one.filled_share < 1.0 for one in slices)
            yield share_learned(
                market.value,
                symbol,
                OWN,
                within_s=part * budget_s,
                filled=whole,
                of=len(slices),
                in_part=in_part,
            )


def _book_shares(seen: Mapping[Key, Looks], settings: LabSettings) -> Iterator[LearnedShare]:
    """Of orders imagined in recorded books, those that the market went through."""
    budget_s = min(settings.execution.maker_budget_s, WINDOW_MS / 1000)
    for (market, symbol), looks in sorted(seen.items()):
        for behind in BEHIND_BPS:
            for part in PARTS_OF_BUDGET:
                filled, of = looks.filled(within_s=part * budget_s, behind_bps=behind)
                if of:
                    yield share_learned(
                        market.value,
                        symbol,
                        BOOKS,
                        within_s=part * budget_s,
                        filled=filled,
                        of=of,
                        behind_bps=behind,
                    )


def _by_market(rows: Sequence[Row]) -> dict[Key, list[Row]]:
    found = defaultdict[Key, list[Row]](list)
    for row in rows:
        found[row.market, row.symbol].append(row)
    return found
