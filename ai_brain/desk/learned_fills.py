"""What the lab has learned of its own fills: made every night, read by whoever charges; on disk see `learned_file`.

A ratio is what was paid over what the model charges, 1 being as charged. Nothing here enlarges a risk: costs rise with
the estimate at once and fall only where the dear end of the interval has fallen below what is charged. Only own fills
hold a charge up like that: where there are not enough of them it follows the recorded books of the last nights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ai_brain.desk.fill_statistics import (
    ENOUGH,
    LARGEST_RATIO,
    Measured,
    assumed,
    believed,
    measured,
    wilson,
)
from trading.domain.clock import DAY_MS, iso

ALL = "all"
"""Orders of every size."""
SIZES = ((1_000.0, "to 1,000"), (10_000.0, "to 10,000"), (100_000.0, "to 100,000"), (float("inf"), "beyond"))
"""Classes of an order's notional, quote."""
OWN, BOOKS = "own slices", "recorded books"
"""Where a share comes from."""
NIGHTS = 7
"""Of recorded books that make a prior: their median, so that one night of panic is not the charge of a year."""

RatioNumber = Annotated[float, Field(ge=0, le=LARGEST_RATIO, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Unit = Annotated[float, Field(ge=0, le=1)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LearnedRatio(_Record):
    """What orders of one market paid over what the model charges for them."""

    market: str
    """`spot` or `perp`."""
    symbol: str
    size: str = ALL
    n: Count
    """Orders."""
    sagas: Count
    """That they belong to."""
    is_enough: bool
    """False: not enough data, the prior stands."""
    measured: Annotated[float, Field(allow_inf_nan=False)] | None
    """By the fills alone; None: there were none."""
    ratio: RatioNumber
    """The prior and the fills together, with its 95 % interval."""
    low: RatioNumber
    high: RatioNumber
    assumed: RatioNumber
    """What is charged from now on, over what the model charges; below 1 see `charged_for`."""
    large_quote: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Notional that `ENOUGH` of the orders reached; 0: there were not so many."""
    since_ms: int
    """Of the first order; 0: there was none."""
    by_own: RatioNumber | None = None
    """What own fills had charged when last there were enough; None: never, or an older lab wrote it."""

    @property
    def own_charge(self) -> float | None:
        """What own fills hold up whatever books say; None: nothing."""
        return self.assumed if self.by_own is None and self.is_enough else self.by_own

    def charged_for(self, notional_quote: float) -> float:
        """What orders of up to so much are charged over the model: cheap small orders say nothing of large ones."""
        return self.assumed if notional_quote <= self.large_quote else max(1.0, self.assumed)


class LearnedBooks(_Record):
    """What walks through recorded books paid over what the model charges: the prior of a market's own fills."""

    market: str
    symbol: str
    n: Count
    """Walks."""
    hours: Count
    """In which the books lay."""
    notional_quote: float
    """Of each walk."""
    measured: float | None
    """Of the last night."""
    prior: RatioNumber
    """1, or more where the books of the last nights are dearer than the model; they lower nothing."""
    nights: tuple[tuple[int, Annotated[float, Field(allow_inf_nan=False)]], ...] = ()
    """(day since 1970, measured) of the last `NIGHTS` nights that had enough walks, oldest first."""


class LearnedShare(_Record):
    """How often what rests is filled."""

    market: str
    symbol: str
    source: str
    """`own slices`: filled whole by quoting; `recorded books`: orders traded through by more than their price."""
    within_s: float
    """Lab seconds after it was first quoted."""
    behind_bps: float = 0.0
    """How far behind the best price of its side it rests."""
    n: Count
    filled: Count
    in_part: Count = 0
    """Of the others, those that something of was filled."""
    low: Unit
    high: Unit


class LearnedFills(_Record):
    """Everything, as of one night."""

    as_of_ms: int
    slippage: tuple[LearnedRatio, ...] = ()
    """Against the mid, over the law that backtests charge; by market, then by size."""
    impact: tuple[LearnedRatio, ...] = ()
    """Beyond the best price, over `carry.impact_bps`, which the carry's decision weighs; by market."""
    books: tuple[LearnedBooks, ...] = ()
    maker: tuple[LearnedShare, ...] = ()
    blind: Count = 0
    """Orders that took without a quote written beside them; they teach nothing."""
    barless: Count = 0
    """Orders whose bar is not recorded yet."""

    @property
    def version(self) -> str:
        """Names this file in everything that was reckoned with it: its day and twelve digits of its hash."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return f"fills of {iso(self.as_of_ms)[:10]} {hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def ratio_of(self, market: str, symbol: str) -> LearnedRatio | None:
        """Of all orders of a market; None: there were none."""
        return _of(self.slippage, market, symbol)

    def impact_of(self, market: str, symbol: str) -> LearnedRatio | None:
        """Likewise beyond the best price."""
        return _of(self.impact, market, symbol)


@dataclass(frozen=True, slots=True)
class Paid:
    """One order, or one walk through a recorded book, against the model."""

    market: str
    symbol: str
    group: str
    """Orders of one saga, walks of one hour."""
    at_ms: int
    notional_quote: float
    paid_quote: float
    charged_quote: float


def ratios_learned(
    orders: Sequence[Paid], before: Iterable[LearnedRatio], priors: Iterable[LearnedBooks] = ()
) -> tuple[LearnedRatio, ...]:
    """Every market's ratio over all its orders, then by size class where there are several.

    Args:
        orders: What was paid.
        before: As learned the last time; what own fills had charged by it is lowered only by the rule.
        priors: Of recorded books.
    """
    known = {(r.market, r.symbol, r.size): r for r in before}
    centre, found = {(b.market, b.symbol): b.prior for b in priors}, list[LearnedRatio]()
    for (market, symbol), of_market in groupby(sorted(orders, key=_by_market), key=_by_market):
        rows, prior = list(of_market), centre.pop((market, symbol), 1.0)
        classes = {ALL: rows} | {size: [r for r in rows if size_class(r.notional_quote) == size] for _, size in SIZES}
        told = {size: some for size, some in classes.items() if some and (size == ALL or len(some) < len(rows))}
        for size, some in told.items():
            found.append(_learned(market, symbol, size, some, prior, known.pop((market, symbol, size), None)))
    # A market whose books are dear is charged more before its first own order.
    dear = [(key, prior) for key, prior in centre.items() if prior > 1.0]
    found += [_learned(*key, ALL, [], prior, known.pop((*key, ALL), None)) for key, prior in dear]
    # What was learned of a market that has no order any more (the journal was restored without it) goes on being so.
    kept = [r for r in known.values() if r.size == ALL and r.own_charge is not None]
    return tuple(sorted([*found, *kept], key=lambda r: (r.market, r.symbol, r.size != ALL)))


def books_learned(walks: Sequence[Paid], before: Iterable[LearnedBooks], *, at_ms: int) -> tuple[LearnedBooks, ...]:
    """What recorded books say of each market's prior.

    Args:
        walks: Of one night.
        before: As learned the last time; a market without a walk tonight keeps it.
        at_ms: Now; of one day the last night counts.
    """
    known, told = {(b.market, b.symbol): b for b in before}, []
    for (market, symbol), of_market in groupby(sorted(walks, key=_by_market), key=_by_market):
        rows = list(of_market)
        found = _measured(rows)
        last, today = known.pop((market, symbol), None), at_ms // DAY_MS
        nights = [] if last is None else [night for night in last.nights if night[0] != today]
        if found.is_enough and found.ratio is not None:
            nights.append((today, found.ratio))
        nights = nights[-NIGHTS:]
        told.append(
            LearnedBooks(
                market=market,
                symbol=symbol,
                n=found.n,
                hours=found.groups,
                notional_quote=rows[0].notional_quote,
                measured=found.ratio,
                prior=min(max(1.0, median(ratio for _, ratio in nights) if nights else 1.0), LARGEST_RATIO),
                nights=tuple(nights),
            )
        )
    return tuple(sorted([*told, *known.values()], key=lambda b: (b.market, b.symbol)))


def share_learned(
    market: str,
    symbol: str,
    source: str,
    *,
    within_s: float,
    filled: int,
    of: int,
    behind_bps: float = 0.0,
    in_part: int = 0,
) -> LearnedShare:
    """A count with its interval."""
    low, high = wilson(filled, of)
    return LearnedShare(
        market=market,
        symbol=symbol,
        source=source,
        within_s=within_s,
        behind_bps=behind_bps,
        n=of,
        filled=filled,
        in_part=in_part,
        low=low,
        high=high,
    )


def size_class(notional_quote: float) -> str:
    """The name of an order's size."""
    return next(name for limit, name in SIZES if notional_quote <= limit)


def _learned(
    market: str, symbol: str, size: str, rows: Sequence[Paid], prior: float, before: LearnedRatio | None
) -> LearnedRatio:
    found = _measured(rows)
    belief, by_own = believed(found, prior=prior), None if before is None else before.own_charge
    charge = prior if by_own is None else max(prior, by_own)
    if found.is_enough:
        by_own = charge = assumed(1.0 if before is None else before.assumed, belief)
    return LearnedRatio(
        market=market,
        symbol=symbol,
        size=size,
        n=found.n,
        sagas=found.groups,
        is_enough=found.is_enough,
        measured=found.ratio,
        ratio=belief.ratio,
        low=belief.low,
        high=belief.high,
        assumed=charge,
        by_own=by_own,
        large_quote=sorted((row.notional_quote for row in rows), reverse=True)[ENOUGH - 1] if found.is_enough else 0.0,
        since_ms=min((row.at_ms for row in rows), default=0),
    )


def _measured(rows: Sequence[Paid]) -> Measured:
    return measured(
        np.array([row.paid_quote for row in rows]),
        np.array([row.charged_quote for row in rows]),
        np.array([row.group for row in rows], dtype=np.str_),
    )


def _by_market(row: Paid) -> tuple[str, str]:
    return row.market, row.symbol


def _of(ratios: Iterable[LearnedRatio], market: str, symbol: str) -> LearnedRatio | None:
    return next((r for r in ratios if (r.market, r.symbol, r.size) == (market, symbol, ALL)), None)
