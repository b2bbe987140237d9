"""Once a day: what the venue lists now, kept if anything of it changed."""

from __future__ import annotations

from ops.lab import Lab
from ops.universe_record import record, source_of
from ops.wiring import make_records
from trading.exchange.open_venue import TRADES_AT
from trading.market.universe_store import UniverseStore


async def run(lab: Lab) -> None:
    """One snapshot of every document.

    Raises:
        NetworkDownError: the venue does not answer.
        DataProviderError: its answer is of no use, or lacks most of what traded yesterday.
    """
    if lab.settings.venue.exchange != TRADES_AT:
        return  # nothing of what the lab reads is listed there
    source = source_of(lab.settings.venue.base_url, is_demo=lab.setting.environment.binance_testnet)
    venue = make_records(lab.settings, lab.setting.environment, lab.clock, lab.home)
    try:
        lines = await record(venue, UniverseStore(lab.home.tapes), source)
    finally:
        await venue.close()
    lab.tell("universe.recorded", {"documents": lines})
