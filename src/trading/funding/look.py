"""One look at the market: quotes, funding, settled rates and fees, with the data validator's verdict over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from trading.domain.clock import DAY_MS
from trading.domain.instrument import Instrument, Market
from trading.domain.market import FundingNow, Quote
from trading.funding.carry import CarryMarket
from trading.funding.ledger import Pair
from trading.funding.room import Room
from trading.market.data_integrity_validator import (
    Beside,
    ClockReading,
    Recent,
    ValidatorSettings,
    Verdict,
    validate_clock,
    validate_funding,
    validate_instrument,
    validate_quote,
    validate_settlements,
)
from trading.market.rolling import RecentPrices
from trading.market.validator_rules import RuleId, demand, merge

WANTED = frozenset(
    {RuleId.CLOCK_DRIFT, RuleId.SECOND_SOURCE, RuleId.TICK, RuleId.SYMBOL_STATUS, RuleId.FUNDING_MISSING}
)
"""What must have been looked at before an order: not to know is to be refused. The rest needs an earlier look."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a look is held against, apart from the quotes before it; what is not known is told as not looked at."""

    funding: FundingNow | None = None
    """What the contract said at the look before."""
    recent: Mapping[Market, Recent] = field(default_factory=dict)
    """Mids of the looks before."""
    instruments: Mapping[Market, Instrument] = field(default_factory=dict)
    """The venue's filters and status."""
    settled_until_ms: int | None = None
    """Settlements up to this time were asked for, UTC milliseconds."""
    reading: ClockReading | None = None
    """The venue's clock at the beginning of the look."""


async def read_market(room: Room, pair: Pair) -> CarryMarket:
    """Read all a decision looks at; the quotes are kept in the room for the next look.

    Raises:
        DataProviderError: the venue does not answer, or with nonsense.
        ExecutionError: it refuses to.
    """
    venue, symbol, now_ms = room.tools.venue, pair.symbol, room.tools.clock.now_ms()
    venue_ms = await venue.time_ms()
    reading = ClockReading(now_ms, room.tools.clock.now_ms(), venue_ms)
    funding = await venue.funding_now(symbol)
    since_ms = now_ms - round(room.carry.lookback_days * DAY_MS) - funding.interval_ms
    settled = await venue.funding_history(symbol, start_ms=since_ms, limit=1000)
    market = CarryMarket(
        now_ms=0,
        spot=await venue.quote(Market.SPOT, symbol),
        perp=await venue.quote(Market.PERP, symbol),
        funding=funding,
        settled=tuple(rate for rate in settled if rate.time_ms <= now_ms),
        spot_fees=await venue.fees(Market.SPOT, symbol),
        perp_fees=await venue.fees(Market.PERP, symbol),
    )
    market = replace(market, now_ms=room.tools.clock.now_ms())
    known = Known(
        room.last_funding.get(symbol),
        {m: prices.view() for m in Market if (prices := room.recent_mids.get((m, symbol))) is not None},
        {Market.SPOT: pair.spot, Market.PERP: pair.perp},
        now_ms,
        reading,
    )
    last = {m: quote for m in Market if (quote := room.last_quotes.get((m, symbol))) is not None}
    verdict = judge_market(market, last, room.validator, known=known)
    market = replace(market, data=demand(verdict, WANTED, room.validator))
    _remember(room, market)
    return market


def _remember(room: Room, market: CarryMarket) -> None:
    """Keep a look for the next one to be held against."""
    for quote in (market.spot, market.perp):
        room.last_quotes[quote.market, quote.symbol] = quote
        if quote.mid > 0:
            room.recent_mids.setdefault((quote.market, quote.symbol), RecentPrices()).append(quote.at_ms, quote.mid)
    room.last_funding[market.funding.symbol] = market.funding


NOTHING_KNOWN = Known()


def judge_market(
    market: CarryMarket, last: Mapping[Market, Quote], settings: ValidatorSettings, *, known: Known = NOTHING_KNOWN
) -> Verdict:
    """The validator over one look: spot is held against the contract, the contract against its index, each against its
    last quote.

    Args:
        market: As read.
        last: Quotes of the look before; of another symbol, or of no price, they do not count.
        settings: The validator's thresholds.
        known: What else the look is held against.
    """
    symbol = market.perp.symbol
    settled_ms = [rate.time_ms for rate in market.settled]
    interval_ms = None if known.settled_until_ms is None else market.funding.interval_ms
    beside = {m: Beside(known.recent.get(m), known.instruments.get(m)) for m in Market}
    previous = {m: quote for m, quote in last.items() if quote.symbol == market.perp.symbol and quote.mid > 0}
    return merge(
        validate_clock(known.reading, settings),
        validate_quote(
            market.spot,
            settings,
            now_ms=market.now_ms,
            previous=previous.get(Market.SPOT),
            second_price=market.perp.mid,
            beside=beside[Market.SPOT],
        ),
        validate_quote(
            market.perp,
            settings,
            now_ms=market.now_ms,
            previous=previous.get(Market.PERP),
            second_price=market.funding.index_price,
            beside=beside[Market.PERP],
        ),
        validate_funding(market.funding, settings, now_ms=market.now_ms, previous=known.funding),
        validate_settlements(symbol, settled_ms, interval_ms, settings, now_ms=known.settled_until_ms or 0),
        *(validate_instrument(known.instruments.get(m), settings, where=f"{m} {symbol}") for m in Market),
        settings=settings,
    )
