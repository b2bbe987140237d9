"""Whom the lab asks at an exchange: the account that trades, the market that is read, the past, a second source."""

from __future__ import annotations

from dataclasses import replace

import structlog

from ops.environment import Environment, find_home
from ops.settings import LabSettings
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError, NetworkDownError, RateLimitError, SettingsError
from trading.domain.events import Event, Publish, Severity
from trading.domain.instrument import Instrument, Market
from trading.domain.venue import MarketData, Venue
from trading.exchange.access import Access
from trading.exchange.open_venue import (
    MARKETS,
    TAKER_PCT,
    TRADES_AT,
    Records,
    open_account,
    open_market_data,
    open_records,
)
from trading.exchange.rate_plan import RatePlan
from trading.exchange.recording import Recorder
from trading.storage.home import Home

log = structlog.get_logger(__name__)

START_WAITS_S = (0.5, 1.0, 2.0)
"""Real seconds between the first questions to an exchange that does not answer them."""


def make_venue(
    settings: LabSettings,
    environment: Environment,
    clock: Clock,
    home: Home | None = None,
    *,
    record: Recorder | None = None,
    is_guardian: bool = False,
) -> Venue:
    """The account that trades, with keys where there are any, whatever exchange is read.

    Args:
        settings: Where it is, when not at the real address.
        environment: The keys.
        clock: Lab time.
        home: Whose shared budget of requests it takes from; None: the home of this process.
        record: Where everything public is written down as it came; None: nowhere.
        is_guardian: It may take from the share of the budget that is kept for the guardian.

    Raises:
        SettingsError: one half of a key is missing.
    """
    return open_account(replace(_access(settings, environment, clock, home, record), is_guardian=is_guardian))


def make_market_data(
    settings: LabSettings,
    environment: Environment,
    clock: Clock,
    home: Home | None = None,
    *,
    record: Recorder | None = None,
) -> MarketData:
    """The public side of the exchange that is read; arguments as of `make_venue`."""
    return open_market_data(settings.venue.exchange, _access(settings, environment, clock, home, record))


def make_records(settings: LabSettings, environment: Environment, clock: Clock, home: Home | None = None) -> Records:
    """The past and the listings of the exchange that is traded at; arguments as of `make_venue`."""
    return open_records(_access(settings, environment, clock, home))


def make_second(settings: LabSettings, environment: Environment, clock: Clock, home: Home) -> MarketData | None:
    """Who else says what the quote coin is worth; None: the settings ask nobody."""
    name = settings.hedge.second_source
    return None if name == "none" else open_market_data(name, _access(settings, environment, clock, home))


def _access(
    settings: LabSettings, environment: Environment, clock: Clock, home: Home | None, record: Recorder | None = None
) -> Access:
    return Access(
        clock,
        settings.venue.base_url,
        environment.binance_testnet,
        environment.binance_api_key,
        environment.binance_api_secret,
        RatePlan((home or find_home()).rate),
        record,
    )


def check_fee(settings: LabSettings) -> None:
    """Paper must not trade more cheaply than the exchange would let it.

    Raises:
        SettingsError: `paper.fee_pct` is below what the exchange charges a small account.
    """
    exchange, charged_pct = settings.venue.exchange, TAKER_PCT[settings.venue.exchange]
    if settings.paper.fee_pct < charged_pct and exchange != TRADES_AT:
        raise SettingsError(
            f"paper.fee_pct={settings.paper.fee_pct:g}: {exchange} charges a small account {charged_pct:g} % a trade; "
            f"set paper.fee_pct: {charged_pct:g} or more"
        )


async def listed(
    settings: LabSettings, venue: MarketData, clock: Clock, *, publish: Publish
) -> dict[tuple[Market, str], Instrument]:
    """The filters of every market of the settings. A symbol beside the first that is not listed is left out, and told:
    the lab must come up for what it holds.

    Raises:
        DataProviderError: the exchange does not answer, or does not list the first symbol.
    """
    found: dict[tuple[Market, str], Instrument] = {}
    sides = MARKETS[settings.venue.exchange]
    for symbol in settings.venue.symbols:
        try:
            mine = [await first_answer(venue, side, symbol, clock) for side in sides]
        except NetworkDownError:
            raise
        except DataProviderError as error:
            if symbol == settings.venue.symbol:
                raise
            facts = {"symbol": symbol, "why": str(error)}
            publish(Event(clock.now_ms(), "market.left_out", facts, Severity.NOTICE))
            continue
        found |= {(instrument.market, symbol): instrument for instrument in mine}
    return found


async def first_answer(venue: MarketData, side: Market, symbol: str, clock: Clock) -> Instrument:
    """A symbol's filters, asked for again when the exchange stumbles: a lab that holds positions must come up.

    Raises:
        DataProviderError: it does not answer, or does not list the symbol, in so many tries.
    """
    for wait_s in START_WAITS_S:
        try:
            return await venue.instrument(side, symbol)
        except (DataProviderError, RateLimitError) as error:
            log.warning("lab.start_again", market=side, symbol=symbol, wait_s=wait_s, why=str(error))
            await clock.real_sleep_s(wait_s)
    return await venue.instrument(side, symbol)
