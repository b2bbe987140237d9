"""How a carry weighs what it expects, and what a round trip costs it. No kernel: the guardian does without numba."""

from __future__ import annotations

from typing import NamedTuple


class CarryWeights(NamedTuple):
    """How a carry weighs what it expects; `carry:` of `lab.yaml` as the kernels take it."""

    horizon_hours: float = 720.0
    """Holding time over which an entry must pay for itself, and an exit is judged."""
    lookback_hours: float = 720.0
    """Window of settled rates that the expectation is drawn from."""
    doubt: float = 0.5
    """Standard errors taken off the expected rate before an entry."""
    cost_margin: float = 1.25
    """An entry's expected funding must be this many times the full round trip."""
    impact_rate: float = 0.00005
    """Price impact that the round trip counts for one leg, fraction."""
    basis_stress: float = 5.0
    """Leave when the basis is this many times the largest of an entry against us."""
    min_liquidation_distance: float = 0.25
    """Leave when the short's liquidation price is nearer than this fraction of the contract's price."""


def round_trip_rate(
    spot_taker: float, perp_taker: float, spot_spread: float, perp_spread: float, impact_rate: float
) -> float:
    """Fees, half spreads and impact of all four legs as a taker, fraction of one leg's notional.

    Args:
        spot_taker: Fee, fraction.
        perp_taker: Likewise.
        spot_spread: Ask less bid, fraction of mid.
        perp_spread: Likewise.
        impact_rate: Of one leg.
    """
    return 2.0 * (spot_taker + perp_taker) + spot_spread + perp_spread + 4.0 * impact_rate
