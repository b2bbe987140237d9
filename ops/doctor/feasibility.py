"""Asks the account what it has and the exchange what it wants: with these limits, is at least one trade permitted?"""

from __future__ import annotations

from ops.doctor.checks import Check, Health, limits_check
from ops.settings import LabSettings
from trading.domain.decisions import Decision
from trading.domain.errors import TradingEngineError
from trading.domain.instrument import Market
from trading.domain.venue import Venue
from trading.risk.feasibility import feasible


async def feasibility(settings: LabSettings, venue: Venue) -> Decision:
    """Whether, with the account's own money, filters and fees, at least one trade is possible; why not is told of the
    first symbol.

    Raises:
        TradingEngineError: the exchange does not say.
    """
    found = await _of_symbol(settings, venue, settings.venue.symbol)
    for symbol in settings.venue.more_symbols:
        if found.allowed:
            break
        other = await _of_symbol(settings, venue, symbol)
        found = other if other.allowed else found
    return found


async def _of_symbol(settings: LabSettings, venue: Venue, symbol: str) -> Decision:
    spot, perp = await venue.instrument(Market.SPOT, symbol), await venue.instrument(Market.PERP, symbol)
    equity = 0.0
    for market in Market:
        balances = await venue.balances(market)
        equity += float(balances[spot.quote].total) if spot.quote in balances else 0.0
    price = (await venue.quote(Market.SPOT, symbol)).mid
    fees = [await venue.fees(market, symbol) for market in Market]
    round_trip_rate = 2 * sum(fee.taker_rate for fee in fees)
    return feasible(equity, settings.risk, spot, perp, price=price, round_trip_rate=round_trip_rate)


async def feasibility_check(settings: LabSettings, venue: Venue) -> Check:
    """The same as a line of the doctor's screen."""
    try:
        return limits_check(await feasibility(settings, venue))
    except TradingEngineError as error:
        return Check("limits feasible", Health.BAD, str(error), "try again when the exchange answers")
