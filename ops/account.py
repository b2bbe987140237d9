"""A connection to the account that trades, for who needs no more of the lab: `ops.wiring` loads the whole service."""

from __future__ import annotations

from ops.environment import Environment
from ops.settings import LabSettings
from trading.domain.clock import Clock
from trading.domain.venue import Venue
from trading.exchange.access import Access
from trading.exchange.open_venue import open_account
from trading.exchange.rate_plan import RatePlan
from trading.storage.home import Home


def connect(home: Home, settings: LabSettings, environment: Environment, clock: Clock) -> Venue:
    """The account, with the keys of the environment and the home's shared budget of requests.

    Raises:
        SettingsError: one half of a key is missing.
    """
    keys = environment.binance_api_key, environment.binance_api_secret
    base_url, testnet = settings.venue.base_url, environment.binance_testnet
    return open_account(Access(clock, base_url, testnet, *keys, RatePlan(home.rate)))
