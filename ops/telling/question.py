"""What a human is asked about a strategy: the facts of the request, from its evidence and its paper account. Pure."""

from __future__ import annotations

from math import sqrt

from ai_brain.evidence.return_moments import ReturnMoments
from ai_brain.evidence.seven_conditions import conditions, how_many_hold
from ai_brain.evidence.verdict import SEARCH, WALK_FORWARD, Evidence, Expectancy, Stretch
from ai_brain.paper.performance import INTERVAL, PaperPerformance
from ops.figures import each_on_average, figure
from trading.domain.counted import counted
from trading.domain.market import YEAR_MS
from trading.strategy.spec import StrategySpec


def question(
    spec: StrategySpec, evidence: Evidence, paper: str, shown: PaperPerformance | None = None
) -> dict[str, object]:
    """Facts of `strategy.review`.

    Args:
        spec: What is asked about.
        evidence: Its own.
        paper: `paper_words` of its account.
        shown: The same in numbers; None: not known.
    """
    judged = f"{evidence.positive} of {len(evidence.judged)} judged stretches positive"
    return {
        "id": spec.id,
        "name": spec.name,
        "thesis": spec.origin.thesis,
        "refutation": spec.origin.refutation,
        "backtest": _stretch(evidence.stretch(SEARCH)),
        "walk_forward": f"{_stretch(evidence.stretch(WALK_FORWARD))}; {judged}; {_significance(evidence)}",
        "paper": paper,
        "gate": _gate(evidence, shown),
    }


def _gate(evidence: Evidence, shown: PaperPerformance | None) -> str:
    """How many of the seven conditions hold, then a line for each with what was measured and what is needed."""
    asked = conditions(evidence, shown)
    told = [f"{one.sign} {one.asks}: {one.measured}{f' ({one.needed})' if one.needed else ''}" for one in asked]
    return "\n".join([how_many_hold(asked), *told])


def paper_words(shown: PaperPerformance, note: str) -> str:
    """What it did on paper, and why that is enough to ask."""
    return (
        f"{figure(shown.net_return, '+.3%')} in {shown.hours / 24:.1f} days, "
        f"n = {counted(shown.results, 'settlement' if shown.settlements else 'trade')}, "
        f"{each_on_average(shown.mean_low, shown.mean_high)}. {note}"
    )


def _stretch(stretch: Stretch | None) -> str:
    if stretch is None:
        return "not run"
    n = counted(stretch.settlements, "settlement") if stretch.settlements else counted(stretch.trades, "trade")
    return (
        f"{figure(stretch.net_return, '+.2%')} net over {counted(stretch.bars, 'bar')}, n = {n}, "
        f"deepest fall {stretch.max_drawdown:.2%}, {_sharpe(stretch)}"
    )


def _sharpe(stretch: Stretch) -> str:
    """A year, with the 95 % that so many bars leave open: as of normal returns, Lo (2002), eq. 9."""
    told = f"Sharpe {stretch.sharpe_annual:.2f} a year"
    years = (stretch.end_ms - stretch.start_ms) / YEAR_MS
    if stretch.bars < 2 or years <= 0.0:
        return told
    per_bar = sqrt(stretch.bars / years)
    moments = ReturnMoments(stretch.bars, stretch.sharpe_annual / per_bar)
    half = INTERVAL * per_bar * sqrt(moments.sharpe_variance() / (stretch.bars - 1))
    return f"{told}, 95 % {stretch.sharpe_annual - half:.2f} to {stretch.sharpe_annual + half:.2f}"


def _significance(evidence: Evidence) -> str:
    found = evidence.statistics
    if found is None:
        return "no statistics"
    told = f"deflated Sharpe {found.deflated_sharpe:.3f} against the best of {counted(found.trials, 'idea')}"
    return f"{told}; {_expectancy(found.expectancy)}" if found.expectancy is not None else told


def _expectancy(of: Expectancy) -> str:
    """What a judged trade brings, with n and interval."""
    if of.low_quote is None or of.high_quote is None:
        return f"a judged trade {of.mean_quote:+.2f} USDT, n = {of.trades:,}, which chance leaves wide open"
    interval = f"{of.confidence:.0%} {of.low_quote:+.2f} to {of.high_quote:+.2f}"
    return f"a judged trade {of.mean_quote:+.2f} USDT, n = {of.trades:,}, {interval}"
