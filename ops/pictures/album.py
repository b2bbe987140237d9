"""The pictures of a summary, drawn in one go; for a worker thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ops.pictures.carry import carry_chart
from ops.pictures.equity import equity_chart
from ops.pictures.funnel import funnel_chart
from ops.pictures.gathered import DAYS, equity_series, funnel_of, payments
from trading.storage.home import Home
from trading.strategy.spec import StrategySpec


@dataclass(frozen=True, slots=True)
class Subject:
    """What is drawn of."""

    home: Home
    specs: Sequence[StrategySpec]
    refused: Mapping[str, int]
    """By reason, before paper."""
    tried: int
    """The trial ledger's count."""
    now_ms: int
    start_quote: float
    """Equity the live account began with; 0: there is none."""
    is_synthetic: bool


def draw_album(subject: Subject) -> tuple[bytes, ...]:
    """Equity, carry and funnel as PNG bytes; what there is nothing of is left out.

    Raises:
        StateFileError: a file of state makes no sense.
        DataProviderError: the store of recorded markets cannot be read.
    """
    stamp = subject.is_synthetic
    drawn = []
    times, series = equity_series(subject.home, subject.specs, now_ms=subject.now_ms, start_quote=subject.start_quote)
    if series:
        title = f"Accounts, last {DAYS} days at most; 100 = where each began"
        drawn.append(equity_chart(times, series, title=title, unit="100 = its start", is_synthetic=stamp))
    paid = payments(subject.home)
    if paid:
        drawn.append(carry_chart(paid, is_synthetic=stamp))
    drawn.append(funnel_chart(funnel_of(subject.specs, subject.refused, tried=subject.tried), is_synthetic=stamp))
    return tuple(drawn)
