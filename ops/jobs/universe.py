"""Once a day: what the venue lists now, kept if anything of it changed, and whether the lab's markets still trade."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from ops.service.lab import Lab
from ops.universe.record import record, source_of
from ops.venues import make_records
from trading.domain.instrument import Instrument
from trading.exchange.open_venue import TRADES_AT
from trading.market.universe import Universe
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
    store = UniverseStore(lab.home.tapes)
    for symbol in lab.symbols:
        universe = Universe(await asyncio.to_thread(store.snapshots, symbol=symbol))
        mine = [instrument for instrument in lab.instruments.values() if instrument.symbol == symbol]
        for instrument in as_listed(mine, universe, lab.clock.now_ms()):
            lab.market.know(instrument)


def as_listed(instruments: Iterable[Instrument], universe: Universe, now_ms: int) -> list[Instrument]:
    """The lab's markets with what the venue says of their trading now; of which it says nothing are left out."""
    found = ((one, universe.of(one.market, one.symbol, now_ms).is_trading) for one in instruments)
    return [replace(one, is_trading=is_trading) for one, is_trading in found if is_trading is not None]
