"""One look at the market: quotes, funding, settled rates and fees, with the data validator's verdict over them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from trading.domain.instrument import Market
from trading.domain.market import Quote
from trading.funding.carry import CarryMarket
from trading.funding.ledger import Pair
from trading.market.data_integrity_validator import ValidatorSettings, Verdict, validate_funding, validate_quote
from trading.market.validator_rules import merge

if TYPE_CHECKING:
    from trading.funding.cycle_base import Room


async def read_market(room: Room, pair: Pair) -> CarryMarket:
    """Read all a decision looks at; the quotes are kept in the room for the next look.

    Raises:
        DataProviderError: the venue does not answer, or with nonsense.
        ExecutionError: it refuses to.
    """
    venue, symbol, now_ms = room.tools.venue, pair.symbol, room.tools.clock.now_ms()
    funding = await venue.funding_now(symbol)
    limit = room.carry.lookback_settlements
    settled = await venue.funding_history(symbol, start_ms=now_ms - (limit + 1) * funding.interval_ms, limit=1000)
    market = CarryMarket(
        now_ms=0,
        spot=await venue.quote(Market.SPOT, symbol),
        perp=await venue.quote(Market.PERP, symbol),
        funding=funding,
        settled=tuple(rate for rate in settled if rate.time_ms <= now_ms)[-limit:],
        spot_fees=await venue.fees(Market.SPOT, symbol),
        perp_fees=await venue.fees(Market.PERP, symbol),
    )
    market = replace(market, now_ms=room.tools.clock.now_ms())
    market = replace(market, data=judge_market(market, room.last_quotes, room.validator))
    room.last_quotes.update({Market.SPOT: market.spot, Market.PERP: market.perp})
    return market


def judge_market(market: CarryMarket, last: dict[Market, Quote], settings: ValidatorSettings) -> Verdict:
    """The validator over one look: spot is held against the contract, the contract against its index, each against its
    last quote.

    Args:
        market: As read.
        last: Quotes of the look before; of another symbol, or of no price, they do not count.
        settings: The validator's thresholds.
    """
    previous = {m: quote for m, quote in last.items() if quote.symbol == market.perp.symbol and quote.mid > 0}
    return merge(
        validate_quote(
            market.spot,
            settings,
            now_ms=market.now_ms,
            previous=previous.get(Market.SPOT),
            second_price=market.perp.mid,
        ),
        validate_quote(
            market.perp,
            settings,
            now_ms=market.now_ms,
            previous=previous.get(Market.PERP),
            second_price=market.funding.index_price,
        ),
        validate_funding(market.funding, settings, now_ms=market.now_ms),
        settings=settings,
    )
