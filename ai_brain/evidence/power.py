"""What could be proven at all: asked before any performance is computed."""

from __future__ import annotations

from math import inf, sqrt
from statistics import NormalDist

from ai_brain.evidence.significance import trial_variance
from ai_brain.evidence.verdict import Power
from trading.domain.counted import counted


def provable_sharpe(bars: int, *, hurdle: float, confidence: float) -> float:
    """Smallest Sharpe ratio whose deflated Sharpe ratio reaches `confidence`, if returns are normal.

    Args:
        bars: Of the judged record, >= 2.
        hurdle: What it must beat, per bar.
        confidence: 0 to 1, exclusive.

    Returns:
        Per bar. inf: so few bars prove nothing, however large the ratio.

    Raises:
        ValueError: fewer than 2 bars, or no confidence.

    Source:
        Bailey & López de Prado (2014), The Deflated Sharpe Ratio, eq. 2, with skewness 0 and kurtosis 3, solved for the
        ratio: (s - h)² (n - 1) = z² (1 + s² / 2), its root above the hurdle h.
    """
    if bars < 2 or not 0.0 < confidence < 1.0:
        raise ValueError(f"provable Sharpe: bars={bars}, confidence={confidence}: give 2 bars and a share below 1")
    n, z = bars - 1, NormalDist().inv_cdf(confidence)
    if n <= 0.5 * z * z:
        return inf
    return (hurdle * n + z * sqrt(n + 0.5 * hurdle * hurdle * n - 0.5 * z * z)) / (n - 0.5 * z * z)


def power_of(
    bars: int,
    *,
    vault_bars: int,
    vault_level: float,
    trials: int,
    expected_maximum: float,
    bars_per_year: float,
    confidence: float,
) -> Power:
    """What a record of that length could prove, to the deflated Sharpe ratio and in its vault.

    Args:
        bars: Of the whole record, >= 2.
        vault_bars: Of them, those in the vault, >= 2.
        vault_level: At which the next candidate's vault is tested.
        trials: Ideas tried, those that are asked about included.
        expected_maximum: Of as many worthless ones, standard deviations.
        bars_per_year: 8760 for 1 h bars.
        confidence: Of the deflated Sharpe ratio that is approved.
    """
    variance = trial_variance(bars)
    deflated = provable_sharpe(bars, hurdle=expected_maximum * sqrt(variance), confidence=confidence)
    needed = max(deflated, provable_sharpe(vault_bars, hurdle=0.0, confidence=1.0 - vault_level))
    return Power(
        bars=bars,
        vault_bars=vault_bars,
        vault_level=vault_level,
        trials=trials,
        trial_sharpe_variance=variance,
        expected_maximum=expected_maximum,
        confidence=confidence,
        provable_sharpe_annual=None if needed == inf else needed * sqrt(bars_per_year),
    )


def power_sentence(power: Power, *, bars_per_year: float) -> str:
    """For a person and for the one who thinks of ideas: what it would take here and now."""
    length = f"{power.bars / bars_per_year:.2g} years of bars and {counted(power.trials, 'idea')} tried"
    if power.provable_sharpe_annual is None:
        return f"With {length} nothing can be proven, however good."
    return (
        f"With {length}, only a net Sharpe of {power.provable_sharpe_annual:.2f} a year or more can be proven "
        f"(deflated at {power.confidence:.0%}, and in the vault at a level of {power.vault_level or 0.0:.2g})."
    )
