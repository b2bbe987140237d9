"""Once a day: what the venue lists now, kept if anything of it changed."""

from __future__ import annotations

from ops.lab import Lab
from ops.universe_record import record, source_of
from trading.market.universe_store import UniverseStore


async def run(lab: Lab) -> None:
    """One snapshot of every document.

    Raises:
        NetworkDownError: the venue does not answer.
        DataProviderError: its answer is of no use, or lacks most of what traded yesterday.
    """
    source = source_of(lab.settings.venue.base_url, is_demo=lab.setting.environment.binance_testnet)
    lines = await record(lab.venue, UniverseStore(lab.home.tapes), source)
    lab.tell("universe.recorded", {"documents": lines})
