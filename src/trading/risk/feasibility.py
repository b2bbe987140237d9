"""At the start: with this equity, these limits, filters and fees, is at least one trade permitted at all? Pure."""

from __future__ import annotations

from trading.domain.decisions import Decision, Reason
from trading.domain.instrument import Instrument, coarser_lot
from trading.risk.guards import equity_caps
from trading.risk.limits import RiskLimits


def feasible(
    equity_quote: float, limits: RiskLimits, spot: Instrument, perp: Instrument, *, price: float, round_trip_rate: float
) -> Decision:
    """Is at least one trade permitted with this equity, these limits, filters and fees?

    Args:
        equity_quote: Of all wallets.
        price: Of the base, quote.
        round_trip_rate: Fees and spread of all four legs, fraction of one leg's notional.

    Returns:
        LIMITS_CONTRADICT naming the limits that exclude each other; value is the largest trade, limit the smallest, or
        the smallest trade's fees against a day's loss. With enough: OK, and which two are nearest.
    """
    lot_quote = float(max(coarser_lot(spot, perp), spot.min_quantity, perp.min_quantity)) * price
    floors = {
        "one coarser lot": lot_quote,
        f"the spot minimum of {spot.symbol}": float(spot.min_notional),
        f"the perpetual minimum of {perp.symbol}": float(perp.min_notional),
        "min_notional_usdt": limits.min_notional_usdt,
    }
    ceilings = equity_caps(equity_quote, limits, leverage=1)
    floor_name, floor = max(floors.items(), key=lambda item: item[1])
    ceiling_name, (_, ceiling) = min(ceilings.items(), key=lambda item: item[1][1])
    # A size is a whole number of coarser lots: what fits must be counted in lots, not in quote.
    if (ceiling // lot_quote) * lot_quote < floor:
        note = (
            f"{ceiling_name} of {equity_quote:.2f} equity allows {ceiling:.2f}, but {floor_name} needs {floor:.2f}; "
            f"add funds, raise {ceiling_name}, or trade a symbol with smaller minimums"
        )
        return Decision(False, Reason.LIMITS_CONTRADICT, ceiling, floor, note)
    fees, daily_loss = floor * round_trip_rate, equity_quote * limits.daily_loss_pct / 100
    if fees > daily_loss:
        note = (
            f"the fees of the smallest trade of {floor:.2f} are {fees:.2f}, but daily_loss_pct of {equity_quote:.2f} "
            f"equity allows {daily_loss:.2f}; add funds, or trade where fees are lower"
        )
        return Decision(False, Reason.LIMITS_CONTRADICT, fees, daily_loss, note)
    return Decision(True, Reason.OK, ceiling, floor, f"{floor_name} {floor:.2f} fits {ceiling_name} {ceiling:.2f}")
