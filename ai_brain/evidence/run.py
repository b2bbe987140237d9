"""One run of a spec over a stretch, told the same way for a rule strategy and for a funding carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.return_moments import ReturnMoments, return_moments
from trading.domain.clock import iso
from trading.domain.market import YEAR_MS

LEFT_OPEN = "LEFT_OPEN"
"""Reason of a line that was not closed: its exit is the last bar of its stretch, at that bar's close, without costs."""


class TradeLine(NamedTuple):
    """One trade: a rule strategy's position from entry to exit, or a carry's from opening to closing both legs.

    A tuple, because a search makes hundreds of thousands of them.
    """

    entry_ms: int
    """Open time of the bar it was opened in."""
    exit_ms: int | None
    """Of the bar it was closed in; None: still open at the end."""
    side: int
    """+1 long, -1 short; a carry is 0: long spot, short perpetual."""
    quantity_base: float
    entry_price: float
    """Fill, quote per base; of the spot leg for a carry."""
    exit_price: float | None
    fees_quote: float
    slippage_quote: float
    funding_quote: float
    pnl_quote: float
    """Net of fees and funding; slippage is already in the prices."""
    reason: str
    """Why it was closed."""
    perp_entry_price: float | None = None
    perp_exit_price: float | None = None
    """Of a carry's other leg; None: there is none."""


@dataclass(frozen=True, slots=True)
class SettlementLine:
    """One funding settlement that a carry met with its short on."""

    bar_ms: int
    """Open time of the bar it is booked in."""
    due_ms: int
    rate: float
    """Fraction of notional; positive: the short receives."""
    price: float
    """Of the notional, quote per base."""
    is_mark: bool
    """The price is the recorded mark; False: the bar's open, because no mark was recorded."""
    short_base: float
    funding_quote: float


@dataclass(frozen=True)
class Run:
    """What a spec did on a stretch, or on a chain of them; amounts in quote, all costs in the equity."""

    open_time_ms: NDArray[np.int64]
    """(n,) bars of the stretch; a chain has holes where bars were purged."""
    interval_ms: int
    equity: NDArray[np.float64]
    """(n,) marked at each close."""
    starting_quote: float
    trades: tuple[TradeLine, ...]
    """Closed ones, oldest first."""
    entries: int
    left_open: tuple[TradeLine, ...]
    """Still open at an end, marked at its last close; a run has one end, a chain as many as it has stretches."""
    settled: tuple[SettlementLine, ...]
    """Settlements met in position, summed up from the tape; of carries only."""
    fees_quote: float
    slippage_quote: float
    funding_quote: float
    """Received minus paid."""
    expected_funding_quote: float
    """Of a carry: recorded rates times the notional held, summed here and not by the simulator; else as booked."""
    traded_quote: float
    """Both sides of every fill."""
    liquidations: int
    identity_error_quote: float
    """Largest |equity - what start, trades, fees and funding add up to| wherever it could be checked."""

    @property
    def bars(self) -> int:
        """Bars of the stretch."""
        return len(self.open_time_ms)

    @property
    def settlements(self) -> int:
        """Funding settlements while in position; 0 for a rule strategy, which does not live on them."""
        return len(self.settled)

    @property
    def bars_per_year(self) -> float:
        """8760 for 1 h bars."""
        return YEAR_MS / self.interval_ms

    @property
    def start_ms(self) -> int:
        """Open of the first bar."""
        return int(self.open_time_ms[0])

    @property
    def end_ms(self) -> int:
        """Close of the last bar."""
        return int(self.open_time_ms[-1]) + self.interval_ms

    @cached_property
    def returns(self) -> NDArray[np.float64]:
        """(n,) per bar, fractions, read-only; the first against the starting equity."""
        before = np.concatenate(([self.starting_quote], self.equity[:-1]))
        returns = self.equity / before - 1.0
        returns.setflags(write=False)
        return returns

    @cached_property
    def moments(self) -> ReturnMoments:
        """Of its returns.

        Raises:
            ValueError: fewer than 2 bars, or equity that is no number or not above 0.
        """
        return return_moments(self.returns)

    @property
    def net_return(self) -> float:
        """Over the stretch, fraction of the starting equity."""
        return float(self.equity[-1] / self.starting_quote - 1.0)

    @property
    def max_drawdown(self) -> float:
        """Largest fall of marked equity from its peak, fraction."""
        curve = np.concatenate(([self.starting_quote], self.equity))
        return float(np.max(1.0 - curve / np.maximum.accumulate(curve)))

    @property
    def win_rate(self) -> float:
        """Closed trades that made money, fraction; 0 when there are none."""
        return sum(trade.pnl_quote > 0.0 for trade in self.trades) / len(self.trades) if self.trades else 0.0

    @property
    def longest_holding_bars(self) -> int:
        """From entry bar to exit bar; what is left open counts up to the end. 0 when nothing was held."""
        spans = [line.exit_ms - line.entry_ms for line in self.table if line.exit_ms is not None]
        return max(spans, default=0) // self.interval_ms

    @property
    def table(self) -> tuple[TradeLine, ...]:
        """Closed trades and those left open, by their entry: of a single run, its profit is the sum of theirs."""
        return tuple(sorted((*self.trades, *self.left_open), key=lambda line: line.entry_ms))


def suspicious_trades(trades: Sequence[TradeLine], *, count: int = 3) -> tuple[str, ...]:
    """The trades that carry most of a result, largest first, one line each, for a person to look at."""
    largest = sorted(trades, key=lambda trade: -abs(trade.pnl_quote))[:count]
    return tuple(
        f"{iso(t.entry_ms)} to {'open' if t.exit_ms is None else iso(t.exit_ms)}: quantity {t.quantity_base:g}, "
        f"{t.entry_price:g} to {'open' if t.exit_price is None else format(t.exit_price, 'g')}, "
        f"net {t.pnl_quote:+.4f} quote ({t.reason})"
        for t in largest
    )
