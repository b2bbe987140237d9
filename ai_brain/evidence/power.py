"""What could be proven at all: asked before any performance is computed."""

from __future__ import annotations

from math import inf, sqrt
from statistics import NormalDist

from ai_brain.evidence.expected_maximum_sharpe import expected_maximum_sharpe
from ai_brain.evidence.verdict import Power


def provable_sharpe(bars: int, *, trials: int, sharpe_variance: float, confidence: float) -> float:
    """Smallest Sharpe ratio whose deflated Sharpe ratio reaches `confidence`, if returns are normal.

    Args:
        bars: Of the judged record, >= 2.
        trials: N >= 1, this one included.
        sharpe_variance: Of the trials' Sharpe ratios, per bar.
        confidence: 0 to 1, exclusive.

    Returns:
        Per bar. inf: so few bars prove nothing, however large the ratio.

    Raises:
        ValueError: fewer than 2 bars, trials < 1, no variance, or no confidence.

    Source:
        Bailey & López de Prado (2014), The Deflated Sharpe Ratio, eq. 2, with skewness 0 and kurtosis 3, solved for the
        ratio: (s - h)² (n - 1) = z² (1 + s² / 2), its root above the hurdle h.
    """
    if bars < 2 or not 0.0 < confidence < 1.0:
        raise ValueError(f"provable Sharpe: bars={bars}, confidence={confidence}: give 2 bars and a share below 1")
    hurdle = expected_maximum_sharpe(trials, sharpe_variance=sharpe_variance)
    n, z = bars - 1, NormalDist().inv_cdf(confidence)
    if n <= 0.5 * z * z:
        return inf
    return (hurdle * n + z * sqrt(n + 0.5 * hurdle * hurdle * n - 0.5 * z * z)) / (n - 0.5 * z * z)


def power_of(
    bars: int, *, trials: int, ledger_variance: float | None, bars_per_year: float, confidence: float
) -> Power:
    """What a judged record of that length could prove.

    Args:
        bars: Of the judged stretches, >= 2.
        trials: Ideas tried, the one that is asked about included.
        ledger_variance: Of the ideas' Sharpe ratios, per bar; None: too few to tell.
        bars_per_year: 8760 for 1 h bars.
        confidence: Of the deflated Sharpe ratio that is approved.
    """
    variance = max(ledger_variance or 0.0, 1.0 / (bars - 1))
    needed = provable_sharpe(bars, trials=trials, sharpe_variance=variance, confidence=confidence)
    return Power(
        bars=bars,
        trials=trials,
        trial_sharpe_variance=variance,
        confidence=confidence,
        provable_sharpe_annual=None if needed == inf else needed * sqrt(bars_per_year),
    )


def power_sentence(power: Power, *, bars_per_year: float) -> str:
    """For a person and for the one who thinks of ideas: what it would take here and now."""
    length = f"{power.bars / bars_per_year:.2g} years of judged bars and {power.trials:,} ideas tried"
    if power.provable_sharpe_annual is None:
        return f"With {length} nothing can be proven, however good."
    return (
        f"With {length}, only a net Sharpe of {power.provable_sharpe_annual:.2f} a year or more on the judged bars can "
        f"be proven (deflated, {power.confidence:.0%})."
    )
