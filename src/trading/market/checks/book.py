"""A depth book: whole, fresh, two-sided, best first, not crossed, on its steps."""

from __future__ import annotations

import math
from collections.abc import Iterator

from trading.domain.instrument import Instrument
from trading.domain.market import Book
from trading.market.checks.bar import FUTURE_MAX_S, verdict_of
from trading.market.checks.instrument import judge_steps
from trading.market.checks.moves import judge_distance
from trading.market.checks.quote import judge_spread
from trading.market.checks.rules import RuleId
from trading.market.validator_rules import Finding, Unchecked, ValidatorSettings, Verdict


def validate_book(
    book: Book,
    settings: ValidatorSettings,
    *,
    now_ms: float,
    is_whole: bool,
    second_price: float | None = None,
    instrument: Instrument | None = None,
) -> Verdict:
    """May orders be sized and priced by this book.

    Args:
        book: As it is held.
        settings: The validator's thresholds.
        now_ms: The venue's time: lab time and the measured offset.
        is_whole: No update of its sequence is missing since its snapshot. A single snapshot is whole.
        second_price: The same coin's price elsewhere, held against the book's mid.
        instrument: The venue's filters; None: not known.
    """
    where = f"{book.market} {book.symbol} book"
    told: list[Finding | Unchecked] = []
    if not is_whole:
        told.append(Finding(RuleId.BOOK_BROKEN, where, 0.0, 1.0))
    told += _age(book, settings, now_ms, where)
    wrong = list(_levels(book, where))
    told += wrong
    if not wrong:
        bid, ask = book.bids[0][0], book.asks[0][0]
        told += judge_spread(bid, ask, settings, where)
        told += judge_distance((bid + ask) / 2.0, second_price, settings, where)
        levels = (*book.bids, *book.asks)
        told += judge_steps([level[0] for level in levels], [level[1] for level in levels], instrument, where)
    return verdict_of(told, settings)


def _age(book: Book, settings: ValidatorSettings, now_ms: float, where: str) -> Iterator[Finding]:
    age_s = (now_ms - book.at_ms) / 1000.0
    if age_s > settings.book_max_age_s:
        yield Finding(RuleId.BOOK_STALE, where, age_s, settings.book_max_age_s)
    elif age_s < -FUTURE_MAX_S:
        yield Finding(RuleId.QUOTE_FUTURE, where, -age_s, FUTURE_MAX_S)


def _levels(book: Book, where: str) -> Iterator[Finding]:
    """What makes the two sides no book; the first of each kind."""
    fewest = min(len(book.bids), len(book.asks))
    if not fewest:
        yield Finding(RuleId.BOOK_EMPTY, where, fewest, 1)
        return
    bad = [
        number for level in (*book.bids, *book.asks) for number in level if not (math.isfinite(number) and number > 0)
    ]
    if bad:
        yield Finding(RuleId.BOOK_NOT_POSITIVE, where, bad[0], 0.0)
        return
    for side, sign in ((book.bids, -1.0), (book.asks, 1.0)):
        wrong = next((i for i in range(1, len(side)) if (side[i][0] - side[i - 1][0]) * sign <= 0), None)
        if wrong is not None:
            yield Finding(RuleId.BOOK_ORDER, where, side[wrong][0], side[wrong - 1][0])
            return
    if book.bids[0][0] >= book.asks[0][0]:
        yield Finding(RuleId.BOOK_CROSSED, where, book.bids[0][0], book.asks[0][0])
